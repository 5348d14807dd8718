//! The fault bench: a service that tells what reached it, and misbehaves when asked to.
//!
//! Tests and conformance suites run against it. It takes `-c FILE` and the server's flags. `GET /api/health` answers as
//! the DevSim application does; anything else is answered with 200 and what was received, as JSON. Request headers, or
//! the same names in the query, make it misbehave:
//!
//! | header | it then |
//! |---|---|
//! | `x-echo-sleep: S` | awaits for S seconds |
//! | `x-echo-block: S` | blocks the thread for S seconds |
//! | `x-echo-spin: S` | keeps the processor busy for S seconds |
//! | `x-echo-exit: N` | exits with status N |
//! | `x-echo-abort: 1` | aborts |
//! | `x-echo-panic: 1` | panics |
//! | `x-echo-status: N` | answers with status N |
//! | `x-echo-size: N` | answers with N bytes |
//! | `x-echo-eat: MB` | keeps so much memory |
//!
//! `ECHO_BOOT=fail` in the environment makes workers fail to boot, `ECHO_BOOT=slow=S` makes them take S seconds, and
//! `ECHO_BOOT=fail-if=PATH` makes them fail while there is a file of that name.
//! `ECHO_PREPARE=fail`, `panic`, `slow=S` or `fail-if=PATH` does the same to the preparation that comes before them, and
//! `ECHO_RELOAD=panic-if=PATH` to the reading of the settings at a reload.

use std::path::Path;
use std::pin::Pin;
use std::process::{ExitCode, Termination};
use std::sync::Mutex;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use prefork::{App, Body, BoxError, Client, Context, Handler, Revision, Server, Settings, handler};
use serde_json::json;
use settings::{Configuration, Mode, Program, Section, describe};

type Service = Handler<fn(Request<Body>) -> Pin<Box<dyn Future<Output = Response<Answer>> + Send>>>;

#[derive(Clone)]
struct Echo;

impl App for Echo {
    type Service = Service;
    type Answer = Answer;

    fn prepare(&self) -> Result<(), BoxError> {
        if let Some(wait) = told_by("ECHO_PREPARE")? {
            std::thread::sleep(wait);
        }
        Ok(())
    }

    async fn build(&self, _: Context) -> Result<Service, BoxError> {
        if let Some(wait) = told_by("ECHO_BOOT")? {
            tokio::time::sleep(wait).await;
        }
        Ok(handler(|request| Box::pin(answer(request))))
    }
}

/// How long a step of the start is to take; the step fails or panics if that is what it was told.
fn told_by(variable: &str) -> Result<Option<Duration>, BoxError> {
    match std::env::var(variable).ok().as_deref() {
        Some("fail") => Err(format!("{variable}=fail: told to fail").into()),
        Some("panic") => panic!("{variable}=panic: told to panic"),
        Some(told) => match told.split_once('=') {
            Some(("slow", seconds)) => Ok(Some(Duration::try_from_secs_f64(seconds.parse()?)?)),
            Some(("fail-if", path)) if Path::new(path).exists() => {
                Err(format!("{variable}={told}: it is there").into())
            }
            Some(("panic-if", path)) if Path::new(path).exists() => panic!("{variable}={told}: it is there"),
            Some(("fail-if" | "panic-if", _)) => Ok(None),
            _ => Err(format!(
                "{variable}={told} is neither fail, panic, slow=SECONDS, fail-if=PATH nor panic-if=PATH"
            )
            .into()),
        },
        None => Ok(None),
    }
}

