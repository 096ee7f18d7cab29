//! The configuration: defaults, files and environment, parsed once into values that cannot be wrong.
//!
//! [`Config`] is what the rest of the program sees: durations, addresses and sizes in their own types, every bound
//! checked. [`load()`] collects **all** faults with key, source and what is allowed: `raw` merges the layers, `resolve`
//! is the one conversion, [`Key`] names every key. [`files`] reads what the configuration points to.

mod caller_keys;
pub mod callers;
mod cgroup;
mod change;
mod egress;
mod fault;
pub mod files;
mod forward_proxy;
mod host;
mod input;
mod key;
mod load;
mod named;
mod notice;
mod optional_resource;
mod parse;
mod raw;
mod report;
mod resolve;
mod shared;
mod shared_keys;
mod spans;
mod standard;
mod store;
mod store_url;
mod telemetry;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

pub use self::callers::{CallerLimit, CallerSource, Callers, Cap, Mode, Priority};
pub use self::change::Change;
pub use self::egress::user_and_password;
pub use self::fault::{Fault, Origin};
pub use self::forward_proxy::{Carries, ForwardProxy, NoProxy, ProxyAuthorization};
pub use self::input::Inputs;
pub use self::key::Key;
pub use self::load::{environment, load, load_again, load_values};
pub use self::report::Loaded;
pub use self::shared::{Shared, WhenLost};
pub use self::spans::{Attribute, Compression, OtlpProtocol, Ratio, Telemetry};
pub use self::store::{ClientCertificate, StoreAddress, StoreMode, StoreSettings, StoreTransport};
pub use self::telemetry::header_fields;

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The data port.
    pub listen: Listen,
    /// The admin port.
    pub admin: Admin,
    /// The API behind the proxy.
    pub upstream: Upstream,
    /// What is stored and for how long.
    pub cache: Cache,
    /// How long an upstream answer proves a credential.
    pub proof: Proof,
    /// How the vendor's rate limit is kept.
    pub shield: Shield,
    /// Who calls, and what each may have; `None` tells nobody apart but by credential.
    pub callers: Option<Callers>,
    /// What is logged.
    pub log: Log,
    /// Who is told of spans.
    pub telemetry: Telemetry,
    /// The store that makes a fleet of replicas; `None` is one process by itself.
    pub shared: Option<Shared>,
}

/// `[listen]`: the data port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Worker threads; `None` is one per core.
    pub workers: Option<NonZeroUsize>,
    /// Open connections above which accepting pauses.
    pub max_connections: usize,
    /// Bytes that calls under way may hold.
    pub max_held_bytes: MaxHeldBytes,
    /// From the first byte of a head, or from connect, to the end of the head.
    pub header_timeout: Duration,
    /// Bytes a second that the body of a request must bring, over ten seconds.
    pub min_upload_rate: u64,
    /// How long a connection may stand idle between requests.
    pub idle_timeout: Duration,
    /// From SIGTERM to the moment at which accepting ends.
    pub drain_delay: Duration,
    /// From the end of accepting to the moment at which what is left is cut.
    pub drain_timeout: Duration,
    /// Whether a plaintext listener off loopback is accepted.
    pub allow_plaintext: bool,
    /// Path that the data port answers itself, for whoever cannot ask the admin port; absent: none.
    pub health_path: Option<String>,
    /// `[listen.tls]`: TLS instead of plaintext.
    pub tls: Option<ListenTls>,
}

/// `listen.max_held_bytes`: how much memory calls under way may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxHeldBytes {
    /// A quarter of the memory limit of the process's control group; 256 MiB without one.
    Auto,
    /// So much.
    Bytes(u64),
}

impl MaxHeldBytes {
    /// In bytes.
    #[must_use]
    pub fn resolve(self) -> u64 {
        match self {
            Self::Auto => Self::under(cgroup::memory_limit()),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// What [`Self::Auto`] is under a memory limit: a quarter of it, for the rest is for what is stored, for connections and
    /// tables, and for what the allocator keeps of large pieces that come and go. A limit below what a process takes at rest leaves the least with which label reads work.
    #[must_use]
    pub fn under(limit: Option<u64>) -> u64 {
        limit.map_or(256 * MIB, |limit| (limit / 4).clamp(8 * MIB, 1024 * MIB))
    }
}

/// `[listen.tls]`: PEM files of the data port's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenTls {
    /// Certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Private key of the leaf.
    pub key: PathBuf,
    /// Whose certificates clients have.
    pub clients: Option<ClientRoots>,
}

/// `listen.tls.client_ca`: clients show certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRoots {
    /// PEM file of the roots that sign them.
    pub ca: PathBuf,
    /// Whether a client without one is let in.
    pub auth: ClientAuth,
}

