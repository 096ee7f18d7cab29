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
use crate::organization::{Organization, OrganizationName};
use crate::resource::Descriptor;
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
    /// Refused by one resource alone.
    pub(super) refused_by: Refused<(CredentialDigest, &'static Descriptor)>,
    pub(super) routes: LruCache<(AuthorizationDigest, CredentialDigest, RouteDigest), RouteRefusal>,
    /// When all proofs were last ended, and when those of one organization were. A credential that was not bound then may have had
    /// its first read under way, which binds nothing either.
    pub(super) ended: Tick,
    pub(super) ended_of: Refused<OrganizationName>,
}

/// What is remembered of one credential: whose it is, and what each resource has told of it.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) authorization: AuthorizationDigest,
    pub(super) organization: Arc<Organization>,
    /// When an operator ended its proofs: what was sent before proves nothing.
    pub(super) ended: Tick,
    /// By the resource that bound it. Most credentials read one alone.
    first: Proof,
    others: Vec<Proof>,
}

/// What the reads of one resource have told of a credential. A key has scopes by resource: what one says is nothing to the
/// next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof {
    resource: &'static Descriptor,
    /// When the latest proving read was sent; `None` once refused.
    pub(super) sent: Option<Moment>,
    /// When the latest read of another replica was sent that proves this credential here.
    pub(super) adopted: Option<Moment>,
    /// Tick of the latest read that was answered 200; outlives refusals.
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
    /// What a resource has told, if it has.
    pub(super) fn by(&self, resource: &'static Descriptor) -> Option<&Proof> {
        if self.first.resource == resource {
            return Some(&self.first);
        }
        self.others.iter().find(|proof| proof.resource == resource)
    }

    /// The same, to be changed.
    pub(super) fn by_mut(&mut self, resource: &'static Descriptor) -> Option<&mut Proof> {
        self.proofs().find(|proof| proof.resource == resource)
    }

    /// The same; from now on it has.
    pub(super) fn told_by(&mut self, resource: &'static Descriptor) -> &mut Proof {
        if self.by(resource).is_none() {
            // A vector's first room is for four: most credentials read by one more resource, if any.
            self.others.reserve_exact(1);
            self.others.push(Proof::none(resource));
        }
        self.by_mut(resource).expect("it is there now")
    }

    /// Ends all proofs; how many there were.
    pub(super) fn end_all(&mut self) -> usize {
        // All of them, and not as many as it takes to know.
        self.proofs().filter(|proof| proof.sent.is_some()).map(|proof| proof.sent = None).count()
    }

    fn proofs(&mut self) -> impl Iterator<Item = &mut Proof> {
        std::iter::once(&mut self.first).chain(&mut self.others)
    }

    /// Whether a resource has answered it since a refusal on the path of `but`, here or at another replica. What that resource
    /// says itself is no witness for it.
    fn is_sound_since(&self, refusal: &RouteRefusal, but: Option<&'static Descriptor>) -> bool {
        std::iter::once(&self.first).chain(&self.others).any(|proof| {
            Some(proof.resource) != but
                && (proof.answered > refusal.arrived
                    || proof.adopted.is_some_and(|sent| sent.uptime() > refusal.at.uptime()))
        })
    }
}

impl Proof {
    fn none(resource: &'static Descriptor) -> Self {
        Self {
            resource,
            sent: None,
            adopted: None,
            answered: Tick::default(),
            last_attempt: None,
            last_failure: None,
            last_held: None,
            last_held_proof: None,
        }
    }

    /// By a read that was begun at `begun`, sent at `sent`, and answered 200.
    pub(super) fn of_read(resource: &'static Descriptor, begun: Tick, sent: Moment) -> Self {
        Self { sent: Some(sent), answered: begun, last_attempt: Some(sent), ..Self::none(resource) }
    }

