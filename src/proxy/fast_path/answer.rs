//! The head of an answer from memory, written as it is sent: the fields of [`render`](crate::cache::render::render), those that
//! every answer carries, and what the HTTP library adds, in the order in which it would send them.

use std::cell::RefCell;
use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use http::StatusCode;
use httpdate::HttpDate;
use uuid::fmt::Hyphenated;

use crate::cache::decide::Servable;
use crate::cache::stored::StoredResponse;
use crate::clock::Moment;
use crate::outcome::HIT;
use crate::proxy::exchange::fresh_id;
use crate::semantics::{conditional, request_id, via};

/// The id under which a request is found: the caller's own where it is sane, else a fresh one.
pub(super) enum Id<'a> {
    Taken(&'a str),
    Fresh([u8; Hyphenated::LENGTH]),
}

impl<'a> Id<'a> {
    pub(super) fn of(line: Option<&'a [u8]>, now: Moment) -> Self {
        let taken = line.filter(|id| request_id::is_sane(id)).and_then(|id| std::str::from_utf8(id).ok());
        taken.map_or_else(
            || {
                let mut text = [0; Hyphenated::LENGTH];
                fresh_id(now).hyphenated().encode_lower(&mut text);
                Self::Fresh(text)
            },
            Self::Taken,
        )
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Taken(id) => id,
            // Hexadecimal digits and hyphens.
            Self::Fresh(id) => std::str::from_utf8(id).unwrap_or_default(),
        }
    }
}

/// A stored response as an answer: all of it or 304.
pub(super) struct Rendered<'a> {
    stored: &'a StoredResponse,
    servable: Servable,
    pub(super) status: StatusCode,
}

impl<'a> Rendered<'a> {
    /// For a client that has what `condition` says.
    pub(super) fn of(stored: &'a StoredResponse, servable: Servable, condition: Option<&[u8]>) -> Self {
        let has_it = condition.is_some_and(|line| conditional::line_matches(line, stored.etag()));
        let status = if has_it { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        Self { stored, servable, status }
    }

    /// Puts the head behind what is in `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>, id: &Id<'_>, date: &str) {
        let Self { stored, servable, status } = self;
        let mut number = itoa::Buffer::new();
        let mut put = |text: &[u8]| out.extend_from_slice(text);
        if *status == StatusCode::NOT_MODIFIED {
            put(b"HTTP/1.1 304 Not Modified\r\n");
        } else {
            put(b"HTTP/1.1 200 OK\r\ncontent-type: ");
            put(stored.content_type().as_bytes());
            put(b"\r\n");
        }
        put(b"etag: ");
        put(stored.etag());
        put(b"\r\nage: ");
        put(number.format(servable.age.as_secs()).as_bytes());
        put(b"\r\ncache-status: ");
        put(HIT.as_bytes());
        put(number.format(servable.ttl.unsigned_abs()).as_bytes());
        put(b"\r\nvia: ");
        put(via::DOWNSTREAM.as_bytes());
        put(b"\r\nx-request-id: ");
        put(id.as_str().as_bytes());
        if *status != StatusCode::NOT_MODIFIED {
            put(b"\r\ncontent-length: ");
            put(number.format(stored.body().len()).as_bytes());
        }
        put(b"\r\ndate: ");
        put(date.as_bytes());
        put(b"\r\n\r\n");
    }
}

/// The second of a thread's latest answer, as `Date` says it (RFC 9110 §6.6.1).
#[derive(Default)]
pub(super) struct Dates {
    second: u64,
    text: String,
}

thread_local! {
    static DATES: RefCell<Dates> = RefCell::default();
}

impl Dates {
    /// Hands over the text of a Unix time.
    pub(super) fn with<T>(unix: Duration, use_it: impl FnOnce(&str) -> T) -> T {
        DATES.with_borrow_mut(|dates| {
            if dates.second != unix.as_secs() || dates.text.is_empty() {
                dates.second = unix.as_secs();
                dates.text.clear();
                // A string takes everything.
                let _ =
                    write!(dates.text, "{}", HttpDate::from(UNIX_EPOCH + Duration::from_secs(dates.second)));
            }
            use_it(&dates.text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_that_of_the_second() {
        for (unix, expected) in [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_778, "Sun, 06 Nov 1994 08:49:38 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ] {
            Dates::with(Duration::from_secs(unix), |date| assert_eq!(date, expected));
        }
    }
}
