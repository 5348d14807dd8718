//! What the supervisor carries.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use http::{Request, Response, request};
use tower_service::Service;

use crate::http::Body;
use crate::ids::{Generation, Slot};
use crate::settings::Settings;
use crate::worker::Draining;

/// Any error, as the application's own types are not ours to know.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An application: how to check it, and how to build the service that answers requests.
///
/// The value lives in the master, which only hands it to forked children; none of its methods runs in the master.
pub trait App: Send + Sync + 'static {
    /// Answers requests. It is cloned for each.
    type Service: Service<Request<Body>, Response = Response<Self::Answer>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static;
    /// The body of an answer. It is polled outside the worker's turn, as slowly as the client reads.
    type Answer: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;

    /// Validates and migrates, once per start and reload, in a child of its own, before workers are forked. The child ends
    /// with its master.
    ///
    /// # Errors
    /// Ends the start with exit code 1, or the reload, and is shown to the operator. So does a panic. Code that calls
    /// `exit` itself chooses the master's exit code.
    fn prepare(&self) -> Result<(), BoxError> {
        Ok(())
    }

    /// Validates what [`App::prepare`] would, as far as that can be done without changing anything: for `--check-config`.
    ///
    /// # Errors
    /// Ends the check with exit code 1, and is shown to the operator.
    fn check(&self) -> Result<(), BoxError> {
        Ok(())
    }

    /// Builds the service, in each worker, on its runtime. The worker is ready when this returns.
    ///
    /// # Errors
    /// Ends the first start with exit code 4 and the error's words; later the boot is tried again, ever more slowly.
    fn build(&self, context: Context) -> impl Future<Output = Result<Self::Service, BoxError>>;

    /// Asked once a request's head is there, before its body is received.
    fn body_policy(&self, head: &request::Parts, default: BodyPolicy) -> BodyPolicy {
        let _ = head;
        default
    }
}

/// How a request's body is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BodyPolicy {
    /// Bytes that it may have at most, 0 meaning any number; a longer one is refused with 413.
    pub limit: u64,
}

impl BodyPolicy {
    /// The same policy with another limit.
    #[must_use]
    pub fn limited_to(self, limit: u64) -> Self {
        Self { limit }
    }
}

/// What a worker tells the application that it carries.
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) slot: Slot,
    pub(crate) generation: Generation,
    pub(crate) settings: Arc<Settings>,
    pub(crate) draining: Draining,
}

impl Context {
    /// The worker's place in the pool.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Which settings the worker was started with, counted from 1.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The supervisor's settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Tells when the worker begins to drain: endless answers should end then.
    pub fn draining(&self) -> Draining {
        self.draining.clone()
    }
}

/// Who sent a request; found in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Client {
    /// The other end of the connection; none on a Unix socket.
    pub address: Option<SocketAddr>,
}

/// An application made of one function from a request to an answer, with nothing to build.
///
/// ```no_run
/// use prefork::{Body, handler};
/// use http::{Request, Response};
///
/// let app = handler(async |_: Request<Body>| Response::new("hello\n".to_string()));
/// ```
pub fn handler<F, R, B>(function: F) -> Handler<F>
where
    F: Fn(Request<Body>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    Handler(function)
}

/// See [`handler`].
#[derive(Clone, Debug)]
pub struct Handler<F>(F);

impl<F, R, B> App for Handler<F>
where
    F: Fn(Request<Body>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Service = Self;
    type Answer = B;

    async fn build(&self, _: Context) -> Result<Self, BoxError> {
        Ok(self.clone())
    }
}

impl<F, R, B> Service<Request<Body>> for Handler<F>
where
    F: Fn(Request<Body>) -> R,
    R: Future<Output = Response<B>> + Send + 'static,
{
    type Response = Response<B>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = (self.0)(request);
        Box::pin(async move { Ok(answer.await) })
    }
}
