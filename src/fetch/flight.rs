//! Flights: many reads, one fetch (collapsed forwarding, RFC 9111 §4).
//!
//! A fetch runs in a task of its own, so that no caller's leaving cancels it. Who arrives while it is under way joins its
//! flight. However the task ends, a panic included, its key is free again and everybody who waits is woken.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::Notify;

use crate::bounded::{bounded, sweep};
use crate::cache::key::CacheKey;
use crate::caller::credential::CredentialDigest;
use crate::classify::{Read, Target};
use crate::clock::{Clock, Elapsed, Moment};
use crate::lock::Mutex;
use crate::shield::share::Urgency;
use crate::telemetry::Context;
use crate::tick::Tick;
use crate::told::{self, Listener, Teller};

/// For how long a key whose answer could not be stored is not collapsed.
const NOT_COLLAPSED_FOR: Duration = Duration::from_secs(10);
/// Such keys that are told apart.
const NOT_COLLAPSED: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

/// Who may share a flight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FlightKey {
    /// Every credential that is proven for the key's organization.
    Shared(CacheKey),
    /// Reads of one credential.
    Own {
        /// Whose.
        credential: CredentialDigest,
        /// Name of the resource.
        resource: &'static str,
        /// What is read.
        target: Target,
        /// Whether the answer may be stored: the client can forbid it.
        storing: Storing,
    },
}

/// Whether what is fetched may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storing {
    /// It may.
    Allowed,
    /// The client forbids it, or it is never stored.
    Forbidden,
}

impl Storing {
    /// Of a read, whatever its client says.
    #[must_use]
    pub const fn of(read: &Read) -> Self {
        if read.storable { Self::Allowed } else { Self::Forbidden }
    }
}

/// A fetch under way, as those see it who wait for its result, an `R`.
#[derive(Debug)]
pub struct Flight<R> {
    /// Place of the fetch in the order of writes.
    pub begun: Tick,
    /// Whose token the fetch carries.
    pub leader: Leader,
    /// Where it stands in a trace, once that is known.
    pub trace: Arc<OnceLock<Context>>,
    state: Listener<State<R>>,
    waiting: Arc<Waiting>,
}

/// Who began a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The credential whose token the fetch carries.
    pub credential: CredentialDigest,
    /// When its calls may go: until it is sent, whoever joins waits for that.
    pub urgency: Urgency,
}

impl From<CredentialDigest> for Leader {
    fn from(credential: CredentialDigest) -> Self {
        Self { credential, urgency: Urgency::Turns }
    }
}

/// Where a flight is.
#[derive(Clone, Debug)]
enum State<R> {
    /// Whether it may be sent at once is being found out.
    New,
    /// It waits for its turn to be sent.
    Queued,
    /// It is on its way.
    Sent,
    /// It has ended.
    Done(R),
}

/// Who waits for a flight: a queued fetch stays as long as the most patient of them, and not without any.
#[derive(Debug, Default)]
struct Waiting {
    count: AtomicUsize,
    /// Until when the most patient one waits for it to be sent: milliseconds of the clock's uptime.
    max_wait: AtomicU64,
    left: Notify,
}

/// Somebody who waits for a flight, until this is dropped.
#[derive(Debug)]
pub struct Waiter(Arc<Waiting>);

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.left.notify_one();
        }
    }
}

/// The fetch ended without a result: it panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crashed;

impl<R: Clone> Flight<R> {
    /// Somebody waits, and until `max_wait` for the fetch to be sent.
    #[must_use]
    pub fn wait_until(&self, max_wait: Moment) -> Waiter {
        self.waiting.count.fetch_add(1, Ordering::AcqRel);
        self.waiting.max_wait.fetch_max(millis(max_wait), Ordering::AcqRel);
        Waiter(Arc::clone(&self.waiting))
    }

    /// Whether the fetch has been sent.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        self.state.look(|state| !matches!(state, State::New | State::Queued))
    }

    /// Waits until the fetch has been sent, or it is known that it will not be; where it has to wait for its turn, until
    /// `deadline` at most.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] at the deadline.
    pub async fn sent_by(&self, clock: &Clock, deadline: Moment) -> Result<(), Elapsed> {
        if self.is_sent() {
            return Ok(());
        }
        let state = &self.state;
        // A publisher that was dropped has crashed, which the result tells.
        let _ = state.wait_for(|state| (!matches!(state, State::New)).then_some(())).await;
        let sent = async move {
            let _ = state.wait_for(|state| (!matches!(state, State::Queued)).then_some(())).await;
        };
        clock.deadline(deadline, sent).await
    }

    /// Waits for the result, until `deadline` at most. The fetch goes on whatever happens here.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] at the deadline; [`Crashed`] inside if the fetch panicked.
    pub async fn result(&self, clock: &Clock, deadline: Moment) -> Result<Result<R, Crashed>, Elapsed> {
        let result = |state: &State<R>| match state {
            State::Done(result) => Some(result.clone()),
            State::New | State::Queued | State::Sent => None,
        };
        clock.deadline(deadline, async { self.state.wait_for(result).await.map_err(|_| Crashed) }).await
    }
}

fn millis(moment: Moment) -> u64 {
    u64::try_from(moment.uptime().as_millis()).unwrap_or(u64::MAX)
}

/// What became of a read that asked for a flight.
#[derive(Debug)]
pub enum Join<R, S> {
    /// Somebody else's flight is under way.
    Joined(Arc<Flight<R>>),
    /// A flight was made: run its fetch and publish what comes of it.
    Leading(Arc<Flight<R>>, Publisher<R>),
    /// None is needed: what was wanted is there by now.
    Found(S),
}

