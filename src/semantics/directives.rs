//! What a client asks of a cache: the request directives of `Cache-Control` (RFC 9111 §5.2.1).
//!
//! A malformed argument is read as the one that trusts stored responses least. Obeying the directives is left to the
//! decision about a stored response.

use std::time::Duration;

use http::HeaderMap;
use http::header::{CACHE_CONTROL, PRAGMA};

use super::list::{Quoting, elements, tokens};

/// The largest number of seconds that is told apart (RFC 9111 §1.2.2).
const MAX_SECONDS: u64 = 1 << 31;

/// The directives of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// Not without asking the upstream (§5.2.1.4).
    pub no_cache: bool,
    /// Nothing of this exchange is to be stored (§5.2.1.5).
    pub no_store: bool,
    /// A stored response or none (§5.2.1.7).
    pub only_if_cached: bool,
    /// No older than this (§5.2.1.1); zero if malformed.
    pub max_age: Option<Duration>,
    /// Fresh for at least this much longer (§5.2.1.3); the longest time if malformed.
    pub min_fresh: Option<Duration>,
    /// How much staleness is welcome (§5.2.1.2).
    pub max_stale: Option<MaxStale>,
}

/// The argument of `max-stale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MaxStale {
    /// Stale for no longer than this; zero if malformed.
    Within(Duration),
    /// Without an argument: however stale.
    Any,
}

impl RequestDirectives {
    /// Reads all lines of `Cache-Control`; `Pragma: no-cache` counts where there is none (§5.4). Of a directive that is
    /// repeated the strictest counts.
    #[must_use]
    pub fn parse(fields: &HeaderMap) -> Self {
        let mut directives = Self::default();
        let mut lines = fields.get_all(CACHE_CONTROL).iter().peekable();
        if lines.peek().is_none() {
            directives.no_cache = fields
                .get_all(PRAGMA)
                .iter()
                .any(|line| tokens(line.as_bytes()).any(|e| e.eq_ignore_ascii_case(b"no-cache")));
        }
        for line in lines {
            for element in elements(line.as_bytes(), Quoting::String) {
                directives.add(element);
            }
        }
        directives
    }

    fn add(&mut self, element: &[u8]) {
        let mut halves = element.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
        let name = halves.next().unwrap_or_default();
        let argument = halves.next();
        let is = |directive: &str| name.eq_ignore_ascii_case(directive.as_bytes());
        let seconds = || argument.and_then(delta_seconds);

        if is("no-cache") {
            self.no_cache = true;
        } else if is("no-store") {
            self.no_store = true;
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        } else if is("max-age") {
            let limit = seconds().unwrap_or(Duration::ZERO);
            self.max_age = Some(self.max_age.map_or(limit, |other| other.min(limit)));
        } else if is("min-fresh") {
            let rest = seconds().unwrap_or(Duration::from_secs(MAX_SECONDS));
            self.min_fresh = Some(self.min_fresh.map_or(rest, |other| other.max(rest)));
        } else if is("max-stale") {
            let limit = match argument {
                None => MaxStale::Any,
                Some(_) => MaxStale::Within(seconds().unwrap_or(Duration::ZERO)),
            };
            self.max_stale = Some(self.max_stale.map_or(limit, |other| other.min(limit)));
        }
    }
}

/// Digits alone, bare or quoted (a recipient accepts both, §5.2).
pub(super) fn delta_seconds(argument: &[u8]) -> Option<Duration> {
    seconds(argument.strip_prefix(b"\"").map_or(Some(argument), |quoted| quoted.strip_suffix(b"\""))?)
}

