//! [`StoredResponse`]: an answer that may be served again, and its age and freshness (RFC 9111 §4.2).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;

use crate::clock::{Moment, ShortMoment};
use crate::held::{Held, Keeping};
use crate::organization::OrganizationId;
use crate::semantics::{media_type, owned, validator};
use crate::tick::Tick;

/// Lifetime of what was read while a write settles: the vendor's replication lag is not made longer.
pub const SETTLING_LIFETIME: Duration = Duration::from_secs(1);

/// A 200 that passed the gate: the body's exact bytes and the few fields that are our own to send.
///
/// A label and all that is kept of it is one piece of memory, which ends with its validator and its body: in three pieces, of
/// which the allocator rounds each up and two count references, a label of 340 bytes took a quarter more. What is large, or has a
/// field that few have, lies apart.
#[derive(Debug)]
pub struct StoredResponse<B: ?Sized = [u8]> {
    /// The organization that the body names.
    pub organization: OrganizationId,
    sent: ShortMoment,
    /// Place of its fetch in the order of writes.
    pub begun: Tick,
    apart: Option<Box<Apart>>,
    /// Milliseconds that the upstream allows; [`UNLIMITED`] where it says nothing.
    limit: u32,
    /// Bytes behind the body.
    unused: u16,
    /// Bytes of the validator, which is first.
    etag: u8,
    /// Place in the types that are [common](media_type::COMMON).
    content_type: u8,
    /// By how much the lifetime is shortened: 0 is not at all, 255 a tenth.
    pub jitter: u8,
    /// Whether it was read while a write settled.
    pub settling: bool,
    bytes: B,
}

/// The upstream sets no limit.
const UNLIMITED: u32 = u32::MAX;

/// What is not in one piece.
#[derive(Debug)]
struct Apart {
    content_type: HeaderValue,
    packed: Packed,
}

/// A response that is about to be stored.
#[derive(Clone, Debug)]
pub struct ToStore {
    /// The organization that the body names.
    pub organization: OrganizationId,
    /// `content-type` as it came.
    pub content_type: HeaderValue,
    /// A strong validator, the upstream's or our hash of the body (RFC 9110 §8.8.3), and the body as it came.
    pub packed: Packed,
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

/// The shortest of these pieces that is long enough.
macro_rules! in_shortest {
    ($small:expr, $length:expr, $($piece:literal)+) => {
        match $length {
            $(..=$piece => $small.in_piece::<$piece>(),)+
            _ => $small.in_piece::<COUNTED>(),
        }
    };
}

impl ToStore {
    /// Another body that came with a stored response, and is as old.
    #[must_use]
    pub fn like(stored: &StoredResponse, packed: Packed) -> Self {
        Self {
            organization: stored.organization,
            content_type: stored.content_type().clone(),
            packed,
            sent: stored.sent(),
            begun: stored.begun,
            jitter: stored.jitter,
            settling: stored.settling,
            limit: stored.limit(),
        }
    }

    /// As it is stored.
    #[must_use]
    pub fn stored(self) -> Arc<StoredResponse> {
        let Packed { etag, body, keeping } = &self.packed;
        let common = media_type::COMMON.iter().position(|common| *common == self.content_type);
        let is_small = keeping.is_none() && u8::try_from(etag.len()).is_ok();
        let Some(content_type) = common.filter(|_| is_small) else {
            let Self { content_type, packed, .. } = self.clone();
            let apart = Some(Box::new(Apart { content_type, packed }));
            return Arc::new(StoredResponse { apart, ..self.with([]) });
        };
        let small = Small { content_type: u8::try_from(content_type).unwrap_or_default(), response: &self };
        // With the 58 bytes before them and the two counts of references each is as long as a block of the allocator, which has
        // four lengths between two powers of two.
        in_shortest!(small, etag.len() + body.len(),
            54 86 118 150 182 246 310 374 438 566 694 822 950 1206 1462 1718 1974 2486 2998 3510)
    }

