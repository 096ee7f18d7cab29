//! Logging: lines to standard output, as text for people or as one JSON object a line for machines.
//!
//! Level and format change while the process runs ([`Log::set`]), and no request ever waits for whoever reads the log
//! (`lines`). What a line looks like is in `style`; the line of a request is no event of `tracing` ([`request()`]). That no
//! token is logged is up to who logs.

mod json;
mod line;
mod lines;
mod reader;
mod request;
mod style;
mod text;
mod threshold;
mod who;

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use self::line::{Ending, RequestLine, method};
pub use self::lines::Flush;
use self::lines::Lines;
use self::reader::Reader;
use self::request::Requests;
pub use self::request::request;
use self::style::{Format, Style};
use self::threshold::Threshold;
pub use self::who::Who;
use crate::config::{self, LogFormat};

/// The log of the process.
#[derive(Debug)]
pub struct Log {
    threshold: Threshold,
    style: Style,
    reader: Reader,
    dropped: Arc<AtomicU64>,
}

/// Starts logging for the whole process. What was logged is written once [`Flush`] has been dropped.
///
/// # Errors
///
/// If the level is none, or logging has been started before.
pub fn init(settings: &config::Log) -> Result<(Log, Flush), String> {
    let (lines, flush) =
        Lines::to(io::stdout()).map_err(|error| format!("the log has no thread: {error}"))?;
    let reader = if io::stdout().is_terminal() { Reader::Person } else { Reader::Program };
    let log = Log {
        threshold: Threshold::new(&settings.level)?,
        style: Style::new(resolved(settings.format, reader)),
        reader,
        dropped: lines.dropped(),
    };
    let (threshold, style) = (log.threshold.clone(), log.style.clone());
    let subscriber = subscriber(threshold.clone(), style.clone(), reader, lines.clone());
    subscriber.try_init().map_err(|_| "logging was started before".to_owned())?;
    Requests { threshold, style, reader, lines }.begin();
    Ok((log, flush))
}

impl Log {
    /// From now on these settings.
    ///
    /// # Errors
    ///
    /// If the level is none: then nothing has changed.
    pub fn set(&self, settings: &config::Log) -> Result<(), String> {
        self.threshold.set(&settings.level)?;
        self.style.set(resolved(settings.format, self.reader));
        Ok(())
    }

    /// How many lines were dropped because standard output stood still.
    #[must_use]
    pub fn lines_dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }
}

const fn resolved(format: LogFormat, reader: Reader) -> Format {
    match (format, reader) {
        (LogFormat::Json, _) | (LogFormat::Auto, Reader::Program) => Format::Json,
        (LogFormat::Text, _) | (LogFormat::Auto, Reader::Person) => Format::Text,
    }
}

fn subscriber<W>(
    threshold: Threshold,
    style: Style,
    reader: Reader,
    out: W,
) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let colors = reader == Reader::Person;
    let lines = tracing_subscriber::fmt::layer().with_ansi(colors).fmt_fields(style.clone());
    tracing_subscriber::registry().with(lines.event_format(style).with_writer(out).with_filter(threshold))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::style::MAX_VALUE_CHARS;
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
        fn of(level: &str, format: Format, log: impl FnOnce(&Threshold, &Style)) -> String {
            let (page, threshold) = (Self::default(), Threshold::new(level).unwrap());
            let (out, style) = (page.clone(), Style::new(format));
            let subscriber =
                subscriber(threshold.clone(), style.clone(), Reader::Program, move || out.clone());
            tracing::subscriber::with_default(subscriber, || log(&threshold, &style));
            let written = page.0.lock().unwrap().clone();
            String::from_utf8(written).unwrap()
        }
    }

    const HOSTILE: &str = "/a\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[31mred\u{9b}0m";

    #[test]
    fn a_hostile_value_stays_on_its_line_in_text() {
        let line = Page::of("info", Format::Text, |_, _| {
            tracing::info!(path = %HOSTILE, agent = HOSTILE, "answered {HOSTILE}");
        });
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        assert!(!line.trim_end().contains(char::is_control), "{line:?}");
        assert!(line.contains("path=/a\\n2026") && line.contains("answered /a\\n"), "{line:?}");
    }

    #[test]
    fn a_hostile_value_stays_on_its_line_in_json() {
        let line = Page::of("info", Format::Json, |_, _| tracing::info!(path = %HOSTILE, "answered"));
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        assert!(!line.trim_end().contains(char::is_control), "{line:?}");
        let fields: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&fields["path"], &fields["message"]), (&HOSTILE.into(), &"answered".into()));
        assert!(fields["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn an_endless_value_is_cut_in_text() {
        let line = Page::of("info", Format::Text, |_, _| {
            tracing::info!(path = "a".repeat(100_000), "answered");
        });
        assert!(line.len() < 3 * MAX_VALUE_CHARS && line.contains('…'));
    }

    #[test]
    fn auto_is_text_on_a_terminal_and_json_elsewhere() {
        assert_eq!(resolved(LogFormat::Auto, Reader::Person), Format::Text);
        assert_eq!(resolved(LogFormat::Auto, Reader::Program), Format::Json);
        assert_eq!(resolved(LogFormat::Json, Reader::Person), Format::Json);
        assert_eq!(resolved(LogFormat::Text, Reader::Program), Format::Text);
    }

    #[test]
    fn what_is_below_the_level_is_not_written() {
        assert_eq!(Page::of("warn", Format::Json, |_, _| tracing::info!("quiet")), "");
        let one = "warn,instantly_proxy::logging::tests=info";
        assert!(Page::of(one, Format::Json, |_, _| tracing::info!("told")).contains("told"));
        assert!(Threshold::new("no=such=level").is_err());
    }

    #[test]
    fn level_and_format_change_between_two_lines_of_one_place() {
        let page = Page::of("warn", Format::Json, |threshold, style| {
            let say = |number: u32| tracing::info!(number, "said");
            say(1);
            threshold.set("info").unwrap();
            say(2);
            style.set(Format::Text);
            say(3);
            assert!(threshold.set("no=such=level").is_err());
            threshold.set("error").unwrap();
            say(4);
        });
        let lines: Vec<_> = page.lines().collect();
        assert_eq!(lines.len(), 2, "{page}");
        assert!(lines[0].starts_with('{') && lines[0].contains("\"number\":2"), "{page}");
        assert!(lines[1].ends_with("said number=3"), "{page}");
    }
}
