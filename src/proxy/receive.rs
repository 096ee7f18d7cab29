//! What becomes of a fill's answer: judged by the gate, then by what it proves, then by the fence.

use std::sync::Arc;

use bytes::Bytes;
use http::response::Parts;
use http::{Method, Response, StatusCode};

use super::Proxy;
use super::dispatch::Gone;
use super::fill::{Fill, Landing, OwnAnswer};
use super::judging::{Question, Sound, Unsound};
use super::learn::useful_for;
use super::whole::{self, StreamedAnswer, WholeAnswer};
use crate::cache::gate::{self, Expected};
use crate::cache::key::CacheKey;
use crate::cache::stored::{Packed, StoredResponse};
use crate::caller::bindings::Refusal;
use crate::caller::credential::Credential;
use crate::classify::Target;
use crate::error::{ErrorKind, ProxyError};
use crate::metrics::InvalidationCause;
use crate::organization::Organization;
use crate::reason::{GateReason, ProofResult};
use crate::received::Received;
use crate::semantics::{age, media_type, validator};
use crate::shield::account::AccountKey;
use crate::shield::edge::Blocked;
use crate::upstream::calls::distrust_connection;

/// Largest item that is read whole (G6).
const MAX_ITEM: usize = 256 * 1024;
/// Largest list that is read whole (G6).
const MAX_LIST: usize = 4 * 1024 * 1024;
/// Largest refusal that is read whole; a refusal's body is a sentence.
const MAX_REFUSAL: usize = 256 * 1024;

impl Proxy {
    /// A 200: judged by the gate, then by what it proves, then by the fence.
    pub(super) async fn receive(
        &self,
        fill: &Fill,
        answer: Response<Received>,
    ) -> Result<Landing, ProxyError> {
        let (head, body) = answer.into_parts();
        let limit = if matches!(fill.read.target, Target::Item(_)) { MAX_ITEM } else { MAX_LIST };
        let body = match whole::read(body, limit, &self.held).await.map_err(whole::unread) {
            Ok(whole::Read::Whole(body)) => body,
            Err(error) => {
                if error.kind() != ErrorKind::NoMemoryForAnswer {
                    self.metrics.gate_rejection(GateReason::Truncated);
                }
                return Err(error);
            }
            Ok(whole::Read::TooLarge(body)) => {
                self.reject(fill, GateReason::TooLarge);
                let idle = fill.rules.timeouts.idle_timeout;
                let streamed = StreamedAnswer::new(head, body, &self.clock, idle);
                return Ok(Landing::Own(OwnAnswer::Streamed(Arc::new(streamed))));
            }
        };
        let expected = Expected {
            organization: fill.organization.as_ref().map(|organization| organization.id()),
            workspace: fill.credential.workspace(),
        };
        let question = Question {
            resource: fill.read.resource,
            target: fill.read.target.clone(),
            expected,
            etag: validator::upstream_strong_etag(&head.headers),
            takes_items: fill.storing && fill.proving && fill.rules.cache.list_fill,
            held: self.held.clone(),
        };
        let judged = self.judging.of(&body, move |body| question.answer(body)).await?;
        // Whatever the answer proves and whether it may be stored: what it shows concerns its whole organization.
        match &judged {
            Ok(sound) => self.note_identity(fill, sound.identity),
            Err(Unsound { grants: Some(grants), .. }) => {
                self.note_grants(*grants, fill.organization.as_ref(), &fill.rules);
            }
            Err(Unsound { grants: None, .. }) => {}
        }
        let sound = judged.map_err(|unsound| unsound.reason);
        match gate::examine_head(&head).and(sound) {
            Ok(sound) => Ok(self.accept(fill, head, body, sound)),
            Err(reason) => Ok(self.turn_away(fill, head, body, reason)),
        }
    }

    /// A body that is what was asked for: proves its credential unless that was refused since, and is stored unless
    /// something was written since.
    fn accept(&self, fill: &Fill, head: Parts, body: Bytes, sound: Sound) -> Landing {
        let Sound { identity, packed, lesson } = sound;
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
        let alone = !fill.rules.may_share(&organization, fill.begun) || !fill.proving || forbidden;
        let owner = alone.then(|| fill.credential.digest());
        let target = &fill.read.target;
        let Packed { etag, body, keeping } = packed;
        let response = Arc::new(StoredResponse {
            organization: identity.organization,
            content_type: media_type::to_keep(&head.headers),
            etag,
            body,
            // RFC 9111 §4.2.3: a cache on the way may have had it for a while.
            sent: fill.sent.back(age::of(&head.headers)),
            begun: fill.begun,
            jitter: fastrand::u8(..),
            settling: self.fence.is_settling(&organization, target, fill.sent),
            limit,
            keeping,
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
            let useful_for = useful_for(fill.rules.of(target));
            self.keep(key, Arc::clone(&response), useful_for, (&organization, &fill.rules));
            if fill.rules.shares() {
                self.learn(fill, (&organization, owner), &head, &response, lesson);
            }
        }
        Landing::Checked { response, stored, owner }
    }

    /// A 200 that may not be stored, and perhaps not be delivered either.
    fn turn_away(&self, fill: &Fill, head: Parts, body: Bytes, reason: GateReason) -> Landing {
        self.reject(fill, reason);
        if reason.is_mix_up() {
            self.discard(Some(&fill.credential), &head, reason);
            return Landing::Own(OwnAnswer::MixedUp);
        }
        self.metrics.proof(ProofResult::Unnamed);
        Landing::Own(OwnAnswer::Whole(Arc::new(WholeAnswer::new(head, body))))
    }

    /// An answer that belongs to somebody else: neither its connection nor what is known of the caller is trusted any more.
    pub(super) fn discard(&self, credential: Option<&Credential>, head: &Parts, reason: GateReason) {
        if let Some(credential) = credential {
            self.bindings.drop_binding(credential);
        }
        distrust_connection(&head.extensions);
        tracing::error!(reason = %reason, "an upstream answer belongs to another call and was discarded");
    }

    fn reject(&self, fill: &Fill, reason: GateReason) {
        self.metrics.gate_rejection(reason);
        // An empty list is released like a refusal: the next one may have items, or another credential may see more.
        if let Some(organization) = &fill.organization
            && reason != GateReason::EmptyList
        {
            let key = self.shared_key(fill, organization);
            self.flights.note_not_collapsible(&key, self.clock.now());
        }
    }

    pub(super) fn shared_key(&self, fill: &Fill, organization: &Organization) -> CacheKey {
        CacheKey {
            resource: fill.read.resource.name,
            organization: organization.id(),
            owner: (!fill.rules.shares_in(organization)).then(|| fill.credential.digest()),
            target: fill.read.target.clone(),
        }
    }

    /// Any other status: what it ends has ended when this returns.
    pub(super) async fn receive_other(
        &self,
        fill: &Fill,
        status: StatusCode,
        gone: &Gone,
        answer: Response<Received>,
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
        let answer = match whole::read(body, MAX_REFUSAL, &self.held).await.map_err(whole::unread)? {
            whole::Read::Whole(body) => Arc::new(WholeAnswer::new(head, body)),
            whole::Read::TooLarge(body) => {
                let idle = fill.rules.timeouts.idle_timeout;
                let streamed = StreamedAnswer::new(head, body, &self.clock, idle);
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
