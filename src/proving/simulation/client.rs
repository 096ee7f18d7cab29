//! A client by hand: one connection, one request at a time.

use tokio::io::DuplexStream;

use super::super::wire::{End, Message};
use super::oracle::Asked;
use super::truth::What;

#[derive(Debug, Default)]
pub(super) struct Client {
    end: Option<End>,
    asked: Option<Asked>,
    /// What it has not sent yet.
    rest: Vec<u8>,
}

impl Client {
    pub(super) const fn is_idle(&self) -> bool {
        self.asked.is_none()
    }

    pub(super) const fn is_sending(&self) -> bool {
        self.asked.is_some() && !self.rest.is_empty()
    }

    /// Whether it has an answer to come.
    pub(super) const fn waits(&self) -> bool {
        self.asked.is_some()
    }

    /// Sends a request, or its beginning.
    pub(super) fn ask(&mut self, asked: Asked, at_once: usize, connect: impl FnOnce() -> DuplexStream) {
        let end = match self.end.take() {
            Some(end) if end.is_open() => end,
            _ => End::new(connect()),
        };
        let end = self.end.insert(end);
        let mut bytes = asked.what.request(asked.party);
        self.rest = bytes.split_off(at_once.min(bytes.len()));
        end.send(&bytes);
        end.turn();
        self.asked = Some(asked);
    }

    pub(super) fn send_rest(&mut self) {
        if let Some(end) = &mut self.end {
            end.send(&std::mem::take(&mut self.rest));
            end.turn();
        }
    }

    /// Goes away without a word.
    pub(super) fn leave(&mut self) {
        self.end = None;
        self.asked = None;
        self.rest.clear();
    }

    /// Whether this is no request of its, or one that has gone out whole.
    pub(super) fn has_sent_all_of(&self, what: What) -> bool {
        let is_body = matches!(what, What::Write(..));
        !is_body || self.rest.is_empty() || self.asked.as_ref().is_none_or(|asked| asked.what != what)
    }

    /// The answer, once it has come whole. A connection that ended before has none to come.
    pub(super) fn turn(&mut self) -> Option<(Asked, Message)> {
        let end = self.end.as_mut()?;
        end.turn();
        let answer = Message::take(&mut end.received);
        if end.ended || answer.as_ref().is_some_and(|answer| answer.field("connection") == Some("close")) {
            end.close();
            self.rest.clear();
            let asked = self.asked.take();
            return asked.zip(answer);
        }
        let answer = answer?;
        let asked = self.asked.take().expect("an answer that nobody asked for");
        // Answered before all was sent: the connection is of no use any more.
        if !self.rest.is_empty() {
            self.rest.clear();
            end.close();
        }
        Some((asked, answer))
    }
}
