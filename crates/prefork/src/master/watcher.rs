//! Files whose change is a reload, for development (`server.reload`).

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::app::App;
use crate::arbiter::{Event, Signal};

use super::Master;

/// What tells one state of a file from another: where it is, how large, and when it was written. `None` if it is not there.
type State = Option<(u64, u64, i64, i64)>;

/// The watched files as they were last seen.
#[derive(Default)]
pub(super) struct Watcher {
    seen: Vec<(PathBuf, State)>,
    /// A file has changed, and may go on changing: editors and deployments write in several steps.
    changing: Option<PathBuf>,
}

impl Watcher {
    /// Looks at the files; the one that has changed and is at rest since the last look.
    fn look(&mut self, files: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
        let now: Vec<(PathBuf, State)> = files.map(|path| (path.clone(), state_of(&path))).collect();
        let known = |path: &PathBuf| self.seen.iter().find(|(seen, _)| seen == path);
        let changed = now.iter().find(|(path, state)| known(path).is_some_and(|(_, before)| before != state));
        let changed = changed.map(|(path, _)| path.clone());
        self.seen = now;
        match changed {
            Some(path) => {
                self.changing = Some(path);
                None
            }
            None => self.changing.take(),
        }
    }
}

fn state_of(path: &PathBuf) -> State {
    let found = std::fs::metadata(path).ok()?;
    Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
}

impl<A: App> Master<A> {
    /// Looks whether a file asks for a reload.
    pub(super) fn look_at_the_files(&mut self) {
        let Some(process) =
            self.settings().map(|settings| &settings.process).filter(|process| process.reload)
        else {
            return;
        };
        let files: Vec<PathBuf> = self.watched.iter().chain(&process.reload_extra_files).cloned().collect();
        if let Some(path) = self.watcher.look(files.into_iter()) {
            tracing::info!("{} has changed: reload", path.display());
            if self.arbiter.heeds(Signal::Hup) {
                self.events.push_back(Event::Signal(Signal::Hup));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_of_once_it_has_changed_and_is_at_rest() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.toml");
        let mut watcher = Watcher::default();
        let mut look = || watcher.look([path.clone()].into_iter());
        assert_eq!(look(), None, "what was never seen has not changed");
        std::fs::write(&path, "one").expect("writable");
        assert_eq!(look(), None, "it may not be finished");
        std::fs::write(&path, "and two").expect("writable");
        assert_eq!(look(), None, "nor is it now");
        assert_eq!(look(), Some(path.clone()));
        assert_eq!(look(), None, "once");
        std::fs::remove_file(&path).expect("removable");
        assert_eq!((look(), look()), (None, Some(path.clone())));
    }
}
