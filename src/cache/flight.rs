//! Flights: many reads, one fill (collapsed forwarding, RFC 9111 §4).
//!
//! A fill runs in a task of its own, so that no caller's leaving cancels it. Who arrives while it is under way follows
//! it. However the task ends, a panic included, its key is free again and everybody who follows is woken.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::{Notify, watch};

use super::key::CacheKey;
use crate::bounded::{bounded, sweep};
use crate::caller::credential::CredentialDigest;
use crate::classify::Target;
use crate::clock::{Clock, Elapsed, Moment};
use crate::lock::Mutex;
use crate::telemetry::Context;
use crate::tick::Tick;

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
        storing: bool,
    },
}

/// A fill under way, as its leader and its followers see it. `L` is what it lands with.
#[derive(Debug)]
pub struct Flight<L> {
    /// Place of the fill in the order of writes.
    pub begun: Tick,
    /// The credential whose token the fill carries.
    pub leader: CredentialDigest,
    /// Where its fill stands in a trace, once that is known.
    pub trace: Arc<OnceLock<Context>>,
    state: watch::Receiver<State<L>>,
    waiting: Arc<Waiting>,
}

/// Where a flight is.
#[derive(Clone, Debug)]
enum State<L> {
    /// Whether its fill may be sent at once is being found out.
    Boarding,
    /// Its fill waits for its turn to be sent.
    Queued,
    /// Its fill is on its way.
    Departed,
    /// It has ended.
    Landed(L),
}

/// Who waits for a flight: a queued fill stays as long as the most patient of them, and not without any.
#[derive(Debug, Default)]
struct Waiting {
    seats: AtomicUsize,
    /// Until when the most patient one waits for the departure: milliseconds of the clock's uptime.
    patience: AtomicU64,
    left: Notify,
}

/// A caller's place in a flight, given up when this is dropped.
#[derive(Debug)]
pub struct Seat(Arc<Waiting>);

impl Drop for Seat {
    fn drop(&mut self) {
        if self.0.seats.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.left.notify_one();
        }
    }
}

/// The fill ended without an answer: it panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crashed;

impl<L: Clone> Flight<L> {
    /// Takes a place of a caller who waits for the departure until `patience`.
    #[must_use]
    pub fn board(&self, patience: Moment) -> Seat {
        self.waiting.seats.fetch_add(1, Ordering::AcqRel);
        self.waiting.patience.fetch_max(millis(patience), Ordering::AcqRel);
        Seat(Arc::clone(&self.waiting))
    }

    /// Whether the fill has been sent.
    #[must_use]
    pub fn has_departed(&self) -> bool {
        !matches!(*self.state.borrow(), State::Boarding | State::Queued)
    }

    /// Waits until the fill has been sent, or it is known that it will not be; where it has to wait for its turn, until
    /// `deadline` at most.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] at the deadline.
    pub async fn departed(&self, clock: &Clock, deadline: Moment) -> Result<(), Elapsed> {
        if self.has_departed() {
            return Ok(());
        }
        let mut state = self.state.clone();
        // A ticket that was dropped has crashed, which the landing tells.
        let _ = state.wait_for(|state| !matches!(state, State::Boarding)).await;
        let departed = async move {
            let _ = state.wait_for(|state| !matches!(state, State::Queued)).await;
        };
        clock.deadline(deadline, departed).await
    }

    /// Waits for the landing, until `deadline` at most. The flight goes on whatever happens here.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] at the deadline; [`Crashed`] inside if the fill panicked.
    pub async fn landing(&self, clock: &Clock, deadline: Moment) -> Result<Result<L, Crashed>, Elapsed> {
        let mut state = self.state.clone();
        clock
            .deadline(deadline, async move {
                match state.wait_for(|state| matches!(state, State::Landed(_))).await.as_deref() {
                    Ok(State::Landed(landing)) => Ok(landing.clone()),
                    _ => Err(Crashed),
                }
            })
            .await
    }
}

fn millis(moment: Moment) -> u64 {
    u64::try_from(moment.uptime().as_millis()).unwrap_or(u64::MAX)
}

/// What became of a read that asked for a flight.
#[derive(Debug)]
pub enum Boarding<L, S> {
    /// Somebody else's flight is under way.
    Following(Arc<Flight<L>>),
    /// A flight was made: run the fill and land it.
    Leading(Arc<Flight<L>>, Ticket<L>),
    /// None is needed: one has just landed.
    Landed(S),
}

