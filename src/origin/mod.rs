//! The only way out: [`Origin`] lets calls go, sends them and notes what their answers say.
//!
//! A call is [admitted](Origin::admit) first, then [sent](Origin::send); between the two its sender may still change its mind.
//! `admit` holds the order in which a call is asked for, `send` what is done with its answer's head before anybody sees it;
//! `status` says what a status means, once for all of them. What a kind of call leaves out is a field of its [`Call`].
//! How bytes get to the API is `upstream`'s.

mod admit;
mod call;
mod foresee;
mod send;
pub mod status;
pub mod whole;

use std::sync::Arc;
use std::time::Duration;

use http::{Response, response};
use tokio::runtime::Handle;

pub use self::admit::{NotAdmitted, Turn};
pub use self::call::{Call, Lane, Retries};
pub use self::foresee::{Foreseen, Obstacle};
pub use self::send::{Answered, Sent};
use crate::body::Body;
use crate::caller::bindings::Bindings;
use crate::caller::credential::Credential;
use crate::clock::{Clock, Moment};
use crate::error::{ErrorKind, ProxyError};
use crate::fleet::Fleet;
use crate::lock::Mutex;
use crate::metrics::Metrics;
use crate::organization::Organization;
use crate::shield::Shield;
use crate::shield::account::AccountKey;
use crate::telemetry::{Context, Tracing};
use crate::tick::Sequence;
use crate::upstream::client::Upstream;
use crate::upstream::connections::UpstreamClient;
use crate::upstream::permits::Permits;
use crate::upstream::way::Way;

/// Answers on label connections that are passed on as they come, at once; a quarter of them for one account.
const STREAMS: usize = 32;
/// What a call is told to wait whose answer found no place among them.
const STREAM_RETRY: Duration = Duration::from_secs(1);
/// A shorter wait is the time that asking takes.
const WORTH_A_SPAN: Duration = Duration::from_millis(1);

/// Everything that a call to the API passes on its way; one per process.
#[derive(Debug)]
pub struct Origin {
    upstream: Upstream,
    /// Of label calls; replaced where connections are to be made in another way.
    label_client: Mutex<UpstreamClient>,
    permits: Permits,
    /// Label answers that are passed on as they come.
    streams: Permits,
    shield: Shield,
    /// What the API has proved and refused of each credential.
    bindings: Arc<Bindings>,
    /// The other replicas, where there are any.
    fleet: Option<Arc<Fleet>>,
    /// The order of fetches, writes and refusals.
    sequence: Arc<Sequence>,
    tracing: Option<Tracing>,
    /// Runs the label connections.
    runtime: Handle,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// What an [`Origin`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where calls go.
    pub upstream: Upstream,
    /// Pass-through calls at once.
    pub permits: Permits,
    /// What keeps the limit.
    pub shield: Shield,
    /// What the API has proved and refused.
    pub bindings: Arc<Bindings>,
    /// The other replicas, where there are any.
    pub fleet: Option<Arc<Fleet>>,
    /// The order of fetches, writes and refusals.
    pub sequence: Arc<Sequence>,
    /// Spans, where they are asked for.
    pub tracing: Option<Tracing>,
    /// Runs the label connections.
    pub runtime: Handle,
    /// The time.
    pub clock: Clock,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

impl Origin {
    /// Of these parts, with no connection open.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { upstream, permits, shield, bindings, fleet, sequence, tracing, .. } = parts;
        let Parts { runtime, clock, metrics, .. } = parts;
        let label_client = Mutex::new(upstream.label_client(runtime.clone()));
        Self {
            upstream,
            label_client,
            permits,
            streams: Permits::new(STREAMS, clock.clone()),
            shield,
            bindings,
            fleet,
            sequence,
            tracing,
            runtime,
            clock,
            metrics,
        }
    }

    /// What keeps the limit: asked by who decides whether to call at all.
    #[must_use]
    pub const fn shield(&self) -> &Shield {
        &self.shield
    }

    /// Where calls go.
    #[must_use]
    pub const fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// From now on connections are made so. Returns whether anything changed: then clients are to be made anew.
    pub fn take_way(&self, way: Way) -> bool {
        let changed = self.upstream.take_way(way);
        if changed {
            self.renew_label_client();
        }
        changed
    }

    /// Looks whether the roots to trust have changed. Returns whether clients are to be made anew.
    pub fn follow_files(&self) -> bool {
        let changed = self.upstream.follow_files();
        if changed {
            self.renew_label_client();
        }
        changed
    }

    /// The client of label calls.
    fn label_client(&self) -> UpstreamClient {
        self.label_client.lock().clone()
    }

    fn renew_label_client(&self) {
        let client = self.upstream.label_client(self.runtime.clone());
        *self.label_client.lock() = client;
    }

    /// Lets go of what is idle or over.
    pub fn tidy(&self, now: Moment) {
        self.upstream.tidy();
        self.shield.tidy(now);
    }

    /// An answer on a label connection that is too large to keep, to be passed on as it comes. A client that does not read holds
    /// up part of what the upstream may send there, where all organizations' answers come: so many at once, and no more.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoMemoryForAnswer`] where as many are under way as may be, in all or for one account; this one is dropped.
    pub fn stream(
        &self,
        call: &Call<'_>,
        head: response::Parts,
        body: whole::Beginning,
        idle: Duration,
    ) -> Result<Response<Body>, ProxyError> {
        let place = self.streams.try_take(call.permits()).ok_or_else(|| {
            let full = ErrorKind::NoMemoryForAnswer.error().retry_after(STREAM_RETRY);
            full.because("as many large answers as may be are being passed on")
        })?;
        Ok(whole::streamed(head, body, &self.clock, idle, Some(place)))
    }

    /// The account that an organization's calls are on.
    #[must_use]
    pub fn account_of(&self, organization: &Organization) -> AccountKey {
        self.shield.account(AccountKey::Organization(organization.id().name()))
    }

    /// What a caller spent before its organization was known counts for the organization.
    pub fn move_account(&self, credential: &Credential, organization: &Organization) {
        if credential.workspace().is_none() {
            let from = AccountKey::Authorization(credential.authorization_digest());
            self.shield.budget.merge(self.shield.account(from), self.account_of(organization));
        }
    }

    /// Whether the breaker or the organization's hold is on now. A short budget of our own is no outage.
    #[must_use]
    pub fn cannot_be_asked(&self, organization: &Organization, now: Moment) -> bool {
        self.upstream.is_unreachable() || self.shield.budget.is_closed(self.account_of(organization), now)
    }

    /// The span of a wait for a turn, if there was one.
    fn trace_wait(&self, parent: Option<&Context>, begun: Moment) {
        if let (Some(tracing), Some(parent)) = (&self.tracing, parent)
            && self.clock.now().since(begun) >= WORTH_A_SPAN
        {
            tracing.record("wait", parent, begun);
        }
    }
}
