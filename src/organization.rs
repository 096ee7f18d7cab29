//! Organizations: the unit of isolation, and what the proxy remembers of each.
//!
//! An organization is known from an upstream body alone, never from anything that a client sent. The table forgets
//! one that nobody is bound to and that was idle for [`IDLE`]; what is forgotten counts as raised at that moment, so
//! that nothing stored before it can come back.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::clock::Moment;
use crate::fence::{Sequence, Tick};

/// How long an organization without a binding is remembered.
pub const IDLE: Duration = Duration::from_secs(600);

/// The id that the upstream gives an organization (the vendor's word in URLs is workspace).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrganizationId(pub Uuid);

impl fmt::Debug for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What is remembered of one organization.
#[derive(Debug)]
pub struct Organization {
    id: OrganizationId,
    raised: AtomicU64,
    settles: Mutex<Option<Moment>>,
    private: AtomicBool,
}

impl Organization {
    fn new(id: OrganizationId, raised: Tick) -> Self {
        Self {
            id,
            raised: AtomicU64::new(raised.0),
            settles: Mutex::new(None),
            private: AtomicBool::new(false),
        }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> OrganizationId {
        self.id
    }

    /// Its epoch: nothing whose fill began before this may be served or stored.
    #[must_use]
    pub fn raised(&self) -> Tick {
        Tick(self.raised.load(Ordering::SeqCst))
    }

    /// Moves the epoch on; never back.
    pub fn raise(&self, to: Tick) {
        self.raised.fetch_max(to.0, Ordering::SeqCst);
    }

    /// Until when a fill may meet the vendor's own replication lag.
    #[must_use]
    pub fn settles(&self) -> Option<Moment> {
        *lock(&self.settles)
    }

    /// Extends the time in which fills are kept for a second only; never shortens it.
    pub fn settle_until(&self, until: Moment) {
        let mut settles = lock(&self.settles);
        *settles = Some(settles.map_or(until, |earlier| until.latest(earlier)));
    }

    /// Whether some stored response of this organization belongs to one credential alone.
    #[must_use]
    pub fn has_private_responses(&self) -> bool {
        self.private.load(Ordering::Relaxed)
    }

    /// Notes that a stored response belongs to one credential alone.
    pub fn note_private_response(&self) {
        self.private.store(true, Ordering::Relaxed);
    }
}

/// Every organization that was seen of late.
#[derive(Debug, Default)]
pub struct Organizations(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    known: HashMap<OrganizationId, Seen>,
    /// Epoch of every organization that is not in the table.
    forgotten: Tick,
}

#[derive(Debug)]
struct Seen {
    organization: Arc<Organization>,
    last: Moment,
}

impl Organizations {
    /// The organization with this id; made if it is new.
    #[must_use]
    pub fn get(&self, id: OrganizationId, now: Moment) -> Arc<Organization> {
        let mut table = lock(&self.0);
        let forgotten = table.forgotten;
        let seen = table
            .known
            .entry(id)
            .or_insert_with(|| Seen { organization: Arc::new(Organization::new(id, forgotten)), last: now });
        seen.last = now;
        Arc::clone(&seen.organization)
    }

    /// Raises every organization, known or not.
    pub fn raise_all(&self, to: Tick) {
        let mut table = lock(&self.0);
        table.forgotten = table.forgotten.max(to);
        for seen in table.known.values() {
            seen.organization.raise(to);
        }
    }

    /// Forgets what nobody holds and nobody asked for in the last [`IDLE`].
    pub fn forget_idle(&self, sequence: &Sequence, now: Moment) {
        let mut table = lock(&self.0);
        let before = table.known.len();
        table.known.retain(|_, seen| {
            // Nobody else can take a hold of it meanwhile: holds are given out under this lock or cloned from one.
            let held = Arc::strong_count(&seen.organization) > 1;
            if held {
                seen.last = now;
            }
            held || now.since(seen.last) < IDLE
        });
        if table.known.len() < before {
            table.forgotten = sequence.advance();
        }
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.0).known.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_forgotten_organization_counts_as_raised_when_it_was_forgotten() {
        let (clock, hand) = Clock::manual();
        let sequence = Sequence::default();
        let organizations = Organizations::default();
        let id = OrganizationId(Uuid::from_u128(1));
        drop(organizations.get(id, clock.now()));
        let begun = sequence.advance();
        hand.advance(IDLE);
        organizations.forget_idle(&sequence, clock.now());
        assert!(organizations.is_empty());
        assert!(organizations.get(id, clock.now()).raised() > begun);
    }

    #[test]
    fn an_organization_that_is_held_is_not_forgotten() {
        let (clock, hand) = Clock::manual();
        let sequence = Sequence::default();
        let organizations = Organizations::default();
        let held = organizations.get(OrganizationId(Uuid::from_u128(1)), clock.now());
        hand.advance(IDLE * 2);
        organizations.forget_idle(&sequence, clock.now());
        assert!(Arc::ptr_eq(&held, &organizations.get(held.id(), clock.now())));
    }
}
