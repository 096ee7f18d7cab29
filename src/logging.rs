//! Logging: lines to standard output, as text for people or as one JSON object a line for machines.
//!
//! Promises that no logged value can forge a line or drive a terminal: control characters are escaped, and in text an
//! endless value is cut. That no token is logged is up to who logs.

use std::fmt;
use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::fmt::{FormatFields, MakeWriter};
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

const MAX_VALUE_CHARS: usize = 2048;

/// Starts logging for the whole process.
///
/// # Errors
///
/// If the level is none, or logging has been started before.
pub fn init(log: &Log) -> Result<(), String> {
    let terminal = io::stdout().is_terminal();
    match resolved(log.format, terminal) {
        Format::Json => json(&log.level, io::stdout)?.try_init(),
        Format::Text => text(&log.level, terminal, io::stdout)?.try_init(),
    }
    .map_err(|_| "logging was started before".to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Text,
}

const fn resolved(format: LogFormat, terminal: bool) -> Format {
    match (format, terminal) {
        (LogFormat::Json, _) | (LogFormat::Auto, false) => Format::Json,
        (LogFormat::Text, _) | (LogFormat::Auto, true) => Format::Text,
    }
}

fn json<W>(level: &str, out: W) -> Result<impl Subscriber + Send + Sync + use<W>, String>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().json().flatten_event(true).with_current_span(false);
    Ok(lines.with_span_list(false).with_env_filter(filter(level)?).with_writer(out).finish())
}

fn text<W>(level: &str, colors: bool, out: W) -> Result<impl Subscriber + Send + Sync + use<W>, String>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_ansi(colors).fmt_fields(escaped_fields());
    Ok(lines.with_env_filter(filter(level)?).with_writer(out).finish())
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder().parse(level).map_err(|error| format!("log.level {level:?}: {error}"))
}

fn escaped_fields() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Page {
        fn of<S: Subscriber + Send + Sync + 'static>(
            start: impl FnOnce(Self) -> Result<S, String>,
            log: impl FnOnce(),
        ) -> String {
            let page = Self::default();
            tracing::subscriber::with_default(start(page.clone()).unwrap(), log);
            String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
        }
    }

    const HOSTILE: &str = "/a\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[31mred\u{9b}0m";

    #[test]
    fn a_hostile_value_stays_on_its_line_in_text() {
        let line = Page::of(
            |page| text("info", false, move || page.clone()),
            || tracing::info!(path = %HOSTILE, agent = HOSTILE, "answered {HOSTILE}"),
        );
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        assert!(!line.trim_end().contains(char::is_control), "{line:?}");
        assert!(line.contains("path=/a\\n2026") && line.contains("answered /a\\n"), "{line:?}");
    }

    #[test]
    fn a_hostile_value_stays_on_its_line_in_json() {
        let line = Page::of(
            |page| json("info", move || page.clone()),
            || tracing::info!(path = %HOSTILE, "answered"),
        );
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
        let fields: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&fields["path"], &fields["message"]), (&HOSTILE.into(), &"answered".into()));
        assert!(fields["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn an_endless_value_is_cut_in_text() {
        let line = Page::of(
            |page| text("info", false, move || page.clone()),
            || tracing::info!(path = "a".repeat(100_000), "answered"),
        );
        assert!(line.len() < 3 * MAX_VALUE_CHARS && line.contains('…'));
    }

    #[test]
    fn auto_is_text_on_a_terminal_and_json_elsewhere() {
        assert_eq!(resolved(LogFormat::Auto, true), Format::Text);
        assert_eq!(resolved(LogFormat::Auto, false), Format::Json);
        assert_eq!(resolved(LogFormat::Json, true), Format::Json);
        assert_eq!(resolved(LogFormat::Text, false), Format::Text);
    }

    #[test]
    fn what_is_below_the_level_is_not_written() {
        let page = Page::of(|page| json("warn", move || page.clone()), || tracing::info!("quiet"));
        assert_eq!(page, "");
        assert!(filter("no=such=level").is_err());
    }
}
