//! `Retry-After` (RFC 9110 §10.2.3): how long an upstream asks to be left alone.
//!
//! What cannot be read, and what names a time that has passed, asks for nothing. How long calls are held for what is
//! asked, and for an answer that asks for nothing, is left to [`HoldBackoff`](super::backoff::HoldBackoff).

use std::time::{Duration, UNIX_EPOCH};

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue};

use crate::semantics::directives::seconds;

/// What the fields ask for at `unix_now`, the time since 1970 by the wall clock. There should be one line; of several
/// the longest wait that can be read counts.
#[must_use]
pub fn of(fields: &HeaderMap, unix_now: Duration) -> Option<Duration> {
    fields.get_all(RETRY_AFTER).iter().filter_map(|line| read(line, unix_now)).max()
}

fn read(line: &HeaderValue, unix_now: Duration) -> Option<Duration> {
    let value = line.as_bytes().trim_ascii();
    if let Some(delay) = seconds(value) {
        return Some(delay);
    }
    let date = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
    date.duration_since(UNIX_EPOCH).ok()?.checked_sub(unix_now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the date of the examples of RFC 9110 §5.6.7.
    const EXAMPLE: Duration = Duration::from_secs(784_111_777);

    fn asked(lines: &[&str], unix_now: Duration) -> Option<u64> {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append(RETRY_AFTER, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        of(&fields, unix_now).map(|wait| wait.as_secs())
    }

    /// RFC 9110 §10.2.3 and §5.6.7; F6.
    #[test]
    fn every_form_is_read_and_what_is_no_form_is_absent() {
        let before = EXAMPLE - Duration::from_secs(90);
        for (lines, expected) in [
            (&[] as &[&str], None),
            (&["120"], Some(120)),
            (&[" 7 "], Some(7)),
            (&["0"], Some(0)),
            (&["007"], Some(7)),
            (&["99999999999999999999999999"], Some(1 << 31)),
            (&["Sun, 06 Nov 1994 08:49:37 GMT"], Some(90)),
            (&["Sunday, 06-Nov-94 08:49:37 GMT"], Some(90)),
            (&["Sun Nov  6 08:49:37 1994"], Some(90)),
            (&["Fri, 31 Dec 9999 23:59:59 GMT"], Some(252_618_189_112)),
            (&["Sun, 06 Nov 1994 08:48:07 GMT"], Some(0)),
            // A time that has passed asks for as little as a negative number.
            (&["Sun, 06 Nov 1994 08:48:06 GMT"], None),
            (&["Thu, 01 Jan 1970 00:00:00 GMT"], None),
            (&["-5"], None),
            (&["+5"], None),
            (&["1.5"], None),
            (&["5, 10"], None),
            (&["5s"], None),
            (&["\"5\""], None),
            (&["soon"], None),
            (&[""], None),
            (&["Sun, 32 Nov 1994 08:49:37 GMT"], None),
            (&["Sun, 06 Nov 1994 08:49:37 PST"], None),
            (&["Sün"], None),
            (&["5", "10"], Some(10)),
            (&["soon", "10"], Some(10)),
            (&["5", "Sun, 06 Nov 1994 08:49:37 GMT"], Some(90)),
        ] {
            assert_eq!(asked(lines, before), expected, "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn no_value_makes_it_panic(line in "\\PC{0,40}", unix_now in any::<u64>()) {
            let _ = asked(&[&line], Duration::from_secs(unix_now));
        }

        #[test]
        fn a_date_asks_for_what_lies_between(wait in 0_u64..1_000_000_000) {
            let date = httpdate::fmt_http_date(UNIX_EPOCH + EXAMPLE + Duration::from_secs(wait));
            prop_assert_eq!(asked(&[&date], EXAMPLE), Some(wait));
        }
    }
}
