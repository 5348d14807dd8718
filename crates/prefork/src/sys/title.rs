//! What `ps` shows of this process: its arguments, written over.
//!
//! The kernel shows what lies where it has put the arguments, and goes on into the environment behind them if their last
//! byte is no longer zero (proc(5), `/proc/pid/cmdline`).

use std::env::args_os;
use std::ffi::{CStr, CString, c_char};
use std::fs::{self, File};
use std::iter::repeat;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use std::slice;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// Bytes that a title and its final zero take at most. The kernel would show a page.
const LONGEST: usize = 256;
/// What is added while a worker is busy.
const BUSY: &[u8] = b" busy";

unsafe extern "C" {
    /// The entries of the environment, then a null pointer (environ(7)).
    static mut environ: *mut *mut c_char;
}

/// Where the arguments were; empty where no title can be shown.
static AREA: OnceLock<&'static [AtomicU8]> = OnceLock::new();

/// Moves the arguments, and as much of the environment as a title may need, to the heap, so that the place which `ps` looks
/// at is free. Whoever asks for them gets what they were before. Where `/proc` is missing, or tells of a place that holds
/// something else, there will be no titles, and that is all.
///
/// Only to be called while the process has one thread. A second call does nothing.
pub(crate) fn take_over() {
    AREA.get_or_init(|| vacate().unwrap_or_default());
}

/// Makes this process's title `name: role`, in memory that its children have a copy of. What does not fit is cut, of the name
/// first.
pub(crate) fn show(name: &str, role: &str) -> BusyMark {
    write(AREA.get().copied().unwrap_or_default(), name, role)
}

