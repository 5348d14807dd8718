//! Texts from elsewhere, made harmless. A raw newline could forge a line, a raw escape sequence could take over
//! the terminal of whoever reads the log.

use std::fmt::Write as _;

/// Appends to a text line: control characters become `\n`, `\x1b`, ...
pub(crate) fn text(line: &mut String, raw: &str) {
    for c in raw.chars() {
        match c {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if c.is_control() => hex(line, "\\x", 2, c),
            c if breaks_line(c) => hex(line, "\\u", 4, c),
            c => line.push(c),
        }
    }
}

/// Appends a field's value to a text line, in quotes if its end could not be told otherwise.
pub(crate) fn value(line: &mut String, raw: &str) {
    if !raw.is_empty() && !raw.contains([' ', '"', '=']) {
        return text(line, raw);
    }
    line.push('"');
    for (index, part) in raw.split('"').enumerate() {
        if index > 0 {
            line.push_str("\\\"");
        }
        text(line, part);
    }
    line.push('"');
}

/// Appends a JSON string with its quotes. Beyond what JSON asks for, DEL and C1 are escaped too.
pub(crate) fn json(line: &mut String, raw: &str) {
    line.push('"');
    for c in raw.chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if c.is_control() || breaks_line(c) => hex(line, "\\u", 4, c),
            c => line.push(c),
        }
    }
    line.push('"');
}

/// The line and paragraph separators are no control characters, yet some viewers begin a line at them.
fn breaks_line(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

fn hex(line: &mut String, prefix: &str, width: usize, c: char) {
    // Writing to a String cannot fail.
    let _ = write!(line, "{prefix}{:0width$x}", u32::from(c));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(write: fn(&mut String, &str), raw: &str) -> String {
        let mut line = String::new();
        write(&mut line, raw);
        line
    }

    #[test]
    fn no_control_character_reaches_a_line() {
        let every_control: String = (0..0x300_u32).chain(0x2020..0x2030).filter_map(char::from_u32).collect();
        for write in [text, value, json] {
            assert!(!made(write, &every_control).contains(|c: char| c.is_control() || breaks_line(c)));
        }
        assert_eq!(
            made(text, "a\nb\r\t\u{1b}[31m\u{7f}\u{9b}\0\u{2028}é"),
            "a\\nb\\r\\t\\x1b[31m\\x7f\\x9b\\x00\\u2028é"
        );
    }

    #[test]
    fn values_are_quoted_where_their_end_is_unclear() {
        assert_eq!(made(value, "plain"), "plain");
        assert_eq!(made(value, ""), "\"\"");
        assert_eq!(made(value, "a b=\"c\""), "\"a b=\\\"c\\\"\"");
    }

    #[test]
    fn json_strings_come_back() {
        let raw = "q\" b\\ \n\u{1}\u{7f}\u{85}é😀";
        assert_eq!(serde_json::from_str::<String>(&made(json, raw)).unwrap(), raw);
    }
}
