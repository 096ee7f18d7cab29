//! [`SharedProof`]: that the upstream accepted a credential for an organization, as one replica tells the others.

use bytes::Bytes;
use uuid::Uuid;

use super::super::control::{HistoryId, Stamp};
use super::super::heard::Number;
use super::super::names::SharedCredential;
use super::super::seal::{SealPurpose, Sealer};
use super::record::{Reader, Scope, Writer};
use super::times::SharedTime;
use crate::metrics::Rejected;

/// What a proof is of: it is authenticated whole, and compared byte by byte.
#[derive(Clone, Copy, Debug)]
pub struct ProofOf<'a> {
    /// Of this fleet and upstream.
    pub scope: Scope<'a>,
    /// Whose, under the secret that names it.
    pub credential: &'a SharedCredential,
    /// The resource that was read, by its collection.
    pub collection: &'a str,
}

/// What was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedProof {
    /// The organization that the body named.
    pub organization: Uuid,
    /// What its replica had applied when its call was sent.
    pub stamp: Stamp,
    /// When that was.
    pub sent: SharedTime,
}

impl ProofOf<'_> {
    fn to_bytes(self) -> Vec<u8> {
        let mut record = Writer::default();
        self.scope.write(&mut record);
        let SharedCredential { authorization, credential } = self.credential;
        record.bytes(authorization.bytes()).bytes(credential.bytes()).bytes(self.collection.as_bytes());
        record.finish()
    }
}

impl SharedProof {
    /// Sealed, for this name alone.
    #[must_use]
    pub fn seal(&self, sealer: &Sealer, name: &[u8], of: ProofOf<'_>) -> Vec<u8> {
        let mut record = Writer::default();
        record
            .bytes(&of.to_bytes())
            .bytes(self.organization.as_bytes())
            .bytes(self.stamp.history.bytes())
            .number(self.stamp.number.0);
        record.micros(self.sent.wall).micros(self.sent.store);
        sealer.seal(SealPurpose::Proof, name, &record.finish())
    }

    /// What was found under a name.
    ///
    /// # Errors
    ///
    /// Why it is no proof of this credential.
    pub fn open(sealer: &Sealer, name: &[u8], of: ProofOf<'_>, sealed: &[u8]) -> Result<Self, Rejected> {
        let record =
            sealer.open(SealPurpose::Proof, name, sealed).map_err(|_unreadable| Rejected::Unreadable)?;
        let mut record = Reader::new(Bytes::from(record));
        if record.bytes().ok_or(Rejected::Malformed)? != of.to_bytes() {
            return Err(Rejected::Foreign);
        }
        Self::read(record).ok_or(Rejected::Malformed)
    }

    fn read(mut record: Reader) -> Option<Self> {
        let organization = Uuid::from_slice(&record.bytes()?).ok()?;
        let history = HistoryId::of_bytes(&record.bytes()?)?;
        let stamp = Stamp { history, number: Number(record.number()?) };
        let sent = SharedTime { wall: record.micros()?, store: record.micros()? };
        record.end()?;
        Some(Self { organization, stamp, sent })
    }
}
