//! Memory that is shared with all processes forked later.

use std::io;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap};

/// A type that may lie in memory which other processes write at any time. [`shareable!`] implements it for structs.
///
/// # Safety
/// All zero bytes must be a valid value, every part must be an atomic, and the layout must not depend on the process.
pub(crate) unsafe trait Shareable: Sync {}

// SAFETY: atomics of fixed width, for which every bit pattern is valid.
unsafe impl Shareable for AtomicI32 {}
// SAFETY: as above.
unsafe impl Shareable for AtomicU32 {}
// SAFETY: as above.
unsafe impl Shareable for AtomicU64 {}
// SAFETY: nothing but its elements.
unsafe impl<T: Shareable, const N: usize> Shareable for [T; N] {}

/// Declares structs that may be shared: the compiler checks that every field may.
macro_rules! shareable {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident $(<const $n:ident: usize>)? {
            $($(#[$doc:meta])* $field:ident: $type:ty,)*
        }
    )*) => {$(
        $(#[$attribute])*
        $visibility struct $name $(<const $n: usize>)? {
            $($(#[$doc])* $field: $type,)*
        }

        #[allow(unsafe_code, reason = "written in sys/, expanded where the struct is")]
        // SAFETY: every field is Shareable, and the attributes given make it `repr(C)`.
        unsafe impl $(<const $n: usize>)? $crate::sys::mapping::Shareable for $name $(<$n>)?
        where
            $($type: $crate::sys::mapping::Shareable,)*
        {
        }
    )*};
}

pub(crate) use shareable;

/// Maps zeroed memory for a `T`, shared with every process forked from now on, for the rest of this process's life.
/// Pages take no memory before they are written. The file behind it can neither grow nor shrink, so no process can
/// take memory away from another (memfd_create(2), F_SEAL_GROW, F_SEAL_SHRINK).
///
/// # Errors
/// What memfd_create(2), ftruncate(2), fcntl(2) or mmap(2) say.
pub(crate) fn share<T: Shareable>(name: &str) -> io::Result<&'static T> {
    let file = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&file, size_of::<T>() as u64)?;
    fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a fresh mapping at an address of the kernel's choice, as long as the file is and stays.
    let memory = unsafe { mmap(null_mut(), size_of::<T>(), access, MapFlags::SHARED, &file, 0) }?;
    // SAFETY: the mapping is page-aligned, which exceeds T's alignment, is never unmapped, starts as zeroes, and T is
    // valid in that state and under writes from elsewhere (`Shareable`).
    Ok(unsafe { &*memory.cast::<T>() })
}
