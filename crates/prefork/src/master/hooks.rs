//! Hook commands: run beside the loop, in order for each subject, never for longer than their time. None can delay or harm the
//! pool.

use std::collections::VecDeque;
use std::fmt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Signal, kill_process_group};

use crate::app::App;
use crate::arbiter::{Event, ExitStatus, Milestone};
use crate::hooks::{HookedWorker, Hooks};
use crate::ids::{Moment, Pid, Slot};
use crate::settings::{HookCommand, HookCommands};
use crate::{sys, worker};

use super::report::Ended;
use super::{Master, guarded};

/// How long a command may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How many commands run at once.
const AT_ONCE: usize = 16;
/// How many wait at most. A pool that dies faster than its hooks run must not fill the master's memory.
const WAITING: usize = 1024;
/// What a command finds in its environment beside the variables about its hook: nothing that may be secret.
const INHERITED: [&str; 9] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR"];
/// The exit status of a command that could not be executed, as a shell has it.
const NOT_FOUND: i32 = 127;

/// A step of the server's life, under the name that Gunicorn gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    OnStarting,
    WhenReady,
    PreFork,
    PostFork,
    PostWorkerInit,
    WorkerInt,
    WorkerAbort,
    PreExec,
    ChildExit,
    WorkerExit,
    NworkersChanged,
    OnReload,
    OnExit,
}

impl Hook {
    fn name(self) -> &'static str {
        match self {
            Self::OnStarting => "on_starting",
            Self::WhenReady => "when_ready",
            Self::PreFork => "pre_fork",
            Self::PostFork => "post_fork",
            Self::PostWorkerInit => "post_worker_init",
            Self::WorkerInt => "worker_int",
            Self::WorkerAbort => "worker_abort",
            Self::PreExec => "pre_exec",
            Self::ChildExit => "child_exit",
            Self::WorkerExit => "worker_exit",
            Self::NworkersChanged => "nworkers_changed",
            Self::OnReload => "on_reload",
            Self::OnExit => "on_exit",
        }
    }

    fn command(self, commands: &HookCommands) -> Option<&HookCommand> {
        match self {
            Self::OnStarting => &commands.on_starting,
            Self::WhenReady => &commands.when_ready,
            Self::PreFork => &commands.pre_fork,
            Self::PostFork => &commands.post_fork,
            Self::PostWorkerInit => &commands.post_worker_init,
            Self::WorkerInt => &commands.worker_int,
            Self::WorkerAbort => &commands.worker_abort,
            Self::PreExec => &commands.pre_exec,
            Self::ChildExit => &commands.child_exit,
            Self::WorkerExit => &commands.worker_exit,
            Self::NworkersChanged => &commands.nworkers_changed,
            Self::OnReload => &commands.on_reload,
            Self::OnExit => &commands.on_exit,
        }
        .as_ref()
    }
}

/// Whom a hook is about: those of one subject run in their order, those of others beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Server,
    Worker(Slot),
}

/// A command that waits for its time.
struct Waiting {
    hook: Hook,
    subject: Subject,
    command: HookCommand,
    /// Names without the program's prefix, and their values.
    variables: Vec<(&'static str, String)>,
}

struct Running {
    hook: Hook,
    subject: Subject,
    pid: Pid,
    until: Moment,
    killed: bool,
}

/// What the arbiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Start,
    /// The rest of the hooks, before those of the end; not for longer than until then.
    Rest {
        until: Moment,
    },
    End,
}

/// The commands that run, and those that wait.
#[derive(Default)]
pub(super) struct HookRunner {
    waiting: VecDeque<Waiting>,
    running: Vec<Running>,
    awaited: Option<Awaited>,
    dropped: u32,
}

impl HookRunner {
    /// When a command has had its time.
    pub(super) fn due(&self) -> Option<Moment> {
        let running = self.running.iter().filter(|running| !running.killed).map(|running| running.until);
        let rest = match self.awaited {
            Some(Awaited::Rest { until }) => Some(until),
            _ => None,
        };
        running.chain(rest).min()
    }

