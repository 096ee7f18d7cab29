//! Strong validators (RFC 9110 §8.8.3): the upstream's, or one of ours made from the body.
//!
//! The vendor documents no `ETag`; a stored response always has one, so that a client can ask conditionally.

use http::header::ETAG;
use http::{HeaderMap, HeaderValue};

/// Bytes of the hash that become a tag: enough that no two bodies of a label will ever share one.
const TAG_BYTES: usize = 16;

/// A strong entity tag of these exact bytes: the first 128 bits of their BLAKE3 hash, quoted. The same in every process.
#[must_use]
pub fn strong_etag_of(body: &[u8]) -> HeaderValue {
    let hash = blake3::hash(body).to_hex();
    HeaderValue::try_from(format!("\"{}\"", &hash[..2 * TAG_BYTES]))
        .expect("hexadecimal digits in quotes are a valid field value")
}

/// The upstream's entity tag if there is one alone, well formed and strong.
#[must_use]
pub fn upstream_strong_etag(fields: &HeaderMap) -> Option<HeaderValue> {
    let mut tags = fields.get_all(ETAG).iter();
    let tag = tags.next().filter(|tag| is_opaque_tag(tag.as_bytes()))?;
    tags.next().is_none().then(|| tag.clone())
}

/// Whether this is an `opaque-tag`: quotes around bytes that are no quotes, spaces or control characters.
pub(super) fn is_opaque_tag(tag: &[u8]) -> bool {
    let inner = tag.strip_prefix(b"\"").and_then(|tag| tag.strip_suffix(b"\""));
    inner.is_some_and(|inner| inner.iter().all(|byte| matches!(byte, 0x21 | 0x23..=0x7E | 0x80..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_tag_is_strong_and_follows_the_bytes() {
        let tag = strong_etag_of(b"{}");
        assert_eq!(tag.len(), 34);
        assert!(is_opaque_tag(tag.as_bytes()));
        assert_eq!(tag, strong_etag_of(b"{}"));
        assert_ne!(tag, strong_etag_of(b"{ }"));
    }

    /// RFC 9110 §8.8.3.
    #[test]
    fn only_one_well_formed_strong_tag_is_taken_over() {
        for (lines, expected) in [
            (&[] as &[&str], false),
            (&[r#""a""#], true),
            (&[r#""""#], true),
            (&[r#"W/"a""#], false),
            (&["a"], false),
            (&[r#"""#], false),
            (&[r#""a"b""#], false),
            (&[r#""a b""#], false),
            (&[r#""a", "b""#], false),
            (&[r#""a""#, r#""a""#], false),
        ] {
            let mut fields = HeaderMap::new();
            for line in lines {
                fields.append(ETAG, HeaderValue::from_str(line).unwrap());
            }
            let tag = upstream_strong_etag(&fields);
            assert_eq!(tag.is_some(), expected, "{lines:?}");
            assert!(tag.is_none_or(|tag| tag == lines[0]));
        }
    }
}
