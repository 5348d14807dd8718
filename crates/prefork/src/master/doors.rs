//! The listeners over reloads and masters: who still takes what waits in them.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::listener::{Listener, ListenerId, Place, open_missing};
use crate::settings::Settings;

use super::{Child, Master};

/// A listener, as the master remembers it of a worker.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Door {
    id: ListenerId,
    /// Whoever handed it to us keeps it.
    handed: bool,
}

impl Door {
    pub(super) fn of(listener: &Listener) -> Self {
        Self { id: listener.id(), handed: listener.is_handed() }
    }
}

impl<A: App> Master<A> {
    /// Opens what the settings want and is not open yet; gives all that they want.
    pub(super) fn open_listeners(&mut self, settings: &Settings) -> Result<Vec<ListenerId>, String> {
        if self.activated {
            return Ok(self.listeners.iter().map(Listener::id).collect());
        }
        let (sockets, identity) = (&settings.sockets, &settings.identity);
        let opened = settings.process.visit(|| open_missing(sockets, identity, &self.listeners));
        let (wanted, fresh) =
            opened.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        for listener in &fresh {
            tracing::info!("listening at {} (pid {})", listener.place(), self.pid);
        }
        self.listeners.extend(fresh);
        Ok(wanted)
    }

    /// Takes over what a reload has changed of the listeners: those that nobody wants any more are closed here, and each
    /// of their workers empties them when it drains.
    pub(super) fn adjust_listeners(&mut self) {
        self.close_unwanted_listeners();
        let Some(setup) = self.setups.get(&self.generation) else { return };
        for listener in &mut self.listeners {
            if let Err(error) = listener.adjust(&setup.settings.sockets) {
                tracing::warn!(
                    "{}: backlog and defer_accept could not be changed: {error}",
                    listener.place()
                );
            }
        }
    }

    pub(super) fn close_unwanted_listeners(&mut self) {
        let wanted: Vec<ListenerId> =
            self.setups.values().flat_map(|setup| setup.listeners.iter().copied()).collect();
        let is_shared = self.shares_its_sockets();
        self.listeners.retain_mut(|listener| {
            let keep = wanted.contains(&listener.id());
            if !keep {
                tracing::info!("no longer listening at {}", listener.place());
                if !is_shared {
                    listener.remove_file();
                }
            }
            keep
        });
    }

    /// The master lets go of all of them: what comes now is for the workers alone, or for whoever shares them.
    pub(super) fn leave_the_listeners(&mut self) {
        self.hang_up();
        self.shared = self.shares_its_sockets();
        if !self.shared {
            for listener in &mut self.listeners {
                listener.remove_file();
            }
        }
        self.listeners.clear();
        // Also to those that drain already or were aborted: they get no other word of the stop.
        for (slot, child) in &self.children {
            child.board.orders.leave_to(*slot, self.left_to(child));
        }
    }

    /// Which of a worker's listeners nobody else takes anything from, as bits.
    pub(super) fn left_to(&self, child: &Child) -> u64 {
        if self.shared || self.shares_its_sockets() {
            return 0;
        }
        let open =
            |door: &Door| door.handed || self.listeners.iter().any(|listener| listener.id() == door.id);
        let left = child.doors.iter().enumerate().filter(|(_, door)| !open(door));
        left.map(|(index, _)| 1 << index).sum()
    }

    /// The TCP addresses that are listened on.
    pub(super) fn addresses(&self) -> Vec<std::net::SocketAddr> {
        let tcp = |listener: &Listener| match listener.place() {
            Place::Tcp(address) => Some(*address),
            Place::Unix(_) => None,
        };
        self.listeners.iter().filter_map(tcp).collect()
    }
}
