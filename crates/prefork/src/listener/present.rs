//! What is listened at already, when settings say what is to be.

use std::path::Path;

use crate::settings::Address;
use crate::socket_file::SocketFile;

use super::{HandedListener, Listener, ListenerId, Place, absolute};

/// Something that is listened at, here or by the master before this one.
#[derive(Clone, Copy)]
pub(crate) struct Present<'a> {
    pub(super) id: ListenerId,
    address: &'a Address,
    place: &'a Place,
    file: Option<&'a SocketFile>,
}

impl Present<'_> {
    /// Whether an address means it. A relative path means another place in another working directory, and the same one in a
    /// directory that was only renamed.
    pub(super) fn is_at(&self, address: &Address) -> bool {
        let is_there = |path: &Path| {
            *self.place == Place::Unix(absolute(path)) || self.file.is_none_or(|file| file.lies_at(path))
        };
        self.address == address
            && match address {
                Address::Unix(path) => is_there(path),
                Address::Tcp { .. } | Address::Descriptor(_) => true,
            }
    }
}

impl Listener {
    /// What a configuration may mean by one of its addresses.
    pub(crate) fn as_present(&self) -> Present<'_> {
        let Self { id, address, place, file, .. } = self;
        Present { id: *id, address, place, file: file.as_ref() }
    }
}

impl HandedListener {
    pub(super) fn as_present(&self) -> Present<'_> {
        let Self { id, address, place, file, .. } = self;
        Present { id: *id, address, place, file: file.as_ref() }
    }
}
