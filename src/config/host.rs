//! What a host looks like.

use std::net::Ipv6Addr;

/// A host name of letters, digits, `-`, `.` and `_`, or an IP address.
pub(super) fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(bare) => bare.parse::<Ipv6Addr>().is_ok(),
        None => {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            (1..=253).contains(&host.len()) && host.bytes().all(known) && host.split('.').next() != Some("")
        }
    }
}
