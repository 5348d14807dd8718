//! A second master on the same sockets: starting one, and being one.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::prctl::set_name;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair};
use rustix::process::{PidfdFlags, Signal, getppid, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::arbiter::{Event, ExitStatus};
use crate::ids::Pid;
use crate::listener::{HandedListener, Listener};
use crate::settings::start_directory;
use crate::sys;

use super::handover::execute;
use super::hooks::{Hook, Subject};
use super::pidfile::sweep;
use super::{Master, second, spawn};

/// Where a master finds what the one before it has left it.
pub(crate) const VARIABLE: &str = "PREFORK_SUCCESSION";
/// The exit status of a program that could not be executed, as a shell has it.
const NOT_FOUND: i32 = 127;

/// What a master leaves to its successor.
#[derive(Serialize, Deserialize)]
struct Legacy {
    /// Who left it; a variable that is older than that means nothing.
    master: Pid,
    listeners: Vec<HandedListener>,
    /// The successor's end of the line between the two.
    line: RawFd,
}

/// The line between two masters on the same sockets: a pair of connected ones. The younger says on it that it serves. Who says no
/// more on it accepts no more, so that of two that stop, in whatever order, one knows that it is the last.
pub(super) struct Line(OwnedFd);

impl Line {
    fn pair() -> io::Result<(Self, Self)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        Ok((Self(one), Self(other)))
    }

    /// This master accepts no more. To be said before the other one is asked: of two that stop at once, both may be the last, and
    /// never none.
    fn hang_up(&self) {
        let _ = shutdown(&self.0, Shutdown::Write);
    }

    /// Whether the other one may still accept.
    fn is_held(&self) -> bool {
        let mut line = [PollFd::new(&self.0, PollFlags::RDHUP)]; // whatever is still unread (poll(2))
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        !matches!(poll(&mut line, Some(&at_once)), Ok(1..))
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What this process was left by the master that started it.
pub(crate) struct Predecessor {
    pid: Pid,
    /// Readable once it has gone.
    pidfd: Option<OwnedFd>,
    listeners: Vec<HandedListener>,
    line: Line,
}

impl Predecessor {
    /// Takes what the environment says was left, if it was left to this process.
    pub(crate) fn of_this_process() -> Option<Self> {
        let text = std::env::var(VARIABLE).ok()?;
        sys::environment::unset(VARIABLE);
        let Legacy { master, listeners, line } = serde_json::from_str(&text).ok()?;
        let parent = getppid().filter(|parent| parent.as_raw_pid() == master.0)?;
        let pidfd = pidfd_open(parent, PidfdFlags::empty()).ok();
        Some(Self { pid: master, pidfd, listeners, line: Line(sys::descriptors::take(line)?) })
    }

    /// Its listeners.
    ///
    /// # Errors
    /// One is not there.
    pub(crate) fn take_listeners(&mut self) -> io::Result<Vec<Listener>> {
        std::mem::take(&mut self.listeners).into_iter().map(HandedListener::take).collect()
    }

    /// Whether it still lives. A child whose parent has ended gets another one (getppid(2)).
    pub(super) fn lives(&self) -> bool {
        getppid().is_some_and(|parent| parent.as_raw_pid() == self.pid.0)
    }

    pub(super) fn pidfd(&self) -> Option<&OwnedFd> {
        self.pidfd.as_ref()
    }

    /// Tells it that a worker serves.
    pub(super) fn tell(&self) {
        let _ = rustix::io::write(&self.line, b"R"); // it may have gone meanwhile
    }
}

/// A second master that was started by this one.
pub(super) struct Successor {
    pub(super) pid: Pid,
    line: Line,
    /// Whether a worker of its serves.
    pub(super) serves: bool,
    /// It has hung up: there is nothing more to hear.
    silent: bool,
}

impl Successor {
    /// Where it may say something.
    pub(super) fn source(&self) -> Option<&Line> {
        Some(&self.line).filter(|_| !self.silent)
    }
}

/// The program as it was called, to be found and started anew.
pub(crate) struct Program {
    name: OsString,
    arguments: Vec<OsString>,
}

impl Program {
    pub(crate) fn of_this_process() -> Self {
        let mut words = std::env::args_os();
        Self { name: words.next().unwrap_or_default(), arguments: words.collect() }
    }

    /// Gives this process the name that `ps` and `pkill` know it by: one that was executed by its file alone is named by a
    /// descriptor's number (execveat(2)).
    pub(crate) fn name_process(&self) {
        let name = Path::new(&self.name).file_name().unwrap_or(&self.name);
        if let Ok(name) = CString::new(name.as_encoded_bytes()) {
            let _ = set_name(&name); // PR_SET_NAME cuts it to 15 bytes
        }
    }

    /// Whether the file at its path is the program that this process runs; `None` where that cannot be found out.
    pub(super) fn is_running(&self) -> Option<bool> {
        let identity = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        Some(identity(Path::new("/proc/self/exe"))? == identity(&self.path())?)
    }

    /// The words that it was called with, its name first.
    pub(super) fn words(&self) -> Vec<OsString> {
        [&self.name].into_iter().chain(&self.arguments).cloned().collect()
    }

    /// Where the program is, looked up as a shell does; where this process's own file is, if it was called by a name
    /// that leads nowhere.
    pub(super) fn path(&self) -> PathBuf {
        let name = PathBuf::from(&self.name);
        if self.name.as_encoded_bytes().contains(&b'/') {
            return start_directory().join(name);
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|folder| start_directory().join(folder).join(&name));
        let executable =
            |path: &PathBuf| rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file();
        found.into_iter().find(executable).or_else(|| std::env::current_exe().ok()).unwrap_or(name)
    }
}

impl<A: App> Master<A> {
    /// Starts a second master on the same sockets.
    pub(super) fn start_successor(&mut self) {
        self.call(|hooks| hooks.pre_exec());
        self.hook(Hook::PreExec, Subject::Server, Vec::new());
        match self.fork_successor() {
            Ok(successor) => {
                tracing::info!("upgrade: the new master is pid {}", successor.pid);
                self.successor = Some(successor);
            }
            Err(errno) => self.events.push_back(Event::SuccessorEnded(Err(errno))),
        }
    }

    fn fork_successor(&mut self) -> Result<Successor, i32> {
        let (ours, theirs) = Line::pair().map_err(|error| error.raw_os_error().unwrap_or_default())?;
        let mut ours = Some(ours);
        let pid = self.fork(|this| {
            ours = None;
            let listeners = std::mem::take(&mut this.listeners);
            this.leave_behind();
            let error = this.become_successor(&listeners, &theirs);
            tracing::error!("upgrade: {} cannot be executed: {error}", this.program.path().display());
            NOT_FOUND
        })?;
        let line = ours.ok_or(0)?; // it is only gone in the child
        Ok(Successor { pid, line, serves: false, silent: false })
    }

    /// Tells a second master that serves nobody yet to end with this one.
    pub(super) fn stop_successor(&self) {
        if let Some(successor) = &self.successor {
            tracing::warn!("upgrade: the new master, pid {}, does not serve yet: it ends too", successor.pid);
            spawn::kill(successor.pid, Signal::TERM);
        }
    }

    /// Executes the program on disk, in a fresh child; gives what went wrong.
    fn become_successor(&self, listeners: &[Listener], line: &Line) -> io::Error {
        let handed = listeners.iter().map(Listener::hand_over).collect();
        let legacy = Legacy { master: self.pid, listeners: handed, line: line.0.as_raw_fd() };
        let text = match serde_json::to_string(&legacy) {
            Ok(text) => text,
            Err(error) => return error.into(),
        };
        let kept: Vec<BorrowedFd<'_>> = listeners.iter().map(AsFd::as_fd).chain([line.as_fd()]).collect();
        // What was handed to this master is handed on by its own way, and the watchdog looks at the new one.
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            sys::environment::unset(name);
        }
        let mut variables = vec![(VARIABLE, text)];
        if std::env::var_os("WATCHDOG_PID").is_some() {
            variables.push(("WATCHDOG_PID", std::process::id().to_string()));
        }
        // Signals stay blocked until the new master reads them: none is lost, and none ends it too early.
        let Err(error) = execute(&self.program.path(), self.program.words(), &variables, &kept);
        error
    }

    /// Reads whether the second master serves.
    pub(super) fn hear_successor(&mut self) {
        let Some(successor) = self.successor.as_mut().filter(|successor| !successor.silent) else { return };
        match rustix::io::read(&successor.line, &mut [0; 8][..]) {
            Ok(0) => successor.silent = true,
            Ok(_) if !std::mem::replace(&mut successor.serves, true) => {
                self.events.push_back(Event::SuccessorServes);
            }
            Ok(_) | Err(_) => {} // nothing new
        }
    }

    /// A child that was the second master has ended; says whether it was.
    pub(super) fn successor_ended(&mut self, pid: Pid, status: ExitStatus) -> bool {
        if self.successor.take_if(|successor| successor.pid == pid).is_none() {
            return false;
        }
        if let Some(pidfile) = &self.pidfile {
            sweep(&second(pidfile.path()), pid);
        }
        self.events.push_back(Event::SuccessorEnded(Ok(status)));
        true
    }

    /// Notices that the master that started this one has gone: what was shared is this one's alone from then on.
    pub(super) fn look_for_the_predecessor(&mut self) {
        if self.predecessor.take_if(|predecessor| !predecessor.lives()).is_none() {
            return;
        }
        tracing::info!("the master before this one has gone; this one is the server now");
        self.open_the_desk();
        self.events.push_back(Event::PredecessorGone);
        self.notify.succeed();
        let Some(path) = self.settings().and_then(|settings| settings.process.pidfile.clone()) else {
            return;
        };
        let path = std::path::absolute(&path).unwrap_or(path);
        if let Some(pidfile) = &mut self.pidfile
            && pidfile.path() == second(&path)
            && let Err(error) = pidfile.rename(&path)
        {
            tracing::warn!("the pidfile cannot be renamed to {}: {error}", path.display());
        }
    }

    /// Whether another master accepts from the same sockets. A younger one that does not serve yet may never do so: it ends
    /// if this one stops.
    pub(super) fn shares_its_sockets(&self) -> bool {
        let younger = self.successor.as_ref().filter(|younger| younger.serves).map(|younger| &younger.line);
        let older = self.predecessor.as_ref().filter(|older| older.lives()).map(|older| &older.line);
        [younger, older].into_iter().flatten().any(Line::is_held)
    }

    /// Tells another master on the same sockets that this one accepts no more.
    pub(super) fn hang_up(&self) {
        let younger = self.successor.as_ref().map(|successor| &successor.line);
        let older = self.predecessor.as_ref().map(|older| &older.line);
        [younger, older].into_iter().flatten().for_each(Line::hang_up);
    }
}
