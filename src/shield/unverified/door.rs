//! [`Door`]: who is known, who is in flight, who waits, and what refusals have spent. A value fed with `now`.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use tokio::sync::oneshot;

use super::bucket::Bucket;
use super::{Pass, TurnedAway, Who};
use crate::bounded::{bounded, sweep};
use crate::clock::Moment;

/// Calls in flight of one unverified caller.
const SLOTS_EACH: usize = 8;
/// Calls in flight of all unverified callers.
const SLOTS: usize = 64;
/// Calls in flight from one source address.
const SLOTS_OF_ADDRESS: usize = SLOTS / 2;
/// Calls that wait for a slot; half of them from one address.
const WAITING: usize = 1000;
/// How long an answer keeps a caller known.
pub(super) const KNOWN_FOR: Duration = Duration::from_secs(600);
/// Callers that are known at once; the one answered longest ago leaves.
pub(super) const KNOWN: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");
/// Source addresses whose refusals are told apart.
pub(super) const ADDRESSES: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// What the door says to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// No unverified caller: come in.
    Known,
    /// A slot is free.
    Free,
    /// None is, of its own, its address's or all.
    Full,
    /// Too many refusals: something is left for it after this time.
    Spent(Duration),
}

/// What the upstream said to a caller, other than that it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It did what was asked.
    Accepted,
    /// Anything else: whoever makes a key up may hear that.
    Something,
}

/// When a caller was last answered, and when the upstream last did what it asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    answered: Moment,
    accepted: Option<Moment>,
}

/// A call that waits for its verdict.
#[derive(Debug)]
pub(super) struct Waiter {
    number: u64,
    pub(super) caller: Who,
    pub(super) address: IpAddr,
    pub(super) tell: oneshot::Sender<Result<Pass, TurnedAway>>,
}

/// The state behind the lock.
#[derive(Debug)]
pub(super) struct Door {
    known: LruCache<Who, Known>,
    in_flight: usize,
    // No larger than `in_flight`: who has no call in flight is not listed.
    of_caller: HashMap<Who, usize>,
    of_address: HashMap<IpAddr, usize>,
    refused: Refusals,
    /// In the order of arrival.
    waiting: Vec<Waiter>,
    last_number: u64,
}

impl Default for Door {
    fn default() -> Self {
        Self {
            known: bounded(KNOWN),
            in_flight: 0,
            of_caller: HashMap::new(),
            of_address: HashMap::new(),
            refused: Refusals::default(),
            waiting: Vec::new(),
            last_number: 0,
        }
    }
}

impl Door {
    /// What a caller gets that asks now.
    pub(super) fn judge(&self, caller: Who, address: IpAddr, now: Moment) -> Entry {
        if self.knows(caller, now) {
            return Entry::Known;
        }
        let spent = self.refused.wait(address, now);
        let (own, near) = self.loads(caller, address);
        if !spent.is_zero() {
            Entry::Spent(spent)
        } else if self.in_flight < SLOTS && own < SLOTS_EACH && near < SLOTS_OF_ADDRESS {
            Entry::Free
        } else {
            Entry::Full
        }
    }

    /// Whether the upstream answered this caller lately.
    pub(super) fn knows(&self, caller: Who, now: Moment) -> bool {
        self.known.peek(&caller).is_some_and(|known| now.since(known.answered) < KNOWN_FOR)
    }

    /// Whether the upstream did what this caller asked lately.
    pub(super) fn has_accepted(&self, caller: Who, now: Moment) -> bool {
        let accepted = self.known.peek(&caller).and_then(|known| known.accepted);
        accepted.is_some_and(|accepted| now.since(accepted) < KNOWN_FOR)
    }

    /// Returns whether the caller was an unverified caller before, so that those of its calls that wait may go.
    pub(super) fn note_known(&mut self, caller: Who, said: Said, now: Moment) -> bool {
        let was_unverified = !self.knows(caller, now);
        if caller != Who::Anonymous {
            let accepted = match said {
                Said::Accepted => Some(now),
                Said::Something => self.known.peek(&caller).and_then(|known| known.accepted),
            };
            self.known.put(caller, Known { answered: now, accepted });
        }
        was_unverified
    }

