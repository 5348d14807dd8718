//! A new program in the place of this one: asked first, then executed; and the way back.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use nix::unistd::{execve, fexecve};

use ::settings::{RESTORED_SETTINGS, start_directory};

use crate::app::App;
use crate::arbiter::{Event, ExitStatus};
use crate::settings::leave;
use crate::sys;

use super::estate::{Estate, Old, Taken, VARIABLE, in_memory};
use super::hooks::{Hook, Subject};
use super::{Master, Program};
use crate::worker;

/// The flag that makes a program look at its configuration, and at what it is left.
const CHECK: &str = "--check-config";
/// The exit status of a program that could not be executed, as a shell has it.
const NOT_FOUND: i32 = 127;

/// A program that is asked whether it could take over.
pub(super) struct Checker {
    pub(super) pid: crate::ids::Pid,
    /// What it reads, and makes one byte longer when it has understood it.
    estate: File,
    length: u64,
}

impl<A: App> Master<A> {
    /// Asks the program on disk whether it could take over.
    pub(super) fn check_program(&mut self) {
        self.call(|hooks| hooks.pre_exec());
        self.hook(Hook::PreExec, Subject::Server, Vec::new());
        match self.fork_checker() {
            Ok(checker) => self.checker = Some(checker),
            Err(error) => {
                tracing::error!("upgrade: the new program cannot be asked: {error}");
                self.events.push_back(Event::ProgramChecked {
                    status: ExitStatus::Code(NOT_FOUND),
                    understood: false,
                });
            }
        }
    }

    fn fork_checker(&mut self) -> io::Result<Checker> {
        let (text, _) = self.written_estate(None)?;
        let estate = in_memory("prefork-estate", &text)?;
        let me = self.pid;
        let forked = self.fork(|this| {
            this.leave_behind();
            let identity = Default::default(); // as whom the master runs: that is who would read the configuration
            let entered = worker::enter_as_command(&identity, me)
                .map_err(|failed| io::Error::other(failed.to_string()));
            let asked = entered.and_then(|()| {
                let handed = (VARIABLE, format!("{}:{}", std::process::id(), estate.as_raw_fd()));
                let mut arguments = this.program.words();
                arguments.push(CHECK.into());
                execute(&this.program.path(), arguments, &[handed], &[estate.as_fd()])
            });
            let Err(error) = asked;
            eprintln!("{} cannot be executed: {error}", this.program.path().display());
            NOT_FOUND
        });
        let pid = forked.map_err(io::Error::from_raw_os_error)?;
        Ok(Checker { pid, estate, length: text.len() as u64 })
    }

    pub(super) fn kill_checker(&self) {
        if let Some(checker) = &self.checker {
            super::hooks::kill_group(checker.pid);
        }
    }

    /// A child that was asked has ended; says whether it was one.
    pub(super) fn checker_ended(&mut self, pid: crate::ids::Pid, status: ExitStatus) -> bool {
        let Some(checker) = self.checker.take_if(|checker| checker.pid == pid) else { return false };
        let understood = checker.estate.metadata().is_ok_and(|found| found.len() == checker.length + 1);
        self.events.push_back(Event::ProgramChecked { status, understood });
        true
    }

    /// Executes the other program, if one is to be executed and there is nothing else at hand.
    pub(super) fn hand_over_when_idle(&mut self) {
        let Some(at_last) = self.hands_over.filter(|_| self.events.is_empty()) else { return };
        if !self.runner.is_idle() && sys::now() < at_last {
            return; // a little while for hooks, that of the exec among them
        }
        self.hands_over = None;
        if !self.arbiter.hands_over() {
            return; // the server is stopping
        }
        self.runner.give_up();
        self.clear_the_desk(sys::now());
        let Err(error) = match &self.old {
            Some(old) => self.go_back(old),
            None => self.go_forward(),
        };
        // What was made ready for the other program is this one's again, and no child's.
        for descriptor in self.kept_descriptors() {
            let _ = sys::descriptors::set_close_on_exec(descriptor, true);
        }
        if let Some(Err(error)) = self.settings().map(|settings| settings.process.enter()) {
            tracing::error!("{error}");
        }
        self.open_the_desk();
        self.events.push_back(Event::HandOverFailed(error.raw_os_error().unwrap_or_default()));
    }

