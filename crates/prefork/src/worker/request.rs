//! The path of a request: limit, body, turn, application, answer.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::task::JoinHandle;
use tower_service::Service;

use crate::app::{App, BodyPolicy, BoxError, Client};
use crate::http::{self as wire, AccessLog, Answer, Body, Entry, Flow, RequestIds, Spool, Stream, refusal};
use crate::scoreboard::{LastWords, Scoreboard, Tenant};
use crate::settings::Settings;
use crate::sys;

use super::WorkerHooks;
use super::busy::Busy;
use super::held::{HeldSockets, NEVER_BEGUN, TIMED_OUT};
use super::life::{Life, OpenGuard};
use super::recycling::Recycling;
use super::turn::Turn;

/// Says so if bodies cannot be buffered in a directory. To be tried as the user that workers run as, and once the application
/// is prepared, which may make it.
pub(crate) fn try_buffer(directory: &Path) {
    if let Err(error) = Spool::try_directory(directory) {
        tracing::warn!(
            "server.request_buffer_dir: no file can be made in {}: {error}; larger bodies are answered with 503",
            directory.display()
        );
    }
}

/// What all requests of a worker share.
pub(super) struct Handling<A: App> {
    pub(super) app: Arc<A>,
    pub(super) service: A::Service,
    pub(super) settings: Arc<Settings>,
    pub(super) turn: Turn,
    pub(super) tenant: Arc<Tenant>,
    pub(super) busy: Busy,
    pub(super) sockets: Arc<HeldSockets>,
    pub(super) life: Life,
    pub(super) board: Scoreboard,
    pub(super) hooks: WorkerHooks,
    pub(super) recycling: Recycling,
    pub(super) ids: RequestIds,
    pub(super) access_log: Option<Arc<AccessLog>>,
    pub(super) spool: Spool,
}

/// A connection, as its requests see it.
#[derive(Clone)]
struct Connected {
    stream: Arc<Stream>,
    flow: Arc<Flow>,
    peer: Option<SocketAddr>,
    /// Keeps the worker for a request whose client has left.
    _open: OpenGuard,
}

/// Serves one connection to its end.
pub(super) async fn serve<A: App>(
    stream: Stream,
    peer: Option<SocketAddr>,
    handling: Arc<Handling<A>>,
    flow: Arc<Flow>,
    open: OpenGuard,
) {
    let stream = Arc::new(stream);
    let _known = handling.sockets.know(&stream, &flow);
    let _until_closed = open.clone();
    let connected = Connected { stream: Arc::clone(&stream), flow: Arc::clone(&flow), peer, _open: open };
    let service = RequestService { handling: Arc::clone(&handling), connected };
    wire::serve(&stream, &flow, &handling.settings, || handling.is_leaving(), service).await;
    handling.tenant.disconnected();
}

/// Why the application was not asked, or its answer is not used.
struct Refused(StatusCode, String);

impl<A: App> Handling<A> {
    /// Whether every further answer is its connection's last.
    fn is_leaving(&self) -> bool {
        self.life.is_leaving() || self.board.orders().is_leaving()
    }

