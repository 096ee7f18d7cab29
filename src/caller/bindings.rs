//! [`Bindings`]: what the upstream has proved of each credential, and what it has refused.
//!
//! **A proof belongs to a resource.** A key has scopes by resource, so a 200 for tags says whose the key is, and nothing of
//! its right to labels. The organization is one for all of them: by it calls are counted, and by it alone nothing is served.
//!
//! One lock guards a shard of `Authorization` values with everything that hangs on them, so that a proof and a refusal
//! of one token are always seen in one order: a 200 that was sent before a refusal arrived never undoes it. All tables
//! are bounded; where a refusal leaves its table, every answer sent before it is treated as refused (the safe side).

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::credential::{AuthorizationDigest, Credential, CredentialDigest, Digests, RouteDigest};
use super::shard::{Proof, Shard, share_of};
use super::standing::{BackgroundRead, Ended, Outage, Standing};
use crate::clock::Moment;
use crate::config;
use crate::lock::{Mutex, MutexGuard};
use crate::organization::{Organization, OrganizationId, OrganizationName};
use crate::reason::ProofResult;
use crate::resource::Descriptor;
use crate::tick::Tick;

/// Shards where there are many credentials; few credentials live in one, so that the bound is exact.
const SHARDS: usize = 16;

/// A refusal by the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 401: about the `Authorization` value, unless the key merely lacks a scope for this route.
    Unauthorized {
        /// On which route.
        route: RouteDigest,
        /// Whose path it was, if it was a resource's.
        on_resource: Option<&'static Descriptor>,
    },
    /// 402: about this credential alone, whatever it reads.
    Credential,
    /// A JSON 403 on a path of this resource: about this credential alone, and nothing else that it reads.
    Resource(&'static Descriptor),
}

/// Every binding, proof and refusal.
#[derive(Debug)]
pub struct Bindings {
    shards: Box<[Mutex<Shard>]>,
}

impl Bindings {
    /// An empty table for this many credentials.
    #[must_use]
    pub fn new(max_credentials: NonZeroUsize) -> Self {
        let shards = if max_credentials.get() < 4096 { 1 } else { SHARDS };
        let capacity = share_of(max_credentials, shards);
        Self { shards: (0..shards).map(|_| Mutex::new(Shard::new(capacity))).collect() }
    }

    /// From now on at most this many credentials; the least recently proven leave at once. A table that began large keeps
    /// its shards, and with them one credential in each at least.
    pub fn resize(&self, max_credentials: NonZeroUsize) {
        let capacity = share_of(max_credentials, self.shards.len());
        for shard in &self.shards {
            shard.lock().resize(capacity);
        }
    }

    /// What of a resource this credential may have at `now`.
    #[must_use]
    pub fn standing(
        &self,
        credential: &Credential,
        resource: &'static Descriptor,
        rules: &config::Proof,
        now: Moment,
    ) -> Standing {
        self.standing_of(credential.digests(), resource, rules, now)
    }

    /// What of a resource the credential that these stand for may have at `now`.
    #[must_use]
    pub fn standing_of(
        &self,
        digests: Digests,
        resource: &'static Descriptor,
        rules: &config::Proof,
        now: Moment,
    ) -> Standing {
        let shard = self.shard_of(digests.authorization);
        let Some(binding) = shard.bindings.peek(&digests.credential) else {
            return Standing::Unknown;
        };
        let organization = Arc::clone(&binding.organization);
        // What another resource has told gives no right to this one.
        let proof = binding.by(resource).and_then(|proof| Some((proof, now.since(proof.sent()?))));
        match proof {
            // A `max_age` of zero asks each time.
            Some((_, age)) if age <= rules.max_age && !rules.max_age.is_zero() => {
                Standing::Proven { organization, renew: age >= rules.max_age * 3 / 4 }
            }
            Some((proof, age)) if age <= rules.outage_max_age => {
                Standing::Lapsed { organization, outage: Some(proof.outage(now)) }
            }
            _ => Standing::Lapsed { organization, outage: None },
        }
    }