/// Every flight under way.
#[derive(Debug)]
pub struct Flights<R>(Arc<Tables<R>>);

#[derive(Debug)]
struct Tables<R> {
    under_way: Mutex<HashMap<FlightKey, Arc<Flight<R>>>>,
    not_collapsed: Mutex<LruCache<KeyHash, Moment>>,
    hasher: RandomState,
}

/// Stands for a key that is not collapsed. A caller chooses what a list is asked for, so the keys themselves would hold
/// what it likes; of two keys with one hash the other is asked for once too often.
type KeyHash = u64;

impl<R> Default for Flights<R> {
    fn default() -> Self {
        Self(Arc::new(Tables {
            under_way: Mutex::default(),
            not_collapsed: Mutex::new(bounded(NOT_COLLAPSED)),
            hasher: RandomState::new(),
        }))
    }
}

impl<R> Flights<R> {
    /// Joins the flight of `key` if `joinable` says so; otherwise begins one, unless `found` finds that none is needed any
    /// more. It is asked under the lock that a flight takes to end, after it has stored: between a miss and a new flight
    /// none can end unseen.
    pub fn join<S>(
        &self,
        key: FlightKey,
        leader: impl Into<Leader>,
        joinable: impl FnOnce(&Flight<R>) -> bool,
        found: impl FnOnce() -> Option<S>,
        begin: impl FnOnce() -> Tick,
    ) -> Join<R, S> {
        let mut under_way = self.0.under_way.lock();
        if let Some(flight) = under_way.get(&key)
            && joinable(flight)
        {
            return Join::Joined(Arc::clone(flight));
        }
        if let Some(found) = found() {
            return Join::Found(found);
        }
        let (progress, state) = told::channel(State::New);
        let waiting = Arc::new(Waiting::default());
        let trace = Arc::default();
        let flight = Flight {
            begun: begin(),
            leader: leader.into(),
            trace: Arc::clone(&trace),
            state,
            waiting: Arc::clone(&waiting),
        };
        let flight = Arc::new(flight);
        under_way.insert(key.clone(), Arc::clone(&flight));
        drop(under_way);
        let publisher =
            Publisher { tables: Arc::clone(&self.0), key, begun: flight.begun, trace, progress, waiting };
        Join::Leading(flight, publisher)
    }

    /// Remembers that answers to this key cannot be shared.
    pub fn note_not_collapsible(&self, key: &CacheKey, now: Moment) {
        self.0.not_collapsed.lock().put(self.0.hasher.hash_one(key), now.plus(NOT_COLLAPSED_FOR));
    }

    /// Forgets keys that may be collapsed again.
    pub fn tidy(&self, now: Moment) {
        sweep(&mut self.0.not_collapsed.lock(), |until| now.reached(*until));
    }

    /// Whether reads of this key may share a flight.
    #[must_use]
    pub fn is_collapsible(&self, key: &CacheKey, now: Moment) -> bool {
        let key = self.0.hasher.hash_one(key);
        self.0.not_collapsed.lock().peek(&key).is_none_or(|until| now.reached(*until))
    }

    /// Whether a flight of this key is under way.
    #[must_use]
    pub fn is_under_way(&self, key: &FlightKey) -> bool {
        self.0.under_way.lock().contains_key(key)
    }

    /// The flight of this key that is under way.
    #[must_use]
    pub fn under_way(&self, key: &FlightKey) -> Option<Arc<Flight<R>>> {
        self.0.under_way.lock().get(key).cloned()
    }

    /// How many are under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.under_way.lock().len()
    }

    /// Whether none is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The right to end a flight; dropping it frees the key.
#[derive(Debug)]
pub struct Publisher<R> {
    tables: Arc<Tables<R>>,
    key: FlightKey,
    begun: Tick,
    trace: Arc<OnceLock<Context>>,
    progress: Teller<State<R>>,
    waiting: Arc<Waiting>,
}

impl<R> Publisher<R> {
    /// Place of the fetch in the order of writes.
    #[must_use]
    pub const fn begun(&self) -> Tick {
        self.begun
    }

    /// Says where the flight stands in a trace, to whoever joins it.
    pub fn note_trace(&self, trace: Context) {
        // A flight begins once.
        let _ = self.trace.set(trace);
    }

    /// Ends the flight: the key is free, everybody who waits is woken. In this order: who is woken and asks again must
    /// not meet the flight that it has just left.
    pub fn publish(self, result: R) {
        self.free();
        self.progress.tell(State::Done(result));
    }

    /// The fetch has to wait for its turn.
    pub fn note_queued(&self) {
        self.progress.tell(State::Queued);
    }

    /// The fetch is sent now.
    pub fn note_sent(&self) {
        self.progress.tell(State::Sent);
    }

    /// Until when the most patient of those who wait does, as uptime of the clock.
    #[must_use]
    pub fn max_wait(&self) -> Duration {
        Duration::from_millis(self.waiting.max_wait.load(Ordering::Acquire))
    }

    /// Waits until nobody waits any more who did.
    pub async fn abandoned(&self) {
        loop {
            self.waiting.left.notified().await;
            if self.waiting.count.load(Ordering::Acquire) == 0 {
                return;
            }
        }
    }

    fn free(&self) {
        let mut under_way = self.tables.under_way.lock();
        // A younger flight may have taken the key when a write made this one unfit to join.
        if under_way.get(&self.key).is_some_and(|flight| flight.begun == self.begun) {
            under_way.remove(&self.key);
        }
    }
}

impl<R> Drop for Publisher<R> {
    fn drop(&mut self) {
        self.free();
    }
}

#[cfg(test)]
mod tests;
