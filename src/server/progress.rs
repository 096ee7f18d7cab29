//! [`Progress`]: how far one connection has come, and how far the server has come with ending it.
//!
//! A connection has no timer of its own: what it does is noted here, and its worker's sweep compares the notes with
//! the limits once a second. Single-threaded, like the worker that it lives on.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::Version;

use super::limits::Limits;
use super::streams::{Stream, Streams};
use crate::clock::Clock;
use crate::received::Unread;

/// How far the end of serving has come; a later one never gives way to an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Everything is served.
    Serving,
    /// The listener still accepts; every HTTP/1 answer is its connection's last, so that clients move elsewhere at a
    /// moment at which no request of theirs can be lost.
    Leaving,
    /// What is under way ends, and the connection with it.
    Ending,
    /// The connection is cut.
    Cut,
}

/// An idle HTTP/2 peer that does not answer the farewell is cut after this long.
const FAREWELL: Duration = Duration::from_secs(5);

/// A client takes something of an answer from memory at least this often.
const STALL: Duration = Duration::from_secs(30);

/// Requests that a client may abort beyond those it lets be answered, before its connection ends (rapid reset).
const ABORTS: u32 = 200;

/// A client that is told that its connection ends may go on sending for so long.
const CLOSING: Duration = Duration::from_secs(30);
/// And may pause for so long.
const CLOSING_PAUSE: Duration = Duration::from_secs(5);

/// A connection that stands idle for longer gives back what the HTTP library holds for it.
const REST: Duration = Duration::from_secs(1);

/// Sweeps between two questions to a client that sends no more, whether it is still there.
const ASK_EVERY: u32 = 30;

/// What a connection waits for. Times are of the monotonic clock: a wall clock that is set ahead must not end every
/// idle connection at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// The first byte, since connect.
    FirstByte { since: Duration },
    /// The end of a head, since its first byte.
    Head { since: Duration },
    /// The next request, since the end of the latest.
    Request { since: Duration },
    /// The end of what is under way.
    Answer,
    /// The end of what the client sends, after ours.
    Close { since: Duration, latest: Duration },
}

/// How far the answer to a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing of it is there.
    Awaited,
    /// All of it is, and waits to be taken.
    InMemory,
    /// Its next piece is awaited from whoever streams it.
    Streamed,
    /// A piece was handed over, and none has been asked for since.
    Streaming,
}

/// Whether the HTTP library has had its share of a connection's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    Had,
    Due,
}

/// What is to be found out about a client that sends no more, while its answer is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Whether an earlier question came back.
    Look,
    /// The same, and ask it.
    Ask,
}

/// The notes of one connection.
#[derive(Debug)]
pub(super) struct Progress {
    clock: Clock,
    waiting: Cell<Waiting>,
    multiplexed: Cell<bool>,
    under_way: Cell<usize>,
    /// Of those under way, the ones of whose answer the client is to take something before anything else happens.
    sending: Cell<usize>,
    /// Of those, the ones whose answer is streamed.
    streaming: Cell<usize>,
    /// Of those under way, the ones whose answer's head is there.
    answered: Cell<usize>,
    /// Whether anything was done for a request since the latest sweep.
    moved: Cell<bool>,
    still_since: Cell<Duration>,
    /// When something last came of the body of a request under way, as the sweep saw it.
    heard_at: Cell<Duration>,
    /// On HTTP/2: the requests under way, one by one.
    streams: Streams,
    aborts: Cell<u32>,
    /// What is left to be read of the latest request's body.
    unread: RefCell<Option<Unread>>,
    /// Whether the target of the next request has a fragment.
    fragment: Cell<bool>,
    /// Whether the client of the latest request knows interim answers.
    knows_interim: Cell<bool>,
    /// Sweeps since the client said that it sends no more.
    silent: Cell<Option<u32>>,
    doubt: Cell<Option<Doubt>>,
    stage: Cell<Stage>,
    waker: RefCell<Option<Waker>>,
    /// Of the HTTP library: whether everything that it had to send was sent.
    flushed: Cell<bool>,
    /// Whether the stream is being shut down.
    shut_down: Cell<bool>,
    /// Whether the HTTP library is kept although it is at rest.
    kept: Cell<bool>,
    /// Whether it has been for long enough.
    idle: Cell<bool>,
}

