//! [`Store`]: stored responses in moka, bounded by bytes.
//!
//! moka decides what to keep when space runs out and drops what can no longer be served. It decides nothing about
//! freshness or about writes: its clock is not ours, and an insert that races an invalidation is kept. Each look-up
//! judges the stored response itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use moka::notification::RemovalCause;
use moka::ops::compute::{CompResult, Op};
use moka::policy::Expiry;
use moka::sync::Cache;

use super::key::CacheKey;
use super::stored::StoredResponse;
use crate::metrics::{EvictionCause, Metrics};

/// What moka and the allocator add to an entry: its hash table, its queue, its timer, the times and counts of each. With it
/// the bytes that are counted are those that `benches/memory/run` finds the process to take.
const OVERHEAD: usize = 380;

/// Every stored response of the process.
#[derive(Debug)]
pub struct Store(Cache<CacheKey, Kept, RandomState>);

/// A stored response with the time after which it is of no use to anybody.
#[derive(Clone, Debug)]
struct Kept {
    response: Arc<StoredResponse>,
    /// In seconds, rounded up: a whole duration takes as much room again.
    useful_for: u32,
}

impl Kept {
    fn useful_for(&self) -> Duration {
        Duration::from_secs(u64::from(self.useful_for))
    }
}

struct Usefulness;

impl Expiry<CacheKey, Kept> for Usefulness {
    fn expire_after_create(&self, _: &CacheKey, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.useful_for())
    }

    // Without this a replaced response would keep the deadline of the one before it.
    fn expire_after_update(
        &self,
        _: &CacheKey,
        kept: &Kept,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(kept.useful_for())
    }
}

impl Store {
    /// An empty store that holds at most `max_bytes`.
    #[must_use]
    pub fn new(max_bytes: u64, metrics: Arc<Metrics>) -> Self {
        let cache = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|key: &CacheKey, kept: &Kept| {
                u32::try_from(weight(key, &kept.response)).unwrap_or(u32::MAX)
            })
            .expire_after(Usefulness)
            .eviction_listener(move |_, kept: Kept, cause| {
                if let Some(keeping) = kept.response.keeping() {
                    keeping.leave_store();
                }
                match cause {
                    RemovalCause::Size => metrics.eviction(EvictionCause::Size),
                    RemovalCause::Expired => metrics.eviction(EvictionCause::Expired),
                    RemovalCause::Explicit | RemovalCause::Replaced => {}
                }
            })
            // Seeded anew in each process, and a key gets in only behind an upstream answer: nobody can fill one slot.
            .build_with_hasher(RandomState::default());
        Self(cache)
    }

    /// What is stored under `key`. The caller judges whether it may be served.
    #[must_use]
    pub fn get(&self, key: &CacheKey) -> Option<Arc<StoredResponse>> {
        self.0.get(key).map(|kept| kept.response)
    }

    /// What is stored under `key`, without counting as a use. It goes through all that is stored.
    #[must_use]
    pub fn peek(&self, key: &CacheKey) -> Option<Arc<StoredResponse>> {
        self.0.iter().find(|(stored, _)| **stored == *key).map(|(_, kept)| kept.response)
    }

    /// Stores `response`, unless what is there was brought by a later fetch. `useful_for` bounds how long it takes room.
    pub fn insert(&self, key: CacheKey, response: Arc<StoredResponse>, useful_for: Duration) {
        // Before it is there: whoever lets it go at once counts it again.
        let keeping = response.keeping().cloned().inspect(|keeping| keeping.enter_store());
        let is_large = keeping.is_some();
        let useful_for = u32::try_from(useful_for.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
        let computed = self.0.entry(key).and_compute_with(|present| match present {
            Some(present) if present.value().response.begun > response.begun => Op::Nop,
            _ => Op::Put(Kept { response, useful_for }),
        });
        if let (CompResult::Unchanged(_), Some(keeping)) = (computed, keeping) {
            keeping.leave_store();
        }
        if is_large {
            // moka makes room by and by, after as many as 64 inserts: of lists of 4 MB that is more than a process may have.
            self.0.run_pending_tasks();
        }
    }

    /// Takes one stored response away; whether there was one.
    pub fn remove(&self, key: &CacheKey) -> bool {
        self.0.remove(key).is_some()
    }

    /// Takes away all that `chosen` says; returns how many and their bytes.
    pub fn remove_all(&self, chosen: impl Fn(&CacheKey) -> bool) -> (u64, u64) {
        let mut removed = (0, 0);
        for (key, _) in self.0.iter().filter(|(key, _)| chosen(key)) {
            if let Some(kept) = self.0.remove(&*key) {
                removed = (removed.0 + 1, removed.1 + weight(&key, &kept.response) as u64);
            }
        }
        removed
    }

    /// Lets moka drop what has expired; without it, an idle process would never shrink and the gauges would lie.
    pub fn tidy(&self) {
        self.0.run_pending_tasks();
    }

    /// How many responses are stored, and their bytes.
    #[must_use]
    pub fn size(&self) -> (u64, u64) {
        self.0.run_pending_tasks();
        (self.0.entry_count(), self.0.weighted_size())
    }
}

