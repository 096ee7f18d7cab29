//! [`UnderWay`]: one request on its way, for as long as which its connection is busy.

use std::cell::Cell;
use std::rc::Rc;

use super::progress::{Answer, Progress, Stage};
use super::streams::Stream;
use crate::body::Body;
use crate::received::Unread;

/// Keeps one request counted as under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    progress: Rc<Progress>,
    answer: Cell<Answer>,
    /// Which one it is, where a connection has several.
    stream: Option<Rc<Stream>>,
}

impl Progress {
    /// Notes that a request began; it ends when the guard is dropped.
    pub(super) fn begin(self: &Rc<Self>) -> UnderWay {
        let stream = self.note_begun();
        UnderWay { progress: Rc::clone(self), answer: Cell::new(Answer::Awaited), stream }
    }
}

impl UnderWay {
    /// Notes that the request has a body; where a connection has one request at a time, [`Progress::note_request`] knows it.
    pub(super) fn note_body(&self, unread: impl FnOnce() -> Unread) {
        if let Some(stream) = &self.stream {
            stream.note_body(unread());
        }
    }

    /// Notes that the request got the head of an answer, with this body: it was not aborted before that.
    pub(super) fn note_answered(&self, body: &Body) {
        self.set(match body {
            Body::Whole(_) => Answer::InMemory,
            Body::Stream(_) => Answer::Streamed,
        });
        if let Some(stream) = &self.stream {
            stream.note_answered();
        }
        self.note_offered();
    }

    /// Notes that a piece of the answer was handed over: hyper asks for more once the client has taken of it.
    pub(super) fn note_piece(&self) {
        self.progress.note_moved();
        if self.answer.get() == Answer::Streamed {
            self.set(Answer::Streaming);
        }
        self.note_offered();
    }

    /// Notes that a piece was asked for and is not there yet. How long it may take is not for this connection to say.
    pub(super) fn note_want(&self) {
        if self.answer.get() == Answer::Streaming {
            self.set(Answer::Streamed);
        }
        if let Some(stream) = &self.stream {
            stream.note_wanted();
        }
    }

    fn note_offered(&self) {
        if let Some(stream) = &self.stream {
            stream.note_offered(self.progress.uptime());
        }
    }

    fn set(&self, answer: Answer) {
        self.progress.count(self.answer.replace(answer), answer);
    }

    /// Whether something is left of its body when it is answered, although the rest of a short one was waited for.
    pub(super) async fn leaves(&self, unread: &Unread) -> bool {
        unread.discard(self.progress.clock()).await;
        unread.is_any()
    }

    /// Whether the answer to this request is to be the connection's last.
    pub(super) fn is_last(&self) -> bool {
        self.progress.stage() >= Stage::Leaving
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            self.progress.streams().end(stream);
        }
        self.progress.end(self.answer.get());
    }
}