/// The end of a title, where it says that the process is busy.
#[derive(Default)]
pub(crate) struct BusyMark(&'static [AtomicU8]);

impl BusyMark {
    /// Says it, or no longer: a few bytes are written, and nothing else is done.
    pub(crate) fn set(&self, busy: bool) {
        for (place, byte) in self.0.iter().zip(BUSY) {
            place.store(if busy { *byte } else { 0 }, Ordering::Relaxed);
        }
    }
}

fn write(area: &'static [AtomicU8], name: &str, role: &str) -> BusyMark {
    let Some((_last_zero, room)) = area.split_last() else { return BusyMark(&[]) };
    let tail = format!(": {role}");
    let for_name = room.len().saturating_sub(tail.len() + BUSY.len());
    let title = format!("{}{tail}", name.get(..name.floor_char_boundary(for_name)).unwrap_or_default());
    for (place, byte) in room.iter().zip(title.bytes().chain(repeat(0))) {
        place.store(byte, Ordering::Relaxed);
    }
    BusyMark(room.get(title.len()..).unwrap_or_default())
}

/// Where the kernel has put what a process is started with.
#[derive(Debug, PartialEq)]
struct Layout {
    /// The address of argc, after which the pointers of argv follow (System V ABI, "Initial Stack and Register State").
    stack: usize,
    arguments: Range<usize>,
    environment: Range<usize>,
}

impl Layout {
    /// Reads `/proc/self/stat` (proc(5)): field 28 is startstack, 48 to 51 are arg_start, arg_end, env_start and env_end.
    fn parse(stat: &str) -> Option<Self> {
        let (_, from_third) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = from_third.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse().ok();
        Some(Self {
            stack: field(28)?,
            arguments: field(48)?..field(49)?,
            environment: field(50)?..field(51)?,
        })
    }

    /// What a title may be written to: the arguments, whole, as all of them would be shown; and the environment, if it
    /// follows at once, as far as the longest title needs it.
    fn area(&self) -> Range<usize> {
        let Range { start, end } = self.arguments;
        let follows = self.environment.start == end;
        let most = if follows { self.environment.end.min(start.saturating_add(LONGEST)) } else { end };
        start..most.max(end)
    }
}

/// The arguments, if they and the pointers to them are where the layout says: nobody has moved them, or has a use for the
/// place. Read through the kernel, a wrong address is an error and no fault.
fn arguments_in(layout: &Layout, memory: &File) -> Option<Vec<CString>> {
    let arguments = args_os().map(|argument| CString::new(argument.into_vec()).ok());
    let arguments: Vec<CString> = arguments.collect::<Option<_>>()?;
    let texts: Vec<u8> =
        arguments.iter().flat_map(|argument| argument.as_bytes_with_nul()).copied().collect();
    let pointers = arguments.iter().scan(layout.arguments.start, |next, argument| {
        let this = *next;
        *next += argument.as_bytes_with_nul().len();
        Some(this)
    });
    let words = [arguments.len()].into_iter().chain(pointers).chain([0]);
    let words: Vec<u8> = words.flat_map(usize::to_ne_bytes).collect();
    let holds =
        |start: usize, bytes: &[u8]| read(memory, start, bytes.len()).is_some_and(|there| there == bytes);
    let as_told = layout.arguments.len() == texts.len()
        && holds(layout.arguments.start, &texts)
        && holds(layout.stack, &words);
    as_told.then_some(arguments)
}

fn read(memory: &File, start: usize, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    memory.read_exact_at(&mut bytes, start as u64).ok()?;
    Some(bytes)
}

/// Moves arguments and environment out of the area, and clears it.
fn vacate() -> Option<&'static [AtomicU8]> {
    let layout = Layout::parse(&String::from_utf8_lossy(&fs::read("/proc/self/stat").ok()?))?;
    let memory = File::open("/proc/self/mem").ok()?;
    let arguments = arguments_in(&layout, &memory)?;
    let area = layout.area();
    read(&memory, area.start, area.len())?;

    let argv: *mut *mut c_char = with_exposed_provenance_mut(layout.stack + size_of::<usize>());
    for (index, argument) in arguments.into_iter().enumerate() {
        // SAFETY: argc, as many pointers to the arguments, and a null pointer were found there; so this is argv, which is
        // the program's to change (C11 5.1.2.2.1), and no other thread reads it meanwhile.
        unsafe { argv.add(index).write(argument.into_raw()) };
    }
    // SAFETY: the C library's own variable; no other thread reads or changes the environment meanwhile. It is null or an
    // array that ends with a null pointer, and each entry is a text that ends with a zero.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            if area.contains(&(*entry).addr()) {
                *entry = CStr::from_ptr(*entry).to_owned().into_raw();
            }
            entry = entry.add(1);
        }
    }
    // SAFETY: the kernel has just read these bytes as ours. They are of the initial stack, which is writable and stays as long
    // as the process, and nothing points to them any more.
    let places =
        unsafe { slice::from_raw_parts(with_exposed_provenance::<AtomicU8>(area.start), area.len()) };
    for place in places {
        place.store(0, Ordering::Relaxed);
    }
    places.get(..places.len().min(LONGEST))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::env::{current_exe, var_os, vars_os};
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    fn area(bytes: usize) -> &'static [AtomicU8] {
        Box::leak((0..bytes).map(|_| AtomicU8::new(0)).collect())
    }

    /// What the kernel would show of it.
    fn shown(area: &[AtomicU8]) -> String {
        let bytes = area.iter().map(|byte| byte.load(Ordering::Relaxed)).take_while(|byte| *byte != 0);
        String::from_utf8(bytes.collect()).unwrap()
    }

    #[test]
    fn a_title_says_what_the_process_is_and_whether_it_is_busy() {
        let area = area(64);
        let mark = write(area, "shop", "worker 3 gen 2");
        assert_eq!(shown(area), "shop: worker 3 gen 2");
        mark.set(true);
        assert_eq!(shown(area), "shop: worker 3 gen 2 busy");
        mark.set(false);
        assert_eq!(shown(area), "shop: worker 3 gen 2");
        write(area, "s", "master");
        assert_eq!(shown(area), "s: master");
    }

    #[test]
    fn what_does_not_fit_is_cut_of_the_name_first() {
        for (bytes, idle, busy) in [
            (23, "größe: worker 1", "größe: worker 1 busy"),
            (22, "größ: worker 1", "größ: worker 1 busy"),
            (19, "gr: worker 1", "gr: worker 1 busy"), // no half letter
            (13, ": worker 1", ": worker 1 b"),
            (4, ": w", ": w"),
            (1, "", ""),
            (0, "", ""),
        ] {
            let area = area(bytes);
            let mark = write(area, "größe", "worker 1");
            assert_eq!(shown(area), idle, "of {bytes} bytes");
            mark.set(true);
            assert_eq!(shown(area), busy, "of {bytes} bytes");
            assert!(area.last().is_none_or(|last| last.load(Ordering::Relaxed) == 0));
        }
    }

    #[test]
    fn the_layout_is_read_past_any_name_and_only_an_environment_that_follows_is_used() {
        let stat = |numbers: [usize; 5]| {
            let [stack, rest @ ..] = numbers.map(|number| number.to_string());
            format!("7 (a) b c) S {}{stack} {}{} 0\n", "0 ".repeat(24), "0 ".repeat(19), rest.join(" "))
        };
        let layout = Layout::parse(&stat([90, 100, 140, 140, 900])).unwrap();
        assert_eq!(layout, Layout { stack: 90, arguments: 100..140, environment: 140..900 });
        assert_eq!(layout.area(), 100..100 + LONGEST);
        for (numbers, area) in [
            ([90, 100, 140, 140, 150], 100..150),
            ([90, 100, 140, 200, 900], 100..140),
            ([90, 100, 800, 800, 900], 100..800),
        ] {
            assert_eq!(Layout::parse(&stat(numbers)).unwrap().area(), area);
        }
        assert_eq!(Layout::parse("7 (a) S 0 0"), None);
    }

    /// Runs `inside_a_process_of_its_own` in a process whose arguments nobody else uses.
    fn in_a_process_of_its_own(prepare: impl Fn(&mut Command) -> &mut Command) {
        let mut command = Command::new(current_exe().unwrap());
        let output = prepare(command.env("TITLE_TEST", "1")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }

    #[test]
    fn arguments_and_environment_are_what_they_were() {
        let only = ["--exact", "sys::title::tests::inside_a_process_of_its_own"];
        in_a_process_of_its_own(|command| command.args(only));
        in_a_process_of_its_own(|command| command.args(only).arg("--skip").arg("x".repeat(100_000)));
        in_a_process_of_its_own(|command| command.args(only).env_clear().env("TITLE_TEST", "1"));
        let many = (0..100).map(|i| (format!("MANY_{i}"), "x".repeat(1000 + i)));
        in_a_process_of_its_own(|command| command.args(only).arg0("").env("A", "").envs(many.clone()));
    }

    #[test]
    fn inside_a_process_of_its_own() {
        if var_os("TITLE_TEST").is_none() {
            return; // the tests around it have arguments in common
        }
        let now = || (args_os().collect::<Vec<_>>(), vars_os().collect::<BTreeMap<_, _>>());
        let before = now();
        take_over();
        take_over();
        show("shop", "master").set(true);
        assert_eq!(now(), before);
        let cmdline = fs::read("/proc/self/cmdline").unwrap();
        assert_eq!(String::from_utf8_lossy(&cmdline).trim_end_matches('\0'), "shop: master busy");
    }
}