    /// Nothing runs or waits any more: another program is about to know of none of it.
    pub(super) fn give_up(&mut self) {
        if !self.is_idle() {
            let (running, waiting) = (self.running.len(), self.waiting.len());
            tracing::warn!(
                "upgrade: {running} hook commands that run are ended, and {waiting} that wait left out"
            );
        }
        self.waiting.clear();
        self.running.drain(..).for_each(|running| kill_group(running.pid));
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    fn push(&mut self, waiting: Waiting) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(waiting);
        } else {
            self.dropped += 1;
            if self.dropped.is_power_of_two() {
                tracing::warn!(
                    "hook {}: {WAITING} commands wait; {} were left out so far",
                    waiting.hook.name(),
                    self.dropped
                );
            }
        }
    }

    /// The next command that may run: none of its subject runs or waits before it.
    fn next(&mut self) -> Option<Waiting> {
        if self.running.len() >= AT_ONCE {
            return None;
        }
        let mut busy: Vec<Subject> = self.running.iter().map(|running| running.subject).collect();
        let index = self.waiting.iter().position(|waiting| {
            let free = !busy.contains(&waiting.subject);
            if free {
                busy.push(waiting.subject);
            }
            free
        });
        self.waiting.remove(index?)
    }
}

impl<A: App> Master<A> {
    /// Runs a hook's command, if it has one, when those before it have ended.
    pub(super) fn hook(&mut self, hook: Hook, subject: Subject, variables: Vec<(&'static str, String)>) {
        let command = self.settings().and_then(|settings| hook.command(&settings.hooks));
        let Some(command) = command else { return };
        self.runner.push(Waiting { hook, subject, command: command.clone(), variables });
        self.start_hooks();
    }

    /// The same for one that is about a worker.
    pub(super) fn worker_hook(
        &mut self,
        hook: Hook,
        worker: HookedWorker,
        mut variables: Vec<(&'static str, String)>,
    ) {
        variables.extend([
            ("WORKER_PID", worker.pid.to_string()),
            ("WORKER_SLOT", worker.slot.to_string()),
            ("WORKER_GENERATION", worker.generation.to_string()),
        ]);
        self.hook(hook, Subject::Worker(worker.slot), variables);
    }

    /// Calls a hook of the embedding program's.
    pub(super) fn call(&self, hook: impl FnOnce(&dyn Hooks)) {
        if let Some(hooks) = &self.hooks {
            guarded("in a hook", || hook(&**hooks));
        }
    }

    /// Runs the hooks of the start or of the end, and tells the arbiter when they have ended.
    pub(super) fn await_hooks(&mut self, milestone: Milestone) {
        match milestone {
            Milestone::Start => {
                self.call(|hooks| hooks.on_starting());
                self.hook(Hook::OnStarting, Subject::Server, Vec::new());
                self.runner.awaited = Some(Awaited::Start);
            }
            Milestone::End => self.runner.awaited = Some(Awaited::Rest { until: sys::now() + PATIENCE }),
        }
        self.settle_hooks(sys::now());
    }

    /// A child that was a hook's has ended; says whether it was one.
    pub(super) fn hook_ended(&mut self, pid: Pid, status: ExitStatus) -> bool {
        let Some(index) = self.runner.running.iter().position(|running| running.pid == pid) else {
            return false;
        };
        let Running { hook, killed, .. } = self.runner.running.swap_remove(index);
        match status {
            _ if killed => {}
            ExitStatus::Code(0) => tracing::debug!("hook {}: done", hook.name()),
            status => tracing::warn!("hook {}: its command ended with {}", hook.name(), Ended(status)),
        }
        self.start_hooks();
        self.settle_hooks(sys::now());
        true
    }

    /// Ends the commands that have had their time.
    pub(super) fn expire_hooks(&mut self, now: Moment) {
        for running in &mut self.runner.running {
            if now >= running.until && !running.killed {
                running.killed = true;
                tracing::warn!(
                    "hook {}: its command took longer than {PATIENCE:?}, and is killed",
                    running.hook.name()
                );
                kill_group(running.pid);
            }
        }
        self.settle_hooks(now);
    }

    fn settle_hooks(&mut self, now: Moment) {
        match self.runner.awaited {
            Some(Awaited::Rest { until }) if self.runner.is_idle() || now >= until => {
                let left = self.runner.waiting.len();
                if left > 0 {
                    tracing::warn!("the server ends, and {left} hook commands are left out");
                }
                self.runner.waiting.clear();
                for running in self.runner.running.drain(..) {
                    kill_group(running.pid);
                }
                self.runner.awaited = Some(Awaited::End);
                self.call(|hooks| hooks.on_exit());
                self.hook(Hook::OnExit, Subject::Server, Vec::new());
                self.settle_hooks(now);
            }
            Some(Awaited::Start | Awaited::End) if self.runner.is_idle() => {
                self.runner.awaited = None;
                self.events.push_back(Event::HooksEnded);
            }
            _ => {}
        }
    }

    fn start_hooks(&mut self) {
        while let Some(waiting) = self.runner.next() {
            let Waiting { hook, subject, command, variables } = waiting;
            match self.fork_hook(hook, &command, &variables) {
                Ok(pid) => {
                    let until = sys::now() + PATIENCE;
                    self.runner.running.push(Running { hook, subject, pid, until, killed: false });
                }
                Err(errno) => tracing::warn!(
                    "hook {}: its command could not be forked: {}",
                    hook.name(),
                    std::io::Error::from_raw_os_error(errno)
                ),
            }
        }
    }

    fn fork_hook(
        &mut self,
        hook: Hook,
        command: &HookCommand,
        variables: &[(&'static str, String)],
    ) -> Result<Pid, i32> {
        let (prefix, me) = (self.prefix, self.pid);
        let identity = self.settings().map(|settings| settings.identity.clone());
        self.fork(|this| {
            this.leave_behind();
            let entered = worker::enter_as_command(&identity.unwrap_or_default(), me);
            let failed: &dyn fmt::Display = &match entered {
                Ok(()) => {
                    // Better a command that has too much than none.
                    let _ = sys::descriptors::close_all_on_exec();
                    let mut command = to_process(command);
                    command.env(format!("{prefix}HOOK"), hook.name());
                    command.env(format!("{prefix}MASTER_PID"), me.to_string());
                    command.envs(variables.iter().map(|(name, value)| (format!("{prefix}{name}"), value)));
                    command.exec().to_string()
                }
                Err(failed) => failed.to_string(),
            };
            eprintln!("hook {}: {failed}", hook.name());
            NOT_FOUND
        })
    }
}

fn to_process(command: &HookCommand) -> Command {
    let mut process = match command {
        HookCommand::Shell(line) => {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", line]);
            shell
        }
        HookCommand::Program(words) => {
            let (program, arguments) = words.split_first().map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
            let mut process = Command::new(program);
            process.args(arguments);
            process
        }
    };
    let inherited = INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    process.env_clear().envs(inherited).stdin(Stdio::null());
    process
}

/// Ends a command with all that it has started in its group.
pub(super) fn kill_group(pid: Pid) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid.0) {
        // Before its setpgid(2) there is no such group yet; then the process alone is all there is.
        if kill_process_group(pid, Signal::KILL).is_err() {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(subject: Subject) -> Waiting {
        let command = HookCommand::Shell("true".into());
        Waiting { hook: Hook::ChildExit, subject, command, variables: Vec::new() }
    }

    fn running(subject: Subject) -> Running {
        Running { hook: Hook::ChildExit, subject, pid: Pid(0), until: Moment::default(), killed: false }
    }

    #[test]
    fn one_command_of_a_subject_runs_at_a_time_and_so_many_of_all_and_the_queue_is_bounded() {
        let mut runner = HookRunner::default();
        for number in 0..2 * WAITING {
            runner.push(command(Subject::Worker(Slot(u16::try_from(number % 40).unwrap_or_default()))));
        }
        assert_eq!(runner.waiting.len(), WAITING);
        while let Some(next) = runner.next() {
            assert!(runner.running.iter().all(|running| running.subject != next.subject));
            runner.running.push(running(next.subject));
        }
        assert_eq!(runner.running.len(), AT_ONCE);
        runner.running.truncate(1);
        runner.waiting.retain(|waiting| waiting.subject == Subject::Worker(Slot(0)));
        assert!(runner.next().is_none(), "the one of this subject runs still");
        runner.push(command(Subject::Server));
        assert_eq!(
            runner.next().map(|next| next.subject),
            Some(Subject::Server),
            "nobody waits for another subject"
        );
    }
}
