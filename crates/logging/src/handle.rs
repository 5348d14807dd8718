//! What a program changes of its log while it runs.

use std::sync::Arc;

use crate::Error;
use crate::file::{Failure, Owner};
use crate::log::State;
use crate::settings::Settings;

/// Changes an installed log, without a lock.
#[derive(Clone, Debug)]
pub struct Handle(pub(crate) Arc<State>);

impl Handle {
    /// Takes over all settings, for this process and those that it forks from now on, and opens files anew as
    /// [`reopen`](Self::reopen) does. What cannot be opened is a warning, and its lines go to the console.
    ///
    /// # Errors
    /// The stream of the console is not open; all remains as it was.
    pub fn apply(&self, settings: &Settings) -> Result<(), Error> {
        let failures = self.0.apply(settings)?;
        // The disabled call sites were told so for good; let them ask again.
        tracing::callsite::rebuild_interest_cache();
        Failure::warn(
            &failures,
            "its lines go to the console until it can be opened; see the paths in [logging]",
        );
        Ok(())
    }

    /// Opens every file anew, in this process: somebody has moved them away. Lines that other threads write meanwhile go to
    /// the old or to the new file. A file that cannot be opened keeps its old descriptor, and there is one warning until it
    /// can.
    pub fn reopen(&self) {
        let failures = self.0.reopen();
        Failure::warn(&failures, "lines go on where they went before");
    }

    /// Gives the files that were and will be made by this process to a user and a group, so that processes that have become
    /// them can open them anew.
    pub fn owned_by(&self, uid: Option<u32>, gid: Option<u32>) {
        let failures = self.0.owned_by(Owner { uid, gid });
        Failure::warn(&failures, "who runs as them may not be able to open it anew");
    }

    /// What takes the lines of the access log, each without its line end; `None` if the settings want none. It writes a line as
    /// one write(2), and follows reloads and files that are opened anew. What is not taken is dropped and counted: a warning
    /// in the log tells how many were, as that file is for lines of one kind.
    ///
    /// On a pipe, a line of up to 4094 bytes is never torn (pipe(7), PIPE_BUF).
    pub fn access_log(&self) -> Option<impl Fn(&str) + Clone + Send + Sync + use<>> {
        self.0.routes().access()?;
        let state = Arc::clone(&self.0);
        Some(move |line: &str| state.write_access(line))
    }
}
