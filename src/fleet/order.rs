//! What the link's task is asked, and what it tells of that.

use std::time::Duration;

use tokio::sync::oneshot;

use super::control::{Entry, Settled};
use super::heard::Number;
use super::notice::Notice;
use super::roster::Replica;

/// What the link's task is asked to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Enter a write among the open ones: `last_will` is what the others append if this replica dies with it.
    Open {
        /// Number of the write in this process.
        write: u64,
        /// Told when it has been entered, or cannot be.
        entered: oneshot::Sender<Entry>,
        last_will: Notice,
    },
    /// A write changed nothing: it is open no more.
    Close { write: u64 },
    /// Append these; tell when every member has applied them, or a lease is over. The write, if there is one, is open no more.
    Announce {
        write: Option<u64>,
        notices: Vec<Notice>,
        appended: oneshot::Sender<()>,
        settled: oneshot::Sender<Receipt>,
    },
    /// Leave the fleet.
    Leave { left: oneshot::Sender<()> },
    /// Say who is there; without a link nothing is said.
    Roster { told: oneshot::Sender<Vec<Replica>> },
}

/// What is known of those that had to apply a notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Why the wait is over; nothing where nobody knows.
    pub settled: Option<Settled>,
    /// The notice's number, if it was appended.
    pub number: Number,
    /// How long it took.
    pub waited: Duration,
}
