//! [`Fetch`]: one upstream read that may prove a credential and bring a stored response. It runs in a task of its own.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{Method, StatusCode};

use super::Fetcher;
use super::flight::Publisher;
use super::result::Fetched;
use super::spared::{Asks, Behind, Spared};
use crate::body::Body;
use crate::caller::attempts::AttemptGuard;
use crate::caller::credential::Credential;
use crate::caller::standing::BackgroundRead;
use crate::callers::Payer;
use crate::classify::Read;
use crate::clock::Moment;
use crate::error::{ErrorKind, ProxyError};
use crate::fleet::tier::FillLock;
use crate::organization::Organization;
use crate::origin::{NotAdmitted, Turn};
use crate::purpose::Purpose;
use crate::reason::ProofResult;
use crate::resource;
use crate::rules::Rules;
use crate::shield::budget::Class;
use crate::telemetry::{Context, Span};
use crate::tick::Tick;
use crate::upstream::calls::distrust_connection;
use crate::upstream::outgoing::Outgoing;

/// What a caller is told whose call was held and nothing is known of when it may go.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// What a fetch is to do.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) credential: Credential,
    pub(super) read: Read,
    /// The organization that the credential is bound to.
    pub(super) organization: Option<Arc<Organization>>,
    /// Those of the read that began it.
    pub(super) rules: Arc<Rules>,
    pub(super) peer: IpAddr,
    pub(super) class: Class,
    pub(super) purpose: Purpose,
    pub(super) waited: Waited,
    pub(super) use_of: Use,
    /// What of other replicas would spare it.
    pub(super) asks: Asks,
    /// How long it and its reader have waited for the store.
    pub(super) store_waited: Duration,
    /// Held while it is under way, where it can prove the credential.
    pub(super) attempt: Option<AttemptGuard>,
    /// Who pays for it.
    pub(super) payer: Payer,
    /// What of a trace it is a part of.
    pub(super) trace: Option<Context>,
}

/// Whether somebody waits for a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// Reads do: without any, it does not stay in the queue.
    For,
    /// It is behind everybody's back.
    Behind,
}

/// What the answer to a fetch may be used for, beyond being delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Nothing: the client of a HEAD without proof sees no body.
    Nothing,
    /// It may prove the credential.
    Proof,
    /// It may prove the credential and be stored.
    ProofAndStore,
}

impl Use {
    pub(super) fn proves(self) -> bool {
        self != Self::Nothing
    }

    pub(super) fn stores(self) -> bool {
        self == Self::ProofAndStore
    }
}

/// When a fetch was begun and sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    /// Its place in the order of writes, taken before it is sent.
    pub(super) tick: Tick,
    /// When it was sent; its own deadline and what it proves count from here.
    pub(super) sent: Moment,
}

impl Fetcher {
    /// Runs a fetch behind everybody's back and publishes what comes of it.
    pub(super) fn launch(self: &Arc<Self>, mut fetch: Fetch, publisher: Publisher<Fetched>) {
        let fetcher = Arc::clone(self);
        self.runtime.spawn(async move {
            let span = fetcher.trace_flight(&mut fetch, &publisher);
            let mut behind = None;
            let result = match fetcher.spare(&mut fetch, &publisher).await {
                Spared::By(result) => result,
                Spared::Not(lock) => {
                    let (result, work) = fetcher.go(&fetch, &publisher, lock).await;
                    behind = work;
                    result
                }
            };
            if fetch.purpose == Purpose::ListFill
                && let (Some(organization), false) = (&fetch.organization, result.is_answer())
            {
                let (credential, now) = (fetch.credential.digest(), fetcher.clock.now());
                organization.lists(fetch.read.resource).note_failed_list_fill(
                    credential,
                    publisher.begun(),
                    now,
                );
            }
            fetcher.ask_for_witness(&fetch, &result);
            // First: who is woken by the result must be free to begin the next attempt.
            drop(fetch.attempt.take());
            if let Some(span) = span {
                span.end();
            }
            publisher.publish(result);
            if let Some(behind) = behind {
                behind.tell_others();
            }
        });
    }

    /// Lets a fetch go upstream in its turn; what comes of it, and what is to be told other replicas behind that.
    async fn go(
        &self,
        fetch: &Fetch,
        publisher: &Publisher<Fetched>,
        lock: Option<FillLock>,
    ) -> (Fetched, Option<Behind>) {
        let turn = match self.turn(fetch, publisher).await {
            Ok(turn) => turn,
            Err(not) => return (self.held(fetch, not), None),
        };
        // Before it is sent: what is applied later may be of a write that the answer does not show.
        let stamp = self.fleet.as_ref().and_then(|fleet| fleet.heard().stamp());
        let begun = Begun { tick: publisher.begun(), sent: self.clock.now() };
        if let Some(attempt) = &fetch.attempt {
            attempt.note_sent(begun.sent);
        }
        publisher.note_sent();
        if let Some(lock) = &lock {
            lock.note_sent();
        }
        let result = self.run(fetch, begun, turn).await;
        let behind = stamp.and_then(|stamp| self.behind(fetch, stamp, &result, lock));
        (result, behind)
    }