    /// What this credential's own attempts of late to read a resource say of the upstream, whatever its proof.
    #[must_use]
    pub fn outage(
        &self,
        credential: &Credential,
        resource: &'static Descriptor,
        now: Moment,
    ) -> Option<Outage> {
        let shard = self.shard(credential);
        shard.bindings.peek(&credential.digest())?.by(resource).map(|proof| proof.outage(now))
    }

    /// Whether what was read of a resource of `organization` may be delivered to this credential at `now`: for those who
    /// waited for somebody else's flight.
    #[must_use]
    pub fn is_proven_for(
        &self,
        credential: &Credential,
        resource: &'static Descriptor,
        organization: OrganizationId,
        rules: &config::Proof,
        now: Moment,
    ) -> bool {
        matches!(self.standing(credential, resource, rules, now), Standing::Proven { organization: own, .. } if own.id() == organization)
    }

    /// How old the latest proof of this credential by a resource is.
    #[must_use]
    pub fn proof_age(
        &self,
        credential: &Credential,
        resource: &'static Descriptor,
        now: Moment,
    ) -> Option<Duration> {
        let shard = self.shard(credential);
        shard.bindings.peek(&credential.digest())?.by(resource)?.sent().map(|sent| now.since(sent))
    }

    /// The organization that this credential was last bound to, proven or not.
    #[must_use]
    pub fn organization(&self, credential: &Credential) -> Option<Arc<Organization>> {
        self.shard(credential)
            .bindings
            .peek(&credential.digest())
            .map(|binding| Arc::clone(&binding.organization))
    }

    /// The organization of the key itself, for a credential that acts for another workspace.
    #[must_use]
    pub fn organization_of_key(&self, credential: &Credential) -> Option<Arc<Organization>> {
        self.shard(credential)
            .bindings
            .peek(&credential.key_digest())
            .map(|binding| Arc::clone(&binding.organization))
    }

    /// Notes a 200 to this credential's own read of a resource, begun at `begun` and sent at `sent`, whose body names
    /// `organization`: it proves the credential for that resource alone.
    ///
    /// [`ProofResult::Late`] and [`ProofResult::Moved`] prove nothing; the latter also drops the binding.
    #[must_use]
    pub fn prove(
        &self,
        credential: &Credential,
        resource: &'static Descriptor,
        organization: &Arc<Organization>,
        begun: Tick,
        sent: Moment,
    ) -> ProofResult {
        Self::prove_in(&mut self.shard(credential), credential, resource, organization, begun, sent)
    }

    /// What [`Self::prove`] says, under the lock of the credential's shard.
    fn prove_in(
        shard: &mut Shard,
        credential: &Credential,
        resource: &'static Descriptor,
        organization: &Arc<Organization>,
        begun: Tick,
        sent: Moment,
    ) -> ProofResult {
        if shard.is_refused(credential, resource, begun) {
            return ProofResult::Late;
        }
        let digest = credential.digest();
        let is_ended = shard.has_ended(organization, begun);
        let Some(binding) = shard.bindings.peek_mut(&digest) else {
            if is_ended {
                return ProofResult::Late;
            }
            shard.bind(credential, organization, Proof::of_read(resource, begun, sent));
            return ProofResult::Bound;
        };
        if binding.organization.id() != organization.id() {
            shard.unbind(digest, begun);
            return ProofResult::Moved;
        }
        // Who was bound when proofs were ended is bound yet, and another resource may have bound it since.
        if is_ended {
            return ProofResult::Late;
        }
        let proof = binding.told_by(resource);
        if begun > proof.answered {
            proof.answered = begun;
            // One that a cache on the way has had for a while makes no younger one old.
            let younger = proof.sent().filter(|proven| proven.uptime() > sent.uptime());
            proof.renew(younger.unwrap_or(sent));
            // The table may have forgotten and made the organization anew meanwhile.
            binding.organization = Arc::clone(organization);
        }
        shard.bindings.promote(&digest);
        ProofResult::Renewed
    }

