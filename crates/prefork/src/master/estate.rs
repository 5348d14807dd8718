//! What a program leaves to the one that takes its place in the process: all descriptors by number, and all that is known.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use ::settings::RESTORED_SETTINGS;

use crate::app::App;
use crate::arbiter::Arbiter;
use crate::ids::{Generation, Moment, Pid, Slot};
use crate::listener::{HandedListener, Listener};
use crate::scoreboard::{Counts, LAYOUT};
use crate::sys;

use super::deaths::Deaths;
use super::doors::Door;
use super::record::Record;
use super::{Child, Lifeline, Master, Pidfile, spawn};

/// Where a program finds its estate: `<pid>:<descriptor>`.
pub(super) const VARIABLE: &str = "PREFORK_ESTATE";

/// Everything that outlives an exec.
#[derive(Serialize, Deserialize)]
pub(crate) struct Estate {
    pub(super) arbiter: Arbiter,
    pub(super) generation: Generation,
    listeners: Vec<HandedListener>,
    activated: bool,
    /// How the cells of the last board are laid out.
    layout: u64,
    boards: Vec<RawFd>,
    pub(super) slots_used: u16,
    lifeline: [RawFd; 2],
    children: Vec<HandedChild>,
    pidfile: Option<(RawFd, PathBuf)>,
    pub(super) started: Moment,
    pub(super) record: Record,
    pub(super) deaths: Deaths,
    /// A reload was announced to the service manager, and its end was not.
    pub(super) reloading: bool,
    /// The way back; `None` to a program that has come back.
    old: Option<HandedOld>,
}

#[derive(Serialize, Deserialize)]
struct HandedChild {
    slot: Slot,
    pid: Pid,
    pipe: Option<RawFd>,
    doors: Vec<Door>,
    base: Counts,
    killed: bool,
    board: usize,
}

#[derive(Serialize, Deserialize)]
struct HandedOld {
    program: RawFd,
    settings: String,
}

/// The program that this one has replaced, until this one has proved itself.
pub(super) struct Old {
    /// Its file, which may have no name any more.
    pub(super) program: OwnedFd,
    /// The settings that were in force, in TOML: its file may say something else by now.
    pub(super) settings: String,
}

/// What an estate holds beside plain facts, in the hands of its heir.
pub(super) struct Taken {
    /// The boards of all programs whose workers still live, the oldest first.
    pub(super) boards: Vec<OwnedFd>,
    /// Whether the last of them is laid out as this program's.
    pub(super) is_readable: bool,
    pub(super) lifeline: Lifeline,
    pub(super) children: Vec<(Slot, Child)>,
    pub(super) pidfile: Option<Pidfile>,
    pub(super) old: Option<Old>,
}

impl Estate {
    /// What this process was left, if it was.
    ///
    /// # Errors
    /// It was left something that this program does not understand.
    pub(crate) fn of_this_process() -> io::Result<Option<(Self, File)>> {
        drop(descriptor_named_by(RESTORED_SETTINGS)); // they are read
        let Some(file) = descriptor_named_by(VARIABLE) else { return Ok(None) };
        let mut file = File::from(file);
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut text)?;
        Ok(Some((serde_json::from_slice(&text)?, file)))
    }

    /// Whether the program that reads this has come back, after another one had its place.
    pub(crate) fn has_come_back(&self) -> bool {
        self.old.is_none()
    }

    /// The listeners, and whether they came by activation.
    pub(crate) fn listeners(&self) -> (Vec<HandedListener>, bool) {
        (self.listeners.clone(), self.activated)
    }

    /// The generation that the reader's settings are for.
    pub(super) fn heirs_generation(&self) -> Generation {
        if self.has_come_back() { self.generation } else { self.arbiter.next_generation() }
    }

    /// The program that this came from. The reader of what is left has come back.
    pub(super) fn take_way_back(&mut self) -> io::Result<Old> {
        let none = || io::Error::other("it came from no other program");
        let HandedOld { program, settings } = self.old.take().ok_or_else(none)?;
        let program = sys::descriptors::take(program).ok_or_else(none)?;
        Ok(Old { program, settings })
    }

    /// Takes the descriptors.
    ///
    /// # Errors
    /// One is not there.
    pub(super) fn take(&mut self) -> io::Result<Taken> {
        let take = |number: RawFd| {
            let gone = || io::Error::new(io::ErrorKind::NotFound, format!("descriptor {number} is not open"));
            sys::descriptors::take(number).ok_or_else(gone)
        };
        let boards = self.boards.iter().map(|board| take(*board)).collect::<io::Result<Vec<_>>>()?;
        let [reading, writing] = self.lifeline;
        let lifeline = Lifeline { reading: take(reading)?, writing: take(writing)? };
        let mut children = Vec::new();
        for HandedChild { slot, pid, pipe, doors, base, killed, board } in self.children.drain(..) {
            let file = boards.get(board).ok_or(io::ErrorKind::InvalidData)?;
            let (pipe, pidfd) = (pipe.map(take).transpose()?, spawn::open_pidfd(pid));
            children.push((slot, Child::taken_over(pid, pidfd, pipe, doors, base, killed, board, file)?));
        }
        let pidfile = match self.pidfile.take() {
            Some((number, path)) => Some(Pidfile::inherit(File::from(take(number)?), path)),
            None => None,
        };
        let old = match self.old.take() {
            Some(HandedOld { program, settings }) => Some(Old { program: take(program)?, settings }),
            None => None,
        };
        Ok(Taken { boards, is_readable: self.layout == LAYOUT, lifeline, children, pidfile, old })
    }
}

