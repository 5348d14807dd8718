//! The rules of the heart, played out on virtual time.

mod rules;
mod world;
