//! The upstream by hand: connections, the calls on them, what is answered and how much of it arrives.

use tokio::io::DuplexStream;

use super::super::wire::{End, Message};
use super::truth::{ORGANIZATIONS, PARTIES, Party, Versions, What, item, page};
use crate::clock::Moment;

/// A request that arrived.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) party: Party,
    pub(super) what: What,
    pub(super) at: Moment,
    /// Its place among all events.
    pub(super) event: u64,
    pub(super) answer: Option<Answer>,
    /// The event in which all of that had been sent.
    pub(super) landed: Option<u64>,
    /// Its answer is another call's.
    pub(super) slipped: bool,
}

/// What the upstream did, and says.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<u64>,
    pub(super) body: String,
    /// What its labels were at that moment.
    pub(super) versions: Versions,
    /// The version that a write made.
    pub(super) wrote: Option<u64>,
    /// The connection ends in its place.
    pub(super) is_lost: bool,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) end: End,
    /// The call under way.
    pub(super) call: Option<usize>,
    /// What is still to be sent of its answer, once some of it has been.
    rest: Option<Vec<u8>>,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Done,
    /// Done, and answered with 500.
    DoneAndDenied,
    /// Done, and never answered.
    DoneAndLost,
    Failed,
    Limited,
}

/// How much of an answer goes on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    All,
    /// So many bytes, and the rest later.
    Part(usize),
    /// So many bytes, and then the connection's end.
    Cut(usize),
}

/// What has come of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Whole,
    Part,
    Cut,
    /// The proxy has given it up.
    Unheard,
}

pub(super) struct Upstream {
    versions: [Versions; ORGANIZATIONS],
    latest: u64,
    pub(super) revoked: [bool; PARTIES],
    pub(super) calls: Vec<Call>,
    pub(super) lines: Vec<Line>,
}

impl Line {
    /// Whether some of an answer is on its way.
    pub(super) const fn has_begun(&self) -> bool {
        self.rest.is_some()
    }
}

impl Upstream {
    pub(super) fn new() -> Self {
        Self {
            versions: [Versions::default(); ORGANIZATIONS],
            latest: 0,
            revoked: [false; PARTIES],
            calls: Vec::new(),
            lines: Vec::new(),
        }
    }

    pub(super) fn accept(&mut self, pipe: DuplexStream) {
        self.lines.push(Line { end: End::new(pipe), call: None, rest: None });
    }

    /// Takes what has come: the calls that arrived whole, by their places.
    pub(super) fn turn(&mut self, at: Moment, event: u64) -> Vec<(usize, Message)> {
        let mut arrived = Vec::new();
        for line in &mut self.lines {
            line.end.turn();
            if line.call.is_some() {
                continue;
            }
            let Some(request) = Message::take(&mut line.end.received) else { continue };
            let (party, what) = (Party::of(&request), What::of(&request));
            line.call = Some(self.calls.len());
            arrived.push((self.calls.len(), request));
            self.calls.push(Call { party, what, at, event, answer: None, landed: None, slipped: false });
        }
        self.lines.retain(|line| line.end.is_open() || line.call.is_some());
        arrived
    }

    /// Acts on the call of a line, as the truth is now.
    pub(super) fn act(&mut self, number: usize, fate: Fate) {
        let call = &self.calls[number];
        let (party, what) = (call.party, call.what);
        let organization = party.organization();
        let on_labels = !matches!(what, What::Pass(_));
        let refusal = match () {
            () if self.revoked[party.token()] => Some(401),
            () if on_labels && !party.may_read() => Some(403),
            () if fate == Fate::Failed => Some(503),
            () if fate == Fate::Limited => Some(429),
            () => None,
        };
        let mut wrote = None;
        if let (What::Write(label, _), None) = (what, refusal) {
            self.latest += 1;
            self.versions[organization][label] = self.latest;
            wrote = Some(self.latest);
        }
        let versions = self.versions[organization];
        let done = match what {
            What::Read(label) | What::Write(label, _) => item(organization, label, versions[label], number),
            What::List => page(organization, versions, number),
            What::Pass(nonce) => format!("{{\"echo\":{nonce},\"of\":{}}}", party.0),
        };
        let denied = (fate == Fate::DoneAndDenied && refusal.is_none()).then_some(500);
        let status = refusal.or(denied).unwrap_or(200);
        let body =
            if status == 200 { done } else { format!("{{\"statusCode\":{status},\"message\":\"No.\"}}") };
        self.calls[number].answer = Some(Answer {
            status,
            retry_after: (status == 429).then_some(1 + number as u64 % 3),
            body,
            versions,
            wrote,
            is_lost: fate == Fate::DoneAndLost && refusal.is_none(),
        });
    }

    /// Sends of the answer of a line what is to be sent now. The framing is by chunks where the call's number is even.
    pub(super) fn send(&mut self, place: usize, share: Share, event: u64) -> Option<(usize, Sent)> {
        let line = &mut self.lines[place];
        let number = line.call?;
        line.end.turn();
        if !line.end.is_open() {
            line.call = None;
            return Some((number, Sent::Unheard));
        }
        let answer = self.calls[number].answer.as_ref()?;
        let share = if answer.is_lost { Share::Cut(0) } else { share };
        let bytes = line.rest.take().unwrap_or_else(|| answer.to_bytes(number));
        let sent = match share {
            Share::Part(length) if length < bytes.len() => {
                line.end.send(&bytes[..length]);
                line.rest = Some(bytes[length..].to_vec());
                Sent::Part
            }
            Share::Cut(length) if length < bytes.len() => {
                line.end.send(&bytes[..length]);
                line.end.turn();
                line.end.close();
                line.call = None;
                Sent::Cut
            }
            Share::All | Share::Part(_) | Share::Cut(_) => {
                line.end.send(&bytes);
                line.call = None;
                self.calls[number].landed = Some(event);
                Sent::Whole
            }
        };
        line.end.turn();
        Some((number, sent))
    }

    /// Exchanges what two calls are answered with.
    pub(super) fn slip(&mut self, one: usize, other: usize) {
        let answer = self.calls[one].answer.take();
        self.calls[one].answer = std::mem::replace(&mut self.calls[other].answer, answer);
        (self.calls[one].slipped, self.calls[other].slipped) = (true, true);
    }
}

impl Answer {
    fn to_bytes(&self, number: usize) -> Vec<u8> {
        let Self { status, body, .. } = self;
        let wait = self.retry_after.map_or_else(String::new, |wait| format!("retry-after: {wait}\r\n"));
        let head = format!("HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\n{wait}");
        let length = body.len();
        if number % 2 == 1 {
            return format!("{head}content-length: {length}\r\n\r\n{body}").into_bytes();
        }
        let (one, two) = body.split_at(length / 2);
        let (first, second) = (one.len(), two.len());
        format!(
            "{head}transfer-encoding: chunked\r\n\r\n{first:x}\r\n{one}\r\n{second:x}\r\n{two}\r\n0\r\n\r\n"
        )
        .into_bytes()
    }
}