impl Progress {
    /// A connection that was just accepted.
    pub(super) fn new(clock: Clock, stage: Stage) -> Rc<Self> {
        let since = clock.uptime();
        Rc::new(Self {
            clock,
            waiting: Cell::new(Waiting::FirstByte { since }),
            multiplexed: Cell::new(false),
            under_way: Cell::new(0),
            sending: Cell::new(0),
            streaming: Cell::new(0),
            answered: Cell::new(0),
            moved: Cell::new(false),
            still_since: Cell::new(since),
            heard_at: Cell::new(since),
            streams: Streams::default(),
            aborts: Cell::new(0),
            unread: RefCell::new(None),
            fragment: Cell::new(false),
            knows_interim: Cell::new(false),
            silent: Cell::new(None),
            doubt: Cell::new(None),
            stage: Cell::new(stage),
            waker: RefCell::new(None),
            flushed: Cell::new(true),
            shut_down: Cell::new(false),
            kept: Cell::new(false),
            idle: Cell::new(false),
        })
    }

    /// Notes that the connection speaks HTTP/2, on which bytes do not tell whether a request begins.
    pub(super) fn note_multiplexed(&self) {
        self.multiplexed.set(true);
    }

    /// Notes that bytes came in. Bytes that come while an answer is under way may be the next request's: those count
    /// as idle time until more come, which is no worse than a connection that sends nothing.
    /// Returns whether they begin a head, as far as that can be told.
    pub(super) fn note_read(&self, bytes: &[u8]) -> bool {
        let begins = match self.waiting.get() {
            Waiting::FirstByte { .. } => true,
            // What comes behind an answer may be the rest of a body that nobody read: hyper reads over it.
            Waiting::Request { .. } => {
                !self.multiplexed.get() && (!self.has_unread() || may_begin_request(bytes))
            }
            Waiting::Head { .. } | Waiting::Answer | Waiting::Close { .. } => false,
        };
        if begins {
            self.waiting.set(Waiting::Head { since: self.clock.uptime() });
        }
        begins && !self.multiplexed.get()
    }

    /// Notes that bytes went out. On HTTP/2 they may be of a PING alone.
    pub(super) fn note_written(&self) {
        if !self.multiplexed.get() {
            self.moved.set(true);
        }
    }

    /// Notes that the HTTP library has bytes to send. Not only when some of them went: an answer that the system takes nothing of
    /// yet is under way as well, although its request has ended.
    pub(super) fn note_unsent(&self) {
        self.flushed.set(false);
    }

    /// Notes that the HTTP library has no byte left to send.
    pub(super) fn note_flushed(&self) {
        self.flushed.set(true);
    }

    /// Notes that the stream is being shut down.
    pub(super) fn note_shutdown(&self) {
        self.shut_down.set(true);
    }

    /// Notes that a request was read, answered and sent at once, at this uptime.
    pub(super) fn note_answered_at_once(&self, at: Duration) {
        self.moved.set(true);
        self.aborts.set(self.aborts.get().saturating_sub(1));
        self.waiting.set(Waiting::Request { since: at });
    }

    /// Notes that a request began; where a connection has several at a time, which one.
    pub(super) fn note_begun(&self) -> Option<Rc<Stream>> {
        self.under_way.set(self.under_way.get() + 1);
        self.waiting.set(Waiting::Answer);
        self.moved.set(true);
        self.kept.set(false);
        self.idle.set(false);
        self.multiplexed.get().then(|| self.streams.begin())
    }

    /// On HTTP/2: the requests under way, one by one.
    pub(super) const fn streams(&self) -> &Streams {
        &self.streams
    }

    pub(super) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The uptime of now.
    pub(super) fn uptime(&self) -> Duration {
        self.clock.uptime()
    }

    /// Notes what the HTTP/1 request that just began is like: its version, and the rest of its body if it has one.
    pub(super) fn note_request(&self, version: Version, unread: Option<Unread>) {
        self.knows_interim.set(version == Version::HTTP_11);
        *self.unread.borrow_mut() = unread;
    }