    fn with<const N: usize>(&self, bytes: [u8; N]) -> StoredResponse<[u8; N]> {
        let limit = self.limit.map(|limit| u32::try_from(limit.as_millis()).unwrap_or(UNLIMITED - 1));
        StoredResponse {
            organization: self.organization,
            sent: self.sent.into(),
            begun: self.begun,
            apart: None,
            limit: limit.unwrap_or(UNLIMITED),
            unused: 0,
            etag: 0,
            content_type: 0,
            jitter: self.jitter,
            settling: self.settling,
            bytes,
        }
    }
}

/// A response that fits into one piece.
struct Small<'a> {
    content_type: u8,
    response: &'a ToStore,
}

impl Small<'_> {
    fn in_piece<const N: usize>(&self) -> Arc<StoredResponse> {
        let Packed { etag, body, .. } = &self.response.packed;
        let (mut bytes, end) = ([0; N], etag.len() + body.len());
        bytes[..etag.len()].copy_from_slice(etag.as_bytes());
        bytes[etag.len()..end].copy_from_slice(body);
        Arc::new(StoredResponse {
            unused: u16::try_from(N - end).unwrap_or_default(),
            etag: u8::try_from(etag.len()).unwrap_or_default(),
            content_type: self.content_type,
            ..self.response.with(bytes)
        })
    }
}

impl StoredResponse {
    /// When its fetch was sent: age counts from here, so that it is never understated.
    #[must_use]
    pub fn sent(&self) -> Moment {
        self.sent.moment()
    }

    /// What the upstream allows, where its directives are respected.
    #[must_use]
    pub fn limit(&self) -> Option<Duration> {
        (self.limit != UNLIMITED).then(|| Duration::from_millis(u64::from(self.limit)))
    }

    /// `content-type` as it came.
    #[must_use]
    pub fn content_type(&self) -> &HeaderValue {
        match &self.apart {
            Some(apart) => &apart.content_type,
            None => &media_type::COMMON[usize::from(self.content_type)],
        }
    }

    /// A strong validator: the upstream's, or our hash of the body (RFC 9110 §8.8.3).
    #[must_use]
    pub fn etag(&self) -> &[u8] {
        match &self.apart {
            Some(apart) => apart.packed.etag.as_bytes(),
            None => &self.bytes[..usize::from(self.etag)],
        }
    }

    /// The body as it came.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        match &self.apart {
            Some(apart) => &apart.packed.body,
            None => &self.bytes[usize::from(self.etag)..self.end()],
        }
    }

    /// The validator and the body, which share the response's memory.
    #[must_use]
    pub fn packed(self: &Arc<Self>) -> Packed {
        if let Some(apart) = &self.apart {
            return apart.packed.clone();
        }
        let (piece, end_of_etag) = (Bytes::from_owner(Whole(Arc::clone(self))), usize::from(self.etag));
        // What is a field value is one in another place, too.
        let etag = HeaderValue::from_maybe_shared(piece.slice(..end_of_etag));
        let etag = etag.unwrap_or_else(|_| validator::strong_etag_of(self.body()));
        Packed { etag, body: piece.slice(end_of_etag..), keeping: None }
    }

    /// What a large body counts for where it is not stored.
    #[must_use]
    pub fn keeping(&self) -> Option<&Arc<Keeping>> {
        self.apart.as_ref().and_then(|apart| apart.packed.keeping.as_ref())
    }

    fn end(&self) -> usize {
        self.bytes.len() - usize::from(self.unused)
    }

    /// Time since its fetch was sent.
    #[must_use]
    pub fn age(&self, now: Moment) -> Duration {
        now.since(self.sent())
    }

    /// For how long it is fresh under the `ttl` of its resource: a lower `ttl` holds for what is stored at once.
    #[must_use]
    pub fn freshness_lifetime(&self, ttl: Duration) -> Duration {
        let shortened = ttl - ttl / 2550 * u32::from(self.jitter);
        let allowed = self.limit().map_or(shortened, |limit| shortened.min(limit));
        if self.settling { allowed.min(SETTLING_LIFETIME) } else { allowed }
    }

    /// Bytes that it takes, with what counts its references.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let apart = self.apart.as_ref().map_or(0, |apart| {
            let Apart { content_type, packed } = &**apart;
            size_of::<Apart>() + packed.body.len() + packed.etag.len() + content_type.len()
        });
        2 * size_of::<usize>() + size_of_val(self) + apart
    }
}

