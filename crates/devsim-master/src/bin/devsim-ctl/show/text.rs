//! Texts and numbers as people read them.

use serde_json::Value;

/// A text from elsewhere, on one line. A raw escape sequence in a request's path could take over the terminal.
pub(crate) fn harmless(raw: &str) -> String {
    escaped(raw, |c| c.is_control() || breaks_line(c), |c| c.escape_default().to_string())
}

/// A text of several lines, which stay lines.
pub(crate) fn in_lines(raw: &str) -> String {
    raw.lines().map(harmless).collect::<Vec<_>>().join("\n")
}

/// A value in JSON. Beyond what JSON asks for, DEL, C1 and what breaks lines are escaped too.
pub(crate) fn json(value: &Value) -> String {
    let raw = format!("{value:#}\n");
    // A line end is the layout's: in a string it is escaped already.
    escaped(&raw, |c| c != '\n' && (c.is_control() || breaks_line(c)), |c| format!("\\u{:04x}", u32::from(c)))
}

/// The line and paragraph separators are no control characters, yet some viewers begin a line at them.
fn breaks_line(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

fn escaped(raw: &str, harms: impl Fn(char) -> bool, escape: impl Fn(char) -> String) -> String {
    let mut text = String::with_capacity(raw.len());
    for c in raw.chars() {
        if harms(c) {
            text.push_str(&escape(c));
        } else {
            text.push(c);
        }
    }
    text
}

/// A span of time, in its two largest units.
pub(crate) fn span(seconds: f64) -> String {
    const UNITS: [(u64, &str, u64, &str); 3] =
        [(86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")];
    let whole = seconds as u64; // rounds down; below 0 is 0
    match UNITS.iter().find(|(size, ..)| whole >= *size) {
        Some((size, unit, smaller, its_unit)) => match whole % size / smaller {
            0 => format!("{} {unit}", whole / size),
            rest => format!("{} {unit} {rest} {its_unit}", whole / size),
        },
        None if whole >= 10 => format!("{whole} s"),
        None if whole >= 1 => format!("{seconds:.1} s"),
        None => format!("{:.0} ms", seconds.max(0.0) * 1e3),
    }
}

/// A number of bytes.
pub(crate) fn bytes(count: u64) -> String {
    let mebibytes = count as f64 / f64::from(1 << 20);
    if mebibytes < 1024.0 { format!("{mebibytes:.0} MiB") } else { format!("{:.1} GiB", mebibytes / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let every_control: String = (0..0x300_u32).chain(0x2020..0x2030).filter_map(char::from_u32).collect();
        assert!(!harmless(&every_control).contains(|c: char| c.is_control() || breaks_line(c)));
        let text = json(&Value::String(every_control.clone()));
        assert!(!text.trim_end().contains(|c: char| c.is_control() || breaks_line(c)));
        assert_eq!(serde_json::from_str::<String>(&text).expect("it is JSON"), every_control);
        assert_eq!(in_lines("a\nb\u{1b}[31m"), "a\nb\\u{1b}[31m");
    }

    #[test]
    fn spans_and_sizes_are_short() {
        for (seconds, text) in [
            (-1.0, "0 ms"),
            (0.0125, "12 ms"),
            (1.25, "1.2 s"),
            (59.9, "59 s"),
            (f64::MAX, "213503982334601 d 7 h"),
            (60.0, "1 min"),
            (3661.0, "1 h 1 min"),
            (7205.0, "2 h"),
            (273_600.0, "3 d 4 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
        assert_eq!((bytes(47_185_920), bytes(3 << 30)), ("45 MiB".into(), "3.0 GiB".into()));
    }
}
