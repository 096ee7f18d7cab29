//! `Vary` (RFC 9110 §12.5.5): whether an answer depends on something that a fetch does not fix.

use http::HeaderMap;
use http::header::VARY;

use super::list::tokens;

/// Whether `Vary` names nothing but `Accept-Encoding`, which a fetch fixes, and `Origin`, which it never sends. `*` is
/// something else.
#[must_use]
pub fn vary_is_inert(fields: &HeaderMap) -> bool {
    fields
        .get_all(VARY)
        .iter()
        .flat_map(|line| tokens(line.as_bytes()))
        .all(|name| name.eq_ignore_ascii_case(b"accept-encoding") || name.eq_ignore_ascii_case(b"origin"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    /// G4.
    #[test]
    fn only_accept_encoding_and_origin_are_inert() {
        for (lines, expected) in [
            (&[] as &[&str], true),
            (&[""], true),
            (&["Accept-Encoding"], true),
            (&["origin, accept-encoding"], true),
            (&["Origin", "Accept-Encoding"], true),
            (&["*"], false),
            (&["Origin, Authorization"], false),
            (&["Origin", "Cookie"], false),
            (&["x-as-workspace"], false),
        ] {
            let mut fields = HeaderMap::new();
            for line in lines {
                fields.append(VARY, HeaderValue::from_static(line));
            }
            assert_eq!(vary_is_inert(&fields), expected, "{lines:?}");
        }
    }
}
