//! Which lines go where.

use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tracing::Metadata;
use tracing::level_filters::LevelFilter;

use crate::Error;
use crate::file::{Failure, LogFile, Owner};
use crate::format;
use crate::record::{Content, Record};
use crate::settings::{Destination, Format, Settings, Stream};
use crate::sink::Sink;

/// What a reload exchanges as a whole.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    console: Option<Route>,
    files: Vec<Route>,
    access: Option<Target>,
    /// Where files are that are named without a directory.
    directory: Option<PathBuf>,
}

/// Where events go that are grave enough.
#[derive(Debug)]
pub(crate) struct Route {
    target: Target,
    level: LevelFilter,
    format: Format,
    whose: Whose,
}

/// A place for lines.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Stream(Arc<Sink>),
    File(Arc<LogFile>),
}

/// Whose events a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    All,
    /// The server's own: its library is called `prefork`, whatever it carries.
    Server,
}

/// The standard streams, each opened when it is first used, and kept.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    stdout: OnceLock<Arc<Sink>>,
    stderr: OnceLock<Arc<Sink>>,
}

impl Streams {
    fn get(&self, stream: Stream) -> io::Result<Option<Arc<Sink>>> {
        match stream {
            Stream::Stdout => opened(&self.stdout, || Sink::open(io::stdout().as_fd())).map(Some),
            Stream::Stderr => opened(&self.stderr, || Sink::open(io::stderr().as_fd())).map(Some),
            Stream::None => Ok(None),
        }
    }
}

fn opened(place: &OnceLock<Arc<Sink>>, open: impl FnOnce() -> io::Result<Sink>) -> io::Result<Arc<Sink>> {
    match place.get() {
        Some(sink) => Ok(Arc::clone(sink)),
        None => {
            let sink = Arc::new(open()?);
            // If another thread was faster, its sink is as good.
            Ok(Arc::clone(place.get_or_init(|| sink)))
        }
    }
}

impl Routes {
    /// The console alone.
    ///
    /// # Errors
    /// Its stream is not open.
    pub(crate) fn to_console(settings: &Settings, streams: &Streams) -> Result<Self, Error> {
        Ok(Self { console: console(settings, settings.console, streams)?, ..Self::default() })
    }

    /// The console and the files, which are named by `base`. Files that `before` has, too, are the same ones.
    ///
    /// # Errors
    /// The console's stream is not open.
    pub(crate) fn new(
        base: &str,
        settings: &Settings,
        streams: &Streams,
        before: &Self,
        owner: Owner,
    ) -> Result<(Self, Vec<Failure>), Error> {
        let mut routes = Self::to_console(settings, streams)?;
        let mut opening =
            Opening { settings, streams, before, owner, opened: Vec::new(), failures: Vec::new() };
        routes.directory = settings.dir.as_deref().map(absolute);
        let unmade = routes.make_directory();
        if settings.dir.is_some() {
            for (name, level, format) in [
                (format!("{base}.log"), LevelFilter::DEBUG, Format::Detailed),
                (format!("{base}.json"), LevelFilter::INFO, Format::Json),
                (format!("{base}_errors.log"), LevelFilter::ERROR, Format::Detailed),
            ] {
                let target = opening.file(Path::new(&name));
                routes.files.push(Route { target, level, format, whose: Whose::All });
            }
        }
        // On the stream that is the console, these lines are already.
        let error_log = opening.destination(&settings.error_logfile, "gunicorn_error.log", Stream::Stderr);
        routes.files.extend(error_log.filter(|target| !routes.is_console(target)).map(|target| Route {
            target,
            level: settings.level.filter(),
            format: Format::Simple,
            whose: Whose::Server,
        }));
        routes.access = opening.destination(&settings.access_logfile, "gunicorn_access.log", Stream::Stdout);
        let mut failures = opening.failures;
        if !failures.is_empty() {
            failures.splice(..0, unmade); // the cause of the others, told of as often as they are
        }
        if routes.console.is_none() && routes.files().any(|file| !file.sink().is_open()) {
            // What has no place in a file must not vanish.
            routes.console = console(settings, Stream::Stderr, streams)?;
        }
        Ok((routes, failures))
    }

    /// Makes the directory of the files if it is missing.
    pub(crate) fn make_directory(&self) -> Option<Failure> {
        self.directory.as_deref().and_then(make)
    }

