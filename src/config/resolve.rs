//! The one conversion: from merged layers to a [`Config`] in which nothing is out of bounds.
//!
//! A section reads all its keys before it gives up, and rules between keys are asked where both sides are sound, so
//! that one start tells of every fault.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;

use super::key::Key;
use super::named::{file, pair};
use super::optional_resource::{STALE, TTL};
use super::raw::{Raw, Refused};
use super::{
    Admin, Cache, CachedResource, ClientCertificate, ClientRoots, Config, Listen, ListenTls, Log,
    MaxHeldBytes, Mode, Proof, Shield, Upstream, caller_keys, egress, files, optional_resource, parse,
    shared_keys, telemetry,
};

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Time-outs: none at all would be waiting for ever, and over an hour is a mistake in the unit.
const TIMEOUT: RangeInclusive<Duration> = MILLISECOND..=HOUR;
const DRAIN: RangeInclusive<Duration> = Duration::ZERO..=HOUR;
/// A refused credential is served for at most five minutes, whatever the upstream does.
const PROOF: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(300);
/// Callers give up long before a minute: more is a mistake in the unit.
const MAX_WAIT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);
/// No least rate at all would let anybody hold a call for ever.
const RATE: RangeInclusive<u64> = 1..=1 << 30;
const MAX_BYTES: RangeInclusive<u64> = 1 << 20..=1 << 40;
/// A list of labels has up to 4 MiB, and is held twice for a moment.
const MAX_HELD_BYTES: RangeInclusive<u64> = 8 << 20..=1 << 40;

/// Every section, or the faults of all of them on `raw`'s list.
pub(super) fn config(raw: &mut Raw) -> Result<Config, Refused> {
    let data = raw.text(Key::ListenAddress, parse::address);
    let admin = raw.text(Key::AdminAddress, parse::address);
    if let (Ok(data), Ok(admin)) = (data, admin)
        && parse::overlap(data, admin)
    {
        raw.refuse(Key::AdminAddress, None, "another address or port than listen.address");
    }
    let listen = listen(raw, data);
    let admin = self::admin(raw, admin);
    let upstream = upstream(raw);
    let cache = cache(raw);
    let proof = proof(raw);
    let shield = shield(raw);
    let callers = caller_keys::resolve(raw, shield.as_ref().ok());
    let log = log(raw);
    let telemetry = telemetry::resolve(raw);
    let shared = shared_keys::resolve(raw);
    if let (Ok(cache), Ok(Some(shared))) = (&cache, &shared)
        && !shared.tell_all_writes
    {
        optional_resource::refuse_untold(raw, cache);
    }
    Ok(Config {
        listen: listen?,
        admin: admin?,
        upstream: upstream?,
        cache: cache?,
        proof: proof?,
        shield: shield?,
        callers: callers?,
        log: log?,
        telemetry: telemetry?,
        shared: shared?,
    })
}

fn listen(raw: &mut Raw, address: Result<SocketAddr, Refused>) -> Result<Listen, Refused> {
    let workers = raw.count(Key::ListenWorkers, 0..=1024);
    let max_connections = raw.count(Key::ListenMaxConnections, 1..=1_000_000);
    let max_held_bytes = raw.text(Key::ListenMaxHeldBytes, |text| {
        parse::max_held_bytes(text).filter(|bytes| match bytes {
            MaxHeldBytes::Auto => true,
            MaxHeldBytes::Bytes(bytes) => MAX_HELD_BYTES.contains(bytes),
        })
    });
    let header_timeout = raw.duration(Key::ListenHeaderTimeout, TIMEOUT);
    let min_upload_rate =
        raw.text(Key::ListenMinUploadRate, |text| parse::size(text).filter(|rate| RATE.contains(rate)));
    let idle_timeout = raw.duration(Key::ListenIdleTimeout, TIMEOUT);
    let drain_delay = raw.duration(Key::ListenDrainDelay, DRAIN);
    let drain_timeout = raw.duration(Key::ListenDrainTimeout, DRAIN);
    let allow_plaintext = raw.flag(Key::ListenAllowPlaintext);
    let health_path = raw.optional(Key::ListenHealthPath, parse::health_path);
    let tls = listen_tls(raw);
    if let (Ok(address), Ok(None), Ok(false)) = (address, &tls, allow_plaintext)
        && !parse::is_loopback(address.ip())
    {
        raw.refuse(
            Key::ListenAddress,
            Some("would take tokens in plaintext"),
            "a loopback address, or any with [listen.tls], or with listen.allow_plaintext = true",
        );
    }
    Ok(Listen {
        address: address?,
        workers: NonZeroUsize::new(workers?),
        max_connections: max_connections?,
        max_held_bytes: max_held_bytes?,
        header_timeout: header_timeout?,
        min_upload_rate: min_upload_rate?,
        idle_timeout: idle_timeout?,
        drain_delay: drain_delay?,
        drain_timeout: drain_timeout?,
        allow_plaintext: allow_plaintext?,
        health_path: health_path?,
        tls: tls?,
    })
}

