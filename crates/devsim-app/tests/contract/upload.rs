//! §4: uploading a file. The edges of CSV itself are tested beside its reader.

use devsim_app::Settings;
use serde_json::json;

use crate::kit::{App, MULTIPART, multipart, request};

#[tokio::test]
async fn a_file_is_shown_as_rows() {
    let app = App::start().await;
    let id = app.device("pump").await;
    let before = app.get("/api/devices/1").await.json();
    let file = b"\xef\xbb\xbft,v\r\n1,\"a,b\"\r\n2,\"x\ny\"\r\n\r\n3\r\n4,5,6\n";
    let answer = app.upload(id, file).await;
    assert_eq!(answer.status, 200);
    let data = json!([
        {"t": "1", "v": "a,b"}, {"t": "2", "v": "x\ny"}, {"t": "", "v": ""}, {"t": "3", "v": ""},
        {"t": "4", "v": "5"},
    ]);
    assert_eq!(
        answer.json(),
        json!({"message": "File processed", "preview": {
            "headers": ["t", "v"],
            "csv_preview": [["1", "a,b"], ["2", "x\ny"], [], ["3"], ["4", "5", "6"]],
            "json_preview": data,
            "total_rows": 5,
            "data": data,
        }})
    );
    assert_eq!(app.get("/api/devices/1").await.json(), before, "the device does not change");
}

#[tokio::test]
async fn checks_come_in_their_order() {
    let app = App::start().await;
    let id = app.device("pump").await;
    let path = format!("/api/devices/{id}/upload");
    let latin1 = b"a\n\xe9\n";
    for (case, status, body) in [
        ("no part of that name", 400, multipart("data", Some("data.csv"), b"a\n1\n")),
        ("a field, not a file", 400, multipart("file", None, b"a\n1\n")),
        ("no file name", 400, multipart("file", Some(""), latin1)),
        ("another extension", 400, multipart("file", Some("data.txt"), latin1)),
        ("no extension", 400, multipart("file", Some("csv"), b"a\n1\n")),
        ("the extension in the middle", 400, multipart("file", Some("data.csv.txt"), b"a\n1\n")),
        ("capitals", 200, multipart("file", Some("DATA.CSV"), b"a\n1\n")),
        ("not UTF-8", 400, multipart("file", Some("data.csv"), latin1)),
        ("a header alone", 400, multipart("file", Some("data.csv"), b"a,b\n")),
        ("empty", 400, multipart("file", Some("data.csv"), b"")),
        ("an open quote", 400, multipart("file", Some("data.csv"), b"a,b\n1,\"2\n")),
        ("NUL", 400, multipart("file", Some("data.csv"), b"a\n\0\n")),
        ("too large", 413, multipart("file", Some("data.txt"), &[b'x'; 64 * 1024])),
        ("cut off", 400, b"--between\r\nContent-Disposition: form-data; name=\"file\"".to_vec()),
        ("no parts", 400, Vec::new()),
    ] {
        let answer = app.send(request("POST", &path, MULTIPART, body.clone())).await;
        assert_eq!(answer.status, status, "{case}");
        if status != 200 {
            answer.refused(status, case);
        }
        let unknown = app.send(request("POST", "/api/devices/99/upload", MULTIPART, body)).await;
        unknown.refused(404, case);
    }
    for content_type in ["application/json", "text/csv", "multipart/form-data", ""] {
        let body = multipart("file", Some("data.csv"), b"a\n1\n");
        app.send(request("POST", &path, content_type, body)).await.refused(400, content_type);
    }
    let error = app.upload(id, latin1).await.refused(400, "Latin-1");
    assert!(error.contains("UTF-8"), "{error}");
    let error = app.upload(id, b"a,b\n1,\"2\n3").await.refused(400, "open quote");
    assert!(error.contains("line 2"), "{error}");
}

#[tokio::test]
async fn the_file_is_found_behind_other_parts() {
    let app = App::start().await;
    app.device("pump").await;
    let mut body = multipart("file", None, b"a form field of that name");
    body.truncate(body.len() - b"--between--\r\n".len());
    body.extend(multipart("file", Some("d.csv"), b"a\r\n--betwee\r\n"));
    let answer = app.send(request("POST", "/api/devices/1/upload", MULTIPART, body)).await;
    assert_eq!(answer.json()["preview"]["data"], json!([{"a": "--betwee"}]));
}

#[tokio::test]
async fn ten_megabytes_are_taken_and_one_byte_more_is_not() {
    let limit = Settings::default().max_content_length;
    assert_eq!(limit, 10_485_760);
    let app = App::with_limit(limit).await;
    let id = app.device("large").await;
    let around = multipart("file", Some("data.csv"), b"").len();
    let mut file = b"a\n".to_vec();
    file.resize(10_485_760 - around, b'x');
    assert_eq!(app.upload(id, &file).await.status, 200);
    file.push(b'x');
    app.upload(id, &file).await.refused(413, "the whole body counts");
}

#[tokio::test]
async fn an_upload_is_saved_and_read_back() {
    let app = App::start().await;
    let id = app.device("pump").await;
    let preview = app.upload(id, "t,v\n1,\"a,b\"\n\n2\n").await.json()["preview"].take();
    let body = json!({ "csv_data": preview }).to_string();
    assert_eq!(app.post(&format!("/api/devices/{id}/save"), &body).await.status, 200);
    assert_eq!(app.get(&format!("/api/devices/{id}")).await.json()["csv_data"], preview);
}