/// The body of an answer from memory.
#[derive(Clone, Debug)]
pub enum StoredBody {
    /// That of a stored response.
    Of(Arc<StoredResponse>),
    /// Any other, or none.
    Bytes(Bytes),
}

impl AsRef<[u8]> for StoredBody {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Of(stored) => stored.body(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// The bytes of a response that is in one piece, as long as somebody reads them.
struct Whole(Arc<StoredResponse>);

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes[..self.0.end()]
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

    fn to_store(sent: Moment, body: &[u8]) -> ToStore {
        ToStore {
            organization: OrganizationId::example(0),
            content_type: HeaderValue::from_static("application/json"),
            packed: pack(&HeaderValue::from_static("\"x\""), body, &Held::new(0)),
            sent,
            begun: Tick::default(),
            jitter: 0,
            settling: false,
            limit: None,
        }
    }

    #[test]
    fn what_is_stored_comes_back_as_it_was_whatever_its_length_and_its_fields() {
        let (clock, hand) = Clock::manual();
        hand.advance(Duration::from_nanos(1_234_567_891_011));
        let long = format!("\"{}\"", "e".repeat(300));
        for length in (0..1400).chain([2000, 3510, COUNTED - 4, COUNTED - 3, COUNTED, 9_999]) {
            let body: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            for (etag, content_type, limit) in [
                ("\"x\"", "application/json", None),
                ("\"\"", "application/json; charset=utf-8", Some(Duration::from_millis(1500))),
                ("\"x\"", "application/json;charset=latin1", None),
                (&long, "application/json", Some(Duration::ZERO)),
            ] {
                let response = ToStore {
                    content_type: HeaderValue::from_str(content_type).unwrap(),
                    packed: pack(&HeaderValue::from_str(etag).unwrap(), &body, &Held::new(0)),
                    begun: Tick(7),
                    jitter: 9,
                    limit,
                    ..to_store(clock.now(), b"")
                };
                let stored = response.stored();
                let row = format!("{length} {etag:.9} {content_type}");
                assert_eq!((stored.etag(), stored.body()), (etag.as_bytes(), &body[..]), "{row}");
                assert_eq!(stored.content_type(), content_type, "{row}");
                assert_eq!((stored.sent(), stored.begun, stored.limit()), (clock.now(), Tick(7), limit));
                assert_eq!(stored.keeping().is_some(), etag.len() + length >= COUNTED, "{row}");
                let Packed { etag: shared, body: bytes, .. } = stored.packed();
                drop(stored);
                assert_eq!((shared.as_bytes(), &bytes[..]), (etag.as_bytes(), &body[..]), "{row}");
            }
        }
    }

    #[test]
    fn a_label_and_all_that_is_kept_of_it_is_one_piece_as_long_as_a_block_of_the_allocator() {
        let (clock, _) = Clock::manual();
        let bytes = |length| to_store(clock.now(), &vec![b'x'; length]).stored().bytes();
        assert_eq!([10, 51, 52, 340, 371, 372].map(bytes), [128, 128, 160, 448, 448, 512]);
    }

    #[test]
    fn jitter_shortens_by_a_tenth_at_most_and_settling_to_a_second() {
        let (clock, _) = Clock::manual();
        let mut response = to_store(clock.now(), b"{}");
        let ttl = Duration::from_secs(300);
        assert_eq!(response.clone().stored().freshness_lifetime(ttl), ttl);
        response.jitter = 255;
        let shortest = response.clone().stored().freshness_lifetime(ttl);
        assert!(shortest >= Duration::from_secs(270) && shortest < Duration::from_secs(271), "{shortest:?}");
        response.settling = true;
        assert_eq!(response.stored().freshness_lifetime(ttl), Duration::from_secs(1));
    }
}
