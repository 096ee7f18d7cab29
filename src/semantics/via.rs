//! `Via` (RFC 9110 §7.6.3): what we add on both ways, and whether a request has been here before.
//!
//! Towards the upstream the pseudonym has a random suffix per process, so that a sidecar in front of a gateway is no
//! loop; towards clients it is [`PSEUDONYM`] alone.

use http::{HeaderValue, Version};

/// The name towards clients, and the stem of the one towards the upstream.
pub const PSEUDONYM: &str = "instantly-proxy";

/// The whole element towards clients.
pub const DOWNSTREAM: &str = "1.1 instantly-proxy";

/// The element that an intermediary of this name adds to a message that came in this version.
///
/// # Panics
///
/// If the pseudonym holds control characters: it is made by this process.
#[must_use]
pub fn element(version: Version, pseudonym: &str) -> HeaderValue {
    let received = match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    };
    HeaderValue::try_from(format!("{received} {pseudonym}")).expect("a pseudonym is a token")
}

/// Whether an intermediary of this name is among those of this line. Comments count, so that no way of writing an
/// element hides it.
#[must_use]
pub fn names(line: &[u8], pseudonym: &str) -> bool {
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t' | b',' | b'(' | b')'));
    !pseudonym.is_empty() && words.any(|word| word.eq_ignore_ascii_case(pseudonym.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Q20.
    #[test]
    fn a_request_that_was_here_is_recognized_by_the_whole_name() {
        for (line, expected) in [
            ("", false),
            ("1.1 instantly-proxy-7f3a", true),
            ("HTTP/2 x,1.1 Instantly-Proxy-7F3A (comment)", true),
            ("1.1 a, 1.1\tinstantly-proxy-7f3a,", true),
            ("1.1 instantly-proxy", false),
            ("1.1 instantly-proxy-7f3b", false),
            ("1.1 instantly-proxy-7f3a-x", false),
        ] {
            assert_eq!(names(line.as_bytes(), "instantly-proxy-7f3a"), expected, "{line}");
        }
        assert!(!names(b"1.1 a,", ""));
    }

    #[test]
    fn our_element_is_one_that_we_recognize() {
        for (version, text) in [(Version::HTTP_10, "1.0"), (Version::HTTP_11, "1.1"), (Version::HTTP_2, "2")]
        {
            let element = element(version, PSEUDONYM);
            assert!(names(element.as_bytes(), PSEUDONYM));
            assert_eq!(element, format!("{text} {PSEUDONYM}"));
        }
    }
}
