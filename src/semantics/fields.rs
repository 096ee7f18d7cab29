//! Which fields a message keeps on its way through (RFC 9110 §7.6), and the names that a reader may confuse.
//!
//! Everything that is not named here passes, in its order and with all its lines. `Host`, framing, and what the proxy
//! says itself (`Cache-Status`, `Age`, request ids) are left to whoever writes the message.

use std::collections::HashSet;

use http::header::{
    ALT_SVC, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, TRANSFER_ENCODING, VIA,
};
use http::{HeaderMap, HeaderValue};

use super::list::tokens;

/// The fields with which a call goes upstream that is passed through: those of the client without hop-by-hop fields
/// (those that `Connection` names included), framing, `Host`, `Expect`, and whatever tells of the client's address, host
/// or original path; with our own `Via` element after those that are there.
#[must_use]
pub fn forwardable_request(fields: &HeaderMap, own_via: HeaderValue) -> HeaderMap {
    let nominated = nominated(fields);
    // What is said by who writes the message comes on top: `Via`, the host, an id, a length.
    let mut kept = HeaderMap::with_capacity(fields.keys_len() + 4);
    for (name, value) in fields {
        if !goes_upstream(name.as_str()) || nominated.contains(name) {
            continue;
        }
        let mut value = value.clone();
        if name == AUTHORIZATION {
            // Keeps it out of HPACK's table and of every Debug output (RFC 7541 §7.1.3).
            value.set_sensitive(true);
        }
        kept.append(name, value);
    }
    join_cookies(&mut kept);
    kept.append(VIA, own_via);
    kept
}

/// The same of fields that are nobody else's, with the client's `Host`, where it had one, still in its place: whoever writes
/// the call puts ours there. Of most requests nothing else ends here, and no name comes twice; those stay as they are, and no
/// name is looked up to be put into another map.
#[must_use]
pub fn pass_on(mut fields: HeaderMap, own_via: HeaderValue) -> HeaderMap {
    let goes = |name: &HeaderName| name == HOST || goes_upstream(name.as_str());
    if fields.keys_len() != fields.len() || !fields.keys().all(goes) {
        return forwardable_request(&fields, own_via);
    }
    if let Some(authorization) = fields.get_mut(AUTHORIZATION) {
        authorization.set_sensitive(true);
    }
    fields.append(VIA, own_via);
    fields
}

/// Whether a request's field does not end at this hop, as far as its name tells. The names that most requests have are known
/// to go: a test asks the rules of each.
pub(crate) fn goes_upstream(name: &str) -> bool {
    is_plain(name) || !with_hyphens(name, stays_here)
}

/// Whether it is one of the names that most requests have, none of which stays here.
fn is_plain(name: &str) -> bool {
    match name.len() {
        6 => name == "accept",
        10 => name == "user-agent",
        12 => matches!(name, "x-request-id" | "content-type"),
        13 => name == "authorization",
        14 => name == "x-as-workspace",
        15 => matches!(name, "accept-encoding" | "accept-language"),
        _ => false,
    }
}

/// Makes one line of the cookies that HTTP/2 lets a client send in several (RFC 9113 §8.2.3): behind us may be HTTP/1.1.
fn join_cookies(fields: &mut HeaderMap) {
    if !fields.contains_key(COOKIE) {
        return;
    }
    let lines: Vec<&[u8]> = fields.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1
        && let Ok(line) = HeaderValue::from_bytes(&lines.join(b"; ".as_slice()))
    {
        fields.insert(COOKIE, line);
    }
}