/// Every flight under way.
#[derive(Debug)]
pub struct Flights<L>(Arc<Tables<L>>);

#[derive(Debug)]
struct Tables<L> {
    under_way: Mutex<HashMap<FlightKey, Arc<Flight<L>>>>,
    not_collapsed: Mutex<LruCache<KeyHash, Moment>>,
    hasher: RandomState,
}

/// Stands for a key that is not collapsed. A caller chooses what a list is asked for, so the keys themselves would hold
/// what it likes; of two keys with one hash the other is asked for once too often.
type KeyHash = u64;

impl<L> Default for Flights<L> {
    fn default() -> Self {
        Self(Arc::new(Tables {
            under_way: Mutex::default(),
            not_collapsed: Mutex::new(bounded(NOT_COLLAPSED)),
            hasher: RandomState::new(),
        }))
    }
}

impl<L> Flights<L> {
    /// Follows the flight of `key` if `joinable` says so; otherwise begins one, unless `landed` finds that none is needed
    /// any more. It is asked under the lock that a landing flight takes after it has stored: between a miss and a new
    /// flight nothing can land unseen.
    pub fn board<S>(
        &self,
        key: FlightKey,
        leader: CredentialDigest,
        joinable: impl FnOnce(&Flight<L>) -> bool,
        landed: impl FnOnce() -> Option<S>,
        begin: impl FnOnce() -> Tick,
    ) -> Boarding<L, S> {
        let mut under_way = self.0.under_way.lock();
        if let Some(flight) = under_way.get(&key)
            && joinable(flight)
        {
            return Boarding::Following(Arc::clone(flight));
        }
        if let Some(found) = landed() {
            return Boarding::Landed(found);
        }
        let (progress, state) = watch::channel(State::Boarding);
        let waiting = Arc::new(Waiting::default());
        let trace = Arc::default();
        let flight = Flight {
            begun: begin(),
            leader,
            trace: Arc::clone(&trace),
            state,
            waiting: Arc::clone(&waiting),
        };
        let flight = Arc::new(flight);
        under_way.insert(key.clone(), Arc::clone(&flight));
        drop(under_way);
        let ticket =
            Ticket { tables: Arc::clone(&self.0), key, begun: flight.begun, trace, progress, waiting };
        Boarding::Leading(flight, ticket)
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
    pub fn under_way(&self, key: &FlightKey) -> Option<Arc<Flight<L>>> {
        self.0.under_way.lock().get(key).cloned()
    }

    /// How many fills are under way.
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

/// The right to land a flight; dropping it frees the key.
#[derive(Debug)]
pub struct Ticket<L> {
    tables: Arc<Tables<L>>,
    key: FlightKey,
    begun: Tick,
    trace: Arc<OnceLock<Context>>,
    progress: watch::Sender<State<L>>,
    waiting: Arc<Waiting>,
}

impl<L> Ticket<L> {
    /// Says where the flight stands in a trace, to whom may follow it.
    pub fn note_trace(&self, trace: Context) {
        // A flight begins once.
        let _ = self.trace.set(trace);
    }

    /// Ends the flight: the key is free, everybody who follows is woken. In this order: who is woken and asks again must
    /// not meet the flight that it has just left.
    pub fn land(self, landing: L) {
        self.free();
        self.progress.send_replace(State::Landed(landing));
    }

    /// The fill has to wait for its turn.
    pub fn queue(&self) {
        self.progress.send_replace(State::Queued);
    }

    /// The fill is sent now.
    pub fn depart(&self) {
        self.progress.send_replace(State::Departed);
    }

    /// Until when the most patient of those who wait does, as uptime of the clock.
    #[must_use]
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.waiting.patience.load(Ordering::Acquire))
    }

    /// Waits until nobody waits any more who did.
    pub async fn abandoned(&self) {
        loop {
            self.waiting.left.notified().await;
            if self.waiting.seats.load(Ordering::Acquire) == 0 {
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

impl<L> Drop for Ticket<L> {
    fn drop(&mut self) {
        self.free();
    }
}

#[cfg(test)]
#[path = "flight/tests.rs"]
mod tests;