fn listen_tls(raw: &mut Raw) -> Result<Option<ListenTls>, Refused> {
    let pair = pair(raw, Key::ListenTlsCertificate, Key::ListenTlsKey);
    let ca = file(raw, Key::ListenTlsClientCa, files::roots);
    let auth = raw.text(Key::ListenTlsClientAuth, parse::client_auth);
    if let (Ok(None), Ok(Some(_))) = (&pair, &ca) {
        return Err(raw.refuse(
            Key::ListenTlsClientCa,
            Some("has no use without TLS"),
            "only together with listen.tls.certificate",
        ));
    }
    let (Some((certificate, key)), ca, auth) = (pair?, ca?, auth?) else { return Ok(None) };
    let clients = ca.map(|ca| ClientRoots { ca, auth });
    Ok(Some(ListenTls { certificate, key, clients }))
}

fn admin(raw: &mut Raw, address: Result<SocketAddr, Refused>) -> Result<Admin, Refused> {
    let header_timeout = raw.duration(Key::AdminHeaderTimeout, TIMEOUT);
    let token_file = file(raw, Key::AdminTokenFile, files::token);
    Ok(Admin { address: address?, header_timeout: header_timeout?, token_file: token_file? })
}

fn upstream(raw: &mut Raw) -> Result<Upstream, Refused> {
    let url = raw.text(Key::UpstreamUrl, parse::url);
    let connect_timeout = raw.duration(Key::UpstreamConnectTimeout, TIMEOUT);
    let first_byte_timeout = raw.duration(Key::UpstreamFirstByteTimeout, TIMEOUT);
    let idle_timeout = raw.duration(Key::UpstreamIdleTimeout, TIMEOUT);
    let fill_timeout = raw.duration(Key::UpstreamFillTimeout, TIMEOUT);
    let max_connections = raw.count(Key::UpstreamMaxConnections, 4..=65_536);
    let ca_file = file(raw, Key::UpstreamCaFile, files::roots);
    let proxy = egress::resolve(raw, url.as_ref().ok());
    let client = pair(raw, Key::UpstreamClientCertificate, Key::UpstreamClientKey);
    let client = client.map(|pair| pair.map(|(certificate, key)| ClientCertificate { certificate, key }));
    let user_agent = raw.text(Key::UpstreamUserAgent, parse::user_agent);
    let allow_plaintext = raw.flag(Key::UpstreamAllowPlaintext);
    // What is at a loopback address is asked for on this machine, unless a proxy is: then its own loopback is meant.
    let leaves = |url: &Uri| matches!(&proxy, Ok(Some(proxy)) if proxy.is_for(url));
    if let (Ok(url), Ok(false)) = (&url, allow_plaintext)
        && is_exposed(url, leaves)
    {
        raw.refuse(
            Key::UpstreamUrl,
            Some("would send tokens in plaintext"),
            "https://, or http:// on a loopback host, or any with upstream.allow_plaintext = true",
        );
    }
    Ok(Upstream {
        url: url?,
        connect_timeout: connect_timeout?,
        first_byte_timeout: first_byte_timeout?,
        idle_timeout: idle_timeout?,
        fill_timeout: fill_timeout?,
        max_connections: max_connections?,
        ca_file: ca_file?,
        proxy: proxy?,
        client: client?,
        user_agent: user_agent?,
        allow_plaintext: allow_plaintext?,
    })
}

fn cache(raw: &mut Raw) -> Result<Cache, Refused> {
    let max_bytes =
        raw.text(Key::CacheMaxBytes, |text| parse::size(text).filter(|size| MAX_BYTES.contains(size)));
    let share = raw.text(Key::CacheShare, parse::share);
    let list_fill = raw.flag(Key::CacheListFill);
    let write_through = raw.flag(Key::CacheWriteThrough);
    let write_invalidates = raw.text(Key::CacheWriteInvalidates, parse::write_invalidates);
    let lead_labels = cached_resource(raw, &LEAD_LABELS);
    let lead_label_lists = cached_resource(raw, &LEAD_LABEL_LISTS);
    let custom_tags = optional_resource::resolve(raw, &optional_resource::CUSTOM_TAGS);
    let lead_lists = optional_resource::resolve(raw, &optional_resource::LEAD_LISTS);
    let workspaces = optional_resource::resolve(raw, &optional_resource::WORKSPACES);
    let campaigns = optional_resource::resolve(raw, &optional_resource::CAMPAIGNS);
    Ok(Cache {
        max_bytes: max_bytes?,
        share: share?,
        list_fill: list_fill?,
        write_through: write_through?,
        write_invalidates: write_invalidates?,
        lead_labels: lead_labels?,
        lead_label_lists: lead_label_lists?,
        custom_tags: custom_tags?,
        lead_lists: lead_lists?,
        workspaces: workspaces?,
        campaigns: campaigns?,
    })
}

