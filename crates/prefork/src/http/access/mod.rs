//! The access log: a line for every request that was answered, in Gunicorn's atoms. Who keeps the file is not known here.

mod entry;
mod escape;
mod render;

use std::net::SocketAddr;
use std::sync::Arc;

use http::Request;

use crate::settings::{Access, Atom, PathPattern, Piece};

pub(crate) use entry::{Entry, Line};

/// Takes the lines of the access log, each without its line end. Any thread of a worker may call it.
pub(crate) type TakeLine = Arc<dyn Fn(&str) + Send + Sync>;

/// A worker's access log.
pub(crate) struct AccessLog {
    pieces: Vec<Piece>,
    exclude: Vec<PathPattern>,
    take: TakeLine,
}

impl AccessLog {
    /// The log as the settings want it. Variables are looked up now, as reading the environment takes a lock.
    pub(crate) fn new(settings: &Access, take: TakeLine) -> Arc<Self> {
        let pieces = settings.access_log_format.pieces().iter().map(|piece| match piece {
            Piece::Atom(Atom::Variable(name)) => Piece::Text(render::variable(name)),
            other => other.clone(),
        });
        Arc::new(Self { pieces: pieces.collect(), exclude: settings.access_log_exclude.clone(), take })
    }

    /// Notes a request, if it is to have a line.
    pub(crate) fn enter<B>(
        self: &Arc<Self>,
        request: &Request<B>,
        client: Option<SocketAddr>,
    ) -> Option<Arc<Entry>> {
        let path = request.uri().path();
        if self.exclude.iter().any(|pattern| pattern.matches(path)) {
            return None;
        }
        Some(Arc::new(Entry::new(Arc::clone(self), request, client.map(|client| client.ip()))))
    }
}
