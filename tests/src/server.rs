//! One running master.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Answer, Connection};
use crate::hammer::Hammer;
use crate::log::Workers;
use crate::place::{Place, places_in};
use crate::processes::{children, is_alive, signal_to, writers_of};
use crate::program::{install_echo, program};
use crate::wait::{until, within};

/// What is done in the server's directory before it starts.
type Preparation = Box<dyn Fn(&Path)>;

/// How a server is to be started.
pub struct Setup {
    program: PathBuf,
    config: String,
    flags: Vec<String>,
    variables: Vec<(String, String)>,
    before: Vec<String>,
    handed: Vec<OwnedFd>,
    prepare: Vec<Preparation>,
}

/// A server in a directory of its own, which ends with it.
pub struct Server {
    directory: TempDir,
    process: Child,
    /// The master's process id: another one's after an upgrade.
    master: i32,
    /// The first place that it has announced; none before it has.
    place: Option<Place>,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// All that it said.
    pub said: String,
}

impl Setup {
    fn new(program: PathBuf, config: &str) -> Self {
        let flags = vec!["-b".into(), "127.0.0.1:0".into()];
        let config = config.into();
        let (variables, before) = (Vec::new(), Vec::new());
        Self { program, config, flags, variables, before, handed: Vec::new(), prepare: Vec::new() }
    }

    /// More flags.
    #[must_use]
    pub fn flags<const N: usize>(mut self, flags: [&str; N]) -> Self {
        self.flags.extend(flags.map(str::to_owned));
        self
    }

    /// Listens where its configuration says, not where the kit would have it.
    #[must_use]
    pub fn without_bind(mut self) -> Self {
        self.flags.drain(..2);
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// A command that starts the program, as `taskset -c 0`; of several, the first starts the others.
    #[must_use]
    pub fn under<const N: usize>(mut self, command: [impl Into<String>; N]) -> Self {
        self.before.extend(command.map(Into::into));
        self
    }

    /// Hands it one or two sockets, as its descriptors 3 and 4. (They travel as standard input and output of a shell, which is
    /// all that a child can be given without unsafe code.)
    #[must_use]
    pub fn handing<const N: usize>(mut self, sockets: [OwnedFd; N]) -> Self {
        let shell = match N {
            1 => ["sh", "-c", "exec 3<&0 </dev/null; exec \"$@\"", "sh"],
            2 => ["sh", "-c", "exec 3<&0 4>&1 </dev/null >&2; exec \"$@\"", "sh"],
            _ => panic!("one or two sockets can be handed over, not {N}"),
        };
        self.handed = sockets.into();
        self.under(shell)
    }

    /// What is done in its directory before the start.
    #[must_use]
    pub fn prepared(mut self, prepare: impl Fn(&Path) + 'static) -> Self {
        self.prepare.push(Box::new(prepare));
        self
    }

    /// Starts it and waits until it serves.
    pub fn start(self) -> Server {
        let server = self.start_slowly();
        server.wait_for("an answer", |server| {
            server.try_get("/api/health").ok().filter(|answer| answer.status == 200)
        });
        server
    }

    /// Starts it and waits until it listens.
    pub fn start_slowly(self) -> Server {
        let mut server = self.start_unseen();
        let found = until(|| {
            let place = server.places().into_iter().next();
            place.map(Some).or(server.has_ended().map(|_| None))
        });
        server.place = found.flatten();
        assert!(server.place.is_some(), "it does not listen; it said:\n{}", server.said());
        server
    }

    /// Starts it and waits for nothing.
    pub fn start_unseen(self) -> Server {
        let (directory, process) = self.launch();
        let master = process.id().cast_signed();
        Server { directory, process, master, place: None }
    }

    /// Starts it and waits until it ends by itself.
    pub fn run_to_its_end(self) -> Ended {
        let (directory, mut process) = self.launch();
        let code = until(|| process.try_wait().ok().flatten());
        if code.is_none() {
            let _ = process.kill();
            let _ = process.wait();
        }
        let said = fs::read_to_string(directory.path().join("output")).unwrap_or_default();
        let status = code.unwrap_or_else(|| panic!("it does not end; it said:\n{said}"));
        Ended { code: status.code(), said }
    }

    fn launch(mut self) -> (TempDir, Child) {
        let directory = TempDir::with_prefix("devsim-test-").expect("a temporary directory can be made");
        let config = directory.path().join("devsim.toml");
        fs::write(&config, &self.config).expect("the configuration can be written");
        self.prepare.iter().for_each(|prepare| prepare(directory.path()));
        let output = File::create(directory.path().join("output")).expect("the output can be created");
        let mut words = self.before.iter().map(PathBuf::from).chain([self.program.clone()]);
        let first = words.next().expect("there is a program");
        let mut handed = self.handed.drain(..).map(Stdio::from);
        let process = Command::new(first)
            .args(words)
            .arg("-c")
            .arg(&config)
            .args(&self.flags)
            .env_remove("WEB_CONCURRENCY")
            .env_remove("GUNICORN_CMD_ARGS")
            .env_remove("RUNTIME_DIRECTORY")
            .env_remove("XDG_RUNTIME_DIR")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(directory.path())
            .stdin(handed.next().unwrap_or_else(Stdio::null))
            .stdout(handed.next().unwrap_or(output.try_clone().expect("a descriptor can be copied").into()))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", self.program.display()));
        (directory, process)
    }
}

impl Server {
    /// The fault bench with this configuration.
    pub fn echo(config: &str) -> Setup {
        Setup::new(program("examples/echo"), config)
    }

