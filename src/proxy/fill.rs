//! A fill: one upstream read that may prove a credential and produce a stored response. It runs in a task of its own.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;

use super::Proxy;
use super::dispatch::{Going, Gone, Held};
use super::learn::useful_for;
use super::rules::Rules;
use super::whole::{self, StreamedAnswer, WholeAnswer};
use crate::body::Body;
use crate::cache::flight::Ticket;
use crate::cache::gate::{self, Expected, GateReason, Identity};
use crate::cache::items;
use crate::cache::key::CacheKey;
use crate::cache::stored::StoredResponse;
use crate::caller::attempts::AttemptGuard;
use crate::caller::bindings::Refusal;
use crate::caller::credential::{Credential, CredentialDigest, RouteDigest};
use crate::classify::{Read, Target};
use crate::clock::Moment;
use crate::error::{ErrorKind, ProxyError};
use crate::fence::Tick;
use crate::metrics::{InvalidationCause, ProofResult};
use crate::organization::Organization;
use crate::resource;
use crate::semantics::{media_type, validator};
use crate::shield::account::AccountKey;
use crate::shield::budget::Class;
use crate::shield::edge::Blocked;
use crate::shield::latch::Unauthorized;
use crate::shield::retry::may_retry;
use crate::telemetry::Context;
use crate::upstream::client::distrust_connection;
use crate::upstream::purpose::Purpose;

/// Largest item that is read whole (G6).
const MAX_ITEM: usize = 256 * 1024;
/// Largest list that is read whole (G6).
const MAX_LIST: usize = 4 * 1024 * 1024;
/// Largest refusal that is read whole; a refusal's body is a sentence.
const MAX_REFUSAL: usize = 256 * 1024;
/// What a caller is told whose call was held and nothing is known of when it may go.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// What a fill is to do.
#[derive(Debug)]
pub(super) struct Fill {
    pub(super) credential: Credential,
    pub(super) read: Read,
    pub(super) peer: IpAddr,
    pub(super) route: RouteDigest,
    pub(super) class: Class,
    /// Those of the read that began it.
    pub(super) rules: Arc<Rules>,
    /// Whether somebody waits for it: without anybody, it does not stay in the queue.
    pub(super) awaited: bool,
    /// The organization that the credential is bound to.
    pub(super) organization: Option<Arc<Organization>>,
    /// Whether the answer may be stored.
    pub(super) storing: bool,
    /// Whether the answer may prove the credential.
    pub(super) proving: bool,
    pub(super) purpose: Purpose,
    /// Its place in the order of writes, taken before it is sent.
    pub(super) begun: Tick,
    /// When it was sent; its own deadline and what it proves count from here.
    pub(super) sent: Moment,
    /// Held while it is under way, where it can prove the credential.
    pub(super) attempt: Option<AttemptGuard>,
    /// What of a trace it is a part of.
    pub(super) trace: Option<Context>,
}

/// What a fill came to, in the form in which those who wait for it can share it.
#[derive(Clone, Debug)]
pub(super) enum Landing {
    /// The body is what was asked for and names its organization: may go to every credential proven for it.
    Checked {
        response: Arc<StoredResponse>,
        stored: bool,
        /// Set where it may go to this credential alone.
        owner: Option<CredentialDigest>,
    },
    /// For the credential that fetched it alone: a refusal, or a body that may not be shared.
    Own(OwnAnswer),
    /// The upstream failed or is limited: concerns everybody who asks it, but the body is the fetcher's own.
    Upstream(Arc<WholeAnswer>),
    /// The edge turned the fill away with a 403 that is not JSON.
    Blocked(Arc<WholeAnswer>),
    /// The vendor refused this credential a moment ago: not asked again.
    Latched(Arc<Unauthorized>),
    /// Not sent: its turn did not come, and when to come again.
    Held(ErrorKind, Duration),
    /// No answer; and when to come again, where that is known.
    Failed(ErrorKind, Option<Duration>),
}

impl Landing {
    /// Whether it may be a 200: what a refusal that arrived meanwhile would have kept back.
    pub(super) fn is_grant(&self) -> bool {
        match self {
            Self::Checked { .. } | Self::Own(OwnAnswer::Streamed(_)) => true,
            Self::Own(OwnAnswer::Whole(answer)) => answer.status() == StatusCode::OK,
            Self::Own(OwnAnswer::MixedUp)
            | Self::Upstream(_)
            | Self::Blocked(_)
            | Self::Latched(_)
            | Self::Held(..)
            | Self::Failed(..) => false,
        }
    }

