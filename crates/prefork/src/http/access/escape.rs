//! Texts of clients, made harmless: whatever they send, a line stays one line, and a field in quotes ends at its quote.
//! Every escape is one of JSON's too, so that a format can be made of JSON.

use std::fmt::{self, Write};

/// Appends a text, cut to so many bytes and marked if it was; "-" if there is none.
pub(super) fn push(line: &mut impl Write, raw: &[u8], limit: usize) -> fmt::Result {
    if raw.is_empty() {
        return line.write_char('-');
    }
    let kept = cut(raw, limit);
    for chunk in kept.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => write!(line, "\\{c}")?,
                c if c.is_control() || breaks_line(c) => escape(line, u32::from(c))?,
                c => line.write_char(c)?,
            }
        }
        // What is no UTF-8 is taken for Latin-1, as Gunicorn does.
        for byte in chunk.invalid() {
            escape(line, u32::from(*byte))?;
        }
    }
    if kept.len() < raw.len() {
        line.write_char('…')?;
    }
    Ok(())
}

/// The same for a field that stands without quotes: a blank would end it.
pub(super) fn push_word(line: &mut impl Write, raw: &[u8], limit: usize) -> fmt::Result {
    let mut word = String::new();
    push(&mut word, raw, limit)?;
    line.write_str(&word.replace(' ', "\\u0020"))
}

/// The line and paragraph separators are no control characters, yet some viewers begin a line at them.
fn breaks_line(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

fn escape(line: &mut impl Write, number: u32) -> fmt::Result {
    write!(line, "\\u{number:04x}")
}

/// The first bytes, without the beginning of a character that does not fit.
fn cut(raw: &[u8], limit: usize) -> &[u8] {
    let Some((mut kept, rest)) = raw.split_at_checked(limit).filter(|(_, rest)| !rest.is_empty()) else {
        return raw;
    };
    let continues = |byte: Option<&u8>| byte.is_some_and(|byte| byte & 0xC0 == 0x80);
    let mut next = rest.first();
    for _ in 0..3 {
        if !continues(next) {
            break;
        }
        let Some((last, shorter)) = kept.split_last() else { break };
        (next, kept) = (Some(last), shorter);
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pushed(raw: impl AsRef<[u8]>, limit: usize) -> String {
        let mut line = String::new();
        push(&mut line, raw.as_ref(), limit).unwrap();
        line
    }

    #[test]
    fn quotes_controls_and_stray_bytes_are_escaped_and_letters_are_not() {
        assert_eq!(pushed("a\"b\\c é😀", 99), "a\\\"b\\\\c é😀");
        assert_eq!(
            pushed(b"\n\x1b[31m\x7f\xc2\x85\xe2\x80\xa8", 99),
            "\\u000a\\u001b[31m\\u007f\\u0085\\u2028"
        );
        assert_eq!(pushed(b"caf\xe9 \xff", 99), "caf\\u00e9 \\u00ff");
        assert_eq!(pushed("", 99), "-");
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_marked() {
        assert_eq!(pushed("abcdef", 6), "abcdef");
        assert_eq!(pushed("abcdef", 4), "abcd…");
        assert_eq!(pushed("ab😀cd", 4), "ab…");
    }

    #[test]
    fn a_word_has_no_blank() {
        let mut line = String::new();
        push_word(&mut line, b"a b", 99).unwrap();
        assert_eq!(line, "a\\u0020b");
    }

    proptest! {
        #[test]
        fn between_quotes_a_text_is_the_string_that_json_reads(text in any::<String>().prop_filter("empty", |text| !text.is_empty())) {
            let quoted = format!("\"{}\"", pushed(&text, usize::MAX));
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
        }

        #[test]
        fn whatever_comes_no_control_character_goes(raw: Vec<u8>, limit in 0_usize..300) {
            let line = pushed(&raw, limit);
            prop_assert!(!line.contains(|c: char| c.is_control() || breaks_line(c)), "{:?}", line);
        }
    }
}
