//! [`Ended`]: what ended proofs, by the numbers of the notices that said so. It judges the proofs that others have stored.
//!
//! A proof that the store plays again after a refusal, a purge or a new history is worth nothing to a replica that has applied
//! it. Whoever leaves a table counts by the latest that did, which is the safe side.

use std::num::NonZeroUsize;

use lru::LruCache;
use uuid::Uuid;

use super::super::heard::Number;
use super::super::names::SharedCredential;
use crate::bounded::bounded;
use crate::lock::Mutex;

/// Digests, and organizations, that are told apart.
const TOLD_APART: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");

/// What ended proofs.
#[derive(Debug)]
pub struct Ended(Mutex<Table>);

#[derive(Debug)]
struct Table {
    /// `Authorization` values and credentials, by their digests: no value is both but where it means the same.
    digests: Latest<[u8; 32]>,
    organizations: Latest<Uuid>,
    everything: Number,
}

#[derive(Debug)]
struct Latest<K: std::hash::Hash + Eq> {
    table: LruCache<K, Number>,
    others: Number,
}

impl<K: std::hash::Hash + Eq + Copy> Latest<K> {
    fn new() -> Self {
        Self { table: bounded(TOLD_APART), others: Number::default() }
    }

    fn note(&mut self, key: K, number: Number) {
        let number = self.of(&key).max(number);
        if let Some((left, its)) = self.table.push(key, number)
            && left != key
        {
            self.others = self.others.max(its);
        }
    }

    fn of(&self, key: &K) -> Number {
        self.table.peek(key).copied().unwrap_or(self.others)
    }
}

impl Default for Ended {
    fn default() -> Self {
        Self(Mutex::new(Table {
            digests: Latest::new(),
            organizations: Latest::new(),
            everything: Number::default(),
        }))
    }
}

impl Ended {
    /// A refusal of an `Authorization` value or a credential, by its digest under a secret.
    pub fn note_refusal(&self, digest: [u8; 32], number: Number) {
        self.0.lock().digests.note(digest, number);
    }

    /// An operator ended the proofs of an organization.
    pub fn note_organization(&self, organization: Uuid, number: Number) {
        self.0.lock().organizations.note(organization, number);
    }

    /// All proofs ended: a purge of everything, a new history; or what was said before is not known.
    pub fn note_everything(&self, number: Number) {
        let mut table = self.0.lock();
        table.everything = table.everything.max(number);
    }

    /// Whether a proof of `stamp` is from after all that ended proofs of this credential, whatever secret names it, and of
    /// this organization.
    pub fn admits(
        &self,
        credentials: impl IntoIterator<Item = SharedCredential>,
        organization: Uuid,
        stamp: Number,
    ) -> bool {
        let table = self.0.lock();
        stamp >= table.everything
            && stamp >= table.organizations.of(&organization)
            && credentials.into_iter().all(|named| {
                stamp >= table.digests.of(named.authorization.bytes())
                    && stamp >= table.digests.of(named.credential.bytes())
            })
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::caller::credential::Digester;
    use crate::fleet::names::Names;
    use crate::fleet::seal::Secret;

    const ONE: Uuid = Uuid::from_u128(1);

    fn named(token: &str, secrets: &[u8]) -> Vec<SharedCredential> {
        let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        let fields = HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]);
        let credential = Digester::default().credential(&fields).unwrap();
        let secrets: Vec<_> = secrets.iter().map(|byte| Secret::new(&[*byte; 32]).unwrap()).collect();
        Names::new("fleet", &secrets).credentials(&credential).collect()
    }

    #[test]
    fn a_proof_counts_only_if_it_is_from_after_what_ended_proofs() {
        let ended = Ended::default();
        let admits = |token, organization, number| {
            ended.admits(named(token, &[1, 2]), Uuid::from_u128(organization), Number(number))
        };
        assert!(admits("a", 1, 0));
        ended.note_refusal(*named("a", &[2])[0].authorization.bytes(), Number(10));
        assert!(!admits("a", 1, 9) && admits("a", 1, 10), "said under the other secret");
        assert!(admits("b", 1, 9));
        ended.note_organization(ONE, Number(20));
        assert!(!admits("b", 1, 19) && admits("b", 1, 20) && admits("b", 2, 19));
        ended.note_everything(Number(30));
        assert!(!admits("b", 2, 29) && admits("b", 2, 30));
        ended.note_refusal(*named("a", &[1])[0].authorization.bytes(), Number(50));
        ended.note_refusal(*named("a", &[1])[0].authorization.bytes(), Number(40));
        assert!(!admits("a", 2, 49), "never back");
    }

    #[test]
    fn a_refusal_that_left_the_table_is_not_forgotten() {
        let ended = Ended::default();
        ended.note_refusal(*named("a", &[1])[0].authorization.bytes(), Number(10));
        for number in 0..TOLD_APART.get() as u64 {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            ended.note_refusal(digest, Number(20));
        }
        assert!(!ended.admits(named("a", &[1]), ONE, Number(9)));
    }
}
