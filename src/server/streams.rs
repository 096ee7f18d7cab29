//! [`Streams`]: the requests under way on one HTTP/2 connection. One whose client takes nothing of its answer is ended by itself,
//! whatever else that client does on its connection.
//!
//! A connection has no stall while anything moves on it, so by one request now and then a client could keep a hundred answers for
//! ever, with the calls, the memory and the upstream connections behind them. On HTTP/1.1 the one request is the connection.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::received::Unread;

/// The streams of one connection.
#[derive(Debug, Default)]
pub(super) struct Streams {
    under_way: RefCell<Vec<Rc<Stream>>>,
    /// The one that has just begun, until the HTTP library hands over what serves it: it does so at once.
    latest: RefCell<Option<Rc<Stream>>>,
}

/// One request.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Since when its client is to take something of the answer, by uptime; `None` while the answer is awaited.
    offered: Cell<Option<Duration>>,
    /// What is left to be read of the request's body, until there is an answer.
    unread: RefCell<Option<Unread>>,
    task: OnceCell<AbortHandle>,
}

impl Stream {
    /// Notes that the request has a body.
    pub(super) fn note_body(&self, unread: Unread) {
        *self.unread.borrow_mut() = Some(unread);
    }

    /// Notes that the head of an answer is there: what is still sent of the request is waited for no longer.
    pub(super) fn note_answered(&self) {
        *self.unread.borrow_mut() = None;
    }

    /// Notes that something of the answer was handed over.
    pub(super) fn note_offered(&self, now: Duration) {
        self.offered.set(Some(now));
    }

    /// Notes that more of it is asked for, and not there.
    pub(super) fn note_wanted(&self) {
        self.offered.set(None);
    }
}

impl Streams {
    /// A request has begun.
    pub(super) fn begin(&self) -> Rc<Stream> {
        let stream = Rc::<Stream>::default();
        self.under_way.borrow_mut().push(Rc::clone(&stream));
        *self.latest.borrow_mut() = Some(Rc::clone(&stream));
        stream
    }

    /// The one that has just begun is served by this task.
    pub(super) fn note_task(&self, task: AbortHandle) {
        if let Some(stream) = self.latest.take() {
            stream.task.set(task).expect("a stream is served by one task");
        }
    }

    /// It has ended.
    pub(super) fn end(&self, ended: &Rc<Stream>) {
        let mut under_way = self.under_way.borrow_mut();
        if let Some(at) = under_way.iter().position(|stream| Rc::ptr_eq(stream, ended)) {
            under_way.swap_remove(at);
        }
    }

    /// How many of them wait for a client that sends nothing of a body.
    pub(super) fn awaiting_body(&self) -> usize {
        let is_awaited =
            |stream: &&Rc<Stream>| stream.unread.borrow().as_ref().is_some_and(Unread::is_awaited);
        self.under_way.borrow().iter().filter(is_awaited).count()
    }

    /// Whether anything of their bodies came since this was last asked.
    pub(super) fn take_come(&self) -> bool {
        let take = |stream: &Rc<Stream>| stream.unread.borrow().as_ref().is_some_and(Unread::take_come);
        // Of all of them, not up to the first.
        self.under_way.borrow().iter().filter(|stream| take(stream)).count() > 0
    }

    /// Ends those of whose answer nothing was taken for `limit`: the HTTP library resets a stream whose task is gone.
    pub(super) fn end_stalled(&self, now: Duration, limit: Duration) {
        for stream in self.under_way.borrow().iter() {
            let is_stalled = stream.offered.get().is_some_and(|since| now.saturating_sub(since) >= limit);
            if let (true, Some(task)) = (is_stalled, stream.task.get()) {
                // It ends when it is polled next, not in here.
                task.abort();
            }
        }
    }
}
