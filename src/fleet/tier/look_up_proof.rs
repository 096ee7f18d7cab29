//! Look-ups of proofs: whether another replica's proof of a credential does, or who asks for one.

use std::sync::Arc;

use super::super::names::SharedCredential;
use super::super::store::{Reply, Script};
use super::fill_lock::{HOLDS, Token};
use super::look_up::{Answer, Found, beginning, token};
use super::proof::{ProofOf, SharedProof};
use super::{Patience, Tier};
use crate::caller::credential::Credential;
use crate::metrics::Operation;
use crate::metrics::Rejected;

static LOOK_UP_PROOF: Script = Script::new("look_up_proof", include_str!("scripts/look_up_proof.lua"));
static PEEK_PROOF: Script = Script::new("peek_proof", include_str!("scripts/peek_proof.lua"));

/// A credential's proof that is looked for: it may be asked for again and again.
#[derive(Debug)]
pub struct ProofLookUp {
    collection: &'static str,
    /// Under the first secret.
    first: Named,
    lock: Vec<u8>,
    token: Token,
    /// How the value begins that was found unfit.
    unfit: Vec<u8>,
    /// Under the other secrets, which are asked once.
    others: Vec<Named>,
}

/// Where a credential's proof lies, under one secret.
#[derive(Debug)]
struct Named {
    credential: SharedCredential,
    name: Vec<u8>,
    field: Vec<u8>,
}

impl Named {
    /// Several lie under one name.
    fn bound_to(&self) -> Vec<u8> {
        bound_to(&self.name, &self.field)
    }
}

/// What a proof is sealed for: its name and its field.
pub(super) fn bound_to(name: &[u8], field: &[u8]) -> Vec<u8> {
    [name, b":", field].concat()
}

impl Tier {
    /// A look-up of a credential's proof by a resource, by its collection; nothing where proofs are not shared.
    #[must_use]
    pub fn look_up_proof(&self, credential: &Credential, collection: &'static str) -> Option<ProofLookUp> {
        let names = self.shares_proofs().then_some(&self.0.names)?;
        let mut named = names.credentials(credential).map(|credential| Named {
            name: names.proofs(&credential),
            field: names.proof(&credential, collection),
            credential,
        });
        let first = named.next()?;
        let lock = names.lock(&first.bound_to());
        let others = named.collect();
        Some(ProofLookUp { collection, first, lock, token: token(), unfit: Vec::new(), others })
    }

    /// The proof that is stored, or who asks for one. What cannot be opened is counted, and asked for no more.
    pub async fn ask_for_proof(
        self: &Arc<Self>,
        look_up: &mut ProofLookUp,
        patience: &mut Patience,
    ) -> Found<SharedProof> {
        loop {
            let lasts = HOLDS.as_millis().to_string();
            let keys: [&[u8]; 2] = [&look_up.first.name, &look_up.lock];
            let args: [&[u8]; 4] = [&look_up.token, lasts.as_bytes(), &look_up.first.field, &look_up.unfit];
            let reply = self.within(patience, Operation::Proof, &LOOK_UP_PROOF, &keys, &args).await;
            let Some(answer) = reply.and_then(|reply| Answer::of(reply).ok()) else {
                // It may have been given the lock by an answer that came too late.
                self.free(look_up.lock.clone(), look_up.token);
                return Found::Without;
            };
            let values = match answer {
                Answer::Values(values) => values,
                other => {
                    let found = self.without_values(other, &look_up.lock, look_up.token);
                    return self.peek_others(look_up, patience).await.unwrap_or(found);
                }
            };
            let Some(value) = values.into_iter().flatten().next() else { return Found::Without };
            look_up.unfit = beginning(&value);
            match self.open_proof(&look_up.first, look_up.collection, &value) {
                Ok(proof) => return Found::Some(vec![(0, proof)]),
                Err(rejected) => self.count(rejected),
            }
        }
    }

    /// What lies under the names that other secrets give the credential: of a replica that has another first one.
    async fn peek_others(
        &self,
        look_up: &mut ProofLookUp,
        patience: &mut Patience,
    ) -> Option<Found<SharedProof>> {
        let mut found = Vec::new();
        for named in std::mem::take(&mut look_up.others) {
            let (keys, args): ([&[u8]; 1], [&[u8]; 1]) = ([&named.name], [&named.field]);
            let Some(Reply::Bytes(value)) =
                self.within(patience, Operation::Proof, &PEEK_PROOF, &keys, &args).await
            else {
                continue;
            };
            match self.open_proof(&named, look_up.collection, &value) {
                Ok(proof) => found.push((found.len(), proof)),
                Err(rejected) => self.count(rejected),
            }
        }
        (!found.is_empty()).then_some(Found::Some(found))
    }

    fn open_proof(
        &self,
        named: &Named,
        collection: &'static str,
        value: &[u8],
    ) -> Result<SharedProof, Rejected> {
        let of = ProofOf { scope: self.scope(), credential: &named.credential, collection };
        SharedProof::open(&self.0.sealer, &named.bound_to(), of, value)
    }
}
