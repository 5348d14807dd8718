//! What a fresh child does before anything else: it stops being the master.

use std::ffi::CString;
use std::fmt;

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::{
    Pid, getegid, geteuid, getgroups, getppid, initgroups, setgid, setgroups, setpgid, setuid,
};

use crate::ids;
use crate::settings::Identity;
use crate::sys::{environment, signals};

use super::watch;

/// A step that failed.
#[derive(Debug)]
pub(crate) struct Failed {
    step: &'static str,
    errno: Errno,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.step, self.errno)
    }
}

/// Signals that an operator sends to the master and that may hit the whole family.
const MEANT_FOR_THE_MASTER: [Signal; 6] =
    [Signal::SIGHUP, Signal::SIGUSR2, Signal::SIGTTIN, Signal::SIGTTOU, Signal::SIGWINCH, Signal::SIGPIPE];

/// Leaves the master's process group, environment, signals and privileges behind.
pub(crate) fn enter(identity: &Identity) -> Result<(), Failed> {
    // Its own group: a terminal's Ctrl-C reaches the master only, which then decides.
    step("leave the process group", setpgid(Pid::from_raw(0), Pid::from_raw(0)))?;
    for (name, _) in std::env::vars_os() {
        if let Some(name) = name.to_str().filter(|name| belongs_to_the_master(name)) {
            environment::unset(name);
        }
    }
    for variable in &identity.raw_env {
        environment::set(&variable.name, &variable.value);
    }
    for signal in MEANT_FOR_THE_MASTER {
        step("ignore a signal", signals::ignore(signal))?;
    }
    // The watch thread reads these from a descriptor; every other signal means again what it usually does.
    step("set the signal mask", sigprocmask(SigmaskHow::SIG_SETMASK, Some(&watch::heard()), None))?;
    let (_, hard) = step("read the limit of descriptors", getrlimit(Resource::RLIMIT_NOFILE))?;
    step("raise the limit of descriptors", setrlimit(Resource::RLIMIT_NOFILE, hard, hard))?;
    drop_privileges(identity)
}

/// The same for a child that serves nobody: signals end it as they end any program, and the kernel ends it with its master,
/// whatever it is busy with.
pub(crate) fn enter_as_helper(identity: &Identity, master: ids::Pid) -> Result<(), Failed> {
    enter(identity)?;
    step("ignore a signal", signals::ignore(Signal::SIGUSR1))?; // it has no files that it would hold for long
    // After the change of user, which would take it back. It means the parent's thread, and the master has one
    // (PR_SET_PDEATHSIG(2const)).
    step("ask to end with the master", set_pdeathsig(Signal::SIGKILL))?;
    if getppid().as_raw() != master.0 {
        return Err(Failed { step: "go on without the master", errno: Errno::ESRCH }); // it was too late to ask
    }
    step("set the signal mask", sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None))
}

/// The same for a child that executes another program: that one finds signals as programs expect them.
pub(crate) fn enter_as_command(identity: &Identity, master: ids::Pid) -> Result<(), Failed> {
    enter_as_helper(identity, master)?;
    for signal in MEANT_FOR_THE_MASTER.into_iter().chain([Signal::SIGUSR1]) {
        step("restore a signal", signals::restore(signal))?;
    }
    Ok(())
}

/// What systemd said to the master must not be taken for said to a worker (sd_notify(3), sd_listen_fds(3)).
fn belongs_to_the_master(name: &str) -> bool {
    ["NOTIFY_", "LISTEN_", "WATCHDOG_"].iter().any(|prefix| name.starts_with(prefix))
}

/// Becomes the wanted user and group for good: as root, setuid(2) sets the saved ids too.
fn drop_privileges(identity: &Identity) -> Result<(), Failed> {
    let gid = identity.gid();
    if let Some(user) = identity.user.as_ref().filter(|user| user.uid != geteuid()) {
        let gid = gid.unwrap_or(user.gid);
        if identity.initgroups {
            let name = CString::new(user.name.as_str())
                .map_err(|_| Failed { step: "use the user's name", errno: Errno::EINVAL })?;
            step("take the user's groups", initgroups(&name, gid))?;
        } else {
            step("leave the other groups", setgroups(&[gid]))?;
        }
    }
    if let Some(gid) = gid.filter(|gid| *gid != getegid()) {
        if identity.user.is_none() && getgroups().is_ok_and(|groups| !groups.is_empty()) {
            step("leave the other groups", setgroups(&[gid]))?;
        }
        step("become the group of server.group", setgid(gid))?;
    }
    if let Some(user) = identity.user.as_ref().filter(|user| user.uid != geteuid()) {
        step("become the user of server.user", setuid(user.uid))?;
    }
    Ok(())
}

fn step<T>(step: &'static str, result: Result<T, Errno>) -> Result<T, Failed> {
    result.map_err(|errno| Failed { step, errno })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_says_to_the_master_is_for_the_master() {
        for name in
            ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID"]
        {
            assert!(belongs_to_the_master(name), "{name}");
        }
        for name in ["PATH", "MY_NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY"] {
            assert!(!belongs_to_the_master(name), "{name}");
        }
    }
}
