//! Answers that the server gives in the application's place.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

/// A short answer, as the application's own errors look: `{"error": "..."}`.
pub(crate) fn refusal(status: StatusCode, why: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(json(why)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The same as bytes, for a connection whose protocol machine is stuck or was never reached. It ends the connection.
pub(crate) fn raw_refusal(status: StatusCode, why: &str) -> String {
    let body = json(why);
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// `why` is one of our own texts, which need no escaping.
fn json(why: &str) -> String {
    format!("{{\"error\": \"{why}\"}}")
}