impl<A: App> Master<A> {
    /// The estate as it is now, and what of it has to survive the exec. `old` is the way back from the heir, if there is to be
    /// one.
    pub(super) fn estate<'a>(&'a self, old: Option<&'a Old>) -> Option<(Estate, Vec<BorrowedFd<'a>>)> {
        let lifeline = self.lifeline.as_ref()?;
        let pipes = self.children.values().filter_map(|child| child.pipe.as_ref());
        let mut kept: Vec<BorrowedFd<'_>> = self.listeners.iter().map(AsFd::as_fd).collect();
        kept.extend(self.boards.iter().chain(pipes).chain(old.map(|old| &old.program)).map(AsFd::as_fd));
        kept.extend([lifeline.reading.as_fd(), lifeline.writing.as_fd()]);
        kept.extend(self.pidfile.as_ref().map(AsFd::as_fd));
        let child = |(slot, child): (&Slot, &Child)| HandedChild {
            slot: *slot,
            pid: child.pid,
            pipe: child.pipe.as_ref().map(AsRawFd::as_raw_fd),
            doors: child.doors.clone(),
            base: child.base,
            killed: child.killed,
            board: child.board,
        };
        let estate = Estate {
            arbiter: self.arbiter.clone(),
            generation: self.generation,
            listeners: self.listeners.iter().map(Listener::hand_over).collect(),
            activated: self.activated,
            layout: LAYOUT,
            boards: self.boards.iter().map(AsRawFd::as_raw_fd).collect(),
            slots_used: self.slots_used,
            lifeline: [lifeline.reading.as_raw_fd(), lifeline.writing.as_raw_fd()],
            children: self.children.iter().map(child).collect(),
            pidfile: self
                .pidfile
                .as_ref()
                .map(|pidfile| (pidfile.as_fd().as_raw_fd(), pidfile.path().into())),
            started: self.started,
            record: self.record.clone(),
            deaths: self.deaths.clone(),
            reloading: self.notify.is_reloading(),
            old: old
                .map(|old| HandedOld { program: old.program.as_raw_fd(), settings: old.settings.clone() }),
        };
        Some((estate, kept))
    }
}

/// The descriptor that a variable names for this process, as `<pid>:<descriptor>`. The variable is gone then: the next program
/// in this process must not take it for its own.
fn descriptor_named_by(variable: &str) -> Option<OwnedFd> {
    let text = std::env::var(variable).ok()?;
    sys::environment::unset(variable);
    let (pid, number) = text.split_once(':')?;
    (pid.parse() == Ok(std::process::id())).then(|| sys::descriptors::take(number.parse().ok()?)).flatten()
}

/// A file in memory that an heir can read.
pub(super) fn in_memory(name: &str, content: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC)?);
    file.write_all(content)?;
    Ok(file)
}
