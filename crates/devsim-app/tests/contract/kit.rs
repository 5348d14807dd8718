//! An application to call, and answers to look at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use devsim_app::{Host, Settings};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt as _;

pub(crate) struct App {
    router: Router,
    settings: Settings,
    draining: Arc<AtomicBool>,
    _folder: TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// A table of at most 64 KiB uploaded and six times that saved: large enough for every case, small enough
/// to go beyond.
pub(crate) const LIMIT: u64 = 64 * 1024;

impl App {
    pub(crate) async fn start() -> Self {
        Self::with_limit(LIMIT).await
    }

    pub(crate) async fn with_limit(max_content_length: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database_url = folder.path().join("devsim.sqlite").to_str().unwrap().parse().unwrap();
        let settings = Settings { database_url, max_content_length };
        devsim_app::prepare(&settings).await.unwrap();
        let draining = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&draining);
        let host = Host { draining: Arc::new(move || asked.load(Ordering::Relaxed)) };
        let router = devsim_app::build(&settings, host).await.unwrap();
        Self { router, settings, draining, _folder: folder }
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Another worker on the same database.
    pub(crate) async fn sibling(&self) -> Router {
        devsim_app::build(&self.settings, Host::default()).await.unwrap()
    }

    /// An SQL statement from outside.
    pub(crate) async fn sql(&self, statement: &'static str) {
        let url = self.settings.database_url.to_string().replacen("sqlite:///", "sqlite://", 1);
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        sqlx::query(statement).execute(&pool).await.unwrap();
        pool.close().await;
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        send(&self.router, request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.call("POST", path, body).await
    }

    /// A request; a body goes as JSON.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        self.send(request(method, path, "application/json", body.to_owned().into_bytes())).await
    }

    /// Makes a device and returns its id.
    pub(crate) async fn device(&self, name: &str) -> i64 {
        let body = serde_json::json!({ "name": name }).to_string();
        let answer = self.post("/api/devices", &body).await;
        assert_eq!(answer.status, 201, "{name}");
        answer.json()["id"].as_i64().unwrap()
    }

    /// Uploads a file under a name of its own.
    pub(crate) async fn upload_as(&self, device: i64, file_name: &str, content: &[u8]) -> Answer {
        let body = multipart("file", Some(file_name), content);
        self.send(request("POST", &format!("/api/devices/{device}/upload"), MULTIPART, body)).await
    }

    pub(crate) async fn upload(&self, device: i64, content: impl AsRef<[u8]>) -> Answer {
        self.upload_as(device, "data.csv", content.as_ref()).await
    }
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let answer = router.clone().oneshot(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer { status: head.status, headers: head.headers, body }
}

pub(crate) fn request(method: &str, path: &str, content_type: &str, body: Vec<u8>) -> Request<Body> {
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = method.parse::<Method>().unwrap();
    *request.uri_mut() = path.parse().unwrap();
    if !content_type.is_empty() {
        request.headers_mut().insert(header::CONTENT_TYPE, content_type.parse().unwrap());
    }
    request
}

pub(crate) const MULTIPART: &str = "multipart/form-data; boundary=between";

pub(crate) fn multipart(field: &str, file_name: Option<&str>, content: &[u8]) -> Vec<u8> {
    let file_name = file_name.map(|name| format!("; filename=\"{name}\"")).unwrap_or_default();
    let mut body = format!(
        "--between\r\nContent-Disposition: form-data; name=\"{field}\"{file_name}\r\n\
         Content-Type: text/csv\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n--between--\r\n");
    body
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// Asserts the status and, of errors, the shape; returns the error's text.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, case: &str) -> String {
        assert_eq!(self.status, status, "{case}: {}", self.text());
        let json = self.json();
        assert_eq!(json.as_object().unwrap().len(), 1, "{case}: {json}");
        json["error"].as_str().unwrap_or_else(|| panic!("{case}: {json}")).to_owned()
    }
}
