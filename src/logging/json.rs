//! [`line()`]: an event as one JSON object on one line.
//!
//! Written here because the line of a request is a large part of what an answer from memory costs: the library's own
//! formatter took nearly half of all the instructions of a hit, through an object serializer, a formatter for each field and a string for
//! each value. What comes out is the same.

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use tracing::Event;
use tracing::field::{Field, Visit};

/// Room that a thread keeps for its next line.
const KEPT: usize = 16 * 1024;

thread_local! {
    static PAGE: RefCell<Page> = RefCell::default();
}

/// What a thread writes lines with, one after the other.
#[derive(Default)]
struct Page {
    line: String,
    /// A value as its type formats it, before it is escaped.
    value: String,
    /// The second of the latest line, and its text up to the full stop.
    second: u64,
    date: String,
}

/// Hands the line of an event that happened at a Unix time to `write`, with its line feed.
pub(super) fn line(event: &Event<'_>, at: Duration, write: impl FnOnce(&str) -> fmt::Result) -> fmt::Result {
    PAGE.with(|page| match page.try_borrow_mut() {
        Ok(mut page) => page.line(event, at, write),
        // A value logged something while it was formatted.
        Err(_) => Page::default().line(event, at, write),
    })
}

impl Page {
    fn line(
        &mut self,
        event: &Event<'_>,
        at: Duration,
        write: impl FnOnce(&str) -> fmt::Result,
    ) -> fmt::Result {
        self.line.clear();
        self.line.push_str("{\"timestamp\":\"");
        self.timestamp(at);
        self.line.push_str("\",\"level\":\"");
        let place = event.metadata();
        self.line.push_str(place.level().as_str());
        self.line.push('"');
        event.record(self);
        self.line.push_str(",\"target\":\"");
        escape(&mut self.line, place.target());
        self.line.push_str("\"}\n");
        let written = write(&self.line);
        self.line.shrink_to(KEPT);
        self.value.shrink_to(KEPT);
        written
    }

    /// RFC 3339 with microseconds.
    fn timestamp(&mut self, at: Duration) {
        let second = at.as_secs();
        if self.second != second || self.date.is_empty() {
            let whole = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(second));
            self.date.clear();
            // A string takes everything.
            let _ = write!(self.date, "{whole}");
            self.date.truncate(self.date.trim_end_matches('Z').len());
            self.second = second;
        }
        self.line.push_str(&self.date);
        self.line.push('.');
        digits(&mut self.line, at.subsec_micros());
        self.line.push('Z');
    }

    fn key(&mut self, field: &Field) {
        let name = field.name();
        self.line.push_str(",\"");
        // A field that is a keyword is written as a raw identifier. The names stand in code: there is nothing to escape.
        self.line.push_str(name.strip_prefix("r#").unwrap_or(name));
        self.line.push_str("\":");
    }
}

impl Visit for Page {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.key(field);
        self.line.push('"');
        escape(&mut self.line, value);
        self.line.push('"');
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.key(field);
        self.line.push_str(itoa::Buffer::new().format(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.key(field);
        self.line.push_str(itoa::Buffer::new().format(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.key(field);
        self.line.push_str(if value { "true" } else { "false" });
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.key(field);
        number(&mut self.line, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.key(field);
        self.value.clear();
        // What fails to format itself is cut there.
        let _ = write!(self.value, "{value:?}");
        self.line.push('"');
        escape(&mut self.line, &self.value);
        self.line.push('"');
    }
}

/// RFC 8259 §7: quotes, back-slashes and control characters may not stand for themselves. Nor may DEL and the controls from
/// U+0080 on, with which a value could drive the terminal of whoever reads the log.
fn escape(line: &mut String, text: &str) {
    // Nearly always; and all of it without an early end is compared many bytes at a time.
    if !text.bytes().fold(false, |found, byte| found | is_special(byte)) {
        return line.push_str(text);
    }
    for character in text.chars() {
        match character {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            control if control.is_control() => {
                let _ = write!(line, "\\u{:04x}", u32::from(control));
            }
            plain => line.push(plain),
        }
    }
}

/// The controls from U+0080 to U+009F begin with 0xC2, as does little else.
const fn is_special(byte: u8) -> bool {
    byte < b' ' || matches!(byte, b'"' | b'\\' | 0x7F | 0xC2)
}

/// A number with a full stop; `null` where JSON has none for it. Up to six decimals are written by whole numbers, which
/// is the shorter way.
fn number(line: &mut String, value: f64) {
    const LARGEST: f64 = 1e15;
    let millionths = value * 1e6;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to fit")]
    if (0.0..LARGEST).contains(&millionths) {
        let whole = millionths.round() as u64;
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        let same = whole as f64 / 1e6;
        // Bit for bit: that text means this number and no other.
        if same.to_bits() == value.to_bits() {
            line.push_str(itoa::Buffer::new().format(whole / 1_000_000));
            line.push('.');
            digits(line, (whole % 1_000_000) as u32);
            let kept = line.trim_end_matches('0').len();
            line.truncate(kept);
            if line.ends_with('.') {
                line.push('0');
            }
            return;
        }
    }
    if value.is_finite() {
        let _ = write!(line, "{value:?}");
    } else {
        line.push_str("null");
    }
}

/// Six decimal digits.
fn digits(line: &mut String, number: u32) {
    let mut divisor = 100_000;
    while divisor > 0 {
        line.push(char::from(b'0' + u8::try_from(number / divisor % 10).unwrap_or_default()));
        divisor /= 10;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn escaped(text: &str) -> String {
        let mut line = String::new();
        escape(&mut line, text);
        line
    }

    fn written(value: f64) -> String {
        let mut line = String::new();
        number(&mut line, value);
        line
    }

    #[test]
    fn numbers_have_a_full_stop_or_are_null() {
        for (value, expected) in [
            (0.0, "0.0"),
            (2.0, "2.0"),
            (0.000_001, "0.000001"),
            (0.002_574, "0.002574"),
            (1234.5, "1234.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (-1.5, "-1.5"),
            (1e300, "1e300"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
        ] {
            assert_eq!(written(value), expected);
        }
    }

    #[test]
    fn the_date_is_that_of_the_second() {
        let mut page = Page::default();
        for (at, expected) in [
            (Duration::ZERO, "1970-01-01T00:00:00.000000Z"),
            (Duration::from_micros(1_800_000_000_000_042), "2027-01-15T08:00:00.000042Z"),
            (Duration::from_micros(1_800_000_000_999_999), "2027-01-15T08:00:00.999999Z"),
            (Duration::from_secs(1_800_000_001), "2027-01-15T08:00:01.000000Z"),
            (Duration::from_nanos(1_799_999_999_999_999_999), "2027-01-15T07:59:59.999999Z"),
        ] {
            page.line.clear();
            page.timestamp(at);
            assert_eq!(page.line, expected);
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in any::<String>()) {
            let json = format!("\"{}\"", escaped(&text));
            prop_assert!(!json.contains(char::is_control));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn every_number_comes_back(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            let read: Value = serde_json::from_str(&written(value)).unwrap();
            prop_assert!(read.is_f64());
            prop_assert_eq!(written(value).parse::<f64>().unwrap().to_bits(), value.to_bits());
        }

        #[test]
        fn so_does_every_duration(nanos in 0_u64..1_000_000_000_000) {
            #[expect(clippy::cast_precision_loss)]
            let value = nanos as f64 / 1e6;
            prop_assert_eq!(written(value).parse::<f64>().unwrap().to_bits(), value.to_bits());
            prop_assert!(written(value).contains('.'));
        }
    }
}
