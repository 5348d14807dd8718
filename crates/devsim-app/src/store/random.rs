//! Randomness of the operating system.

use rustix::rand::{GetRandomFlags, getrandom};

use crate::domain::device::Reference;

/// A reference that nobody can foresee.
pub(super) fn random_reference() -> Result<Reference, sqlx::Error> {
    loop {
        // getrandom(2): up to 256 bytes come whole, and no signal interrupts it.
        let mut bytes = [0; 2 * Reference::LENGTH];
        getrandom(&mut bytes, GetRandomFlags::empty()).map_err(|errno| sqlx::Error::Io(errno.into()))?;
        if let Some(reference) = Reference::from_random(bytes) {
            return Ok(reference);
        }
    }
}
