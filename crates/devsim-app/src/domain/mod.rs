//! Types and rules of DevSim. No I/O and no clock in here.

pub(crate) mod csv;
pub(crate) mod dataset;
pub(crate) mod device;
pub(crate) mod json;
pub(crate) mod page;
pub(crate) mod search;
pub(crate) mod timestamp;
