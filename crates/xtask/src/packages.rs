//! What the tests need of the machine, and where it comes from.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::run::run;

/// A program, the Debian package that has it, and what it is for.
struct Need {
    program: &'static str,
    package: &'static str,
    purpose: &'static str,
}

/// Every Debian package that a test needs stands here, but for the C compiler: without one there is no xtask.
const NEEDS: &[Need] = &[
    Need { program: "taskset", package: "util-linux", purpose: "starts a server on one processor" },
    Need { program: "prlimit", package: "util-linux", purpose: "starts a server with few descriptors" },
    Need { program: "setsid", package: "util-linux", purpose: "starts a server without a terminal" },
    Need { program: "unshare", package: "util-linux", purpose: "starts a server as process 1" },
    Need { program: "script", package: "bsdutils", purpose: "starts a server at a terminal" },
    Need { program: "nohup", package: "coreutils", purpose: "starts a server with SIGHUP ignored" },
    Need { program: "cp", package: "coreutils", purpose: "installs the programs that are upgraded" },
    Need { program: "kill", package: "procps", purpose: "sends signals from another process" },
    Need { program: "sh", package: "dash", purpose: "starts a server with signals ignored" },
    Need { program: "bash", package: "bash", purpose: "starts a server under another name" },
];

/// Installs what is missing, if we may.
pub(crate) fn install() -> Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !is_there(need.program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for Need { program, package, purpose } in &missing {
        eprintln!("missing: {program} (Debian package {package}), which {purpose}");
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let Some(before) = privileges() else {
        bail!("install these packages, or run this as root: {}", packages.join(" "));
    };
    run(&mut apt_get(before, &["update"]))?;
    run(apt_get(before, &["install", "-y", "--no-install-recommends"]).args(packages))
}

/// What has to stand before a command so that it may install; `None` if nothing helps.
fn privileges() -> Option<&'static [&'static str]> {
    const SUDO: &[&str] = &["sudo", "-n"]; // asks no password: fails instead
    let succeeds = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let id = Command::new("id").arg("-u").output();
    if !is_there("apt-get") {
        None
    } else if id.is_ok_and(|id| id.stdout.trim_ascii() == b"0") {
        Some(&[])
    } else if succeeds("sudo", &["-n", "true"]) {
        Some(SUDO)
    } else {
        None
    }
}

fn apt_get(before: &[&str], arguments: &[&str]) -> Command {
    let mut words = before.iter().chain(&["apt-get"]);
    let mut command = Command::new(words.next().copied().unwrap_or("apt-get"));
    command.args(words).args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    command
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| Path::new(&folder).join(program).is_file())
}
