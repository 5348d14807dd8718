//! §3: devices.

use serde_json::{Value, json};

use crate::kit::{App, send};

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|device| device["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_new_device_has_every_field_and_its_defaults() {
    let app = App::start().await;
    let answer = app.post("/api/devices", r#"{"name": " pump ", "description": " p "}"#).await;
    assert_eq!(answer.status, 201);
    let mut device = answer.json();
    let taken = |device: &mut Value, key: &str| device[key].take().as_str().unwrap().to_owned();
    let reference = taken(&mut device, "reference");
    assert!(reference.len() == 8 && reference.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()));
    let created_at = taken(&mut device, "created_at");
    let shape = |c: char| if c.is_ascii_digit() { '9' } else { c };
    assert_eq!(created_at.chars().map(shape).collect::<String>(), "9999-99-99 99:99:99");
    assert_eq!(
        device,
        json!({
            "id": 1, "reference": null, "name": "pump", "description": " p ", "csv_data": null,
            "created_at": null, "device_type": "WebApp", "transmission_frequency": 3600,
            "transmission_enabled": false, "current_row_index": 0, "last_transmission": null,
            "selected_connection_id": null, "include_device_id_in_payload": false,
            "auto_reset_counter": false, "current_project_id": null,
        })
    );
    let bare = app.post("/api/devices", r#"{"name": "bare"}"#).await.json();
    assert_eq!(bare["description"], "");
    assert_eq!(app.get("/api/devices/2").await.json(), bare);
}

#[tokio::test]
async fn names_and_descriptions_are_checked() {
    let app = App::start().await;
    let text = |n: usize| "ü".repeat(n);
    for (body, status) in [
        (json!({}), 400),
        (json!({"name": null}), 400),
        (json!({"name": 5}), 400),
        (json!({"name": true}), 400),
        (json!({"name": ["x"]}), 400),
        (json!({"name": ""}), 400),
        (json!({"name": " \t\n"}), 400),
        (json!({"name": "x"}), 201),
        (json!({"name": text(100)}), 201),
        (json!({"name": format!("  {}  ", text(100))}), 201),
        (json!({"name": text(101)}), 400),
        (json!({"name": "x", "description": ""}), 201),
        (json!({"name": "x", "description": text(500)}), 201),
        (json!({"name": "x", "description": text(501)}), 400),
        (json!({"name": "x", "description": 5}), 400),
        (json!({"name": "x", "description": null}), 400),
    ] {
        let answer = app.post("/api/devices", &body.to_string()).await;
        assert_eq!(answer.status, status, "{body}");
        assert_eq!(answer.json()["error"].is_string(), status == 400, "{body}");
    }
}

#[tokio::test]
async fn lists_are_pages_newest_first() {
    let app = App::start().await;
    let empty = json!({"items": [], "pagination": {
        "page": 1, "per_page": 20, "total": 0, "pages": 1,
        "has_prev": false, "has_next": false, "prev_num": null, "next_num": null,
    }});
    assert_eq!(app.get("/api/devices").await.json(), empty);
    for n in 1..=25 {
        app.device(&format!("d{n}")).await;
    }
    let first = app.get("/api/devices").await.json();
    assert_eq!(first["items"].as_array().unwrap().len(), 20);
    assert_eq!((&first["items"][0]["name"], &first["items"][19]["name"]), (&json!("d25"), &json!("d6")));
    let max = i64::MAX;
    for (query, page, per_page, pages, prev, next, names_shown) in [
        ("page=2", 2, 20, 2, json!(1), json!(null), 5),
        ("page=0&per_page=1000", 1, 100, 1, json!(null), json!(null), 25),
        ("page=-7&per_page=-1", 1, 1, 25, json!(null), json!(2), 1),
        ("page=3&per_page=10", 3, 10, 3, json!(2), json!(null), 5),
        ("page=4&per_page=10", 4, 10, 3, json!(3), json!(null), 0),
        ("page=9223372036854775807", max, 20, 2, json!(max - 1), json!(null), 0),
    ] {
        let list = app.get(&format!("/api/devices?{query}")).await.json();
        let expected = json!({
            "page": page, "per_page": per_page, "total": 25, "pages": pages,
            "has_prev": !prev.is_null(), "has_next": !next.is_null(), "prev_num": prev, "next_num": next,
        });
        assert_eq!(list["pagination"], expected, "{query}");
        assert_eq!(list["items"].as_array().unwrap().len(), names_shown, "{query}");
    }
    let all = app.get("/api/devices/unassigned").await.json();
    assert_eq!(names(&all).len(), 25);
    assert_eq!(names(&all)[..2], ["d25", "d24"]);
}

#[tokio::test]
async fn lists_are_searched_and_filtered() {
    let app = App::start().await;
    for (name, description) in
        [("Straße", "north"), ("PUMP 100%", "snake_case"), ("pump 1000", "ΣΊΣΥΦΟΣ"), ("quiet", "two\nlines")]
    {
        let body = json!({"name": name, "description": description}).to_string();
        app.post("/api/devices", &body).await;
    }
    app.sql("UPDATE devices SET device_type = 'Sensor', reference = 'QX7ZQX7Z' WHERE id = 4").await;
    for (query, expected) in [
        ("search=", &["quiet", "pump 1000", "PUMP 100%", "Straße"][..]),
        ("search=%20%20", &["quiet", "pump 1000", "PUMP 100%", "Straße"]),
        ("search=%20Pump%20", &["pump 1000", "PUMP 100%"]),
        ("search=STRASSE", &["Straße"]),
        ("search=%CF%83%CE%AF%CF%83%CF%85%CF%86%CE%BF%CF%82", &["pump 1000"]), // σίσυφος
        ("search=%25", &["PUMP 100%"]),
        ("search=_", &["PUMP 100%"]),
        ("search=e_c", &["PUMP 100%"]),
        ("search=q*", &[]),
        ("search=qx7z", &["quiet"]),
        ("search=Qx7Zq", &["quiet"]),
        ("search=two%0Alines", &["quiet"]),
        ("search=quiet%0Atwo", &[]),
        ("search=%00", &[]),
        ("search='%20OR%201=1%20--", &[]),
        ("search=North", &["Straße"]),
        ("type=Sensor", &["quiet"]),
        ("type=sensor", &[]),
        ("type=WebApp&search=pump&per_page=1", &["pump 1000"]),
        ("type=WebApp&search=quiet", &[]),
        ("unknown=1&type=Sensor", &["quiet"]),
    ] {
        let list = app.get(&format!("/api/devices?{query}")).await.json();
        assert_eq!(names(&list["items"]), expected, "{query}");
    }
    let list = app.get("/api/devices?search=pump&per_page=1").await.json();
    assert_eq!(list["pagination"]["total"], 2, "the total counts what is found");
}

#[tokio::test]
async fn a_deleted_device_is_gone() {
    let app = App::start().await;
    let id = app.device("short-lived").await;
    let path = format!("/api/devices/{id}");
    let answer = app.call("DELETE", &path, "").await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"deleted": true, "device_id": id})));
    app.get(&path).await.refused(404, "read");
    app.call("DELETE", &path, "").await.refused(404, "again");
    assert_eq!(app.device("next").await, id + 1, "ids are not given twice");
}

