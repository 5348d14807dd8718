//! From a record to a line.

use std::fmt::Write as _;

use crate::escape;
use crate::record::{Record, Value};
use crate::settings::Format;

/// The most bytes of a line, its newline included.
///
/// POSIX promises for writes of up to PIPE_BUF bytes to a pipe that they are done as a whole or not at all, and
/// never mixed with another process's (pipe(7); 4096 on Linux). Many workers share a console, so this is the
/// one size at which no line is ever torn, whatever the others do. One byte is left for the newline that ends
/// a line which was cut short before, see `sink.rs`.
pub(crate) const LINE_MAX: usize = 4096 - 1;

/// A line of at most [`LINE_MAX`] bytes with its newline. In a record that is too long, texts are cut, all to
/// the same length, which keeps a JSON object whole.
pub(crate) fn line(record: &Record<'_>, format: Format) -> String {
    let limits = [usize::MAX, 2048, 1024, 512, 256, 128, 64];
    let fitting =
        limits.iter().map(|&limit| render(record, format, limit)).find(|line| line.len() <= LINE_MAX);
    // Many fields: the message alone, escaped to six times its length at worst, does fit.
    fitting.unwrap_or_else(|| {
        let mut bare = record.clone();
        bare.content.fields =
            vec![("fields_dropped", Value::Literal(record.content.fields.len().to_string()))];
        render(&bare, format, 64)
    })
}

fn render(record: &Record<'_>, format: Format, limit: usize) -> String {
    let mut line = String::with_capacity(256);
    match format {
        Format::Simple => text(&mut line, record, limit, false),
        Format::Detailed => text(&mut line, record, limit, true),
        Format::Json => json(&mut line, record, limit),
    }
    line.push('\n');
    line
}

/// The text, cut to so many bytes at most and marked if it was.
fn cut(text: &str, limit: usize) -> (&str, &str) {
    if text.len() <= limit { (text, "") } else { (&text[..text.floor_char_boundary(limit)], "…") }
}

// Writing to a String cannot fail, hence `let _ =` here and below.
fn text(line: &mut String, record: &Record<'_>, limit: usize, detailed: bool) {
    let _ = write!(line, "{} [{}] [{}] ", record.time, record.pid, record.level_name());
    let push = |line: &mut String, raw: &str, write: fn(&mut String, &str)| {
        let (kept, mark) = cut(raw, limit);
        write(line, kept);
        line.push_str(mark);
    };
    if detailed {
        push(line, record.name, escape::text);
        line.push_str(": ");
    }
    push(line, &record.content.message, escape::text);
    for (name, value) in &record.content.fields {
        line.push(' ');
        push(line, name, escape::text);
        line.push('=');
        match value {
            Value::Text(raw) => push(line, raw, escape::value),
            Value::Literal(literal) => line.push_str(literal),
            Value::Float(number) => {
                let _ = write!(line, "{number}");
            }
        }
    }
    if let (true, Some((file, number))) = (detailed, record.place) {
        line.push_str(" (");
        push(line, file, escape::text);
        let _ = write!(line, ":{number})");
    }
}

/// The names that every object has.
const JSON_NAMES: [&str; 8] =
    ["asctime", "name", "levelname", "level", "message", "pathname", "lineno", "pid"];

fn json(line: &mut String, record: &Record<'_>, limit: usize) {
    let level = record.level_name();
    let _ = write!(line, "{{\"asctime\":\"{}\",\"name\":", record.time);
    json_text(line, record.name, limit);
    let _ = write!(line, ",\"levelname\":\"{level}\",\"level\":\"{level}\",\"message\":");
    json_text(line, &record.content.message, limit);
    if let Some((file, number)) = record.place {
        line.push_str(",\"pathname\":");
        json_text(line, file, limit);
        let _ = write!(line, ",\"lineno\":{number}");
    }
    let _ = write!(line, ",\"pid\":{}", record.pid);
    for (name, value) in &record.content.fields {
        line.push(',');
        // An object with a name twice is read differently by every reader.
        if JSON_NAMES.contains(name) {
            json_text(line, &format!("field_{name}"), limit);
        } else {
            json_text(line, name, limit);
        }
        line.push(':');
        match value {
            Value::Text(raw) => json_text(line, raw, limit),
            Value::Literal(literal) => line.push_str(literal),
            // JSON has no infinity and no NaN; Debug writes an exponent where it is shorter.
            Value::Float(number) if number.is_finite() => {
                let _ = write!(line, "{number:?}");
            }
            Value::Float(number) => json_text(line, &number.to_string(), limit),
        }
    }
    line.push('}');
}

fn json_text(line: &mut String, raw: &str, limit: usize) {
    match cut(raw, limit) {
        (whole, "") => escape::json(line, whole),
        (kept, mark) => escape::json(line, &format!("{kept}{mark}")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use tracing::Level;

    use ::settings::Choice as _;

    use super::*;
    use crate::record::Content;
    use crate::stamp::Stamp;

    fn record(message: &str, fields: Vec<(&'static str, Value)>) -> Record<'static> {
        Record {
            time: Stamp::at(UNIX_EPOCH + Duration::from_secs(1_935_817_689)),
            pid: 4321,
            level: Level::WARN,
            name: "devsim.requests",
            place: Some(("src/a.rs", 7)),
            content: Content { message: message.to_owned(), fields },
        }
    }

    fn sample() -> Record<'static> {
        record(
            "slow \u{1b}one\n",
            vec![
                ("path", Value::Text("/a b\n".to_owned())),
                ("pid", Value::Literal("9".to_owned())),
                ("load", Value::Float(1.5)),
                ("ratio", Value::Float(f64::NAN)),
            ],
        )
    }

    #[test]
    fn text_lines_are_as_documented() {
        assert_eq!(
            line(&sample(), Format::Simple),
            "2031-05-06 07:08:09 [4321] [WARNING] slow \\x1bone\\n path=\"/a b\\n\" pid=9 load=1.5 ratio=NaN\n"
        );
        assert_eq!(
            line(&record("ready", vec![]), Format::Detailed),
            "2031-05-06 07:08:09 [4321] [WARNING] devsim.requests: ready (src/a.rs:7)\n"
        );
    }

    #[test]
    fn json_lines_are_objects_with_each_name_once() {
        let line = line(&sample(), Format::Json);
        assert_eq!(line.matches('\n').count(), 1);
        let expected = serde_json::json!({
            "asctime": "2031-05-06 07:08:09", "name": "devsim.requests", "levelname": "WARNING",
            "level": "WARNING", "message": "slow \u{1b}one\n", "pathname": "src/a.rs", "lineno": 7, "pid": 4321,
            "path": "/a b\n", "field_pid": 9, "load": 1.5, "ratio": "NaN",
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), expected);
    }

    #[test]
    fn long_records_are_cut_to_a_line_that_is_still_whole() {
        let long = Value::Text("é\u{1b}".repeat(3000));
        let many = vec![("field", long.clone()); 100];
        for record in [record(&"x\n".repeat(9000), vec![("a", long)]), record("short", many)] {
            for format in Format::ALL {
                let line = line(&record, *format);
                assert!(line.len() <= LINE_MAX && line.ends_with('\n'), "{}", line.len());
                assert_eq!(line.matches('\n').count(), 1);
                if *format == Format::Json {
                    serde_json::from_str::<serde_json::Value>(&line).unwrap();
                }
            }
        }
        assert!(line(&record(&"x".repeat(4000), vec![]), Format::Simple).len() > 4000);
    }
}
