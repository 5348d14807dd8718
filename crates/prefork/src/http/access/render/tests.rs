#![allow(clippy::unwrap_used, reason = "in a test a panic is the right answer, in its helpers too")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use proptest::collection::vec;
use proptest::prelude::*;
use settings::Value as _;

use super::LINE_MAX;
use crate::http::AccessLog;
use crate::settings::{Access, AccessFormat, PathPattern};

/// Every field that may hold a blank is quoted.
const QUOTED: &str =
    r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" "%({x-mark}i)s" "%({x-mark}o)s""#;

/// A log with this format, and the lines that it has made.
fn log(settings: Access) -> (Arc<AccessLog>, Arc<Mutex<Vec<String>>>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&lines);
    let log =
        AccessLog::new(&settings, Arc::new(move |line: &str| taken.lock().unwrap().push(line.to_owned())));
    (log, lines)
}

fn format(format: &str) -> Access {
    Access { access_log_format: AccessFormat::from_text(format).unwrap(), ..Access::default() }
}

fn client() -> Option<SocketAddr> {
    Some("192.0.2.7:5000".parse().unwrap())
}

fn request(target: &str, headers: &[(&'static str, &[u8])]) -> Request<()> {
    let mut request = Request::builder().uri(target).body(()).unwrap();
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value).unwrap();
        request.headers_mut().append(HeaderName::from_static(name), value);
    }
    request
}

/// The line for a request that was answered with 200 and so many bytes.
fn line(shape: &str, request: &Request<()>, answer: &HeaderMap, bytes: usize) -> String {
    let (log, lines) = log(format(shape));
    log.enter(request, client()).unwrap().answered(StatusCode::OK, answer).sent(bytes);
    let lines = lines.lock().unwrap();
    assert_eq!(lines.len(), 1);
    lines[0].clone()
}

#[test]
fn every_atom_is_as_in_gunicorns_manual() {
    let headers: &[(&'static str, &[u8])] = &[
        ("referer", b"http://r/"),
        ("user-agent", b"curl"),
        ("authorization", b"Basic dXNlcjpwdw=="),
        ("x-mark", b"m1"),
        ("x-mark", b"m2"),
    ];
    let request = request("/path%0Ax?q=1%22", headers);
    let answer = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))]);
    for (atom, expected) in [
        ("%(h)s", "192.0.2.7"),
        ("%(l)s", "-"),
        ("%(u)s", "user"),
        ("%(r)s", "GET /path%0Ax?q=1%22 HTTP/1.1"),
        ("%(m)s", "GET"),
        ("%(U)s", "/path%0Ax"),
        ("%(q)s", "q=1%22"),
        ("%(H)s", "HTTP/1.1"),
        ("%(s)s", "200"),
        ("%(B)s", "7"),
        ("%(b)s", "7"),
        ("%(f)s", "http://r/"),
        ("%(a)s", "curl"),
        ("%(T)s", "0"),
        ("%({X-Mark}i)s", "m2"),
        ("%({Content-Type}o)s", "text/plain"),
        ("%({RAW_URI}e)s", "/path%0Ax?q=1%22"),
        ("%({HTTP_USER_AGENT}e)s", "curl"),
        ("%({path}e)s", std::env::var("PATH").unwrap().as_str()),
        ("%%%(s)s%%", "%200%"),
    ] {
        assert_eq!(line(atom, &request, &answer, 7), expected, "{atom}");
    }
    assert_eq!(line("%(p)s", &request, &answer, 7), format!("<{}>", std::process::id()));
    let numbers = line("%(D)s %(M)s %(L)s", &request, &answer, 7);
    assert!(numbers.split(' ').all(|number| number.parse::<f64>().is_ok()), "{numbers}");
    let time = line("%(t)s", &request, &answer, 7);
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert!(shape.starts_with("[99/") && shape.ends_with("/9999:99:99:99 +9999]"), "{time}");
}

#[test]
fn what_is_missing_is_a_dash() {
    let request = request("/", &[]);
    for atom in
        ["%(l)s", "%(u)s", "%(q)s", "%(b)s", "%(f)s", "%(a)s", "%({x}i)s", "%({x}o)s", "%({no_such_thing}e)s"]
    {
        assert_eq!(line(atom, &request, &HeaderMap::new(), 0), "-", "{atom}");
    }
    assert_eq!(line("%(B)s", &request, &HeaderMap::new(), 0), "0");
}

