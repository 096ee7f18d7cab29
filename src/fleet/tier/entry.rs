//! [`Entry`]: a stored response as the store has it: sealed, and bound to all that it is of.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use uuid::Uuid;

use super::super::control::{HistoryId, Stamp};
use super::super::heard::Number;
use super::super::seal::{SealPurpose, Sealer};
use super::record::{Reader, Scope, Writer};
use super::times::SharedTime;
use crate::metrics::Rejected;

/// Largest body that is stored.
pub const LARGEST_BODY: usize = 256 * 1024;

/// What an entry is of: it is authenticated whole, and compared byte by byte.
#[derive(Clone, Copy, Debug)]
pub struct EntryOf<'a> {
    /// Of this fleet and upstream.
    pub scope: Scope<'a>,
    /// Whose.
    pub organization: Uuid,
    /// What it answers: path and query, as the upstream gets them.
    pub path: &'a str,
    /// Set where it is for one credential alone: its digest under a secret.
    pub owner: Option<&'a [u8; 32]>,
}

/// A response that passed the gate of some replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What its replica had applied when its call was sent.
    pub stamp: Stamp,
    /// When that was, less the age that it had then.
    pub sent: SharedTime,
    /// By how much its lifetime is shortened.
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

impl EntryOf<'_> {
    fn to_bytes(self) -> Vec<u8> {
        let mut record = Writer::default();
        self.scope.write(&mut record);
        record.bytes(self.organization.as_bytes()).bytes(self.path.as_bytes());
        record.bytes(self.owner.map_or(&[][..], |owner| owner));
        record.finish()
    }
}

impl Entry {
    /// Sealed, for this name alone.
    #[must_use]
    pub fn seal(&self, sealer: &Sealer, name: &[u8], of: EntryOf<'_>) -> Vec<u8> {
        let of = of.to_bytes();
        let mut record = Writer::with_capacity(of.len() + self.body.len() + 256);
        record
            .bytes(&of)
            .bytes(self.stamp.history.bytes())
            .number(self.stamp.number.0)
            .micros(self.sent.wall)
            .micros(self.sent.store);
        record.byte(self.jitter).byte(u8::from(self.limit.is_some())).micros(self.limit.unwrap_or_default());
        record.bytes(self.content_type.as_bytes()).bytes(self.etag.as_bytes()).bytes(&self.body);
        sealer.seal(SealPurpose::Entry, name, &record.finish())
    }

    /// What was found under a name.
    ///
    /// # Errors
    ///
    /// Why it is no entry of what was looked for.
    pub fn open(sealer: &Sealer, name: &[u8], of: EntryOf<'_>, sealed: &[u8]) -> Result<Self, Rejected> {
        let record =
            sealer.open(SealPurpose::Entry, name, sealed).map_err(|_unreadable| Rejected::Unreadable)?;
        let mut record = Reader::new(Bytes::from(record));
        if record.bytes().ok_or(Rejected::Malformed)? != of.to_bytes() {
            return Err(Rejected::Foreign);
        }
        Self::read(record).ok_or(Rejected::Malformed)
    }

    fn read(mut record: Reader) -> Option<Self> {
        let history = HistoryId::of_bytes(&record.bytes()?)?;
        let stamp = Stamp { history, number: Number(record.number()?) };
        let sent = SharedTime { wall: record.micros()?, store: record.micros()? };
        let (jitter, limited, limit) = (record.byte()?, record.byte()?, record.micros()?);
        let limit = match limited {
            0 => None,
            1 => Some(limit),
            _ => return None,
        };
        let content_type = HeaderValue::from_bytes(&record.bytes()?).ok()?;
        let etag = HeaderValue::from_bytes(&record.bytes()?).ok()?;
        let body = record.bytes()?;
        record.end()?;
        Some(Self { stamp, sent, jitter, limit, content_type, etag, body })
    }
}

#[cfg(test)]
#[path = "entry/tests.rs"]
mod tests;
