//! Where a server listens.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// An address that can be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Place {
    /// The place that a line of the master's tells after these words.
    fn told(line: &str, words: &str) -> Option<Self> {
        let (_, told) = line.split_once(words)?;
        let told = told.rsplit_once(" (pid ").map_or(told, |(told, _)| told);
        match told.strip_prefix("unix:") {
            Some(path) => Some(Self::Unix(path.into())),
            None => Some(Self::Tcp(told.strip_prefix("http://")?.parse().ok()?)),
        }
    }
}

impl From<SocketAddr> for Place {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Self::Unix(path.into())
    }
}

impl From<&Place> for Place {
    fn from(place: &Place) -> Self {
        place.clone()
    }
}

/// Where the master's lines say that it listens, in the order in which it began to.
pub(crate) fn places_in(said: &str) -> Vec<Place> {
    let mut places = Vec::new();
    for line in said.lines() {
        if let Some(place) = Place::told(line, "] no longer listening at ") {
            places.retain(|there| *there != place);
        } else if let Some(place) = Place::told(line, "] listening at ") {
            places.push(place);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_there_from_its_line_to_the_line_of_its_end() {
        let said = "\
            [7] [INFO] listening at http://127.0.0.1:80 (pid 7)\n\
            [7] [INFO] listening at unix:/run/a b (pid 3).sock (pid 7)\n\
            [7] [INFO] listening at http://[::1]:81 (pid 7)\n\
            [7] [INFO] no longer listening at http://127.0.0.1:80\n";
        let six = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 81));
        assert_eq!(places_in(said), [Place::Unix("/run/a b (pid 3).sock".into()), six.into()]);
    }
}