#[test]
fn a_user_is_told_only_where_basic_authorization_names_one() {
    for (authorization, expected) in [
        ("basic dXNlcjpwdw==", "user"),
        ("Basic  dXNlcg==", "user"),
        ("Basic YSBiOnB3", "a\\u0020b"), // "a b:pw"
        ("Basic OnB3", "-"),             // ":pw"
        ("Basic /////w==", "-"),         // no UTF-8
        ("Basic dXNlcjpwdw", "-"),       // no Base64
        ("Bearer dXNlcjpwdw==", "-"),
        ("Basic", "-"),
    ] {
        let request = request("/", &[("authorization", authorization.as_bytes())]);
        assert_eq!(line("%(u)s", &request, &HeaderMap::new(), 0), expected, "{authorization}");
    }
}

#[test]
fn the_target_is_told_as_it_came() {
    let told = |request: &Request<()>| line("%(r)s", request, &HeaderMap::new(), 0);
    assert_eq!(told(&request("http://a.example/b?c", &[])), "GET http://a.example/b?c HTTP/1.1");
    assert_eq!(told(&request("*", &[])), "GET * HTTP/1.1");
    let quoted = request("/a\"b\\c", &[]);
    assert_eq!(told(&quoted), "GET /a\\\"b\\\\c HTTP/1.1");
}

#[test]
fn an_answer_that_comes_second_is_not_told() {
    let (log, lines) = log(format("%(s)s %(B)s"));
    let entry = log.enter(&request("/", &[]), client()).unwrap();
    let mut first = entry.answered(StatusCode::OK, &HeaderMap::new());
    first.sent(3);
    let second = entry.answered(StatusCode::GATEWAY_TIMEOUT, &HeaderMap::new());
    drop(first);
    drop(second);
    assert_eq!(*lines.lock().unwrap(), ["200 3"]);
}

#[test]
fn excluded_paths_have_no_line() {
    let pattern = |text| PathPattern::from_text(text).unwrap();
    let access_log_exclude = vec![pattern("/health"), pattern("/static/*")];
    let (log, lines) = log(Access { access_log_exclude, ..format("%(r)s") });
    for (target, wanted) in
        [("/health?x=1", false), ("/static/a.js", false), ("/healthy", true), ("/other", true)]
    {
        let entry = log.enter(&request(target, &[]), client());
        assert_eq!(entry.is_some(), wanted, "{target}");
    }
    assert!(lines.lock().unwrap().is_empty());
}

#[test]
fn a_long_line_is_cut_where_texts_are_long_and_keeps_the_rest() {
    let target = format!("/{}", "x".repeat(6000));
    let line = line(r#""%(r)s" %(s)s %(b)s "%(a)s""#, &request(&target, &[]), &HeaderMap::new(), 5);
    assert!(line.len() <= LINE_MAX && line.ends_with("x… HTTP/1.1\" 200 5 \"-\""), "{line}");
    assert!(line.contains(&"x".repeat(2000)));
}

/// Bytes that hyper takes for a header's value.
fn value() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(b'\t'), 0x20..0x7f_u8, 0x80..=0xff_u8, Just(b'"'), Just(b'\\')], 0..60)
}

proptest! {
    #[test]
    fn no_client_breaks_or_forges_a_line(agent in value(), referer in value(), mark in value(), user in value(), path in "/[!-~]{0,300}") {
        let target = path.replace(['#', '<', '>', '`'], "");
        prop_assume!(target.parse::<http::Uri>().is_ok());
        let authorization = format!("Basic {}", base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &user));
        let headers: &[(&'static str, &[u8])] = &[
            ("user-agent", &agent), ("referer", &referer), ("x-mark", &mark), ("authorization", authorization.as_bytes()),
        ];
        let answer = HeaderMap::from_iter([(HeaderName::from_static("x-mark"), HeaderValue::from_bytes(&mark).unwrap())]);
        let line = line(QUOTED, &request(&target, headers), &answer, 1);
        prop_assert!(line.len() <= LINE_MAX);
        let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        prop_assert!(!line.contains(breaks), "{:?}", line);
        // What a reader goes by is the operator's: ten quotes, and outside of them the blanks between fields and one in the
        // time.
        let (mut quotes, mut blanks, mut escaped) = (0, 0, false);
        for c in line.chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => quotes += 1,
                ' ' if quotes % 2 == 0 => blanks += 1,
                _ => {}
            }
        }
        prop_assert_eq!((quotes, blanks, escaped), (10, 11, false), "{}", line);
    }
}
