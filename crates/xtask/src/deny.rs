//! What may be in the tree of dependencies.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::run::{cargo, root, run, target};

const VERSION: &str = "0.20.2";

/// Checks bans, licences and sources. Not advisories: their database is in no package registry.
pub(crate) fn deny() -> Result<()> {
    let program = installed()?;
    run(Command::new(program).current_dir(root()).args([
        "--workspace",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))
}

/// cargo-deny, built once into the target directory.
fn installed() -> Result<PathBuf> {
    let tools = target().join("tools");
    let program = tools.join(format!("cargo-deny-{VERSION}"));
    if !program.exists() {
        run(cargo()
            .args(["install", "cargo-deny", "--locked", "--version", VERSION])
            .arg("--root")
            .arg(&tools))?;
        // A rename is all or nothing: what stands under the version's name is whole.
        std::fs::rename(tools.join("bin/cargo-deny"), &program)
            .with_context(|| format!("{} cannot be put in its place", program.display()))?;
    }
    Ok(program)
}
