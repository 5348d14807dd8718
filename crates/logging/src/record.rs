//! What a line is made of.

use std::error::Error;
use std::fmt;

use tracing::Level;
use tracing::field::{Field, Visit};

use crate::stamp::Stamp;

/// An event, ready to be written in any format.
#[derive(Clone, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) time: Stamp,
    pub(crate) pid: u32,
    pub(crate) level: Level,
    /// The logger's name.
    pub(crate) name: &'a str,
    pub(crate) place: Option<(&'a str, u32)>,
    pub(crate) content: Content,
}

/// What the event says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Content {
    pub(crate) message: String,
    pub(crate) fields: Vec<(&'static str, Value)>,
}

/// A field's value, so far apart as JSON makes a difference.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    /// Something that is the same in JSON: a whole number or a boolean.
    Literal(String),
    Float(f64),
}

impl Record<'_> {
    /// The level by the name that Python and Gunicorn give it.
    pub(crate) fn level_name(&self) -> &'static str {
        match self.level {
            Level::TRACE => "TRACE",
            Level::DEBUG => "DEBUG",
            Level::INFO => "INFO",
            Level::WARN => "WARNING",
            Level::ERROR => "ERROR",
        }
    }
}

impl Content {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(text) | Value::Literal(text)) => self.message = text,
            (name, value) => self.fields.push((name, value)),
        }
    }
}

impl Visit for Content {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, Value::Float(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::Literal(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Value::Literal(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::Literal(value.to_string()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, Value::Text(value.to_owned()));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.add(field, Value::Text(value.to_string()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, Value::Text(format!("{value:?}")));
    }
}