    fn is_console(&self, target: &Target) -> bool {
        match (&self.console, target) {
            (Some(Route { target: Target::Stream(console), .. }), Target::Stream(other)) => {
                Arc::ptr_eq(console, other)
            }
            _ => false,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Route> {
        self.console.iter().chain(&self.files)
    }

    /// The least grave events that go anywhere.
    pub(crate) fn level(&self) -> LevelFilter {
        self.all().map(|route| route.level).max().unwrap_or(LevelFilter::OFF)
    }

    /// The routes that take such an event.
    pub(crate) fn of(&self, event: &'static Metadata<'static>) -> impl Iterator<Item = &Route> {
        self.all().filter(|route| route.takes(event) && route.target.sink().is_open())
    }

    /// Every file, some more than once if several keys name it.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Arc<LogFile>> {
        let targets = self.all().map(|route| &route.target).chain(&self.access);
        targets.filter_map(|target| match target {
            Target::File(file) => Some(file),
            Target::Stream(_) => None,
        })
    }

    /// Where the access log goes: to the console if its file was never open.
    pub(crate) fn access(&self) -> Option<&Target> {
        let target = self.access.as_ref()?;
        if target.sink().is_open() { Some(target) } else { self.console.as_ref().map(|route| &route.target) }
    }
}

fn console(settings: &Settings, stream: Stream, streams: &Streams) -> Result<Option<Route>, Error> {
    let sink = streams.get(stream).map_err(|source| Error::Stream { stream, source })?;
    Ok(sink.map(|sink| Route {
        target: Target::Stream(sink),
        level: settings.level.filter(),
        format: settings.format,
        whose: Whose::All,
    }))
}

impl Route {
    fn takes(&self, event: &Metadata<'_>) -> bool {
        let target = event.target();
        *event.level() <= self.level && (self.whose == Whose::All || target.starts_with("prefork"))
    }

    /// Writes an event as a line. `own_name` is the logger that tells of lines that were lost.
    pub(crate) fn write(&self, record: &Record<'_>, own_name: &str) {
        self.target.sink().write(&format::line(record, self.format), |lost| {
            let message = format!("{lost} log lines were dropped: {} did not take them", self.target);
            let content = Content { message, fields: Vec::new() };
            let place = Some((file!(), line!()));
            let report = Record { level: tracing::Level::WARN, name: own_name, place, content, ..*record };
            format::line(&report, self.format)
        });
    }
}

impl Target {
    pub(crate) fn sink(&self) -> &Sink {
        match self {
            Self::Stream(sink) => sink,
            Self::File(file) => file.sink(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(_) => f.write_str("the console"),
            Self::File(file) => file.path().display().fmt(f),
        }
    }
}

/// Opens files, and remembers which and what went wrong.
struct Opening<'a> {
    settings: &'a Settings,
    streams: &'a Streams,
    before: &'a Routes,
    owner: Owner,
    opened: Vec<Arc<LogFile>>,
    failures: Vec<Failure>,
}

impl Opening<'_> {
    /// Where the log goes that a key names; with a directory, it has a file there unless told otherwise.
    fn destination(
        &mut self,
        chosen: &Option<Destination>,
        default: &str,
        standard: Stream,
    ) -> Option<Target> {
        match chosen {
            Some(Destination::File(path)) => Some(self.file(path)),
            Some(Destination::Standard) => match self.streams.get(standard) {
                Ok(sink) => sink.map(Target::Stream),
                Err(error) => {
                    self.failures.push(Failure::of_stream(standard.as_str(), &error));
                    None
                }
            },
            None => self.settings.dir.is_some().then(|| self.file(Path::new(default))),
        }
    }

    /// A file by its path, below the directory if there is one. One that is open already is taken over, and opened anew: who
    /// has moved it away may as well ask for a reload.
    fn file(&mut self, path: &Path) -> Target {
        let path = match &self.settings.dir {
            Some(directory) => absolute(&directory.join(path)),
            None => absolute(path),
        };
        if let Some(file) = self.opened.iter().find(|file| file.path() == path) {
            return Target::File(Arc::clone(file));
        }
        let known = self.before.files().find(|file| file.path() == path).cloned();
        let file = known.unwrap_or_else(|| Arc::new(LogFile::new(path)));
        self.failures.extend(file.reopen(self.owner));
        self.opened.push(Arc::clone(&file));
        Target::File(file)
    }
}

/// Makes the directory of log files if it is missing.
fn make(directory: &Path) -> Option<Failure> {
    let error = DirBuilder::new().recursive(true).create(directory).err()?;
    Some(Failure::of_directory(&absolute(directory), &error))
}

/// The path in full: the working directory may be another when the file is opened anew, and messages are to be clear.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
