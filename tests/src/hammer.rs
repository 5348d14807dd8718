//! Clients that never rest.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::client::Connection;
use crate::place::Place;
use crate::wait::until;

/// Two clients that close their connections and two that keep them, asking again and again. A request that gets no
/// answer, or another than 200, is a failure.
pub struct Hammer {
    over: Arc<AtomicBool>,
    tally: Arc<Tally>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Tally {
    done: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Hammer {
    /// Begins to ask for `path`.
    pub fn start(place: impl Into<Place>, path: &'static str) -> Self {
        let place = place.into();
        let over = Arc::new(AtomicBool::new(false));
        let tally = Arc::new(Tally::default());
        let client = |keeps: bool| {
            let (over, tally, place) = (Arc::clone(&over), Arc::clone(&tally), place.clone());
            thread::spawn(move || {
                let mut open = None;
                while !over.load(Ordering::Relaxed) {
                    tally.ask(&place, path, keeps, &mut open);
                    thread::sleep(Duration::from_millis(1)); // a rest, for the machine's sake
                }
            })
        };
        let clients = [true, true, false, false].map(client).into();
        let hammer = Self { over, tally, clients };
        hammer.strike(20);
        hammer
    }

    /// Waits for so many more requests.
    pub fn strike(&self, more: u64) {
        let goal = self.tally.done.load(Ordering::Relaxed) + more;
        let reached = until(|| (self.tally.done.load(Ordering::Relaxed) >= goal).then_some(()));
        assert!(reached.is_some(), "the clients are stuck");
    }

    /// Ends, and asserts that nothing failed.
    pub fn verdict(mut self) {
        self.end();
        let failures = self.tally.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let done = self.tally.done.load(Ordering::Relaxed);
        assert!(failures.is_empty(), "{} of {done} requests failed: {:?}", failures.len(), failures.first());
    }

    fn end(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            let _ = client.join();
        }
    }
}

impl Drop for Hammer {
    fn drop(&mut self) {
        self.end();
    }
}

impl Tally {
    fn ask(&self, place: &Place, path: &str, keeps: bool, open: &mut Option<Connection>) {
        let kept = open.is_some();
        let asked = match open.take() {
            Some(connection) => Ok(connection),
            None => Connection::open(place),
        };
        let fields = if keeps { "" } else { "Connection: close\r\n" };
        let answered = asked.and_then(|mut connection| {
            let answer = connection.get(path, fields)?;
            Ok((answer, connection))
        });
        match answered {
            Ok((answer, connection)) => {
                if answer.status != 200 {
                    self.fail(format!("status {}", answer.status));
                } else if keeps && !answer.closes() {
                    *open = Some(connection);
                }
            }
            Err(error) => self.fail(format!("{} connection: {error}", if kept { "kept" } else { "new" })),
        }
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    fn fail(&self, what: String) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }
}
