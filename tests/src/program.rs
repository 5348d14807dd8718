//! Programs in a server's directory, which a test replaces as a deployment does.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Puts the fault bench there, by rename, whatever was there before.
pub fn install_echo(place: &Path) {
    install(&program("examples/echo"), place, 0o755);
}

/// Puts a shell script there, by rename.
pub fn install_script(place: &Path, lines: &str) {
    install_text(place, &format!("#!/bin/sh\n{lines}\n"), 0o755);
}

/// What should have been a program.
#[derive(Clone, Copy, Debug)]
pub enum Broken {
    /// One that ends with status 7 at once.
    Fails,
    /// A file without a byte.
    Empty,
    /// A text that is no script.
    Text,
    /// Nothing at all.
    Missing,
    /// A good program without the right to be executed.
    NotExecutable,
}

impl Broken {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Fails, Self::Empty, Self::Text, Self::Missing, Self::NotExecutable];

    /// Puts one there.
    pub fn install(self, place: &Path) {
        match self {
            Self::Fails => install_script(place, "exit 7"),
            Self::Empty => install_text(place, "", 0o755),
            Self::Text => install_text(place, "no program, and no script either\n", 0o755),
            Self::Missing => fs::remove_file(place).expect("a file can be removed"),
            Self::NotExecutable => install(&program("examples/echo"), place, 0o644),
        }
    }

    /// What the server says of it.
    pub fn complaint(self) -> &'static str {
        match self {
            Self::Fails => "exit status 7",
            Self::Empty | Self::Text => "Exec format error",
            Self::Missing => "No such file or directory",
            Self::NotExecutable => "Permission denied",
        }
    }
}

fn install_text(place: &Path, text: &str, mode: u32) {
    let draft = place.with_extension("draft");
    fs::write(&draft, text).expect("a file can be written");
    install(&draft, place, mode);
}

/// Copies a file in another process: had this one it open for writing, each child that another test forks meanwhile would
/// have it too, and nobody could execute it (execve(2), ETXTBSY).
fn install(source: &Path, place: &Path, mode: u32) {
    let fresh = place.with_extension("fresh");
    let copied = Command::new("cp").arg(source).arg(&fresh).status();
    assert!(copied.is_ok_and(|status| status.success()), "{} cannot be copied", source.display());
    fs::set_permissions(&fresh, Permissions::from_mode(mode)).expect("a mode can be set");
    fs::rename(&fresh, place).expect("a file can be renamed");
}

/// A program that was built beside the test: `target/debug/deps/story-1234` finds `target/debug/devsim-master`.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    let path = test.parent().and_then(Path::parent).expect("it is two folders deep").join(name);
    let hint = "build it with `cargo build --workspace --bins --examples`, or run `cargo xtask test`";
    assert!(path.exists(), "{} is not there: {hint}", path.display());
    path
}
