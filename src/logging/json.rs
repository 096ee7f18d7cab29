//! [`line()`]: an event as one JSON object on one line; [`request`]: the line of a request, which is no event.
//!
//! Written here because the line of a request is a large part of what an answer from memory costs: the library's own
//! formatter took nearly half of all the instructions of a hit, through an object serializer, a formatter for each field and a string for
//! each value. What comes out is the same.

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use tracing::Event;
use tracing::field::{Field, Visit};

use super::line::{Fields, Key, RequestLine, who_fields};
use super::who::Who;

/// Room that a thread keeps for its next line.
const KEPT: usize = 16 * 1024;

thread_local! {
    static PAGE: RefCell<Page> = RefCell::default();
}

/// What a thread writes lines with, one after the other.
#[derive(Default)]
pub(super) struct Page {
    pub(super) line: String,
    /// A value as its type formats it, before it is escaped.
    value: String,
    /// The second of the latest line, and its text up to the full stop.
    second: u64,
    date: String,
}

/// Hands the line of an event that happened at a Unix time to `write`, with its line feed.
pub(super) fn line(event: &Event<'_>, at: Duration, write: impl FnOnce(&str) -> fmt::Result) -> fmt::Result {
    let place = event.metadata();
    Page::with(|page| {
        page.begin(at, place.level().as_str());
        event.record(page);
        page.end(place.target());
        write(&page.line)
    })
}

/// Hands the line of a request to `write`, with its line feed.
pub(super) fn request(line: &RequestLine<'_>, write: impl FnOnce(&str)) {
    Page::with(|page| {
        page.line.push_str("{\"timestamp\":\"");
        page.timestamp(line.at);
        page.line.push_str(AHEAD);
        line.fields(page);
        page.line.push_str(BEHIND);
        write(&page.line);
    });
}

/// What comes between the moment of a request's line and its fields, and behind those: `LEVEL`, `MESSAGE` and `TARGET` of
/// `line` as an event would have them, in one piece each. A test compares such a line with an event's.
const AHEAD: &str = "\",\"level\":\"INFO\",\"message\":\"request\"";
const BEHIND: &str = ",\"target\":\"instantly_proxy::access\"}\n";

impl Page {
    /// Lets `write` write a line on the thread's own page, empty now.
    pub(super) fn with<T>(write: impl FnOnce(&mut Self) -> T) -> T {
        PAGE.with(|page| match page.try_borrow_mut() {
            Ok(mut page) => {
                page.line.clear();
                let written = write(&mut page);
                page.line.shrink_to(KEPT);
                page.value.shrink_to(KEPT);
                written
            }
            // A value logged something while it was formatted.
            Err(_) => write(&mut Self::default()),
        })
    }

    fn begin(&mut self, at: Duration, level: &str) {
        self.line.push_str("{\"timestamp\":\"");
        self.timestamp(at);
        self.line.push_str("\",\"level\":\"");
        self.line.push_str(level);
        self.line.push('"');
    }

    fn end(&mut self, target: &str) {
        self.line.push_str(",\"target\":\"");
        escape(&mut self.line, target);
        self.line.push_str("\"}\n");
    }

