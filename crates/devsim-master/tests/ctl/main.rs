//! devsim-ctl, as it is told by an operator's shell and by programs: words, exit status and output, against a server that
//! says what the test wants.

mod answers;
mod failures;
mod fake;
mod place;
