//! Logging: lines to standard output, as text for people or as one JSON object a line for machines.
//!
//! Promises that no logged value can forge a line or drive a terminal: control characters are escaped, and in text an
//! endless value is cut. That no token is logged is up to who logs. Lines are written by a thread of their own: whoever
//! reads them slowly, or not at all, holds up no request; lines that find the queue full are dropped and counted.

use std::fmt;
use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing::field::Field;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::fmt::{FormatFields, MakeWriter};
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

const MAX_VALUE_CHARS: usize = 2048;

/// Lines that wait to be written; what comes beyond them is dropped.
const QUEUED_LINES: usize = 16_384;

/// The process's log. Dropped, it writes what is queued, for a second at most.
pub struct Logging {
    set_level: SetLevel,
    dropped: ErrorCounter,
    _writer: WorkerGuard,
}

impl fmt::Debug for Logging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logging")
    }
}

impl Logging {
    /// Starts logging for the whole process.
    ///
    /// # Errors
    ///
    /// If the level is none, or logging has been started before.
    pub fn start(log: &Log) -> Result<Self, String> {
        let terminal = io::stdout().is_terminal();
        let queue = NonBlockingBuilder::default().buffered_lines_limit(QUEUED_LINES).lossy(true);
        let (out, writer) = queue.thread_name("log").finish(io::stdout());
        let dropped = out.error_counter();
        let set_level = match resolved(log.format, terminal) {
            Format::Json => start(json(&log.level, out)?),
            Format::Text => start(text(&log.level, terminal, out)?),
        }?;
        Ok(Self { set_level, dropped, _writer: writer })
    }

    /// From now on this level.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn set_level(&self, level: &str) -> Result<(), String> {
        (self.set_level)(filter(level)?)
    }

    /// Lines that were dropped since the start.
    pub fn dropped(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let dropped = self.dropped.clone();
        move || u64::try_from(dropped.dropped_lines()).unwrap_or(u64::MAX)
    }
}

/// Changes the level of a subscriber.
type SetLevel = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// Makes a subscriber the process's.
fn start<S: Subscriber + Send + Sync + 'static>(
    (subscriber, set_level): (S, SetLevel),
) -> Result<SetLevel, String> {
    subscriber.try_init().map_err(|_| "logging was started before".to_owned())?;
    Ok(set_level)
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

fn json<W>(level: &str, out: W) -> Result<(impl Subscriber + Send + Sync + use<W>, SetLevel), String>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().json().flatten_event(true).with_current_span(false);
    let lines = lines.with_span_list(false).with_env_filter(filter(level)?).with_writer(out);
    let lines = lines.with_filter_reloading();
    let level = lines.reload_handle();
    Ok((lines.finish(), Box::new(move |filter| level.reload(filter).map_err(|error| error.to_string()))))
}

fn text<W>(
    level: &str,
    colors: bool,
    out: W,
) -> Result<(impl Subscriber + Send + Sync + use<W>, SetLevel), String>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_ansi(colors).fmt_fields(escaped_fields());
    let lines = lines.with_env_filter(filter(level)?).with_writer(out).with_filter_reloading();
    let level = lines.reload_handle();
    Ok((lines.finish(), Box::new(move |filter| level.reload(filter).map_err(|error| error.to_string()))))
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
            start: impl FnOnce(Self) -> Result<(S, SetLevel), String>,
            log: impl FnOnce(&SetLevel),
        ) -> String {
            let page = Self::default();
            let (subscriber, set_level) = start(page.clone()).unwrap();
            tracing::subscriber::with_default(subscriber, || log(&set_level));
            String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
        }
    }

    const HOSTILE: &str = "/a\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[31mred\u{9b}0m";

    #[test]
    fn a_hostile_value_stays_on_its_line_in_text() {
        let line = Page::of(
            |page| text("info", false, move || page.clone()),
            |_| tracing::info!(path = %HOSTILE, agent = HOSTILE, "answered {HOSTILE}"),
        );
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        assert!(!line.trim_end().contains(char::is_control), "{line:?}");
        assert!(line.contains("path=/a\\n2026") && line.contains("answered /a\\n"), "{line:?}");
    }

    #[test]
    fn a_hostile_value_stays_on_its_line_in_json() {
        let line = Page::of(
            |page| json("info", move || page.clone()),
            |_| tracing::info!(path = %HOSTILE, "answered"),
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
            |_| tracing::info!(path = "a".repeat(100_000), "answered"),
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
    fn the_level_changes_while_it_runs() {
        let page = Page::of(
            |page| json("warn", move || page.clone()),
            |set_level| {
                tracing::info!("quiet");
                set_level(filter("info").unwrap()).unwrap();
                tracing::info!("loud");
                set_level(filter("error").unwrap()).unwrap();
                tracing::warn!("quiet again");
            },
        );
        assert!(page.contains("loud") && !page.contains("quiet"), "{page}");
    }

    #[test]
    fn what_is_below_the_level_is_not_written() {
        let page = Page::of(|page| json("warn", move || page.clone()), |_| tracing::info!("quiet"));
        assert_eq!(page, "");
        assert!(filter("no=such=level").is_err());
    }
}
