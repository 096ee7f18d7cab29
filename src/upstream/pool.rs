//! [`Pool`]: idle HTTP/1.1 connections, each kept for the one credential that used it before.
//!
//! On HTTP/1.1 an upstream that answers twice is found out only by what comes behind an answer: on a shared connection the
//! second answer went to the next caller, another tenant among them. So a connection serves one owner to its end, and a
//! caller without a credential leaves none behind.
//!
//! An idle connection holds nothing that anybody waits for: at the bound the one that has been idle longest, whoever's it
//! is, closes for the one that is opened. They are kept apart by the thread that moves their bytes, too, so that no call
//! hops between threads; the bound is one for all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foldhash::HashMap;

use super::http1::Http1;
use super::outgoing::Owner;
use crate::caller::credential::CredentialDigest;
use crate::clock::Moment;
use crate::lock::Mutex;

/// Idle connections are closed after this long: below the 60 s and more that edges keep them open.
const IDLE: Duration = Duration::from_secs(50);

/// Whose idle connections, and on which thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    lane: u64,
    owner: CredentialDigest,
}

/// A connection without a call.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) connection: Http1,
    pub(super) since: Moment,
}

/// Every HTTP/1.1 connection of the process that is not in use, and how many are.
#[derive(Clone, Debug)]
pub(super) struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: usize,
    in_use: AtomicUsize,
    idle: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// By the order in which they became idle.
    connections: BTreeMap<u64, (Place, Idle)>,
    places: HashMap<Place, Vec<u64>>,
    last: u64,
}

/// The right to put a connection back; counts it as in use until then.
#[derive(Debug)]
pub(super) struct Checkout {
    pool: Pool,
    place: Option<Place>,
}

impl Pool {
    /// Keeps `max` connections open at most, if no more than that are in use.
    pub(super) fn new(max: usize) -> Self {
        Self(Arc::new(Shared { max, in_use: AtomicUsize::new(0), idle: Mutex::default() }))
    }

    /// The owner's connection that was used last, if one is ready for a call.
    pub(super) fn take(&self, lane: u64, owner: Owner, now: Moment) -> Option<(Idle, Checkout)> {
        let place = Place { lane, owner: owner? };
        loop {
            let idle = self.0.idle.lock().pop(place)?;
            // What is closed for age or by the peer is dropped here, outside of the lock.
            if idle.connection.is_ready(now) && now.since(idle.since) < IDLE {
                return Some((idle, self.checkout(Some(place))));
            }
        }
    }

    /// Room for a new connection: one that is idle closes for it where all are taken.
    pub(super) fn room(&self, lane: u64, owner: Owner) -> Checkout {
        let checkout = self.checkout(owner.map(|owner| Place { lane, owner }));
        self.shed();
        checkout
    }

    /// Closes what is too old or was closed by the peer.
    pub(super) fn tidy(&self, now: Moment) {
        let gone = self.0.idle.lock().drain(|idle| {
            idle.connection.is_closed()
                || now.since(idle.since) >= IDLE
                || now.reached(idle.connection.expires)
        });
        drop(gone);
    }

    /// Closes every idle connection of a lane.
    pub(super) fn close(&self, lane: u64) {
        let mut table = self.0.idle.lock();
        let numbers: Vec<u64> =
            table.connections.iter().filter(|(_, (place, _))| place.lane == lane).map(|(n, _)| *n).collect();
        let gone: Vec<_> = numbers.into_iter().filter_map(|number| table.remove(number)).collect();
        drop(table);
        drop(gone);
    }

    /// How many are idle.
    pub(super) fn idle(&self) -> usize {
        self.0.idle.lock().connections.len()
    }

    fn checkout(&self, place: Option<Place>) -> Checkout {
        self.0.in_use.fetch_add(1, Ordering::AcqRel);
        Checkout { pool: self.clone(), place }
    }

    fn shed(&self) {
        loop {
            let mut table = self.0.idle.lock();
            let open = table.connections.len() + self.0.in_use.load(Ordering::Acquire);
            let oldest = table.connections.keys().next().copied().filter(|_| open > self.0.max);
            let Some(gone) = oldest.and_then(|number| table.remove(number)) else { return };
            drop(table);
            drop(gone);
        }
    }
}

impl Table {
    fn push(&mut self, place: Place, idle: Idle) {
        self.last += 1;
        self.connections.insert(self.last, (place, idle));
        self.places.entry(place).or_default().push(self.last);
    }

    fn pop(&mut self, place: Place) -> Option<Idle> {
        // Its place stays until it is tidied up: most often the connection comes back before.
        let number = self.places.get_mut(&place)?.pop()?;
        self.connections.remove(&number).map(|(_, idle)| idle)
    }

    fn remove(&mut self, number: u64) -> Option<Idle> {
        let (place, idle) = self.connections.remove(&number)?;
        if let Some(numbers) = self.places.get_mut(&place) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.places.remove(&place);
            }
        }
        Some(idle)
    }

    fn drain_place(&mut self, place: Place) -> Vec<Idle> {
        let numbers = self.places.remove(&place).unwrap_or_default();
        let gone = numbers.into_iter().filter_map(|number| self.connections.remove(&number));
        gone.map(|(_, idle)| idle).collect()
    }

    fn drain(&mut self, is_gone: impl Fn(&Idle) -> bool) -> Vec<Idle> {
        let gone = self.connections.iter().filter(|(_, (_, idle))| is_gone(idle));
        let numbers: Vec<u64> = gone.map(|(number, _)| *number).collect();
        self.places.retain(|_, numbers| !numbers.is_empty());
        numbers.into_iter().filter_map(|number| self.remove(number)).collect()
    }
}

impl Checkout {
    /// The connection waits for its owner's next call.
    pub(super) fn put_back(&self, idle: Idle) {
        let Some(place) = self.place else { return };
        // Counted as in use until the checkout is dropped, and as idle from here on: one too many for a moment.
        self.pool.0.idle.lock().push(place, idle);
    }

    /// Closes the owner's idle connections: one was closed under a call, and what closes one, a restart or an age, most
    /// often closes all. A call that goes again would meet them one by one, and fail where a new connection would do.
    pub(super) fn distrust_others(&self) {
        let Some(place) = self.place else { return };
        let gone = self.pool.0.idle.lock().drain_place(place);
        drop(gone);
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        self.pool.0.in_use.fetch_sub(1, Ordering::AcqRel);
        self.pool.shed();
    }
}
