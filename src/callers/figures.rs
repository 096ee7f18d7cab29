//! [`Figures`]: what is counted of one caller, and of one credential. [`Counters`]: the same, counted without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::closed_enum::closed_enum;
use crate::outcome::{BypassReason, Outcome};

closed_enum! {
    /// What is counted beside outcomes and bypasses.
    pub enum Figure {
        /// Calls sent to the API for it.
        UpstreamCalls = "upstream_calls",
        /// Answers that needed no call of their own.
        Saved = "saved",
        /// Microseconds that its calls waited for their turn.
        WaitedMicros = "waited_us",
        /// 429s of the proxy's own.
        OwnLimited = "own_429",
        /// 401s of the API.
        Unauthorized = "api_401",
        /// 402s of the API.
        PaymentRequired = "api_402",
        /// 403s of the API.
        Forbidden = "api_403",
        /// 429s of the API.
        Limited = "api_429",
        /// Bytes of the bodies of answers.
        Bytes = "bytes",
        /// Requests that its limits forbid.
        Denied = "denied",
        /// Calls that would have waited if limits were not observed alone.
        WouldWait = "would_wait",
        /// Requests that would have been refused.
        WouldRefuse = "would_refuse",
    }
}

const BYPASSES: usize = Outcome::ALL.len();
const MORE: usize = BYPASSES + BypassReason::ALL.len();
/// How many numbers there are.
pub(super) const COUNTED: usize = MORE + Figure::ALL.len();

/// Numbers of one caller or credential, over some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures([u64; COUNTED]);

impl Default for Figures {
    fn default() -> Self {
        Self([0; COUNTED])
    }
}

impl Figures {
    /// Answered requests of an outcome.
    #[must_use]
    pub const fn requests_of(&self, outcome: Outcome) -> u64 {
        self.0[outcome.index()]
    }

    /// Answered requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.0[..BYPASSES].iter().sum()
    }

    /// Label reads that were passed through because of this.
    #[must_use]
    pub const fn bypasses(&self, reason: BypassReason) -> u64 {
        self.0[BYPASSES + reason.index()]
    }

    /// Any other number.
    #[must_use]
    pub const fn of(&self, figure: Figure) -> u64 {
        self.0[MORE + figure.index()]
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum += more);
    }

    /// What was counted since an earlier look.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = *self;
        since.0.iter_mut().zip(earlier.0).for_each(|(now, then)| *now = now.saturating_sub(then));
        since
    }

    /// The numbers that are not zero, each with its place.
    pub(super) fn counted(&self) -> impl Iterator<Item = (u8, u64)> {
        (0_u8..).zip(self.0).filter(|(_, number)| *number > 0)
    }

    /// Adds to the number at a place.
    pub(super) fn add_at(&mut self, place: u8, more: u64) {
        if let Some(number) = self.0.get_mut(usize::from(place)) {
            *number += more;
        }
    }
}

/// Numbers that threads add to.
#[derive(Debug)]
pub struct Counters([AtomicU64; COUNTED]);

impl Default for Counters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Counters {
    /// Counts an answered request.
    pub fn request(&self, outcome: Outcome) {
        self.0[outcome.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a label read that was passed through.
    pub fn bypass(&self, reason: BypassReason) {
        self.0[BYPASSES + reason.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts something else.
    pub fn add(&self, figure: Figure, number: u64) {
        self.0[MORE + figure.index()].fetch_add(number, Ordering::Relaxed);
    }

    /// The numbers so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures(std::array::from_fn(|place| self.0[place].load(Ordering::Relaxed)))
    }

    pub(super) fn absorb(&self, figures: &Figures) {
        for (sum, more) in self.0.iter().zip(figures.0) {
            sum.fetch_add(more, Ordering::Relaxed);
        }
    }
}
