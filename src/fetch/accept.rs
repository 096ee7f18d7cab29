//! What becomes of an answer: judged by the gate, then by what it proves, then by the fence. Here alone a stored response is
//! made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::response::Parts;

use super::Fetcher;
use super::allowed::{Allowed, useful_for};
use super::items::Taught;
use super::judging::{Question, Sound, Told, Unsound, WriteQuestion};
use super::result::{Fetched, OwnAnswer};
use super::task::{Begun, Fetch};
use crate::cache::gate::{self, Expected};
use crate::cache::key::CacheKey;
use crate::cache::stored::{Packed, ToStore};
use crate::caller::bindings::Refusal;
use crate::caller::credential::Credential;
use crate::caller::standing::Ended;
use crate::classify::Target;
use crate::clock::Moment;
use crate::error::{ErrorKind, ProxyError};
use crate::organization::{Organization, OrganizationId};
use crate::origin::Answered;
use crate::origin::status::Meaning;
use crate::origin::whole::{self, StreamedAnswer, WholeAnswer};
use crate::reason::{GateReason, ProofResult};
use crate::received::Received;
use crate::resource::Descriptor;
use crate::rules::Rules;
use crate::semantics::{age, media_type, validator};
use crate::shield::edge::Blocked;
use crate::tick::Tick;
use crate::upstream::calls::distrust_connection;

/// Largest item that is read whole (G6).
const MAX_ITEM: usize = 256 * 1024;
/// Largest list that is read whole (G6).
const MAX_LIST: usize = 4 * 1024 * 1024;
/// Largest refusal that is read whole; a refusal's body is a sentence.
const MAX_REFUSAL: usize = 256 * 1024;

/// The label that a write's answer carries.
#[derive(Debug)]
pub struct Written<'a> {
    /// Of the writer.
    pub organization: &'a Arc<Organization>,
    /// The writer's.
    pub credential: &'a Credential,
    /// Those of the write.
    pub rules: &'a Rules,
    /// Of the answer.
    pub head: &'a Parts,
    /// Whose it is.
    pub resource: &'static Descriptor,
    /// Which it is.
    pub target: Target,
    /// The label as it is now.
    pub packed: Packed,
    /// Whether the label says who may see it.
    pub grants: bool,
    /// When the write was sent.
    pub sent: Moment,
    /// The tick of the write's own invalidation: what it brings is as young as that.
    pub begun: Tick,
    /// Whether an earlier write had not settled when this one was sent.
    pub settling: bool,
}

impl Fetcher {
    /// A 200: judged by the gate, then by what it proves, then by the fence. `is_read` is set once all of it has come.
    pub(super) async fn receive(
        &self,
        fetch: &Fetch,
        begun: Begun,
        answer: Response<Received>,
        is_read: &AtomicBool,
    ) -> Result<Fetched, ProxyError> {
        let (head, body) = answer.into_parts();
        let limit = if matches!(fetch.read.target, Target::Item(_)) { MAX_ITEM } else { MAX_LIST };
        let body = match whole::read(body, limit, &self.held).await.map_err(whole::unread) {
            Ok(whole::Read::Whole(body)) => body,
            Err(error) => {
                if error.kind() != ErrorKind::NoMemoryForAnswer {
                    self.metrics.gate_rejection(GateReason::Truncated);
                }
                return Err(error);
            }
            Ok(whole::Read::TooLarge(body)) => {
                self.reject(fetch, GateReason::TooLarge);
                return self.streamed(fetch, head, body);
            }
        };
        is_read.store(true, Ordering::Relaxed);
        let (judged, bound) = self.judge(fetch, &head, &body).await?;
        // Whatever the answer proves and whether it may be stored: what it shows concerns its whole organization.
        match &judged {
            Ok(sound) => {
                let (read, rules, sent) = (&fetch.read, &fetch.rules, sent_less_age(begun, &head));
                self.tell_grants(self.cache.note_identity(read, sound.identity, begun.tick, sent, rules));
            }
            Err(Unsound { grants: Some(grants), .. }) => {
                self.tell_grants(self.cache.note_grants(*grants, bound.as_ref(), &fetch.rules));
            }
            Err(Unsound { grants: None, .. }) => {}
        }
        match gate::verdict(gate::examine_head(&head), judged.map_err(|unsound| unsound.reason)) {
            Ok(sound) => Ok(self.accept(fetch, begun, head, body, sound)),
            Err(reason) => Ok(self.turn_away(fetch, head, body, reason)),
        }
    }