/// `listen.tls.client_auth`: whether a client without a certificate is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// It is not.
    Required,
    /// It is.
    Optional,
}

/// `[admin]`: the admin port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// For a request's head, from its first byte or from connect, as far as `listen.header_timeout` gives more.
    pub header_timeout: Duration,
    /// File with the token that data and actions need.
    pub token_file: Option<PathBuf>,
}

/// `[upstream]`: the API behind the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Scheme and authority; no path.
    pub url: Uri,
    /// From the start of a connect to the end of its TLS handshake.
    pub connect_timeout: Duration,
    /// Pass-through: from the end of the request body to the head of the answer.
    pub first_byte_timeout: Duration,
    /// Pass-through: without a byte either way.
    pub idle_timeout: Duration,
    /// A fetch, in all.
    pub fill_timeout: Duration,
    /// Pass-through calls under way at once; an organization has at most a quarter of them.
    pub max_connections: usize,
    /// PEM file of roots to trust in place of the platform's.
    pub ca_file: Option<PathBuf>,
    /// The forward proxy that calls go through, if there is one.
    pub proxy: Option<ForwardProxy>,
    /// What is shown to an upstream that asks for a certificate.
    pub client: Option<ClientCertificate>,
    /// `User-Agent` of fetches.
    pub user_agent: String,
    /// Whether an `http://` upstream off loopback is accepted.
    pub allow_plaintext: bool,
}

/// `[cache]`: what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Bytes of keys, bodies and overhead that the store may hold.
    pub max_bytes: u64,
    /// Who may share a stored response.
    pub share: Share,
    /// Whether a list is stored as its items too, and read ahead for an organization that misses several of them.
    pub list_fill: bool,
    /// Whether the label that a write's answer carries is stored.
    pub write_through: bool,
    /// What a label write invalidates whose answer names its own label and nothing else.
    pub write_invalidates: WriteInvalidates,
    /// `[cache.lead_labels]`
    pub lead_labels: CachedResource,
    /// `[cache.lead_label_lists]`
    pub lead_label_lists: CachedResource,
    /// `[cache.custom_tags]`
    pub custom_tags: OptionalResource,
    /// `[cache.lead_lists]`
    pub lead_lists: OptionalResource,
    /// `[cache.workspaces]`: the current workspace, which has no lists.
    pub workspaces: OptionalResource,
    /// `[cache.campaigns]`
    pub campaigns: OptionalResource,
}

/// `cache.share`: who may share a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Every proven credential of the organization.
    Organization,
    /// The credential that fetched it alone.
    Credential,
}

/// `cache.write_invalidates`: what a label write invalidates whose answer names its own label and nothing else. Any other
/// write invalidates its whole organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteInvalidates {
    /// That label, and every list.
    Label,
    /// The whole organization.
    Organization,
}

/// Lifetime of one kind of stored response. Both stale windows start at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachedResource {
    /// Freshness lifetime, before jitter; the upper bound of what the upstream says where that is respected.
    pub ttl: Duration,
    /// How long a stale response is served while a fetch runs behind it; zero is not at all.
    pub stale_while_revalidate: Duration,
    /// How long a stale response is served in place of an error or for want of budget; zero is not at all.
    pub stale_if_error: Duration,
    /// Whether the upstream's `Cache-Control` has a say.
    pub upstream_directives: UpstreamDirectives,
}

/// A resource that is cached where an operator says so: the vendor's web application changes it, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionalResource {
    /// Whether it is cached. Where it is not, its calls pass through as any others.
    pub enabled: bool,
    /// For how long an item is kept.
    pub items: CachedResource,
    /// For how long a page is kept.
    pub lists: CachedResource,
}

impl OptionalResource {
    /// Off, and where it is switched on kept for so many seconds, items and lists, and in place of an error for so many more.
    const fn off(items: u64, lists: u64, stale_if_error: u64) -> Self {
        let items = CachedResource {
            ttl: Duration::from_secs(items),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::from_secs(stale_if_error),
            upstream_directives: UpstreamDirectives::Ignore,
        };
        Self { enabled: false, items, lists: CachedResource { ttl: Duration::from_secs(lists), ..items } }
    }
}

