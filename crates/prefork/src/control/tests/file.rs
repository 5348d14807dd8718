//! The socket's file.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use nix::unistd::Uid;
use tempfile::tempdir;

use super::super::server::{Access, Control};
use super::stage::Stage;
use crate::socket_file::{Look, SocketFileError};

fn bind(path: &Path) -> Result<Control, SocketFileError> {
    Control::bind(path, access(0o600))
}

fn access(mode: u32) -> Access {
    Access { look: Look { mode: Some(mode), owner: (None, None) }, served: vec![Uid::current()] }
}

#[test]
fn the_file_has_its_mode_and_goes_with_its_maker() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("c.sock");
    for mode in [0o600, 0o660, 0o666] {
        let control = Control::bind(&path, access(mode)).expect("it can be bound");
        let found = fs::symlink_metadata(&path).expect("the file is there").permissions().mode();
        assert_eq!(found & 0o7777, mode, "whatever the umask is");
        assert_eq!(control.path(), path);
        drop(control);
        assert!(!path.exists());
    }
}

#[test]
fn the_file_belongs_to_its_owner() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("c.sock");
    let (uid, gid) = if Uid::current().is_root() {
        (4711, 4712)
    } else {
        (Uid::current().as_raw(), nix::unistd::Gid::current().as_raw())
    };
    let look = Look { mode: Some(0o600), owner: (Some(uid), Some(gid)) };
    let _control = Control::bind(&path, Access { look, ..access(0o600) }).expect("it can be bound");
    let found = fs::symlink_metadata(&path).expect("the file is there");
    assert_eq!((found.uid(), found.gid()), (uid, gid));
}

#[test]
fn a_socket_that_nobody_answers_on_is_replaced() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("c.sock");
    drop(UnixListener::bind(&path).expect("it can be bound")); // std leaves the file
    assert!(path.exists());
    let _control = bind(&path).expect("it can be bound over the stale file");
    assert!(UnixStream::connect(&path).is_ok());
}

#[test]
fn a_server_that_answers_keeps_its_path() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("c.sock");
    let first = bind(&path).expect("it can be bound");
    assert!(matches!(bind(&path), Err(SocketFileError::InUse(found)) if found == path));
    assert!(path.exists(), "the one that failed has not taken it with it");
    drop(first);
    let _other_type = UnixDatagram::bind(&path).expect("it can be bound");
    assert!(matches!(bind(&path), Err(SocketFileError::InUse(_))));
}

#[test]
fn a_path_that_somebody_has_taken_over_stays_theirs() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("c.sock");
    let first = bind(&path).expect("it can be bound");
    fs::remove_file(&path).expect("it can be removed");
    let _second = bind(&path).expect("it can be bound");
    drop(first);
    assert!(UnixStream::connect(&path).is_ok(), "the second one's file is there");
}

#[test]
fn what_is_no_socket_is_not_touched() {
    let directory = tempdir().expect("a directory");
    let (file, link) = (directory.path().join("file"), directory.path().join("link"));
    fs::write(&file, "precious").expect("it can be written");
    symlink(&file, &link).expect("it can be linked");
    for path in [&file, &link] {
        assert!(matches!(bind(path), Err(SocketFileError::NotASocket(_))));
    }
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "precious");
}

#[test]
fn a_path_that_cannot_be_is_an_error_that_says_so() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("missing/c.sock");
    let said = bind(&path).err().expect("no directory").to_string();
    let missing = directory.path().join("missing");
    assert!(said.contains(&format!("no directory {}", missing.display())), "{said}");
    let said = bind(&directory.path().join("x".repeat(200))).err().expect("too long").to_string();
    assert!(said.contains("107") && said.contains("xxx"), "{said}");
    for path in ["", "\0abstract", "a\0b"] {
        assert!(bind(Path::new(path)).is_err(), "{path:?}");
    }
}

#[test]
fn a_socket_that_moves_keeps_its_clients() {
    let mut stage = Stage::new();
    let (old, new) = (stage.path(), stage.path().with_extension("moved"));
    let mut client = stage.client();
    stage.settle();
    stage.control.change(&new, access(0o660)).expect("it can move");
    assert!(!old.exists());
    assert_eq!(stage.control.path(), new);
    assert_eq!(fs::symlink_metadata(&new).expect("it is there").permissions().mode() & 0o7777, 0o660);
    client.ask("status");
    assert_eq!(stage.converse(&mut client).lines.len(), 1);
    assert!(UnixStream::connect(&new).is_ok());
}

#[test]
fn a_socket_that_cannot_move_stays() {
    let mut stage = Stage::new();
    let path = stage.path();
    let taken = path.with_extension("taken");
    let _other = bind(&taken).expect("it can be bound");
    assert!(matches!(stage.control.change(&taken, access(0o600)), Err(SocketFileError::InUse(_))));
    assert_eq!(stage.control.path(), path);
    assert!(UnixStream::connect(&path).is_ok());
}

#[test]
fn a_socket_that_stays_takes_another_mode_and_comes_back_if_its_file_has_gone() {
    let mut stage = Stage::new();
    let path = stage.path();
    let mode = || fs::symlink_metadata(&path).expect("it is there").permissions().mode() & 0o7777;
    stage.control.change(&path, access(0o660)).expect("it can change");
    assert_eq!(mode(), 0o660);
    assert!(UnixStream::connect(&path).is_ok());
    fs::remove_file(&path).expect("it can be removed");
    stage.control.change(&path, access(0o600)).expect("it can be made anew");
    assert_eq!(mode(), 0o600);
    assert!(UnixStream::connect(&path).is_ok());
}
