//! [`Call`]: what wants to go upstream, and why it may not.

use std::time::Duration;

use super::account::Accounts;
use super::share::Share;
use super::who::Who;
use crate::closed_enum::closed_enum;

closed_enum! {
    /// How urgent a call is.
    pub enum Class {
        /// Keeps a credential's hits going: before all calls that wait.
        Proof = "proof",
        /// Somebody waits for its answer.
        Interactive = "interactive",
        /// Never waits: goes if nobody else does and more than a fifth of the minute is left.
        Background = "background",
    }
}

closed_enum! {
    /// Why a call may not go.
    pub enum Reason {
        /// Its turn does not come, or did not, before its longest wait is over.
        Budget = "budget",
        /// Too many wait already.
        QueueFull = "queue_full",
        /// The upstream limits the organization.
        Hold = "gate",
        /// There is no budget to spare for background work.
        NoSpare = "no_spare",
        /// Its caller has had what it may have in this minute.
        CallerCap = "caller_cap",
    }
}

/// Why a call does not go.
#[derive(Debug)]
pub enum Turned<E> {
    /// It may not.
    Rejected(Rejection),
    /// It has no connection.
    Unconnected(E),
}

/// A call that wants to go upstream.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Who pays.
    pub accounts: Accounts,
    /// Who asks: callers take turns.
    pub caller: Who,
    /// What its caller has of the turns.
    pub share: Share,
    /// How urgent it is.
    pub class: Class,
    /// How long it may wait for its turn; zero: now or not at all. To connect when the turn has come is no such wait.
    pub max_wait: Duration,
    /// How much of the time that its request may wait for the store is spent.
    pub store_waited: Duration,
    /// How long before its turn it should begin to connect.
    pub ahead: Duration,
}

/// The call may not go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Why.
    pub reason: Reason,
    /// When it would have gone, as far as is known.
    pub retry_after: Duration,
}
