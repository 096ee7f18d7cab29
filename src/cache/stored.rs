//! [`StoredResponse`]: an answer that may be served again, and its age and freshness (RFC 9111 §4.2).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;

use crate::clock::Moment;
use crate::held::{Held, Keeping};
use crate::organization::OrganizationId;
use crate::semantics::owned;
use crate::tick::Tick;

/// Lifetime of what was read while a write settles: the vendor's replication lag is not made longer.
pub const SETTLING_LIFETIME: Duration = Duration::from_secs(1);

/// A 200 that passed the gate: the body's exact bytes and the few fields that are our own to send.
#[derive(Clone, Debug)]
pub struct StoredResponse {
    /// The organization that the body names.
    pub organization: OrganizationId,
    /// The body as it came.
    pub body: Bytes,
    /// `content-type` as it came.
    pub content_type: HeaderValue,
    /// A strong validator: the upstream's, or our hash of the body (RFC 9110 §8.8.3).
    pub etag: HeaderValue,
    /// When its fetch was sent: age counts from here, so that it is never understated.
    pub sent: Moment,
    /// Place of its fetch in the order of writes.
    pub begun: Tick,
    /// By how much the lifetime is shortened: 0 is not at all, 255 a tenth.
    pub jitter: u8,
    /// Whether it was read while a write settled.
    pub settling: bool,
    /// What the upstream allows, where its directives are respected.
    pub limit: Option<Duration>,
    /// What a large body counts for where it is not stored.
    pub keeping: Option<Arc<Keeping>>,
}

/// A validator and a body as they are kept.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The validator.
    pub etag: HeaderValue,
    /// The body's exact bytes.
    pub body: Bytes,
    /// What a large body counts for where it is not stored.
    pub keeping: Option<Arc<Keeping>>,
}

/// From this size on a body counts while it is not stored: what readers have of smaller ones is little.
const COUNTED: usize = 4 * 1024;

/// A validator and a body in one piece of memory, which nothing else shares: two pieces for each label were a tenth of all
/// that it takes, and a slice of what was received would keep the connection's whole read buffer alive.
#[must_use]
pub fn pack(etag: &HeaderValue, body: &[u8], held: &Held) -> Packed {
    let bytes = [etag.as_bytes(), body].concat();
    let keeping = (bytes.len() >= COUNTED).then(|| Arc::new(Keeping::new(held, bytes.len())));
    let piece = match &keeping {
        Some(keeping) => Bytes::from_owner(Piece { bytes, _keeping: Arc::clone(keeping) }),
        None => Bytes::from(bytes),
    };
    let body = piece.slice(etag.len()..);
    // What is a field value is one in another place, too.
    let etag =
        HeaderValue::from_maybe_shared(piece.slice(..etag.len())).unwrap_or_else(|_| owned::value(etag));
    Packed { etag, body, keeping }
}

/// Bytes that count until the last slice of them is dropped: a slow reader has a slice, and not the response.
struct Piece {
    bytes: Vec<u8>,
    _keeping: Arc<Keeping>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl StoredResponse {
    /// Time since its fetch was sent.
    #[must_use]
    pub fn age(&self, now: Moment) -> Duration {
        now.since(self.sent)
    }

    /// For how long it is fresh under the `ttl` of its resource: a lower `ttl` holds for what is stored at once.
    #[must_use]
    pub fn freshness_lifetime(&self, ttl: Duration) -> Duration {
        let shortened = ttl - ttl / 2550 * u32::from(self.jitter);
        let allowed = self.limit.map_or(shortened, |limit| shortened.min(limit));
        if self.settling { allowed.min(SETTLING_LIFETIME) } else { allowed }
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.body.len() + self.content_type.len() + self.etag.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_validator_and_a_body_are_packed_as_they_are_and_share_nothing() {
        for text in ["{}", "", "a body that is longer than its validator, as nearly all of them are"] {
            let (received, tag) =
                (Bytes::from(text.as_bytes().to_vec()), Bytes::from_static(b"\"tag\"").to_vec());
            let tag = Bytes::from(tag);
            let held = Held::new(0);
            let packed = pack(&HeaderValue::from_maybe_shared(tag.clone()).unwrap(), &received, &held);
            assert_eq!((packed.etag.as_bytes(), &packed.body), (&b"\"tag\""[..], &received));
            assert!(packed.keeping.is_none() && held.bytes() == 0);
            assert!((received.is_empty() || received.is_unique()) && tag.is_unique());
        }
    }

    #[test]
    fn jitter_shortens_by_a_tenth_at_most_and_settling_to_a_second() {
        let (clock, _) = Clock::manual();
        let mut stored = StoredResponse {
            organization: OrganizationId::example(0),
            body: Bytes::new(),
            content_type: HeaderValue::from_static("application/json"),
            etag: HeaderValue::from_static("\"x\""),
            sent: clock.now(),
            begun: Tick::default(),
            jitter: 0,
            settling: false,
            limit: None,
            keeping: None,
        };
        let ttl = Duration::from_secs(300);
        assert_eq!(stored.freshness_lifetime(ttl), ttl);
        stored.jitter = 255;
        let shortest = stored.freshness_lifetime(ttl);
        assert!(shortest >= Duration::from_secs(270) && shortest < Duration::from_secs(271), "{shortest:?}");
        stored.settling = true;
        assert_eq!(stored.freshness_lifetime(ttl), Duration::from_secs(1));
    }
}
