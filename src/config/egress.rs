//! `upstream.proxy` and what belongs to it, read into a [`ForwardProxy`].
//!
//! The variables that other programs go by (`HTTPS_PROXY`, `NO_PROXY`) stand for the keys where those are not set.

use std::path::Path;

use http::Uri;
use http::uri::Scheme;

use super::forward_proxy::{Carries, ForwardProxy, NoProxy, ProxyAuthorization};
use super::key::Key;
use super::named::file;
use super::raw::{Raw, Refused};
use super::{Origin, files, parse};
use crate::config::files::Password;

/// What `upstream.proxy` says.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    /// That there is none.
    Nothing,
    /// Where it is, and user and password if they stand there.
    At(Uri, Option<String>),
}

/// The proxy of a text: `http://` may be left out, as in `HTTPS_PROXY`.
fn parse_proxy(text: &str) -> Option<Named> {
    if text == "none" {
        return Some(Named::Nothing);
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let (user, authority) = match rest.rsplit_once('@') {
        Some((user, authority)) => (Some(decoded(user)?), authority),
        None => (None, rest),
    };
    Some(Named::At(parse::url(&format!("{scheme}://{authority}"))?, user))
}

/// RFC 7617 §2: the name has no colon, and neither has control characters.
fn is_user_and_password(text: &str) -> bool {
    text.contains(':') && !text.contains(char::is_control)
}

/// Reads what a proxy wants to see: one line, `user:password`.
///
/// # Errors
///
/// If the file cannot be read, or holds anything else.
pub fn user_and_password(path: &Path) -> Result<Password, String> {
    let line = files::password(path)?;
    if is_user_and_password(line.expose()) {
        Ok(line)
    } else {
        Err("has no colon between user and password".to_owned())
    }
}

/// RFC 3986 §2.1.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    let mut text = String::from_utf8(decoded).ok()?;
    // A user without a password has an empty one.
    if !text.contains(':') {
        text.push(':');
    }
    is_user_and_password(&text).then_some(text)
}

/// The proxy for calls to `url` and for spans, if there is one.
pub(super) fn resolve(raw: &mut Raw, url: Option<&Uri>) -> Result<Option<ForwardProxy>, Refused> {
    // The variable is about everything that a machine asks for by `https`; the key is about the upstream.
    let is_of_all = matches!(raw.origin(Key::UpstreamProxy), Origin::Variable(name) if name.eq_ignore_ascii_case("https_proxy"));
    // Where nothing is asked for by `https`, what it says is for other programs, and may be wrong.
    let asks_by_https = url.is_none_or(|url| url.scheme() == Some(&Scheme::HTTPS))
        || raw.has_scheme(Key::TelemetryOtlpEndpoint, "https");
    if is_of_all && !asks_by_https {
        return Ok(None);
    }
    let proxy = raw.optional(Key::UpstreamProxy, parse_proxy);
    let except = raw.optional(Key::UpstreamNoProxy, NoProxy::parse);
    let authorization = file(raw, Key::UpstreamProxyAuthorizationFile, user_and_password);
    let ca_file = file(raw, Key::UpstreamProxyCaFile, files::roots);
    let (proxy, except, authorization, ca_file) = (proxy?, except?, authorization?, ca_file?);
    let Some(Named::At(proxy, given)) = proxy else {
        for (key, set) in [
            (Key::UpstreamProxyAuthorizationFile, authorization.is_some()),
            (Key::UpstreamProxyCaFile, ca_file.is_some()),
        ] {
            if set {
                return Err(raw.refuse(key, Some("stands alone"), "only together with upstream.proxy"));
            }
        }
        return Ok(None);
    };
    let mut except = except.unwrap_or_default();
    if is_of_all {
        except.extend(NoProxy::parse("localhost,127.0.0.0/8,::1").unwrap_or_default());
    }
    let authorization =
        authorization.map(ProxyAuthorization::File).or_else(|| given.map(ProxyAuthorization::Given));
    let carries = if is_of_all { Carries::Https } else { Carries::All };
    Ok(Some(ForwardProxy { url: proxy, authorization, ca_file, except, carries }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_url_whose_scheme_may_be_left_out() {
        let url = |text: &str| match parse_proxy(text) {
            Some(Named::At(url, user)) => Some((parse::url_text(&url), user)),
            Some(Named::Nothing) | None => None,
        };
        let none = None::<String>;
        assert_eq!(url("proxy:3128"), Some(("http://proxy:3128".to_owned(), none.clone())));
        assert_eq!(url("https://proxy/"), Some(("https://proxy".to_owned(), none)));
        let given = url("http://us%40er:p%3Ass@proxy:3128");
        assert_eq!(given, Some(("http://proxy:3128".to_owned(), Some("us@er:p:ss".to_owned()))));
        assert_eq!(parse_proxy("none"), Some(Named::Nothing));
        assert_eq!(url("http://a@proxy:1"), Some(("http://proxy:1".to_owned(), Some("a:".to_owned()))));
        for bad in ["socks5://proxy:1080", "http://", "http://a:%zz@proxy", "proxy/path", ""] {
            assert_eq!(parse_proxy(bad), None, "{bad}");
        }
    }
}