    /// What a body is, beside what its caller is bound to: as it was when the fetch began, or else as it is now. Another answer
    /// may have bound it meanwhile, even while a large body was gone through; then it is gone through once more.
    async fn judge(
        &self,
        fetch: &Fetch,
        head: &Parts,
        body: &Bytes,
    ) -> Result<(Result<Sound, Unsound>, Option<Arc<Organization>>), ProxyError> {
        let bound = || fetch.organization.clone().or_else(|| self.bindings.organization(&fetch.credential));
        loop {
            let organization = bound();
            let question = Question {
                resource: fetch.read.resource,
                target: fetch.read.target.clone(),
                expected: Expected {
                    organization: organization.as_ref().map(|organization| organization.id()),
                    workspace: fetch.credential.workspace(),
                },
                etag: validator::upstream_strong_etag(&head.headers),
                takes_items: fetch.use_of.stores() && fetch.rules.cache.list_fill,
                held: self.held.clone(),
            };
            let judged = self.judging.of(body, move |body| question.answer(body)).await?;
            if organization.is_some() || bound().is_none() {
                return Ok((judged, organization));
            }
        }
    }

    /// A body that is what was asked for: proves its credential unless that was refused since, and is stored unless
    /// something was written since.
    fn accept(&self, fetch: &Fetch, begun: Begun, head: Parts, body: Bytes, sound: Sound) -> Fetched {
        let Sound { identity, packed, lesson } = sound;
        let fence = self.cache.fence();
        let organization = fence.organizations().get(identity.organization, self.clock.now());
        let sent = sent_less_age(begun, &head);
        if fetch.use_of.proves() {
            let (credential, resource) = (&fetch.credential, fetch.read.resource);
            let proof = if sent == begun.sent {
                self.bindings.prove(credential, resource, &organization, begun.tick, sent)
            } else {
                self.bindings.prove_by_aged(credential, resource, &organization, begun.tick, sent)
            };
            self.metrics.proof(proof);
            match proof {
                ProofResult::Moved => {
                    return self.turn_away(fetch, head, body, GateReason::OtherOrganization);
                }
                ProofResult::Late => {
                    return Fetched::Own(OwnAnswer::Whole(Arc::new(WholeAnswer::new(head, body))));
                }
                ProofResult::Bound => self.origin.move_account(&fetch.credential, &organization),
                _ => {}
            }
        }
        let (target, rules) = (&fetch.read.target, &fetch.rules);
        let allowed = Allowed::by(&head, rules.of(fetch.read.resource, target));
        let alone = !rules.may_share(&organization, fetch.read.resource, begun.tick)
            || !fetch.use_of.proves()
            || allowed.is_nothing();
        let owner = alone.then(|| fetch.credential.digest());
        let response = ToStore {
            sent,
            settling: fence.is_settling(&organization, target, sent),
            ..made(identity.organization, &head, packed, begun, allowed.limit())
        };
        let response = response.stored();
        let key = CacheKey::new(fetch.read.resource, &organization, owner, target.clone());
        let stored = fetch.use_of.stores()
            && !allowed.is_nothing()
            && !self.cache.is_closed()
            && fence.admits(&organization, target, begun.tick)
            && !self.cache.has_younger(&key, &organization, sent);
        if stored {
            let useful_for = useful_for(rules.of(fetch.read.resource, target));
            self.cache.keep(key, Arc::clone(&response), useful_for, &organization, rules);
            if rules.shares() {
                let (organization, response) = (&organization, &*response);
                // What the upstream said of a page counts for its items as the operator wants it for single reads.
                let of_items = Allowed::by(&head, rules.of_items(fetch.read.resource));
                let taught =
                    Taught { fetch, target, begun, organization, owner, of_items, stamp: None, response };
                self.learn(taught, lesson);
            }
        } else if allowed.is_nothing() {
            self.flights.note_not_collapsible(&fetch.key(&organization), self.clock.now());
        }
        Fetched::Checked { response, stored, owner }
    }

    /// A 200 that may not be stored, and perhaps not be delivered either.
    fn turn_away(&self, fetch: &Fetch, head: Parts, body: Bytes, reason: GateReason) -> Fetched {
        self.reject(fetch, reason);
        if reason.is_mix_up() {
            self.discard(Some(&fetch.credential), &head, reason);
            return Fetched::Own(OwnAnswer::MixedUp);
        }
        self.metrics.proof(ProofResult::Unnamed);
        Fetched::Own(OwnAnswer::Whole(Arc::new(WholeAnswer::new(head, body))))
    }

    /// An answer that belongs to somebody else: neither its connection nor what is known of the caller is trusted any more, here
    /// and at other replicas. What they proved would bring the old organization back with the very next read.
    pub fn discard(&self, credential: Option<&Credential>, head: &Parts, reason: GateReason) {
        if let Some(credential) = credential {
            let ended = self.bindings.drop_binding(credential, self.cache.fence().sequence().advance());
            if let Some(fleet) = &self.fleet {
                // What it was bound to may have gone before this: others, and the store, have what it was proven by.
                let ended = if reason == GateReason::OtherOrganization { Ended::Proofs } else { ended };
                fleet.note_refusal(credential, Refusal::Credential, ended);
            }
        }
        distrust_connection(&head.extensions);
        tracing::error!(reason = %reason, "an upstream answer belongs to another call and was discarded");
    }