    fn kept_descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.estate(self.old.as_ref()).map(|(_, kept)| kept).unwrap_or_default()
    }

    fn go_forward(&self) -> io::Result<Infallible> {
        let old = Old { program: File::open("/proc/self/exe")?.into(), settings: self.settings_in_toml() };
        let (text, kept) = self.written_estate(Some(&old))?;
        let estate = in_memory("prefork-estate", &text)?;
        let variable = (VARIABLE, format!("{}:{}", self.pid, estate.as_raw_fd()));
        let kept: Vec<_> = kept.into_iter().chain([estate.as_fd()]).collect();
        tracing::info!("upgrade: {} takes over", self.program.path().display());
        execute(&self.program.path(), self.program.words(), &[variable], &kept)
    }

    fn go_back(&self, old: &Old) -> io::Result<Infallible> {
        let (text, kept) = self.written_estate(None)?;
        tracing::info!("upgrade: the program before this one comes back");
        come_back(&self.program, &old.program, &old.settings, &text, &kept)
    }

    fn written_estate<'a>(&'a self, old: Option<&'a Old>) -> io::Result<(Vec<u8>, Vec<BorrowedFd<'a>>)> {
        let (estate, kept) = self.estate(old).ok_or_else(|| io::Error::other("there is no lifeline"))?;
        Ok((estate.to_json()?, kept))
    }

    /// The settings in force, as a file that says the same.
    fn settings_in_toml(&self) -> String {
        let shown = self.setups.get(&self.generation).map(|setup| &*setup.shown).unwrap_or_default();
        shown.iter().map(|key| format!("{} = {}\n", key.key, key.value)).collect()
    }
}

impl Estate {
    /// Leaves it to the program that it came from, as if it had never been handed over, to be told `why`; gives what went
    /// wrong.
    pub(crate) fn refuse(mut self, taken: &Taken, program: &Program, why: &str) -> io::Error {
        let Some(Old { program: old, settings }) = &taken.old else {
            return io::Error::other("it came from no other program");
        };
        self.record.note_problems(why);
        self.arbiter.refuse_to_take_over();
        self.give_back();
        let text = match self.to_json() {
            Ok(text) => text,
            Err(error) => return error,
        };
        let Err(error) = come_back(program, old, settings, &text, &taken.descriptors());
        error
    }
}

/// Executes the program before this one by its file, which may have no name any more.
fn come_back(
    program: &Program,
    old: &OwnedFd,
    settings: &str,
    estate: &[u8],
    kept: &[BorrowedFd<'_>],
) -> io::Result<Infallible> {
    let estate = in_memory("prefork-estate", estate)?;
    let settings = in_memory("prefork-settings", settings.as_bytes())?;
    let named = |file: &File| format!("{}:{}", std::process::id(), file.as_raw_fd());
    let mut variables = vec![(VARIABLE, named(&estate))];
    if settings.metadata()?.len() > 0 {
        variables.push((RESTORED_SETTINGS, named(&settings)));
    }
    for descriptor in kept.iter().copied().chain([estate.as_fd(), settings.as_fd()]) {
        sys::descriptors::set_close_on_exec(descriptor, false)?;
    }
    leave();
    let (arguments, environment) = (c_strings(program.words())?, environment(&variables)?);
    Ok(fexecve(old, &arguments, &environment)?)
}

/// Executes a program with these descriptors open, in the directory in which this process was started. Unlike execvp(3), it
/// never takes a file that is no program for a shell's script.
pub(super) fn execute(
    path: &Path,
    arguments: Vec<OsString>,
    variables: &[(&str, String)],
    kept: &[BorrowedFd<'_>],
) -> io::Result<Infallible> {
    for descriptor in kept {
        sys::descriptors::set_close_on_exec(descriptor, false)?;
    }
    leave();
    let path = CString::new(path.as_os_str().as_encoded_bytes())?;
    let (arguments, environment) = (c_strings(arguments)?, environment(variables)?);
    Ok(execve(&path, &arguments, &environment)?)
}

fn c_strings(words: Vec<OsString>) -> io::Result<Vec<CString>> {
    Ok(words.into_iter().map(|word| CString::new(word.into_vec())).collect::<Result<_, _>>()?)
}

/// This process's environment with these variables over it.
fn environment(variables: &[(&str, String)]) -> io::Result<Vec<CString>> {
    let ours = std::env::vars_os().filter(|(name, _)| variables.iter().all(|(other, _)| name != other));
    let mut entries: Vec<OsString> = ours
        .map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            name
        })
        .collect();
    let start = format!("PWD={}", start_directory().display());
    entries.retain(|entry| !entry.as_encoded_bytes().starts_with(b"PWD="));
    entries.push(start.into());
    entries.extend(variables.iter().map(|(name, value)| format!("{name}={value}").into()));
    c_strings(entries)
}
