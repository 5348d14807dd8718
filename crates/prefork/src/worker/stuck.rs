//! The end of a worker whose loop is stuck, and where that is, in words.

use std::path::{Path, PathBuf};
use std::ptr::without_provenance_mut;
use std::time::Duration;

use backtrace::{Symbol, resolve};
use nix::sys::signal::Signal;
use nix::unistd::alarm;

use crate::sys::{signals, stack};

/// More than the two that the master gives.
const SECONDS_LEFT: u32 = 3;
/// How long the loop's thread has to say where it is.
const PATIENCE: Duration = Duration::from_millis(200);
/// How many functions are named: the innermost tell what it does, the outermost are the event loop's.
const NAMED: usize = 32;

/// Has the kernel end this process soon, whatever its threads wait for by then. The master's SIGKILL comes earlier, but the
/// master may be gone.
pub(super) fn end_in_any_case() {
    let _ = signals::restore(Signal::SIGALRM); // which it ends a process by
    alarm::set(SECONDS_LEFT);
}

/// The functions that the loop's thread is in, the innermost first: `sleep (thread.rs:12) <- misbehave (app.rs:34)`. `None` if
/// the thread does not answer.
///
/// It may hold any lock, of the allocator's or the symbols' too. So this is the last thing that is done in a process, and
/// [`end_in_any_case`] is called before.
pub(super) fn backtrace() -> Option<String> {
    let mut functions = Vec::new();
    for address in stack::of_main_thread(PATIENCE)? {
        let known = functions.len();
        // Several, if they were inlined into one another.
        resolve(without_provenance_mut(address), |symbol| functions.push(name(symbol, address)));
        if functions.len() == known {
            functions.push(format!("{address:#x}"));
        }
        if functions.len() >= NAMED {
            break;
        }
    }
    functions.truncate(NAMED);
    Some(functions.join(" <- "))
}

/// The function's name, and its place in the source, if the program was built to tell it.
fn name(symbol: &Symbol, address: usize) -> String {
    let name = symbol.name().map(|name| without_arguments(&format!("{name:#}"))); // without its hash
    let name = name.unwrap_or_else(|| format!("{address:#x}"));
    match (symbol.filename(), symbol.lineno()) {
        (Some(file), Some(line)) => format!("{name} ({}:{line})", with_its_folder(file)),
        _ => name,
    }
}

/// The name of a function without what its generic parameters stand for, which can be hundreds of letters.
fn without_arguments(name: &str) -> String {
    let mut short = String::with_capacity(name.len());
    let mut depth = 0;
    let mut before = ' ';
    for letter in name.chars() {
        match letter {
            // At the beginning of a name, `<Type as Trait>::function`, they say whose function it is.
            '<' if depth > 0 || before.is_alphanumeric() || matches!(before, '_' | ':' | '}') => depth += 1,
            '>' if depth > 0 && before != '-' => depth -= 1,
            letter if depth == 0 => short.push(letter),
            _ => {}
        }
        before = letter;
    }
    short.replace("::::", "::").trim_end_matches("::").to_owned()
}

/// The last two parts of a path.
fn with_its_folder(path: &Path) -> String {
    let parts: Vec<_> = path.iter().collect();
    let last: PathBuf = parts.iter().skip(parts.len().saturating_sub(2)).collect();
    last.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_without_what_they_are_generic_over() {
        for (name, short) in [
            ("echo::misbehave", "echo::misbehave"),
            ("{async_fn#0}<echo::Echo>", "{async_fn#0}"),
            ("poll<Box<(dyn Future<Output=A> + Send), fn(B) -> C>>", "poll"),
            ("core::ptr::drop_in_place::<alloc::vec::Vec<u8>>", "core::ptr::drop_in_place"),
            ("tokio::task::<T, fn() -> S>::poll", "tokio::task::poll"),
            ("<std::time::Instant>::now", "<std::time::Instant>::now"),
            ("<Box<F> as FnOnce<A>>::call_once::<B>", "<Box as FnOnce>::call_once"),
            ("sqlite3VdbeExec", "sqlite3VdbeExec"),
        ] {
            assert_eq!(without_arguments(name), short);
        }
    }

    #[test]
    fn files_are_told_with_their_folder() {
        for (path, short) in
            [("/home/x/app/src/routes/devices.rs", "routes/devices.rs"), ("main.rs", "main.rs")]
        {
            assert_eq!(with_its_folder(Path::new(path)), short);
        }
    }
}
