//! The layer that makes lines of events.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::file::{Failure, Owner};
use crate::record::{Content, Record};
use crate::routes::{Routes, Streams};
use crate::settings::Settings;
use crate::stamp::Stamp;
use crate::{Error, handle::Handle};

/// Writes each event as a line, to the console and to files.
///
/// It decides for itself alone: other layers beside it get events that are below its level.
#[derive(Debug)]
pub struct Log(Arc<State>);

impl Log {
    /// A log, and the handle to change its settings. Its console is open; its files are from the first [`Handle::apply`]
    /// on, which tells in the log itself of those that cannot be opened.
    ///
    /// The logger's name in a line is the event's target. That is by default the path of a module, which means
    /// nothing to an operator; so where a `name` is given, a target shows only if it is the name or begins with
    /// it and a dot, as in `info!(target: "devsim.requests", ...)`, and other events show the name. Files are called by the
    /// name, too; without one, as the program is.
    ///
    /// # Errors
    /// The console's stream is not open.
    pub fn new(name: Option<&'static str>, settings: &Settings) -> Result<(Self, Handle), Error> {
        let streams = Streams::default();
        let routes = ArcSwap::from_pointee(Routes::to_console(settings, &streams)?);
        let state = Arc::new(State { name, streams, routes, owner: ArcSwap::default() });
        Ok((Self(Arc::clone(&state)), Handle(state)))
    }
}

/// What the layer and its handles share. Who writes a line takes no lock.
#[derive(Debug)]
pub(crate) struct State {
    name: Option<&'static str>,
    streams: Streams,
    routes: ArcSwap<Routes>,
    owner: ArcSwap<Owner>,
}

impl State {
    pub(crate) fn routes(&self) -> Guard<Arc<Routes>> {
        self.routes.load()
    }

    pub(crate) fn apply(&self, settings: &Settings) -> Result<Vec<Failure>, Error> {
        let before = self.routes.load();
        let base = self.file_name();
        let (routes, failures) = Routes::new(&base, settings, &self.streams, &before, **self.owner.load())?;
        self.routes.store(Arc::new(routes));
        Ok(failures)
    }

    pub(crate) fn reopen(&self) -> Vec<Failure> {
        let owner = **self.owner.load();
        let routes = self.routes.load();
        let _ = routes.make_directory(); // if it cannot be made, the files tell
        routes.files().filter_map(|file| file.reopen(owner)).collect()
    }

    pub(crate) fn owned_by(&self, owner: Owner) -> Vec<Failure> {
        self.owner.store(Arc::new(owner));
        self.routes.load().files().filter_map(|file| file.give_to(owner)).collect()
    }

    pub(crate) fn write_access(&self, line: &str) {
        let routes = self.routes();
        let Some(target) = routes.access() else { return };
        let lost = target.sink().write_alone(&format!("{line}\n"));
        if lost > 0 {
            tracing::warn!("access log: {lost} lines were dropped: {target} did not take them");
        }
    }

    /// What files are called by.
    fn file_name(&self) -> String {
        let program = std::env::args_os().next().unwrap_or_default();
        let program = Path::new(&program).file_stem().and_then(OsStr::to_str);
        self.name.or(program).unwrap_or("server").to_owned()
    }

    fn logger_name<'a>(&self, target: &'a str) -> &'a str {
        let Some(name) = self.name else { return target };
        let rest = target.strip_prefix(name);
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) { target } else { name }
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.routes().level())
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let routes = self.0.routes();
        let metadata = event.metadata();
        // Not in `enabled`, which would decide for all layers.
        let mut takers = routes.of(metadata).peekable();
        if takers.peek().is_none() {
            return;
        }
        let mut content = Content::default();
        event.record(&mut content);
        let record = Record {
            time: Stamp::now(),
            // Asked each time: the process may have been forked since.
            pid: std::process::id(),
            level: *metadata.level(),
            name: self.0.logger_name(metadata.target()),
            place: metadata.file().zip(metadata.line()),
            content,
        };
        let own_name = self.0.logger_name(module_path!());
        takers.for_each(|route| route.write(&record, own_name));
    }
}
