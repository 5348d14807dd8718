//! Starting, and not starting.

use kit::{Server, threads};

#[test]
fn the_affinity_mask_counts_and_not_the_machine() {
    let server = Server::echo("").under(["taskset", "-c", "0"]).start();
    server.wait_for_workers(3);
    server.wait_for_line(&["workers: 3 (\"auto\": 1 core gives 3"]);
    assert_eq!(threads(server.pid()), 1, "the master has one thread");
}

#[test]
fn an_application_that_cannot_be_built_ends_the_start_with_4_and_its_own_words() {
    let ended = Server::echo("").variable("ECHO_BOOT", "fail").run_to_its_end();
    assert_eq!(ended.code, Some(4));
    assert!(ended.said.contains("ECHO_BOOT=fail: told to fail"), "{}", ended.said);
}

#[test]
fn a_boot_that_hangs_ends_the_start_with_3_at_boot_timeout() {
    let config = "[server]\nworkers = 2\nboot_timeout = 0.5\nraw_env = [\"ECHO_BOOT=slow=60\"]\n";
    let ended = Server::echo(config).run_to_its_end();
    assert_eq!(ended.code, Some(3));
    assert!(ended.said.contains("boot_timeout"), "{}", ended.said);
}

#[test]
fn a_slow_boot_is_not_measured_by_timeout() {
    let config = "[server]\nworkers = 1\ntimeout = 0.4\nraw_env = [\"ECHO_BOOT=slow=1.5\"]\n";
    let server = Server::echo(config).start();
    assert_eq!(server.line_with(&["given up"]), None);
}

#[test]
fn a_busy_address_ends_with_5_and_is_named() {
    let first = Server::echo("[server]\nworkers = 1\n").start();
    let address = first.address().to_string();
    let second = Server::echo("").without_bind().flags(["-b", &address]).run_to_its_end();
    assert_eq!(second.code, Some(5));
    assert!(second.said.contains(&address), "{}", second.said);
}

#[test]
fn a_preparation_that_fails_ends_with_1_and_its_words() {
    let config = "[app]\ndatabase_url = \"sqlite:////proc/no/such/place.sqlite\"\n";
    let ended = Server::devsim(config).run_to_its_end();
    assert_eq!(ended.code, Some(1));
    assert!(ended.said.contains("/proc/no/such"), "{}", ended.said);
}

#[test]
fn it_says_where_it_serves_and_what_to_try() {
    let server = Server::devsim("[server]\nworkers = 1\n").start();
    let address = server.address().to_string();
    server.wait_for_line(&["try: curl", &address]);
}

#[test]
fn two_addresses_are_served_by_the_same_workers() {
    let server = Server::echo("[server]\nworkers = 1\n").flags(["-b", "[::1]:0"]).start();
    let second = server.places().pop().expect("a second address is announced");
    let mut connection = kit::Connection::open(second).expect("it listens there");
    let there = connection.get("/there", "").expect("an answer").json()["pid"].clone();
    assert_eq!(server.get("/here").json()["pid"], there);
}