/// `upstream_directives`: whether the upstream's `Cache-Control` has a say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamDirectives {
    /// The configured lifetime holds, whatever the upstream says.
    Ignore,
    /// `no-store`, `private`, `no-cache` and `max-age` are obeyed.
    Respect,
}

/// `[proof]`: how long an upstream answer proves a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// While the upstream can be asked.
    pub max_age: Duration,
    /// While it cannot.
    pub outage_max_age: Duration,
    /// Credentials that are remembered; the least recently proven leaves.
    pub max_credentials: NonZeroUsize,
}

/// `[shield]`: how the vendor's rate limit is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shield {
    /// Calls that all replicas together send for one organization in any second.
    pub requests_per_second: NonZeroU32,
    /// The same in any minute.
    pub requests_per_minute: NonZeroU32,
    /// How much of a second's calls may leave at one moment.
    pub burst: Burst,
    /// Processes that share the two windows; each takes its part, rounded down, at least 1.
    pub replicas: NonZeroU32,
    /// Whether all callers spend from one account.
    pub single_workspace: bool,
    /// How long a call without budget waits for it; zero is not at all.
    pub max_wait: Duration,
    /// Calls of one organization that wait at once.
    pub max_queued: usize,
    /// Whether its limits hold, or are counted alone.
    pub mode: Mode,
}

/// How much of a second's calls may leave at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Burst {
    /// Half of them, and the rest half a second later.
    Half,
    /// All of them.
    Whole,
}

/// `[log]`: what is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`, or `target=level` directives joined by commas.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// `log.format`: how a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Listen {
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
                workers: None,
                max_connections: 10_000,
                max_held_bytes: MaxHeldBytes::Auto,
                header_timeout: Duration::from_secs(10),
                min_upload_rate: 1024,
                idle_timeout: Duration::from_secs(120),
                drain_delay: Duration::from_secs(5),
                drain_timeout: Duration::from_secs(25),
                allow_plaintext: false,
                health_path: None,
                tls: None,
            },
            admin: Admin {
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
                header_timeout: Duration::from_secs(3),
                token_file: None,
            },
            upstream: Upstream {
                url: Uri::from_static("https://api.instantly.ai"),
                connect_timeout: Duration::from_secs(2),
                first_byte_timeout: Duration::from_secs(100),
                idle_timeout: Duration::from_secs(60),
                fill_timeout: Duration::from_secs(10),
                max_connections: 512,
                ca_file: None,
                proxy: None,
                client: None,
                user_agent: concat!("instantly-proxy/", env!("CARGO_PKG_VERSION")).to_owned(),
                allow_plaintext: false,
            },
            cache: Cache::default(),
            proof: Proof {
                max_age: Duration::from_secs(60),
                outage_max_age: Duration::from_secs(300),
                max_credentials: NonZeroUsize::new(100_000).expect("not zero"),
            },
            shield: Shield {
                requests_per_second: NonZeroU32::new(90).expect("not zero"),
                requests_per_minute: NonZeroU32::new(5400).expect("not zero"),
                burst: Burst::Half,
                replicas: NonZeroU32::MIN,
                single_workspace: false,
                max_wait: Duration::from_secs(8),
                max_queued: 1000,
                mode: Mode::Enforce,
            },
            callers: None,
            log: Log { level: "info".to_owned(), format: LogFormat::Auto },
            telemetry: Telemetry::default(),
            shared: None,
        }
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            max_bytes: 64 * MIB,
            share: Share::Organization,
            list_fill: true,
            write_through: true,
            write_invalidates: WriteInvalidates::Label,
            lead_labels: CachedResource {
                ttl: Duration::from_secs(300),
                stale_while_revalidate: Duration::from_secs(30),
                stale_if_error: Duration::from_secs(300),
                upstream_directives: UpstreamDirectives::Ignore,
            },
            lead_label_lists: CachedResource {
                ttl: Duration::from_secs(60),
                stale_while_revalidate: Duration::ZERO,
                stale_if_error: Duration::from_secs(300),
                upstream_directives: UpstreamDirectives::Ignore,
            },
            custom_tags: OptionalResource::off(300, 60, 300),
            // `has_enrichment_task` changes by itself.
            lead_lists: OptionalResource::off(30, 30, 60),
            workspaces: OptionalResource::off(60, 60, 300),
            // `status` changes by itself.
            campaigns: OptionalResource::off(5, 5, 30),
        }
    }
}
