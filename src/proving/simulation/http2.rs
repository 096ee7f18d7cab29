//! The upstream's end of a connection of HTTP/2: [`Connection`], and each call on it, a [`Stream`]. Nothing of it is awaited.

use std::io::Cursor;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::server::{Handshake, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::request::Parts;
use tokio::io::{AsyncReadExt as _, Chain, DuplexStream, Join, ReadHalf, WriteHalf, join, split};

use super::super::wire::{End, Message, PREFACE};
use super::answer::Answer;

/// A pipe, and before what it brings what it has brought already.
type Pipe = Join<Chain<Cursor<Vec<u8>>, ReadHalf<DuplexStream>>, WriteHalf<DuplexStream>>;

/// What all label calls of a replica share.
pub(super) struct Connection {
    pub(super) replica: usize,
    /// Tells it from the others.
    pub(super) number: usize,
    state: State,
}

enum State {
    Beginning(Handshake<Pipe, Bytes>),
    Open(h2::server::Connection<Pipe, Bytes>),
    Over,
}

impl Connection {
    /// One, if that is what a client has begun.
    pub(super) fn of(end: &mut End, replica: usize, number: usize) -> Option<Self> {
        if !end.received.starts_with(PREFACE) {
            return None;
        }
        let (received, pipe) = end.take()?;
        let (reads, writes) = split(pipe);
        let handshake = h2::server::handshake(join(Cursor::new(received).chain(reads), writes));
        Some(Self { replica, number, state: State::Beginning(handshake) })
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Reads and writes what can be: the calls that have begun.
    pub(super) fn turn(&mut self) -> Vec<Stream> {
        let cx = &mut Context::from_waker(Waker::noop());
        if let State::Beginning(handshake) = &mut self.state {
            match Pin::new(handshake).poll(cx) {
                Poll::Ready(open) => self.state = open.map_or(State::Over, State::Open),
                Poll::Pending => return Vec::new(),
            }
        }
        let mut begun = Vec::new();
        while let State::Open(open) = &mut self.state {
            match open.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    let (head, body) = request.into_parts();
                    begun.push(Stream {
                        connection: self.number,
                        head,
                        body,
                        respond,
                        request: Some(Vec::new()),
                        answer: None,
                        is_over: false,
                    });
                }
                Poll::Ready(_) => self.state = State::Over,
                Poll::Pending => break,
            }
        }
        begun
    }

    /// Takes no more calls, and answers those that it has taken (RFC 9113 §6.8).
    pub(super) fn go_away(&mut self) {
        if let State::Open(open) = &mut self.state {
            open.graceful_shutdown();
        }
    }

    /// Ends, and with it all calls on it; it says so where there is a reason.
    pub(super) fn cut(&mut self, reason: Option<Reason>) {
        if let (State::Open(open), Some(reason)) = (&mut self.state, reason) {
            open.abrupt_shutdown(reason);
            let _ = open.poll_accept(&mut Context::from_waker(Waker::noop()));
        }
        self.state = State::Over;
    }
}

/// A call on a connection.
pub(super) struct Stream {
    pub(super) connection: usize,
    head: Parts,
    body: RecvStream,
    /// What has come of the body, until all of the call is taken.
    request: Option<Vec<u8>>,
    respond: SendResponse<Bytes>,
    answer: Option<SendStream<Bytes>>,
    is_over: bool,
}

impl Stream {
    /// Takes the call, once all of it has come.
    pub(super) fn take(&mut self) -> Option<Message> {
        let cx = &mut Context::from_waker(Waker::noop());
        let request = self.request.as_mut()?;
        loop {
            match self.body.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => {
                    // It may be reset meanwhile, which the next turn finds.
                    let _ = self.body.flow_control().release_capacity(data.len());
                    request.extend_from_slice(&data);
                }
                Poll::Ready(Some(Err(_))) => {
                    self.is_over = true;
                    return None;
                }
                Poll::Ready(None) => break,
                Poll::Pending => return None,
            }
        }
        let target = self.head.uri.path_and_query().map_or("/", |target| target.as_str());
        let line = format!("{} {target} HTTP/2", self.head.method);
        Some(Message::of(line, &self.head.headers, self.request.take()?))
    }

    /// Whether the caller still waits.
    pub(super) fn is_open(&mut self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        let reset = match &mut self.answer {
            Some(answer) => answer.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        self.is_over |= reset.is_ready();
        !self.is_over
    }

    /// Sends some of an answer. The first byte stands for its head.
    pub(super) fn send(&mut self, bytes: &[u8], answer: &Answer) {
        self.push(bytes, answer, Rest::Follows);
    }

    /// Sends the rest of it.
    pub(super) fn end(&mut self, bytes: &[u8], answer: &Answer) {
        self.push(bytes, answer, Rest::Nothing);
        self.is_over = true;
    }

    fn push(&mut self, mut bytes: &[u8], answer: &Answer, rest: Rest) {
        if self.answer.is_none()
            && let Some((_, body)) = bytes.split_first()
        {
            bytes = body;
            self.answer = self.respond.send_response(answer.head(), false).ok();
        }
        // Where it is no more, that is found by the next look at it.
        let Some(stream) = &mut self.answer else { return };
        let _ = stream.send_data(Bytes::copy_from_slice(bytes), rest == Rest::Nothing);
    }

    /// Ends in the middle, for this reason (RFC 9113 §7).
    pub(super) fn reset(&mut self, reason: Reason) {
        match &mut self.answer {
            Some(answer) => answer.send_reset(reason),
            None => self.respond.send_reset(reason),
        }
        self.is_over = true;
    }

    /// Its connection has ended.
    pub(super) const fn lose(&mut self) {
        self.is_over = true;
    }
}

/// What comes behind a piece of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    Follows,
    Nothing,
}
