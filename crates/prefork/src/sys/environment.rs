//! The process's environment, changed while nobody else can read it.

/// Removes a variable.
///
/// Only to be called in a fresh child, before it makes a thread.
pub(crate) fn unset(name: &str) {
    // SAFETY: a fresh child has one thread, so nobody reads the environment meanwhile.
    unsafe { std::env::remove_var(name) }
}

/// Sets a variable.
///
/// Only to be called in a fresh child, before it makes a thread.
pub(crate) fn set(name: &str, value: &str) {
    // SAFETY: as in `unset`.
    unsafe { std::env::set_var(name, value) }
}