    fn reject(&self, fetch: &Fetch, reason: GateReason) {
        self.metrics.gate_rejection(reason);
        // An empty list is released like a refusal: the next one may have items, or another credential may see more.
        if let Some(organization) = &fetch.organization
            && reason != GateReason::EmptyList
        {
            self.flights.note_not_collapsible(&fetch.key(organization), self.clock.now());
        }
    }

    /// Any other status: what it ends has ended before.
    pub(super) async fn receive_other(
        &self,
        fetch: &Fetch,
        answered: Answered,
    ) -> Result<Fetched, ProxyError> {
        let Answered { response, meaning, sent, .. } = answered;
        let (head, body) = response.into_parts();
        if matches!(meaning, Meaning::KeyRefused | Meaning::CredentialRefused | Meaning::ResourceRefused) {
            self.metrics.proof(ProofResult::Refused);
        }
        if meaning == Meaning::NotFound
            && let Some(organization) = &fetch.organization
        {
            self.evict(fetch.key(organization), &fetch.credential);
        }
        let answer = match whole::read(body, MAX_REFUSAL, &self.held).await.map_err(whole::unread)? {
            whole::Read::Whole(body) => Arc::new(WholeAnswer::new(head, body)),
            whole::Read::TooLarge(body) => return self.streamed(fetch, head, body),
        };
        if meaning == Meaning::EdgeBlock {
            let wording =
                self.wording(&fetch.credential, &fetch.read, fetch.organization.as_ref(), self.clock.now());
            if self.origin.shield().edge.on_block(wording, self.clock.now()) == Blocked::Began {
                tracing::warn!(
                    "the edge in front of the API turns the proxy's own reads away: passing reads through"
                );
            }
            return Ok(Fetched::Blocked(wording));
        }
        self.origin.shield().edge.on_other();
        if meaning == Meaning::KeyRefused {
            self.origin.remember(&sent, answer.unauthorized());
        }
        if meaning.is_upstreams_own() {
            return Ok(Fetched::Upstream(answer));
        }
        Ok(Fetched::Own(OwnAnswer::Whole(answer)))
    }

    fn streamed(&self, fetch: &Fetch, head: Parts, body: whole::Beginning) -> Result<Fetched, ProxyError> {
        let call = self.call_of(fetch, self.clock.now(), Duration::ZERO);
        let streamed = self.origin.stream(&call, head, body, fetch.rules.timeouts.idle_timeout)?;
        Ok(Fetched::Own(OwnAnswer::Streamed(Arc::new(StreamedAnswer::new(streamed)))))
    }

    /// What the body that answers a write says; nothing if it is no JSON, or its fate is not known.
    pub async fn told(&self, body: &Bytes, question: WriteQuestion) -> Option<Told> {
        self.judging.of(body, move |body| question.answer(body)).await.ok()?
    }

    /// Stores the label that a proven writer's answer carries, as far as the upstream allows.
    pub fn accept_written(&self, written: Written<'_>) {
        let Written { organization, credential, rules, head, resource, target, packed, sent, begun, .. } =
            written;
        let allowed = Allowed::by(head, rules.of(resource, &target));
        // What a cache on the way had before is no answer to this write.
        let is_aged = !age::of(&head.headers).is_zero();
        if gate::examine_head(head).is_err() || allowed.is_nothing() || is_aged {
            return;
        }
        let alone = written.grants || !rules.may_share(organization, resource, begun);
        let begun = Begun { tick: begun, sent };
        let response = ToStore {
            settling: written.settling,
            ..made(organization.id(), head, packed, begun, allowed.limit())
        };
        let owner = alone.then(|| credential.digest());
        let lifetimes = rules.of(resource, &target);
        let useful_for = lifetimes.ttl + lifetimes.stale_if_error;
        let key = CacheKey::new(resource, organization, owner, target);
        self.cache.keep(key, response.stored(), useful_for, organization, rules);
    }
}

impl Fetch {
    /// What its answer would be stored under.
    pub(super) fn key(&self, organization: &Organization) -> CacheKey {
        let owner =
            (!self.rules.shares_in(organization, self.read.resource)).then(|| self.credential.digest());
        CacheKey::new(self.read.resource, organization, owner, self.read.target.clone())
    }
}

/// When what an answer says was true. RFC 9111 §4.2.3: a cache on the way may have had it for a while: since before a write,
/// before grants, and before its key was revoked.
fn sent_less_age(begun: Begun, head: &Parts) -> Moment {
    begun.sent.back(age::of(&head.headers))
}

/// A stored response of a body that passed the check.
fn made(
    organization: OrganizationId,
    head: &Parts,
    packed: Packed,
    begun: Begun,
    limit: Option<Duration>,
) -> ToStore {
    ToStore {
        organization,
        content_type: media_type::to_keep(&head.headers),
        packed,
        sent: begun.sent,
        begun: begun.tick,
        jitter: fastrand::u8(..),
        settling: false,
        limit,
    }
}
