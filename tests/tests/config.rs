//! Configuration: every problem at once, and every layer.

use kit::Server;

const BROKEN: &str = "[server]\nworkers = 0\ntimeot = 5\nbind = [\"127.0.0.1:99999\"]\nuser = \"no-such-user\"\n[sever]\nx = 1\n";

#[test]
fn a_bad_configuration_is_reported_whole_with_its_lines_and_nothing_starts() {
    for flags in [&[][..], &["--check-config"][..]] {
        let mut setup = Server::devsim(BROKEN).without_bind();
        for flag in flags {
            setup = setup.flags([flag]);
        }
        let ended = setup.run_to_its_end();
        assert_eq!(ended.code, Some(1), "{}", ended.said);
        for word in [
            "devsim.toml:2: server.workers",
            "devsim.toml:3: server.timeot",
            "did you mean `timeout`?",
            "devsim.toml:4: server.bind",
            "99999",
            "devsim.toml:5: server.user",
            "no-such-user",
            "devsim.toml:6",
            "server",
        ] {
            assert!(ended.said.contains(word), "{word} is not in:\n{}", ended.said);
        }
        assert!(!ended.said.contains("listening"), "{}", ended.said);
    }
}

#[test]
fn a_good_configuration_passes_the_check_and_starts_nothing() {
    let ended = Server::devsim("[server]\nworkers = 2\n").flags(["--check-config"]).run_to_its_end();
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.said, "");
}

#[test]
fn the_printed_configuration_names_the_layer_that_won_and_can_be_read_back() {
    let setup = |config: &str| Server::devsim(config).without_bind();
    let config = "[server]\nworkers = 2\ntimeout = 7\nkeepalive = 3\n";
    let ended = setup(config)
        .variable("DEVSIM_SERVER__TIMEOUT", "8")
        .variable("DATABASE_URL", "sqlite:///elsewhere.sqlite")
        .flags(["--keep-alive", "9", "--print-config"])
        .run_to_its_end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let line =
        |key: &str| ended.said.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
    for (key, value, layer) in [
        ("workers =", "= 2", "devsim.toml:2"),
        ("timeout =", "= 8", "DEVSIM_SERVER__TIMEOUT"),
        ("keepalive =", "= 9", "--keep-alive"),
        ("database_url =", "elsewhere", "DATABASE_URL"),
        ("max_requests =", "= 2000", "default"),
    ] {
        let line = line(key);
        assert!(line.contains(value) && line.contains(layer), "{key}: {line}\n{}", ended.said);
    }
    let again = setup(&ended.said).flags(["--print-config"]).run_to_its_end();
    let values = |said: &str| -> Vec<String> {
        said.lines().map(|line| line.split(" # ").next().unwrap_or_default().trim().to_owned()).collect()
    };
    assert_eq!(values(&again.said), values(&ended.said));
}

#[test]
fn an_unknown_variable_is_one_warning_and_others_are_never_looked_at() {
    let server = Server::echo("[server]\nworkers = 1\n")
        .variable("DEVSIM_SERVER__WORKERZ", "3")
        .variable("DEVSIM_SECRET", "unseen")
        .start();
    let said = server.said();
    assert_eq!(said.matches("DEVSIM_SERVER__WORKERZ").count(), 1, "{said}");
    assert!(!said.contains("DEVSIM_SECRET"), "{said}");
}

#[test]
fn a_flag_that_gunicorn_has_and_we_have_not_says_what_to_do() {
    for (flag, advice) in [
        ("--daemon", "systemd"),
        ("-D", "systemd"),
        ("--threads", "--workers"),
        ("--certfile", "proxy"),
        ("--header-map", "not yet"),
    ] {
        let ended = Server::echo("").flags([flag]).run_to_its_end();
        assert_eq!(ended.code, Some(1));
        assert!(ended.said.contains(flag) && ended.said.contains(advice), "{}", ended.said);
    }
}

#[test]
fn a_check_looks_at_the_database_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let path = folder.path().join("the.sqlite");
    let check = || {
        let config = format!("[app]\ndatabase_url = \"{}\"\n", path.display());
        Server::devsim(&config).flags(["--check-config"]).run_to_its_end()
    };
    assert_eq!(check().code, Some(0), "what is not there yet can be made");
    assert!(!path.exists(), "but is not");
    let other = b"this is no database, though it is long enough to be taken for one, with a hundred bytes and more of it";
    std::fs::write(&path, other).expect("a file can be written");
    let refused = check();
    assert_eq!(refused.code, Some(1));
    assert!(refused.said.contains("the.sqlite"), "{}", refused.said);
    assert_eq!(std::fs::read(&path).expect("it is there"), other);
}