    /// Notes that the request line that is being read has a fragment.
    pub(super) fn note_fragment(&self) {
        self.fragment.set(true);
    }

    /// Whether the line of the request that just began had one.
    pub(super) fn take_fragment(&self) -> bool {
        self.fragment.take()
    }

    /// Whether the client may have sent, or may be sending, what nobody will read: bytes that a closed connection would
    /// answer with a reset, which overtakes the answer that is on its way.
    pub(super) fn leaves_unread(&self) -> bool {
        let awaits_head = matches!(self.waiting.get(), Waiting::Head { .. });
        awaits_head || self.has_unread()
    }

    fn has_unread(&self) -> bool {
        self.unread.borrow().as_ref().is_some_and(Unread::is_any)
    }

    /// Notes that our side has ended and what still comes is thrown away; called again for what came.
    pub(super) fn note_closing(&self) {
        let latest = self.clock.uptime();
        let since = match self.waiting.get() {
            Waiting::Close { since, .. } => since,
            _ => latest,
        };
        self.waiting.set(Waiting::Close { since, latest });
    }

    /// Whether a client that sends no more, with a request under way, can be asked whether it is there: an interim answer
    /// needs HTTP/1.1, and nothing of the answer may be out.
    fn may_ask(&self) -> bool {
        self.knows_interim.get() && self.under_way.get() == 1 && self.answered.get() == 0
    }

    /// Notes that the client has said that it sends no more, with a request under way.
    pub(super) fn note_silent(&self) {
        self.silent.set(Some(0));
    }

    /// What the sweep wants to know of a client that sends no more. Its answer may have begun since.
    pub(super) fn take_doubt(&self) -> Option<Doubt> {
        let doubt = self.doubt.take()?;
        Some(if self.may_ask() { doubt } else { Doubt::Look })
    }

    fn sweep_silent(&self) {
        let Some(sweeps) = self.silent.get() else { return };
        self.silent.set(Some(sweeps.saturating_add(1)));
        let asks = sweeps % ASK_EVERY == 0 && self.may_ask();
        self.doubt.set(Some(if asks { Doubt::Ask } else { Doubt::Look }));
        self.wake();
    }

    /// Counts a request whose answer has come from `before` as far as `after`.
    pub(super) fn count(&self, before: Answer, after: Answer) {
        let moved = |counter: &Cell<usize>, counts: fn(Answer) -> bool| {
            counter.set(counter.get() + usize::from(counts(after)) - usize::from(counts(before)));
        };
        moved(&self.sending, |answer| matches!(answer, Answer::InMemory | Answer::Streaming));
        moved(&self.answered, |answer| answer != Answer::Awaited);
        moved(&self.streaming, |answer| answer == Answer::Streaming);
    }

    /// Notes that anything was done for a request.
    pub(super) fn note_moved(&self) {
        self.moved.set(true);
    }

    /// Notes that a request has ended, whose answer had come so far.
    pub(super) fn end(&self, answer: Answer) {
        self.moved.set(true);
        self.under_way.set(self.under_way.get() - 1);
        self.count(answer, Answer::Awaited);
        if self.under_way.get() == 0 && !matches!(self.waiting.get(), Waiting::Close { .. }) {
            self.waiting.set(Waiting::Request { since: self.clock.uptime() });
        }
        if answer != Answer::Awaited {
            self.aborts.set(self.aborts.get().saturating_sub(1));
            return;
        }
        self.aborts.set(self.aborts.get() + 1);
        // The farewell lets the peer open streams until it answers; one that goes on is cut.
        match self.aborts.get() {
            ABORTS => self.raise(Stage::Ending),
            aborts if aborts >= 2 * ABORTS => self.raise(Stage::Cut),
            _ => {}
        }
    }

    /// Whether it speaks HTTP/2.
    pub(super) fn is_multiplexed(&self) -> bool {
        self.multiplexed.get()
    }

