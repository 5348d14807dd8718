//! Figures of the machine, sampled beside the requests that ask for them.

mod figures;
mod sampler;

pub(crate) use figures::{Figures, Status};
pub(crate) use sampler::System;