/// The fields with which an upstream answer goes downstream: without hop-by-hop fields, `Trailer` and framing.
/// `Content-Length` stays where it is the message's framing, so that an answer to HEAD keeps it.
#[must_use]
pub fn forwardable_response(mut fields: HeaderMap) -> HeaderMap {
    if fields.iter().all(|(name, _)| goes_downstream(name)) && fields.keys_len() == fields.len() {
        // Nothing of it is to go, and nothing is said twice.
        fields.reserve(ADDED);
        return fields;
    }
    let nominated = nominated(&fields);
    // RFC 9112 §6.3: beside Transfer-Encoding a length counts for nothing, and one that is repeated is none.
    let length_counts =
        !fields.contains_key(TRANSFER_ENCODING) && fields.get_all(CONTENT_LENGTH).iter().nth(1).is_none();
    let mut kept = HeaderMap::with_capacity(fields.keys_len() + ADDED);
    let mut keep = None;
    for (name, value) in fields {
        // A further line of a field comes without its name.
        if let Some(name) = name {
            let goes = (name != CONTENT_LENGTH || length_counts)
                && !nominated.contains(&name)
                && goes_downstream(&name);
            keep = goes.then_some(name);
        }
        if let Some(name) = &keep {
            kept.append(name, value);
        }
    }
    kept
}

/// What every answer gets on top: `Cache-Status`, `Via`, the request's id.
const ADDED: usize = 3;

/// Whether an answer's field does not end at this hop, as far as its name tells. Without `Connection` and a transfer coding,
/// which do, no other is named, and a length is the framing.
fn goes_downstream(name: &HeaderName) -> bool {
    // RFC 7838 §3.1: `Alt-Svc` speaks of the edge's own address, and clients would take it for ours.
    !is_hop_by_hop(name.as_str()) && name != ALT_SVC
}

/// Whether a reader behind us might take this field for the path, or the host, that the client asked for.
fn overrides_path(name: &str) -> bool {
    name.starts_with("x-original-")
        || name.starts_with("x-rewrite-")
        || matches!(name, "x-override-url" | "x-host" | "x-http-host-override")
}

/// Whether a field tells of the client's address: a proxy or a CDN before us has put it there for us, or the client for
/// whoever believes it.
fn tells_address(name: &str) -> bool {
    name.starts_with("x-forwarded")
        || matches!(
            name,
            "forwarded"
                | "client-ip"
                | "x-client-ip"
                | "true-client-ip"
                | "x-cluster-client-ip"
                | "x-real-ip"
                | "x-remote-ip"
                | "x-remote-addr"
                | "x-originating-ip"
                | "x-envoy-external-address"
                | "x-azure-clientip"
                | "x-azure-socketip"
                | "cf-connecting-ip"
                | "cf-connecting-ipv6"
                | "fastly-client-ip"
                | "fly-client-ip"
        )
}

/// Whether a reader behind us might take this field for the method (Q9).
pub(crate) fn overrides_method(name: &str) -> bool {
    matches!(name, "x-http-method-override" | "x-http-method" | "x-method-override")
}

/// Asks `question` of a name as readers see it that hand fields on as environment variables: `_` is a hyphen there, and
/// one at either end is overlooked. A name without `_` is asked about as it is; one that is longer than any that matters
/// is never asked about.
pub(crate) fn with_hyphens(name: &str, question: impl FnOnce(&str) -> bool) -> bool {
    const LONGEST: usize = 64;
    if !name.contains('_') {
        return question(name);
    }
    let mut buffer = [0; LONGEST];
    let Some(buffer) = buffer.get_mut(..name.len()) else { return false };
    for (to, from) in buffer.iter_mut().zip(name.bytes()) {
        *to = if from == b'_' { b'-' } else { from };
    }
    std::str::from_utf8(buffer).is_ok_and(|name| question(name.trim_matches('-')))
}

/// The fields that `Connection` names (RFC 9110 §7.6.1).
fn nominated(fields: &HeaderMap) -> HashSet<HeaderName> {
    let lines = fields.get_all(CONNECTION).iter();
    lines
        .flat_map(|line| tokens(line.as_bytes()))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect()
}

