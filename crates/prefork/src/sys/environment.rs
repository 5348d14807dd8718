//! The process's environment, changed while nobody else can read it.

/// Removes a variable.
///
/// Only to be called while the process has one thread: in a fresh child, or in a master, which never has more.
pub(crate) fn unset(name: &str) {
    // SAFETY: there is one thread, so nobody reads the environment meanwhile.
    unsafe { std::env::remove_var(name) }
}

/// Sets a variable.
///
/// Only to be called while the process has one thread: in a fresh child, or in a master, which never has more.
pub(crate) fn set(name: &str, value: &str) {
    // SAFETY: as in `unset`.
    unsafe { std::env::set_var(name, value) }
}
