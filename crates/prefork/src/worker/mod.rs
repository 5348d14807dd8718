//! The life of a worker, from the fork to its end.

mod accept;
mod busy;
mod held;
mod life;
mod pipe;
mod recycling;
mod request;
mod sandbox;
mod stuck;
mod turn;
mod watch;

use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use crate::app::{App, Context};
use crate::arbiter::{EXIT_BOOT, EXIT_BUILD};
use crate::hooks::{HookedWorker, Hooks};
use crate::http::{AccessLog, RequestIds, TakeLine};
use crate::ids::{Generation, Pid, Slot};
use crate::listener::Listener;
use crate::scoreboard::{Scoreboard, Tenant};
use crate::settings::Settings;
use crate::sys::title::{self, BusyMark};

use accept::{Acceptor, Left};
use busy::Busy;
use held::HeldSockets;
use life::{Life, Open};
use pipe::MasterPipe;
use recycling::Recycling;
use request::Handling;
use turn::Turn;
use watch::Watch;

pub use life::Draining;

pub(crate) use pipe::Message;
pub(crate) use request::try_buffer;
pub(crate) use sandbox::{enter_as_command, enter_as_helper};
pub(crate) use watch::EXIT_ABORTED;

/// What opens log files anew.
pub(crate) type Reopen = Arc<dyn Fn() + Send + Sync>;

/// What a child needs to be a worker.
pub(crate) struct Job<A: App> {
    pub(crate) slot: Slot,
    pub(crate) generation: Generation,
    pub(crate) app: Arc<A>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) board: Scoreboard,
    pub(crate) hooks: Option<Arc<dyn Hooks>>,
    pub(crate) listeners: Vec<Listener>,
    /// Readable at its end: the master is gone.
    pub(crate) lifeline: OwnedFd,
    /// Where its messages go.
    pub(crate) pipe: OwnedFd,
    /// Where the lines of its access log go.
    pub(crate) access_log: Option<TakeLine>,
    /// What opens its log files anew.
    pub(crate) reopen: Option<Reopen>,
}

/// Works until the end; gives the exit status.
pub(crate) fn run<A: App>(job: Job<A>) -> i32 {
    match Worker::start(job) {
        Ok(worker) => worker.work(),
        Err(error) => {
            tracing::error!(%error, "a worker could not be set up");
            EXIT_BOOT
        }
    }
}

struct Worker<A: App> {
    app: Arc<A>,
    settings: Arc<Settings>,
    context: Context,
    listeners: Vec<Arc<Listener>>,
    slot: Slot,
    board: Scoreboard,
    hooks: WorkerHooks,
    life: Life,
    loop_answers: Arc<AtomicBool>,
    ready: Arc<AtomicBool>,
    pipe: Arc<MasterPipe>,
    sockets: Arc<HeldSockets>,
    tenant: Arc<Tenant>,
    busy: BusyMark,
    access_log: Option<Arc<AccessLog>>,
    leftovers: mpsc::UnboundedReceiver<accept::Fresh>,
}

impl<A: App> Worker<A> {
    fn start(job: Job<A>) -> Result<Self, Box<dyn std::error::Error>> {
        let Job { slot, generation, app, settings, board, hooks, listeners, .. } = job;
        let Job { lifeline, pipe, access_log, reopen, .. } = job;
        let busy = title::show(&settings.identity.proc_name, &format!("worker {slot} gen {generation}"));
        let pid = Pid(std::process::id().cast_signed());
        let tenant = Arc::new(Tenant::move_in(board.cell(slot), pid, generation));
        sandbox::enter(&settings.identity).map_err(|failed| failed.to_string())?;
        log_panics();
        let hooks = WorkerHooks { hooks, worker: HookedWorker { slot, generation, pid: pid.0 } };
        hooks.call(|hooks, worker| hooks.post_fork(worker));
        let access_log = access_log.map(|take| AccessLog::new(&settings.access, take));
        let (life, control) = Life::new();
        let pipe = Arc::new(MasterPipe::new(pipe));
        let listeners: Vec<_> = listeners.into_iter().map(Arc::new).collect();
        let (sender, leftovers) = mpsc::unbounded_channel();
        let ready = Arc::new(AtomicBool::new(false));
        let sockets = HeldSockets::new();
        let loop_answers = Arc::clone(&control.loop_answers);
        let watch = Watch {
            slot,
            board,
            lifeline,
            control,
            pipe: Arc::clone(&pipe),
            sockets: Arc::clone(&sockets),
            listeners: listeners.iter().map(Arc::downgrade).collect(),
            leftovers: sender,
            grace: settings.timeouts.graceful_timeout.as_duration(),
            ready: Arc::clone(&ready),
            hooks: hooks.clone(),
            reopen,
        };
        watch.start()?;
        let draining = Draining::new(life.clone(), board);
        let context = Context { slot, generation, settings: Arc::clone(&settings), draining };
        Ok(Self {
            app,
            settings,
            context,
            listeners,
            slot,
            board,
            hooks,
            life,
            loop_answers,
            ready,
            pipe,
            sockets,
            tenant,
            busy,
            access_log,
            leftovers,
        })
    }

