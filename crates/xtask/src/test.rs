//! Every test.

use anyhow::Result;

use crate::packages;
use crate::run::{cargo, run};

/// Installs what is missing, builds the programs that the process-level tests run, and runs all tests.
pub(crate) fn test(arguments: &[String]) -> Result<()> {
    packages::install()?;
    run(cargo().args(["build", "--locked", "--bins", "--examples"]))?;
    run(cargo().args(["test", "--locked"]).args(arguments))
}
