//! [`UnverifiedCallers`]: callers that the upstream has not answered, or has only refused, get in a few at a time.
//!
//! Whoever guesses tokens through this proxy costs the vendor at most a few calls at once and a few refusals a second,
//! from one address half of that. Attempts are not rationed, so that honest callers do not starve when the proxy has
//! just started; refusals are. A slot is held until the head of the caller's answer, and one answer other than a 401
//! makes a caller known for ten minutes: then the budget alone limits it. That the upstream has accepted a caller is more:
//! it takes a 2xx, and a caller's word counts for nothing without it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use self::door::{Door, Entry, Said};
use super::who::Who;
use crate::clock::{Clock, Moment};
use crate::closed_enum::closed_enum;
use crate::lock::{Mutex, MutexGuard};

mod bucket;
mod door;

/// What an unverified caller is told that waited for a slot in vain.
const SLOT_RETRY: Duration = Duration::from_secs(1);

closed_enum! {
    /// Why an unverified caller was turned away.
    pub enum Reason {
        /// No slot came free while it was ready to wait.
        Slots = "stranger_slots",
        /// Unverified callers have been refused too often of late.
        Refusals = "stranger_refusals",
    }
}

/// An unverified caller is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnedAway {
    /// Why.
    pub reason: Reason,
    /// When it may be let in.
    pub retry_after: Duration,
}

/// Every unverified caller of the process; a handle, as passes hold it.
#[derive(Clone, Debug)]
pub struct UnverifiedCallers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    door: Mutex<Door>,
}

/// A caller that was let in, until the head of its answer.
#[derive(Debug)]
#[must_use = "dropping it frees the slot"]
pub struct Pass {
    unverified: UnverifiedCallers,
    caller: Who,
    held: Held,
}

/// What a caller holds that was let in.
#[derive(Debug)]
enum Held {
    /// Nothing: it is known.
    Nothing,
    /// A slot, if it is an unverified caller.
    Slot(Slot),
    /// Nothing, though it is an unverified caller: the door would have turned it away, and only counts that. Neither its call nor its
    /// refusal counts at the door, so that what comes later is judged as if it had been turned away.
    Beyond,
}

/// One call in flight; it ends when this is dropped.
#[derive(Debug)]
struct Slot {
    unverified: UnverifiedCallers,
    caller: Who,
    address: IpAddr,
}

