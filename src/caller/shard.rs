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
use crate::clock::{Moment, ShortMoment};
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
    /// Those that act for a workspace, by their `Authorization` values; what stands for one of those alone is the same as it.
    pub(super) acting: HashMap<AuthorizationDigest, Vec<CredentialDigest>>,
    pub(super) refused_authorizations: Refused<AuthorizationDigest>,
    pub(super) refused_credentials: Refused<CredentialDigest>,
    /// Refused by one resource alone.
    pub(super) refused_by: Refused<(CredentialDigest, &'static Descriptor)>,
    pub(super) routes: LruCache<(AuthorizationDigest, CredentialDigest, RouteDigest), RouteRefusal>,
    /// When proofs were last ended of one organization, or of all: what was sent before proves and binds nothing, be it the first
    /// read of a credential that was not bound yet.
    pub(super) ended_of: Refused<OrganizationName>,
    /// When those of first reads under way last were: nothing else is remembered of that.
    pub(super) ended: Tick,
}

/// What is remembered of one credential: whose it is, and what each resource has told of it.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) organization: Arc<Organization>,
    /// By the resource that bound it. Most credentials read one alone.
    first: Proof,
    rest: Option<Box<Rest>>,
}

/// What is remembered of few credentials.
#[derive(Debug, Default)]
struct Rest {
    /// Of one that acts for a workspace.
    authorization: Option<AuthorizationDigest>,
    others: Vec<Proof>,
}

/// What the reads of one resource have told of a credential. A key has scopes by resource: what one says is nothing to the
/// next.
#[derive(Debug)]
pub(super) struct Proof {
    resource: &'static Descriptor,
    sent: Option<ShortMoment>,
    /// Tick of the latest read that was answered 200; outlives refusals.
    pub(super) answered: Tick,
    tries: Option<Box<Tries>>,
}

/// What is remembered of a credential that has read more than once, or elsewhere.
#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    adopted: Option<ShortMoment>,
    last_attempt: Option<ShortMoment>,
    last_failure: Option<ShortMoment>,
    /// When a refresh was last held back here.
    last_held: Option<ShortMoment>,
    /// When a proof was; it is held back more seldom.
    last_held_proof: Option<ShortMoment>,
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
        self.others().iter().find(|proof| proof.resource == resource)
    }

    /// The same, to be changed.
    pub(super) fn by_mut(&mut self, resource: &'static Descriptor) -> Option<&mut Proof> {
        self.proofs().find(|proof| proof.resource == resource)
    }

    /// The same; from now on it has.
    pub(super) fn told_by(&mut self, resource: &'static Descriptor) -> &mut Proof {
        if self.by(resource).is_none() {
            let others = &mut self.rest.get_or_insert_default().others;
            // A vector's first room is for four: most credentials read by one more resource, if any.
            others.reserve_exact(1);
            others.push(Proof { resource, sent: None, answered: Tick::default(), tries: None });
        }
        self.by_mut(resource).expect("it is there now")
    }

    /// Ends all proofs; how many there were.
    pub(super) fn end_all(&mut self) -> usize {
        // All of them, and not as many as it takes to know.
        self.proofs().map(|proof| usize::from(proof.end())).sum()
    }

    fn proofs(&mut self) -> impl Iterator<Item = &mut Proof> {
        std::iter::once(&mut self.first).chain(self.rest.iter_mut().flat_map(|rest| &mut rest.others))
    }

    fn others(&self) -> &[Proof] {
        self.rest.as_ref().map_or(&[], |rest| &rest.others)
    }

    /// Whether a resource has answered it since a refusal on the path of `but`, here or at another replica. What that resource
    /// says itself is no witness for it.
    fn is_sound_since(&self, refusal: &RouteRefusal, but: Option<&'static Descriptor>) -> bool {
        std::iter::once(&self.first).chain(self.others()).any(|proof| {
            Some(proof.resource) != but
                && (proof.answered > refusal.arrived
                    || proof.adopted().is_some_and(|sent| sent.uptime() > refusal.at.uptime()))
        })
    }
}

impl Proof {
    /// By a read that was begun at `begun`, sent at `sent`, and answered 200.
    pub(super) fn of_read(resource: &'static Descriptor, begun: Tick, sent: Moment) -> Self {
        Self { resource, sent: Some(sent.into()), answered: begun, tries: None }
    }

    /// By a read of another replica, sent at `sent`.
    pub(super) fn of_replica(resource: &'static Descriptor, sent: Moment) -> Self {
        let mut proof = Self::of_read(resource, Tick::default(), sent);
        proof.tries().adopted = proof.sent;
        proof
    }

    /// When the latest proving read was sent; `None` once refused.
    pub(super) fn sent(&self) -> Option<Moment> {
        self.sent.map(ShortMoment::moment)
    }

    /// A later read proves it.
    pub(super) fn renew(&mut self, sent: Moment) {
        self.sent = Some(sent.into());
        self.forget_failure(|_| true);
    }

    /// A later read of another replica does.
    pub(super) fn adopt(&mut self, sent: Moment) {
        self.renew(sent);
        self.tries().adopted = self.sent;
    }

    /// No read proves it any more; whether one did.
    fn end(&mut self) -> bool {
        self.sent.take().is_some()
    }

    /// When the latest read of another replica was sent that proves this credential here.
    fn adopted(&self) -> Option<Moment> {
        self.tries.as_ref()?.adopted.map(ShortMoment::moment)
    }

    pub(super) fn note_attempt(&mut self, now: Moment) {
        self.tries().last_attempt = Some(now.into());
    }