fn weight(key: &CacheKey, response: &StoredResponse) -> usize {
    size_of::<CacheKey>() + key.heap_bytes() + response.bytes() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use uuid::Uuid;

    use super::*;
    use crate::cache::stored::{Packed, ToStore, pack};
    use crate::classify::Target;
    use crate::clock::{Clock, Moment};
    use crate::held::Held;
    use crate::organization::{OrganizationId, Organizations};
    use crate::resource::LEAD_LABEL;
    use crate::tick::Tick;

    const ORGANIZATION: OrganizationId = OrganizationId::example(1);

    #[test]
    fn what_is_stored_stays_inside_its_bytes() {
        const BOUND: u64 = 1 << 20;
        let store = Store::new(BOUND, Arc::default());
        let (clock, _) = Clock::manual();
        for number in 0..4096 {
            let packed = pack(&HeaderValue::from_static("\"x\""), &[b'x'; 1024], &Held::new(0));
            store.insert(key(number), response(packed, clock.now(), 0), Duration::from_secs(60));
        }
        let (entries, bytes) = store.size();
        assert!(entries > 100 && bytes <= BOUND, "{entries} entries of {bytes} bytes");
    }

    #[test]
    fn large_responses_are_inside_the_bytes_at_every_moment() {
        const BOUND: usize = 1 << 20;
        let (store, held) = (Store::new(BOUND as u64, Arc::default()), Held::new(BOUND));
        let (clock, _) = Clock::manual();
        for number in 0..16 {
            let packed = pack(&HeaderValue::from_static("\"x\""), &[b'x'; BOUND / 4], &held);
            store.insert(key(number), response(packed, clock.now(), 0), Duration::from_secs(60));
            let stored = store.0.iter().count();
            assert!(stored * (BOUND / 4) <= BOUND, "{stored}");
        }
    }

    fn response(packed: Packed, sent: Moment, begun: u64) -> Arc<StoredResponse> {
        let response = ToStore {
            organization: ORGANIZATION,
            content_type: HeaderValue::from_static("application/json"),
            packed,
            sent,
            begun: Tick(begun),
            jitter: 0,
            settling: false,
            limit: None,
        };
        response.stored()
    }

    fn key(number: u128) -> CacheKey {
        let target = Target::Item(Uuid::from_u128(number));
        let (clock, _) = Clock::manual();
        let organization = Organizations::default().get(ORGANIZATION, clock.now());
        CacheKey::new(&LEAD_LABEL, &organization, None, target)
    }

    #[test]
    fn what_a_reader_still_has_of_what_the_store_let_go_of_counts_as_held() {
        let (store, held) = (Store::new(1 << 20, Arc::default()), Held::new(1 << 20));
        let (clock, _) = Clock::manual();
        let large = |begun| {
            let packed = pack(&HeaderValue::from_static("\"x\""), &[b'x'; 9997], &held);
            response(packed, clock.now(), begun)
        };
        let insert = |response: &Arc<StoredResponse>| {
            store.insert(key(1), Arc::clone(response), Duration::from_secs(60));
            store.tidy();
        };
        let first = large(2);
        assert_eq!(held.bytes(), 10_000, "on its way");
        insert(&first);
        assert_eq!(held.bytes(), 0, "stored");
        let second = large(3);
        insert(&second);
        let slice = first.packed().body.slice(..1);
        drop(first);
        assert_eq!(held.bytes(), 10_000, "replaced, and a reader has still to send of its bytes");
        drop(slice);
        until_let_go(&store, &held);
        let late = large(1);
        insert(&late);
        assert_eq!(held.bytes(), 10_000, "it came too late to be stored");
        drop(late);
        store.remove(&key(1));
        store.tidy();
        assert_eq!(held.bytes(), 10_000, "taken away, and read still");
        drop(second);
        until_let_go(&store, &held);
    }

    /// moka drops what it has let go of once no thread of the process looks into a map of its: those of other tests may.
    fn until_let_go(store: &Store, held: &Held) {
        let clock = Clock::system();
        let end = clock.now().plus(Duration::from_secs(20));
        while held.bytes() > 0 {
            assert!(!clock.now().reached(end), "{} bytes are held for nobody", held.bytes());
            store.tidy();
            std::thread::yield_now();
        }
    }
}
