//! A request that is to have a line, and the line.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version};
use jiff::Timestamp;

use crate::ids::Moment;
use crate::settings::{Atom, Piece};
use crate::sys;

use super::AccessLog;
use super::render::line;

/// A request, as the log will tell of it. Whoever might answer it holds it; the first who does makes the line.
pub(crate) struct Entry {
    log: Arc<AccessLog>,
    pub(super) method: Method,
    pub(super) target: Uri,
    pub(super) version: Version,
    /// None on a Unix socket.
    pub(super) client: Option<IpAddr>,
    /// The request's headers that are told, by the place of their piece.
    headers: Headers,
    begun: Moment,
    told: AtomicBool,
}

/// An answer, of which there is a line when this is dropped: its body was handed over, or nobody wants it.
pub(crate) struct Line {
    entry: Arc<Entry>,
    status: StatusCode,
    /// The answer's headers that are told.
    headers: Headers,
    sent: u64,
}

/// What a line is made of.
pub(super) struct Facts<'a> {
    pub(super) request: &'a Entry,
    pub(super) status: StatusCode,
    pub(super) sent: u64,
    pub(super) took: Duration,
    pub(super) now: Timestamp,
    pub(super) pid: u32,
    answer_headers: &'a Headers,
}

type Headers = Box<[Option<HeaderValue>]>;

impl Entry {
    pub(super) fn new<B>(log: Arc<AccessLog>, request: &Request<B>, client: Option<IpAddr>) -> Self {
        let headers = told(&log, |atom| last(request.headers(), atom.request_header()?));
        Self {
            log,
            method: request.method().clone(),
            target: request.uri().clone(),
            version: request.version(),
            client,
            headers,
            begun: sys::now(),
            told: AtomicBool::new(false),
        }
    }

    /// An answer begins.
    pub(crate) fn answered(self: &Arc<Self>, status: StatusCode, headers: &HeaderMap) -> Line {
        let headers = told(&self.log, |atom| last(headers, atom.answer_header()?));
        Line { entry: Arc::clone(self), status, headers, sent: 0 }
    }
}

impl Line {
    /// So many more bytes of the answer's body were handed over.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let entry = &*self.entry;
        if entry.told.swap(true, Ordering::Relaxed) {
            return;
        }
        let facts = Facts {
            request: entry,
            status: self.status,
            sent: self.sent,
            took: sys::now().since(entry.begun),
            // A clock that is beyond the year 9999 is shown as 1970.
            now: Timestamp::try_from(SystemTime::now()).unwrap_or_default(),
            pid: std::process::id(),
            answer_headers: &self.headers,
        };
        (entry.log.take)(&line(&entry.log.pieces, &facts));
    }
}

impl Facts<'_> {
    /// The value of the header that the piece at this place tells; nothing if there is none.
    pub(super) fn header(&self, place: usize) -> &[u8] {
        let headers = [&self.request.headers, self.answer_headers];
        let value = headers.into_iter().find_map(|headers| headers.get(place)?.as_ref());
        value.map_or(&[], HeaderValue::as_bytes)
    }
}

/// A header's value for each piece that tells one.
fn told(log: &AccessLog, value: impl Fn(&Atom) -> Option<HeaderValue>) -> Headers {
    let value = |piece: &Piece| match piece {
        Piece::Atom(atom) => value(atom),
        Piece::Text(_) => None,
    };
    log.pieces.iter().map(value).collect()
}

/// Of a header that is there more than once, Gunicorn tells the last.
fn last(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> Option<HeaderValue> {
    headers.get_all(name).iter().next_back().cloned()
}
