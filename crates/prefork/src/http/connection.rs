//! The life of a connection: hyper's state machine between our wire and our time limits, and a close that no client
//! mistakes for a loss.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::Shutdown;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use rustix::net::{SendFlags, send};
use socket2::SockRef;
use tokio::time::{Instant, sleep, timeout};

use crate::app::BoxError;
use crate::settings::{Settings, Timeouts, limit};
use crate::sys::sockets::unacknowledged;

use super::flow::{Flow, Overdue};
use super::refusal::raw_refusal;
use super::stream::Stream;
use super::wire::{Wire, has_input};

/// How long the rest of a refused request is read and thrown away.
const LINGER: Duration = Duration::from_secs(5);
/// After this much beyond the body's limit the client is not listened to any more.
const LINGER_BYTES: u64 = 1 << 20;

/// Serves one connection to its end. `is_leaving` says whether it should end soon.
pub(crate) async fn serve<S, B>(
    stream: &Arc<Stream>,
    flow: &Arc<Flow>,
    settings: &Settings,
    is_leaving: impl Fn() -> bool,
    service: S,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Unpin> + Unpin,
    B: Body<Error: Into<BoxError>> + 'static,
{
    let settle = SettleAtLast(flow);
    let finished = exchange(stream, flow, &settings.timeouts, is_leaving, service).await;
    drop(settle);
    close(stream, finished && !flow.is_unread(), settings.bodies.limit_request_body).await;
}

/// Whoever waits for a connection to settle is never left waiting.
struct SettleAtLast<'a>(&'a Flow);

impl Drop for SettleAtLast<'_> {
    fn drop(&mut self) {
        self.0.settle();
    }
}

/// Requests and answers; whether they ended in good order.
async fn exchange<S, B>(
    stream: &Arc<Stream>,
    flow: &Arc<Flow>,
    timeouts: &Timeouts,
    is_leaving: impl Fn() -> bool,
    service: S,
) -> bool
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Unpin> + Unpin,
    B: Body<Error: Into<BoxError>> + 'static,
{
    let wire = Wire { stream: Arc::clone(stream), flow: Arc::clone(flow) };
    let mut connection = http1::Builder::new()
        .keep_alive(!timeouts.keepalive.is_zero())
        .half_close(true) // a client that only sends no more still gets its answer
        .header_read_timeout(None) // hyper has one clock for idle and head; ours tell them apart
        .serve_connection(TokioIo::new(wire), service);
    let shortest = shortest_limit(timeouts);
    let mut clock = pin!(sleep(shortest));
    loop {
        tokio::select! {
            biased;
            ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => return ended.is_ok(),
            () = &mut clock => {}
        }
        if flow.is_write_blocked()
            && let Ok(bytes) = unacknowledged(&**stream)
        {
            flow.sample(bytes);
        }
        let next = match flow.check(timeouts, is_leaving()) {
            Ok(left) => left,
            // The last look before an idle connection is closed: a request that has arrived is served.
            Err(Overdue::Idle) if has_input(stream) => Duration::from_millis(10), // it comes to hyper in a moment
            Err(Overdue::Idle) => return true,
            Err(Overdue::Head) => {
                let answer =
                    raw_refusal(StatusCode::REQUEST_TIMEOUT, "the request's head did not arrive in time");
                let _ = send(stream, answer.as_bytes(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
                return false;
            }
            Err(Overdue::Write) => return true,
        };
        // A limit that begins after this look is not due before the shortest one could be.
        clock.as_mut().reset(Instant::now() + next.min(shortest));
    }
}

/// The least of the limits that a connection can run into.
fn shortest_limit(timeouts: &Timeouts) -> Duration {
    const FAR: Duration = Duration::from_secs(3600);
    let limits = [timeouts.keepalive, timeouts.header_timeout, timeouts.write_timeout];
    limits.into_iter().filter_map(limit).min().unwrap_or(FAR)
}

/// Closes in both directions. What the client sends on after a refusal is read and thrown away for a while: a close
/// with unread bytes makes the kernel send a reset, and that can overtake the answer (RFC 9112 section 9.6).
async fn close(stream: &Stream, in_good_order: bool, limit: u64) {
    let _ = SockRef::from(stream).shutdown(Shutdown::Write);
    if in_good_order && !has_input(stream) {
        return;
    }
    let most = limit.saturating_add(LINGER_BYTES);
    let _ = timeout(LINGER, discard(stream, most)).await;
}

async fn discard(stream: &Stream, most: u64) {
    let mut rest = vec![0; 16 * 1024];
    let mut total = 0;
    while total < most {
        match stream.read(&mut rest).await {
            Ok(0) | Err(_) => return,
            Ok(count) => total += count as u64,
        }
    }
}
