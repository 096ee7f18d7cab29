//! [`Style`]: how a line looks, as text for people or as one JSON object for machines; changeable while the process runs.
//!
//! Promises that no logged value can forge a line or drive a terminal: control characters are escaped, and in text an
//! endless value is cut.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::field::Field;
use tracing::{Event, Subscriber};
use tracing_subscriber::field::{MakeExt, RecordFields};
use tracing_subscriber::fmt::format::{self, Full, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Characters of a value in text.
pub(super) const MAX_VALUE_CHARS: usize = 2048;

/// A handle; clones are one.
#[derive(Clone, Debug)]
pub(super) struct Style {
    is_json: Arc<AtomicBool>,
    json: format::Format<Json>,
    text: format::Format<Full>,
}

/// What a line can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Text,
}

impl Style {
    pub(super) fn new(format: Format) -> Self {
        let json = format::format().json().flatten_event(true).with_current_span(false);
        let style =
            Self { is_json: Arc::default(), json: json.with_span_list(false), text: format::format() };
        style.set(format);
        style
    }

    /// From now on lines look like this.
    pub(super) fn set(&self, format: Format) {
        self.is_json.store(format == Format::Json, Ordering::Relaxed);
    }

    fn is_json(&self) -> bool {
        self.is_json.load(Ordering::Relaxed)
    }
}

impl<S, N> FormatEvent<S, N> for Style
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if self.is_json() {
            self.json.format_event(context, writer, event)
        } else {
            self.text.format_event(context, writer, event)
        }
    }
}

impl<'w> FormatFields<'w> for Style {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        if self.is_json() {
            JsonFields::new().format_fields(writer, fields)
        } else {
            escaped_fields().format_fields(writer, fields)
        }
    }
}

fn escaped_fields() -> impl for<'w> FormatFields<'w> {
    format::debug_fn(|writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug| {
        let value = Escaped(format!("{value:?}"));
        match field.name() {
            "message" => write!(writer, "{value}"),
            name => write!(writer, "{name}={value}"),
        }
    })
    .delimited(" ")
}

/// The library's own formatter lets a line feed through, with which a value could forge the next line.
struct Escaped(String);

impl fmt::Display for Escaped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        let mut characters = self.0.chars();
        for character in characters.by_ref().take(MAX_VALUE_CHARS) {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        if characters.next().is_some() { f.write_str("…") } else { Ok(()) }
    }
}
