//! [`Line`]: what carries one call at a time to the upstream, whatever it speaks.

use super::super::wire::{End, Message};
use super::answer::Answer;
use super::http2::Stream;
use crate::clock::Moment;

/// What carries one call at a time: a connection of HTTP/1.1, or a stream.
pub(super) struct Line {
    pub(super) replica: usize,
    pub(super) way: Way,
    /// When the first of a request came that is not whole yet.
    pub(super) begun: Option<Moment>,
    /// The call under way.
    pub(super) call: Option<usize>,
    /// What is still to be sent of its answer, once some of it has been.
    pub(super) rest: Option<Vec<u8>>,
}

impl Line {
    /// Whether some of an answer is on its way.
    pub(super) const fn has_begun(&self) -> bool {
        self.rest.is_some()
    }

    /// Whether it is a stream.
    pub(super) const fn is_stream(&self) -> bool {
        matches!(self.way, Way::Stream(_))
    }
}

/// How it does.
pub(super) enum Way {
    Bytes(End),
    Stream(Box<Stream>),
}

impl Way {
    pub(super) fn is_open(&mut self) -> bool {
        match self {
            Self::Bytes(end) => {
                end.turn();
                end.is_open()
            }
            Self::Stream(stream) => stream.is_open(),
        }
    }

    /// Takes a call, once all of it has come.
    pub(super) fn take(&mut self) -> Option<Message> {
        match self {
            Self::Bytes(end) => Message::take(&mut end.received),
            Self::Stream(stream) => stream.take(),
        }
    }

    /// Whether any of a call has come.
    pub(super) fn has_come(&self) -> bool {
        match self {
            Self::Bytes(end) => !end.received.is_empty(),
            // It begins with its head.
            Self::Stream(_) => true,
        }
    }

    pub(super) fn send(&mut self, bytes: &[u8], answer: &Answer) {
        match self {
            Self::Bytes(end) => end.send(bytes),
            Self::Stream(stream) => stream.send(bytes, answer),
        }
    }

    pub(super) fn end(&mut self, bytes: &[u8], answer: &Answer) {
        match self {
            Self::Bytes(end) => end.send(bytes),
            Self::Stream(stream) => stream.end(bytes, answer),
        }
    }
}
