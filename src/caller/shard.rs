//! One part of the bindings: what is remembered of the credentials of some tokens, under one lock.
//!
//! Proofs and refusals of one token live in one shard, so that they have an order.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;

use super::credential::{AuthorizationDigest, Credential, CredentialDigest, RouteDigest};
use super::standing::{BackgroundRead, Ended, Outage};
use crate::bounded::bounded;
use crate::clock::Moment;
use crate::organization::Organization;
use crate::tick::Tick;

/// After a failed attempt the upstream counts as one that cannot be asked for this long.
const FAILURE_COUNTS_FOR: Duration = Duration::from_secs(5);
/// While the upstream cannot be asked, attempts of one credential begin this far apart.
const NEXT_ATTEMPT_AFTER: Duration = Duration::from_secs(2);
/// How long a route that a key has no scope for is remembered as such.
const SCOPE_REFUSAL_LASTS: Duration = Duration::from_secs(600);
/// Refused values and routes that a shard tells apart.
pub(super) const REFUSALS: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

#[derive(Debug)]
pub(super) struct Shard {
    /// Ordered by latest proof: looking one up moves nothing.
    pub(super) bindings: LruCache<CredentialDigest, Binding>,
    pub(super) by_authorization: HashMap<AuthorizationDigest, Vec<CredentialDigest>>,
    pub(super) refused_authorizations: Refused<AuthorizationDigest>,
    pub(super) refused_credentials: Refused<CredentialDigest>,
    pub(super) routes: LruCache<(AuthorizationDigest, CredentialDigest, RouteDigest), RouteRefusal>,
}

#[derive(Debug)]
pub(super) struct Binding {
    pub(super) authorization: AuthorizationDigest,
    pub(super) organization: Arc<Organization>,
    /// When the latest proving read was sent; `None` once refused.
    pub(super) proof: Option<Moment>,
    /// When an operator ended its proofs: what was sent before proves nothing.
    pub(super) ended: Tick,
    /// When the latest read of another replica was sent that proves this credential here.
    pub(super) adopted: Option<Moment>,
    /// Tick of the latest label read that was answered 200; outlives refusals.
    pub(super) answered: Tick,
    pub(super) last_attempt: Option<Moment>,
    pub(super) last_failure: Option<Moment>,
    /// When a refresh was last held back here.
    pub(super) last_held: Option<Moment>,
    /// When a proof was; it is held back more seldom.
    pub(super) last_held_proof: Option<Moment>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RouteRefusal {
    pub(super) arrived: Tick,
    pub(super) at: Moment,
    pub(super) scope_until: Option<Moment>,
}
impl Binding {
    pub(super) fn outage(&self, now: Moment) -> Outage {
        Outage {
            confirmed: within(self.last_failure, FAILURE_COUNTS_FOR, now),
            attempt_due: !within(self.last_attempt, NEXT_ATTEMPT_AFTER, now),
        }
    }

    pub(super) fn may_ask_behind(&self, read: BackgroundRead, now: Moment) -> bool {
        let outage = self.outage(now);
        let was_held = |at| within(at, NEXT_ATTEMPT_AFTER, now);
        (outage.attempt_due || !outage.confirmed)
            && !was_held(self.last_held_proof)
            && (read == BackgroundRead::Proof || !was_held(self.last_held))
    }
}

/// What of all credentials one shard may hold.
pub(super) fn share_of(max_credentials: NonZeroUsize, shards: usize) -> NonZeroUsize {
    NonZeroUsize::new(max_credentials.get() / shards).unwrap_or(NonZeroUsize::MIN)
}

pub(super) fn within(moment: Option<Moment>, span: Duration, now: Moment) -> bool {
    moment.is_some_and(|moment| now.since(moment) < span)
}

impl Shard {
    pub(super) fn new(capacity: NonZeroUsize) -> Self {
        Self {
            bindings: bounded(capacity),
            by_authorization: HashMap::new(),
            refused_authorizations: Refused::default(),
            refused_credentials: Refused::default(),
            routes: bounded(REFUSALS),
        }
    }

    pub(super) fn resize(&mut self, capacity: NonZeroUsize) {
        while self.bindings.len() > capacity.get()
            && let Some((evicted, binding)) = self.bindings.pop_lru()
        {
            self.forget_credential(binding.authorization, evicted);
        }
        self.bindings.resize(capacity);
    }

