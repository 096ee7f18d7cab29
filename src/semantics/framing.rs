//! Where a message ends (RFC 9112 §6): what two parsers could read differently.

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

/// Whether a length is digits alone without a leading zero (readers differ on octal), few enough for every reader's integer.
#[must_use]
pub fn is_length(value: &[u8]) -> bool {
    let leading_zero = value.len() > 1 && value.starts_with(b"0");
    (1..=18).contains(&value.len()) && !leading_zero && value.iter().all(u8::is_ascii_digit)
}

/// Whether these fields announce a body (RFC 9112 §6.3).
#[must_use]
pub fn announces_body(fields: &HeaderMap) -> bool {
    let has_length = fields.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    has_length || fields.contains_key(TRANSFER_ENCODING)
}

/// Why two parsers might end an answer at different bytes (RFC 9112 §6.3): a length that is repeated, or stands beside a
/// transfer coding, or a coding other than one `chunked`, which a call without `TE` never asked for.
#[must_use]
pub fn ambiguity(fields: &HeaderMap) -> Option<&'static str> {
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    let mut codings = fields.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        let is_repeated =
            lengths.next().is_some() || length.is_some_and(|value| value.as_bytes().contains(&b','));
        return is_repeated.then_some("more than one Content-Length");
    };
    let is_chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    let is_alone = codings.next().is_none() && length.is_none();
    (!is_chunked || !is_alone).then_some("a Transfer-Encoding that is not one chunked alone")
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn an_answer_has_one_length_or_one_chunked_and_nothing_beside_it() {
        let (lengths, coding) =
            ("more than one Content-Length", "a Transfer-Encoding that is not one chunked alone");
        let (length, te) = ("content-length", "transfer-encoding");
        let rows = [
            (vec![], None),
            (vec![(length, "5")], None),
            (vec![(te, "chunked")], None),
            (vec![(te, " Chunked ")], None),
            (vec![(length, "5"), (length, "5")], Some(lengths)),
            (vec![(length, "5, 5")], Some(lengths)),
            (vec![(length, "5"), (te, "chunked")], Some(coding)),
            (vec![(te, "gzip, chunked")], Some(coding)),
            (vec![(te, "chunked"), (te, "chunked")], Some(coding)),
        ];
        for (fields, expected) in rows {
            let mut map = HeaderMap::new();
            for (name, value) in &fields {
                map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            assert_eq!(ambiguity(&map), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_length_is_one_decimal_number() {
        for (value, sound) in
            [("0", true), ("17", true), ("", false), ("+1", false), ("01", false), ("1,1", false)]
        {
            assert_eq!(is_length(value.as_bytes()), sound, "{value}");
        }
    }
}
