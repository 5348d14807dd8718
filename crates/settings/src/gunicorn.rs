//! What Gunicorn's users bring along: flags in a variable, and flags that have no counterpart here.

const NOT_YET: &str = "this version has it not yet";
const TLS_NOT_YET: &str = "this version speaks no TLS yet; let a proxy in front do it";
const STATSD: &str = "this version has no metrics yet";

/// Flags that Gunicorn has and that are missing here, without dashes, and what to do instead. A key that has the flag after
/// all goes before this table.
pub(crate) const REFUSED_FLAGS: &[(&str, &str)] = &[
    ("limit-request-line", NOT_YET),
    ("limit-request-fields", NOT_YET),
    ("limit-request-field_size", NOT_YET),
    ("proxy-protocol", NOT_YET),
    ("proxy-allow-from", NOT_YET),
    ("forwarded-allow-ips", NOT_YET),
    ("header-map", NOT_YET),
    ("forwarder-headers", NOT_YET),
    ("permit-obsolete-folding", NOT_YET),
    ("permit-unconventional-http-method", NOT_YET),
    ("permit-unconventional-http-version", NOT_YET),
    ("casefold-http-method", NOT_YET),
    ("strip-header-spaces", NOT_YET),
    ("D", "run it under systemd, a container or `setsid`, which also restart it"),
    ("daemon", "run it under systemd, a container or `setsid`, which also restart it"),
    ("threads", "give more workers with --workers"),
    ("paste", "the application is built in; put its settings into the TOML file given with --config"),
    ("paster", "the application is built in; put its settings into the TOML file given with --config"),
    ("paste-global", "put the settings into the TOML file given with --config"),
    ("pythonpath", "leave it out: the application is built in"),
    ("worker-tmp-dir", "leave it out: heartbeats are in shared memory, not in a file"),
    ("reload-engine", "leave it out: files are looked at once a second"),
    ("spew", "set --log-level=debug"),
    ("no-sendfile", "leave it out: sendfile is not used"),
    ("logger-class", "choose a format in [logging] of the TOML file"),
    ("log-config", "set up logs in [logging] of the TOML file"),
    ("log-config-dict", "set up logs in [logging] of the TOML file"),
    ("log-config-json", "set up logs in [logging] of the TOML file"),
    ("log-syslog", "send standard output to syslog with systemd or `logger`"),
    ("log-syslog-to", "send standard output to syslog with systemd or `logger`"),
    ("log-syslog-prefix", "send standard output to syslog with systemd or `logger`"),
    ("log-syslog-facility", "send standard output to syslog with systemd or `logger`"),
    ("disable-redirect-access-to-syslog", "leave it out: the access log never goes to syslog by itself"),
    ("capture-output", "leave it out: logs and standard output are apart"),
    ("R", "leave it out: standard streams are inherited"),
    ("enable-stdio-inheritance", "leave it out: standard streams are inherited"),
    ("statsd-host", STATSD),
    ("statsd-prefix", STATSD),
    ("dogstatsd-tags", STATSD),
    ("certfile", TLS_NOT_YET),
    ("keyfile", TLS_NOT_YET),
    ("ssl-version", TLS_NOT_YET),
    ("ciphers", TLS_NOT_YET),
    ("cert-reqs", "check client certificates in a proxy in front"),
    ("ca-certs", "check client certificates in a proxy in front"),
    ("suppress-ragged-eofs", "leave it out: a client that closes early is no error"),
    ("do-handshake-on-connect", TLS_NOT_YET),
];

/// Parts a text into words as a shell does: at blanks outside of quotes; in single quotes all is literal, in
/// double quotes a backslash keeps the next `"` or `\`, outside it keeps any character.
///
/// # Errors
/// Which quote is missing.
pub(crate) fn split_words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    // `None` between words; an empty word is one if it was quoted.
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err("a closing ' is missing"),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\')) => word.push(c),
                            Some(c) => word.extend(['\\', c]),
                            None => return Err("a closing \" is missing"),
                        },
                        Some(c) => word.push(c),
                        None => return Err("a closing \" is missing"),
                    }
                }
            }
            '\\' => match chars.next() {
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err("a character is missing after the last \\"),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parted_as_in_a_shell() {
        let words = |text| split_words(text).unwrap();
        assert_eq!(words("  -w 3\t--bind=a:1 "), ["-w", "3", "--bind=a:1"]);
        assert_eq!(
            words(r#"--name='a "b"' "c \"d\" \e" f\ g '' x'y'z"#),
            ["--name=a \"b\"", "c \"d\" \\e", "f g", "", "xyz"]
        );
        assert_eq!(words(""), Vec::<String>::new());
    }

    #[test]
    fn open_quotes_are_errors() {
        for text in ["'a", "\"a", "\"a\\", "a\\"] {
            assert!(split_words(text).is_err(), "{text}");
        }
    }
}