    /// Takes out the next of those who wait that need not: among unverified callers one from the address, then of the caller,
    /// with the fewest calls in flight, so that nobody gets in faster by waiting in great number.
    pub(super) fn next(&mut self, now: Moment) -> Option<(Waiter, Entry)> {
        let mut best: Option<(usize, Entry, (usize, usize))> = None;
        for at in 0..self.waiting.len() {
            let Waiter { caller, address, .. } = self.waiting[at];
            let (own, near) = self.loads(caller, address);
            match self.judge(caller, address, now) {
                Entry::Full => {}
                Entry::Free if best.is_some_and(|(_, _, load)| load <= (near, own)) => {}
                entry @ Entry::Free => best = Some((at, entry, (near, own))),
                entry @ (Entry::Known | Entry::Spent(_)) => return Some((self.waiting.remove(at), entry)),
            }
        }
        best.map(|(at, entry, _)| (self.waiting.remove(at), entry))
    }

    /// Whether there is room for one more to wait.
    pub(super) fn may_queue(&self, address: IpAddr) -> bool {
        let near = || self.waiting.iter().filter(|waiter| waiter.address == address).count();
        self.waiting.len() < WAITING && near() < WAITING / 2
    }

    /// A place among those who wait, and where its verdict will come.
    pub(super) fn queue(
        &mut self,
        caller: Who,
        address: IpAddr,
    ) -> (u64, oneshot::Receiver<Result<Pass, TurnedAway>>) {
        self.last_number += 1;
        let number = self.last_number;
        let (tell, verdict) = oneshot::channel();
        self.waiting.push(Waiter { number, caller, address, tell });
        (number, verdict)
    }

    /// Takes back a place, if it is still there.
    pub(super) fn leave(&mut self, number: u64) {
        self.waiting.retain(|waiter| waiter.number != number);
    }

    /// Notes a 401 to an unverified caller.
    pub(super) fn note_refusal(&mut self, address: IpAddr, now: Moment) {
        self.refused.spend(address, now);
    }

    /// Forgets who is an unverified caller again, and addresses whose allowance is full.
    pub(super) fn tidy(&mut self, now: Moment) {
        sweep(&mut self.known, |known| now.since(known.answered) >= KNOWN_FOR);
        sweep(&mut self.refused.of_address, |bucket| bucket.is_full(now));
    }

    /// Callers that are known, addresses that are told apart.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> (usize, usize) {
        (self.known.len(), self.refused.of_address.len())
    }

    /// Calls in flight, and calls that wait.
    pub(super) fn load(&self) -> (usize, usize) {
        (self.in_flight, self.waiting.len())
    }

    /// Whether nothing is counted any more.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.load() == (0, 0) && self.of_caller.is_empty() && self.of_address.is_empty()
    }

    /// Calls in flight of this caller and from this address.
    fn loads(&self, caller: Who, address: IpAddr) -> (usize, usize) {
        let of = |count: Option<&usize>| count.copied().unwrap_or_default();
        (of(self.of_caller.get(&caller)), of(self.of_address.get(&address)))
    }

    /// One more call in flight.
    pub(super) fn take_slot(&mut self, caller: Who, address: IpAddr) {
        self.in_flight += 1;
        *self.of_caller.entry(caller).or_default() += 1;
        *self.of_address.entry(address).or_default() += 1;
    }

    /// One less.
    pub(super) fn free_slot(&mut self, caller: Who, address: IpAddr) {
        self.in_flight -= 1;
        count_down(&mut self.of_caller, caller);
        count_down(&mut self.of_address, address);
    }
}

fn count_down<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// What unverified callers' 401s have spent, in all and from each address.
#[derive(Debug)]
struct Refusals {
    all: Bucket,
    of_address: LruCache<IpAddr, Bucket>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { all: Bucket::default(), of_address: bounded(ADDRESSES) }
    }
}

impl Refusals {
    /// From one address every refusal costs twice, so that half of what all have is all that it has.
    const ONE: u32 = 1;
    const OF_ADDRESS: u32 = 2;

    fn spend(&mut self, address: IpAddr, now: Moment) {
        self.all.spend(Self::ONE, now);
        self.of_address.get_or_insert_mut(address, Bucket::default).spend(Self::OF_ADDRESS, now);
    }

    /// How long until there is something left for this address.
    fn wait(&self, address: IpAddr, now: Moment) -> Duration {
        let own = self.of_address.peek(&address);
        let own = own.map_or(Duration::ZERO, |bucket| bucket.wait(Self::OF_ADDRESS, now));
        self.all.wait(Self::ONE, now).max(own)
    }
}