    /// Notes a 200 like [`Self::prove`] that a cache on the way had already: it may have been given before a refusal, or before
    /// a key moved, however late it was asked for. For whom any such thing is remembered it proves nothing.
    #[must_use]
    pub fn prove_by_aged(
        &self,
        credential: &Credential,
        resource: &'static Descriptor,
        organization: &Arc<Organization>,
        begun: Tick,
        sent: Moment,
    ) -> ProofResult {
        // Under one lock: what ends a proof may have its tick before `begun`, and come to this shard between the two.
        let mut shard = self.shard(credential);
        if shard.remembers_an_end(credential, resource, organization) {
            return ProofResult::Late;
        }
        Self::prove_in(&mut shard, credential, resource, organization, begun, sent)
    }

    /// Notes that a read of a resource by this credential, sent at `sent`, was answered, whatever it says: the upstream can be
    /// asked, so what failed before that excuses nothing.
    pub fn note_answered(&self, credential: &Credential, resource: &'static Descriptor, sent: Moment) {
        self.note(credential, resource, |proof| proof.forget_failure(|failed| sent.reached(failed)));
    }

    /// Takes over what another replica proved: that a read of a resource sent at `sent` was answered 200 and named
    /// `organization`. It was looked up at `begun`. Whatever was refused, or ended, between the two is for the caller to know.
    ///
    /// A younger proof stays. It is no answer to a read of this process's own: nothing but the proof follows from it.
    #[must_use]
    pub fn adopt(
        &self,
        credential: &Credential,
        resource: &'static Descriptor,
        organization: &Arc<Organization>,
        begun: Tick,
        sent: Moment,
    ) -> ProofResult {
        let mut shard = self.shard(credential);
        if shard.is_refused(credential, resource, begun) {
            return ProofResult::Late;
        }
        let digest = credential.digest();
        let is_ended = shard.has_ended(organization, begun);
        let Some(binding) = shard.bindings.peek_mut(&digest) else {
            if is_ended {
                return ProofResult::Late;
            }
            shard.bind(credential, organization, Proof::of_replica(resource, sent));
            return ProofResult::Bound;
        };
        if binding.organization.id() != organization.id() {
            return ProofResult::Moved;
        }
        // Who was bound when proofs were ended is bound yet, and another resource may have bound it since.
        if is_ended {
            return ProofResult::Late;
        }
        let proof = binding.told_by(resource);
        if proof.sent().is_none_or(|proof| sent.since(proof) > Duration::ZERO) {
            proof.adopt(sent);
            binding.organization = Arc::clone(organization);
        }
        shard.bindings.promote(&digest);
        ProofResult::Renewed
    }

    /// Drops a binding whose organization is in doubt at `dropped`. What was begun before that binds nothing: an answer that was
    /// made before a key moved may arrive behind the one that showed it.
    pub fn drop_binding(&self, credential: &Credential, dropped: Tick) -> Ended {
        self.shard(credential).unbind(credential.digest(), dropped)
    }

    /// Notes a refusal that arrived at `arrived`; every proof that it concerns has ended when this returns. Says what it was
    /// taken for, too: a 401 for want of a scope is about what its path belongs to alone.
    pub fn refuse(
        &self,
        credential: &Credential,
        refusal: Refusal,
        arrived: Tick,
        now: Moment,
    ) -> (Refusal, Ended) {
        let mut shard = self.shard(credential);
        let refusal = match refusal {
            Refusal::Unauthorized { route, on_resource }
                if shard.is_scope_refusal(credential, route, on_resource, arrived, now) =>
            {
                match on_resource {
                    None => return (refusal, Ended::Nothing),
                    Some(resource) => Refusal::Resource(resource),
                }
            }
            _ => refusal,
        };
        let ended = match refusal {
            Refusal::Credential => shard.refuse_credential(credential.digest(), arrived),
            Refusal::Resource(resource) => shard.refuse_by(resource, credential.digest(), arrived),
            Refusal::Unauthorized { .. } => {
                shard.refuse_authorization(credential.authorization_digest(), arrived)
            }
        };
        (refusal, ended)
    }

    /// Whether this credential was refused what it reads of a resource after `begun`; counts what is no longer told apart as
    /// refused.
    #[must_use]
    pub fn is_refused_since(
        &self,
        credential: &Credential,
        resource: &'static Descriptor,
        begun: Tick,
    ) -> bool {
        self.shard(credential).is_refused(credential, resource, begun)
    }

