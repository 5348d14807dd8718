//! Memory that is shared with all processes forked later.

use std::io;
use std::os::fd::OwnedFd;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap};

const SIZE_IS_FIXED: SealFlags = SealFlags::GROW.union(SealFlags::SHRINK);

/// A type that may lie in memory which other processes write at any time. [`shareable!`] implements it for structs.
///
/// # Safety
/// Any bytes must be a valid value, every part must be an atomic, and the layout must not depend on the process.
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
/// take memory away from another (memfd_create(2), F_SEAL_GROW, F_SEAL_SHRINK); it is given too, for a program that
/// is to [`attach`] the same memory.
///
/// # Errors
/// What memfd_create(2), ftruncate(2), fcntl(2) or mmap(2) say.
pub(crate) fn share<T: Shareable>(name: &str) -> io::Result<(&'static T, OwnedFd)> {
    let file = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&file, size_of::<T>() as u64)?;
    fcntl_add_seals(&file, SIZE_IS_FIXED | SealFlags::SEAL)?;
    Ok((attach(&file)?, file))
}

/// Maps the `T` that another program has shared. Whether it is a `T` is for the caller to know: all that can go wrong here is
/// nonsense in its numbers.
///
/// # Errors
/// `InvalidInput` if the file is smaller than a `T` or may still change its size; else what the kernel says.
pub(crate) fn attach<T: Shareable>(file: &OwnedFd) -> io::Result<&'static T> {
    let size = fstat(file)?.st_size;
    if !fcntl_get_seals(file)?.contains(SIZE_IS_FIXED) || size < size_of::<T>() as i64 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a fresh mapping at an address of the kernel's choice, as long as the file is and stays.
    let memory = unsafe { mmap(null_mut(), size_of::<T>(), access, MapFlags::SHARED, file, 0) }?;
    // SAFETY: the mapping is page-aligned, which exceeds T's alignment, is never unmapped, is as large as a T for ever, and
    // any bytes are a valid T, also under writes from elsewhere (`Shareable`).
    Ok(unsafe { &*memory.cast::<T>() })
}
