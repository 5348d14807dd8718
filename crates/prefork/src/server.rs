//! The front door: settings and an application in, an exit code out.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitCode, Termination};
use std::sync::Arc;

use ::settings::Described;
use nix::sys::resource::{Resource, getrlimit};

use crate::app::{App, BoxError};
use crate::arbiter::EXIT_STOPPED;
use crate::hooks::Hooks;
use crate::http::TakeLine;
use crate::listener::{Activation, BindError, Listener, ListenerId, inherit, open_all};
use crate::master::{
    Beginning, Estate, Ground, Master, NotifyVariables, Pidfile, PidfileError, Predecessor, Program, Setup,
    SetupError, Taken, block_signals, readiness_descriptor, second,
};
use crate::settings::{DirectoryError, Settings};
use crate::sys::{thread_count, title};
use crate::worker::Reopen;

/// What a reload runs: reads the settings anew and makes the application that goes with them, or says what is wrong, one
/// problem a line.
pub(crate) type Reload<A> = Box<dyn FnMut() -> Result<Revision<A>, String>>;
/// What runs when the first worker serves.
pub(crate) type WhenServing = Box<dyn FnMut(&[SocketAddr])>;

/// Who keeps the log files.
#[derive(Default)]
pub(crate) struct Logs {
    /// Asked in each worker.
    pub(crate) access: Option<Box<dyn Fn() -> Option<TakeLine>>>,
    pub(crate) reopen: Option<Reopen>,
}

/// What a generation of workers is started with.
pub struct Revision<A> {
    pub(crate) settings: Settings,
    pub(crate) app: A,
    pub(crate) adopt: Option<Box<dyn Fn()>>,
    pub(crate) shown: Vec<Described>,
}

impl<A> Revision<A> {
    /// These settings, and the application that goes with them.
    pub fn new(settings: Settings, app: A) -> Self {
        Self { settings, app, adopt: None, shown: Vec::new() }
    }

    /// All keys as they are in use, for whoever asks at the control socket; see [`describe`](::settings::describe).
    #[must_use]
    pub fn shown_as(mut self, keys: Vec<Described>) -> Self {
        self.shown = keys;
        self
    }

    /// What else a process does to go by it, as changing the level of its log: called in each child of this generation, and
    /// in the master once the generation has proved itself. A reload that is refused leaves the master as it was.
    #[must_use]
    pub fn adopted_by(mut self, adopt: impl Fn() + 'static) -> Self {
        self.adopt = Some(Box::new(adopt));
        self
    }
}

/// A server before it has an application.
#[derive(Debug, Default)]
pub struct Server {
    settings: Settings,
}

impl Server {
    /// A server with these settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// The application that it carries.
    pub fn app<A: App>(self, app: A) -> Ready<A> {
        Ready {
            settings: self.settings,
            app,
            reload: None,
            when_serving: None,
            logs: Logs::default(),
            hooks: None,
            prefix: "PREFORK_",
            version: env!("CARGO_PKG_VERSION"),
            shown: Vec::new(),
            watched: Vec::new(),
        }
    }
}

/// A server that can run.
pub struct Ready<A: App> {
    settings: Settings,
    app: A,
    reload: Option<Reload<A>>,
    when_serving: Option<WhenServing>,
    logs: Logs,
    hooks: Option<Arc<dyn Hooks>>,
    prefix: &'static str,
    version: &'static str,
    shown: Vec<Described>,
    watched: Vec<PathBuf>,
}

impl<A: App> Ready<A> {
    /// A file whose change is a reload where `server.reload` says so: the one that the settings came from.
    #[must_use]
    pub fn watching(mut self, file: Option<PathBuf>) -> Self {
        self.watched.extend(file);
        self
    }

    /// The program's version, for whoever asks at the control socket.
    #[must_use]
    pub fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// All keys as they are in use, for whoever asks at the control socket; see [`describe`](::settings::describe).
    #[must_use]
    pub fn shown_as(mut self, keys: Vec<Described>) -> Self {
        self.shown = keys;
        self
    }

    /// What the program does at each step of the server's life.
    #[must_use]
    pub fn hooks(mut self, hooks: impl Hooks) -> Self {
        self.hooks = Some(Arc::new(hooks));
        self
    }

    /// What the names of environment variables begin with, as `DEVSIM_`: those that hook commands get (`DEVSIM_HOOK`), and
    /// `DEVSIM_READY_FD`, the number of a descriptor on which the server writes a newline once its first worker serves.
    #[must_use]
    pub fn environment_prefix(mut self, prefix: &'static str) -> Self {
        self.prefix = prefix;
        self
    }

