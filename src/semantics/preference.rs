//! `Prefer: wait=SECONDS` (RFC 7240 §4.3): how long a client is ready to wait.
//!
//! Of a preference that comes more than once the first counts (§2); one that does not parse is ignored, as are all other
//! preferences. How long a call then waits at most is left to the queue.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::directives::seconds;
use super::list::{Quoting, elements};

/// What a client would like.
pub const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Which of it was granted.
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The wait that all lines of `Prefer` together ask for.
#[must_use]
pub fn wait(fields: &HeaderMap) -> Option<Duration> {
    let mut preferences =
        fields.get_all(PREFER).iter().flat_map(|line| elements(line.as_bytes(), Quoting::String));
    preferences.find_map(wait_argument).and_then(seconds_of)
}

/// The `Preference-Applied` value that tells a client that its wait of `wait` was heeded (§3).
#[must_use]
pub fn wait_applied(wait: Duration) -> HeaderValue {
    HeaderValue::try_from(format!("wait={}", wait.as_secs())).expect("digits make a field value")
}

/// What follows the name of a preference, if the name is `wait`: `=`, a word, and perhaps parameters.
fn wait_argument(preference: &[u8]) -> Option<&[u8]> {
    let end = preference.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(preference.len());
    let (name, argument) = preference.split_at(end);
    name.trim_ascii().eq_ignore_ascii_case(b"wait").then_some(argument)
}

fn seconds_of(argument: &[u8]) -> Option<Duration> {
    let value = argument.strip_prefix(b"=")?.trim_ascii_start();
    let (value, parameters) = match value.strip_prefix(b"\"") {
        // Digits need no back-slash, so that a quoted string of them ends at the next quote.
        Some(quoted) => {
            let end = quoted.iter().position(|byte| *byte == b'"')?;
            (&quoted[..end], quoted[end + 1..].trim_ascii_start())
        }
        None => {
            let end = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
            (value[..end].trim_ascii_end(), &value[end..])
        }
    };
    if parameters.is_empty() || parameters.starts_with(b";") { seconds(value) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asked(lines: &[&str]) -> Option<u64> {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append(PREFER, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        wait(&fields).map(|wait| wait.as_secs())
    }

    /// RFC 7240 §2 and §4.3.
    #[test]
    fn wait_is_found_among_preferences_and_ignored_where_it_does_not_parse() {
        for (lines, expected) in [
            (&[] as &[&str], None),
            (&["wait=10"], Some(10)),
            (&["wait=0"], Some(0)),
            (&["WAIT = 10"], Some(10)),
            (&["wait=\"10\""], Some(10)),
            (&["respond-async, wait=10"], Some(10)),
            (&["respond-async", "return=minimal, wait=10"], Some(10)),
            (&["wait=10; foo=bar"], Some(10)),
            (&["wait=10 ;foo=\"a, wait=3\""], Some(10)),
            (&["wait=\"10\" ; foo"], Some(10)),
            (&["wait=99999999999999999999999"], Some(1 << 31)),
            // The first counts, even where it is of no use.
            (&["wait=10, wait=20"], Some(10)),
            (&["wait=10", "wait=20"], Some(10)),
            (&["wait=soon, wait=20"], None),
            // A parameter or a quoted text is no preference.
            (&["foo; wait=10"], None),
            (&["foo=\"a; wait=10\""], None),
            (&["foo=\"a, wait=10\", wait=20"], Some(20)),
            (&["await=10"], None),
            (&["wait-10"], None),
            (&["wait"], None),
            (&["wait="], None),
            (&["wait=\"\""], None),
            (&["wait;wait=10"], None),
            (&["wait=-1"], None),
            (&["wait=+1"], None),
            (&["wait=1.5"], None),
            (&["wait=1 0"], None),
            (&["wait=10s"], None),
            (&["wait=\"10"], None),
            (&["wait=10\""], None),
            (&["wait=\"10\"0"], None),
            (&["wait==10"], None),
            (&["wäit=10"], None),
            (&[""], None),
            (&[", ,"], None),
        ] {
            assert_eq!(asked(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_was_heeded_is_said_in_seconds() {
        assert_eq!(wait_applied(Duration::from_millis(2500)), "wait=2");
        assert_eq!(wait_applied(Duration::ZERO), "wait=0");
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in r#"[wait=;," \\0-9]{0,40}"#) {
            let _ = asked(&[&line]);
        }

        #[test]
        fn what_is_asked_for_can_be_confirmed(seconds in 0_u64..=1 << 31) {
            let applied = wait_applied(Duration::from_secs(seconds));
            prop_assert_eq!(asked(&[applied.to_str().unwrap()]), Some(seconds));
        }
    }
}