    /// Whether a request is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way.get() > 0
    }

    /// How far the end of this connection has come.
    pub(super) fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// Brings the end of this connection as far as `stage`.
    pub(super) fn raise(&self, stage: Stage) {
        if stage > self.stage.get() {
            self.stage.set(stage);
            self.wake();
        }
    }

    /// Waits until the connection is to be cut.
    pub(super) fn cut(&self) -> impl Future<Output = ()> {
        poll_fn(|context| self.poll_until(context, || self.stage() >= Stage::Cut))
    }

    /// Waits until hyper may be told to end the connection. While a head is awaited that an HTTP/1 client may have sent
    /// already, that would lose its request: the answer to it will be the last, and ends the connection as well.
    pub(super) fn ending(&self) -> impl Future<Output = ()> {
        poll_fn(|context| self.poll_ending(context))
    }

    /// The same, to be polled.
    pub(super) fn poll_ending(&self, context: &Context<'_>) -> Poll<()> {
        let awaits_head = match self.waiting.get() {
            Waiting::FirstByte { .. } | Waiting::Head { .. } => !self.multiplexed.get(),
            Waiting::Request { .. } | Waiting::Answer | Waiting::Close { .. } => false,
        };
        self.poll_until(context, || self.stage() >= Stage::Ending && !awaits_head)
    }

    /// Waits until the HTTP library, on HTTP/1, is at rest between two requests: all that it was given it has answered, or
    /// has not looked at, and all that it had to say was sent. Where it has not had enough, it has to be so for [`REST`].
    pub(super) fn poll_rest(&self, context: &Context<'_>, share: Share) -> Poll<()> {
        let is_at_rest = matches!(self.waiting.get(), Waiting::Request { .. })
            && self.under_way.get() == 0
            && self.flushed.get()
            && !self.shut_down.get()
            && self.silent.get().is_none()
            && !self.has_unread();
        let is_due = share == Share::Had || self.idle.get();
        self.kept.set(is_at_rest && !is_due);
        self.poll_until(context, || is_at_rest && is_due)
    }

    /// Waits for something that changes in the connection's own task, or by [`Self::wake`]. Only that task may wait.
    fn poll_until(&self, context: &Context<'_>, holds: impl FnOnce() -> bool) -> Poll<()> {
        if holds() {
            return Poll::Ready(());
        }
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Ends the connection if it waits longer than its limits allow, and streams that do.
    pub(super) fn sweep(&self, limits: Limits) {
        let now = self.clock.uptime();
        // One stream among others has the longer of both: what it waits for may be the window that all of them share.
        self.streams.end_stalled(now, limits.stream.max(STALL));
        if self.moved.take() {
            self.still_since.set(now);
        }
        if self.take_come() {
            self.heard_at.set(now);
        }
        let over = |since, limit: Duration| now.saturating_sub(since) >= limit;
        match self.waiting.get() {
            Waiting::FirstByte { since } | Waiting::Head { since } if over(since, limits.header) => {
                self.raise(Stage::Cut);
            }
            Waiting::Request { since } if over(since, limits.idle.saturating_add(FAREWELL)) => {
                self.raise(Stage::Cut);
            }
            Waiting::Request { since } if over(since, limits.idle) => self.raise(Stage::Ending),
            Waiting::Request { since } if self.kept.get() && over(since, REST) => {
                self.idle.set(true);
                self.wake();
            }
            Waiting::Close { since, latest } if over(since, CLOSING) || over(latest, CLOSING_PAUSE) => {
                self.raise(Stage::Cut);
            }
            Waiting::Answer if self.is_sending_all() && over(self.still_since.get(), self.stall(limits)) => {
                self.raise(Stage::Cut);
            }
            Waiting::Answer => self.sweep_silent(),
            Waiting::FirstByte { .. }
            | Waiting::Head { .. }
            | Waiting::Request { .. }
            | Waiting::Close { .. } => {}
        }
    }

    fn is_sending_all(&self) -> bool {
        self.sending.get() == self.under_way.get()
    }

    fn stall(&self, limits: Limits) -> Duration {
        if self.streaming.get() > 0 { limits.stream } else { STALL }
    }
}

/// Whether a request may begin so: with a method and a space behind it, after empty lines (RFC 9112 §2.2).
fn may_begin_request(bytes: &[u8]) -> bool {
    let start = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let method = bytes[start..].iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    bytes.get(start + method).is_none_or(|byte| method > 0 && *byte == b' ')
}

mod silence;
#[cfg(test)]
mod tests;