    /// What a SIGHUP does: `read` gives what the next generation of workers is started with, or the
    /// problems that keep them from being used, one a line. It runs in the master, so it must be quick and start no thread.
    /// Without it, a reload starts a new generation with what the server was given.
    #[must_use]
    pub fn on_reload(mut self, read: impl FnMut() -> Result<Revision<A>, String> + 'static) -> Self {
        self.reload = Some(Box::new(read));
        self
    }

    /// Called in the master once, when the first worker serves, with the addresses that are listened on.
    #[must_use]
    pub fn when_serving(mut self, tell: impl FnMut(&[SocketAddr]) + 'static) -> Self {
        self.when_serving = Some(Box::new(tell));
        self
    }

    /// The access log, whose lines [`settings::Access`](crate::settings::Access) describes: `open` is asked once in each worker,
    /// after the worker has adopted its revision, and gives who takes the lines, each without its line end. Where it gives
    /// `None`, nothing is made for nobody.
    ///
    /// Lines are taken on any thread of the worker, the last ones while another is stuck: whoever takes them must wait for
    /// nothing.
    #[must_use]
    pub fn access_log<L>(mut self, open: impl Fn() -> Option<L> + 'static) -> Self
    where
        L: Fn(&str) + Send + Sync + 'static,
    {
        self.logs.access = Some(Box::new(move || open().map(|take| Arc::new(take) as TakeLine)));
        self
    }

    /// What a SIGUSR1 does: log files were moved away, and are to be opened anew. Called in the master first, which may make
    /// them for workers that have given up its privileges, then in each worker, on its second thread.
    #[must_use]
    pub fn on_reopen(mut self, reopen: impl Fn() + Send + Sync + 'static) -> Self {
        self.logs.reopen = Some(Arc::new(reopen));
        self
    }

    /// Binds, forks and supervises, until a signal ends it. From here on the process is the master: it keeps its signals
    /// blocked, also afterwards, and must not make threads.
    ///
    /// Workers are forked from it and never return from this call.
    #[must_use = "the outcome is the process's exit code: return it from main"]
    pub fn run(self) -> Outcome {
        match self.supervise() {
            Ok(code) => Outcome { code, error: None },
            Err(error) => Outcome { code: error.exit_code(), error: Some(error) },
        }
    }

    /// Looks at the application as `--check-config` does, and at what another program would leave to this one: nothing is
    /// bound, and nothing changed.
    #[must_use = "the outcome is the process's exit code: return it from main"]
    pub fn check(self) -> Outcome {
        let checked = Estate::of_this_process().map_err(Error::Estate).and_then(|left| {
            self.app.check().map_err(Error::Refused)?;
            match left {
                // One byte more says that all of it was read (see `master/handover.rs`).
                Some((_, mut file)) => std::io::Write::write_all(&mut file, b"\n").map_err(Error::Estate),
                None => Ok(()),
            }
        });
        match checked {
            Ok(()) => Outcome { code: EXIT_STOPPED, error: None },
            Err(error) => Outcome { code: error.exit_code(), error: Some(error) },
        }
    }

    fn supervise(self) -> Result<i32, Error> {
        if let Some(count @ 2..) = thread_count() {
            return Err(Error::Threads(count));
        }
        // Before anything is there that a signal's default action would leave behind.
        block_signals().map_err(SetupError::at("block its signals"))?;
        let program = Program::of_this_process();
        title::take_over();
        title::show(&self.settings.identity.proc_name, "master");
        if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE)
            && let Some(shortage) = self.settings.shortage_of_descriptors(most)
        {
            tracing::warn!("{shortage}");
        }
        let master = match Estate::of_this_process().map_err(Error::Estate)? {
            Some((estate, _)) => self.take_over(program, estate)?,
            None => self.begin(program)?,
        };
        Ok(master.live())
    }

