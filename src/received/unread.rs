//! [`Unread`]: how far the reading of a body has come, for who does not read it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body::Body as _;
use hyper::body::Incoming;

use crate::clock::Clock;
use crate::lock::Mutex;

/// How long an answer waits for the rest of a short body that nobody reads: some round trips, for a piece that was lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether something of a body is still to be read: true until it has been dropped at its end. It stays true where trailers
/// (RFC 9112 §7.1.2) came behind it: readers differ on where those end, so whatever follows has two readings. And whether its
/// sender is waited for.
#[derive(Clone, Debug)]
pub struct Unread(Arc<Reading>);

/// How far the reading of a body has come.
#[derive(Debug)]
struct Reading {
    is_any: AtomicBool,
    /// More of it was asked for, and is not there.
    is_awaited: AtomicBool,
    /// Some of it came since somebody looked.
    has_come: AtomicBool,
    /// What is left of a short body.
    rest: Option<Mutex<Rest>>,
}

/// What is left of a short body for [`Unread::discard`].
#[derive(Debug)]
enum Rest {
    /// The body has not been dropped, or at its end.
    None,
    /// It was dropped before its end.
    Left(Incoming),
    /// The request has been answered: it is the HTTP library's again, which would wait for who holds it and does not read.
    Past,
}

impl Unread {
    /// Of a body of which nothing has been read.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self::with(None)
    }

    /// The same of a short one, of which [`Self::discard`] reads the rest.
    pub(super) fn of_short() -> Self {
        Self::with(Some(Mutex::new(Rest::None)))
    }

    fn with(rest: Option<Mutex<Rest>>) -> Self {
        let [is_any, is_awaited, has_come] = [true, false, false].map(AtomicBool::new);
        Self(Arc::new(Reading { is_any, is_awaited, has_come, rest }))
    }

    /// Reads and throws away what is left of a short body that has been dropped, until its end, or for [`PATIENCE`]. To be called
    /// when its request is answered. The HTTP library reads what has come when a body is dropped, and for more it ends the
    /// connection; but many a client sends its body right behind the head, and if it is not told, its next request meets that end.
    pub(crate) async fn discard(&self, clock: &Clock) {
        let Some(rest) = &self.0.rest else { return };
        let Rest::Left(mut body) = std::mem::replace(&mut *rest.lock(), Rest::Past) else { return };
        let end = async {
            loop {
                match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                    Some(Ok(frame)) if frame.is_data() => {}
                    None => return self.note_end(),
                    Some(_) => return,
                }
            }
        };
        tokio::select! {
            biased;
            () = end => {}
            () = clock.sleep(PATIENCE) => {}
        }
    }

    /// Whether it is so now.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0.is_any.load(Ordering::Relaxed)
    }

    /// Whether its sender is waited for, and has sent nothing since [`Self::take_come`]. One that nobody reads is not waited for:
    /// its sender may be held up by that.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.0.is_awaited.load(Ordering::Relaxed) && !self.0.has_come.load(Ordering::Relaxed)
    }

    /// Whether a byte of it came since this was last asked.
    #[must_use]
    pub fn take_come(&self) -> bool {
        self.0.has_come.swap(false, Ordering::Relaxed)
    }

    /// It is being dropped before its end.
    pub(super) fn leave(&self, body: Incoming) {
        if let Some(rest) = &self.0.rest
            && let rest @ Rest::None = &mut *rest.lock()
        {
            *rest = Rest::Left(body);
        }
    }

    /// It has been read to its end.
    pub(super) fn note_end(&self) {
        self.0.is_any.store(false, Ordering::Relaxed);
    }

    /// More of it was asked for, and is not there.
    pub(crate) fn note_wait(&self) {
        self.0.is_awaited.store(true, Ordering::Relaxed);
    }

    /// So many bytes came, or its end.
    pub(crate) fn note_came(&self, bytes: usize) {
        self.0.is_awaited.store(false, Ordering::Relaxed);
        if bytes > 0 {
            self.0.has_come.store(true, Ordering::Relaxed);
        }
    }
}
