//! Bookings: what the budget asks of the store that all replicas share, and what it is told.
//!
//! Plain values: the budget knows no socket. [`Order`]s come out of it, and [`Answer`]s go in, each with the [`Ticket`] of its
//! question; `fleet/account` carries them. Times are told as waits from the store's own clock, never as moments of it, but
//! for [`Answer::Booked`]'s, which only the store itself reads again.

use std::num::NonZeroU32;
use std::time::Duration;

use super::beside::Part;
use super::payers::AccountKey;

/// What is to be told to the store, or asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Book a moment; the answer is waited for.
    Book(Book),
    /// The upstream limits this account: nothing may be sent for so long.
    Hold {
        /// Whose calls are held.
        account: AccountKey,
        /// From now.
        lasts: Duration,
    },
    /// What became of the one call that went to find out.
    Probed {
        /// For which account.
        account: AccountKey,
        /// The number under which it was booked.
        probe: u64,
        /// What became of it.
        fate: ProbeFate,
    },
    /// The upstream refused a call of this account over its limit.
    Refused {
        /// The account.
        account: AccountKey,
        /// What the store's clock said that the call would leave at, in microseconds.
        moment: u64,
        /// What the account may spend in all.
        limits: Both,
    },
    /// Calls were sent without a booking.
    Spent {
        /// Whose.
        account: AccountKey,
        /// How many.
        calls: u32,
        /// What the account may spend in all.
        limits: Both,
    },
}

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeFate {
    /// The upstream let it in.
    Passed,
    /// Nobody knows.
    Lost,
}

/// The limits of an account over all replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Both {
    /// Calls in any second.
    pub per_second: NonZeroU32,
    /// Calls in any minute.
    pub per_minute: NonZeroU32,
}

/// A question for the next moment at which a call may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Book {
    /// To be given back with the answer.
    pub ticket: Ticket,
    /// The accounts that pay.
    pub first: AccountKey,
    /// The other one, where there are two.
    pub second: Option<AccountKey>,
    /// What each may spend in all.
    pub limits: Both,
    /// Within what the answer must come: what the request of the call that is first in the queue may still wait for the
    /// store, for its look-ups and this have one deadline together.
    pub within: Duration,
    /// How far ahead the moment may be.
    pub patience: Duration,
    /// Whether somebody waits for it.
    pub urgency: Urgency,
    /// Whether the moment keeps its distance from the last one.
    pub spacing: Spacing,
}

/// Whether somebody waits for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody does.
    Waits,
    /// Nobody does: it goes only where a fifth of the minute is free.
    Background,
}

/// How moments follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// As the windows allow.
    Free,
    /// Evenly: calls wait, and a burst that fills the window would leave it as a burst a second later. Who comes between the
    /// two would wait for that.
    Even,
}

/// Tells one question from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// In whose queue the moment is waited for.
    pub queue: AccountKey,
    /// Never used twice. It is also the number of the probe that the call would be.
    pub number: u64,
}

/// What the store says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A moment is booked.
    Booked {
        /// How long from the answer.
        wait: Duration,
        /// When that is by the store's clock, in microseconds.
        moment: u64,
        /// Set where the account is on hold but for this call, which finds out.
        is_probe: bool,
        /// What the first account may spend of its limits.
        allowed: Part,
    },
    /// Nothing is booked: the moment would be later than was asked for.
    NotBefore {
        /// How long from the answer.
        wait: Duration,
        /// What the first account may spend of its limits.
        allowed: Part,
    },
    /// Nothing is booked: the account is on hold, or a probe is under way.
    Held {
        /// How long from the answer.
        wait: Duration,
        /// What the first account may spend of its limits.
        allowed: Part,
    },
}

impl Answer {
    /// What the first account may spend of its limits.
    pub(super) const fn allowed(self) -> Part {
        let (Self::Booked { allowed, .. } | Self::NotBefore { allowed, .. } | Self::Held { allowed, .. }) =
            self;
        allowed
    }
}

/// There is no answer: the store was not reached in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered;
