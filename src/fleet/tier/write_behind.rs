//! What is put into the store, and taken out of it, behind answers. Where that fails the others fetch for themselves.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;

use super::super::control::Stamp;
use super::super::names::SharedCredential;
use super::super::store::{Reply, Script, StoreError};
use super::super::taken::Taken;
use super::Tier;
use super::entry::{Entry, EntryOf, LARGEST_BODY};
use super::look_up_proof::bound_to;
use super::proof::{ProofOf, SharedProof};
use crate::caller::credential::Credential;
use crate::clock::Moment;
use crate::metrics::Operation;
use crate::organization::OrganizationId;

static KEEP_PROOF: Script = Script::new("keep_proof", include_str!("scripts/keep_proof.lua"));
static TAKE_OUT_PROOF: Script = Script::new("take_out_proof", include_str!("scripts/take_out_proof.lua"));
static TAKE_OUT: Script = Script::new("take_out", include_str!("scripts/take_out.lua"));

/// What lives no longer than this is not worth telling.
const SHORTEST_LIFE: Duration = Duration::from_secs(2);

/// A response that was fetched here.
#[derive(Debug)]
pub struct Learned {
    /// Whose.
    pub organization: OrganizationId,
    /// What it answers: path and query, as the upstream gets them.
    pub path: String,
    /// Set where it is for this credential alone.
    pub owner: Option<SharedCredential>,
    /// What had been applied here when its call was sent.
    pub stamp: Stamp,
    /// When that was, less the age that it had then.
    pub sent: Moment,
    /// For how long it is fresh from then on.
    pub lifetime: Duration,
    /// By how much that was shortened.
    pub jitter: u8,
    /// What the upstream allows, where its directives are respected.
    pub limit: Option<Duration>,
    /// `content-type` as it came.
    pub content_type: HeaderValue,
    /// Its strong validator.
    pub etag: HeaderValue,
    /// The body's exact bytes.
    pub body: Bytes,
}

/// A credential that was proved here.
#[derive(Debug)]
pub struct Proved {
    /// Which.
    pub credential: Credential,
    /// By reading this resource, by its collection.
    pub collection: &'static str,
    /// The organization that the body named.
    pub organization: OrganizationId,
    /// What had been applied here when the call was sent.
    pub stamp: Stamp,
    /// When that was.
    pub sent: Moment,
    /// How long it counts from then on.
    pub max_age: Duration,
}

impl Tier {
    /// What a credential is called when something of it is stored.
    #[must_use]
    pub fn named(&self, credential: &Credential) -> Option<SharedCredential> {
        self.0.names.credential(credential)
    }

    /// What it may be called by those who stored something of it.
    #[must_use]
    pub fn all_named(&self, credential: &Credential) -> Vec<SharedCredential> {
        self.0.names.credentials(credential).collect()
    }

    /// Stores a response.
    pub async fn keep(&self, learned: Learned) {
        let now = self.0.clock.now();
        let lives = learned.lifetime.saturating_sub(now.since(learned.sent));
        if !self.may_ask(now) || lives < SHORTEST_LIFE || learned.body.len() > LARGEST_BODY {
            return;
        }
        let Some(sent) = self.0.times.dated(learned.sent, now) else { return };
        let Learned { organization, path, owner, stamp, jitter, limit, content_type, etag, body, .. } =
            learned;
        let name = self.0.names.entry(organization, &path, owner.as_ref());
        let owner = owner.as_ref().map(|owner| owner.credential.bytes());
        let of = EntryOf { scope: self.scope(), organization: organization.name().0, path: &path, owner };
        let entry = Entry { stamp, sent, jitter, limit, content_type, etag, body };
        let sealed = entry.seal(&self.0.sealer, &name, of);
        let deadline = now.plus(self.0.timeout);
        let _ = self.0.data.set(Operation::Store, &name, &sealed, lives, deadline).await;
    }

    /// Stores a proof.
    pub async fn keep_proof(&self, proved: Proved) {
        let now = self.0.clock.now();
        let lives = proved.max_age.saturating_sub(now.since(proved.sent));
        if !self.shares_proofs() || !self.may_ask(now) || lives < SHORTEST_LIFE {
            return;
        }
        let (Some(sent), Some(credential)) =
            (self.0.times.dated(proved.sent, now), self.named(&proved.credential))
        else {
            return;
        };
        let (name, field) =
            (self.0.names.proofs(&credential), self.0.names.proof(&credential, proved.collection));
        let of = ProofOf { scope: self.scope(), credential: &credential, collection: proved.collection };
        let proof = SharedProof { organization: proved.organization.name().0, stamp: proved.stamp, sent };
        let sealed = proof.seal(&self.0.sealer, &bound_to(&name, &field), of);
        let lives = lives.as_millis().to_string();
        let (keys, args): ([&[u8]; 1], [&[u8]; 3]) = ([&name], [&field, &sealed, lives.as_bytes()]);
        let deadline = now.plus(self.0.timeout);
        let _ = self.0.data.call(Operation::Proof, &KEEP_PROOF, &keys, &args, deadline).await;
    }

    /// Takes out all proofs of an `Authorization`, by each of these names; whether there were any.
    pub async fn take_out_proofs(&self, named: &[SharedCredential]) -> Taken {
        let mut any = Taken::Nothing;
        // One by one: they may lie on several nodes.
        for named in named {
            any = any.max(self.take_out(Operation::Proof, &[self.0.names.proofs(named)]).await);
        }
        any
    }

    /// Takes out the proof of a credential by one resource, by its collection, under each of these names; whether there was one.
    pub async fn take_out_proof(&self, named: &[SharedCredential], collection: &str) -> Taken {
        let mut any = Taken::Nothing;
        for named in named {
            let now = self.0.clock.now();
            if !self.may_take_out(now) {
                return any;
            }
            let (name, field) = (self.0.names.proofs(named), self.0.names.proof(named, collection));
            let (keys, args): ([&[u8]; 1], [&[u8]; 1]) = ([&name], [&field]);
            let deadline = now.plus(self.0.timeout);
            let taken = self.0.data.call(Operation::Proof, &TAKE_OUT_PROOF, &keys, &args, deadline).await;
            any = any.max(Taken::of(taken));
        }
        any
    }

    /// Takes out what is stored of something that is gone: what everybody may have, and what this credential alone may;
    /// whether there was any.
    pub async fn take_out_entries(
        &self,
        organization: OrganizationId,
        path: &str,
        credential: &Credential,
    ) -> Taken {
        let owners = self.all_named(credential);
        let owners = std::iter::once(None).chain(owners.iter().map(Some));
        let names: Vec<_> = owners.map(|owner| self.0.names.entry(organization, path, owner)).collect();
        self.take_out(Operation::Store, &names).await
    }

    async fn take_out(&self, operation: Operation, names: &[Vec<u8>]) -> Taken {
        let now = self.0.clock.now();
        if !self.may_take_out(now) {
            return Taken::Nothing;
        }
        let keys: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let taken = self.0.data.call(operation, &TAKE_OUT, &keys, &[], now.plus(self.0.timeout)).await;
        Taken::of(taken)
    }

    /// Runs what nobody waits for.
    pub fn behind(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        self.0.runtime.spawn(work);
    }
}

impl Taken {
    /// By the count that a script answers. Where there is no answer it may have run.
    fn of(answer: Result<Reply, StoreError>) -> Self {
        match answer.and_then(|reply| reply.int()) {
            Ok(1..) => Self::Something,
            Ok(_) => Self::Nothing,
            Err(_) => Self::Unsure,
        }
    }
}
