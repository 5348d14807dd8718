//! §8: health.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::kit::App;

fn is_now(timestamp: &serde_json::Value) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    timestamp.as_f64().is_some_and(|then| (now - then).abs() < 5.0)
}

#[tokio::test]
async fn basic() {
    let answer = App::start().await.get("/api/health").await;
    assert_eq!(answer.status, 200);
    let expected = json!({"status": "healthy", "service": "device-simulator", "version": "1.0.0"});
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn liveness_names_the_worker() {
    let answer = App::start().await.get("/api/health/liveness").await;
    let json = answer.json();
    assert_eq!(
        (answer.status.as_u16(), &json["alive"], &json["pid"]),
        (200, &json!(true), &json!(std::process::id()))
    );
    assert!(is_now(&json["timestamp"]));
}

#[tokio::test]
async fn readiness_checks_the_database() {
    let app = App::start().await;
    let answer = app.get("/api/health/readiness").await;
    let mut json = answer.json();
    assert!(is_now(&json["timestamp"].take()));
    let checks = json!({"database": true, "secrets": true, "basic_functionality": true});
    assert_eq!(answer.status, 200);
    assert_eq!(json, json!({"ready": true, "checks": checks, "timestamp": null}));

    app.sql("DROP TABLE schema_info").await;
    let answer = app.get("/api/health/readiness").await;
    let json = answer.json();
    assert_eq!(answer.status, 503);
    assert_eq!((&json["ready"], &json["checks"]["database"]), (&json!(false), &json!(false)));
}

#[tokio::test]
async fn a_draining_worker_is_not_ready_but_alive() {
    let app = App::start().await;
    app.drain();
    let answer = app.get("/api/health/readiness").await;
    let json = answer.json();
    assert_eq!((answer.status.as_u16(), &json["ready"]), (503, &json!(false)));
    assert!(json["error"].is_string());
    assert_eq!(app.get("/api/health/liveness").await.status, 200);
}

#[tokio::test]
async fn system_samples_nothing_while_somebody_waits() {
    let app = App::start().await;
    let begun = Instant::now();
    for _ in 0..300 {
        app.get("/api/health/system").await;
    }
    // A sample of the processors' load takes a tenth of a second at least, and these answers take one hundredth in all.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn system_has_figures() {
    let app = App::start().await;
    let answer = app.get("/api/health/system").await;
    let json = answer.json();
    let ready = answer.status == 200;
    assert!(ready || answer.status == 503);
    assert_eq!(json["system"]["load_balancer_ready"], ready);
    assert_eq!(json["status"] != "critical", ready);
    let system = &json["system"];
    assert!(is_now(&system["timestamp"]));
    for path in [
        "/uptime",
        "/cpu/percent",
        "/cpu/count",
        "/cpu/load_avg/0",
        "/cpu/load_avg/2",
        "/memory/total",
        "/memory/available",
        "/memory/percent",
        "/memory/used",
        "/memory/free",
        "/disk/total",
        "/disk/used",
        "/disk/free",
        "/disk/percent",
        "/process/pid",
        "/process/memory_percent",
        "/process/cpu_percent",
        "/process/num_threads",
        "/process/create_time",
        "/response_time",
    ] {
        assert!(system.pointer(path).is_some_and(serde_json::Value::is_number), "{path}: {system}");
    }
    for path in ["/cpu/percent", "/memory/percent", "/disk/percent"] {
        let percent = system.pointer(path).unwrap().as_f64().unwrap();
        assert!((0.0..=100.0).contains(&percent), "{path}: {percent}");
    }
    assert_eq!(system["process"]["pid"], std::process::id());
}
