//! Where the process was started.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The directory in which this process was started, by the name under which it was: `$PWD` keeps a symbolic link
/// such as `current` that a deployment points to something else later.
pub fn start_directory() -> &'static Path {
    static START: OnceLock<PathBuf> = OnceLock::new();
    START.get_or_init(|| {
        let real = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let named = std::env::var_os("PWD").map(PathBuf::from).filter(|named| {
            named.is_absolute() && same_directory(named, &real) // pwd(1): another process may have set it
        });
        named.unwrap_or(real)
    })
}

fn same_directory(one: &Path, other: &Path) -> bool {
    match (std::fs::metadata(one), std::fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}
