//! [`Watched`]: a connection's bytes, with a note of their coming, a look at the first of them, and a careful end.
//!
//! **Who sends no more may wait for its answer.** A client that has ended its side (a half-close) gets its answer; one that
//! has left altogether cannot be told from it, until something is sent to it: then its system answers with a reset. So a
//! client of HTTP/1.1 that sends no more, and whose answer takes longer than to the next sweep, is sent `100 Continue`,
//! which every client must take at any time (RFC 9110 §15.2), and again after half a minute. A reset, before or behind
//! the end, ends what is under way at once or at the next sweep.
//!
//! **An answer is not overtaken by our own reset** (RFC 9112 §9.6). A connection that is closed with bytes unread is reset,
//! and a client that is still sending loses the answer with it. Where that may be, our side is ended first, and what
//! comes is thrown away for a while.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use memchr::{memchr, memchr2};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::progress::{Doubt, Progress};
use crate::clock;
use crate::linger::{self, Left};
use crate::peer::Peer;

/// What asks a client whether it is still there.
const QUESTION: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What every HTTP/2 client sends first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Enough for the head of most requests, so that the look costs no read of its own.
const LOOK_BYTES: usize = 1024;

/// A head and a body that are no longer than this together are copied into one piece: the system takes longer to go
/// through a list of pieces.
const JOINED_BYTES: usize = 4 * 1024;

/// A connection writes so much before others on its thread have their turn: little enough that they hardly wait, and enough
/// that going round costs little beside the copying.
const AT_ONCE: usize = 256 * 1024;

thread_local! {
    static JOINED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Which protocol a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// A connection's stream, that can tell of a reset although its end has been read.
pub(super) trait Socket: AsyncRead + AsyncWrite {
    /// The fault that the system holds for it.
    fn fault(&self) -> Option<io::Error>;
}

impl Socket for TcpStream {
    fn fault(&self) -> Option<io::Error> {
        self.take_error().unwrap_or_else(Some)
    }
}

impl Socket for TlsStream<TcpStream> {
    fn fault(&self) -> Option<io::Error> {
        self.get_ref().0.fault()
    }
}

/// A pipe has no system below it that could hold a fault.
#[cfg(any(test, feature = "fuzzing"))]
impl Socket for tokio::io::DuplexStream {
    fn fault(&self) -> Option<io::Error> {
        None
    }
}

/// Bytes of one connection; every read is noted in its [`Progress`].
#[derive(Debug)]
pub(super) struct Watched<I> {
    io: I,
    looked_at: BytesMut,
    peer: Peer,
    progress: Rc<Progress>,
    /// The client has said that it sends no more.
    ended: bool,
    /// The bytes that come next belong to a request line.
    in_line: bool,
    /// What is still to be written of a question.
    question: &'static [u8],
    /// How much is still thrown away, once our side has ended.
    left: Option<Left>,
    /// Bytes that were written since others on this thread last had their turn.
    at_once: usize,
}

impl<I: Socket + Unpin> Watched<I> {
    /// Nothing has been read yet.
    pub(super) fn new(io: I, peer: Peer, progress: Rc<Progress>) -> Self {
        Self {
            io,
            looked_at: BytesMut::new(),
            at_once: 0,
            peer,
            progress,
            ended: false,
            in_line: false,
            question: b"",
            left: None,
        }
    }

    /// Says which protocol the client speaks, from the first bytes alone; they are read again afterwards. `None` if
    /// the client left before it could be told.
    ///
    /// # Errors
    ///
    /// If the connection fails.
    pub(super) async fn protocol(&mut self) -> io::Result<Option<Protocol>> {
        // What was read before comes first, whatever its length: of a first flight of HTTP/2 it is more than the preface.
        let mut first = std::mem::take(&mut self.looked_at);
        let protocol = loop {
            if first.starts_with(PREFACE) {
                break Protocol::Http2;
            }
            if !PREFACE.starts_with(&first) {
                break Protocol::Http1;
            }
            first.reserve(LOOK_BYTES);
            if self.read_buf(&mut first).await? == 0 {
                return Ok(None);
            }
        };
        self.looked_at = first;
        Ok(Some(protocol))
    }
}

impl<I: Socket + Unpin> Watched<I> {
    /// Looks, while a request is under way, whether its client is there. hyper reads nothing then, and asks for a flush
    /// whenever it does anything.
    fn look(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.progress.is_busy() || self.progress.is_multiplexed() {
            return Ok(());
        }
        // Inside a body hyper reads when it wants more, and a look would hand it crumbs.
        if !self.ended && !self.looked_at.has_remaining() && !self.progress.leaves_unread() {
            let mut bytes = [0; LOOK_BYTES];
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                Poll::Pending => {}
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    self.ended = true;
                    self.peer.note_end();
                    self.progress.note_silent();
                    // The request itself may want to know.
                    cx.waker().wake_by_ref();
                }
                Poll::Ready(Ok(())) => {
                    self.looked_at.extend_from_slice(buffer.filled());
                    // What follows it may be the end.
                    cx.waker().wake_by_ref();
                }
            }
        }
        let doubt = self.progress.take_doubt();
        if doubt.is_some()
            && let Some(fault) = self.io.fault()
        {
            return Err(fault);
        }
        if doubt == Some(Doubt::Ask) {
            self.question = QUESTION;
        }
        let _ = self.poll_question(cx)?;
        Ok(())
    }

    /// Looks for a fragment in a request line: hyper's type of a target drops it, and nobody behind could tell that target
    /// from the one without. A request that comes while another is answered (pipelining) is not looked at.
    fn look_for_fragment(&mut self, bytes: &[u8]) {
        // RFC 9112 §2.2: empty lines may come before.
        let start = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let bytes = &bytes[start..];
        let found = memchr2(b'\n', b'#', bytes);
        self.in_line = match found {
            Some(at) if bytes[at] == b'#' => {
                self.progress.note_fragment();
                memchr(b'\n', &bytes[at..]).is_none()
            }
            Some(_) => false,
            None => true,
        };
    }

    /// Writes what is left of a question: nothing else may come between its bytes.
    fn poll_question(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.question.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, self.question))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.question = &self.question[written..];
        }
        Poll::Ready(Ok(()))
    }
}