    fn begin(self, program: Program) -> Result<Master<A>, Error> {
        let settings = &self.settings;
        settings.process.enter()?;
        let activation = Activation::of_this_process()?;
        let activated = !activation.is_empty();
        let mut predecessor = Predecessor::of_this_process();
        let pidfile = match &settings.process.pidfile {
            Some(path) if predecessor.is_some() => Some(Pidfile::take(&second(path), &settings.identity)?),
            Some(path) => Some(Pidfile::take(path, &settings.identity)?),
            None => None,
        };
        let (sockets, identity) = (&settings.sockets, &settings.identity);
        let opened = match &mut predecessor {
            Some(predecessor) => predecessor.take_listeners().map_err(Error::Estate).and_then(|mut left| {
                let wanted = inherit(&mut left, sockets, identity)?;
                Ok((left, wanted))
            }),
            None => open_all(sockets, identity, activation).map_err(Error::from).map(|all| {
                let wanted = all.iter().map(Listener::id).collect();
                (all, wanted)
            }),
        };
        let (mut listeners, wanted) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                if let Some(pidfile) = pidfile {
                    pidfile.remove();
                }
                return Err(error);
            }
        };
        listeners.retain(|listener| wanted.contains(&listener.id())); // the rest is the other master's
        let activated = activated || (predecessor.is_some() && listeners.iter().all(Listener::is_handed));
        let (setup, mut beginning) = self.beginning(program, listeners, wanted, activated);
        (beginning.pidfile, beginning.predecessor) = (pidfile, predecessor);
        Ok(Master::new(setup, beginning)?)
    }

    /// Goes on in the place of another program.
    ///
    /// # Errors
    /// It cannot, nor can the program before it be executed. Else that one goes on, and this never returns.
    fn take_over(self, program: Program, estate: Estate) -> Result<Master<A>, Error> {
        program.name_process();
        let mut taken = estate.take().map_err(Error::Estate)?;
        match self.ground(&mut taken) {
            Ok((wanted, ground)) => {
                let listeners = std::mem::take(&mut taken.listeners);
                let activated = estate.is_activated();
                let (setup, beginning) = self.beginning(program, listeners, wanted, activated);
                Ok(Master::take_over(setup, beginning, ground, estate, taken))
            }
            Err(why) => {
                tracing::error!("{why}");
                Err(Error::Estate(estate.refuse(&taken, &program, &why.to_string())))
            }
        }
    }

    /// What a master needs beside what it was left.
    fn ground(&self, taken: &mut Taken) -> Result<(Vec<ListenerId>, Ground), Error> {
        self.settings.process.enter()?;
        let wanted = inherit(&mut taken.listeners, &self.settings.sockets, &self.settings.identity)?;
        Ok((wanted, Ground::new(Some(taken))?))
    }

    fn beginning(
        self,
        program: Program,
        listeners: Vec<Listener>,
        wanted: Vec<ListenerId>,
        activated: bool,
    ) -> (Setup<A>, Beginning<A>) {
        for listener in &listeners {
            tracing::info!("listening at {} (pid {})", listener.place(), std::process::id());
        }
        let ready = readiness_descriptor(self.prefix);
        let setup = Setup::new(Revision::new(self.settings, self.app).shown_as(self.shown), wanted);
        let beginning = Beginning {
            version: self.version,
            reload: self.reload,
            when_serving: self.when_serving,
            logs: self.logs,
            hooks: self.hooks,
            prefix: self.prefix,
            program,
            listeners,
            activated,
            pidfile: None,
            predecessor: None,
            notify: NotifyVariables::of_this_process(),
            watched: self.watched,
            ready,
        };
        (setup, beginning)
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The process has other threads, whose locks a fork would copy in whatever state they are.
    #[error("the process has {0} threads; run the server before anything makes a second one")]
    Threads(usize),
    /// What another program has left is not what this one understands.
    #[error(
        "this program cannot take over from the one before it: {0}; it may be another server, or a too different version"
    )]
    Estate(std::io::Error),
    /// The application is not fit to run.
    #[error("{0}")]
    Refused(BoxError),
    /// The directory to work in is not there.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The pidfile is another master's, or cannot be written.
    #[error(transparent)]
    Pidfile(#[from] PidfileError),
    /// An address could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Something else could not be made.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

impl Error {
    /// The exit code that goes with it.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Bind(BindError::InUse(_)) | Self::Pidfile(PidfileError::Held { .. }) => 5,
            Self::Threads(_)
            | Self::Estate(_)
            | Self::Refused(_)
            | Self::Directory(_)
            | Self::Pidfile(_)
            | Self::Bind(_)
            | Self::Setup(_) => 1,
        }
    }
}

/// How a run ended. Returned from `main`, it says the error and becomes the exit code:
/// 0 stopped as asked; 1 an error before the start; 3 workers failed to boot at the start; 4 the application could not
/// be built at the start; 5 the address is in use.
#[derive(Debug)]
pub struct Outcome {
    code: i32,
    error: Option<Error>,
}

impl Outcome {
    /// The exit code.
    pub fn code(&self) -> i32 {
        self.code
    }

    /// The error, if it never ran.
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }
}

impl Termination for Outcome {
    fn report(self) -> ExitCode {
        if let Some(error) = &self.error {
            eprintln!("{error}");
        } else if self.code == EXIT_STOPPED {
            tracing::info!("stopped");
        }
        ExitCode::from(u8::try_from(self.code).unwrap_or(1))
    }
}
