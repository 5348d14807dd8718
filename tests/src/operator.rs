//! An operator at the control socket, which has to be `control.sock` in the server's directory.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::PATIENCE;
use crate::program::program;
use crate::server::Server;
use crate::wait::until;

/// A devsim-ctl that has ended.
#[derive(Debug)]
pub struct Told {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it said on standard output.
    pub out: String,
    /// What it said on standard error.
    pub errors: String,
}

impl Told {
    /// What it said, if all went well.
    pub fn done(self) -> String {
        assert!(self.code == Some(0) && self.errors.is_empty(), "{self:?}");
        self.out
    }

    /// What it said as JSON, if all went well.
    pub fn json(self) -> Value {
        serde_json::from_str(&self.done()).expect("it is JSON")
    }

    /// Why it was refused: with this exit code, and nothing on standard output.
    pub fn refused(self, code: i32) -> String {
        assert!(self.code == Some(code) && self.out.is_empty(), "{self:?}");
        self.errors
    }
}

/// A devsim-ctl that waits for its answer.
#[derive(Debug)]
pub struct Asking(Child);

impl Asking {
    /// Whether it waits still.
    pub fn waits(&mut self) -> bool {
        self.0.try_wait().is_ok_and(|status| status.is_none())
    }

    /// What it was told in the end.
    pub fn told(mut self) -> Told {
        let status = until(|| self.0.try_wait().ok().flatten());
        let code = status.unwrap_or_else(|| panic!("devsim-ctl gets no answer")).code();
        let mut told = Told { code, out: String::new(), errors: String::new() };
        let (out, errors) = (self.0.stdout.take(), self.0.stderr.take());
        out.map(|mut out| out.read_to_string(&mut told.out));
        errors.map(|mut errors| errors.read_to_string(&mut told.errors));
        told
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Has devsim-ctl ask for something, and gives what it was told.
    pub fn ctl<const N: usize>(&self, words: [&str; N]) -> Told {
        self.begin_ctl(words).told()
    }

    /// The same, for what takes its time.
    pub fn begin_ctl<const N: usize>(&self, words: [&str; N]) -> Asking {
        self.begin_ctl_under([], words)
    }

    /// The same, started by another command.
    pub fn begin_ctl_under<const M: usize, const N: usize>(
        &self,
        before: [&str; M],
        words: [&str; N],
    ) -> Asking {
        let socket = self.control_socket();
        self.ask(&before, [Path::new("--socket"), &socket].into_iter().chain(words.map(Path::new)))
    }

    /// The same, in the server's directory, where it has to find the socket by itself.
    pub fn ctl_without_socket<const M: usize, const N: usize>(
        &self,
        before: [&str; M],
        words: [&str; N],
    ) -> Told {
        self.ask(&before, words.map(Path::new)).told()
    }

    fn ask<'a>(&self, before: &[&str], words: impl IntoIterator<Item = &'a Path>) -> Asking {
        let mut command = before.iter().map(PathBuf::from).chain([program("devsim-ctl")]);
        let process = Command::new(command.next().expect("there is a program"))
            .args(command)
            .args(words)
            .env_remove("RUNTIME_DIRECTORY")
            .env_remove("XDG_RUNTIME_DIR")
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Asking(process.expect("devsim-ctl can be started"))
    }

    /// Where its control socket is.
    pub fn control_socket(&self) -> PathBuf {
        self.path().join("control.sock")
    }

    /// A connection to its control socket.
    pub fn control(&self) -> UnixStream {
        let stream = UnixStream::connect(self.control_socket())
            .unwrap_or_else(|error| panic!("no control socket: {error}\n{}", self.said()));
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit can be set");
        stream
    }

    /// How it says that it is.
    pub fn status(&self) -> Value {
        let mut stream = self.control();
        stream.write_all(b"{\"v\":1,\"command\":\"status\"}\n").expect("it can be asked");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("it answers");
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
        assert_eq!(answer["ok"], true, "{answer}");
        answer["result"].clone()
    }
}
