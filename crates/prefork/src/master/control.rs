//! The desk at which operators ask for things, and where those wait whose wish takes its time.

use nix::unistd::Uid;
use serde::Serialize;

use crate::app::App;
use crate::arbiter::{Event, MOST_WORKERS, Report, Signal, Stage, UpgradeRefusal, Wish};
use crate::control::server::{Access, Asked, Control, Ticket};
use crate::control::{Code, Command, Refusal, Reloaded, Restarted, Scaled, Upgraded, default_place};
use crate::ids::{Generation, Moment, Pid, Slot};
use crate::socket_file::Look;
use crate::sys;

use super::Master;
use super::report::upgrade_failed;

/// The control socket, if there is one, and who waits at it.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) control: Option<Control>,
    waiting: Vec<(Ticket, Awaited)>,
    /// The last worker that became ready.
    newest: Option<Slot>,
}

/// Why no number of workers can be had.
const HALTED: &str = "the pool is halted (SIGWINCH); a reload brings its workers back";

/// What has to happen before a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// The next reload begins: it is the one that was asked for.
    ReloadBegins,
    /// This one ends.
    Reload {
        generation: Generation,
        begun: Moment,
    },
    Upgrade,
    Scale(u16),
    /// The worker of this slot is replaced.
    Restart(Slot),
    /// The same, and it has died meanwhile.
    Successor(Slot),
    Stop,
}

impl<A: App> Master<A> {
    /// Opens the control socket that the settings want, or makes the one that there is what they want. It is optional: where it
    /// cannot be had, the server runs without, or with the one before.
    pub(super) fn open_the_desk(&mut self) {
        if self.predecessor.is_some() {
            return; // whoever asks is answered by the master before this one, until it has gone
        }
        let Some(settings) = self.settings() else { return };
        let named = settings.control.control_socket.clone();
        let is_named = named.is_some();
        let place =
            named.or_else(|| default_place(self.prefix.trim_end_matches('_').to_lowercase().as_str()));
        let owner = settings.identity.owner();
        let look = Look { mode: Some(settings.control.control_socket_mode.bits()), owner };
        let served = [Some(Uid::from_raw(0)), Some(Uid::effective()), owner.0.map(Uid::from_raw)];
        let access = Access { look, served: served.into_iter().flatten().collect() };
        let Some(place) = place else {
            if self.desk.control.take().is_some() || !self.record.serves {
                tracing::info!("no control socket: server.control_socket names none");
            }
            return;
        };
        let before = self.desk.control.as_ref().map(|control| control.path().to_owned());
        let opened = match &mut self.desk.control {
            Some(control) => control.change(&place, access),
            none => Control::bind(&place, access).map(|control| *none = Some(control)),
        };
        let path = self.desk.control.as_ref().map(Control::path);
        match (opened, path) {
            (Ok(()), Some(path)) if before.as_deref() != Some(path) => {
                tracing::info!("control socket at {}", path.display());
            }
            (Ok(()), _) => {}
            (Err(error), Some(path)) => tracing::error!(
                "server.control_socket: {error}; the control socket stays at {}",
                path.display()
            ),
            (Err(error), None) if is_named => {
                tracing::error!("server.control_socket: {error}; the server runs without a control socket");
            }
            (Err(error), None) => tracing::info!("no control socket: {error}"),
        }
    }

    /// Hears what operators ask.
    pub(super) fn hear_the_desk(&mut self) {
        let now = sys::now();
        let asked = self.desk.control.as_mut().map(|control| control.hear(now)).unwrap_or_default();
        for asked in asked {
            self.take_request(asked, now);
        }
    }

