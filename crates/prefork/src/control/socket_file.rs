//! The file of a control socket: made where nobody listens, gone when its maker goes.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};
use std::{fs, process};

use nix::unistd::{Gid, Uid};
use socket2::{Domain, SockAddr, Socket, Type};

/// How many bytes a path may have: sun_path has 108, the last of them is NUL (unix(7)).
const LONGEST_PATH: usize = 107;
/// How many clients may wait to be accepted.
const BACKLOG: i32 = 64;

/// Why a control socket could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Its directory does not exist.
    #[error(
        "server.control_socket: {}: there is no directory {}; make it, or give another path",
        path.display(), directory.display()
    )]
    NoDirectory {
        /// The socket's path.
        path: PathBuf,
        /// The directory.
        directory: PathBuf,
    },
    /// The path does not fit into a socket's address.
    #[error(
        "server.control_socket: {}: the path has {length} bytes, and a socket's can have {LONGEST_PATH}; give a shorter \
         one, as one relative to the working directory",
        path.display()
    )]
    TooLong {
        /// The path.
        path: PathBuf,
        /// How long it is.
        length: usize,
    },
    /// Something that is no socket has the name.
    #[error(
        "server.control_socket: {}: a file that is no socket has this name; remove it, or give another path",
        .0.display()
    )]
    NotASocket(PathBuf),
    /// Somebody listens there.
    #[error("server.control_socket: {}: another server answers there; stop it, or give another path", .0.display())]
    InUse(PathBuf),
    /// Anything else.
    #[error("server.control_socket: {}: {step}: {error}", path.display())]
    Other {
        /// The socket's path.
        path: PathBuf,
        /// What could not be done.
        step: &'static str,
        /// What the kernel says.
        error: io::Error,
    },
}

/// A socket's file. Dropping it removes it, if it is still this one and this process has made it.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Identity,
    /// A child of a fork has a copy of this, and must not remove the file with it.
    maker: u32,
}

/// Which file a name stands for: its device and its inode.
type Identity = (u64, u64);

impl SocketFile {
    /// Its absolute path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Whoever took the path over, as a second server after this one seemed dead, keeps it.
        if process::id() == self.maker && identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes a socket file with this mode and owner, and listens. What lies there is replaced if it is a socket that nobody
/// answers on.
pub(super) fn bind(
    path: &Path,
    mode: u32,
    owner: Option<(Uid, Gid)>,
) -> Result<(OwnedFd, SocketFile), BindError> {
    let absolute = match std::path::absolute(path) {
        Ok(absolute) => absolute,
        Err(error) => return Err(BindError::Other { path: path.into(), step: "it is no path", error }),
    };
    let at = |step| failed_to(&absolute, step);
    let length = path.as_os_str().len();
    if length > LONGEST_PATH {
        return Err(BindError::TooLong { path: absolute, length });
    }
    if let Some(directory) = absolute.parent().filter(|directory| !directory.is_dir()) {
        return Err(BindError::NoDirectory { directory: directory.into(), path: absolute });
    }
    remove_stale(path, &absolute)?;
    let address = SockAddr::unix(path).map_err(at("it is no socket's address"))?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(at("no socket can be made"))?;
    socket.set_nonblocking(true).map_err(at("it cannot be made non-blocking"))?;
    socket.bind(&address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(absolute.clone()),
        _ => at("it cannot be made")(error),
    })?;
    let identity = identity(path).map_err(at("it was made, and is not there"))?;
    let file = SocketFile { path: absolute.clone(), identity, maker: process::id() };
    // Until listen(2) every connect(2) is refused, whatever the umask has made of the mode: nobody slips in before this.
    if let Some((uid, gid)) = owner {
        lchown(path, Some(uid.as_raw()), Some(gid.as_raw()))
            .map_err(at("it cannot be given to its owner"))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(at("its mode cannot be set"))?;
    socket.listen(BACKLOG).map_err(at("it cannot be listened on"))?;
    Ok((socket.into(), file))
}

/// The error of a step that the kernel refuses.
fn failed_to(path: &Path, step: &'static str) -> impl FnOnce(io::Error) -> BindError {
    move |error| BindError::Other { path: path.into(), step, error }
}

/// Removes what a server that was killed has left behind.
fn remove_stale(path: &Path, absolute: &Path) -> Result<(), BindError> {
    let at = |step| failed_to(absolute, step);
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::NotASocket(absolute.into())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at("it cannot be looked at")(error)),
    }
    match connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(at("nobody answers there, and it cannot be removed"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()), // its server has just removed it
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(at("whether somebody answers there cannot be found out")(error))
        }
        // Also one whose queue is full (EAGAIN), and a socket of another type (EPROTOTYPE), is somebody's.
        Ok(()) | Err(_) => Err(BindError::InUse(absolute.into())),
    }
}

/// Connects without waiting, and lets go again.
fn connect(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_of_a_fork_leaves_the_file_to_its_maker() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("c.sock");
        let (_listener, file) = bind(&path, 0o600, None).expect("it can be bound");
        let maker = file.maker + 1; // what the file is to any other process
        drop(SocketFile { maker, path: path.clone(), identity: file.identity });
        assert!(path.exists());
        drop(file);
        assert!(!path.exists());
    }
}
