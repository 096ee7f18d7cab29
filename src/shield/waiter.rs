//! [`Waiter`]: a call that waits, as the table has it: what it waits for, and how it is told.

use std::time::Duration;

use tokio::sync::oneshot;

use super::account::Accounts;
use super::call::Rejection;
use super::queue::{Line, WaiterId};
use super::slot::Slot;
use super::window::CallerId;

/// Whether a call could be written if its turn came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// Its turn is far: it holds no connection.
    Far,
    /// Its turn is near: it connects.
    Near,
    /// It has a connection in hand.
    Connected,
}

/// A call that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) accounts: Accounts,
    pub(super) caller: CallerId,
    pub(super) credential: CallerId,
    pub(super) line: Line,
    pub(super) deadline: Duration,
    /// How long its request has waited for the store before.
    pub(super) store_waited: Duration,
    pub(super) readiness: Readiness,
    /// When its turn was expected as it was told to connect.
    pub(super) due: Duration,
    /// How long before its turn it is near.
    pub(super) ahead: Duration,
    /// Whether it could have gone at once with a connection: it waits for that alone.
    pub(super) free: bool,
    pub(super) turn: oneshot::Sender<Result<Slot, Rejection>>,
    /// Set while its turn is far.
    pub(super) near: Option<oneshot::Sender<()>>,
}

/// What a call holds that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: WaiterId,
    pub(super) deadline: Duration,
    /// Whether it waits for its connection alone.
    pub(super) free: bool,
    pub(super) turn: oneshot::Receiver<Result<Slot, Rejection>>,
    /// Set while its turn is far.
    pub(super) near: Option<oneshot::Receiver<()>>,
}

impl Waiter {
    /// Whether it waits for a turn, and not for what others leave.
    pub(super) const fn takes_turns(&self) -> bool {
        matches!(self.line, Line::Proofs | Line::Calls)
    }

    /// Its turn is near, and comes at `due`: it is told to connect.
    pub(super) fn tell_near(&mut self, due: Duration) {
        (self.readiness, self.due) = (Readiness::Near, due);
        if let Some(near) = self.near.take() {
            // Who has just left needs no word.
            near.send(()).ok();
        }
    }

    pub(super) fn tell(self, verdict: Result<Slot, Rejection>) {
        // It is heard: who leaves takes the lock first under which this is sent.
        self.turn.send(verdict).ok();
    }
}
