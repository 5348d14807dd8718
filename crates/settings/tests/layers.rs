//! Every layer through the public face: order, origins, reloading, printing.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the right answer, in its helpers too")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use settings::{Command, EarlyExit, Mode, Octal, Origin, Problems, Program, Report, Seconds, Section};

settings::section! {
    /// The pool.
    pub struct Pool("server") {
        /// How many workers.
        pub workers ['w', env "WEB_CONCURRENCY"]: u32 = 1,
        /// Where to listen.
        pub bind ['b']: Vec<String> = vec!["127.0.0.1:5000".to_owned()],
        /// The umask.
        pub umask ['m']: Octal = Octal::new(0),
    }
}

settings::section! {
    /// Time limits; the same section from another struct.
    #[derive(Eq)]
    pub struct Timeouts("server") {
        /// Until a worker is aborted.
        pub timeout ['t']: Seconds = Seconds::new(60),
        /// Process id.
        pub pidfile ["pid", 'p']: Option<PathBuf> = None,
    }
}

settings::section! {
    /// A section inside a section.
    pub struct RateLimit("app.rate_limit") {
        /// On or off.
        pub enabled: bool = true,
        /// Where to count.
        pub storage_url [no flag, env "REDIS_URL"]: Option<String> = Some("memory://".to_owned()),
    }
}

#[derive(Default, Debug, PartialEq)]
struct All {
    pool: Pool,
    timeouts: Timeouts,
    rate_limit: RateLimit,
}

impl All {
    fn sections(&mut self) -> [&mut dyn Section; 3] {
        [&mut self.pool, &mut self.timeouts, &mut self.rate_limit]
    }
}

/// A file in a directory of its own, removed at the end.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, text: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("settings-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = Self(directory.join("devsim.toml"));
        std::fs::write(&file.0, text).unwrap();
        file
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

fn parse(args: &[&str], environment: &[(&str, &str)]) -> Result<Command, EarlyExit> {
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let program = Program::new("prog", "A program.", "1", "DEVSIM_");
    program.parse(&All::default().sections(), [&["prog"], args].concat(), environment)
}

fn load(args: &[&str], environment: &[(&str, &str)]) -> (All, Result<Report, Problems>) {
    let mut all = All::default();
    let outcome = parse(args, environment).unwrap().source.load(&mut all.sections());
    (all, outcome)
}

#[test]
fn each_layer_wins_over_those_below_it() {
    let file = TempFile::new("order", "[server]\nworkers = 2\n");
    let config = ["-c", file.path()];
    let environment =
        [("WEB_CONCURRENCY", "3"), ("DEVSIM_SERVER__WORKERS", "4"), ("GUNICORN_CMD_ARGS", "--workers '5'")];
    let (all, report) = load(&[], &[]);
    assert_eq!((all, report.unwrap().origin("server", "workers")), (All::default(), &Origin::Default));

    let expected = [
        (2, Origin::File { path: file.0.clone(), line: 2 }),
        (3, Origin::Environment("WEB_CONCURRENCY".to_owned())),
        (4, Origin::Environment("DEVSIM_SERVER__WORKERS".to_owned())),
        (5, Origin::FlagIn { variable: "GUNICORN_CMD_ARGS".to_owned(), flag: "--workers".to_owned() }),
    ];
    for (layers, (workers, origin)) in expected.into_iter().enumerate() {
        let (all, report) = load(&config, &environment[..layers]);
        assert_eq!((all.pool.workers, report.unwrap().origin("server", "workers")), (workers, &origin));
    }
    let (all, report) = load(&["-c", file.path(), "-w", "9", "-w6"], &environment);
    let report = report.unwrap();
    assert_eq!(
        (all.pool.workers, report.origin("server", "workers")),
        (6, &Origin::Flag("--workers".to_owned()))
    );
    assert_eq!(report.file.as_deref(), Some(Path::new(file.path())));
}

#[test]
fn a_stronger_layer_replaces_a_list_as_a_whole() {
    let file = TempFile::new("lists", "[server]\nbind = [\"a\", \"b\"]\n");
    let variable = [("DEVSIM_SERVER__BIND", "c,d")];
    assert_eq!(load(&["-c", file.path()], &[]).0.pool.bind, ["a", "b"]);
    assert_eq!(load(&["-c", file.path()], &variable).0.pool.bind, ["c", "d"]);
    assert_eq!(load(&["-c", file.path(), "-b", "e", "-b", "f"], &variable).0.pool.bind, ["e", "f"]);
}

