//! Media types (RFC 9110 §8.3.1): whether an answer says that it is JSON.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// Whether there is one `Content-Type` and it is `application/json`, in any case, with or without parameters. What the
/// body really is, its characters included, is left to the response gate.
#[must_use]
pub fn is_json(fields: &HeaderMap) -> bool {
    let mut types = fields.get_all(CONTENT_TYPE).iter();
    let (Some(media_type), None) = (types.next(), types.next()) else { return false };
    let essence = media_type.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

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
