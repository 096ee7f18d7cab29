//! [`OpenWrite`]: a label write that the fleet knows of before it is sent, until it is known what it has invalidated.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::control::Entry;
use super::notice::Notice;
use super::order::{Order, Receipt};

static LAST: AtomicU64 = AtomicU64::new(0);

/// A write among the open ones. Dropped before it was sent, it is taken out; dropped later without being announced, as by a
/// panic, its last will is: nobody knows what it has done.
#[derive(Debug)]
#[must_use = "dropped, it says that the write was not sent"]
pub struct OpenWrite {
    orders: mpsc::UnboundedSender<Order>,
    number: u64,
    last_will: Notice,
    entry: Entry,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing of it has left: it has changed nothing.
    Unsent,
    /// It may have changed something.
    Sent,
    /// All is told, or there is nothing to tell.
    Closed,
}

/// What a write has invalidated, on its way to the others.
#[derive(Debug)]
#[must_use = "the answer is to be held until it is settled"]
pub enum Announced {
    /// There is nobody to be told.
    Nobody,
    /// To the members of the fleet.
    Members(oneshot::Receiver<Receipt>),
}

impl Announced {
    /// Waits until every member has applied it, or the leases of those that have not are over.
    pub async fn settled(self) -> Receipt {
        match self {
            Self::Nobody => Receipt::default(),
            // The task ends with the process.
            Self::Members(settled) => settled.await.unwrap_or_default(),
        }
    }
}

impl OpenWrite {
    pub(super) async fn enter(orders: mpsc::UnboundedSender<Order>, last_will: Notice) -> Self {
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let (entered, done) = oneshot::channel();
        let will = last_will.clone();
        let mut open = Self { orders, number, last_will, entry: Entry::Unsaid, state: State::Unsent };
        let _ = open.orders.send(Order::Open { write: number, entered, last_will: will });
        // The task ends with the process.
        open.entry = done.await.unwrap_or(Entry::Unsaid);
        open
    }

    /// Whether the store has said that the fleet knows of it.
    #[must_use]
    pub const fn entry(&self) -> Entry {
        self.entry
    }

    /// The write is sent now: from here on it may have changed something.
    pub fn note_sent(&mut self) {
        self.state = State::Sent;
    }

    /// The write has changed nothing for certain.
    pub fn close(mut self) {
        // Dropped so, it is taken out.
        self.state = State::Unsent;
    }

    /// Appends what it has invalidated; ends when what others have said meanwhile has been applied here.
    pub async fn announce(mut self, notices: Vec<Notice>) -> Announced {
        self.state = State::Closed;
        let ((appended, done), (settled, receipt)) = (oneshot::channel(), oneshot::channel());
        let _ = self.orders.send(Order::Announce { write: Some(self.number), notices, appended, settled });
        let _ = done.await;
        Announced::Members(receipt)
    }
}

impl Drop for OpenWrite {
    fn drop(&mut self) {
        let _ = match self.state {
            State::Closed => return,
            State::Unsent => self.orders.send(Order::Close { write: self.number }),
            State::Sent => {
                let ((appended, _), (settled, _)) = (oneshot::channel(), oneshot::channel());
                let notices = vec![self.last_will.clone()];
                self.orders.send(Order::Announce { write: Some(self.number), notices, appended, settled })
            }
        };
    }
}