    fn work(self) -> i32 {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "a worker cannot make its event loop");
                return EXIT_BOOT;
            }
        };
        let status = runtime.block_on(self.live());
        runtime.shutdown_background(); // whatever the application left running has had its time
        status
    }

    async fn live(mut self) -> i32 {
        let service = match self.app.build(self.context.clone()).await {
            Ok(service) => service,
            Err(error) => {
                tracing::error!(%error, "the application cannot be built");
                return EXIT_BUILD;
            }
        };
        let random = random();
        let workers = &self.settings.workers;
        let (most, jitter) = (workers.max_requests, workers.max_requests_jitter);
        let handling = Arc::new(Handling {
            app: Arc::clone(&self.app),
            service,
            settings: Arc::clone(&self.settings),
            turn: Turn::new(workers),
            tenant: Arc::clone(&self.tenant),
            busy: Busy::new(std::mem::take(&mut self.busy)),
            sockets: Arc::clone(&self.sockets),
            life: self.life.clone(),
            board: self.board,
            hooks: self.hooks.clone(),
            recycling: Recycling::new(Arc::clone(&self.pipe), most, jitter, random),
            ids: RequestIds::new(random),
            access_log: self.access_log.take(),
            spool: Default::default(),
        });
        let open = Open::default();
        let listeners = std::mem::take(&mut self.listeners);
        let acceptor = Arc::new(Acceptor {
            handling,
            open: open.clone(),
            listeners: listeners.iter().map(Arc::downgrade).collect(),
        });
        for (index, listener) in listeners.into_iter().enumerate() {
            tokio::spawn(Arc::clone(&acceptor).run(index, listener, open.guard()));
        }
        self.hooks.call(|hooks, worker| hooks.post_worker_init(worker));
        self.ready.store(true, Ordering::Release);
        self.pipe.send(Message::Ready);
        self.stay(&acceptor, &open).await;
        self.hooks.call(|hooks, worker| hooks.worker_exit(worker));
        0
    }

    /// Beats and waits, until everything is drained.
    async fn stay(&mut self, acceptor: &Arc<Acceptor<A>>, open: &Open) {
        let mut beats = tokio::time::interval(self.settings.limits().tick());
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let drained = async {
            self.life.leaving().await;
            open.none().await;
            // The master does not tell of a stop whom it has aborted.
            let left = || Left(self.life.left().0 | self.board.orders().left(self.slot));
            while acceptor.last_look(left()) {
                open.none().await;
            }
        };
        let answering = async {
            // The loop runs: whatever else is to be done in these phases is done by those whom it concerns.
            self.life.aborting().await;
            self.loop_answers.store(true, Ordering::Release);
            self.hooks.call(|hooks, worker| hooks.worker_abort(worker));
            self.life.cut().await;
            self.loop_answers.store(true, Ordering::Release);
            std::future::pending::<()>().await;
        };
        tokio::pin!(drained, answering);
        loop {
            tokio::select! {
                biased;
                () = &mut answering => {}
                // Before `drained`: each of them is one more to wait for.
                Some(fresh) = self.leftovers.recv() => drop(acceptor.serve(fresh)),
                () = &mut drained => return,
                _ = beats.tick() => self.tenant.beat(),
            }
        }
    }
}

/// The program's hooks, as this worker calls them.
#[derive(Clone)]
struct WorkerHooks {
    hooks: Option<Arc<dyn Hooks>>,
    worker: HookedWorker,
}

impl WorkerHooks {
    /// Calls one, if the program has any. One that panics has had its line in the log (see `log_panics`), and harms nobody.
    fn call(&self, hook: impl FnOnce(&dyn Hooks, HookedWorker)) {
        if let Some(hooks) = &self.hooks {
            let _ = catch_unwind(AssertUnwindSafe(|| hook(&**hooks, self.worker)));
        }
    }
}

/// Panics are lines in the log. In a handler they end a request, elsewhere in the loop the worker.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|info| tracing::error!("panic: {info}")));
}

/// Eight random bytes for this worker alone: the fork has copied every generator that the master had.
fn random() -> u64 {
    let mut bytes = [0; 8];
    // getrandom(2) gives so few bytes without a signal or a short read coming between.
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(_) => u64::from_ne_bytes(bytes),
        Err(_) => crate::sys::now().as_nanos() ^ u64::from(std::process::id()).rotate_left(40),
    }
}
