//! [`request`]: logs what is said of a request at its end, a [`RequestLine`].
//!
//! This line alone is written without an event of `tracing`: it is written for every answer, and an event with its fields, its
//! visitors and a floating-point number took a seventh of all the instructions of an answer from memory. What comes out is
//! what an event would give, to the byte: a test compares them. Level and style change under it as under every other line.

use std::sync::OnceLock;

use super::line::RequestLine;
use super::lines::Lines;
use super::reader::Reader;
use super::style::{Format, Style};
use super::threshold::Threshold;
use super::{json, text};

/// One for the process, as the subscriber is. Nothing is logged before it is there.
static REQUESTS: OnceLock<Requests> = OnceLock::new();

/// Logs a request that has ended.
pub fn request(line: &RequestLine<'_>) {
    if let Some(requests) = REQUESTS.get() {
        requests.log(line, |text| requests.lines.push(text.as_bytes()));
    }
}

/// Where these lines go, how they look, and from which level on.
pub(super) struct Requests {
    pub(super) threshold: Threshold,
    pub(super) style: Style,
    pub(super) reader: Reader,
    pub(super) lines: Lines,
}

impl Requests {
    /// From now on what [`request`] is told goes there. Who logs twice in one process was refused by then.
    pub(super) fn begin(self) {
        // What was there first stays.
        let _ = REQUESTS.set(self);
    }

    fn log(&self, line: &RequestLine<'_>, write: impl FnOnce(&str)) {
        if !self.threshold.wants_requests() {
            return;
        }
        match self.style.format() {
            Format::Json => json::request(line, write),
            Format::Text => text::request(line, self.reader, write),
        }
    }
}

#[cfg(test)]
mod tests;