#[test]
fn problems_of_all_layers_come_together() {
    let file = TempFile::new("problems", "[server]\ntimeot = 1\nworkers = -1\n");
    let args = ["-c", file.path(), "--workers", "0x", "--umask=9", "--rate-limit-enabled=maybe"];
    let problems =
        load(&args, &[("DEVSIM_SERVER__TIMEOUT", "soon"), ("GUNICORN_CMD_ARGS", "-w x")]).1.unwrap_err();
    let whole = "is not a whole number from 0 to 4294967295";
    let expected = [
        format!("{}:2: server.timeot: unknown key; did you mean `timeout`?", file.path()),
        format!("{}:3: server.workers: -1 {whole}", file.path()),
        "DEVSIM_SERVER__TIMEOUT: soon is not a number of seconds from 0 to 4294967295, fractions allowed"
            .to_owned(),
        format!("GUNICORN_CMD_ARGS: --workers: x {whole}"),
        format!("--workers: 0x {whole}"),
        "--umask: 9 is not an octal string from \"0o000\" to \"0o7777\"".to_owned(),
        "--rate-limit-enabled: maybe is not true or false".to_owned(),
    ];
    assert_eq!(problems.to_string().lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_missing_file_is_an_error_only_if_it_was_asked_for() {
    let problems = load(&["-c", "/nowhere/d.toml"], &[]).1.unwrap_err().to_string();
    assert!(problems.starts_with("/nowhere/d.toml: cannot be read: No such file"), "{problems}");
    assert!(problems.ends_with("give the path of an existing file with --config"), "{problems}");

    let program =
        Program { default_file: Some("/nowhere/d.toml"), ..Program::new("prog", "", "1", "DEVSIM_") };
    let mut all = All::default();
    let command = program.parse(&all.sections(), ["prog"], []).unwrap();
    assert_eq!(command.source.load(&mut all.sections()).unwrap().file, None);
}

#[test]
fn reloading_reads_the_file_anew_and_keeps_flags() {
    let file = TempFile::new("reload", "[server]\nworkers = 2\n");
    let source = parse(&["-c", file.path(), "-t", "7"], &[]).unwrap().source;
    std::fs::write(&file.0, "[server]\nworkers = 3\ntimeout = 8\n").unwrap();
    let mut all = All::default();
    source.load(&mut all.sections()).unwrap();
    assert_eq!((all.pool.workers, all.timeouts.timeout), (3, Seconds::new(7)));

    std::fs::write(&file.0, b"[server]\n# \xff\n").unwrap();
    let problems = source.load(&mut All::default().sections()).unwrap_err().to_string();
    assert_eq!(problems, format!("{}:2: not UTF-8; save the file as UTF-8", file.path()));
}

#[test]
fn printed_settings_name_their_layer_and_read_back_the_same() {
    let file =
        TempFile::new("print", "[server]\nbind = \"a \\\"b\\\"\"\n[app]\nrate_limit.enabled = false\n");
    let args = ["-c", file.path(), "--umask", "22", "--print-config"];
    let environment = [("WEB_CONCURRENCY", "3"), ("DEVSIM_APP__RATE_LIMIT__STORAGE_URL", "")];
    let command = parse(&args, &environment).unwrap();
    assert_eq!(command.mode, Mode::PrintConfig);
    let mut all = All::default();
    let report = command.source.load(&mut all.sections()).unwrap();
    let printed = settings::print_config(&all.sections(), &report);
    let expected = format!(
        "\
[server]
workers = 3                              # environment WEB_CONCURRENCY
bind = [\"a \\\"b\\\"\"]                       # file {path}:2
umask = \"0o022\"                          # flag --umask
timeout = 60                             # default
# pidfile = \"\"                           # default

[app]
rate_limit.enabled = false               # file {path}:4
rate_limit.storage_url = \"\"              # environment DEVSIM_APP__RATE_LIMIT__STORAGE_URL
",
        path = file.path()
    );
    assert_eq!(printed, expected);

    let again = TempFile::new("printed", &printed);
    assert_eq!(load(&["-c", again.path()], &[]).0, all);
}

#[test]
fn flags_in_the_variable_are_named_when_they_make_no_sense() {
    let text = |flags| parse(&[], &[("GUNICORN_CMD_ARGS", flags)]).unwrap_err().text;
    assert_eq!(text("'open"), "error: GUNICORN_CMD_ARGS: a closing ' is missing\n");
    assert!(text("--daemon").starts_with("in GUNICORN_CMD_ARGS: error: --daemon is not supported; "));
    let file = TempFile::new("variable", "[server]\nworkers = 2\n");
    let flags = format!("--check-config -c {}", file.path());
    assert_eq!(parse(&[], &[("GUNICORN_CMD_ARGS", &flags)]).unwrap().mode, Mode::CheckConfig);
    assert_eq!(load(&[], &[("GUNICORN_CMD_ARGS", &flags)]).0.pool.workers, 2);
}