    /// Another example, which takes the server's flags, with this configuration.
    pub fn example(name: &str, config: &str) -> Setup {
        Setup::new(program(&format!("examples/{name}")), config)
    }

    /// The fault bench as `./echo` in the server's directory, where another program can take its place.
    pub fn installed_echo(config: &str) -> Setup {
        Setup::new("./echo".into(), config).prepared(|directory| install_echo(&directory.join("echo")))
    }

    /// Any program that takes the server's flags, with this configuration.
    pub fn of(program: PathBuf, config: &str) -> Setup {
        Setup::new(program, config)
    }

    /// The DevSim application with this configuration.
    pub fn devsim(config: &str) -> Setup {
        Setup::new(program("devsim-master"), config)
    }

    /// Its port: the first place where it listens has to be one.
    pub fn address(&self) -> SocketAddr {
        match self.place() {
            Place::Tcp(address) => *address,
            Place::Unix(path) => panic!("it listens at {} first", path.display()),
        }
    }

    /// The first place where it listens.
    pub fn place(&self) -> &Place {
        self.place.as_ref().expect("it was started to be seen")
    }

    /// All places where it says that it listens by now.
    pub fn places(&self) -> Vec<Place> {
        places_in(&self.said())
    }

    /// The master's process id.
    pub fn pid(&self) -> i32 {
        self.master
    }

    /// From here on, another process is the master.
    pub fn follow(&mut self, master: i32) {
        self.master = master;
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// All that it and its workers have said.
    pub fn said(&self) -> String {
        fs::read_to_string(self.path().join("output")).unwrap_or_default()
    }

    /// The first line that it said with all of these words.
    pub fn line_with(&self, words: &[&str]) -> Option<String> {
        let said = self.said();
        said.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
    }

    /// The line with all of these words: waited for, as who says it may say it after what it tells of was seen.
    pub fn wait_for_line(&self, words: &[&str]) -> String {
        self.wait_for(&format!("a line with {words:?}"), |server| server.line_with(words))
    }

    /// The process ids of its workers. (The master has other children: those that prepare the application.)
    pub fn workers(&self) -> BTreeSet<i32> {
        self.living(&Workers::told_in(&self.said()).booted)
    }

    /// The process ids of those of its workers that have said that they can serve.
    pub fn serving(&self) -> BTreeSet<i32> {
        self.living(&Workers::told_in(&self.said()).ready)
    }

    fn living(&self, pids: &BTreeSet<i32>) -> BTreeSet<i32> {
        children(self.pid()).into_iter().filter(|child| pids.contains(child)).collect()
    }

    /// Waits until there are so many workers, and all of them serve.
    pub fn wait_for_workers(&self, count: usize) -> BTreeSet<i32> {
        self.wait_for_others(&BTreeSet::new(), count)
    }

    /// Waits until none of these workers is left, and so many others are there and serve.
    pub fn wait_for_others(&self, than: &BTreeSet<i32>, count: usize) -> BTreeSet<i32> {
        self.wait_for(&format!("{count} workers, none of them of {than:?}"), |server| {
            let workers = server.workers();
            let all_serve = workers.len() == count && workers == server.serving();
            (all_serve && workers.is_disjoint(than)).then_some(workers)
        })
    }

    /// Waits for a value; the test ends with what the server said if it does not come.
    pub fn wait_for<T>(&self, what: &str, mut condition: impl FnMut(&Self) -> Option<T>) -> T {
        until(|| condition(self))
            .unwrap_or_else(|| panic!("waited in vain for {what}; it said:\n{}", self.said()))
    }

    /// A new connection.
    pub fn connect(&self) -> Connection {
        Connection::open(self.place())
            .unwrap_or_else(|error| panic!("cannot connect: {error}\n{}", self.said()))
    }

    /// Asks for a path on a connection of its own.
    pub fn try_get(&self, path: &str) -> io::Result<Answer> {
        Connection::open(self.place())?.get(path, "Connection: close\r\n")
    }

    /// Asks for a path, which must be answered.
    pub fn get(&self, path: &str) -> Answer {
        self.try_get(path).unwrap_or_else(|error| panic!("no answer to {path}: {error}\n{}", self.said()))
    }

    /// Sends a request with a body, which must be answered.
    pub fn send(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Answer {
        let mut connection = self.connect();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
        );
        let sent = connection.send(head).and_then(|()| connection.send(body));
        let answered = connection.answer_to(method);
        answered.unwrap_or_else(|error| {
            panic!("no answer to {method} {path}: {error}, {sent:?}\n{}", self.said())
        })
    }

    /// Sends JSON.
    pub fn send_json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(method, path, "application/json", body.to_string().as_bytes())
    }