    /// Whether the upstream has said what was asked of it, be it a refusal.
    const fn is_answer(&self) -> bool {
        matches!(self, Self::Checked { .. } | Self::Own(_))
    }
}

/// An answer for one credential.
#[derive(Clone, Debug)]
pub(super) enum OwnAnswer {
    Whole(Arc<WholeAnswer>),
    Streamed(Arc<StreamedAnswer>),
    /// The answer was somebody else's and was discarded.
    MixedUp,
}

impl Proxy {
    /// Runs a fill behind everybody's back and lands its flight.
    pub(super) fn launch(self: &Arc<Self>, mut fill: Fill, ticket: Ticket<Landing>) {
        let proxy = Arc::clone(self);
        self.runtime.spawn(async move {
            let attempt = fill.attempt.take();
            let span = proxy.trace_flight(&mut fill, &ticket);
            let queued = proxy.clock.now();
            let landing = match proxy.queue(&fill, &ticket).await {
                Ok(going) => {
                    fill.sent = proxy.clock.now();
                    proxy.trace_wait(fill.trace.as_ref(), queued);
                    if let Some(attempt) = &attempt {
                        attempt.note_sent(fill.sent);
                    }
                    ticket.depart();
                    proxy.fill(&fill, going).await
                }
                Err(Held::Latched(answer)) => Landing::Latched(answer),
                Err(Held::Rejected(error)) => {
                    if !fill.awaited {
                        proxy.bindings.note_held(&fill.credential, proxy.clock.now());
                    }
                    Landing::Held(error.kind(), error.wait().unwrap_or(SHORTEST_WAIT))
                }
            };
            if fill.purpose == Purpose::ListFill
                && let (Some(organization), false) = (&fill.organization, landing.is_answer())
            {
                organization.note_failed_list_fill(fill.begun, proxy.clock.now());
            }
            // First: who is woken by the landing must be free to begin the next attempt.
            drop(attempt);
            if let Some(span) = span {
                span.end();
            }
            ticket.land(landing);
        });
    }

    async fn fill(&self, fill: &Fill, going: Going) -> Landing {
        self.bindings.note_attempt(&fill.credential, fill.sent);
        let deadline = fill.sent.plus(fill.rules.timeouts.fill_timeout);
        let landing = self.ask(fill, going, deadline).await.unwrap_or_else(|error| {
            tracing::warn!(error = %error.kind(), cause = error.causes(), purpose = %fill.purpose, "fill failed");
            Landing::Failed(error.kind(), error.wait())
        });
        if matches!(landing, Landing::Failed(..) | Landing::Upstream(_) | Landing::Blocked(_)) {
            self.metrics.proof(ProofResult::Failed);
            // A 429 is an answer, and what it says ends with the gate that it closed.
            let limited = matches!(&landing, Landing::Upstream(answer) if answer.status() == StatusCode::TOO_MANY_REQUESTS);
            if !limited {
                self.bindings.note_failure(&fill.credential, self.clock.now());
            }
        }
        landing
    }

    /// Sends a fill, once more if the first try failed on the way, and takes its answer.
    async fn ask(&self, fill: &Fill, going: Going, deadline: Moment) -> Result<Landing, ProxyError> {
        self.shield.retries.on_offered(fill.sent);
        let (gone, answer) = match self.try_once(fill, going, deadline).await {
            Ok((gone, answer)) if !may_retry(&Method::GET, Ok(answer.status())) => (gone, answer),
            Err(error) if !may_retry(&Method::GET, Err(error.kind())) => return Err(error),
            first => match self.second_try(&self.call_of(fill, Duration::ZERO)).await {
                None => first?,
                Some(going) => {
                    let second = self.try_once(fill, going, deadline).await;
                    self.note_retry(second.as_ref().map(|(_, answer)| answer.status()).ok());
                    second?
                }
            },
        };
        let extensions = answer.extensions().clone();
        let receiving = async {
            match answer.status() {
                StatusCode::OK => {
                    self.shield.edge.on_other();
                    self.receive(fill, answer).await
                }
                status => self.receive_other(fill, status, &gone, answer).await,
            }
        };
        self.clock.deadline(deadline, receiving).await.unwrap_or_else(|elapsed| {
            // The rest of the body may still come, and must not be taken for another answer.
            distrust_connection(&extensions);
            Err(ErrorKind::UpstreamTimeout.error().because(elapsed))
        })
    }

