//! Media types (RFC 9110 §8.3.1): whether an answer says that it is JSON.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

/// Whether there is one `Content-Type` and it is `application/json`, in any case, with or without parameters. What the
/// body really is, its characters included, is left to the response gate.
#[must_use]
pub fn is_json(fields: &HeaderMap) -> bool {
    let mut types = fields.get_all(CONTENT_TYPE).iter();
    let (Some(media_type), None) = (types.next(), types.next()) else { return false };
    let essence = media_type.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

/// What the vendor sends, and the nearest to it: stored without a copy each.
pub(crate) static COMMON: [HeaderValue; 2] = [
    HeaderValue::from_static("application/json; charset=utf-8"),
    HeaderValue::from_static("application/json"),
];

/// The `Content-Type` of an answer that is JSON, to be stored: a slice of its head would keep the connection's whole read
/// buffer alive.
#[must_use]
pub fn to_keep(fields: &HeaderMap) -> HeaderValue {
    let [_, json] = &COMMON;
    let Some(value) = fields.get(CONTENT_TYPE) else { return json.clone() };
    let known = COMMON.iter().find(|known| *known == value).cloned();
    known.or_else(|| HeaderValue::from_bytes(value.as_bytes()).ok()).unwrap_or_else(|| json.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn what_is_kept_is_the_same_and_holds_nothing_of_the_head() {
        for text in ["application/json; charset=utf-8", "application/json", "Application/JSON;charset=x"] {
            let head = Bytes::from(text.as_bytes().to_vec());
            let value = HeaderValue::from_maybe_shared(head.clone()).unwrap();
            let fields = HeaderMap::from_iter([(CONTENT_TYPE, value)]);
            let kept = to_keep(&fields);
            drop(fields);
            assert_eq!(kept, text);
            assert!(head.is_unique(), "{text}");
        }
        assert_eq!(to_keep(&HeaderMap::new()), "application/json");
    }

    /// RFC 9110 §8.3.1; G3.
    #[test]
    fn json_is_application_json_alone() {
        for (lines, expected) in [
            (&[] as &[&str], false),
            (&["application/json"], true),
            (&["Application/JSON; charset=utf-8"], true),
            (&["application/json ;charset=utf-8"], true),
            (&["application/json;"], true),
            (&["application/problem+json"], false),
            (&["application/jsonp"], false),
            (&["application/json, text/html"], false),
            (&["text/html; x=application/json"], false),
            (&["application/json", "application/json"], false),
            (&[""], false),
        ] {
            let mut fields = HeaderMap::new();
            for line in lines {
                fields.append(CONTENT_TYPE, HeaderValue::from_static(line));
            }
            assert_eq!(is_json(&fields), expected, "{lines:?}");
        }
    }
}
