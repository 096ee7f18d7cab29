//! A fill: one upstream read that may prove a credential and produce a stored response. It runs in a task of its own.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{Method, Response, StatusCode};

use super::Proxy;
use super::dispatch::{Departure, Gone, Held, Lane};
use super::rules::Rules;
use super::whole::{StreamedAnswer, WholeAnswer};
use crate::body::Body;
use crate::cache::flight::Ticket;
use crate::cache::stored::StoredResponse;
use crate::caller::attempts::AttemptGuard;
use crate::caller::credential::{Credential, CredentialDigest, RouteDigest};
use crate::classify::Read;
use crate::clock::Moment;
use crate::error::{ErrorKind, ProxyError};
use crate::organization::Organization;
use crate::purpose::Purpose;
use crate::reason::ProofResult;
use crate::received::Received;
use crate::resource;
use crate::shield::budget::Class;
use crate::shield::latch::Unauthorized;
use crate::shield::retry::may_retry;
use crate::telemetry::Context;
use crate::tick::Tick;
use crate::upstream::calls::distrust_connection;
use crate::upstream::outgoing::Outgoing;

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
            let span = proxy.trace_flight(&mut fill, &ticket);
            let queued = proxy.clock.now();
            let client = proxy.label_client();
            let lane = Lane { client: &client, permits: None };
            let departed = match proxy.queue(&fill, lane, &ticket).await {
                Ok(departure) => Ok(Ok(departure)),
                Err(Held::Failed(error)) => Ok(Err(error)),
                Err(held) => Err(held),
            };
            let landing = match departed {
                Ok(first) => {
                    fill.sent = proxy.clock.now();
                    proxy.trace_wait(fill.trace.as_ref(), queued);
                    if let Some(attempt) = &fill.attempt {
                        attempt.note_sent(fill.sent);
                    }
                    ticket.depart();
                    proxy.fill(&fill, lane, first).await
                }
                Err(Held::Latched(answer)) => Landing::Latched(answer),
                Err(Held::Rejected(error) | Held::Failed(error)) => {
                    if !fill.awaited {
                        proxy.bindings.note_held(
                            &fill.credential,
                            fill.class == Class::Proof,
                            proxy.clock.now(),
                        );
                    }
                    Landing::Held(error.kind(), error.wait().unwrap_or(SHORTEST_WAIT))
                }
            };
            if fill.purpose == Purpose::ListFill
                && let (Some(organization), false) = (&fill.organization, landing.is_answer())
            {
                let (credential, now) = (fill.credential.digest(), proxy.clock.now());
                organization.lists().note_failed_list_fill(credential, fill.begun, now);
            }
            proxy.ask_for_witness(&fill, &landing);
            // First: who is woken by the landing must be free to begin the next attempt.
            drop(fill.attempt.take());
            if let Some(span) = span {
                span.end();
            }
            ticket.land(landing);
        });
    }

    async fn fill(&self, fill: &Fill, lane: Lane<'_>, first: Result<Departure, ProxyError>) -> Landing {
        self.bindings.note_attempt(&fill.credential, fill.sent);
        let deadline = fill.sent.plus(fill.rules.timeouts.fill_timeout);
        let landing = self.ask(fill, lane, first, deadline).await.unwrap_or_else(|error| {
            tracing::warn!(error = %error.kind(), cause = error.causes(), purpose = %fill.purpose, "fill failed");
            Landing::Failed(error.kind(), error.wait())
        });
        if matches!(landing, Landing::Failed(..) | Landing::Upstream(_) | Landing::Blocked(_)) {
            self.metrics.proof(ProofResult::Failed);
            // A 429 is an answer, and what it says ends with the gate that it closed.
            let limited = matches!(&landing, Landing::Upstream(answer) if answer.status() == StatusCode::TOO_MANY_REQUESTS);
            // Want of our own memory says nothing of the upstream.
            let ours = matches!(landing, Landing::Failed(ErrorKind::NoMemoryForAnswer, _));
            if !limited && !ours {
                self.bindings.note_failure(&fill.credential, self.clock.now());
            }
        }
        landing
    }

    /// Sends a fill, once more if the first try failed on the way, and takes its answer.
    async fn ask(
        &self,
        fill: &Fill,
        lane: Lane<'_>,
        first: Result<Departure, ProxyError>,
        deadline: Moment,
    ) -> Result<Landing, ProxyError> {
        self.shield.retries.on_offered(fill.sent);
        let first = match first {
            Ok(departure) => self.try_once(fill, lane, departure, deadline).await,
            Err(error) => Err(error),
        };
        let (gone, answer) = match first {
            Ok((gone, answer)) if !may_retry(&Method::GET, Ok(answer.status())) => (gone, answer),
            Err(error) if !may_retry(&Method::GET, Err(error.kind())) => return Err(error),
            first => match self.second_try(&self.call_of(fill, Duration::ZERO), lane).await {
                None => first?,
                Some(departure) => {
                    let second = self.try_once(fill, lane, departure, deadline).await;
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
        lane: Lane<'_>,
        departure: Departure,
        deadline: Moment,
    ) -> Result<(Gone, Response<Received>), ProxyError> {
        let mut fields = self.upstream.fill_fields();
        fill.credential.present(&mut fields);
        let path = PathAndQuery::try_from(resource::target_path(fill.read.resource, &fill.read.target))
            .map_err(|cause| ErrorKind::Internal.error().because(cause))?;
        let (method, body, trace) = (Method::GET, Body::empty(), fill.trace.clone());
        let outgoing = Outgoing { method, path, fields, body, trace };
        let give_up = self.clock.sleep_until(deadline);
        let call = self.call_of(fill, fill.rules.patience(None));
        let (gone, answer, _) = self.send(&call, lane, departure, outgoing, give_up).await?;
        Ok((gone, answer))
    }
}
