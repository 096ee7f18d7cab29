//! [`ForwardProxy`]: the forward proxy through which calls and traces leave, and for which hosts not.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use http::Uri;
use http::uri::Scheme;

use super::host::is_host;

/// `upstream.proxy`: a forward proxy, which opens a tunnel by CONNECT (RFC 9110 §9.3.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardProxy {
    /// Scheme and authority: with `https` it is spoken to by TLS.
    pub url: Uri,
    /// What it wants to see.
    pub authorization: Option<ProxyAuthorization>,
    /// PEM file of roots to trust for TLS to it, in place of the platform's.
    pub ca_file: Option<PathBuf>,
    /// What does not go through it.
    pub except: NoProxy,
    /// What goes through it otherwise.
    pub carries: Carries,
}

/// Which URLs a forward proxy is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carries {
    /// Every one: the operator named it for what is asked here.
    #[default]
    All,
    /// Those of `https` alone, as `HTTPS_PROXY` means it.
    Https,
}

impl ForwardProxy {
    /// One without anything else.
    #[must_use]
    pub fn at(url: Uri) -> Self {
        Self { url, authorization: None, ca_file: None, except: NoProxy::default(), carries: Carries::All }
    }

    /// Whether what is at this URL is asked for through it.
    #[must_use]
    pub fn is_for(&self, url: &Uri) -> bool {
        let is_secure = url.scheme() == Some(&Scheme::HTTPS);
        if self.carries == Carries::Https && !is_secure {
            return false;
        }
        let usual = if is_secure { 443 } else { 80 };
        let port = url.port_u16().unwrap_or(usual);
        !self.except.names(url.host().unwrap_or_default(), port)
    }
}

/// User and password, for the scheme `Basic` (RFC 7617).
#[derive(Clone, PartialEq, Eq)]
pub enum ProxyAuthorization {
    /// In a file, as `user:password`.
    File(PathBuf),
    /// In the URL, as `HTTPS_PROXY` has it: `user:password`.
    Given(String),
}

impl fmt::Debug for ProxyAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Given(_) => f.write_str("Given(***)"),
        }
    }
}

/// `upstream.no_proxy`: hosts that are not asked for through the proxy, as `NO_PROXY` says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<Except>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Except {
    All,
    /// This name and all below it, at this port if one is said.
    Name(String, Option<u16>),
    /// A network: its first address and the bits that count.
    Net(IpAddr, u8, Option<u16>),
}

impl NoProxy {
    /// Of a list with commas: `*`, names (with all below them; a leading dot changes nothing), addresses, networks such as
    /// `10.0.0.0/8`, each but the first and last with an optional port.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let members = text.split([',', ' ']).map(str::trim).filter(|member| !member.is_empty());
        members.map(Except::parse).collect::<Option<_>>().map(Self)
    }

    /// The list again.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// Names what the other list names, too.
    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether a host is named, in brackets or without.
    #[must_use]
    pub fn names(&self, host: &str, port: u16) -> bool {
        let host =
            host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok();
        self.0.iter().any(|except| match except {
            Except::All => true,
            Except::Name(name, of) => {
                let below = host.strip_suffix(name.as_str());
                of.is_none_or(|of| of == port)
                    && below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            Except::Net(first, bits, of) => {
                of.is_none_or(|of| of == port)
                    && address.is_some_and(|address| prefix(address, *bits) == prefix(*first, *bits))
            }
        })
    }
}

impl Except {
    fn parse(member: &str) -> Option<Self> {
        if member == "*" {
            return Some(Self::All);
        }
        if let Some((network, bits)) = member.split_once('/') {
            let (network, bits) = (network.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?);
            let most = if network.is_ipv4() { 32 } else { 128 };
            return (bits <= most).then_some(Self::Net(network, bits, None));
        }
        let (host, port) = match member.rsplit_once(':') {
            _ if member.parse::<IpAddr>().is_ok() => (member, None),
            Some((host, port)) => (host, Some(port.parse::<u16>().ok()?)),
            None => (member, None),
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Self::Net(address, if address.is_ipv4() { 32 } else { 128 }, port));
        }
        let name = host.trim_start_matches("*.").trim_start_matches('.').trim_end_matches('.');
        is_host(name).then(|| Self::Name(name.to_ascii_lowercase(), port))
    }
}

impl fmt::Display for Except {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = match self {
            Self::All => return f.write_str("*"),
            Self::Name(name, port) => {
                f.write_str(name)?;
                port
            }
            Self::Net(IpAddr::V6(address), 128, Some(port)) => return write!(f, "[{address}]:{port}"),
            Self::Net(address, bits, port) => {
                let is_one = *bits == if address.is_ipv4() { 32 } else { 128 };
                if is_one {
                    write!(f, "{address}")?
                } else {
                    write!(f, "{address}/{bits}")?
                }
                port
            }
        };
        port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The bits of an address that tell a network.
fn prefix(address: IpAddr, bits: u8) -> Option<(bool, u128)> {
    let (width, value) = match address.to_canonical() {
        IpAddr::V4(address) => (32, u128::from(u32::from(address))),
        IpAddr::V6(address) => (128, u128::from(address)),
    };
    let dropped = u32::from(width - bits.min(width));
    Some((width == 32, value.checked_shr(dropped).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_named_by_name_network_and_port() {
        for (list, host, port, named) in [
            ("example.com", "example.com", 443, true),
            ("example.com", "API.example.com.", 443, true),
            (".example.com", "example.com", 443, true),
            ("*.example.com", "a.b.example.com", 443, true),
            ("example.com", "badexample.com", 443, false),
            ("example.com:8443", "example.com", 443, false),
            ("a, example.com:443", "example.com", 443, true),
            ("*", "anything", 1, true),
            ("10.0.0.0/8", "10.200.3.4", 443, true),
            ("10.0.0.0/8", "11.0.0.1", 443, false),
            ("10.0.0.0/8", "10.example.com", 443, false),
            ("0.0.0.0/0", "11.0.0.1", 443, true),
            ("0.0.0.0/0", "::1", 443, false),
            ("192.0.2.1", "192.0.2.1", 443, true),
            ("192.0.2.1:80", "192.0.2.1", 443, false),
            ("fd00::/8", "[fd12::1]", 443, true),
            ("::1", "[::1]", 443, true),
            ("[::1]:80", "::1", 80, true),
            ("", "example.com", 443, false),
        ] {
            let list = NoProxy::parse(list).unwrap();
            assert_eq!(list.names(host, port), named, "{list:?} {host}:{port}");
            assert_eq!(NoProxy::parse(&list.text()), Some(list));
        }
        for bad in ["10.0.0.0/33", "a/b", "exa mple/", "a:b", "a:99999"] {
            assert_eq!(NoProxy::parse(bad), None, "{bad}");
        }
    }
}
