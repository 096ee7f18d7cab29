//! From text to values and back: durations, sizes, addresses, the upstream's URL.
//!
//! Functions of one text each. They know what a value looks like, not which values a key allows: that is `resolve`'s.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;

pub(super) use super::host::is_host;
use super::{Burst, ClientAuth, LogFormat, MaxHeldBytes, Share, UpstreamDirectives, WriteInvalidates};

const AUTO: &str = "auto";

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Units of a size, largest first. Decimal ones are left out: `MB` means either.
const UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

pub(super) fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}

/// The shortest text that [`duration`] reads back.
pub(super) fn duration_text(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

/// Bytes of a whole number with a unit: `64MiB`.
pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*bytes)
}

/// `auto`, or a size.
pub(super) fn max_held_bytes(text: &str) -> Option<MaxHeldBytes> {
    if text == AUTO { Some(MaxHeldBytes::Auto) } else { size(text).map(MaxHeldBytes::Bytes) }
}

pub(super) fn max_held_bytes_text(bytes: MaxHeldBytes) -> String {
    match bytes {
        MaxHeldBytes::Auto => AUTO.to_owned(),
        MaxHeldBytes::Bytes(bytes) => size_text(bytes),
    }
}

/// The text of a size in the largest unit that holds it whole.
pub(super) fn size_text(size: u64) -> String {
    let (name, bytes) =
        UNITS.iter().find(|(_, bytes)| size >= *bytes && size.is_multiple_of(*bytes)).unwrap_or(&("B", 1));
    format!("{}{name}", size / bytes)
}

pub(super) fn address(text: &str) -> Option<SocketAddr> {
    text.parse().ok()
}

/// Scheme and authority alone; a path of `/` is taken for none.
pub(super) fn url(text: &str) -> Option<Uri> {
    // `http::Uri` cuts a fragment off without a word, and takes user information for a part of the authority.
    if text.contains(['#', '@', '?']) {
        return None;
    }
    let url: Uri = text.parse().ok()?;
    let (scheme, authority) = (url.scheme()?, url.authority()?);
    let known = *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS;
    let port = authority.as_str().strip_prefix(authority.host())?;
    let sound_port = port.is_empty() || authority.port_u16().is_some_and(|port| port > 0);
    (known && url.path() == "/" && sound_port && is_host(authority.host()))
        .then(|| url_text(&url).parse().expect("scheme and authority of a URL are a URL"))
}

/// A URL without the path that [`Uri`] gives to every URL.
pub(super) fn url_text(url: &Uri) -> String {
    url.to_string().trim_end_matches('/').to_owned()
}

/// Whether nothing sent to this host leaves the machine.
pub(super) fn is_loopback_host(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(is_loopback)
}

/// Whether nothing off this machine reaches this address; `::ffff:127.0.0.1` is seen for what it is.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Whether two listeners would take connections meant for each other: the same port on the same address or on a
/// wildcard that holds it. A free port (0) never meets another.
pub(super) fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let (left, right) = (a.ip().to_canonical(), b.ip().to_canonical());
    a.port() != 0 && a.port() == b.port() && (left == right || holds(left, right) || holds(right, left))
}

/// Whether a wildcard holds an address; `[::]` takes IPv4 connections too, unless the system says otherwise.
fn holds(wildcard: IpAddr, other: IpAddr) -> bool {
    wildcard.is_unspecified() && (wildcard.is_ipv6() || other.is_ipv4())
}

pub(super) fn user_agent(text: &str) -> Option<String> {
    let visible = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let sound = visible && (1..=256).contains(&text.len()) && text.trim() == text;
    sound.then(|| text.to_owned())
}

pub(super) fn client_auth(text: &str) -> Option<ClientAuth> {
    [ClientAuth::Required, ClientAuth::Optional].into_iter().find(|auth| client_auth_text(*auth) == text)
}

pub(super) const fn client_auth_text(auth: ClientAuth) -> &'static str {
    match auth {
        ClientAuth::Required => "required",
        ClientAuth::Optional => "optional",
    }
}

/// One reading alone: nothing that anybody would decode or normalise. Below `/api` it would shadow what is passed on.
pub(super) fn health_path(text: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let odd = |segment: &str| matches!(segment, "" | "." | "..");
    let mut segments = text.strip_prefix('/')?.split('/');
    let sound = (2..=256).contains(&text.len())
        && text.bytes().all(plain)
        && segments.clone().all(|segment| !odd(segment))
        && segments.next() != Some("api");
    sound.then(|| text.to_owned())
}

pub(super) fn share(text: &str) -> Option<Share> {
    [Share::Organization, Share::Credential].into_iter().find(|share| share_text(*share) == text)
}

pub(super) const fn share_text(share: Share) -> &'static str {
    match share {
        Share::Organization => "organization",
        Share::Credential => "credential",
    }
}

pub(super) fn write_invalidates(text: &str) -> Option<WriteInvalidates> {
    [WriteInvalidates::Label, WriteInvalidates::Organization]
        .into_iter()
        .find(|extent| write_invalidates_text(*extent) == text)
}

pub(super) const fn write_invalidates_text(extent: WriteInvalidates) -> &'static str {
    match extent {
        WriteInvalidates::Label => "label",
        WriteInvalidates::Organization => "organization",
    }
}

pub(super) fn upstream_directives(text: &str) -> Option<UpstreamDirectives> {
    [UpstreamDirectives::Ignore, UpstreamDirectives::Respect]
        .into_iter()
        .find(|directives| upstream_directives_text(*directives) == text)
}

pub(super) const fn upstream_directives_text(directives: UpstreamDirectives) -> &'static str {
    match directives {
        UpstreamDirectives::Ignore => "ignore",
        UpstreamDirectives::Respect => "respect",
    }
}

pub(super) fn burst(text: &str) -> Option<Burst> {
    [Burst::Half, Burst::Whole].into_iter().find(|burst| burst_text(*burst) == text)
}

pub(super) const fn burst_text(burst: Burst) -> &'static str {
    match burst {
        Burst::Half => "half",
        Burst::Whole => "whole",
    }
}

/// Levels and `target=level` pairs. Stricter than the log library, which takes a misspelt level for a target.
pub(super) fn log_level(text: &str) -> Option<String> {
    let sound = text.split(',').all(|directive| match directive.split_once('=') {
        Some((target, level)) => is_target(target) && LEVELS.contains(&level),
        None => LEVELS.contains(&directive),
    });
    sound.then(|| text.to_owned())
}

pub(super) fn log_format(text: &str) -> Option<LogFormat> {
    [LogFormat::Auto, LogFormat::Json, LogFormat::Text]
        .into_iter()
        .find(|format| log_format_text(*format) == text)
}

pub(super) const fn log_format_text(format: LogFormat) -> &'static str {
    match format {
        LogFormat::Auto => "auto",
        LogFormat::Json => "json",
        LogFormat::Text => "text",
    }
}

fn is_target(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte))
}

/// Whether a URL has this scheme, in either case (RFC 3986 §3.1).
pub(super) fn has_scheme(url: &str, scheme: &str) -> bool {
    url.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(scheme))
}
