//! Notices: what is no fault, and yet likely not what was meant.
//!
//! `check` and `config` print them, `serve` logs them at start. A value that cannot work is a fault and never comes
//! here.

use std::num::NonZeroU32;
use std::time::Duration;

use http::uri::Scheme;

use super::files;
use super::forward_proxy::Carries;
use super::key::Key;
use super::parse;
use super::report::Loaded;
use super::telemetry;
use crate::descriptors;

const DAY: u64 = 24 * 3600;

/// The vendor's own limits, for each workspace over all its keys. It raised them before, and workspaces can have more.
const VENDOR_PER_SECOND: u32 = 100;
const VENDOR_PER_MINUTE: u32 = 6000;

impl Loaded {
    /// One line for each variable that looks like configuration and is none, and for each limit that will not do what it
    /// seems to. `open_files` is what the system gives, if it has a limit.
    pub fn notices(&self, open_files: Option<u64>) -> impl Iterator<Item = String> {
        let ignored = self.ignored.iter().map(|name| {
            format!("variable {name} is ignored: only INSTANTLY_PROXY_<SECTION>__<KEY> is configuration")
        });
        let passed_over = self.passed_over.iter().map(|member| {
            format!(
                "{:?} (from {}) is passed over: it is no host, address or network, and nothing is kept from the forward \
                 proxy by it",
                member,
                self.origin(Key::UpstreamNoProxy)
            )
        });
        ignored
            .chain(passed_over)
            .chain(self.limits())
            .chain(self.shares())
            .chain(self.descriptors(open_files))
    }

    /// How calls and spans leave, where there is a forward proxy. For an operator to know, and no fault.
    pub fn egress(&self) -> impl Iterator<Item = String> {
        let proxy = self.config.upstream.proxy.as_ref();
        let spans = self.config.telemetry.otlp_endpoint.as_ref();
        let calls = ("calls", &self.config.upstream.url);
        let asked = [Some(calls), spans.map(|endpoint| ("spans", endpoint))];
        asked.into_iter().flatten().filter_map(move |(what, url)| {
            let proxy = proxy?;
            let (by, origin) = (parse::url_text(&proxy.url), self.origin(Key::UpstreamProxy));
            let to = telemetry::endpoint_text(url);
            // Spans go by it to an https collector alone, whoever named it.
            let is_asked = url.scheme() == Some(&Scheme::HTTPS) || what == "calls" && proxy.carries == Carries::All;
            Some(match (is_asked, proxy.is_for(url)) {
                (true, true) => format!("{what} to {to} go through the forward proxy {by} (from {origin})"),
                (true, false) => format!(
                    "{what} to {to} do not go through the forward proxy {by} (from {origin}): no_proxy names it"
                ),
                (false, _) => format!(
                    "{what} to {to} do not go through the forward proxy {by} (from {origin}): it is for https alone"
                ),
            })
        })
    }

    /// One line for each certificate that has ended at `now`, since 1970, or soon will. A process that runs tells of the
    /// one of its listener by itself.
    pub fn ending(&self, now: Duration) -> impl Iterator<Item = String> {
        let listen = self.config.listen.tls.as_ref().map(|tls| &tls.certificate);
        let upstream = self.config.upstream.client.as_ref().map(|client| &client.certificate);
        let named = [(Key::ListenTlsCertificate, listen), (Key::UpstreamClientCertificate, upstream)];
        named.into_iter().filter_map(move |(key, file)| {
            let end = files::certificates(file?).ok()?.first().and_then(files::end_of)?;
            let left = end.saturating_sub(now);
            let days = left.as_secs() / DAY;
            let when = match days {
                _ if left >= files::ENDS_SOON => return None,
                _ if left.is_zero() => "has expired".to_owned(),
                0 => "expires within a day".to_owned(),
                1 => "expires in 1 day".to_owned(),
                days => format!("expires in {days} days"),
            };
            Some(format!("{key}: \"{}\" (from {}) {when}", file?.display(), self.origin(key)))
        })
    }

    /// More connections than the system gives open files.
    fn descriptors(&self, open_files: Option<u64>) -> Option<String> {
        let (wanted, upstream) = (self.config.listen.max_connections, self.config.upstream.max_connections);
        let share = descriptors::share(open_files, wanted, upstream);
        (share < wanted).then(|| {
            format!(
                "{}: {wanted} (from {}), {} and {} for everything else are above this system's limit of open files, {}: \
                 {share} connections at most are kept open",
                Key::ListenMaxConnections,
                self.origin(Key::ListenMaxConnections),
                Key::UpstreamMaxConnections,
                descriptors::RESERVE,
                open_files.unwrap_or_default(),
            )
        })
    }

    /// Limits that let through what the vendor refuses.
    fn limits(&self) -> impl Iterator<Item = String> {
        let shield = &self.config.shield;
        let above = |key: Key, configured: NonZeroU32, vendor: u32, window: &str| {
            (configured.get() > vendor).then(|| {
                format!(
                    "{key}: {configured} (from {}) is above the API's limit of {vendor} a {window}: \
                     right only for workspaces that were given more",
                    self.origin(key)
                )
            })
        };
        [
            above(Key::ShieldRequestsPerSecond, shield.requests_per_second, VENDOR_PER_SECOND, "second"),
            above(Key::ShieldRequestsPerMinute, shield.requests_per_minute, VENDOR_PER_MINUTE, "minute"),
        ]
        .into_iter()
        .flatten()
    }

    /// More replicas than calls to divide among them.
    fn shares(&self) -> impl Iterator<Item = String> {
        let shield = &self.config.shield;
        let below_one = |key: Key, limit: NonZeroU32, effect: &str| {
            (limit < shield.replicas).then(|| {
                format!(
                    "{}: {} (from {}) leaves each replica less than 1 of {key} = {limit}: {effect}",
                    Key::ShieldReplicas,
                    shield.replicas,
                    self.origin(Key::ShieldReplicas)
                )
            })
        };
        [
            below_one(
                Key::ShieldRequestsPerSecond,
                shield.requests_per_second,
                "its share of the minute is what holds",
            ),
            below_one(
                Key::ShieldRequestsPerMinute,
                shield.requests_per_minute,
                "each takes 1 a minute, together more than the limit",
            ),
        ]
        .into_iter()
        .flatten()
    }
}
