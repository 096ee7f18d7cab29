//! The fast path of a connection: requests that are answered from memory before the HTTP library sees them.
//!
//! A connection begins here and comes back whenever the library is at rest. What has come is read into a buffer of the thread's,
//! shown to the [`Handler`], and either answered with one write or handed over to the library, byte for byte. So a connection
//! that waits holds no buffer at all.
//!
//! **The thread's buffers hold bytes of many callers, one after the other.** They are borrowed inside one poll and never across
//! an await; of what was read only the filled part is looked at, and it is overwritten before the next caller's turn; what the
//! system does not take at once is copied out.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, ReadBuf};

use super::handler::Handler;
use super::io::{Socket, Watched};
use super::progress::{Progress, Stage};
use super::under_way::UnderWay;
use crate::body::Body;
use crate::proxy::{Client, FromMemory};

/// A longer head is the library's.
const INPUT_BYTES: usize = 4 * 1024;

/// What a thread keeps of its room for answers.
const OUTPUT_BYTES: usize = 16 * 1024;

/// One for all connections of a thread.
struct Buffers {
    input: Vec<u8>,
    output: Vec<u8>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> =
        RefCell::new(Buffers { input: vec![0; INPUT_BYTES], output: Vec::with_capacity(OUTPUT_BYTES) });
}

/// The buffers in one caller's turn. However that ends, by a panic as well, nothing of it is there in the next one's: no token
/// outlives its request in here, and no answer is sent behind what was left of another.
struct Used<'a> {
    buffers: &'a mut Buffers,
    filled: usize,
}

impl Drop for Used<'_> {
    fn drop(&mut self) {
        let Buffers { input, output } = &mut *self.buffers;
        input[..self.filled].fill(0);
        output.clear();
        output.shrink_to(OUTPUT_BYTES);
    }
}

/// Why a connection leaves the fast path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// What has come is not answered here; the connection holds it.
    HandOver {
        /// Requests that were answered before it.
        answered: u32,
    },
    /// The client has ended it, or it is to end.
    Ended,
}

/// Answers what can be answered from memory, until something else comes.
///
/// # Errors
///
/// If the connection fails.
pub(super) async fn serve<I, H>(
    io: &mut Watched<I>,
    client: Client<'_>,
    progress: &Rc<Progress>,
    handler: &H,
) -> io::Result<Left>
where
    I: Socket + Unpin,
    H: Handler,
{
    let mut connection = Connection { io, client, progress, handler, answered: 0, unsent: None };
    poll_fn(|cx| connection.poll(cx)).await
}

struct Connection<'a, I, H> {
    io: &'a mut Watched<I>,
    client: Client<'a>,
    progress: &'a Rc<Progress>,
    handler: &'a H,
    answered: u32,
    unsent: Option<Box<Unsent>>,
}

/// What the system has not taken of an answer.
struct Unsent {
    head: Bytes,
    body: Bytes,
    under_way: UnderWay,
}

impl<I: Socket + Unpin, H: Handler> Connection<'_, I, H> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Left>> {
        loop {
            if let Some(unsent) = &mut self.unsent {
                ready!(unsent.poll_send(self.io, cx))?;
                self.unsent = None;
            }
            // Who asks again and again has answers in a row, and others on the thread wait.
            ready!(self.io.poll_turn(cx));
            // What came before its time, or in the middle of something else.
            if self.io.holds_bytes() {
                return Poll::Ready(Ok(Left::HandOver { answered: self.answered }));
            }
            let turn = BUFFERS.with_borrow_mut(|buffers| self.poll_turn(buffers, cx));
            match turn {
                Poll::Ready(Ok(None)) => self.answered = self.answered.saturating_add(1),
                Poll::Ready(Ok(Some(left))) => return Poll::Ready(Ok(left)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return self.progress.poll_ending(cx).map(|()| Ok(Left::Ended)),
            }
        }
    }

    /// Reads once, and answers what has come.
    fn poll_turn(&mut self, buffers: &mut Buffers, cx: &mut Context<'_>) -> Poll<io::Result<Option<Left>>> {
        let mut used = Used { buffers, filled: 0 };
        let mut input = ReadBuf::new(&mut used.buffers.input);
        ready!(self.io.poll_receive(cx, &mut input))?;
        used.filled = input.filled().len();
        let Buffers { input, output } = &mut *used.buffers;
        let request = &input[..used.filled];
        if request.is_empty() {
            return Poll::Ready(Ok(Some(Left::Ended)));
        }
        // Of the last answers each says that it is one.
        let is_open = self.progress.stage() < Stage::Leaving;
        let client = Client { peer: self.client.peer, recent: &mut *self.client.recent };
        let answer = if is_open { self.handler.answer_from_memory(request, client, output) } else { None };
        Poll::Ready(match answer {
            Some(answer) => self.send(output, answer, cx).map(|()| None),
            None => {
                self.io.keep(request);
                Ok(Some(Left::HandOver { answered: self.answered }))
            }
        })
    }

    /// Sends an answer whose head is in `out`, with one write; what is not taken at once is left to [`Unsent`]. A body that is not
    /// short is not copied behind its head: the thread's buffer would grow for it, and be given back, each time.
    fn send(&mut self, out: &mut Vec<u8>, answer: FromMemory, cx: &mut Context<'_>) -> io::Result<()> {
        let FromMemory { body, at } = answer;
        let (before, bytes) = (out.len(), body.as_ref());
        let length = before + bytes.len();
        let io = Pin::new(&mut *self.io);
        let written = if length > OUTPUT_BYTES / 2 {
            io.poll_write_vectored(cx, &[IoSlice::new(out), IoSlice::new(bytes)])
        } else {
            out.extend_from_slice(bytes);
            io.poll_write(cx, out)
        };
        let written = match written {
            Poll::Ready(written) => written?,
            Poll::Pending => 0,
        };
        if written == length && self.io.poll_push(cx)?.is_ready() {
            self.progress.note_answered_at_once(at);
            return Ok(());
        }
        let under_way = self.progress.begin();
        under_way.note_answered(&Body::empty());
        let head = Bytes::copy_from_slice(&out[written.min(before)..before]);
        let body = Bytes::from_owner(body);
        let body = body.slice(written.saturating_sub(before)..);
        self.unsent = Some(Box::new(Unsent { head, body, under_way }));
        Ok(())
    }
}

impl Unsent {
    fn poll_send<I: Socket + Unpin>(
        &mut self,
        io: &mut Watched<I>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let piece = if self.head.is_empty() { &mut self.body } else { &mut self.head };
            if piece.is_empty() {
                return io.poll_push(cx);
            }
            let written = ready!(Pin::new(&mut *io).poll_write(cx, piece))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            piece.advance(written);
            self.under_way.note_piece();
        }
    }
}