    /// What comes of a fetch that was not sent.
    fn held(&self, fetch: &Fetch, not: NotAdmitted) -> Fetched {
        match not {
            NotAdmitted::Remembered(answer) => Fetched::Remembered(answer),
            NotAdmitted::Rejected(error) | NotAdmitted::Unconnected(error) => {
                if fetch.waited == Waited::Behind {
                    let is_proof = fetch.class == Class::Proof;
                    let read = if is_proof { BackgroundRead::Proof } else { BackgroundRead::Refresh };
                    self.bindings.note_held(&fetch.credential, fetch.read.resource, read, self.clock.now());
                }
                Fetched::Held(error.kind(), error.wait().unwrap_or(SHORTEST_WAIT))
            }
        }
    }

    async fn run(&self, fetch: &Fetch, begun: Begun, turn: Turn) -> Fetched {
        self.bindings.note_attempt(&fetch.credential, fetch.read.resource, begun.sent);
        let result = self.ask(fetch, begun, turn).await.unwrap_or_else(|error| {
            tracing::warn!(error = %error.kind(), cause = error.causes(), purpose = %fetch.purpose, "fetch failed");
            Fetched::Failed(error.kind(), error.wait())
        });
        if matches!(result, Fetched::Failed(..) | Fetched::Upstream(_) | Fetched::Blocked(_)) {
            self.metrics.proof(ProofResult::Failed);
        }
        if result.is_outage() {
            self.bindings.note_failure(&fetch.credential, fetch.read.resource, self.clock.now());
        } else if result.is_answer() {
            self.bindings.note_answered(&fetch.credential, fetch.read.resource, begun.sent);
        } else if matches!(result, Fetched::Failed(..) | Fetched::Blocked(_)) {
            // It says nothing of the upstream, and the next hit must not begin the same again at once.
            let (credential, now) = (&fetch.credential, self.clock.now());
            self.bindings.note_held(credential, fetch.read.resource, BackgroundRead::Proof, now);
        }
        result
    }

    /// Sends a fetch and takes its answer.
    async fn ask(&self, fetch: &Fetch, begun: Begun, turn: Turn) -> Result<Fetched, ProxyError> {
        let deadline = begun.sent.plus(fetch.rules.timeouts.fill_timeout);
        let path = PathAndQuery::try_from(resource::target_path(fetch.read.resource, &fetch.read.target))
            .map_err(|cause| ErrorKind::Internal.error().because(cause))?;
        let request = || {
            let mut fields = self.origin.upstream().fetch_fields();
            fetch.credential.present(&mut fields);
            let (method, path, trace) = (Method::GET, path.clone(), fetch.trace.clone());
            Some(Outgoing { method, path, fields, body: Body::empty(), trace })
        };
        let call = self.call_of(fetch, begun.sent, fetch.rules.max_wait(None));
        let answered = self.origin.send(&call, turn, request, || self.clock.sleep_until(deadline)).await?;
        // A wall clock that was set back between two tries makes the first one the later of them by that clock.
        let begun = Begun { sent: begun.sent.earliest(answered.sent.at()), ..begun };
        let extensions = answered.response.extensions().clone();
        let is_read = AtomicBool::new(false);
        let receiving = async {
            match answered.response.status() {
                StatusCode::OK => {
                    self.origin.shield().edge.on_other();
                    self.receive(fetch, begun, answered.response, &is_read).await
                }
                _ => self.receive_other(fetch, answered).await,
            }
        };
        self.clock.deadline(deadline, receiving).await.unwrap_or_else(|elapsed| {
            if is_read.load(Ordering::Relaxed) {
                // All of it is here, and has waited for a thread that goes through it: that says nothing of the upstream.
                return Err(ErrorKind::NoTimeForAnswer.error().retry_after(SHORTEST_WAIT).because(elapsed));
            }
            // The rest of the body may still come, and must not be taken for another answer.
            distrust_connection(&extensions);
            Err(ErrorKind::UpstreamTimeout.error().because(elapsed))
        })
    }

    /// The span of a flight, inside the request that leads it; the fetch and whoever joins are told of it.
    fn trace_flight(&self, fetch: &mut Fetch, publisher: &Publisher<Fetched>) -> Option<Span> {
        let span = self.tracing.as_ref()?.child("flight", fetch.trace.as_ref()?);
        publisher.note_trace(span.context());
        fetch.trace = Some(span.context());
        Some(span)
    }
}
