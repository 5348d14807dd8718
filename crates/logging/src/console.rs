//! The layer that writes events to the console.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use settings::Choice;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::record::{Content, Record};
use crate::settings::{Format, Level, Settings, Stream};
use crate::sink::Sink;
use crate::stamp::Stamp;
use crate::{Error, Handle, format};

/// Writes each event as a line to standard output or standard error.
///
/// It decides for itself alone: other layers beside it get events that are below its level.
#[derive(Debug)]
pub struct Console(Arc<State>);

impl Console {
    /// A console, and the handle to change its settings.
    ///
    /// The logger's name in a line is the event's target. That is by default the path of a module, which means
    /// nothing to an operator; so where a `name` is given, a target shows only if it is the name or begins with
    /// it and a dot, as in `info!(target: "devsim.requests", ...)`, and other events show the name.
    ///
    /// # Errors
    /// The stream is not open.
    pub fn new(name: Option<&'static str>, settings: &Settings) -> Result<(Self, Handle), Error> {
        let state = State {
            name,
            level: Switchable::new(settings.level),
            format: Switchable::new(settings.format),
            stream: Switchable::new(Stream::None),
            stdout: OnceLock::new(),
            stderr: OnceLock::new(),
        };
        state.apply(settings)?;
        let state = Arc::new(state);
        Ok((Self(Arc::clone(&state)), Handle(state)))
    }
}

/// What a console and its handles share. Reading it takes no lock.
#[derive(Debug)]
pub(crate) struct State {
    name: Option<&'static str>,
    level: Switchable<Level>,
    format: Switchable<Format>,
    stream: Switchable<Stream>,
    /// Opened when first chosen, and kept.
    stdout: OnceLock<Sink>,
    stderr: OnceLock<Sink>,
}

impl State {
    pub(crate) fn apply(&self, settings: &Settings) -> Result<(), Error> {
        let opened = match settings.console {
            Stream::Stdout => open(&self.stdout, || Sink::open(io::stdout().as_fd())),
            Stream::Stderr => open(&self.stderr, || Sink::open(io::stderr().as_fd())),
            Stream::None => Ok(()),
        };
        opened.map_err(|source| Error::Stream { stream: settings.console, source })?;
        self.level.set(settings.level);
        self.format.set(settings.format);
        self.stream.set(settings.console);
        Ok(())
    }

    fn sink(&self) -> Option<&Sink> {
        match self.stream.get() {
            Stream::Stdout => self.stdout.get(),
            Stream::Stderr => self.stderr.get(),
            Stream::None => None,
        }
    }

    fn logger_name<'a>(&self, target: &'a str) -> &'a str {
        let Some(name) = self.name else { return target };
        let rest = target.strip_prefix(name);
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) { target } else { name }
    }
}

fn open(place: &OnceLock<Sink>, sink: impl FnOnce() -> io::Result<Sink>) -> io::Result<()> {
    if place.get().is_none() {
        // If another thread was faster, its sink is as good.
        let _ = place.set(sink()?);
    }
    Ok(())
}

impl<S: Subscriber> Layer<S> for Console {
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.level.get().filter())
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        // Not in `enabled`, which would decide for all layers.
        if *event.metadata().level() > self.0.level.get().filter() {
            return;
        }
        let Some(sink) = self.0.sink() else { return };
        let metadata = event.metadata();
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
        let format = self.0.format.get();
        sink.write(&format::line(&record, format), |lost| {
            let message = format!("{lost} log lines were dropped: the console did not take them");
            let content = Content { message, fields: Vec::new() };
            let place = Some((file!(), line!()));
            let level = tracing::Level::WARN;
            format::line(
                &Record { level, name: self.0.logger_name(module_path!()), place, content, ..record },
                format,
            )
        });
    }
}

/// One of a few values, changed and read without a lock.
struct Switchable<T> {
    index: AtomicUsize,
    kind: PhantomData<T>,
}

impl<T: Choice> Switchable<T> {
    fn new(value: T) -> Self {
        Self { index: AtomicUsize::new(value.index()), kind: PhantomData }
    }

    fn set(&self, value: T) {
        self.index.store(value.index(), Ordering::Relaxed);
    }

    fn get(&self) -> T {
        T::ALL[self.index.load(Ordering::Relaxed)]
    }
}

impl<T: Choice> fmt::Debug for Switchable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
