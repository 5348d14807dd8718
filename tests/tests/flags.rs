//! Gunicorn's flags for the process and its sockets, on the command line and in GUNICORN_CMD_ARGS.

use std::fs;

use kit::{Connection, Ended, Place, Server, Setup, Signal, title};

const ONE: &str = "[server]\nworkers = 1\nbind = \"127.0.0.1:1\"\nproc_name = \"of-the-file\"\n";

/// Each flag in both its spellings, the key that it sets, and how that is shown then.
const FLAGS: [(&[&str], &str, &str); 17] = [
    (&["-p", "a.pid"], "pidfile", "\"a.pid\""),
    (&["--pid=a.pid"], "pidfile", "\"a.pid\""),
    (&["-m", "022"], "umask", "\"0o022\""),
    (&["--umask", "0o27"], "umask", "\"0o027\""),
    (&["--chdir", "/tmp"], "chdir", "\"/tmp\""),
    (&["-u", "nobody"], "user", "\"nobody\""),
    (&["--user=65534"], "user", "\"65534\""),
    (&["-g", "daemon"], "group", "\"daemon\""),
    (&["--group", "1"], "group", "\"1\""),
    (&["--initgroups"], "initgroups", "true"),
    (&["-n", "shop"], "proc_name", "\"shop\""),
    (&["--name", "größe"], "proc_name", "\"größe\""),
    (&["-e", "A=1", "--env=B=x=y,z"], "raw_env", "[\"A=1\", \"B=x=y,z\"]"),
    (&["--reuse-port"], "reuse_port", "true"),
    (&["-b", "127.0.0.1:1", "--bind=unix:a.sock"], "bind", "[\"127.0.0.1:1\", \"unix:a.sock\"]"),
    (&["--bind", "[::1]:2"], "bind", "[\"[::1]:2\"]"),
    (&["--backlog", "64"], "backlog", "64"),
];

fn shown(setup: Setup) -> Ended {
    let ended = setup.flags(["--print-config"]).run_to_its_end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    ended
}

/// The value of a key, and what it is said to come from.
fn value<'a>(said: &'a str, key: &str) -> (&'a str, &'a str) {
    let line = said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
    let (value, from) = line.unwrap_or_default().split_once('#').unwrap_or_default();
    (value.trim(), from.trim())
}

#[test]
fn every_flag_sets_its_key_also_in_the_variable_and_the_command_line_wins() {
    for (words, key, expected) in FLAGS {
        let setup = || Server::echo(ONE).without_bind();
        let by_flag = words.iter().fold(setup(), |setup, word| setup.flags([word]));
        let by_variable = setup().variable("GUNICORN_CMD_ARGS", &words.join(" "));
        for (ended, origin) in
            [(shown(by_flag), "flag --"), (shown(by_variable), "environment GUNICORN_CMD_ARGS --")]
        {
            let (value, from) = value(&ended.said, key);
            assert_eq!(value, expected, "{words:?}\n{}", ended.said);
            assert!(from.starts_with(origin), "{words:?}: {from}");
        }
    }
    let both = Server::echo(ONE)
        .without_bind()
        .variable("GUNICORN_CMD_ARGS", "--name 'of the variable' -b 127.0.0.1:2 -b 127.0.0.1:3 --backlog 5")
        .flags(["-b", "127.0.0.1:4", "--name", "of-the-flag"]);
    let said = shown(both).said;
    assert_eq!(value(&said, "bind").0, "[\"127.0.0.1:4\"]");
    assert_eq!(value(&said, "proc_name").0, "\"of-the-flag\"");
    assert_eq!(value(&said, "backlog").0, "5");
}

#[test]
fn flags_in_the_variable_do_what_they_say_and_outlive_a_reload() {
    let folder = tempfile::TempDir::with_prefix("devsim-flags-").expect("a temporary directory can be made");
    let arguments = format!(
        "--pid a.pid --name shop --env 'ECHO_BOOT=slow=0.01' --chdir '{}' -b 127.0.0.1:0 -b unix:a.sock",
        folder.path().display()
    );
    let server = Server::echo(ONE).without_bind().variable("GUNICORN_CMD_ARGS", &arguments).start();
    let serves = || {
        let place = Place::Unix(folder.path().join("a.sock"));
        let answer = Connection::open(&place).and_then(|mut connection| connection.get("/", ""));
        assert_eq!(answer.expect("an answer").status, 200);
        let number = fs::read_to_string(folder.path().join("a.pid")).unwrap_or_default();
        assert_eq!(number.trim(), server.pid().to_string());
        assert_eq!(title(server.pid()), "shop: master");
    };
    serves();
    let before = server.wait_for_workers(1);
    server.signal(Signal::HUP);
    server.wait_for_others(&before, 1);
    server.wait_for_the_last_reload();
    serves();
}

#[test]
fn a_wrong_value_is_reported_with_its_flag_and_where_it_stands() {
    for (words, told) in [
        (["--umask", "9"], "octal"),
        (["--user", "no-such-user"], "no-such-user"),
        (["--group", "no-such-group"], "no-such-group"),
        (["--env", "A"], "NAME=VALUE"),
        (["--bind", "nowhere"], "nowhere"),
        (["--name", ""], "name"),
    ] {
        let ended = Server::echo(ONE).flags(words).run_to_its_end();
        assert_eq!(ended.code, Some(1), "{words:?}\n{}", ended.said);
        assert!(ended.said.contains(words[0]) && ended.said.contains(told), "{words:?}\n{}", ended.said);
        let [flag, value] = words;
        let arguments = format!("{flag} '{value}'");
        let ended = Server::echo(ONE).variable("GUNICORN_CMD_ARGS", &arguments).run_to_its_end();
        assert_eq!(ended.code, Some(1), "{words:?}\n{}", ended.said);
        assert!(ended.said.contains("GUNICORN_CMD_ARGS") && ended.said.contains(told), "{}", ended.said);
    }
}
