//! Sockets in the file system.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::settings::Identity;

/// How long another server that starts in the same directory is waited for, in steps of a hundredth.
const PATIENCE: Duration = Duration::from_secs(1);

/// The file of a socket that this server made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self { path: std::path::absolute(path)?, device: found.dev(), inode: found.ino() })
    }

    /// Removes the file, unless another one has its name by now.
    pub(crate) fn remove(&self) {
        if Self::at(&self.path).is_ok_and(|there| there == *self)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!("{} cannot be removed: {error}", self.path.display());
        }
    }
}

/// Binds a path, and listens. A file that is there is replaced only if it is a socket on which nobody answers. Its mode is what
/// the umask leaves of 0777 (unix(7)), and it belongs to the workers' user.
///
/// # Errors
/// `AddrInUse` when somebody answers there.
pub(crate) fn bind(path: &Path, backlog: u32, identity: &Identity) -> io::Result<(Socket, SocketFile)> {
    let address = SockAddr::unix(path)?;
    let _alone = lock_directory(path)?;
    remove_stale(path, &address)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address)?;
    let file = SocketFile::at(path)?;
    let (uid, gid) = identity.owner();
    chown(path, uid, gid)?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok((socket, file))
}

/// Two servers that start at once must not take each other's fresh socket for a stale one: the look, the removal and the bind
/// belong together. The lock is on the directory itself, so it leaves nothing behind; whoever holds it for something else
/// is not waited for.
fn lock_directory(path: &Path) -> io::Result<Option<File>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
    let directory = File::open(folder).map_err(named)?;
    let step = PATIENCE / 100;
    for _ in 0..100 {
        if flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(Some(directory));
        }
        std::thread::sleep(step);
    }
    Ok(None)
}

fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        let what = "a file that is no socket is there; remove it, or give another path";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    }
    let trial = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    trial.set_nonblocking(true)?; // a full queue, too, says that somebody listens
    match trial.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()), // it has just been removed
        Ok(()) | Err(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}