    /// RFC 3339 with microseconds.
    pub(super) fn timestamp(&mut self, at: Duration) {
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
        digits(&mut self.line, at.subsec_micros().into());
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

impl Fields for Page {
    fn text(&mut self, key: Key, value: &str) {
        self.line.push_str(key.json_text);
        escape(&mut self.line, value);
        self.line.push('"');
    }

    fn word(&mut self, key: Key, value: &str) {
        debug_assert!(!has_special(value.as_bytes()), "{value:?}");
        self.line.push_str(key.json_text);
        // There is nothing to escape: `line` says so, and its tests hold it.
        self.line.push_str(value);
        self.line.push('"');
    }

    fn integer(&mut self, key: Key, value: u64) {
        self.line.push_str(key.json);
        self.line.push_str(itoa::Buffer::new().format(value));
    }

    fn milliseconds(&mut self, key: Key, value: Duration) {
        self.line.push_str(key.json);
        milliseconds(&mut self.line, value);
    }

    fn literal(&mut self, key: Key, value: &'static str) {
        self.line.push_str(key.json);
        self.line.push_str(value);
    }

    fn who(&mut self, who: &Who) {
        // On a page of its own: this one is in use.
        self.line.push_str(who.json(|| {
            let mut page = Self::default();
            who_fields(who, &mut page);
            page.line
        }));
    }
}

/// RFC 8259 §7: quotes, back-slashes and control characters may not stand for themselves. Nor may DEL and the controls from
/// U+0080 on, with which a value could drive the terminal of whoever reads the log.
fn escape(line: &mut String, text: &str) {
    if !has_special(text.as_bytes()) {
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

/// Whether a byte may have to be escaped: a control, a quote, a back-slash, DEL, or 0xC2, with which the controls from U+0080 to
/// U+009F begin, as does little else. Eight at a time, in the bits of a number: compilers make sixteen comparisons, one by one,
/// of what is said of a block byte by byte. The last eight may overlap those before.
fn has_special(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    let found = words.iter().fold(0, |found, word| found | specials(u64::from_ne_bytes(*word)));
    let last = match text.last_chunk::<8>() {
        Some(_) if rest.is_empty() => 0,
        Some(last) => specials(u64::from_ne_bytes(*last)),
        None => {
            let mut word = [b' '; 8];
            for (to, from) in word.iter_mut().zip(rest) {
                *to = *from;
            }
            specials(u64::from_ne_bytes(word))
        }
    };
    found | last != 0
}

/// Not zero if one of eight bytes is special (after Warren, Hacker's Delight, §6-1). A byte above a special one may be found,
/// too, so that this tells that there is any, and not where.
const fn specials(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x80 * ONES;
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    let below_space = word.wrapping_sub(b' ' as u64 * ONES) & !word;
    let quotes = zeros(word ^ (b'"' as u64 * ONES));
    let slashes = zeros(word ^ (b'\\' as u64 * ONES));
    let deletes = zeros(word ^ (0x7F * ONES));
    let leads = zeros(word ^ (0xC2 * ONES));
    (below_space | quotes | slashes | deletes | leads) & HIGHS
}

/// As [`number`] writes it, by whole numbers alone.
pub(super) fn milliseconds(line: &mut String, value: Duration) {
    /// Below this, 52 days, no two numbers of nanoseconds have the same floating-point number of milliseconds, so that its
    /// text is the number's own. Who set the clock ahead may see more, which stands here as it would in any other field.
    const EXACT: u128 = 1 << 52;
    let nanos = value.as_nanos();
    match u64::try_from(nanos) {
        Ok(nanos) if u128::from(nanos) < EXACT => fraction(line, nanos),
        #[expect(clippy::cast_precision_loss, reason = "that is what is written")]
        _ => number(line, nanos as f64 / 1e6),
    }
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
            return fraction(line, whole);
        }
    }
    if value.is_finite() {
        let _ = write!(line, "{value:?}");
    } else {
        line.push_str("null");
    }
}

/// A millionth of `number`, with as many decimals as it needs, and at least one.
fn fraction(line: &mut String, number: u64) {
    let mut buffer = itoa::Buffer::new();
    line.push_str(buffer.format(number / 1_000_000));
    line.push('.');
    // A digit in front of the six keeps their zeros, and is none itself, so that the search ends there.
    let decimals = buffer.format(1_000_000 + number % 1_000_000);
    let last = decimals.bytes().rposition(|digit| digit != b'0').unwrap_or_default();
    line.push_str(&decimals[1..=last.max(1)]);
}

/// The six decimal digits of a number below a million.
fn digits(line: &mut String, number: u64) {
    // A digit in front of them keeps the zeros.
    line.push_str(&itoa::Buffer::new().format(1_000_000 + number)[1..]);
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
        fn a_byte_to_escape_is_seen_wherever_it_stands(
            text in "[ -~é€]{0,40}",
            special in prop::option::of((any::<prop::sample::Index>(), prop::sample::select(vec![0, 31, b'"', b'\\', 0x7F, 0xC2]))),
        ) {
            let mut bytes: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'"' | b'\\' | 0xC2)).collect();
            prop_assert!(!has_special(&bytes));
            if let Some((at, special)) = special {
                bytes.insert(at.index(bytes.len() + 1), special);
                prop_assert!(has_special(&bytes));
            }
        }

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
