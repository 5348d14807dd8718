//! The edges one by one, then properties of all texts.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::reader::{Reader, Record};
use super::{CsvError, Table};

fn rows(text: &str) -> Result<Vec<Vec<String>>, CsvError> {
    let mut reader = Reader::new(text);
    let mut record = Record::new();
    let mut rows = Vec::new();
    while reader.read(&mut record)? {
        rows.push(record.iter().map(|cell| cell.clone().into_owned()).collect());
    }
    Ok(rows)
}

fn json(file: impl Into<Vec<u8>>) -> Result<Value, CsvError> {
    let text: Vec<u8> = Table::parse(file.into())?.into_json().flatten().collect();
    Ok(serde_json::from_slice(&text).unwrap())
}

#[test]
fn rows_and_cells() {
    let edges: &[(&str, &[&[&str]])] = &[
        ("", &[]),
        ("a,b", &[&["a", "b"]]),
        ("a,b\n", &[&["a", "b"]]),
        ("a,b\r\n1,2\r\n", &[&["a", "b"], &["1", "2"]]),
        ("a\n1\r\n2", &[&["a"], &["1"], &["2"]]),
        ("a,", &[&["a", ""]]),
        (",", &[&["", ""]]),
        (",\n", &[&["", ""]]),
        ("\n", &[&[]]),
        ("a\n\n1\r\n\r\n2\n", &[&["a"], &[], &["1"], &[], &["2"]]),
        (" \n", &[&[" "]]),
        ("\"\"\n", &[&[""]]),
        ("\"\",", &[&["", ""]]),
        ("\"a,b\",c", &[&["a,b", "c"]]),
        ("\"x\ny\"\n1", &[&["x\ny"], &["1"]]),
        ("\"x\r\ny\"", &[&["x\r\ny"]]),
        ("\"say \"\"hi\"\"\"", &[&["say \"hi\""]]),
        ("\"\"\"\"", &[&["\""]]),
        ("a\"b\"c", &[&["a\"b\"c"]]),
        (" \"a\"", &[&[" \"a\""]]),
        ("\"a\"b\"c,d", &[&["ab\"c", "d"]]),
        ("\"a\" \r\n\"b\"\r\n", &[&["a "], &["b"]]),
        ("\"a\"\rb", &[&["a\rb"]]),
        ("a\rb\n\r,\r\r\n\r", &[&["a\rb"], &["\r", "\r"], &["\r"]]),
        ("a;b\tc", &[&["a;b\tc"]]),
        ("ü,€\n\"😀\"", &[&["ü", "€"], &["😀"]]),
    ];
    for (text, expected) in edges {
        assert_eq!(&rows(text).unwrap(), expected, "{text:?}");
    }
}

#[test]
fn what_is_refused_names_its_line() {
    use CsvError::*;
    for (file, why) in [
        (&b""[..], TooFewRows),
        (b"\xef\xbb\xbf", TooFewRows),
        (b"a,b", TooFewRows),
        (b"a,b\r\n", TooFewRows),
        (b"\"a\nb\"\n", TooFewRows),
        (b"\"", UnterminatedQuote { line: 1 }),
        (b"a,b\n1,\"2\n", UnterminatedQuote { line: 2 }),
        (b"\"a\nb\"\n1\n\"x\ny\n\n", UnterminatedQuote { line: 4 }),
        (b"a\n\"1\"\"\n", UnterminatedQuote { line: 2 }),
        (b"a\n1\n\0\n", Nul { line: 3 }),
        (b"a\n\xe9\n", NotUtf8 { line: 2 }),
        (b"\xff\xfea\0\n\0", NotUtf8 { line: 1 }),
        (b"a\n\xed\xa0\x80", NotUtf8 { line: 2 }),
    ] {
        assert_eq!(json(file).unwrap_err(), why, "{:?}", String::from_utf8_lossy(file));
    }
    assert!(NotUtf8 { line: 2 }.to_string().contains("UTF-8"));
}

#[test]
fn short_and_long_and_blank_rows() {
    let shown = json("t,v\n1\n1,2,3\n\n\"\"\n").unwrap();
    assert_eq!(
        shown,
        json!({
            "headers": ["t", "v"],
            "csv_preview": [["1"], ["1", "2", "3"], [], [""]],
            "json_preview": [{"t": "1", "v": ""}, {"t": "1", "v": "2"}, {"t": "", "v": ""}, {"t": "", "v": ""}],
            "total_rows": 4,
            "data": [{"t": "1", "v": ""}, {"t": "1", "v": "2"}, {"t": "", "v": ""}, {"t": "", "v": ""}],
        })
    );
}

#[test]
fn previews_are_the_first_five_rows() {
    let shown = json("n\n1\n2\n3\n4\n5\n6\n").unwrap();
    assert_eq!(shown["csv_preview"], json!([["1"], ["2"], ["3"], ["4"], ["5"]]));
    assert_eq!(shown["json_preview"].as_array().unwrap().len(), 5);
    assert_eq!((&shown["total_rows"], shown["data"].as_array().unwrap().len()), (&json!(6), 6));
}

#[test]
fn of_headers_of_one_name_the_last_cell_wins_at_the_place_of_the_first() {
    let shown = json("b,a,b\n1,2,3\n1,2\n").unwrap();
    assert_eq!(shown["headers"], json!(["b", "a", "b"]));
    assert_eq!(shown["data"][0].to_string(), r#"{"b":"3","a":"2"}"#, "also the order of the keys");
    assert_eq!(shown["data"][1].to_string(), r#"{"b":"","a":"2"}"#);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_header() {
    assert_eq!(json("\u{feff}\"t\"\n1\n").unwrap()["headers"], json!(["t"]));
    assert_eq!(json("t\n\u{feff}1\n").unwrap()["data"], json!([{"t": "\u{feff}1"}]), "elsewhere it is data");
}

fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab,\"\r\n ;é😀]{0,8}".prop_map(String::from),
        proptest::string::string_regex("[^\u{0}]{0,12}").unwrap()
    ]
}

/// Quotes a cell where it must be: also a CR, which might come before an LF, and a lone empty cell, which
/// would be a blank line.
fn write(rows: &[Vec<String>], line_end: &str) -> String {
    let mut text = String::new();
    for row in rows {
        for (i, cell) in row.iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            if cell.contains([',', '"', '\n', '\r']) || row.len() == 1 && cell.is_empty() {
                text.push_str(&format!("\"{}\"", cell.replace('"', "\"\"")));
            } else {
                text.push_str(cell);
            }
        }
        text.push_str(line_end);
    }
    text
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        written in prop::collection::vec(prop::collection::vec(cell(), 0..5), 0..8),
        crlf: bool,
    ) {
        let text = write(&written, if crlf { "\r\n" } else { "\n" });
        prop_assert_eq!(rows(&text).unwrap(), written);
    }

    #[test]
    fn any_bytes_are_refused_or_shown(file in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "[ab,\"\r\n\u{feff}\u{0}é]{0,60}".prop_map(String::into_bytes),
    ]) {
        if let Ok(shown) = json(file) {
            prop_assert_eq!(shown["data"].as_array().unwrap().len() as u64, shown["total_rows"].as_u64().unwrap());
        }
    }

    #[test]
    fn pieces_join_seamlessly(count in 1..4_000_usize) {
        let shown = json(format!("long header to fill pieces,v\n{}", "1,2\n".repeat(count))).unwrap();
        prop_assert_eq!(shown["data"].as_array().unwrap().len(), count);
    }
}
