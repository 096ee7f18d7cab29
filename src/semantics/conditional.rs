//! Conditional reads: whether `If-None-Match` asks for a 304 (RFC 9110 §13.1.2).
//!
//! Other preconditions are left to the upstream, or ignored on a stored response, which has no modification date.

use http::HeaderMap;
use http::header::IF_NONE_MATCH;

use super::list::{Quoting, elements};

/// Whether a GET or HEAD with these fields is answered 304 where the representation exists and has this entity tag. A
/// malformed tag matches nothing.
#[must_use]
pub fn not_modified(fields: &HeaderMap, etag: &[u8]) -> bool {
    fields.get_all(IF_NONE_MATCH).iter().any(|line| line_matches(line.as_bytes(), etag))
}

/// Whether one line of `If-None-Match` names this entity tag.
#[must_use]
pub fn line_matches(line: &[u8], etag: &[u8]) -> bool {
    // Nearly always the client sends back what it was given: what is stored is a tag, so that the quotes tell enough.
    if etag == line && matches!(etag, [b'"', .., b'"']) {
        return true;
    }
    let Some(current) = opaque_tag(etag) else { return false };
    line.trim_ascii() == b"*"
        || elements(line, Quoting::EntityTag).any(|element| opaque_tag(element) == Some(current))
}

/// What the weak comparison (RFC 9110 §8.8.3.2) looks at: the tag with its quotes, whether weak or strong.
fn opaque_tag(tag: &[u8]) -> Option<&[u8]> {
    let opaque = tag.strip_prefix(b"W/").unwrap_or(tag);
    super::validator::is_opaque_tag(opaque).then_some(opaque)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn asks(lines: &[&str], etag: &str) -> bool {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append(IF_NONE_MATCH, HeaderValue::from_str(line).unwrap());
        }
        not_modified(&fields, etag.as_bytes())
    }

    #[test]
    fn if_none_match_compares_as_rfc_9110_13_1_2_says() {
        for (lines, etag, expected) in [
            (&[] as &[&str], r#""a""#, false),
            (&[r#""a""#], r#""a""#, true),
            (&[r#""b""#], r#""a""#, false),
            (&[r#""A""#], r#""a""#, false),
            // §8.8.3.2: weak comparison, both ways.
            (&[r#"W/"a""#], r#""a""#, true),
            (&[r#""a""#], r#"W/"a""#, true),
            (&[r#"w/"a""#], r#""a""#, false),
            (&["*"], r#""a""#, true),
            (&[" * "], r#""a""#, true),
            (&[r#""b", W/"c" ,"a""#], r#""a""#, true),
            (&[r#""b""#, r#""a""#], r#""a""#, true),
            (&[r#""b"#, r#""a""#], r#""a""#, true),
            (&[r#""a,b""#], r#""a,b""#, true),
            (&[r#""a,b""#], r#""a""#, false),
            (&[r#""a\""#], r#""a\""#, true),
            (&[r#""""#], r#""""#, true),
            // Malformed.
            (&["a"], r#""a""#, false),
            (&["a"], "a", false),
            (&[r#"""#], r#"""#, false),
            (&[r#""*""#], r#""a""#, false),
            (&[""], r#""a""#, false),
        ] {
            assert_eq!(asks(lines, etag), expected, "{lines:?} {etag}");
        }
    }

    proptest! {
        #[test]
        fn no_field_makes_it_panic(line in r#"[aW/*",\\ ]{0,30}"#) {
            let _ = asks(&[&line], r#""a""#);
        }

        #[test]
        fn a_tag_is_found_wherever_it_stands(tags in prop::collection::vec("[a-z,]{0,4}", 1..6), at in any::<prop::sample::Index>()) {
            let quoted: Vec<String> = tags.iter().map(|tag| format!("\"{tag}\"")).collect();
            prop_assert!(asks(&[&quoted.join(", ")], &quoted[at.index(quoted.len())]));
        }
    }
}
