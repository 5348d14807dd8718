//! §1: what holds on every route.

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::json;

use crate::kit::{App, request};

#[tokio::test]
async fn errors_are_json_with_their_status() {
    let app = App::start().await;
    let id = app.device("one").await;
    assert_eq!(id, 1);
    let beyond = "/api/devices/9223372036854775808";
    #[rustfmt::skip]
    let table = [
        // unknown paths, in and outside of /api
        ("GET", "/api/nothing", "", 404),
        ("GET", "/nothing.html", "", 404),
        ("GET", "/", "", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", "", 404),
        ("PATCH", "/api", "", 404),
        // no trailing slash
        ("GET", "/api/devices/", "", 404),
        ("GET", "/api/devices/1/", "", 404),
        ("GET", "/api/health/", "", 404),
        // ids are digits, of at most 64 bits
        ("GET", "/api/devices/99", "", 404),
        ("GET", "/api/devices/abc", "", 404),
        ("GET", "/api/devices/+1", "", 404),
        ("GET", "/api/devices/-1", "", 404),
        ("GET", "/api/devices/1.0", "", 404),
        ("GET", "/api/devices/%ff", "", 404),
        ("GET", "/api/devices/%31%20", "", 404),
        ("GET", beyond, "", 404),
        ("DELETE", beyond, "", 404),
        ("DELETE", "/api/devices/99", "", 404),
        ("POST", "/api/devices/99/save", r#"{"csv_data": null}"#, 404),
        ("POST", "/api/devices/99/duplicate", r#"{"count": 1}"#, 404),
        ("POST", "/api/devices/abc/duplicate", r#"{"count": 1}"#, 404),
        // other methods
        ("PUT", "/api/devices/1", r#"{"name": "x"}"#, 405),
        ("DELETE", "/api/health", "", 405),
        ("POST", "/api/health/system", "", 405),
        ("GET", "/api/devices/1/duplicate", "", 405),
        ("GET", "/api/devices/1/save", "", 405),
        ("DELETE", "/api/devices/unassigned", "", 405),
        ("TRACE", "/api/devices", "", 405),
        // bodies that are no JSON object
        ("POST", "/api/devices", "", 400),
        ("POST", "/api/devices", "{broken", 400),
        ("POST", "/api/devices", r#"{"name": "x"} x"#, 400),
        ("POST", "/api/devices", "[1]", 400),
        ("POST", "/api/devices", "null", 400),
        ("POST", "/api/devices", "\u{feff}{\"name\": \"x\"}", 400),
        ("POST", "/api/devices", r#"{"name": "\ud800"}"#, 400),
        ("POST", "/api/devices/1/duplicate", "5", 400),
        ("POST", "/api/devices/1/save", "\"x\"", 400),
        // U+0000
        ("POST", "/api/devices", r#"{"name": "a\u0000b"}"#, 400),
        ("POST", "/api/devices", r#"{"name": "a", "description": "\u0000"}"#, 400),
        ("POST", "/api/devices/1/save", r#"{"csv_data": {"data": [{"a": "\u0000"}]}}"#, 400),
        ("POST", "/api/devices/1/save", r#"{"csv_data": {"data": [], "\u0000": 1}}"#, 400),
        // pages
        ("GET", "/api/devices?page=x", "", 400),
        ("GET", "/api/devices?page=", "", 400),
        ("GET", "/api/devices?page=1.5", "", 400),
        ("GET", "/api/devices?page=%2B5", "", 400),
        ("GET", "/api/devices?page=9223372036854775808", "", 400),
        ("GET", "/api/devices?per_page=ten", "", 400),
    ];
    for (method, path, body, status) in table {
        let answer = app.call(method, path, body).await;
        answer.refused(status, &format!("{method} {path} {body}"));
        assert_eq!(answer.headers.contains_key(header::ALLOW), status == 405, "{method} {path}");
    }
}

#[tokio::test]
async fn allow_names_the_methods() {
    let app = App::start().await;
    for (path, allow) in [
        ("/api/health", "OPTIONS, GET, HEAD"),
        ("/api/devices", "OPTIONS, GET, HEAD, POST"),
        ("/api/devices/unassigned", "OPTIONS, GET, HEAD"),
        ("/api/devices/1", "OPTIONS, GET, HEAD, DELETE"),
        ("/api/devices/1/duplicate", "OPTIONS, POST"),
        ("/api/devices/1/upload", "OPTIONS, POST"),
        ("/api/devices/1/save", "OPTIONS, POST"),
    ] {
        let options = app.call("OPTIONS", path, "").await;
        assert_eq!((options.status.as_u16(), options.body.len()), (200, 0), "{path}");
        assert_eq!(options.headers[header::ALLOW], allow, "{path}");
        let patch = app.call("PATCH", path, "").await;
        patch.refused(405, path);
        assert_eq!(patch.headers[header::ALLOW], allow, "{path}");
    }
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let app = App::start().await;
    let id = app.device("pump").await;
    let table = r#"{"csv_data": {"data": [{"a": "1"}]}}"#;
    app.post(&format!("/api/devices/{id}/save"), table).await;
    for path in ["/api/health", "/api/devices", "/api/devices/1", "/api/devices/unassigned"] {
        let (get, head) = (app.get(path).await, app.call("HEAD", path, "").await);
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        assert_eq!(head.headers[header::CONTENT_LENGTH], get.body.len().to_string(), "{path}");
        assert_eq!(head.headers[header::CONTENT_TYPE], "application/json");
    }
    assert_eq!(app.call("HEAD", "/api/devices/99", "").await.status, 404);
    assert_eq!(app.call("HEAD", "/api/devices/1/save", "").await.status, 405);
}

#[tokio::test]
async fn json_must_be_called_json() {
    let app = App::start().await;
    app.device("one").await;
    for (content_type, status) in [
        ("application/json", 201),
        ("Application/JSON; charset=utf-8", 201),
        ("application/vnd.devsim+json", 201),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonp", 415),
        ("", 415),
    ] {
        let body = br#"{"name": "x", "count": 1}"#.to_vec();
        for path in ["/api/devices", "/api/devices/1/duplicate"] {
            let answer = app.send(request("POST", path, content_type, body.clone())).await;
            assert_eq!(answer.status, status, "{content_type}");
            answer.json();
        }
    }
    let not_utf8 = b"{\"name\": \"\xe9\"}".to_vec();
    app.send(request("POST", "/api/devices", "application/json", not_utf8)).await.refused(400, "Latin-1");
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let app = App::start().await;
    let body = r#"{"name": "x", "device_type": "Sensor", "id": 77, "reference": "AAAAAAAA", "zip": [{}]}"#;
    let device = app.post("/api/devices", body).await.json();
    assert_eq!((&device["id"], &device["device_type"]), (&json!(1), &json!("WebApp")));
    assert_ne!(device["reference"], "AAAAAAAA");
}

#[tokio::test]
async fn bodies_over_the_limit_are_413_even_if_they_come_in_pieces() {
    let app = App::start().await;
    app.device("one").await;
    let spaces = " ".repeat(64 * 1024);
    app.post("/api/devices", &format!("{spaces}{{}}")).await.refused(413, "default");
    // The save route takes six times as much.
    let path = "/api/devices/1/save";
    let saved = app.post(path, &format!(r#"{}{{"csv_data": null}}"#, spaces.repeat(5))).await;
    assert_eq!(saved.status, 200);
    app.post(path, &format!(r#"{}{{"csv_data": null}}"#, spaces.repeat(6))).await.refused(413, "save");

    let piece = || Ok::<_, std::io::Error>(" ".repeat(1024));
    let pieces = futures_util::stream::iter(std::iter::repeat_with(piece).take(65));
    let mut request = Request::new(Body::from_stream(pieces));
    *request.method_mut() = axum::http::Method::POST;
    *request.uri_mut() = "/api/devices".parse().unwrap();
    request.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    app.send(request).await.refused(413, "of unknown length");
}

#[tokio::test]
async fn what_goes_wrong_inside_is_not_told() {
    let app = App::start().await;
    app.sql("DROP TABLE devices").await;
    for (method, path, body) in [
        ("GET", "/api/devices", ""),
        ("GET", "/api/devices/1", ""),
        ("POST", "/api/devices", r#"{"name": "x"}"#),
        ("DELETE", "/api/devices/1", ""),
    ] {
        let error = app.call(method, path, body).await.refused(500, path);
        assert_eq!(error, "Internal server error", "{method} {path}");
    }
}