    /// By a read of another replica, sent at `sent`.
    pub(super) fn adopted(resource: &'static Descriptor, sent: Moment) -> Self {
        Self { adopted: Some(sent), ..Self::of_read(resource, Tick::default(), sent) }
    }

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
            refused_by: Refused::default(),
            routes: bounded(REFUSALS),
            ended: Tick::default(),
            ended_of: Refused::default(),
        }
    }

    /// Whether what was begun at `begun` would bring a first proof by an organization whose proofs have ended since.
    pub(super) fn has_ended(&self, organization: &Organization, begun: Tick) -> bool {
        begun <= self.ended || self.ended_of.refused_since(&organization.id().name(), begun)
    }

    pub(super) fn resize(&mut self, capacity: NonZeroUsize) {
        while self.bindings.len() > capacity.get()
            && let Some((evicted, binding)) = self.bindings.pop_lru()
        {
            self.forget_credential(binding.authorization, evicted);
        }
        self.bindings.resize(capacity);
    }

    /// Binds a credential by what this says.
    pub(super) fn bind(&mut self, credential: &Credential, organization: &Arc<Organization>, proof: Proof) {
        let authorization = credential.authorization_digest();
        let binding = Binding {
            authorization,
            organization: Arc::clone(organization),
            ended: Tick::default(),
            first: proof,
            others: Vec::new(),
        };
        if let Some((evicted, binding)) = self.bindings.push(credential.digest(), binding) {
            self.forget_credential(binding.authorization, evicted);
        }
        self.by_authorization.entry(authorization).or_default().push(credential.digest());
    }

    /// Forgets whose a credential is. What was begun no later than `dropped` binds and proves it no more: an answer from
    /// before the doubt would bring the old organization back.
    pub(super) fn unbind(&mut self, credential: CredentialDigest, dropped: Tick) -> Ended {
        self.refused_credentials.note(credential, dropped);
        let Some(mut binding) = self.bindings.pop(&credential) else { return Ended::NoProof };
        self.forget_credential(binding.authorization, credential);
        Ended::of(binding.end_all())
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

    pub(super) fn is_refused(
        &self,
        credential: &Credential,
        resource: &'static Descriptor,
        begun: Tick,
    ) -> bool {
        self.refused_authorizations.refused_since(&credential.authorization_digest(), begun)
            || self.refused_credentials.refused_since(&credential.digest(), begun)
            || self.refused_by.refused_since(&(credential.digest(), resource), begun)
    }

    pub(super) fn refuse_authorization(
        &mut self,
        authorization: AuthorizationDigest,
        arrived: Tick,
    ) -> Ended {
        self.refused_authorizations.note(authorization, arrived);
        let credentials = self.by_authorization.get(&authorization).into_iter().flatten();
        let ended =
            credentials.map(|credential| self.bindings.peek_mut(credential).map_or(0, Binding::end_all));
        Ended::of(ended.sum())
    }

    pub(super) fn refuse_credential(&mut self, credential: CredentialDigest, arrived: Tick) -> Ended {
        self.refused_credentials.note(credential, arrived);
        Ended::of(self.bindings.peek_mut(&credential).map_or(0, Binding::end_all))
    }

    pub(super) fn refuse_by(
        &mut self,
        resource: &'static Descriptor,
        credential: CredentialDigest,
        arrived: Tick,
    ) -> Ended {
        self.refused_by.note((credential, resource), arrived);
        let proof = self.bindings.peek_mut(&credential).and_then(|binding| binding.by_mut(resource));
        Ended::of(usize::from(proof.is_some_and(|proof| proof.sent.take().is_some())))
    }

    /// A 401 on a route that was refused before, while a read of another resource sent after that refusal was answered 200, says
    /// that the key is sound and lacks a scope. It is remembered for ten minutes.
    pub(super) fn is_scope_refusal(
        &mut self,
        credential: &Credential,
        route: RouteDigest,
        on_resource: Option<&'static Descriptor>,
        arrived: Tick,
        now: Moment,
    ) -> bool {
        let binding = self.bindings.peek(&credential.digest());
        let key = (credential.authorization_digest(), credential.digest(), route);
        let Some(record) = self.routes.get_mut(&key) else {
            self.routes.put(key, RouteRefusal { arrived, at: now, scope_until: None });
            return false;
        };
        if record.scope_until.is_some_and(|until| !now.reached(until)) {
            return true;
        }
        let sound = binding.is_some_and(|binding| binding.is_sound_since(record, on_resource));
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
    /// Two that arrive at once may come here in either order: the later one counts.
    pub(super) fn note(&mut self, value: K, arrived: Tick) {
        let arrived = self.table.peek(&value).map_or(arrived, |known| arrived.max(*known));
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