#[tokio::test]
async fn counts_are_checked_before_the_device() {
    let app = App::start().await;
    app.device("one").await;
    for count in
        ["", "0", "51", "-1", "1.0", "1e0", "1.5", "true", "\"1\"", "null", "[1]", "99999999999999999999"]
    {
        let body = if count.is_empty() { "{}".to_owned() } else { format!(r#"{{"count": {count}}}"#) };
        for id in [1, 99] {
            app.post(&format!("/api/devices/{id}/duplicate"), &body).await.refused(400, &body);
        }
    }
    app.post("/api/devices/99/duplicate", r#"{"count": 1}"#).await.refused(404, "unknown");
    assert_eq!(app.get("/api/devices").await.json()["pagination"]["total"], 1);
}

#[tokio::test]
async fn copies_are_numbered_and_begin_afresh() {
    let app = App::start().await;
    let id = app.device("pump").await;
    app.post("/api/devices/1/save", r#"{"csv_data": {"headers": ["t"], "data": [{"t": "1"}]}}"#).await;
    app.sql(
        "UPDATE devices SET description = 'old', device_type = 'Sensor', transmission_frequency = 5, \
         transmission_enabled = 1, current_row_index = 1, last_transmission = 1936249689123456, \
         selected_connection_id = 3, include_device_id_in_payload = 1, auto_reset_counter = 1",
    )
    .await;
    let original = app.get("/api/devices/1").await.json();
    assert_eq!(original["last_transmission"], "2031-05-11 07:08:09.123456");

    let answer = app.post(&format!("/api/devices/{id}/duplicate"), r#"{"count": 50}"#).await;
    assert_eq!(answer.status, 201);
    let json = answer.json();
    assert_eq!(json["original_device_id"], 1);
    assert_eq!(json["original_device_name"], "pump");
    assert_eq!(json["duplicates_created"], 50);
    let copies = json["duplicated_devices"].as_array().unwrap();
    let mut references = std::collections::BTreeSet::from([original["reference"].as_str().unwrap()]);
    for (i, copy) in copies.iter().enumerate() {
        assert!(references.insert(copy["reference"].as_str().unwrap()));
        let mut expected = original.clone();
        for (key, value) in [
            ("id", json!(i + 2)),
            ("name", json!(format!("pump {}", i + 1))),
            ("reference", copy["reference"].clone()),
            ("created_at", copy["created_at"].clone()),
            ("current_row_index", json!(0)),
            ("last_transmission", json!(null)),
            ("transmission_enabled", json!(false)),
            ("csv_data", json!({"headers": ["t"]})),
        ] {
            expected[key] = value;
        }
        assert_eq!(copy, &expected);
    }
    let whole = app.get("/api/devices/51").await.json();
    assert_eq!(whole["csv_data"], original["csv_data"], "a copy has the rows too");
}

#[tokio::test]
async fn lists_show_tables_without_their_rows() {
    let app = App::start().await;
    app.device("pump").await;
    let table = json!({"headers": ["t"], "csv_preview": [["1"]], "json_preview": [{"t": "1"}], "total_rows": 1,
        "data": [{"t": "1"}]});
    app.post("/api/devices/1/save", &json!({ "csv_data": table }).to_string()).await;
    let mut head = table.clone();
    head.as_object_mut().unwrap().remove("data");
    assert_eq!(app.get("/api/devices").await.json()["items"][0]["csv_data"], head);
    assert_eq!(app.get("/api/devices/unassigned").await.json()[0]["csv_data"], head);
    assert_eq!(app.get("/api/devices/1").await.json()["csv_data"], table);
}

#[tokio::test]
async fn what_one_worker_writes_another_reads() {
    let app = App::start().await;
    let sibling = app.sibling().await;
    let id = app.device("shared").await;
    let path = format!("/api/devices/{id}");
    let request = || crate::kit::request("GET", &path, "", Vec::new());
    assert_eq!(send(&sibling, request()).await.json()["name"], "shared");
    app.call("DELETE", &path, "").await;
    assert_eq!(send(&sibling, request()).await.status, 404);
}
