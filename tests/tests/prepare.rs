//! What the application does once before there are workers: here it waits for a lock that the test holds.

use std::fs::File;

use kit::{Server, Setup, Signal, children, is_alive, until};
use serde_json::json;
use tempfile::TempDir;

/// DevSim on a database in a folder that outlives the server.
fn devsim(folder: &TempDir, config: &str) -> Setup {
    let database = folder.path().join("devsim.sqlite");
    Server::devsim(config).variable("DATABASE_URL", &format!("sqlite:///{}", database.display()))
}

/// The database's lock, which whoever brings it up to date waits for.
fn lock(folder: &TempDir) -> File {
    let file = File::create(folder.path().join("devsim.sqlite.migrate-lock")).expect("a file can be made");
    file.lock().expect("a file can be locked");
    file
}

#[test]
fn a_term_during_the_preparation_ends_with_0() {
    let folder = TempDir::new().expect("a folder");
    let _lock = lock(&folder);
    let mut server = devsim(&folder, "").start_slowly();
    server.wait_for("the preparation", |server| children(server.pid()).first().copied());
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
}

#[test]
fn a_preparation_that_hangs_ends_the_start_with_3_at_boot_timeout() {
    let folder = TempDir::new().expect("a folder");
    let _lock = lock(&folder);
    let ended = devsim(&folder, "[server]\nboot_timeout = 0.5\n").run_to_its_end();
    assert_eq!(ended.code, Some(3));
    assert!(ended.said.contains("boot_timeout"), "{}", ended.said);
}

#[test]
fn a_preparation_that_refuses_or_panics_ends_the_start_with_1() {
    for how in ["fail", "panic"] {
        let ended = Server::echo("").variable("ECHO_PREPARE", how).run_to_its_end();
        assert_eq!(ended.code, Some(1), "{}", ended.said);
        assert!(ended.said.contains("told to"), "{}", ended.said);
    }
}

#[test]
fn a_preparation_goes_with_its_master() {
    let server = Server::echo("").variable("ECHO_PREPARE", "slow=60").start_slowly();
    let helper = server.wait_for("the preparation", |server| children(server.pid()).first().copied());
    server.signal(Signal::KILL);
    assert!(until(|| (!is_alive(helper)).then_some(())).is_some(), "an orphan is left");
}

#[test]
fn a_reload_whose_preparation_hangs_keeps_the_pool() {
    let folder = TempDir::new().expect("a folder");
    let server = devsim(&folder, "[server]\nworkers = 1\n").start();
    let before = server.wait_for_workers(1);
    let lock = lock(&folder);
    server.reconfigure("[server]\nworkers = 1\nboot_timeout = 0.5\n");
    server.wait_for_line(&["reload", "refused", "boot_timeout"]);
    assert_eq!(server.get("/api/health").status, 200);
    assert_eq!(server.wait_for_workers(1), before);
    drop(lock);
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 1);
}

#[test]
fn a_reload_whose_preparation_panics_keeps_the_pool_and_says_so_in_the_log() {
    let server = Server::echo("[server]\nworkers = 1\n").start();
    let before = server.wait_for_workers(1);
    server.reconfigure("[server]\nworkers = 1\nraw_env = [\"ECHO_PREPARE=panic\"]\n");
    server.wait_for_line(&["[ERROR]", "reload", "refused", "preparation"]);
    let panic = server.line_with(&["[ERROR]", "panic", "told to panic"]);
    assert!(panic.is_some(), "the panic is no line of the log:\n{}", server.said());
    assert_eq!(server.wait_for_workers(1), before);
}

#[test]
fn two_servers_that_start_at_once_on_one_database_both_serve_it() {
    let folder = TempDir::new().expect("a folder");
    let lock = lock(&folder);
    let [one, other] = [(); 2].map(|()| devsim(&folder, "[server]\nworkers = 1\n").start_slowly());
    for server in [&one, &other] {
        server.wait_for("the preparation", |server| children(server.pid()).first().copied());
    }
    drop(lock);
    for server in [&one, &other] {
        server.wait_for("an answer", |server| server.try_get("/api/health").ok());
    }
    assert_eq!(one.send_json("POST", "/api/devices", &json!({"name": "shared"})).status, 201);
    assert_eq!(other.get("/api/devices/1").json()["name"], "shared");
}