impl UnverifiedCallers {
    /// Nobody is known yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Shared { clock, door: Mutex::default() }))
    }

    /// Lets a caller in: a known one at once, an unverified caller when there is a slot for it. Dropping the future gives its
    /// place among those who wait up.
    ///
    /// # Errors
    ///
    /// Why not, and when to come back: without a slot inside `max_wait`, or at once when too many were refused.
    pub async fn admit(&self, caller: Who, address: IpAddr, max_wait: Duration) -> Result<Pass, TurnedAway> {
        let address = address.to_canonical();
        let now = self.0.clock.now();
        let (number, verdict) = {
            let mut door = self.lock();
            match door.judge(caller, address, now) {
                Entry::Full if !max_wait.is_zero() && door.may_queue(address) => door.queue(caller, address),
                entry => return self.enter(&mut door, caller, address, entry),
            }
        };
        let _place = Place { unverified: self, number };
        match self.0.clock.deadline(now.plus(max_wait), verdict).await {
            Ok(Ok(verdict)) => verdict,
            // The other end is dropped with the door alone, which this call holds open.
            Ok(Err(_)) | Err(_) => Err(TurnedAway { reason: Reason::Slots, retry_after: SLOT_RETRY }),
        }
    }

    /// Lets a caller in whatever the door says, and gives what that is.
    pub fn admit_observed(&self, caller: Who, address: IpAddr) -> (Pass, Result<(), TurnedAway>) {
        let address = address.to_canonical();
        let now = self.0.clock.now();
        let mut door = self.lock();
        let entry = door.judge(caller, address, now);
        match self.enter(&mut door, caller, address, entry) {
            Ok(pass) => (pass, Ok(())),
            Err(turned) => (Pass { unverified: self.clone(), caller, held: Held::Beyond }, Err(turned)),
        }
    }

    /// Lets a caller in that would not have come to the door: it counts nothing there.
    pub fn admit_beside(&self, caller: Who) -> Pass {
        let held = if self.is_unverified(caller, self.0.clock.now()) { Held::Beyond } else { Held::Nothing };
        Pass { unverified: self.clone(), caller, held }
    }

    /// What a call would be told at once if it came now. Asking takes nothing.
    ///
    /// # Errors
    ///
    /// Why not, and when to come back.
    pub fn foresee(
        &self,
        caller: Who,
        address: IpAddr,
        max_wait: Duration,
        now: Moment,
    ) -> Result<(), TurnedAway> {
        match self.lock().judge(caller, address.to_canonical(), now) {
            Entry::Spent(retry_after) => Err(TurnedAway { reason: Reason::Refusals, retry_after }),
            Entry::Full if max_wait.is_zero() => {
                Err(TurnedAway { reason: Reason::Slots, retry_after: SLOT_RETRY })
            }
            Entry::Known | Entry::Free | Entry::Full => Ok(()),
        }
    }

    /// Whether this caller is an unverified caller at `now`.
    #[must_use]
    pub fn is_unverified(&self, caller: Who, now: Moment) -> bool {
        !self.lock().knows(caller, now)
    }

    /// Whether the upstream has lately done what this very caller asked.
    #[must_use]
    pub fn is_accepted(&self, caller: Who, now: Moment) -> bool {
        self.lock().has_accepted(caller, now)
    }

    /// Forgets who is an unverified caller again, and refusals that have long been made up for.
    pub fn tidy(&self, now: Moment) {
        self.lock().tidy(now);
    }

    /// Calls of unverified callers that are in flight, and that wait.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        self.lock().load()
    }

    /// Notes an upstream answer to this caller; that of a call with a [`Pass`] goes to [`Pass::answered`].
    pub fn note_answer(&self, caller: Who, status: StatusCode, now: Moment) {
        let said = if status.is_success() { Said::Accepted } else { Said::Something };
        if status != StatusCode::UNAUTHORIZED && self.lock().note_known(caller, said, now) {
            self.let_in(now);
        }
    }

    fn enter(&self, door: &mut Door, caller: Who, address: IpAddr, entry: Entry) -> Result<Pass, TurnedAway> {
        let held = match entry {
            Entry::Known => Held::Nothing,
            Entry::Free => {
                door.take_slot(caller, address);
                Held::Slot(Slot { unverified: self.clone(), caller, address })
            }
            Entry::Full => return Err(TurnedAway { reason: Reason::Slots, retry_after: SLOT_RETRY }),
            Entry::Spent(retry_after) => return Err(TurnedAway { reason: Reason::Refusals, retry_after }),
        };
        Ok(Pass { unverified: self.clone(), caller, held })
    }

    /// Settles with everybody who need not wait any longer.
    fn let_in(&self, now: Moment) {
        let settled: Vec<_> = {
            let mut door = self.lock();
            std::iter::from_fn(|| {
                let (waiter, entry) = door.next(now)?;
                Some((waiter.tell, self.enter(&mut door, waiter.caller, waiter.address, entry)))
            })
            .collect()
        };
        for (tell, verdict) in settled {
            // Outside the lock: the pass of one who has just left comes back here and is dropped, which takes it.
            drop(tell.send(verdict));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Door> {
        self.0.door.lock()
    }
}

impl Pass {
    /// Notes the head of the answer and frees the slot. A pass that is dropped without an answer frees it too.
    pub fn answered(self, status: StatusCode) {
        let now = self.unverified.0.clock.now();
        if status != StatusCode::UNAUTHORIZED {
            self.unverified.note_answer(self.caller, status, now);
        } else if let Held::Slot(slot) = &self.held {
            self.unverified.lock().note_refusal(slot.address, now);
        }
    }

    /// Whether it was given to an unverified caller.
    #[must_use]
    pub const fn is_unverified(&self) -> bool {
        !matches!(self.held, Held::Nothing)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.unverified.lock().free_slot(self.caller, self.address);
        self.unverified.let_in(self.unverified.0.clock.now());
    }
}

/// A place among those who wait, left when this is dropped.
struct Place<'a> {
    unverified: &'a UnverifiedCallers,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.unverified.lock().leave(self.number);
    }
}

#[cfg(test)]
mod tests;
