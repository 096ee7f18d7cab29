//! A client: one connection of HTTP/1.1 by hand, or a stream at a time of a connection that it shares with others.

use std::time::Duration;

use h2::Reason;
use tokio::task::AbortHandle;

use super::super::process::Process;
use super::super::wire::{End, Message};
use super::oracle::Asked;
use super::streams::{Course, Streams};
use super::truth::What;

/// An answer that came whole.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) status: u16,
    pub(super) cached: String,
    pub(super) body: String,
}

/// What became of a request.
pub(super) enum Ended {
    Heard(Heard),
    /// The connection, or the stream, ended before.
    Cut,
}

pub(super) struct Client {
    way: Way,
    asked: Option<Asked>,
}

enum Way {
    One { end: Option<End>, rest: Vec<u8> },
    Two { streams: Streams, course: Option<(Course, AbortHandle)> },
}

impl Client {
    pub(super) const fn by_bytes() -> Self {
        Self { way: Way::One { end: None, rest: Vec::new() }, asked: None }
    }

    pub(super) const fn by_streams(streams: Streams) -> Self {
        Self { way: Way::Two { streams, course: None }, asked: None }
    }

    pub(super) const fn is_idle(&self) -> bool {
        self.asked.is_none()
    }

    pub(super) const fn asked(&self) -> Option<&Asked> {
        self.asked.as_ref()
    }

    pub(super) fn is_sending(&self) -> bool {
        self.asked.is_some()
            && match &self.way {
                Way::One { rest, .. } => !rest.is_empty(),
                Way::Two { course, .. } => course.as_ref().is_some_and(|(course, _)| course.is_sending()),
            }
    }

    /// Sends a request to a process, or all of it but this much of its end.
    pub(super) fn ask(&mut self, asked: Asked, kept: usize, process: &Process) {
        let request = asked.what.request(asked.party);
        match &mut self.way {
            Way::One { end, rest } => {
                let open = match end.take() {
                    Some(open) if open.is_open() => open,
                    _ => End::new(process.connect()),
                };
                let open = end.insert(open);
                let mut bytes = request.to_bytes();
                *rest = bytes.split_off(bytes.len().saturating_sub(kept).max(1));
                open.send(&bytes);
                open.turn();
            }
            Way::Two { streams, course } => {
                *course = Some(streams.ask(request, kept, process));
            }
        }
        self.asked = Some(asked);
    }

    /// Sends what it has kept back.
    pub(super) fn send_rest(&mut self) {
        match &mut self.way {
            Way::One { end: Some(end), rest } => {
                end.send(&std::mem::take(rest));
                end.turn();
            }
            Way::Two { course: Some((course, _)), .. } => course.send_rest(),
            Way::One { .. } | Way::Two { .. } => {}
        }
    }

    /// Goes away, where a stream says why with this reason.
    pub(super) fn leave(&mut self, reason: Reason) {
        self.asked = None;
        match &mut self.way {
            Way::One { end, rest } => {
                *end = None;
                rest.clear();
            }
            Way::Two { course, .. } => {
                if let Some((course, task)) = course.take()
                    && !course.leave(reason)
                {
                    task.abort();
                }
            }
        }
    }

    /// Its process has been killed.
    pub(super) fn lose(&mut self) {
        self.leave(Reason::CANCEL);
        if let Way::Two { streams, .. } = &mut self.way {
            streams.forget();
        }
    }

    /// Notes that its request has gone out whole at this moment, if it has: what it was.
    pub(super) fn note_sent(&mut self, now: Duration) -> Option<What> {
        let is_sending = self.is_sending();
        let asked = self.asked.as_mut().filter(|_| !is_sending)?;
        asked.sent.get_or_insert(now);
        Some(asked.what)
    }

    /// What became of its request, once that is known.
    pub(super) fn turn(&mut self) -> Option<(Asked, Ended)> {
        let asked = self.asked.as_ref()?;
        let ended = match &mut self.way {
            Way::One { end, rest } => turn_bytes(end.as_mut()?, rest)?,
            Way::Two { course, .. } => {
                let (heard, _) = course.as_mut()?;
                let ended = heard.ended()?;
                *course = None;
                ended
            }
        };
        let asked = asked.clone();
        self.asked = None;
        Some((asked, ended))
    }
}

fn turn_bytes(end: &mut End, rest: &mut Vec<u8>) -> Option<Ended> {
    end.turn();
    let answer = Message::take(&mut end.received).map(|message| Heard {
        status: message.status(),
        cached: message.field("cache-status").unwrap_or_default().to_owned(),
        body: String::from_utf8_lossy(&message.body).into_owned(),
    });
    if answer.is_none() && !end.ended {
        return None;
    }
    // Answered before all was sent, or with `Connection: close`: the connection is of no use any more.
    if end.ended || !rest.is_empty() {
        rest.clear();
        end.close();
    }
    Some(answer.map_or(Ended::Cut, Ended::Heard))
}