    pub(super) fn note_failure(&mut self, now: Moment) {
        self.tries().last_failure = Some(now.into());
    }

    pub(super) fn note_held(&mut self, read: BackgroundRead, now: Moment) {
        match read {
            BackgroundRead::Proof => self.tries().last_held_proof = Some(now.into()),
            BackgroundRead::Refresh => self.tries().last_held = Some(now.into()),
        }
    }

    /// A failure of which this holds says no more that the upstream cannot be asked.
    pub(super) fn forget_failure(&mut self, is_over: impl FnOnce(Moment) -> bool) {
        if let Some(tries) = &mut self.tries
            && tries.last_failure.is_some_and(|failed| is_over(failed.moment()))
        {
            tries.last_failure = None;
        }
    }

    fn tries(&mut self) -> &mut Tries {
        let so_far = self.tried();
        self.tries.get_or_insert_with(|| Box::new(so_far))
    }

    /// What was tried so far: where nothing else is remembered, the read that proves it was the latest attempt.
    fn tried(&self) -> Tries {
        let none = || Tries { last_attempt: self.sent, ..Tries::default() };
        self.tries.as_deref().copied().unwrap_or_else(none)
    }

    pub(super) fn outage(&self, now: Moment) -> Outage {
        let tried = self.tried();
        Outage {
            confirmed: within(tried.last_failure, FAILURE_COUNTS_FOR, now),
            attempt_due: !within(tried.last_attempt, NEXT_ATTEMPT_AFTER, now),
        }
    }

    pub(super) fn may_ask_behind(&self, read: BackgroundRead, now: Moment) -> bool {
        let (tried, outage) = (self.tried(), self.outage(now));
        let was_held = |at| within(at, NEXT_ATTEMPT_AFTER, now);
        (outage.attempt_due || !outage.confirmed)
            && !was_held(tried.last_held_proof)
            && (read == BackgroundRead::Proof || !was_held(tried.last_held))
    }
}

/// What of all credentials one shard may hold.
pub(super) fn share_of(max_credentials: NonZeroUsize, shards: usize) -> NonZeroUsize {
    NonZeroUsize::new(max_credentials.get() / shards).unwrap_or(NonZeroUsize::MIN)
}

fn within(moment: Option<ShortMoment>, span: Duration, now: Moment) -> bool {
    moment.is_some_and(|moment| now.since(moment.moment()) < span)
}

impl Shard {
    pub(super) fn new(capacity: NonZeroUsize) -> Self {
        Self {
            bindings: bounded(capacity),
            acting: HashMap::new(),
            refused_authorizations: Refused::default(),
            refused_credentials: Refused::default(),
            refused_by: Refused::default(),
            routes: bounded(REFUSALS),
            ended_of: Refused::default(),
            ended: Tick::default(),
        }
    }

    /// Whether what was begun at `begun` would prove somebody for an organization whose proofs have ended since.
    pub(super) fn has_ended(&self, organization: &Organization, begun: Tick) -> bool {
        begun <= self.ended || self.ended_of.refused_since(&organization.id().name(), begun)
    }

    /// Whether it is remembered that this credential was refused, or proofs of it ended, at any time.
    pub(super) fn remembers_an_end(
        &self,
        credential: &Credential,
        resource: &'static Descriptor,
        organization: &Organization,
    ) -> bool {
        let ever = Tick::default();
        self.is_refused(credential, resource, ever)
            || self.ended_of.refused_since(&organization.id().name(), ever)
    }

    pub(super) fn resize(&mut self, capacity: NonZeroUsize) {
        while self.bindings.len() > capacity.get()
            && let Some((evicted, binding)) = self.bindings.pop_lru()
        {
            self.forget_acting(&binding, evicted);
        }
        self.bindings.resize(capacity);
    }

    /// Binds a credential by what this says.
    pub(super) fn bind(&mut self, credential: &Credential, organization: &Arc<Organization>, proof: Proof) {
        let digest = credential.digest();
        let authorization =
            Some(credential.authorization_digest()).filter(|_| digest != credential.key_digest());
        let rest = authorization.is_some().then(|| Box::new(Rest { authorization, ..Rest::default() }));
        let binding = Binding { organization: Arc::clone(organization), first: proof, rest };
        if let Some((evicted, binding)) = self.bindings.push(digest, binding) {
            self.forget_acting(&binding, evicted);
        }
        if let Some(authorization) = authorization {
            self.acting.entry(authorization).or_default().push(digest);
        }
    }

    /// Forgets whose a credential is. What was begun no later than `dropped` binds and proves it no more: an answer from
    /// before the doubt would bring the old organization back.
    pub(super) fn unbind(&mut self, credential: CredentialDigest, dropped: Tick) -> Ended {
        self.refused_credentials.note(credential, dropped);
        let Some(mut binding) = self.bindings.pop(&credential) else { return Ended::NoProof };
        self.forget_acting(&binding, credential);
        Ended::of(binding.end_all())
    }

    fn forget_acting(&mut self, binding: &Binding, credential: CredentialDigest) {
        let Some(authorization) = binding.rest.as_ref().and_then(|rest| rest.authorization) else { return };
        if let Some(credentials) = self.acting.get_mut(&authorization) {
            credentials.retain(|known| *known != credential);
            if credentials.is_empty() {
                self.acting.remove(&authorization);
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
        let own = authorization.key_digest();
        let credentials = self.acting.get(&authorization).into_iter().flatten().chain([&own]);
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
        Ended::of(usize::from(proof.is_some_and(Proof::end)))
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
