//! Receiving a body: a little in memory, the rest in a file that has no name.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use rustix::fs::{Mode, OFlags, open};
use tokio::time::timeout;

use crate::settings::{Settings, limit};

use super::body::Body;

/// Bytes that the files of one worker may hold together.
const ALLOWANCE: u64 = 256 * 1024 * 1024;

/// How much of a worker's allowance is taken.
#[derive(Debug, Default)]
pub(crate) struct Spool(Arc<AtomicU64>);

/// A file's part of it, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    taken: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Why a body was not received.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreceived {
    #[error("the body is larger than the limit")]
    TooLarge,
    #[error("the body ended early")]
    CutShort,
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the server cannot buffer the body now")]
    NoRoom,
}

impl Unreceived {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::CutShort => StatusCode::BAD_REQUEST,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Spool {
    /// Whether files can be made in a directory.
    ///
    /// # Errors
    /// What open(2) says.
    pub(crate) fn try_directory(directory: &Path) -> io::Result<()> {
        nameless(directory).map(drop)
    }

    fn share(&self) -> Share {
        Share { taken: Arc::clone(&self.0), bytes: 0 }
    }

    /// Receives a body of at most `most` bytes.
    pub(crate) async fn receive(
        &self,
        mut body: Incoming,
        most: u64,
        settings: &Settings,
    ) -> Result<Body, Unreceived> {
        let mut parts = VecDeque::new();
        let mut file: Option<(File, Share)> = None;
        let mut trailers: Option<HeaderMap> = None;
        let (mut length, mut in_memory) = (0u64, 0usize);
        let patience = limit(settings.timeouts.body_timeout);
        loop {
            let frame = match patience {
                Some(patience) => timeout(patience, body.frame()).await.map_err(|_| Unreceived::TooSlow)?,
                None => body.frame().await,
            };
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|_| Unreceived::CutShort)?;
            let data: Bytes = match frame.into_data() {
                Ok(data) => data,
                Err(other) => {
                    trailers = other.into_trailers().ok();
                    continue;
                }
            };
            length += data.len() as u64;
            if length > most {
                return Err(Unreceived::TooLarge);
            }
            if file.is_none() && in_memory + data.len() <= settings.bodies.request_buffer {
                in_memory += data.len();
                parts.push_back(data);
                continue;
            }
            let (file, share) = match &mut file {
                Some(open) => open,
                None => {
                    let opened = nameless(&settings.bodies.request_buffer_dir).map_err(no_room)?;
                    file.insert((opened, self.share()))
                }
            };
            share.grow(data.len() as u64)?;
            file.write_all(&data).map_err(no_room)?;
        }
        if let Some((file, _)) = &mut file {
            file.seek(SeekFrom::Start(0)).map_err(no_room)?;
        }
        Ok(Body::received(parts, file, length, trailers))
    }
}

impl Share {
    fn grow(&mut self, bytes: u64) -> Result<(), Unreceived> {
        if self.taken.fetch_add(bytes, Ordering::Relaxed) + bytes > ALLOWANCE {
            self.taken.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Unreceived::NoRoom);
        }
        self.bytes += bytes;
        Ok(())
    }
}

fn no_room(error: io::Error) -> Unreceived {
    tracing::warn!(%error, "a request body cannot be buffered; see server.request_buffer_dir");
    Unreceived::NoRoom
}

/// A file without a name in `directory` (open(2), O_TMPFILE); where the file system has no such files, one whose name
/// is removed at once.
fn nameless(directory: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match open(directory, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(File::from(file)),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL) => {
            static NEXT: AtomicU64 = AtomicU64::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = directory.join(format!(".prefork-body-{}-{number}", std::process::id()));
            let file = File::options().read(true).write(true).create_new(true).open(&path)?;
            std::fs::remove_file(&path)?;
            Ok(file)
        }
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allowance_is_given_back() {
        let spool = Spool::default();
        let mut first = spool.share();
        first.grow(ALLOWANCE - 1).expect("room for it");
        let mut second = spool.share();
        assert!(matches!(second.grow(2), Err(Unreceived::NoRoom)));
        second.grow(1).expect("room for one more");
        drop(first);
        second.grow(ALLOWANCE - 1).expect("room again");
    }

    #[test]
    fn nothing_is_left_in_the_directory() {
        let directory = std::env::temp_dir().join(format!("prefork-spool-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let mut file = nameless(&directory).expect("a file");
        file.write_all(b"x").expect("writable");
        assert_eq!(std::fs::read_dir(&directory).expect("readable").count(), 0);
        std::fs::remove_dir(&directory).expect("removable");
    }
}