    pub(super) fn bind(
        &mut self,
        credential: &Credential,
        organization: &Arc<Organization>,
        begun: Tick,
        sent: Moment,
    ) {
        let authorization = credential.authorization_digest();
        let binding = Binding {
            authorization,
            organization: Arc::clone(organization),
            proof: Some(sent),
            ended: Tick::default(),
            answered: begun,
            adopted: None,
            last_attempt: Some(sent),
            last_failure: None,
            last_held: None,
            last_held_proof: None,
        };
        if let Some((evicted, binding)) = self.bindings.push(credential.digest(), binding) {
            self.forget_credential(binding.authorization, evicted);
        }
        self.by_authorization.entry(authorization).or_default().push(credential.digest());
    }

    pub(super) fn unbind(&mut self, credential: CredentialDigest) {
        if let Some(binding) = self.bindings.pop(&credential) {
            self.forget_credential(binding.authorization, credential);
        }
    }

    pub(super) fn forget_credential(
        &mut self,
        authorization: AuthorizationDigest,
        credential: CredentialDigest,
    ) {
        if let Some(credentials) = self.by_authorization.get_mut(&authorization) {
            credentials.retain(|known| *known != credential);
            if credentials.is_empty() {
                self.by_authorization.remove(&authorization);
            }
        }
    }

    pub(super) fn is_refused(&self, credential: &Credential, begun: Tick) -> bool {
        self.refused_authorizations.refused_since(&credential.authorization_digest(), begun)
            || self.refused_credentials.refused_since(&credential.digest(), begun)
    }

    pub(super) fn refuse_authorization(
        &mut self,
        authorization: AuthorizationDigest,
        arrived: Tick,
    ) -> Ended {
        self.refused_authorizations.note(authorization, arrived);
        let credentials = self.by_authorization.get(&authorization).into_iter().flatten();
        let ended = credentials.filter(|credential| {
            self.bindings.peek_mut(credential).is_some_and(|binding| binding.proof.take().is_some())
        });
        // All of them, and not as many as it takes to know.
        Ended::of(ended.count())
    }

    pub(super) fn refuse_credential(&mut self, credential: CredentialDigest, arrived: Tick) -> Ended {
        self.refused_credentials.note(credential, arrived);
        let binding = self.bindings.peek_mut(&credential);
        Ended::of(usize::from(binding.is_some_and(|binding| binding.proof.take().is_some())))
    }

    /// A 401 on a route that was refused before, while a label read sent after that refusal was answered 200, says
    /// that the key is sound and lacks a scope. It is remembered for ten minutes.
    pub(super) fn is_scope_refusal(
        &mut self,
        credential: &Credential,
        route: RouteDigest,
        arrived: Tick,
        now: Moment,
    ) -> bool {
        let binding = self.bindings.peek(&credential.digest());
        let (answered, adopted) =
            (binding.map(|known| known.answered), binding.and_then(|known| known.adopted));
        let key = (credential.authorization_digest(), credential.digest(), route);
        let Some(record) = self.routes.get_mut(&key) else {
            self.routes.put(key, RouteRefusal { arrived, at: now, scope_until: None });
            return false;
        };
        if record.scope_until.is_some_and(|until| !now.reached(until)) {
            return true;
        }
        let sound = answered.is_some_and(|answered| answered > record.arrived)
            || adopted.is_some_and(|sent| sent.uptime() > record.at.uptime());
        *record =
            RouteRefusal { arrived, at: now, scope_until: sound.then(|| now.plus(SCOPE_REFUSAL_LASTS)) };
        sound
    }
}

/// When each value was last refused, for as many as are told apart.
#[derive(Debug)]
pub(super) struct Refused<K: std::hash::Hash + Eq> {
    pub(super) table: LruCache<K, Tick>,
    /// Every value that is not in the table counts as refused then.
    pub(super) others: Tick,
}

impl<K: std::hash::Hash + Eq> Default for Refused<K> {
    fn default() -> Self {
        Self { table: bounded(REFUSALS), others: Tick::default() }
    }
}

impl<K: std::hash::Hash + Eq + Copy> Refused<K> {
    pub(super) fn note(&mut self, value: K, arrived: Tick) {
        if let Some((evicted, tick)) = self.table.push(value, arrived)
            && evicted != value
        {
            self.others = self.others.max(tick);
        }
    }

    pub(super) fn refused_since(&self, value: &K, begun: Tick) -> bool {
        self.table.peek(value).copied().unwrap_or_default().max(self.others) > begun
    }
}
