//! `shared.url`: from its text to servers and back.

use std::net::Ipv6Addr;

use super::parse;
use super::{StoreAddress, StoreSettings, StoreTransport};

/// What the text of `shared.url` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Urls {
    pub(super) scheme: Scheme,
    pub(super) addresses: Vec<StoreAddress>,
    pub(super) database: Option<u16>,
}

/// Before `://`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Redis,
    Rediss,
}

const PORT: u16 = 6379;
/// Which database a URL names, at most: servers have 16 unless they are told otherwise.
const LAST_DATABASE: u16 = 1023;

/// One URL or several, with commas between them: of one scheme, and of one database.
pub(super) fn urls(text: &str) -> Option<Urls> {
    let mut all = text.split(',').map(|url| self::url(url.trim()));
    let (scheme, first, database) = all.next()??;
    let mut addresses = vec![first];
    for url in all {
        let (its_scheme, address, its_database) = url?;
        if its_scheme != scheme || its_database != database || addresses.contains(&address) {
            return None;
        }
        addresses.push(address);
    }
    Some(Urls { scheme, addresses, database })
}

/// The text that [`urls`] reads back.
pub(super) fn urls_text(settings: &StoreSettings) -> String {
    let scheme = match settings.transport {
        StoreTransport::Plain => "redis",
        StoreTransport::Tls { .. } => "rediss",
    };
    let database = match settings.database {
        0 => String::new(),
        database => format!("/{database}"),
    };
    let urls = settings.addresses.iter().map(|address| format!("{scheme}://{address}{database}"));
    urls.collect::<Vec<_>>().join(",")
}

/// Scheme, host, port and database. A user has keys of their own: a password in a URL ends up in logs.
fn url(text: &str) -> Option<(Scheme, StoreAddress, Option<u16>)> {
    let (scheme, rest) = match text.split_once("://")? {
        ("redis", rest) => (Scheme::Redis, rest),
        ("rediss", rest) => (Scheme::Rediss, rest),
        _ => return None,
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let database = match path {
        "" => None,
        number if number.bytes().all(|byte| byte.is_ascii_digit()) => Some(number.parse().ok()?),
        _ => return None,
    };
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = port.map_or(Some(PORT), |port| port.parse().ok().filter(|port| *port > 0))?;
    let sound = host.contains(':') || parse::is_host(host);
    (sound && database.is_none_or(|database| database <= LAST_DATABASE))
        .then(|| (scheme, StoreAddress::new(host, port), database))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_servers_of_one_scheme_and_database() {
        for (text, addresses, database) in [
            ("redis://127.0.0.1:6379/0", "127.0.0.1:6379", Some(0)),
            ("rediss://cache.example", "cache.example:6379", None),
            ("redis://[::1]:7000/3", "[::1]:7000", Some(3)),
            ("rediss://a:1, rediss://b:2,rediss://c:3", "a:1 b:2 c:3", None),
        ] {
            let urls = urls(text).unwrap_or_else(|| panic!("{text}"));
            let all: Vec<_> = urls.addresses.iter().map(ToString::to_string).collect();
            assert_eq!((all.join(" ").as_str(), urls.database), (addresses, database), "{text}");
        }
        for text in [
            "",
            "127.0.0.1:6379",
            "http://a",
            "redis://",
            "redis://:6379",
            "redis://a:0",
            "redis://a:70000",
            "redis://a:",
            "redis://a/x",
            "redis://a/0/1",
            "redis://a/-1",
            "redis://a/1024",
            "redis://user:secret@a",
            "redis://:secret@a:6379",
            "redis://a?db=1",
            "redis://a#1",
            "redis://[::1",
            "redis://[::1]7",
            "redis://::1:7",
            "redis://a,rediss://b",
            "redis://a/0,redis://b/1",
            "redis://a,redis://a:6379",
            "redis://a,",
            "unix:///run/redis.sock",
        ] {
            assert_eq!(urls(text), None, "{text}");
        }
    }
}
