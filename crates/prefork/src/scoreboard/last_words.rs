//! What a worker was doing when it died, in one line.

use std::fmt;
use std::time::Duration;

use crate::ids::Moment;

use super::cell::{Cell, RecordView};

/// How many finished requests are named.
const NAMED: usize = 3;

/// The last state of a cell, read at a death.
pub(crate) struct LastWords {
    held: Vec<RecordView>,
    finished: Vec<RecordView>,
    served: u64,
    at: Moment,
}

impl LastWords {
    pub(crate) fn read(cell: &Cell, at: Moment) -> Self {
        Self { held: cell.held(), finished: cell.finished(), served: cell.requests(), at }
    }

    /// Whether it was busy.
    pub(crate) fn held_requests(&self) -> bool {
        !self.held.is_empty()
    }
}

impl fmt::Display for LastWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.held.is_empty() {
            f.write_str("it held no request")?;
        }
        for (i, request) in self.held.iter().enumerate() {
            let before = if i == 0 { "it held" } else { "," };
            let what = if request.is_running() { "running" } else { "waiting" };
            let age = self.at.since(request.since);
            write!(f, "{before} {} {} ", request.method, request.path)?;
            write!(f, "({what} for {}, request {:016x})", Span(age), request.id)?;
        }
        for (i, request) in self.finished.iter().take(NAMED).enumerate() {
            let before = if i == 0 { "; finished last:" } else { "," };
            let took = Span(Duration::from_nanos(request.took));
            write!(f, "{before} {} {} {} in {took}", request.method, request.path, request.state)?;
        }
        write!(f, "; its slot has served {} in all", self.served)
    }
}

/// A duration as people read it.
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        if seconds >= 1.0 {
            write!(f, "{seconds:.1} s")
        } else if seconds >= 0.001 {
            write!(f, "{:.0} ms", seconds * 1e3)
        } else {
            write!(f, "{:.0} us", seconds * 1e6)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Generation, Pid};
    use crate::scoreboard::Tenant;

    #[test]
    fn they_name_what_was_held_and_what_was_finished() {
        let cell = Cell::for_test();
        let tenant = Tenant::move_in(cell, Pid(7), Generation(1));
        let mut done = tenant.hold("GET", "/done", 1);
        done.runs(true);
        assert!(cell.turn().is_some());
        done.finished(204);
        assert!(cell.turn().is_none());
        let mut running = tenant.hold("PATCH", &format!("/{}", "x".repeat(300)), 2);
        running.runs(true);
        let _waiting = tenant.hold("GET", "/waits", 3);
        let words = LastWords::read(cell, crate::sys::now()).to_string();
        assert!(words.contains(&format!("it held PATCH /{} (running", "x".repeat(191))), "{words}");
        assert!(words.contains("GET /waits (waiting"), "{words}");
        assert!(words.contains("finished last: GET /done 204 in"), "{words}");
        assert!(words.contains("request 0000000000000002"), "{words}");
    }

    #[test]
    fn a_request_whose_handler_panics_is_a_500_and_one_that_never_ran_is_not_counted() {
        let cell = Cell::for_test();
        let tenant = Tenant::move_in(cell, Pid(7), Generation(1));
        drop(tenant.hold("GET", "/waited", 1));
        let mut panicking = tenant.hold("GET", "/panicked", 2);
        panicking.runs(true);
        drop(panicking);
        let words = LastWords::read(cell, crate::sys::now()).to_string();
        assert!(words.contains("finished last: GET /panicked 500 in"), "{words}");
        assert_eq!((cell.requests(), cell.turn()), (1, None));
    }

    #[test]
    fn a_new_tenant_inherits_counters_but_no_requests() {
        let cell = Cell::for_test();
        let tenant = Tenant::move_in(cell, Pid(7), Generation(1));
        let mut done = tenant.hold("GET", "/done", 1);
        done.runs(true);
        done.finished(200);
        let _lost = std::mem::ManuallyDrop::new(tenant.hold("GET", "/lost", 2));
        cell.vacate();
        assert_eq!(
            LastWords::read(cell, crate::sys::now()).to_string(),
            "it held no request; its slot has served 1 in all"
        );
    }
}
