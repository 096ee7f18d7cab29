//! Cookies of the network edge in front of the upstream: they tell machines apart, not tenants.
//!
//! HTTP libraries with a cookie jar send them back unasked; any other cookie may be a session.

use http::HeaderValue;

/// How the names of edge cookies begin: those of Cloudflare and of Amazon's load balancers. Names have a case.
const EDGE_PREFIXES: &[&[u8]] = &[b"__cf", b"_cf", b"cf_", b"AWSALB"];

/// Whether every cookie in this `Cookie` line is the edge's.
#[must_use]
pub fn sends_edge_cookies_only(cookie: &[u8]) -> bool {
    let mut pairs = cookie.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    pairs.all(|pair| pair.is_empty() || is_edge(pair))
}

/// Whether every one of these `Set-Cookie` lines sets a cookie of the edge; none at all is fine.
#[must_use]
pub fn sets_edge_cookies_only<'a>(set_cookies: impl IntoIterator<Item = &'a HeaderValue>) -> bool {
    set_cookies.into_iter().all(|line| is_edge(line.as_bytes().trim_ascii()))
}

fn is_edge(pair: &[u8]) -> bool {
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    pair.contains(&b'=') && EDGE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_edge_cookies_are_the_edges() {
        for (line, expected) in [
            ("", true),
            ("__cf_bm=x", true),
            ("_cfuvid=x; cf_clearance=y;AWSALBCORS=z; ", true),
            ("__cf_bm=x; session=y", false),
            ("session=__cf_bm=x", false),
            ("__CF_BM=x", false),
            ("awsalb=x", false),
            ("__cf_bm", false),
            ("=x", false),
        ] {
            assert_eq!(sends_edge_cookies_only(line.as_bytes()), expected, "{line}");
        }
    }

    /// G4.
    #[test]
    fn only_answers_that_set_edge_cookies_alone_may_lose_them() {
        for (lines, expected) in [
            (&[] as &[&str], true),
            (&["__cf_bm=x; path=/; HttpOnly", "_cfuvid=y"], true),
            (&["__cf_bm=x", "session=y"], false),
            (&["session=y; __cf_bm=x"], false),
            (&[""], false),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| HeaderValue::from_static(line)).collect();
            assert_eq!(sets_edge_cookies_only(&lines), expected, "{lines:?}");
        }
    }
}
