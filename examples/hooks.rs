//! A server that does something at each step of its life: it says which step it is, and in which process.
//!
//! `cargo run --release --example hooks -- -w 2 -b 127.0.0.1:5000`, then `curl http://127.0.0.1:5000/`. A request for `/stuck`
//! holds its worker for longer than any timeout, one for `/environment` is told the names of its worker's variables.
//! `HOOKS_PANIC=1` makes every hook panic when it has said so: the server goes on.

use std::process::ExitCode;

use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Uri};
use prefork::{Body, HookedWorker, Hooks, Server, Settings, handler};
use settings::{Configuration, Program, Section};

struct Told;

impl Told {
    fn say(hook: &str, about: impl std::fmt::Display) {
        let line = format!("hook {hook} in {}: {about}\n", std::process::id());
        let _ = std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes());
        assert!(std::env::var_os("HOOKS_PANIC").is_none(), "{hook}: told to panic");
    }

    fn say_of(hook: &str, worker: HookedWorker) {
        Self::say(
            hook,
            format_args!("worker {} of generation {}, pid {}", worker.slot, worker.generation, worker.pid),
        );
    }
}

impl Hooks for Told {
    fn on_starting(&self) {
        Self::say("on_starting", "");
    }

    fn when_ready(&self) {
        Self::say("when_ready", "");
    }

    fn pre_fork(&self, worker: HookedWorker) {
        Self::say_of("pre_fork", worker);
    }

    fn post_fork(&self, worker: HookedWorker) {
        Self::say_of("post_fork", worker);
    }

    fn post_worker_init(&self, worker: HookedWorker) {
        Self::say_of("post_worker_init", worker);
    }

    fn worker_int(&self, worker: HookedWorker) {
        Self::say_of("worker_int", worker);
    }

    fn worker_abort(&self, worker: HookedWorker) {
        Self::say_of("worker_abort", worker);
    }

    fn pre_exec(&self) {
        Self::say("pre_exec", "");
    }

    fn pre_request(&self, _: HookedWorker, head: &Parts) {
        Self::say("pre_request", format_args!("{} {}", head.method, head.uri));
    }

    fn post_request(&self, _: HookedWorker, method: &Method, uri: &Uri, status: StatusCode) {
        Self::say("post_request", format_args!("{method} {uri} {}", status.as_u16()));
    }

    fn child_exit(&self, worker: HookedWorker) {
        Self::say_of("child_exit", worker);
    }

    fn worker_exit(&self, worker: HookedWorker) {
        Self::say_of("worker_exit", worker);
    }

    fn nworkers_changed(&self, new: u16, old: u16) {
        Self::say("nworkers_changed", format_args!("{old} to {new}"));
    }

    fn on_reload(&self) {
        Self::say("on_reload", "");
    }

    fn on_exit(&self) {
        Self::say("on_exit", "");
    }
}

#[derive(Default)]
struct Configured {
    server: Settings,
    logging: logging::Settings,
}

impl Configuration for Configured {
    fn built_in() -> Self {
        Self::default()
    }

    fn sections(&mut self) -> Vec<&mut dyn Section> {
        let mut sections: Vec<&mut dyn Section> = self.server.sections().into();
        sections.push(&mut self.logging);
        sections
    }
}

fn main() -> ExitCode {
    let about = "A server that says each step of its life";
    let Configured { server, logging } =
        match Program::new("hooks", about, "1.0.0", "HOOKS_").start::<Configured>() {
            Ok(started) => started.configuration,
            Err(exit) => return exit,
        };
    if let Err(error) = logging::install(&logging) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    let app = handler(async |request: Request<Body>| {
        Response::new(match request.uri().path() {
            "/stuck" => std::future::pending().await,
            "/environment" => std::env::vars_os().map(|(name, _)| format!("{}\n", name.display())).collect(),
            _ => "hello\n".to_string(),
        })
    });
    std::process::Termination::report(
        Server::new(server).app(app).environment_prefix("HOOKS_").hooks(Told).run(),
    )
}