    fn take_request(&mut self, asked: Asked, now: Moment) {
        let Asked { ticket, peer, command } = asked;
        if !matches!(command, Command::Status | Command::Workers | Command::Config) {
            tracing::info!("control: {command:?} from pid {} (uid {})", peer.pid, peer.uid);
        }
        match command {
            Command::Status => self.answer(ticket, &Ok(self.status(now)), now),
            Command::Workers => self.answer(ticket, &Ok(self.workers(now)), now),
            Command::Config => self.answer(ticket, &Ok(self.settings_in_use()), now),
            Command::Reopen => {
                self.reopen_logs();
                self.answer(ticket, &Ok(serde_json::json!({})), now);
            }
            Command::Reload => self.signalled(ticket, Signal::Hup, Awaited::ReloadBegins, now),
            Command::Upgrade => self.signalled(ticket, Signal::Usr2, Awaited::Upgrade, now),
            Command::Stop { quick } => {
                let signal = if quick { Signal::Int } else { Signal::Term };
                if self.arbiter.heeds(signal) {
                    self.events.push_back(Event::Signal(signal));
                }
                self.desk.waiting.push((ticket, Awaited::Stop));
            }
            Command::Scale { workers } if !(1..=MOST_WORKERS).contains(&workers) => {
                let why = format!("{workers} workers cannot be had; ask for 1 to {MOST_WORKERS}");
                self.refuse(ticket, Code::Refused, why, now);
            }
            Command::Scale { .. } if self.arbiter.is_halted() => {
                self.refuse(ticket, Code::Refused, HALTED.into(), now);
            }
            Command::Scale { workers } if self.may_change(ticket, now) => {
                self.events.push_back(Event::Scale(workers));
                self.desk.waiting.push((ticket, Awaited::Scale(workers)));
            }
            Command::Restart { slot } if self.may_change(ticket, now) => {
                self.restart(ticket, Slot(slot), now)
            }
            Command::Scale { .. } | Command::Restart { .. } => {} // refused
        }
    }

    fn signalled(&mut self, ticket: Ticket, signal: Signal, awaited: Awaited, now: Moment) {
        if self.may_change(ticket, now) {
            self.events.push_back(Event::Signal(signal));
            self.desk.waiting.push((ticket, awaited));
        }
    }

    /// Whether the server still changes; refuses the request if not.
    fn may_change(&mut self, ticket: Ticket, now: Moment) -> bool {
        let may = self.arbiter.heeds(Signal::Hup);
        if !may {
            self.refuse(ticket, Code::Stopping, "the server is stopping".into(), now);
        }
        may
    }

    fn restart(&mut self, ticket: Ticket, slot: Slot, now: Moment) {
        if self.arbiter.worker(slot).is_some_and(|worker| worker.stage == Stage::Ready) {
            self.events.push_back(Event::RetireWanted(slot, Wish::Restart));
            self.desk.waiting.push((ticket, Awaited::Restart(slot)));
        } else {
            let why = format!("slot {slot} has no worker that serves; `workers` lists them");
            self.refuse(ticket, Code::Refused, why, now);
        }
    }

    fn answer<T: Serialize>(&mut self, ticket: Ticket, outcome: &Result<T, Refusal>, now: Moment) {
        if let Some(control) = &mut self.desk.control {
            control.answer(ticket, outcome, now);
        }
    }

    fn refuse(&mut self, ticket: Ticket, code: Code, why: String, now: Moment) {
        self.answer(ticket, &Err::<(), _>(Refusal::new(code, why)), now);
    }

    /// Answers those who have waited for this.
    pub(super) fn serve_the_desk(&mut self, report: &Report, now: Moment) {
        if let Report::Ready(slot, ..) = report {
            self.desk.newest = Some(*slot);
        }
        for (ticket, awaited) in std::mem::take(&mut self.desk.waiting) {
            match self.outcome(awaited, report, now) {
                Outcome::Waits(awaited) => self.desk.waiting.push((ticket, awaited)),
                Outcome::Done(result) => self.answer(ticket, &result, now),
            }
        }
    }

