//! `x-request-id`: the caller's, where it can be written to a log and a head as it is.

use http::{HeaderName, HeaderValue};

use super::lines::Lines;
use super::octets::Octets;

/// The field.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest that is taken over, in bytes.
const MAX_LENGTH: usize = 128;

/// The caller's request id if it sent one alone, of 1 to 128 letters, digits and `. _ ~ + / = : -`; `to_str` of it
/// cannot fail. Otherwise the proxy makes one.
#[must_use]
pub fn incoming(lines: Lines<'_>) -> Option<&HeaderValue> {
    lines.one().filter(|id| is_sane(id.as_bytes()))
}

/// Whether an id may be taken over.
#[must_use]
pub fn is_sane(id: &[u8]) -> bool {
    static HARMLESS: Octets = Octets::letters_digits_and(b"._~+/=:-");
    (1..=MAX_LENGTH).contains(&id.len()) && HARMLESS.have_all_of(id)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    /// T13.
    #[test]
    fn only_a_sane_id_is_taken_over() {
        let longest = "x".repeat(MAX_LENGTH);
        let too_long = "x".repeat(MAX_LENGTH + 1);
        for (lines, expected) in [
            (&[] as &[&str], false),
            (&["01997c3e-25b5-7d2f-a5c8-0d1d1e6e4d10"], true),
            (&["Root=1-67891233-abcdef012345678912345678"], true),
            (&[&longest], true),
            (&[&too_long], false),
            (&[""], false),
            (&["a b"], false),
            (&["a\tb"], false),
            (&["a\"b"], false),
            (&["a", "b"], false),
        ] {
            let mut fields = HeaderMap::new();
            for line in lines {
                fields.append(REQUEST_ID, HeaderValue::from_str(line).unwrap());
            }
            assert_eq!(incoming(Lines::of(&fields, &REQUEST_ID)).is_some(), expected, "{lines:?}");
        }
        let fields = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_bytes(b"\xE9").unwrap())]);
        assert_eq!(incoming(Lines::of(&fields, &REQUEST_ID)), None);
    }
}