/// For who reads before the HTTP library does.
impl<I: Socket + Unpin> Watched<I> {
    /// Whether it holds bytes that were read and not used: they come before all that is still to be read.
    pub(super) fn holds_bytes(&self) -> bool {
        self.looked_at.has_remaining()
    }

    /// Reads what has come, without a note of it; nothing is the end. Only while it holds no bytes.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        clock::forget();
        match &read {
            Poll::Ready(Ok(())) => self.ended = buffer.filled().is_empty(),
            Poll::Ready(Err(_)) => {}
            // Others on the thread have their turn.
            Poll::Pending => self.at_once = 0,
        }
        read
    }

    /// Holds what was received, and notes it as read.
    pub(super) fn keep(&mut self, received: &[u8]) {
        self.looked_at.extend_from_slice(received);
        self.note_received(received);
    }

    /// Takes back what somebody has read and not used: it comes before all else. Empty lines before a request are nobody's
    /// (RFC 9112 §2.2): kept, they would pass for a head that does not end.
    pub(super) fn put_back(&mut self, unused: &[u8]) {
        let empty = unused.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let unused = &unused[empty..];
        if !unused.is_empty() || self.holds_bytes() {
            let behind = std::mem::take(&mut self.looked_at);
            self.keep(&[unused, &behind].concat());
        }
    }

    /// Sends what the stream itself holds back.
    pub(super) fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn note_received(&mut self, bytes: &[u8]) {
        self.in_line |= self.progress.note_read(bytes);
        if self.in_line {
            self.look_for_fragment(bytes);
        }
    }
}

impl<I> Watched<I> {
    fn note(&mut self, written: &Poll<io::Result<usize>>) {
        match *written {
            Poll::Ready(Ok(length @ 1..)) => {
                self.at_once += length;
                self.progress.note_written();
            }
            Poll::Ready(_) => {}
            Poll::Pending => self.at_once = 0,
        }
    }

    /// Lets others on this thread go on after [`AT_ONCE`] bytes: the system takes MiBs of one answer in a row, and every
    /// hit on the thread would wait for that.
    pub(super) fn poll_turn(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.at_once < AT_ONCE {
            return Poll::Ready(());
        }
        self.at_once = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<I: Socket + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A request is never older than the read that brought it.
        clock::forget();
        if self.looked_at.has_remaining() {
            let length = buffer.remaining().min(self.looked_at.len());
            buffer.put_slice(&self.looked_at[..length]);
            self.looked_at.advance(length);
            if !self.looked_at.has_remaining() {
                self.looked_at = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        clock::forget();
        if buffer.filled().len() > before {
            self.note_received(&buffer.filled()[before..]);
        } else if matches!(read, Poll::Ready(Ok(()))) && buffer.remaining() > 0 {
            self.ended = true;
        }
        read
    }
}

impl<I: Socket + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.progress.note_unsent();
        ready!(self.poll_question(cx))?;
        ready!(self.poll_turn(cx));
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.progress.note_unsent();
        ready!(self.poll_question(cx))?;
        ready!(self.poll_turn(cx));
        let length = slices.iter().map(|slice| slice.len()).sum::<usize>();
        let written = match slices {
            [all] => Pin::new(&mut self.io).poll_write(cx, all),
            _ if length > JOINED_BYTES => Pin::new(&mut self.io).poll_write_vectored(cx, slices),
            _ => JOINED.with_borrow_mut(|joined| {
                joined.clear();
                slices.iter().for_each(|slice| joined.extend_from_slice(slice));
                Pin::new(&mut self.io).poll_write(cx, joined)
            }),
        };
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        // The library asks for it once it has written all that it had.
        self.progress.note_flushed();
        self.look(cx)?;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.progress.note_shutdown();
        if this.left.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
            if this.ended || this.progress.is_multiplexed() {
                return Poll::Ready(Ok(()));
            }
            this.left = Some(Left::default());
            if !this.progress.leaves_unread() && linger::is_quiet(&mut this.io, cx) {
                return Poll::Ready(Ok(()));
            }
        }
        let Some(left) = &mut this.left else { return Poll::Ready(Ok(())) };
        this.progress.note_closing();
        left.poll_discard(&mut this.io, cx).map(Ok)
    }
}

#[cfg(test)]
mod tests;