    fn outcome(&self, awaited: Awaited, report: &Report, now: Moment) -> Outcome {
        let stops = matches!(report, Report::Leaving(_) | Report::Stopping { .. });
        match (awaited, report) {
            (Awaited::Stop, _) => Outcome::Waits(awaited), // the end of the connection says that it is done
            _ if stops => Outcome::refused(Code::Stopping, "the server is stopping"),
            (Awaited::ReloadBegins, Report::ReloadStarted(generation)) => {
                Outcome::Waits(Awaited::Reload { generation: *generation, begun: now })
            }
            (Awaited::Reload { generation, .. }, Report::ReloadFailed(ended, _)) if generation == *ended => {
                let last = self.record.last_reload.as_ref();
                let code = if last.is_some_and(|last| last.refused) { Code::Refused } else { Code::Failed };
                let why = last.and_then(|last| last.failure.as_deref());
                Outcome::refused(code, why.unwrap_or("the reload failed"))
            }
            (Awaited::Reload { generation, .. }, Report::ReloadOvertaken(ended)) if generation == *ended => {
                Outcome::refused(Code::Failed, "its workers fail to boot; the next reload began instead")
            }
            (Awaited::Reload { generation, begun }, Report::ServesAlone(alone)) if *alone >= generation => {
                let took_seconds = now.since(begun).as_secs_f64();
                Outcome::done(&Reloaded { generation: alone.0, took_seconds })
            }
            (Awaited::Upgrade, Report::UpgradeRefused(UpgradeRefusal::Running)) => {
                Outcome::refused(Code::Busy, "an upgrade is running already")
            }
            (Awaited::Upgrade, Report::UpgradeRefused(UpgradeRefusal::Starting)) => {
                Outcome::refused(Code::Refused, "no worker serves yet")
            }
            (Awaited::Upgrade, Report::UpgradeRefused(UpgradeRefusal::Unfinished)) => {
                Outcome::refused(Code::Refused, "the master before this one still runs; end it first")
            }
            (Awaited::Upgrade, Report::UpgradeFailed(failure)) => {
                Outcome::refused(Code::Failed, &upgrade_failed(*failure))
            }
            (Awaited::Upgrade, Report::SuccessorServes) => {
                let pid = self.successor.as_ref().map_or(0, |successor| successor.pid.0);
                Outcome::done(&Upgraded { pid })
            }
            (awaited, Report::BootBackOff { .. } | Report::CrashLoop { .. } | Report::ForkFailed(..))
                if self.needs_boots(awaited) =>
            {
                Outcome::refused(
                    Code::Failed,
                    "workers fail to boot, and the server goes on trying; its log tells why",
                )
            }
            (Awaited::Restart(slot), Report::Retiring(retired, ..)) if slot == *retired => {
                self.restarted(slot)
            }
            (Awaited::Restart(slot), Report::Dead(death)) if slot == death.slot => {
                Outcome::Waits(Awaited::Successor(slot))
            }
            (Awaited::Successor(slot), Report::Ready(..)) => self.restarted(slot),
            (awaited, _) => Outcome::Waits(awaited),
        }
    }

    /// Whether somebody waits for workers of the settings in force.
    fn needs_boots(&self, awaited: Awaited) -> bool {
        match awaited {
            Awaited::Scale(_) | Awaited::Restart(_) | Awaited::Successor(_) => true,
            Awaited::Reload { generation, .. } => generation == self.generation,
            Awaited::ReloadBegins | Awaited::Upgrade | Awaited::Stop => false,
        }
    }

    fn restarted(&self, slot: Slot) -> Outcome {
        let new_slot = self.desk.newest.unwrap_or(slot);
        let new_pid = self.children.get(&new_slot).map_or(Pid(0), |child| child.pid).0;
        Outcome::done(&Restarted { slot: slot.0, new_slot: new_slot.0, new_pid })
    }

    /// Answers those who wait, before another program takes this one's place, where nobody could. Who has asked for that is
    /// answered if it fails, and asks the next program if not.
    pub(super) fn clear_the_desk(&mut self, now: Moment) {
        let (staying, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.desk.waiting)
            .into_iter()
            .partition(|(_, awaited)| *awaited == Awaited::Upgrade);
        self.desk.waiting = staying;
        for (ticket, _) in others {
            let why = "an upgrade came first; what was asked for may be done all the same: look at `status`";
            self.refuse(ticket, Code::Busy, why.into(), now);
        }
    }

    /// Answers those who have waited for the pool to have a size. No report says so: it is what the pool comes to.
    pub(super) fn look_at_the_size(&mut self) {
        if !self.desk.waiting.iter().any(|(_, awaited)| matches!(awaited, Awaited::Scale(_))) {
            return;
        }
        let (now, figures, target) = (sys::now(), self.arbiter.figures(), self.arbiter.target());
        let halted = self.arbiter.is_halted();
        for (ticket, awaited) in std::mem::take(&mut self.desk.waiting) {
            match awaited {
                Awaited::Scale(workers) if workers != target => {
                    self.refuse(
                        ticket,
                        Code::Failed,
                        format!("{target} workers were asked for meanwhile"),
                        now,
                    );
                }
                Awaited::Scale(_) if halted => self.refuse(ticket, Code::Failed, HALTED.into(), now),
                Awaited::Scale(workers) if figures.ready == usize::from(workers) && figures.booting == 0 => {
                    self.answer(ticket, &Ok(Scaled { workers }), now);
                }
                awaited => self.desk.waiting.push((ticket, awaited)),
            }
        }
    }
}

/// Whether somebody has waited long enough.
enum Outcome {
    Waits(Awaited),
    Done(Result<serde_json::Value, Refusal>),
}

impl Outcome {
    fn refused(code: Code, why: &str) -> Self {
        Self::Done(Err(Refusal::new(code, why)))
    }

    fn done(result: &impl Serialize) -> Self {
        let result = serde_json::to_value(result);
        Self::Done(result.map_err(|error| Refusal::new(Code::Failed, error.to_string())))
    }
}