    async fn try_once(
        &self,
        fill: &Fill,
        going: Going,
        deadline: Moment,
    ) -> Result<(Gone, Response<Incoming>), ProxyError> {
        let mut fields = self.upstream.fill_fields();
        fill.credential.present(&mut fields);
        let path = PathAndQuery::try_from(resource::target_path(fill.read.resource, &fill.read.target))
            .map_err(|cause| ErrorKind::Internal.error().because(cause))?;
        let mut request = self.upstream.request(Method::GET, path, fields, Body::empty())?;
        if let Some(trace) = &fill.trace {
            request.extensions_mut().insert(trace.clone());
        }
        let give_up = self.clock.sleep_until(deadline);
        let answer = self.upstream.send(&self.label_client(), request, fill.purpose, give_up).await?;
        Ok((self.note_head(going, answer.status(), answer.headers()), answer))
    }

    /// A 200: judged by the gate, then by what it proves, then by the fence.
    async fn receive(&self, fill: &Fill, answer: Response<Incoming>) -> Result<Landing, ProxyError> {
        let (head, body) = answer.into_parts();
        let limit = if matches!(fill.read.target, Target::Item(_)) { MAX_ITEM } else { MAX_LIST };
        let body = match read_whole(body, limit).await {
            Ok(whole::Read::Whole(body)) => body,
            Err(cut) => {
                self.metrics.gate_rejection(GateReason::Truncated);
                return Err(cut);
            }
            Ok(whole::Read::TooLarge(read, rest)) => {
                self.reject(fill, GateReason::TooLarge);
                let idle = fill.rules.timeouts.idle_timeout;
                let streamed = StreamedAnswer::new(head, read, rest, &self.clock, idle);
                return Ok(Landing::Own(OwnAnswer::Streamed(Arc::new(streamed))));
            }
        };
        let expected = Expected {
            organization: fill.organization.as_ref().map(|organization| organization.id()),
            workspace: fill.credential.workspace(),
        };
        let examined = gate::examine_head(&head)
            .and_then(|()| gate::examine_body(fill.read.resource, &fill.read.target, expected, &body));
        match examined {
            Ok(identity) => Ok(self.accept(fill, head, body, identity)),
            Err(reason) => Ok(self.turn_away(fill, head, body, reason)),
        }
    }

    /// A body that is what was asked for: proves its credential unless that was refused since, and is stored unless
    /// something was written since.
    fn accept(&self, fill: &Fill, head: Parts, body: Bytes, identity: Identity) -> Landing {
        let organization = self.fence.organizations().get(identity.organization, self.clock.now());
        if fill.proving {
            let proof = self.bindings.prove(&fill.credential, &organization, fill.begun, fill.sent);
            self.metrics.proof(proof);
            match proof {
                ProofResult::Moved => return self.turn_away(fill, head, body, GateReason::OtherOrganization),
                ProofResult::Late => {
                    return Landing::Own(OwnAnswer::Whole(Arc::new(WholeAnswer::new(head, body))));
                }
                ProofResult::Bound => self.move_account(&fill.credential, &organization),
                _ => {}
            }
        }
        let (forbidden, limit) = Self::directives_of(&head, fill.rules.of(&fill.read.target));
        let alone = identity.private || !fill.rules.shares() || !fill.proving || forbidden;
        let owner = alone.then(|| fill.credential.digest());
        if identity.private {
            organization.note_private_response();
            // What everybody might have before it was limited is for nobody any more.
            self.store.remove(&self.shared_key(fill, &organization));
            if fill.read.target == items::whole_list(fill.read.resource) {
                organization.note_page(false, fill.begun);
            }
        }
        let target = &fill.read.target;
        let response = Arc::new(StoredResponse {
            organization: identity.organization,
            content_type: head
                .headers
                .get(CONTENT_TYPE)
                .cloned()
                .unwrap_or(HeaderValue::from_static("application/json")),
            etag: validator::upstream_strong_etag(&head.headers)
                .unwrap_or_else(|| validator::strong_etag_of(&body)),
            // A frame's slice would keep the connection's whole read buffer alive.
            body: Bytes::copy_from_slice(&body),
            sent: fill.sent,
            begun: fill.begun,
            jitter: fastrand::u8(..),
            settling: self.fence.is_settling(&organization, target, fill.sent),
            limit,
        });
        let stored = fill.storing
            && fill.proving
            && !forbidden
            && !self.is_draining()
            && self.fence.admits(&organization, target, fill.begun);
        if stored {
            let key = CacheKey {
                resource: fill.read.resource.name,
                organization: identity.organization,
                owner,
                target: target.clone(),
            };
            self.store.insert(key, Arc::clone(&response), useful_for(fill.rules.of(target)));
            if owner.is_none() {
                self.learn_shape(fill, &organization, &response);
            }
        }
        Landing::Checked { response, stored, owner }
    }

