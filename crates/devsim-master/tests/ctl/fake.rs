//! A server that says what it is told to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::{self, JoinHandle};

use tempfile::TempDir;

/// A control socket in a directory of its own. It takes one connection.
pub(crate) struct Fake {
    directory: TempDir,
    server: JoinHandle<String>,
}

/// What devsim-ctl came to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Fake {
    /// Reads a request, says this, and closes the connection.
    pub(crate) fn saying(answer: &str) -> Self {
        let answer = answer.to_owned();
        Self::dealing(move |mut stream| {
            let _ = stream.write_all(answer.as_bytes()); // the client need not have the patience
        })
    }

    /// Answers a request with this result.
    pub(crate) fn answering(result: &str) -> Self {
        Self::saying(&format!("{{\"v\": 1, \"ok\": true, \"result\": {result}}}\n"))
    }

    /// Refuses a request.
    pub(crate) fn refusing(code: &str, message: &str) -> Self {
        let error = serde_json::json!({"code": code, "message": message});
        Self::saying(&format!("{{\"v\": 1, \"ok\": false, \"error\": {error}}}\n"))
    }

    /// Deals with the connection once a request has come on it.
    pub(crate) fn dealing(deal: impl FnOnce(UnixStream) + Send + 'static) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(directory.path().join("c.sock")).expect("it can be bound");
        let server = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a connection");
            let mut request = String::new();
            let mut reader = BufReader::new(stream.try_clone().expect("a descriptor can be copied"));
            reader.read_line(&mut request).expect("a request");
            deal(stream);
            request
        });
        Self { directory, server }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Runs `devsim-ctl --socket PATH` with more words.
    pub(crate) fn ctl(&self, words: &[&str]) -> Ended {
        let socket = self.directory.path().join("c.sock");
        let socket = socket.to_str().expect("the path is text");
        ctl_in(self.directory.path(), &[&["--socket", socket], words].concat(), &[])
    }

    /// The request that has come.
    pub(crate) fn request(self) -> String {
        self.server.join().expect("the server has not failed")
    }
}

/// Runs devsim-ctl in a directory, with these words and variables, and none of this process's that it would look at.
pub(crate) fn ctl_in(directory: &Path, words: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(program());
    command
        .current_dir(directory)
        .env_clear()
        .args(words)
        .envs(variables.iter().copied())
        .stdin(Stdio::null());
    command.output().expect("devsim-ctl can be started").into()
}

pub(crate) fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_devsim-ctl").into()
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            output: String::from_utf8(output.stdout).expect("output is UTF-8"),
            errors: String::from_utf8(output.stderr).expect("errors are UTF-8"),
        }
    }
}