    /// Notes a 401 to an `Authorization` value that came without a credential, or to another replica.
    pub fn refuse_authorization(&self, authorization: AuthorizationDigest, arrived: Tick) -> Ended {
        self.shard_of(authorization).refuse_authorization(authorization, arrived)
    }

    /// Notes that another replica's call with this credential of this `Authorization` was refused by a resource.
    pub fn refuse_by(
        &self,
        resource: &'static Descriptor,
        authorization: AuthorizationDigest,
        credential: CredentialDigest,
        arrived: Tick,
    ) -> Ended {
        self.shard_of(authorization).refuse_by(resource, credential, arrived)
    }

    /// Notes that another replica's call with this credential of this `Authorization` was refused, whatever it reads.
    pub fn refuse_credential(
        &self,
        authorization: AuthorizationDigest,
        credential: CredentialDigest,
        arrived: Tick,
    ) -> Ended {
        self.shard_of(authorization).refuse_credential(credential, arrived)
    }

    /// Notes that a read of a resource by this credential is sent now.
    pub fn note_attempt(&self, credential: &Credential, resource: &'static Descriptor, now: Moment) {
        self.note(credential, resource, |proof| proof.note_attempt(now));
    }

    /// Notes that a read of a resource by this credential failed: a time-out, a 5xx, an edge block, no connection.
    pub fn note_failure(&self, credential: &Credential, resource: &'static Descriptor, now: Moment) {
        self.note(credential, resource, |proof| proof.note_failure(now));
    }

    /// Notes that a background read of a resource by this credential was held back.
    pub fn note_held(
        &self,
        credential: &Credential,
        resource: &'static Descriptor,
        read: BackgroundRead,
        now: Moment,
    ) {
        self.note(credential, resource, |proof| proof.note_held(read, now));
    }

    /// Whether a background read of a resource by this credential may begin: for a moment it may not where the latest one
    /// failed or was held back, or each hit would begin another.
    #[must_use]
    pub fn may_ask_behind(
        &self,
        credential: &Credential,
        resource: &'static Descriptor,
        read: BackgroundRead,
        now: Moment,
    ) -> bool {
        let shard = self.shard(credential);
        let proof = shard.bindings.peek(&credential.digest()).and_then(|binding| binding.by(resource));
        proof.is_none_or(|proof| proof.may_ask_behind(read, now))
    }

    /// Notes something of what a resource has told of a credential, if it has.
    fn note(&self, credential: &Credential, resource: &'static Descriptor, what: impl FnOnce(&mut Proof)) {
        let mut shard = self.shard(credential);
        let binding = shard.bindings.peek_mut(&credential.digest());
        if let Some(proof) = binding.and_then(|binding| binding.by_mut(resource)) {
            what(proof);
        }
    }

    /// Ends the proofs of one organization, or all, by whichever resource, and those that reads under way at `ended` would
    /// still bring, first ones among them; returns how many there were.
    pub fn end_proofs(&self, organization: Option<OrganizationName>, ended: Tick) -> u64 {
        let mut count = 0;
        for shard in &self.shards {
            let mut shard = shard.lock();
            match organization {
                Some(name) => shard.ended_of.note(name, ended),
                None => shard.ended_of.others = shard.ended_of.others.max(ended),
            }
            for (_, binding) in &mut shard.bindings {
                if organization.is_some_and(|name| binding.organization.id().name() != name) {
                    continue;
                }
                count += binding.end_all() as u64;
            }
        }
        count
    }

    /// Ends what first reads under way at `ended` would bring, and nothing else: who begins with a history that is new to it has
    /// ended nobody's proofs, and hears what caches on the way have as before.
    pub fn end_first_proofs(&self, ended: Tick) {
        self.shards.iter().for_each(|shard| shard.lock().ended = ended);
    }

    /// Credentials whose organization is known.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().bindings.len()).sum()
    }

    fn shard(&self, credential: &Credential) -> MutexGuard<'_, Shard> {
        self.shard_of(credential.authorization_digest())
    }

    fn shard_of(&self, authorization: AuthorizationDigest) -> MutexGuard<'_, Shard> {
        self.shards[authorization.shard(self.shards.len())].lock()
    }
}

#[cfg(test)]
mod interleaved;

#[cfg(test)]
mod tests;
