//! DevSim from outside, with several workers.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use kit::{Multipart, Server, Signal};
use serde_json::{Value, json};

fn devsim() -> Server {
    Server::devsim("[server]\nworkers = 3\n").start()
}

fn example(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn create(server: &Server, name: &str) -> Value {
    let answer = server.send_json("POST", "/api/devices", &json!({"name": name}));
    assert_eq!(answer.status, 201, "{}", answer.head);
    answer.json()
}

#[test]
fn a_device_comes_of_each_example_file() {
    let server = devsim();
    for file in ["greenhouse.csv", "pump-vibration.csv", "weather-station.csv"] {
        let device = create(&server, file);
        let path = format!("/api/devices/{}", device["id"]);
        let upload = Multipart::file(file, &example(file));
        let uploaded = server.send("POST", &format!("{path}/upload"), &upload.content_type, &upload.body);
        assert_eq!(uploaded.status, 200);
        let preview = uploaded.json()["preview"].clone();
        assert!(preview["total_rows"].as_u64() >= Some(20), "{file}");
        let saved = server.send_json("POST", &format!("{path}/save"), &json!({"csv_data": preview}));
        assert_eq!(saved.status, 200);
        for _ in 0..5 {
            assert_eq!(server.get(&path).json()["csv_data"], preview, "whichever worker answers");
        }
        let copies = server.send_json("POST", &format!("{path}/duplicate"), &json!({"count": 2}));
        assert_eq!(copies.status, 201);
        assert_eq!(copies.json()["duplicated_devices"][1]["name"], format!("{file} 2"));
        let deleted = server.send("DELETE", &path, "text/plain", b"");
        assert_eq!(deleted.json(), json!({"deleted": true, "device_id": device["id"]}));
        assert_eq!(server.get(&path).status, 404);
    }
    assert_eq!(server.get("/api/devices").json()["pagination"]["total"], 6);
}

#[test]
fn a_save_may_be_larger_than_other_bodies_and_nothing_stays_on_disk_of_either() {
    let server = devsim();
    create(&server, "large");
    let row = json!({"t": "1", "v": "x".repeat(1000)});
    let table = json!({"headers": ["t", "v"], "data": vec![row; 14_000]});
    let saved = server.send_json("POST", "/api/devices/1/save", &json!({"csv_data": table}));
    assert_eq!(saved.status, 200, "14 MB of JSON");
    let too_large = Multipart::file("large.csv", &vec![b'x'; 10_485_760]);
    let refused = server.send("POST", "/api/devices/1/upload", &too_large.content_type, &too_large.body);
    assert_eq!(refused.status, 413);
    assert!(refused.json()["error"].is_string());
    let mut files: Vec<_> = fs::read_dir(server.path().join("data"))
        .expect("the data directory")
        .flatten()
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with("devsim.sqlite"))
        .collect();
    files.sort();
    assert!(files.is_empty(), "{files:?}");
}

#[test]
fn every_answered_write_survives_workers_that_are_killed() {
    let server = devsim();
    let over = AtomicBool::new(false);
    let count = AtomicUsize::new(0);
    let written: Vec<String> = thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let (server, over, count) = (&server, &over, &count);
                scope.spawn(move || {
                    let mut written = Vec::new();
                    for i in 0.. {
                        if over.load(Ordering::Relaxed) {
                            return written;
                        }
                        let name = format!("w{writer}-{i}");
                        if let Some(status) = try_create(server, &name) {
                            assert_eq!(status, 201);
                            written.push(name);
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    written
                })
            })
            .collect();
        for _ in 0..15 {
            let goal = count.load(Ordering::Relaxed) + 10;
            server.wait_for("ten more writes", |_| (count.load(Ordering::Relaxed) >= goal).then_some(()));
            let workers = server.wait_for_workers(3);
            let victim = *workers.first().expect("a worker");
            server.signal_worker(victim, Signal::KILL);
            server.wait_for("its end", |server| (!server.workers().contains(&victim)).then_some(()));
        }
        over.store(true, Ordering::Relaxed);
        writers.into_iter().flat_map(|writer| writer.join().expect("no answer but 201")).collect()
    });
    let mut there = Vec::new();
    for page in 1.. {
        let list = server.get(&format!("/api/devices?per_page=100&page={page}")).json();
        let items = list["items"].as_array().cloned().unwrap_or_default();
        if items.is_empty() {
            break;
        }
        there.extend(items.into_iter().filter_map(|item| item["name"].as_str().map(str::to_owned)));
    }
    there.sort();
    let missing: Vec<_> = written.iter().filter(|name| there.binary_search(name).is_err()).collect();
    assert!(missing.is_empty(), "{} of {} are lost: {missing:?}", missing.len(), written.len());
}

/// The status of the answer, if there is one: a killed worker gives none.
fn try_create(server: &Server, name: &str) -> Option<u16> {
    let body = json!({"name": name}).to_string();
    let mut connection = kit::Connection::open(server.address()).ok()?;
    let length = body.len();
    let fields = format!("Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close");
    connection.send(format!("POST /api/devices HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n{body}")).ok()?;
    connection.answer().ok().map(|answer| answer.status)
}

#[test]
fn a_restart_finds_everything_again() {
    let mut server = devsim();
    create(&server, "kept");
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end(), Some(0));
    let database = format!("sqlite:///{}", server.path().join("data/devsim.sqlite").display());
    let again = Server::devsim("[server]\nworkers = 1\n").variable("DATABASE_URL", &database).start();
    assert_eq!(again.get("/api/devices/1").json()["name"], "kept");
}

#[test]
fn readiness_turns_503_when_a_worker_drains_and_liveness_stays() {
    let server = Server::devsim("[server]\nworkers = 1\n").start();
    let mut first = server.connect();
    let mut second = server.connect();
    assert_eq!(first.get("/api/health/readiness", "").expect("an answer").status, 200);
    assert_eq!(second.get("/api/health/liveness", "").expect("an answer").status, 200);
    server.signal(Signal::TERM);
    let address = server.address();
    assert!(kit::until(|| kit::Connection::open(address).err()).is_some(), "it drains");
    assert_eq!(first.get("/api/health/readiness", "").expect("an answer").status, 503);
    assert_eq!(second.get("/api/health/liveness", "").expect("an answer").status, 200);
}