/// What the request asks for by this name, in a header or in the query.
fn wish(head: &Parts, name: &str) -> Option<String> {
    let in_header = head.headers.get(name).and_then(|value| value.to_str().ok());
    let in_query = || {
        let pairs = head.uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    in_header.or_else(in_query).map(str::to_owned)
}

fn seconds(head: &Parts, name: &str) -> Option<Duration> {
    wish(head, name).and_then(|text| Duration::try_from_secs_f64(text.parse().ok()?).ok())
}

fn number<T: std::str::FromStr>(head: &Parts, name: &str) -> Option<T> {
    wish(head, name).and_then(|text| text.parse().ok())
}

async fn answer(request: Request<Body>) -> Response<Answer> {
    let (head, body) = request.into_parts();
    if let Some(megabytes) = number(&head, "x-echo-eat") {
        eat(megabytes);
    }
    if let Some(span) = seconds(&head, "x-echo-sleep") {
        tokio::time::sleep(span).await;
    }
    misbehave(&head);
    let mut response = if head.uri.path() == "/api/health" && head.method == "GET" {
        json_answer(json!({"status": "healthy", "service": "device-simulator", "version": "1.0.0"}))
    } else if let Some(size) = number(&head, "x-echo-size") {
        Response::new(Answer::Filler { left: size })
    } else {
        tell(&head, body).await
    };
    if let Some(status) = number(&head, "x-echo-status").and_then(|status| StatusCode::from_u16(status).ok())
    {
        *response.status_mut() = status;
    }
    response
}

fn eat(megabytes: usize) {
    static EATEN: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    let meal = vec![1; megabytes.saturating_mul(1 << 20)];
    EATEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(meal);
}

fn misbehave(head: &Parts) {
    if let Some(span) = seconds(head, "x-echo-block") {
        std::thread::sleep(span);
    }
    if let Some(span) = seconds(head, "x-echo-spin") {
        let begun = Instant::now();
        while begun.elapsed() < span {
            std::hint::spin_loop();
        }
    }
    if let Some(status) = number(head, "x-echo-exit") {
        std::process::exit(status);
    }
    if wish(head, "x-echo-abort").is_some() {
        std::process::abort();
    }
    assert!(wish(head, "x-echo-panic").is_none(), "x-echo-panic: told to panic");
}

/// What was received.
async fn tell(head: &Parts, body: Body) -> Response<Answer> {
    let collected = match body.collect().await {
        Ok(collected) => collected,
        Err(error) => {
            let mut response = json_answer(json!({"error": error.to_string()}));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return response;
        }
    };
    let pairs = |fields: &http::HeaderMap| -> Vec<[String; 2]> {
        let pair = |(name, value): (&header::HeaderName, &HeaderValue)| {
            [name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()]
        };
        fields.iter().map(pair).collect()
    };
    let trailers = collected.trailers().map(pairs).unwrap_or_default();
    let client = head.extensions.get::<Client>().and_then(|client| Some(client.address?.ip().to_string()));
    json_answer(json!({
        "pid": std::process::id(),
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "version": format!("{:?}", head.version).trim_start_matches("HTTP/"),
        "scheme": "http",
        "client": client,
        "headers": pairs(&head.headers),
        "trailers": trailers,
        "body": BASE64_STANDARD.encode(collected.to_bytes()),
    }))
}

fn json_answer(value: serde_json::Value) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Some(Bytes::from(value.to_string()))));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The body of an answer: a text, or so many bytes made while the client reads them.
enum Answer {
    Whole(Option<Bytes>),
    Filler { left: u64 },
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        static FILLER: [u8; 65536] = [b'x'; 65536];
        let chunk = match &mut *self {
            Self::Whole(text) => text.take(),
            Self::Filler { left: 0 } => None,
            Self::Filler { left } => {
                let count = (*left).min(FILLER.len() as u64);
                *left -= count;
                Some(Bytes::from_static(&FILLER[..count as usize]))
            }
        };
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None) | Self::Filler { left: 0 })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(text) => text.as_ref().map_or(0, |text| text.len() as u64),
            Self::Filler { left } => *left,
        })
    }
}

/// The settings of the bench.
#[derive(Default)]
struct Bench {
    server: Settings,
    logging: logging::Settings,
}

impl Configuration for Bench {
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
    prefork::hold_signals();
    let about = "The fault bench: tells what reached it, and misbehaves when asked to";
    let mut started = match Program::new("echo", about, "1.0.0", "DEVSIM_").start::<Bench>() {
        Ok(started) => started,
        Err(exit) => return exit,
    };
    if let Err(error) = started.configuration.server.process.enter() {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    if started.mode == Mode::CheckConfig {
        return Server::new(started.configuration.server).app(Echo).check().report();
    }
    let log = match logging::install(&started.configuration.logging) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    for warning in &started.report.warnings {
        tracing::warn!("{warning}");
    }
    let (uid, gid) = started.configuration.server.identity.owner();
    log.owned_by(uid, gid);
    let (reloaded, access, reopened) = (log.clone(), log.clone(), log);
    let shown = describe(&started.configuration.sections(), &started.report);
    let source = started.source;
    let file = source.file().map(Path::to_owned);
    let reload = move || {
        told_by("ECHO_RELOAD").map_err(|error| error.to_string())?;
        let (mut bench, report) = Bench::load(&source).map_err(|problems| problems.to_string())?;
        let shown = describe(&bench.sections(), &report);
        let Bench { server, logging } = bench;
        let (uid, gid) = server.identity.owner();
        let log = reloaded.clone();
        Ok(Revision::new(server, Echo).shown_as(shown).adopted_by(move || {
            log.owned_by(uid, gid);
            if let Err(error) = log.apply(&logging) {
                tracing::error!("{error}");
            }
        }))
    };
    Server::new(started.configuration.server)
        .app(Echo)
        .environment_prefix("DEVSIM_")
        .shown_as(shown)
        .watching(file)
        .on_reload(reload)
        .on_reopen(move || reopened.reopen())
        .access_log(move || access.access_log())
        .run()
        .report()
}