/// The keys of one [`CachedResource`].
struct ResourceKeys {
    ttl: Key,
    stale_while_revalidate: Key,
    stale_if_error: Key,
    upstream_directives: Key,
}

const LEAD_LABELS: ResourceKeys = ResourceKeys {
    ttl: Key::LeadLabelsTtl,
    stale_while_revalidate: Key::LeadLabelsStaleWhileRevalidate,
    stale_if_error: Key::LeadLabelsStaleIfError,
    upstream_directives: Key::LeadLabelsUpstreamDirectives,
};

const LEAD_LABEL_LISTS: ResourceKeys = ResourceKeys {
    ttl: Key::LeadLabelListsTtl,
    stale_while_revalidate: Key::LeadLabelListsStaleWhileRevalidate,
    stale_if_error: Key::LeadLabelListsStaleIfError,
    upstream_directives: Key::LeadLabelListsUpstreamDirectives,
};

fn cached_resource(raw: &mut Raw, keys: &ResourceKeys) -> Result<CachedResource, Refused> {
    let ttl = raw.duration(keys.ttl, TTL);
    let stale_while_revalidate = raw.duration(keys.stale_while_revalidate, STALE);
    let stale_if_error = raw.duration(keys.stale_if_error, STALE);
    let upstream_directives = raw.text(keys.upstream_directives, parse::upstream_directives);
    Ok(CachedResource {
        ttl: ttl?,
        stale_while_revalidate: stale_while_revalidate?,
        stale_if_error: stale_if_error?,
        upstream_directives: upstream_directives?,
    })
}

fn proof(raw: &mut Raw) -> Result<Proof, Refused> {
    let max_age = raw.duration(Key::ProofMaxAge, PROOF);
    let outage_max_age = raw.duration(Key::ProofOutageMaxAge, PROOF);
    let max_credentials = raw.count(Key::ProofMaxCredentials, 1..=10_000_000);
    if let (Ok(max_age), Ok(outage_max_age)) = (max_age, outage_max_age)
        && max_age > outage_max_age
    {
        let outage = parse::duration_text(outage_max_age);
        raw.refuse(Key::ProofMaxAge, None, &format!("at most proof.outage_max_age, which is \"{outage}\""));
    }
    Ok(Proof {
        max_age: max_age?,
        outage_max_age: outage_max_age?,
        max_credentials: NonZeroUsize::new(max_credentials?).ok_or(Refused)?,
    })
}

fn shield(raw: &mut Raw) -> Result<Shield, Refused> {
    let requests_per_second = raw.positive(Key::ShieldRequestsPerSecond, 1_000_000);
    let requests_per_minute = raw.positive(Key::ShieldRequestsPerMinute, 1_000_000);
    let burst = raw.text(Key::ShieldBurst, parse::burst);
    let replicas = raw.positive(Key::ShieldReplicas, 1000);
    let single_workspace = raw.flag(Key::ShieldSingleWorkspace);
    let max_wait = raw.duration(Key::ShieldMaxWait, MAX_WAIT);
    let max_queued = raw.count(Key::ShieldMaxQueued, 1..=1_000_000);
    let mode = raw.text(Key::ShieldMode, |text| Mode::ALL.iter().copied().find(|mode| mode.as_str() == text));
    Ok(Shield {
        requests_per_second: requests_per_second?,
        requests_per_minute: requests_per_minute?,
        burst: burst?,
        replicas: replicas?,
        single_workspace: single_workspace?,
        max_wait: max_wait?,
        max_queued: max_queued?,
        mode: mode?,
    })
}

fn log(raw: &mut Raw) -> Result<Log, Refused> {
    let level = raw.text(Key::LogLevel, parse::log_level);
    let format = raw.text(Key::LogFormat, parse::log_format);
    Ok(Log { level: level?, format: format? })
}

fn is_exposed(url: &Uri, leaves: impl Fn(&Uri) -> bool) -> bool {
    url.scheme() == Some(&Scheme::HTTP) && (!url.host().is_some_and(parse::is_loopback_host) || leaves(url))
}
