//! Sockets in the file system: made where nobody listens, removed by their owner alone.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};

/// How many bytes a path may have: sun_path has 108, the last of them is NUL (unix(7)).
const LONGEST_PATH: usize = 107;
/// How long another server that starts in the same directory is waited for.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often it is looked for meanwhile.
const LOOKS: u32 = 20;

/// Why a socket could not be made at a path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketFileError {
    /// Its directory does not exist.
    #[error("{}: there is no directory {}; make it, or give another path", path.display(), directory.display())]
    NoDirectory {
        /// The socket's path.
        path: PathBuf,
        /// The directory.
        directory: PathBuf,
    },
    /// The path does not fit into a socket's address.
    #[error(
        "{}: the path has {length} bytes, and a socket's can have {LONGEST_PATH}; give a shorter one, as one relative to \
         the working directory",
        path.display()
    )]
    TooLong {
        /// The path.
        path: PathBuf,
        /// How long it is.
        length: usize,
    },
    /// Something that is no socket has the name.
    #[error("{}: a file that is no socket has this name; remove it, or give another path", .0.display())]
    NotASocket(PathBuf),
    /// Somebody listens there.
    #[error("{}: another server answers there; stop it, or give another path", .0.display())]
    InUse(PathBuf),
    /// Anything else.
    #[error("{}: {step}: {error}", path.display())]
    Other {
        /// The socket's path.
        path: PathBuf,
        /// What could not be done.
        step: &'static str,
        /// What the kernel says.
        error: io::Error,
    },
}

/// The file of a socket that was made here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode: another file may have the name one day.
    identity: (u64, u64),
}

impl SocketFile {
    /// Its absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a path leads to it.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        identity(path).is_ok_and(|found| found == self.identity)
    }

    /// Gives it another look.
    ///
    /// # Errors
    /// The kernel does not let us.
    pub(crate) fn dress(&self, look: Look) -> Result<(), SocketFileError> {
        dress(&self.path, look, |step| failed_to(&self.path, step))
    }

    /// Removes the file, unless another one has its name by now: whoever took the path over, as a second server after this one
    /// seemed dead, keeps it. To be called while the socket is open, as its inode is no other file's until then.
    pub(crate) fn remove(&self) {
        if self.is_at(&self.path)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!("{} cannot be removed: {error}", self.path.display());
        }
    }
}

/// How a socket's file is made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    /// Its mode; what the umask leaves of 0777 unless given. Who connects needs the right to write (unix(7)).
    pub(crate) mode: Option<u32>,
    /// The user and the group that get it, where it is not left to the process's own.
    pub(crate) owner: (Option<u32>, Option<u32>),
}

/// Makes a socket at a path, and listens. What lies there is replaced if it is a socket that nobody answers on.
///
/// # Errors
/// The path cannot be used; nothing was changed there.
pub(crate) fn listen_at(
    path: &Path,
    look: Look,
    backlog: i32,
) -> Result<(Socket, SocketFile), SocketFileError> {
    let absolute = match std::path::absolute(path) {
        Ok(absolute) => absolute,
        Err(error) => return Err(SocketFileError::Other { path: path.into(), step: "it is no path", error }),
    };
    let at = |step| failed_to(&absolute, step);
    let length = path.as_os_str().len();
    if length > LONGEST_PATH {
        return Err(SocketFileError::TooLong { path: absolute, length });
    }
    let directory = absolute.parent().unwrap_or(Path::new("/"));
    if !directory.is_dir() {
        return Err(SocketFileError::NoDirectory { directory: directory.into(), path: absolute });
    }
    let _alone = lock(directory);
    remove_stale(path, &absolute)?;
    let address = SockAddr::unix(path).map_err(at("it is no socket's address"))?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(at("no socket can be made"))?;
    socket.set_nonblocking(true).map_err(at("it cannot be made non-blocking"))?;
    socket.bind(&address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => SocketFileError::InUse(absolute.clone()),
        _ => at("it cannot be made")(error),
    })?;
    let identity = identity(path).map_err(at("it was made, and is not there"))?;
    let file = SocketFile { path: absolute.clone(), identity };
    // Until listen(2) every connect(2) is refused, whatever the umask has made of the mode: nobody slips in before this.
    match dress(path, look, at).and_then(|()| socket.listen(backlog).map_err(at("it cannot be listened on")))
    {
        Ok(()) => Ok((socket, file)),
        Err(error) => {
            file.remove();
            Err(error)
        }
    }
}

fn dress<E: FnOnce(io::Error) -> SocketFileError>(
    path: &Path,
    look: Look,
    at: impl Fn(&'static str) -> E,
) -> Result<(), SocketFileError> {
    if let (uid, gid) = look.owner
        && (uid, gid) != (None, None)
    {
        lchown(path, uid, gid).map_err(at("it cannot be given to its owner"))?;
    }
    match look.mode {
        // Whoever may write to the directory may put a link to a file of ours in its place.
        Some(mode) => {
            let dressed = match fchmodat(
                AT_FDCWD,
                path,
                Mode::from_bits_truncate(mode),
                FchmodatFlags::NoFollowSymlink,
            ) {
                // Before Linux 6.6 the C library needs /proc for it. Without, a look before has to do.
                Err(Errno::EOPNOTSUPP)
                    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) =>
                {
                    fs::set_permissions(path, fs::Permissions::from_mode(mode))
                }
                done => done.map_err(io::Error::from),
            };
            dressed.map_err(at("its mode cannot be set"))
        }
        None => Ok(()),
    }
}

/// The error of a step that the kernel refuses.
fn failed_to(path: &Path, step: &'static str) -> impl FnOnce(io::Error) -> SocketFileError {
    move |error| SocketFileError::Other { path: path.into(), step, error }
}

/// Two servers that start at once must not take each other's fresh socket for a stale one: the look, the removal and the bind
/// belong together. The lock is on the directory itself, so it leaves nothing behind; whoever holds it for something else, or
/// keeps us from opening it, is not waited for.
fn lock(directory: &Path) -> Option<File> {
    let directory = File::open(directory).ok()?;
    for _ in 0..LOOKS {
        if flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok() {
            break;
        }
        std::thread::sleep(PATIENCE / LOOKS);
    }
    Some(directory)
}

/// Removes what a server that was killed has left behind.
fn remove_stale(path: &Path, absolute: &Path) -> Result<(), SocketFileError> {
    let at = |step| failed_to(absolute, step);
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(SocketFileError::NotASocket(absolute.into()));
        }
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
        Ok(()) | Err(_) => Err(SocketFileError::InUse(absolute.into())),
    }
}

/// Connects without waiting, and lets go again.
fn connect(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}
