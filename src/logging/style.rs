//! [`Style`]: how a line looks, as text for people or as one JSON object for machines; changeable while the process runs.
//!
//! Promises that no logged value can forge a line or drive a terminal: control characters are escaped, and in text an
//! endless value is cut.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::field::Field;
use tracing::{Event, Subscriber};
use tracing_subscriber::field::{MakeExt, RecordFields};
use tracing_subscriber::fmt::format::{self, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::json;

/// Characters of a value in text.
pub(super) const MAX_VALUE_CHARS: usize = 2048;

/// A handle; clones are one.
#[derive(Clone, Debug)]
pub(super) struct Style {
    is_json: Arc<AtomicBool>,
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
        let style = Self { is_json: Arc::default(), text: format::format() };
        style.set(format);
        style
    }

    /// From now on lines look like this.
    pub(super) fn set(&self, format: Format) {
        self.is_json.store(format == Format::Json, Ordering::Relaxed);
    }

    pub(super) fn format(&self) -> Format {
        if self.is_json.load(Ordering::Relaxed) { Format::Json } else { Format::Text }
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
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match self.format() {
            Format::Json => json::line(event, wall_time(), |line| writer.write_str(line)),
            Format::Text => self.text.format_event(context, writer, event),
        }
    }
}

impl<'w> FormatFields<'w> for Style {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        escaped_fields().format_fields(writer, fields)
    }
}

/// When a line is written, which is not the clock's to say: it is the log of whoever sets the clock, too.
#[expect(clippy::disallowed_methods, reason = "see above")]
fn wall_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn escaped_fields() -> impl for<'w> FormatFields<'w> {
    format::debug_fn(|writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug| {
        let mut text = String::new();
        // What fails to format itself is cut there.
        let _ = write!(text, "{value:?}");
        let value = escaped(text);
        match field.name() {
            "message" => write!(writer, "{value}"),
            name => write!(writer, "{name}={value}"),
        }
    })
    .delimited(" ")
}

/// A value in text, as its type formats it. The library's own formatter lets a line feed through, with which a value could
/// forge the next line.
pub(super) fn escaped(value: String) -> impl fmt::Display {
    Escaped(value)
}

struct Escaped(String);

impl fmt::Display for Escaped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
