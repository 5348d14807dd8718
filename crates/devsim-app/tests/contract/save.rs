//! §4: saving a table.

use axum::http::header;
use devsim_app::Settings;
use http_body_util::BodyExt as _;
use serde_json::json;
use tower::ServiceExt as _;

use crate::kit::{App, request};

#[tokio::test]
async fn a_table_comes_back_as_it_was_spelt() {
    let app = App::start().await;
    app.device("pump").await;
    for table in [
        r#"{"headers":["t"],"csv_preview":[["1"]],"total_rows":1,"data":[{"t":"1"}]}"#,
        r#"{"data":[]}"#,
        r#"{"json_preview":[]}"#,
        r#"{"json_preview":[{"a":"1"},{"a":"2"}],"x":null}"#,
        r#"{"n":[1.50,1E5,-0,12345678901234567890123],"é\"\\":{"deep":[[]]},"data":[{"v":0.10,"w":{"x":[1]}}]}"#,
        r#"{"text":"\\u0000 is no NUL, \ud83d\ude00","data":[{"a":"\n"}]}"#,
    ] {
        let answer = app.post("/api/devices/1/save", &format!(r#"{{"csv_data":{table}}}"#)).await;
        assert_eq!(answer.status, 200, "{table}");
        let json = answer.json();
        assert_eq!(json["message"], "Data saved");
        let device = app.get("/api/devices/1").await;
        assert_eq!(json["device"], device.json(), "{table}");
        // Here the rows were last already, so that even the text is the same.
        assert!(answer.text().ends_with(&format!(r#","csv_data":{table}}}}}"#)), "{}", answer.text());
        assert!(device.text().ends_with(&format!(r#","csv_data":{table}}}"#)), "{}", device.text());
        assert_eq!(device.headers[header::CONTENT_LENGTH], device.body.len().to_string(), "{table}");
    }
    // Where they are not, they are moved behind.
    let table = r#"{"data": [ {"a": 1.0} ,{} ], "z": 2.0 }"#;
    app.post("/api/devices/1/save", &format!(r#"{{"csv_data":{table}}}"#)).await;
    let device = app.get("/api/devices/1").await.text();
    assert!(device.ends_with(r#","csv_data":{"z":2.0,"data":[{"a": 1.0},{}]}}"#), "{device}");
}

#[tokio::test]
async fn null_clears() {
    let app = App::start().await;
    app.device("pump").await;
    for table in [r#"{"data":[{}]}"#, "null", "null"] {
        let answer = app.post("/api/devices/1/save", &format!(r#"{{"csv_data": {table}}}"#)).await;
        assert_eq!(answer.status, 200);
        let expected: serde_json::Value = serde_json::from_str(table).unwrap();
        assert_eq!(answer.json()["device"]["csv_data"], expected);
        assert_eq!(app.get("/api/devices/1").await.json()["csv_data"], expected);
        assert_eq!(app.get("/api/devices").await.json()["items"][0]["csv_data"].is_null(), table == "null");
    }
}

#[tokio::test]
async fn what_is_no_table_is_refused_and_changes_nothing() {
    let app = App::start().await;
    app.device("pump").await;
    app.post("/api/devices/1/save", r#"{"csv_data": {"data": [{"kept": "1"}]}}"#).await;
    for body in [
        r#"{}"#,
        r#"{"data": []}"#,
        r#"{"csv_data": 5}"#,
        r#"{"csv_data": "null"}"#,
        r#"{"csv_data": []}"#,
        r#"{"csv_data": {}}"#,
        r#"{"csv_data": {"headers": []}}"#,
        r#"{"csv_data": {"data": {}}}"#,
        r#"{"csv_data": {"data": null, "json_preview": [{}]}}"#,
        r#"{"csv_data": {"data": [["1"]], "json_preview": [{}]}}"#,
        r#"{"csv_data": {"data": [{}, null]}}"#,
        r#"{"csv_data": {"json_preview": "x"}}"#,
        r#"{"csv_data": {"data": [{"a": "\u0000"}]}}"#,
        r#"{"csv_data": {"data": [{"\\\u0000": 1}]}}"#,
        r#"{"csv_data": {"data": [{"a": tru}]}}"#,
    ] {
        app.post("/api/devices/1/save", body).await.refused(400, body);
        let unknown = app.post("/api/devices/99/save", body).await;
        unknown.refused(404, body);
    }
    assert_eq!(app.get("/api/devices/1").await.json()["csv_data"], json!({"data": [{"kept": "1"}]}));
}

#[tokio::test]
async fn a_sensor_begins_again() {
    let app = App::start().await;
    app.device("sensor").await;
    app.sql("UPDATE devices SET device_type = 'Sensor', current_row_index = 7").await;
    let answer = app.post("/api/devices/1/save", r#"{"csv_data": {"data": [{}]}}"#).await;
    assert_eq!(answer.json()["device"]["current_row_index"], 0);
}

#[tokio::test]
async fn a_large_table_comes_back_whole() {
    let app = App::with_limit(Settings::default().max_content_length).await;
    app.device("large").await;
    let row = r#"{"time":"2031-05-06T07:08:09","temperature":"21.5","place":"north, upper"}"#;
    let rows = vec![row; 100_000].join(",");
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(200_000)); // has a block of its own
    let table = format!(r#"{{"headers":["time"],"data":[{rows},{large},{row}]}}"#);
    let answer = app.post("/api/devices/1/save", &format!(r#"{{"csv_data":{table}}}"#)).await;
    assert_eq!(answer.status, 200);
    let device = app.get("/api/devices/1").await;
    assert!(device.text().ends_with(&format!(r#","csv_data":{table}}}"#)));
    let head = app.call("HEAD", "/api/devices/1", "").await;
    assert_eq!(head.headers[header::CONTENT_LENGTH], device.body.len().to_string(), "its length is known");
    let list = app.get("/api/devices").await;
    assert!(list.body.len() < 2_000, "lists leave the rows where they are");
}

#[tokio::test]
async fn tables_that_just_fill_a_page_of_the_store_come_back_whole() {
    let app = App::with_limit(Settings::default().max_content_length).await;
    app.device("large").await;
    let row = format!(r#"{{"a":"{}"}}"#, "x".repeat(65_000)); // has a block of its own
    for blocks in [15, 16, 17, 32, 33] {
        let table = format!(r#"{{"data":[{}]}}"#, vec![row.as_str(); blocks].join(","));
        let answer = app.post("/api/devices/1/save", &format!(r#"{{"csv_data":{table}}}"#)).await;
        assert_eq!(answer.status, 200);
        let device = app.get("/api/devices/1").await;
        assert!(device.text().ends_with(&format!(r#","csv_data":{table}}}"#)), "{blocks} blocks");
    }
}

#[tokio::test]
async fn a_table_that_is_replaced_while_it_is_sent_cuts_the_answer() {
    let app = App::with_limit(Settings::default().max_content_length).await;
    app.device("large").await;
    let rows = vec![r#"{"time":"2031-05-06T07:08:09"}"#; 100_000].join(",");
    app.post("/api/devices/1/save", &format!(r#"{{"csv_data":{{"data":[{rows}]}}}}"#)).await;
    let answer = app.sibling().await.oneshot(request("GET", "/api/devices/1", "", Vec::new())).await.unwrap();
    assert_eq!(app.call("DELETE", "/api/devices/1", "").await.status, 200);
    assert!(answer.into_body().collect().await.is_err(), "a short answer must not look whole");
}
