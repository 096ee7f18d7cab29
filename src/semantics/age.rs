//! `Age` (RFC 9111 §5.1) of an answer that comes from a cache nearer to the origin.

use std::time::Duration;

use http::HeaderMap;
use http::header::AGE;

/// How old an answer was when it came. Of several lines or members the first counts, and what is no number says nothing
/// (§5.1); one that is larger than any clock is as old as that.
#[must_use]
pub fn of(fields: &HeaderMap) -> Duration {
    let first = || fields.get(AGE)?.to_str().ok()?.split(',').next();
    let digits =
        first().map(str::trim).filter(|age| !age.is_empty() && age.bytes().all(|b| b.is_ascii_digit()));
    // RFC 9111 §1.2.2: too large is the largest.
    digits.map_or(Duration::ZERO, |age| Duration::from_secs(age.parse::<u32>().unwrap_or(u32::MAX).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn an_age_is_a_whole_number_of_seconds() {
        for (value, seconds) in [
            ("0", 0),
            ("30", 30),
            (" 30 ", 30),
            ("030", 30),
            ("30, 40", 30),
            ("-1", 0),
            ("1.5", 0),
            ("", 0),
            ("x", 0),
            ("99999999999999999999", u64::from(u32::MAX)),
        ] {
            let fields = HeaderMap::from_iter([(AGE, HeaderValue::from_static(value))]);
            assert_eq!(of(&fields), Duration::from_secs(seconds), "{value:?}");
        }
        assert_eq!(of(&HeaderMap::new()), Duration::ZERO);
    }
}
