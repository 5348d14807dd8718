//! What a program leaves to the one that takes its place in the process: all descriptors by number, and all that is known.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::rc::Rc;

use ::settings::RESTORED_SETTINGS;
use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::arbiter::Arbiter;
use crate::ids::{Generation, Moment, Pid, Slot};
use crate::listener::{HandedListener, Listener};
use crate::scoreboard::{Counts, LAYOUT, Orders, Scoreboard};
use crate::sys;

use super::deaths::Deaths;
use super::doors::Door;
use super::record::Record;
use super::{Child, Lifeline, Master, Pidfile, Said, spawn};

/// Where a program finds its estate: `<pid>:<descriptor>`.
pub(super) const VARIABLE: &str = "PREFORK_ESTATE";

/// What tells one form of an estate from another. A program takes over from another one, and comes back, only if both mean the
/// same by it: it changes with every field and variant that goes into an estate, those of the arbiter among them.
const FORMAT: u32 = 1;

/// Everything that outlives an exec.
#[derive(Serialize, Deserialize)]
pub(crate) struct Estate {
    pub(super) arbiter: Arbiter,
    pub(super) generation: Generation,
    listeners: Vec<HandedListener>,
    activated: bool,
    boards: Vec<HandedBoard>,
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

/// What is read of an estate before the rest.
#[derive(Serialize, Deserialize)]
struct Envelope<E> {
    format: u32,
    estate: E,
}

/// A scoreboard's file, and how its cells are laid out.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct HandedBoard {
    file: RawFd,
    layout: u64,
}

#[derive(Serialize, Deserialize)]
struct HandedChild {
    slot: Slot,
    pid: Pid,
    pipe: Option<RawFd>,
    doors: Vec<Door>,
    base: Counts,
    killed: bool,
    /// The number of its board's file.
    board: RawFd,
}

/// A scoreboard, as the master holds it: for as long as one of its workers lives, or it is the one in use.
pub(super) struct SharedBoard {
    file: OwnedFd,
    layout: u64,
    pub(super) orders: Orders,
}

impl SharedBoard {
    pub(super) fn new(board: Scoreboard, file: OwnedFd) -> Rc<Self> {
        Rc::new(Self { file, layout: LAYOUT, orders: board.orders() })
    }

    /// Whether its cells are laid out as this program's.
    pub(super) fn is_readable(&self) -> bool {
        self.layout == LAYOUT
    }
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
pub(crate) struct Taken {
    pub(crate) listeners: Vec<Listener>,
    /// The last board that is laid out as this program's, if there is one.
    pub(super) board: Option<(Scoreboard, Rc<SharedBoard>)>,
    pub(super) lifeline: Lifeline,
    pub(super) children: BTreeMap<Slot, Child>,
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
        let Envelope { format, estate } = serde_json::from_slice::<Envelope<serde_json::Value>>(&text)?;
        if format != FORMAT {
            let why = format!(
                "it has the form {format}, and this program knows {FORMAT}; restart the server instead"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(Some((serde_json::from_value(estate)?, file)))
    }

    pub(super) fn to_json(&self) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec(&Envelope { format: FORMAT, estate: self })?)
    }

    /// Whether the program that reads this has come back, after another one had its place.
    pub(crate) fn has_come_back(&self) -> bool {
        self.old.is_none()
    }

    /// Whether the listeners came by activation.
    pub(crate) fn is_activated(&self) -> bool {
        self.activated
    }

    /// The generation that the reader's settings are for.
    pub(super) fn heirs_generation(&self) -> Generation {
        if self.has_come_back() { self.generation } else { self.arbiter.next_generation() }
    }

    /// To be written for the program that it came from, as if it had never been handed over.
    pub(super) fn give_back(&mut self) {
        self.old = None;
    }

    /// Takes every descriptor, before anything else is opened.
    ///
    /// # Errors
    /// One is not there, or is not what it should be.
    pub(crate) fn take(&self) -> io::Result<Taken> {
        let boards = self.boards.iter().map(|board| Ok((board.file, board.take()?)));
        let boards = boards.collect::<io::Result<BTreeMap<RawFd, Rc<SharedBoard>>>>()?;
        let own = self.boards.iter().rev().find(|board| board.layout == LAYOUT);
        let board = match own.and_then(|board| boards.get(&board.file)) {
            Some(shared) => Some((Scoreboard::of_another(&shared.file)?, Rc::clone(shared))),
            None => None,
        };
        let [reading, writing] = self.lifeline;
        let child = |child: &HandedChild| {
            let board = boards.get(&child.board).ok_or(io::ErrorKind::InvalidData)?;
            Ok((child.slot, child.take(Rc::clone(board))?))
        };
        Ok(Taken {
            listeners: self.listeners.iter().cloned().map(HandedListener::take).collect::<io::Result<_>>()?,
            board,
            lifeline: Lifeline { reading: take(reading)?, writing: take(writing)? },
            children: self.children.iter().map(child).collect::<io::Result<_>>()?,
            pidfile: match &self.pidfile {
                Some((number, path)) => Some(Pidfile::inherit(File::from(take(*number)?), path.clone())),
                None => None,
            },
            old: match &self.old {
                Some(old) => Some(Old { program: take(old.program)?, settings: old.settings.clone() }),
                None => None,
            },
        })
    }
}

