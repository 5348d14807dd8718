//! Where the main thread is, asked by another thread, whatever it is busy with.
//!
//! It is sent a signal, and its handler notes the addresses that what it interrupts will return to. The signal is SIGURG: it
//! means urgent data on a socket to those who asked for that (fcntl(2), F_SETOWN), and nobody is harmed by one too many, as
//! it is ignored by default (signal(7)). Neither std nor tokio use it, and a debugger lets it pass.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc::{self, siginfo_t};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// How many addresses are noted.
const MOST: usize = 64;

/// Nobody asks.
const IDLE: u32 = 0;
/// The addresses are asked for.
const ASKED: u32 = 1;
/// They are noted.
const TOLD: u32 = 2;

static STATE: AtomicU32 = AtomicU32::new(IDLE);
static ADDRESSES: [AtomicUsize; MOST] = [const { AtomicUsize::new(0) }; MOST];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Installs the handler.
///
/// # Errors
/// What sigaction(2) says.
pub(crate) fn prepare() -> Result<(), Errno> {
    // What it interrupts goes on as if nothing had been; calls that cannot say EINTR.
    let action = SigAction::new(SigHandler::SigAction(note_addresses), SaFlags::SA_RESTART, SigSet::all());
    // SAFETY: the handler does nothing that a handler must not (signal-safety(7)): see there.
    unsafe { sigaction(Signal::SIGURG, &action) }.map(drop)
}

/// The addresses on the main thread's stack, the innermost first. `None` if it does not answer within `patience`, as it
/// blocks signals, or sleeps in the kernel where they do not wake it.
///
/// To be asked once in a process's life, and not by the main thread.
pub(crate) fn of_main_thread(patience: Duration) -> Option<Vec<usize>> {
    STATE.store(ASKED, Ordering::Release);
    let process = nix::unistd::getpid().as_raw();
    // SAFETY: tgkill(2) takes numbers. The main thread has the process's (gettid(2)).
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, process, process, libc::SIGURG) };
    let until = super::now() + patience;
    while STATE.load(Ordering::Acquire) != TOLD {
        if sent != 0 || super::now() >= until {
            return None;
        }
        sleep(Duration::from_millis(1));
    }
    Some(ADDRESSES.iter().take(COUNT.load(Ordering::Relaxed)).map(|it| it.load(Ordering::Relaxed)).collect())
}

/// The handler. It takes no lock and no memory: the unwinder reads tables that are mapped, and finds them without a lock
/// since glibc 2.35 (_dl_find_object(3)); before, under one that only a thread which loads a library holds.
extern "C" fn note_addresses(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    if STATE.load(Ordering::Acquire) != ASKED {
        return; // not ours
    }
    let errno = Errno::last_raw();
    let mut count = 0;
    // SAFETY: this needs no other trace to be under way in this crate, and we ask once.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            // The kernel has laid the context on the stack, which grows down: what is below is the handler's own.
            if frame.sp().addr() > context.addr()
                && let Some(place) = ADDRESSES.get(count)
            {
                place.store(frame.ip().addr(), Ordering::Relaxed);
                count += 1;
            }
            count < MOST
        });
    }
    COUNT.store(count, Ordering::Relaxed);
    STATE.store(TOLD, Ordering::Release);
    Errno::set_raw(errno);
}