/// Whether a request's field ends at this hop.
fn stays_here(name: &str) -> bool {
    is_hop_by_hop(name)
        || overrides_path(name)
        || tells_address(name)
        || matches!(name, "host" | "content-length" | "expect" | "http2-settings")
        || name.starts_with("proxy-")
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::via;
    use http::Version;
    use proptest::prelude::*;

    fn fields(lines: &[(&str, &str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        fields
    }

    fn lines(fields: &HeaderMap) -> Vec<(&str, &str)> {
        fields.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
    }

    #[test]
    fn what_is_end_to_end_goes_upstream_with_every_line_in_order() {
        let sent = [
            ("authorization", "Bearer a"),
            ("accept", "text/html"),
            ("accept", "application/json"),
            ("cookie", "a=b"),
            ("user-agent", "x"),
            ("x-as-workspace", "w"),
            ("x-request-id", "r"),
            ("content-type", "application/json"),
            ("via", "1.1 sidecar"),
        ];
        let mut expected = sent.to_vec();
        expected.push(("via", "1.1 instantly-proxy-7f3a"));
        assert_eq!(
            lines(&forwardable_request(
                &fields(&sent),
                via::element(Version::HTTP_11, "instantly-proxy-7f3a")
            )),
            expected
        );
    }

    /// RFC 9110 §7.6.1, Q5, Q8, Q15.
    #[test]
    fn what_ends_at_this_hop_does_not_go_upstream() {
        for name in [
            "connection",
            "keep-alive",
            "proxy-authorization",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "http2-settings",
            "expect",
            "host",
            "content-length",
            "forwarded",
            "x-forwarded",
            "x-forwarded-for",
            "x_forwarded_host",
            "x-real-ip",
            "client-ip",
            "x-client-ip",
            "x_client_ip",
            "true-client-ip",
            "x-cluster-client-ip",
            "cf-connecting-ip",
            "x-original-url",
            "x-original-host",
            "x-original-for",
            "x-rewrite-url",
            "x-host",
            "x_original_url",
        ] {
            let kept = forwardable_request(
                &fields(&[(name, "x"), ("accept", "*/*")]),
                via::element(Version::HTTP_11, "p"),
            );
            assert_eq!(lines(&kept), [("accept", "*/*"), ("via", "1.1 p")], "{name}");
        }
    }

    #[test]
    fn what_is_passed_on_is_what_goes_upstream_and_the_host_that_is_replaced() {
        let via = || via::element(Version::HTTP_11, "p");
        let sorted = |fields: &HeaderMap| {
            let mut lines: Vec<_> =
                lines(fields).into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
            lines.sort();
            (lines, fields.get(AUTHORIZATION).is_some_and(HeaderValue::is_sensitive))
        };
        let plain = [
            ("host", "of the client"),
            ("authorization", "Bearer a"),
            ("accept", "*/*"),
            ("via", "1.1 sidecar"),
        ];
        for more in [
            &[] as &[_],
            &[("x-request-id", "r")],
            &[("connection", "keep-alive")],
            &[("connection", "x-debug"), ("x-debug", "1")],
            &[("content-length", "3")],
            &[("cookie", "a=1"), ("cookie", "b=2")],
            &[("accept", "text/html")],
            &[("x-forwarded-for", "10.0.0.1")],
            &[("x_original_url", "/")],
        ] {
            for sent in [[&plain, more].concat(), more.to_vec()] {
                let sent = fields(&sent);
                let mut expected = forwardable_request(&sent, via());
                assert!(!expected.contains_key(HOST));
                expected.insert(HOST, HeaderValue::from_static("ours"));
                let mut kept = pass_on(sent.clone(), via());
                kept.insert(HOST, HeaderValue::from_static("ours"));
                assert_eq!(sorted(&kept), sorted(&expected), "{sent:?}");
            }
        }
    }

    /// RFC 9110 §7.6.1: Java's client sends the first of these.
    #[test]
    fn fields_that_connection_names_are_removed() {
        let sent = [
            ("connection", "Upgrade, HTTP2-Settings"),
            ("connection", "X-Debug"),
            ("http2-settings", "AAMAAABk"),
            ("x-debug", "1"),
            ("x-debug", "2"),
            ("x-other", "3"),
        ];
        assert_eq!(
            lines(&forwardable_request(&fields(&sent), via::element(Version::HTTP_11, "p"))),
            [("x-other", "3"), ("via", "1.1 p")]
        );
    }

    /// RFC 9113 §8.2.3.
    #[test]
    fn cookies_in_several_lines_become_one() {
        let sent = [("cookie", "a=1"), ("accept", "*/*"), ("cookie", "b=2; c=3")];
        assert_eq!(
            lines(&forwardable_request(&fields(&sent), via::element(Version::HTTP_11, "p"))),
            [("cookie", "a=1; b=2; c=3"), ("accept", "*/*"), ("via", "1.1 p")]
        );
    }

    /// T11.
    #[test]
    fn the_token_is_marked_as_sensitive() {
        let kept = forwardable_request(
            &fields(&[("authorization", "Bearer secret")]),
            via::element(Version::HTTP_11, "p"),
        );
        assert!(kept[AUTHORIZATION].is_sensitive());
        assert!(!format!("{kept:?}").contains("secret"));
    }

    #[test]
    fn an_answer_keeps_what_is_end_to_end() {
        let sent = [
            ("content-type", "application/json"),
            ("content-length", "2"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("x-hop", "2"),
            ("keep-alive", "timeout=5"),
            ("trailer", "x-sum"),
            ("upgrade", "h2"),
            ("age", "3"),
            ("alt-svc", "h3=\":443\""),
            ("cache-status", "edge; hit"),
            ("proxy-status", "edge"),
            ("via", "1.1 edge"),
            ("server", "edge"),
            ("date", "Sat, 01 Jan 2000 00:00:00 GMT"),
        ];
        assert_eq!(
            lines(&forwardable_response(fields(&sent))),
            [
                ("content-type", "application/json"),
                ("content-length", "2"),
                ("set-cookie", "a=1"),
                ("set-cookie", "b=2"),
                ("age", "3"),
                ("cache-status", "edge; hit"),
                ("proxy-status", "edge"),
                ("via", "1.1 edge"),
                ("server", "edge"),
                ("date", "Sat, 01 Jan 2000 00:00:00 GMT"),
            ]
        );
    }

    /// RFC 9112 §6.3; G2.
    #[test]
    fn a_length_that_is_not_the_framing_is_dropped() {
        for sent in [
            &[("content-length", "2"), ("transfer-encoding", "chunked")] as &[_],
            &[("content-length", "2"), ("content-length", "2")],
        ] {
            assert_eq!(lines(&forwardable_response(fields(sent))), [], "{sent:?}");
        }
    }

    #[test]
    fn a_plain_name_is_one_that_goes() {
        for name in [
            "accept",
            "user-agent",
            "x-request-id",
            "content-type",
            "authorization",
            "x-as-workspace",
            "accept-encoding",
            "accept-language",
        ] {
            assert!(is_plain(name) && !with_hyphens(name, stays_here), "{name}");
        }
        assert!(!is_plain("x-original-ur") && !is_plain("expect") && !is_plain("host"));
    }

    #[test]
    fn an_answer_that_loses_nothing_stays_as_it_is() {
        let sent = [
            ("content-type", "application/json"),
            ("content-length", "2"),
            ("set-cookie", "a=1"),
            ("server", "edge"),
        ];
        assert_eq!(lines(&forwardable_response(fields(&sent))), sent);
    }

    #[test]
    fn a_name_with_underscores_is_seen_with_hyphens() {
        for (name, expected) in
            [("x-host", true), ("x_host", true), ("_x-host_", true), ("xhost", false), ("x-host-", false)]
        {
            assert_eq!(with_hyphens(name, overrides_path), expected, "{name}");
        }
        assert!(!with_hyphens(&"_".repeat(1000), |_| true));
    }

    proptest! {
        #[test]
        fn no_head_makes_it_panic_and_none_loses_other_fields(
            connection in r#"[ab,"\\ -]{0,20}"#,
            names in prop::collection::vec("c[a-z_-]{0,8}", 0..6),
        ) {
            let mut sent = fields(&[("connection", &connection)]);
            for name in &names {
                sent.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_static("1"));
            }
            let expected = names.iter().filter(|name| *name != "connection").count();
            prop_assert_eq!(forwardable_request(&sent, via::element(Version::HTTP_11, "p")).len(), expected + 1);
            prop_assert_eq!(forwardable_response(sent).len(), expected);
        }
    }
}
