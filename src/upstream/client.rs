//! [`Upstream`]: where calls go, what they carry, and how their connections are made.
//!
//! Label calls share an HTTP/2 connection where that is offered: their bodies are checked against their key before they are
//! delivered. Pass-through bodies cannot be checked, so each of those calls has an HTTP/1.1 connection to itself, and on
//! HTTP/1.1 a connection belongs to one credential. Redirects are never followed, the authority comes from the
//! configuration alone, and the framing is always ours. `calls` is the way out itself.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::header::{USER_AGENT, VIA};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Version};
use tokio::runtime::Handle;

use super::connect_time::ConnectTime;
use super::connections::{Connections, UpstreamClient};
use super::connector::{Connector, Protocols, Target};
use super::names::Names;
use super::pool::Pool;
use super::way::{self, Way};
use crate::clock::Clock;
use crate::config;
use crate::config::files::Mark;
use crate::lock::Mutex;
use crate::metrics::Metrics;
use crate::semantics::via;
use crate::setup_error::SetupError;
use crate::shield::breaker::Breaker;
use crate::telemetry::Tracing;

/// Where calls go and what they carry.
#[derive(Debug)]
pub struct Upstream {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    pub(super) host: HeaderValue,
    target: Target,
    user_agent: HeaderValue,
    via: HeaderValue,
    pseudonym: String,
    pub(super) settings: config::Upstream,
    way: Mutex<Arc<Way>>,
    /// Of what the files of the way were last found to hold, be it of no use.
    seen: Mutex<Option<Mark>>,
    pub(super) tracing: Option<Tracing>,
    pub(super) names: Names,
    pool: Pool,
    pace: Arc<ConnectTime>,
    pub(super) breaker: Breaker,
    /// Numbers for connections, and for those that never were.
    pub(super) numbers: Arc<AtomicU64>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
}

impl Upstream {
    /// Reads the roots to trust and settles what every call carries.
    ///
    /// # Errors
    ///
    /// If `ca_file` cannot be used.
    pub fn new(
        settings: &config::Upstream,
        clock: Clock,
        metrics: Arc<Metrics>,
        tracing: Option<Tracing>,
    ) -> Result<Self, SetupError> {
        let unusable = |what: &str| SetupError(format!("upstream.{what} cannot be used"));
        let url = settings.url.clone().into_parts();
        let authority = url.authority.ok_or_else(|| unusable("url"))?;
        let target = Target::of(&settings.url).ok_or_else(|| unusable("url"))?;
        let way = Way::read(settings)?;
        way.show_end(&metrics);
        let pseudonym = format!("instantly-proxy-{:08x}", uuid::Uuid::new_v4().as_fields().0);
        Ok(Self {
            scheme: url.scheme.ok_or_else(|| unusable("url"))?,
            host: HeaderValue::try_from(authority.as_str()).map_err(|_| unusable("url"))?,
            authority,
            target,
            user_agent: HeaderValue::try_from(&settings.user_agent).map_err(|_| unusable("user_agent"))?,
            via: HeaderValue::try_from(format!("1.1 {pseudonym}")).map_err(|_| unusable("url"))?,
            pseudonym,
            settings: settings.clone(),
            seen: Mutex::new(way.mark),
            way: Mutex::new(Arc::new(way)),
            tracing,
            names: Names::new(clock.clone()),
            pool: Pool::new(settings.max_connections),
            pace: Arc::default(),
            breaker: Breaker::default(),
            numbers: Arc::default(),
            clock,
            metrics,
        })
    }

    /// This process's name in `Via` towards the upstream (RFC 9110 §7.6.3).
    #[must_use]
    pub fn pseudonym(&self) -> &str {
        &self.pseudonym
    }

    /// The element of `Via` that it adds to a request that came in this version.
    #[must_use]
    pub fn via_of(&self, received: Version) -> HeaderValue {
        match received {
            Version::HTTP_11 => self.via.clone(),
            _ => via::element(received, &self.pseudonym),
        }
    }

    /// How connections are made at present.
    #[must_use]
    pub fn way(&self) -> Arc<Way> {
        Arc::clone(&self.way.lock())
    }

    /// From now on connections are made so. Returns whether anything changed: then clients are to be made anew.
    pub fn take_way(&self, way: Way) -> bool {
        *self.seen.lock() = way.mark;
        let mut current = self.way.lock();
        let changed = !current.is_like(&way);
        // The file may be another one with the same roots in it.
        way.show_end(&self.metrics);
        let kept = if changed { way } else { Way { tls: Arc::clone(&current.tls), ..way } };
        *current = Arc::new(kept);
        changed
    }

    /// Looks whether `ca_file`, and the files of the client's certificate and of the forward proxy, hold something else than they
    /// did; what they hold that cannot be used is told of once and changes nothing. Returns whether clients are to be made anew.
    pub fn follow_files(&self) -> bool {
        let current = self.way();
        let settings = config::Upstream {
            ca_file: current.ca_file.clone(),
            connect_timeout: current.connect_timeout,
            ..self.settings.clone()
        };
        let Some(mark) = way::mark(&settings) else { return false };
        if self.seen.lock().replace(mark) == Some(mark) || Some(mark) == current.mark {
            return false;
        }
        match Way::read(&settings) {
            Ok(way) => {
                tracing::info!("the files of the way to the upstream changed");
                self.take_way(way)
            }
            Err(error) => {
                tracing::warn!(%error, "a new file of the way to the upstream cannot be used; the old ones stay");
                false
            }
        }
    }

    /// A client for label calls, whose connections live on `home`: a call may come from any thread.
    #[must_use]
    pub fn label_client(&self, home: Handle) -> UpstreamClient {
        self.client(Protocols::Http2Preferred, home)
    }

    /// A client for pass-through calls; one per worker, so that no call hops between threads. Called on its runtime.
    #[must_use]
    pub fn pass_through_client(&self) -> UpstreamClient {
        self.client(Protocols::Http1Only, Handle::current())
    }

    fn client(&self, protocols: Protocols, home: Handle) -> UpstreamClient {
        let (pool, pace, numbers) = (self.pool.clone(), Arc::clone(&self.pace), Arc::clone(&self.numbers));
        let connector = self.connector(protocols);
        UpstreamClient(Arc::new(Connections::new(connector, protocols, home, pool, pace, numbers)))
    }

    pub(super) fn connector(&self, protocols: Protocols) -> Connector {
        Connector::new(&self.target, &self.way(), protocols, &self.names, self.clock.clone())
    }

    /// How long before its turn a call should begin to connect.
    #[must_use]
    pub fn connects_ahead(&self) -> Duration {
        self.pace.ahead()
    }

    /// Lets go of idle connections that are too old or were closed; to be called every second or so.
    pub fn tidy(&self) {
        self.pool.tidy(self.clock.now());
    }

    /// How many connections are open without a call.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.pool.idle()
    }

    /// The fields that a fetch carries besides its credential: our own, never a client's.
    #[must_use]
    pub fn fetch_fields(&self) -> HeaderMap {
        let mut fields = HeaderMap::with_capacity(8);
        fields.insert(http::header::ACCEPT, HeaderValue::from_static("application/json"));
        fields.insert(http::header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        fields.insert(USER_AGENT, self.user_agent.clone());
        fields.insert(VIA, self.via.clone());
        fields
    }
}
