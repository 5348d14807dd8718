//! What an embedding program may do at each step of a server's life.

use http::{Method, StatusCode, Uri, request};

use crate::ids::{Generation, Slot};

/// A worker, as hooks are told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HookedWorker {
    /// Its place in the pool.
    pub slot: Slot,
    /// Which settings it was started with.
    pub generation: Generation,
    /// Its process id; 0 before its fork.
    pub pid: i32,
}

/// Hooks, by the names that Gunicorn gave them; each does nothing unless it is written. Those that are called in the master
/// must be quick, start no thread and take no lock that outlives them: while one runs, nothing is supervised. A panic in one
/// is a line in the log.
pub trait Hooks: Send + Sync + 'static {
    /// In the master, before anything is forked.
    fn on_starting(&self) {}

    /// In the master, when the listeners are bound.
    fn when_ready(&self) {}

    /// In the master, before a worker is forked.
    fn pre_fork(&self, worker: HookedWorker) {
        let _ = worker;
    }

    /// In a worker, right after its fork.
    fn post_fork(&self, worker: HookedWorker) {
        let _ = worker;
    }

    /// In a worker, when the application is built.
    fn post_worker_init(&self, worker: HookedWorker) {
        let _ = worker;
    }

    /// In a worker that leaves at once, by SIGINT or SIGQUIT.
    fn worker_int(&self, worker: HookedWorker) {
        let _ = worker;
    }

    /// In a worker that was given up on, if its event loop still runs.
    fn worker_abort(&self, worker: HookedWorker) {
        let _ = worker;
    }

    /// In the master, before a new program is started.
    fn pre_exec(&self) {}

    /// In a worker, when a request has its turn.
    fn pre_request(&self, worker: HookedWorker, head: &request::Parts) {
        let _ = (worker, head);
    }

    /// In a worker, when a request's handler is done.
    fn post_request(&self, worker: HookedWorker, method: &Method, uri: &Uri, status: StatusCode) {
        let _ = (worker, method, uri, status);
    }

    /// In the master, when a worker has ended.
    fn child_exit(&self, worker: HookedWorker) {
        let _ = worker;
    }

    /// In a worker, as the last thing before an orderly end.
    fn worker_exit(&self, worker: HookedWorker) {
        let _ = worker;
    }

    /// In the master, when another number of workers is wanted.
    fn nworkers_changed(&self, new: u16, old: u16) {
        let _ = (new, old);
    }

    /// In the master, when a reload begins.
    fn on_reload(&self) {}

    /// In the master, when the last worker has gone.
    fn on_exit(&self) {}
}