    /// Answers a request. Whatever becomes of the connection meanwhile, a handler that has begun runs to its end.
    async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        id: u64,
        from: Connected,
        entry: Option<Arc<Entry>>,
    ) -> Response<Answer<A::Answer>> {
        let mut response = match self.ask(request, id, &from, entry.as_ref()).await {
            Ok(response) => response.map(|body| Answer::of_application(body, Arc::clone(&from.flow))),
            Err(Refused(status, why)) => {
                refusal(status, &why).map(|body| Answer::fixed(body, Arc::clone(&from.flow)))
            }
        };
        if self.is_leaving() || from.flow.is_unread() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        log(&mut response, entry.as_ref());
        response
    }

    async fn ask(
        &self,
        request: Request<Incoming>,
        id: u64,
        from: &Connected,
        entry: Option<&Arc<Entry>>,
    ) -> Result<Response<A::Answer>, Refused> {
        let (mut head, incoming) = request.into_parts();
        let body = match self.receive(&head, incoming).await {
            Ok(body) => body,
            Err(refused) => {
                from.flow.leave_unread();
                return Err(refused);
            }
        };
        head.extensions.insert(Client { address: from.peer });

        let path = head.uri.path_and_query().map_or("*", |path| path.as_str());
        let mut held = self.tenant.hold(head.method.as_str(), path, id);
        let mut socket = self.sockets.enter(&from.stream, &from.flow, entry.cloned());
        from.flow.settle();
        let permit = tokio::select! {
            biased;
            () = self.life.cut() => return Err(never_begun()),
            permit = self.turn.take() => permit,
        };
        if self.life.is_cut() {
            return Err(never_begun()); // the turn may come before the news, which another thread brings to one after another
        }
        let busy = self.busy.begin();
        held.runs(self.turn.is_single());
        socket.runs();
        self.recycling.count();
        let hooked = self.hooks.hooks.is_some().then(|| (head.method.clone(), head.uri.clone()));
        self.hooks.call(|hooks, worker| hooks.pre_request(worker, &head));

        let mut service = self.service.clone();
        let call = async {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(Request::from_parts(head, body)).await
        };
        let result = tokio::select! {
            biased;
            result = call => result.map_err(|error| failed(id, error.into())),
            () = self.life.aborted_from_now() => {
                let slot = self.hooks.worker.slot;
                let words = LastWords::read(self.board.cell(slot), sys::now());
                tracing::warn!(%slot, "aborted while awaiting: {words}");
                Err(timed_out())
            }
        };
        let status = result.as_ref().map_or_else(|Refused(status, _)| *status, Response::status);
        if let Some((method, uri)) = hooked {
            self.hooks.call(|hooks, worker| hooks.post_request(worker, &method, &uri, status));
        }
        held.finished(status.as_u16());
        drop((busy, socket, permit));
        result
    }

    /// Receives a request's body, outside any turn.
    async fn receive(&self, head: &http::request::Parts, incoming: Incoming) -> Result<Body, Refused> {
        let coding = head.headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
        if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
            return Err(Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must not be encoded".into()));
        }
        if incoming.is_end_stream() {
            return Ok(Body::default());
        }
        let default = BodyPolicy { limit: self.settings.bodies.limit_request_body };
        let most = match self.app.body_policy(head, default).limit {
            0 => u64::MAX,
            limit => limit,
        };
        if incoming.size_hint().lower() > most {
            let why = format!("the body is larger than {most} bytes");
            return Err(Refused(StatusCode::PAYLOAD_TOO_LARGE, why));
        }
        let received = self.spool.receive(incoming, most, &self.settings).await;
        received.map_err(|error| Refused(error.status(), error.to_string()))
    }
}

/// Has the answer told of in the access log.
fn log<B>(response: &mut Response<Answer<B>>, entry: Option<&Arc<Entry>>) {
    if let Some(entry) = entry {
        let line = entry.answered(response.status(), response.headers());
        response.body_mut().log(line);
    }
}

fn failed(id: u64, error: BoxError) -> Refused {
    tracing::error!(request = %format_args!("{id:016x}"), %error, "the application failed");
    internal_error(id)
}

fn internal_error(id: u64) -> Refused {
    Refused(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error, request {id:016x}"))
}

fn never_begun() -> Refused {
    Refused(StatusCode::SERVICE_UNAVAILABLE, NEVER_BEGUN.into())
}

fn timed_out() -> Refused {
    Refused(StatusCode::GATEWAY_TIMEOUT, TIMED_OUT.into())
}

/// The service that hyper calls, one per connection: each request is a task of its own, so that neither a panic in it
/// nor a client that leaves ends anything else.
struct RequestService<A: App> {
    handling: Arc<Handling<A>>,
    connected: Connected,
}

impl<A: App> hyper::service::Service<Request<Incoming>> for RequestService<A> {
    type Response = Response<Answer<A::Answer>>;
    type Error = Infallible;
    type Future = Answering<A::Answer>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.connected.flow.begins();
        let id = self.handling.ids.next();
        let access_log = self.handling.access_log.as_ref();
        let entry = access_log.and_then(|log| log.enter(&request, self.connected.peer));
        let handling = Arc::clone(&self.handling);
        let task = tokio::spawn(handling.handle(request, id, self.connected.clone(), entry.clone()));
        Answering { task, id, flow: Arc::clone(&self.connected.flow), entry }
    }
}

/// A request's answer to come.
struct Answering<B> {
    task: JoinHandle<Response<Answer<B>>>,
    id: u64,
    flow: Arc<Flow>,
    entry: Option<Arc<Entry>>,
}

impl<B> Future for Answering<B> {
    type Output = Result<Response<Answer<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match ready!(Pin::new(&mut self.task).poll(cx)) {
            Ok(response) => response,
            Err(_panicked) => {
                let Refused(status, why) = internal_error(self.id);
                tracing::error!(request = %format_args!("{:016x}", self.id), "a handler panicked");
                let mut response =
                    refusal(status, &why).map(|body: Bytes| Answer::fixed(body, Arc::clone(&self.flow)));
                log(&mut response, self.entry.as_ref());
                response
            }
        };
        Poll::Ready(Ok(response))
    }
}
