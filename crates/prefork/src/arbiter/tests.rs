//! The rules of the heart, played out on virtual time.

mod deeds;
mod op;
mod referee;
mod rules;
mod world;
