//! [`request`]: the line of a request as text, as the library writes that of an event.

use std::fmt::Write;
use std::time::Duration;

use super::json::{self, Page};
use super::line::{Fields, Key, LEVEL, MESSAGE, RequestLine, TARGET, who_fields};
use super::reader::Reader;
use super::style::escaped;
use super::who::Who;

/// Hands the line to `write`, with its line feed.
pub(super) fn request(line: &RequestLine<'_>, reader: Reader, write: impl FnOnce(&str)) {
    // Faint and green (ECMA-48 §8.3.117), each up to the next `off`.
    let (faint, green, off) = match reader {
        Reader::Person => ("\u{1b}[2m", "\u{1b}[32m", "\u{1b}[0m"),
        Reader::Program => ("", "", ""),
    };
    Page::with(|page| {
        page.line.push_str(faint);
        page.timestamp(line.at);
        // A string takes everything.
        let _ = write!(page.line, "{off} {green}{LEVEL:>5}{off} {faint}{TARGET}{off}{faint}:{off} {MESSAGE}");
        line.fields(&mut Text(page));
        page.line.push('\n');
        write(&page.line);
    });
}

struct Text<'p>(&'p mut Page);

impl Text<'_> {
    fn write(&mut self, key: Key, value: &str) {
        self.0.line.push_str(key.text);
        self.0.line.push_str(value);
    }
}

impl Fields for Text<'_> {
    fn text(&mut self, key: Key, value: &str) {
        self.0.line.push_str(key.text);
        // A string takes everything.
        let _ = write!(self.0.line, "{}", escaped(format!("{value:?}")));
    }

    fn word(&mut self, key: Key, value: &str) {
        self.text(key, value);
    }

    fn integer(&mut self, key: Key, value: u64) {
        self.write(key, itoa::Buffer::new().format(value));
    }

    fn milliseconds(&mut self, key: Key, value: Duration) {
        self.write(key, "");
        json::milliseconds(&mut self.0.line, value);
    }

    fn literal(&mut self, key: Key, value: &'static str) {
        self.write(key, value);
    }

    fn who(&mut self, who: &Who) {
        // On a page of its own: this one is in use.
        self.0.line.push_str(who.text(|| {
            let mut page = Page::default();
            who_fields(who, &mut Text(&mut page));
            page.line
        }));
    }
}