impl HandedBoard {
    fn take(self) -> io::Result<Rc<SharedBoard>> {
        let file = take(self.file)?;
        let orders = Orders::of_another(&file)?;
        Ok(Rc::new(SharedBoard { file, layout: self.layout, orders }))
    }
}

impl HandedChild {
    fn take(&self, board: Rc<SharedBoard>) -> io::Result<Child> {
        Ok(Child {
            pid: self.pid,
            pidfd: spawn::open_pidfd(self.pid),
            pipe: self.pipe.map(take).transpose()?,
            doors: self.doors.clone(),
            base: self.base,
            killed: self.killed,
            said: Said::default(),
            board,
        })
    }
}

impl Taken {
    /// All that has to survive an exec.
    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        kept(&self.listeners, self.board.as_ref().map(|(_, board)| board), &self.lifeline, &self.children)
            .chain(self.pidfile.as_ref().map(AsFd::as_fd))
            .collect()
    }
}

fn take(number: RawFd) -> io::Result<OwnedFd> {
    let gone = || io::Error::new(io::ErrorKind::NotFound, format!("descriptor {number} is not open"));
    sys::descriptors::take(number).ok_or_else(gone)
}

fn kept<'a>(
    listeners: &'a [Listener],
    board: Option<&'a Rc<SharedBoard>>,
    lifeline: &'a Lifeline,
    children: &'a BTreeMap<Slot, Child>,
) -> impl Iterator<Item = BorrowedFd<'a>> {
    let boards = children.values().map(|child| &child.board).chain(board).map(|board| board.file.as_fd());
    let pipes = children.values().filter_map(|child| child.pipe.as_ref()).map(AsFd::as_fd);
    let lifeline = [lifeline.reading.as_fd(), lifeline.writing.as_fd()];
    listeners.iter().map(AsFd::as_fd).chain(boards).chain(pipes).chain(lifeline)
}

impl<A: App> Master<A> {
    /// The estate as it is now, and what of it has to survive the exec. `old` is the way back from the heir, if there is to be
    /// one.
    pub(super) fn estate<'a>(&'a self, old: Option<&'a Old>) -> Option<(Estate, Vec<BorrowedFd<'a>>)> {
        let lifeline = self.lifeline.as_ref()?;
        let kept = kept(&self.listeners, Some(&self.shared_board), lifeline, &self.children)
            .chain(old.map(|old| old.program.as_fd()))
            .chain(self.pidfile.as_ref().map(AsFd::as_fd));
        let child = |(slot, child): (&Slot, &Child)| HandedChild {
            slot: *slot,
            pid: child.pid,
            pipe: child.pipe.as_ref().map(AsRawFd::as_raw_fd),
            doors: child.doors.clone(),
            base: child.base,
            killed: child.killed,
            board: child.board.file.as_raw_fd(),
        };
        let boards = self.children.values().map(|child| &child.board).chain([&self.shared_board]);
        let handed =
            |board: &Rc<SharedBoard>| HandedBoard { file: board.file.as_raw_fd(), layout: board.layout };
        let mut boards: Vec<HandedBoard> = boards.map(handed).collect();
        boards.sort_by_key(|board| board.file);
        boards.dedup_by_key(|board| board.file);
        let estate = Estate {
            arbiter: self.arbiter.clone(),
            generation: self.generation,
            listeners: self.listeners.iter().map(Listener::hand_over).collect(),
            activated: self.activated,
            boards,
            slots_used: self.slots_used,
            lifeline: [lifeline.reading.as_raw_fd(), lifeline.writing.as_raw_fd()],
            children: self.children.iter().map(child).collect(),
            pidfile: self.pidfile.as_ref().map(|file| (file.as_fd().as_raw_fd(), file.path().into())),
            started: self.started,
            record: self.record.clone(),
            deaths: self.deaths.clone(),
            reloading: self.notify.is_reloading(),
            old: old
                .map(|old| HandedOld { program: old.program.as_raw_fd(), settings: old.settings.clone() }),
        };
        Some((estate, kept.collect()))
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
