//! What a hook's command gets of the server: little.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use kit::{Server, Setup, Signal, skipped};
use tempfile::TempDir;

/// Tells as whom it runs, which descriptors above 2 it has, where, and with which environment; opens nothing for that.
const TELL: &str = "\
    exec >FOLDER/$DEVSIM_HOOK.$$; id -u; id -g; id -G; \
    n=3; while [ $n -lt 64 ]; do [ -L /proc/$$/fd/$n ] && echo open $n; n=$((n+1)); done; \
    env; echo whole";

struct Stage {
    folder: TempDir,
    hooks: String,
}

impl Stage {
    fn new() -> Self {
        let folder = TempDir::with_prefix("devsim-hooks-").expect("a temporary directory can be made");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("its mode can be set");
        let tell = TELL.replace("FOLDER", &folder.path().display().to_string());
        let names = ["on_starting", "when_ready", "pre_fork", "post_fork", "post_worker_init", "child_exit"];
        let hooks = names.map(|name| format!("{name} = {tell:?}\n")).concat();
        Self { folder, hooks: format!("[hooks]\n{hooks}on_exit = {tell:?}\n") }
    }

    /// A server with all kinds of descriptors, started by somebody who was careless with his own.
    fn setup(&self, keys: &str) -> Setup {
        let own = "pidfile = \"a.pid\"\ncontrol_socket = \"a.ctl\"\n";
        let config = format!("[server]\nworkers = 2\nrequest_buffer_dir = \"/var/tmp\"\n{own}{keys}");
        let careless = "export LISTEN_PID=1 LISTEN_FDS=1; exec 7</dev/null 9>&1; exec \"$@\"";
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Server::echo(&format!("{config}{}[logging]\ndir = \"logs\"\n", self.hooks))
            .flags(["-b", "unix:a.sock"])
            .handing([socket.into()])
            .under(["sh", "-c", careless, "sh"])
    }

    /// What all commands have told, once `count` of them have told it whole.
    fn told(&self, server: &Server, count: usize) -> Vec<String> {
        server.wait_for("hooks", |_| {
            let entries = fs::read_dir(self.folder.path()).ok()?;
            let told = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
            let told: Vec<String> = told.filter(|told| told.ends_with("whole\n")).collect();
            (told.len() >= count).then_some(told)
        })
    }
}

#[test]
fn a_command_has_no_descriptor_above_2_and_no_secret_in_its_environment() {
    let stage = Stage::new();
    let server = stage
        .setup("raw_env = [\"RAW=secret\"]\n")
        .variable("DATABASE_URL", "sqlite:///secret.sqlite")
        .variable("DEVSIM_SECRET", "secret")
        .variable("NOTIFY_SOCKET", "/secret")
        .variable("LANG", "C")
        .start();
    server.lose_a_worker(Signal::KILL, 2);
    let told = stage.told(&server, 12);
    let names = |told: &str| -> BTreeSet<String> {
        let variables = told.lines().filter_map(|line| line.split_once('='));
        variables.map(|(name, _)| name.to_owned()).collect()
    };
    for told in &told {
        assert!(!told.contains("open "), "{told}");
        assert!(!told.contains("secret"), "{told}");
        assert!(told.contains("\nLANG=C\n") && told.contains("\nPATH="), "{told}");
        let known =
            ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR", "PWD", "_"];
        let others = names(told);
        let others: Vec<_> = others.iter().filter(|name| !known.contains(&name.as_str())).collect();
        assert!(others.iter().all(|name| name.starts_with("DEVSIM_")), "{others:?}");
        assert!(told.contains(&format!("\nDEVSIM_MASTER_PID={}\n", server.pid())), "{told}");
    }
}

#[test]
fn commands_run_as_the_workers_user_also_the_first_and_the_last() {
    if !rustix::process::geteuid().is_root() {
        return skipped("only root can become somebody else");
    }
    let stage = Stage::new();
    let mut server = stage.setup("user = \"nobody\"\ngroup = \"daemon\"\n").start();
    server.wait_for_workers(2);
    stage.told(&server, 8);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    let told = stage.told(&server, 11);
    for told in &told {
        assert!(told.starts_with("65534\n1\n1\n"), "{told}");
    }
    for hook in ["on_starting", "on_exit"] {
        assert!(told.iter().any(|told| told.contains(&format!("DEVSIM_HOOK={hook}\n"))), "{told:?}");
    }
}