    /// A 200 that may not be stored, and perhaps not be delivered either.
    fn turn_away(&self, fill: &Fill, head: Parts, body: Bytes, reason: GateReason) -> Landing {
        self.reject(fill, reason);
        if reason.is_mix_up() {
            self.bindings.drop_binding(&fill.credential);
            distrust_connection(&head.extensions);
            tracing::error!(reason = %reason, "an upstream answer belongs to another read and was discarded");
            return Landing::Own(OwnAnswer::MixedUp);
        }
        self.metrics.proof(ProofResult::Unnamed);
        Landing::Own(OwnAnswer::Whole(Arc::new(WholeAnswer::new(head, body))))
    }

    fn reject(&self, fill: &Fill, reason: GateReason) {
        self.metrics.gate_rejection(reason);
        // An empty list is released like a refusal: the next one may have items, or another credential may see more.
        if let Some(organization) = &fill.organization
            && reason != GateReason::EmptyList
        {
            let key = self.shared_key(fill, organization);
            self.flights.note_not_collapsible(key, self.clock.now());
        }
    }

    fn shared_key(&self, fill: &Fill, organization: &Organization) -> CacheKey {
        CacheKey {
            resource: fill.read.resource.name,
            organization: organization.id(),
            owner: (!fill.rules.shares()).then(|| fill.credential.digest()),
            target: fill.read.target.clone(),
        }
    }

    /// Any other status: what it ends has ended when this returns.
    async fn receive_other(
        &self,
        fill: &Fill,
        status: StatusCode,
        gone: &Gone,
        answer: Response<Incoming>,
    ) -> Result<Landing, ProxyError> {
        let arrived = self.fence.sequence().advance();
        let (head, body) = answer.into_parts();
        let is_json = media_type::is_json(&head.headers);
        let refusal = match status {
            StatusCode::UNAUTHORIZED => {
                let route = self.digester.route(&Method::GET, fill.read.resource.collection);
                Some(Refusal::Unauthorized { route, label_path: true })
            }
            StatusCode::PAYMENT_REQUIRED => Some(Refusal::Credential),
            StatusCode::FORBIDDEN if is_json => Some(Refusal::Credential),
            _ => None,
        };
        if let Some(refusal) = refusal {
            self.bindings.refuse(&fill.credential, refusal, arrived, self.clock.now());
            self.metrics.proof(ProofResult::Refused);
        }
        if status == StatusCode::NOT_FOUND
            && let Some(organization) = &fill.organization
        {
            self.evict(self.shared_key(fill, organization), &fill.credential);
        }
        let answer = match read_whole(body, MAX_REFUSAL).await? {
            whole::Read::Whole(body) => Arc::new(WholeAnswer::new(head, body)),
            whole::Read::TooLarge(read, rest) => {
                let idle = fill.rules.timeouts.idle_timeout;
                let streamed = StreamedAnswer::new(head, read, rest, &self.clock, idle);
                return Ok(Landing::Own(OwnAnswer::Streamed(Arc::new(streamed))));
            }
        };
        if status == StatusCode::FORBIDDEN && !is_json {
            if self.shield.edge.on_block(self.clock.now()) == Blocked::Began {
                tracing::warn!(
                    "the edge in front of the API turns the proxy's own reads away: passing reads through"
                );
            }
            return Ok(Landing::Blocked(answer));
        }
        self.shield.edge.on_other();
        if status == StatusCode::UNAUTHORIZED {
            self.note_unauthorized(gone, answer.unauthorized());
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Ok(Landing::Upstream(answer));
        }
        Ok(Landing::Own(OwnAnswer::Whole(answer)))
    }

    /// What a caller spent before its organization was known counts for the organization.
    fn move_account(&self, credential: &Credential, organization: &Organization) {
        if credential.workspace().is_none() {
            let from = AccountKey::Authorization(credential.authorization_digest());
            self.shield.budget.merge(self.shield.account(from), self.account_of(organization));
        }
    }

    /// Takes away what is stored of something that is gone: what everybody may have, and what this credential alone may.
    pub(super) fn evict(&self, mut key: CacheKey, credential: &Credential) {
        self.store.remove(&key);
        key.owner = Some(credential.digest());
        self.store.remove(&key);
        self.metrics.invalidation(InvalidationCause::NotFound);
    }
}

async fn read_whole(body: Incoming, limit: usize) -> Result<whole::Read, ProxyError> {
    whole::read(body, limit).await.map_err(|cause| ErrorKind::BadUpstreamAnswer.error().because(cause))
}