    /// Sends bytes and gives all that comes back.
    pub fn raw(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let mut connection = self.connect();
        let _ = connection.send(bytes); // the answer tells more than an error of the way there
        connection.to_the_end().unwrap_or_default()
    }

    /// A new connection on which these bytes were sent, and read by a worker.
    pub fn begin(&self, bytes: impl AsRef<[u8]>) -> Connection {
        let mut connection = self.connect();
        connection.send(bytes).expect("bytes can be sent");
        self.wait_until_read(&connection);
        connection
    }

    /// Waits until a worker has read all that was sent on a connection.
    pub fn wait_until_read(&self, connection: &Connection) {
        self.wait_for("the bytes to be read", |_| connection.is_read().then_some(()));
    }

    /// A request that keeps its worker busy; given back once a worker has read it, so that it surely does.
    pub fn occupy(&self, how: &str, path: &str) -> Connection {
        self.begin(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{how}\r\n\r\n"))
    }

    /// Waits until every reload that was asked for has ended well.
    pub fn wait_for_the_last_reload(&self) {
        self.wait_for("the last reload's end", |server| {
            let said = server.said();
            let (begun, ended) = (said.matches(" begins").count(), said.matches("has taken over").count());
            (begun == ended && !said.ends_with("follows it\n")).then_some(())
        });
    }

    /// Clients of both kinds that never rest.
    pub fn hammer(&self) -> Hammer {
        Hammer::start(self.place(), "/api/health")
    }

    /// Writes another configuration.
    pub fn rewrite(&self, config: &str) {
        fs::write(self.path().join("devsim.toml"), config).expect("the configuration can be written");
    }

    /// Writes another configuration, and has it read.
    pub fn reconfigure(&self, config: &str) {
        self.rewrite(config);
        self.signal(Signal::HUP);
    }

    /// Sends the master a signal.
    pub fn signal(&self, signal: Signal) {
        signal_to(self.pid(), signal);
    }

    /// Sends one of its workers a signal.
    pub fn signal_worker(&self, worker: i32, signal: Signal) {
        assert!(children(self.pid()).contains(&worker), "{worker} is no worker of this server");
        signal_to(worker, signal);
    }

    /// Sends one of its workers a signal that has no name.
    pub fn signal_worker_by_number(&self, worker: i32, number: i32) {
        assert!(children(self.pid()).contains(&worker), "{worker} is no worker of this server");
        let command = format!("kill -{number} {worker}");
        let status = Command::new("sh").args(["-c", &command]).status().expect("a shell can be started");
        assert!(status.success(), "{command}: {status}");
    }

    /// Sends one of so many workers a signal that ends it sooner or later, and waits until all of them serve again, with
    /// another in its place.
    pub fn lose_a_worker(&self, signal: Signal, count: usize) {
        let victim = self.workers().first().copied().unwrap_or_default();
        self.signal_worker(victim, signal);
        self.wait_for_others(&BTreeSet::from([victim]), count);
    }

    /// Waits until a process has ended, whoever's child it is.
    pub fn wait_until_gone(&self, pid: i32) {
        self.wait_for(&format!("the end of pid {pid}"), |_| (!is_alive(pid)).then_some(()));
    }

    /// Whether the program that was started has ended: its exit code, or that a signal has ended it.
    pub fn has_ended(&mut self) -> Option<Option<i32>> {
        self.process.try_wait().ok().flatten().map(|status| status.code())
    }

    /// Waits until the program that was started has ended; its exit code.
    pub fn wait_for_end(&mut self) -> Option<i32> {
        until(|| self.has_ended()).unwrap_or_else(|| panic!("it does not end; it said:\n{}", self.said()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let output = self.path().join("output");
        if writers_of(&output).contains(&self.master) {
            signal_to(self.master, Signal::QUIT);
            within(Duration::from_secs(8), || (!is_alive(self.master)).then_some(()));
        }
        // Whoever is left: a second master, orphans of either, and what they have started.
        within(Duration::from_secs(8), || {
            let left = writers_of(&output);
            left.iter().for_each(|pid| signal_to(*pid, Signal::KILL));
            left.is_empty().then_some(())
        });
        let _ = self.process.wait();
    }
}