/// Digits alone, at least one; larger numbers than any limit count as the limit (§1.2.2).
pub(crate) fn seconds(digits: &[u8]) -> Option<Duration> {
    if digits.is_empty() {
        return None;
    }
    let seconds = digits.iter().try_fold(0_u64, |seconds, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        Some(seconds.saturating_mul(10).saturating_add(u64::from(digit)))
    })?;
    Some(Duration::from_secs(seconds.min(MAX_SECONDS)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    const NONE: RequestDirectives = RequestDirectives {
        no_cache: false,
        no_store: false,
        only_if_cached: false,
        max_age: None,
        min_fresh: None,
        max_stale: None,
    };
    const LONGEST: Duration = Duration::from_secs(MAX_SECONDS);

    fn parse(lines: &[(HeaderName, &str)]) -> RequestDirectives {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(name, HeaderValue::from_str(value).unwrap());
        }
        RequestDirectives::parse(&fields)
    }

    #[test]
    fn directives_are_read_as_rfc_9111_says() {
        let seconds = |n| Some(Duration::from_secs(n));
        for (line, expected) in [
            ("", NONE),
            ("foo, bar=1", NONE),
            ("no-cache", RequestDirectives { no_cache: true, ..NONE }),
            ("No-Store , ONLY-IF-CACHED", RequestDirectives { no_store: true, only_if_cached: true, ..NONE }),
            ("max-age=60", RequestDirectives { max_age: seconds(60), ..NONE }),
            ("max-age=\"60\"", RequestDirectives { max_age: seconds(60), ..NONE }),
            ("max-age=0060", RequestDirectives { max_age: seconds(60), ..NONE }),
            ("max-age=60, max-age=10", RequestDirectives { max_age: seconds(10), ..NONE }),
            ("min-fresh=5, min-fresh=9", RequestDirectives { min_fresh: seconds(9), ..NONE }),
            ("max-stale", RequestDirectives { max_stale: Some(MaxStale::Any), ..NONE }),
            (
                "max-stale, max-stale=3",
                RequestDirectives { max_stale: Some(MaxStale::Within(Duration::from_secs(3))), ..NONE },
            ),
            ("foo=\"a, no-store\"", NONE),
            // A quote that is never closed hides nothing.
            ("foo=\"a, no-store", RequestDirectives { no_store: true, ..NONE }),
        ] {
            assert_eq!(parse(&[(CACHE_CONTROL, line)]), expected, "{line}");
        }
    }

    #[test]
    fn a_malformed_argument_trusts_stored_responses_least() {
        for argument in ["", "=", "=-1", "=1.5", "= 1 s", "=abc", "=\"\"", "=\"1", "=1\""] {
            let fields = |name| parse(&[(CACHE_CONTROL, &format!("{name}{argument}"))]);
            assert_eq!(fields("max-age").max_age, Some(Duration::ZERO), "{argument}");
            assert_eq!(fields("min-fresh").min_fresh, Some(LONGEST), "{argument}");
            if !argument.is_empty() {
                assert_eq!(
                    fields("max-stale").max_stale,
                    Some(MaxStale::Within(Duration::ZERO)),
                    "{argument}"
                );
            }
        }
    }

    /// RFC 9111 §1.2.2.
    #[test]
    fn a_huge_number_counts_as_the_longest_time() {
        let directives = parse(&[(CACHE_CONTROL, "max-age=99999999999999999999999, min-fresh=4294967296")]);
        assert_eq!(directives.max_age, Some(LONGEST));
        assert_eq!(directives.min_fresh, Some(LONGEST));
    }

    #[test]
    fn all_lines_count() {
        let directives = parse(&[(CACHE_CONTROL, "no-cache"), (CACHE_CONTROL, "no-store")]);
        assert_eq!(directives, RequestDirectives { no_cache: true, no_store: true, ..NONE });
    }

    /// RFC 9111 §5.4.
    #[test]
    fn pragma_counts_only_without_cache_control() {
        assert!(parse(&[(PRAGMA, "x, No-Cache")]).no_cache);
        assert!(!parse(&[(PRAGMA, "no-cache"), (CACHE_CONTROL, "max-age=60")]).no_cache);
        assert!(!parse(&[(PRAGMA, "no-cache"), (CACHE_CONTROL, "")]).no_cache);
    }

    proptest! {
        #[test]
        fn no_field_makes_it_panic(line in prop::collection::vec(0x20_u8..=0xFF, 0..60)) {
            let mut fields = HeaderMap::new();
            if let Ok(line) = HeaderValue::from_bytes(&line) {
                fields.insert(CACHE_CONTROL, line);
            }
            let _ = RequestDirectives::parse(&fields);
        }

        #[test]
        fn every_number_is_read_or_saturates(seconds in any::<u64>()) {
            let directives = parse(&[(CACHE_CONTROL, &format!("max-age={seconds}"))]);
            prop_assert_eq!(directives.max_age, Some(Duration::from_secs(seconds.min(MAX_SECONDS))));
        }
    }
}
