//! The upstream by hand: connections, the calls on them, what is answered and how much of it arrives.

use h2::Reason;
use tokio::io::DuplexStream;

use super::super::wire::{End, Message};
use super::answer::Answer;
use super::http2::Connection;
use super::line::{Line, Way};
use super::truth::{ORGANIZATIONS, PARTIES, Party, Versions, What};
use crate::clock::Moment;

/// How a stream ends in the middle of its answer; by none of these its connection does.
const RESETS: [Option<Reason>; 4] =
    [Some(Reason::INTERNAL_ERROR), Some(Reason::CANCEL), Some(Reason::NO_ERROR), None];

/// A request that arrived.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) party: Party,
    /// Who sent it on.
    pub(super) replica: usize,
    /// Whose its token was when it arrived.
    pub(super) organization: usize,
    pub(super) what: What,
    /// When its head came, which may be long before its body, and when all of it had.
    pub(super) head: Moment,
    pub(super) at: Moment,
    /// Its place among all events.
    pub(super) event: u64,
    pub(super) answer: Option<Answer>,
    /// The event in which the first of that was sent: its head may have come before its end.
    pub(super) begun: Option<u64>,
    /// The event in which all of that had been sent.
    pub(super) landed: Option<u64>,
    /// Its answer is another call's.
    pub(super) slipped: bool,
    pub(super) is_stream: bool,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    Done,
    /// Done, and answered with 500.
    DoneAndDenied,
    /// Done, and never answered.
    DoneAndLost,
    Failed,
    Limited,
    /// Refused with 402, whatever it asks.
    Unpaid,
    /// Refused with 403.
    Forbidden,
    /// Not so much as looked at (REFUSED_STREAM, RFC 9113 §8.7): it may be sent again, and nothing is done about it.
    Unseen,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sent {
    Whole,
    Part,
    /// Its connection has ended.
    Cut,
    /// Its stream has, and nothing else.
    Reset,
    /// The proxy has given it up.
    Unheard,
}

pub(super) struct Upstream {
    versions: [Versions; ORGANIZATIONS],
    latest: u64,
    pub(super) revoked: [bool; PARTIES],
    /// Whose each token is now.
    pub(super) homes: [usize; PARTIES],
    /// Which organizations limit who sees a label.
    pub(super) limits: [bool; ORGANIZATIONS],
    pub(super) calls: Vec<Call>,
    pub(super) lines: Vec<Line>,
    connections: Vec<Connection>,
    /// How many connections there have been.
    accepted: usize,
    /// What had come whole when its connection ended, and was not noted as a call yet.
    pub(super) lost: Vec<What>,
}

impl Upstream {
    pub(super) fn new() -> Self {
        Self {
            versions: [Versions::default(); ORGANIZATIONS],
            latest: 0,
            revoked: [false; PARTIES],
            homes: std::array::from_fn(|token| Party(token).first_home()),
            limits: [false; ORGANIZATIONS],
            calls: Vec::new(),
            lines: Vec::new(),
            connections: Vec::new(),
            accepted: 0,
            lost: Vec::new(),
        }
    }

    pub(super) fn accept(&mut self, replica: usize, pipe: DuplexStream) {
        self.add(replica, Way::Bytes(End::new(pipe)));
    }

    fn add(&mut self, replica: usize, way: Way) {
        self.lines.push(Line { replica, way, begun: None, call: None, rest: None });
    }

    /// A process has been killed.
    pub(super) fn lose(&mut self, replica: usize) {
        self.lines.retain(|line| line.replica != replica);
        self.connections.retain(|connection| connection.replica != replica);
    }

    /// Takes for connections of HTTP/2 those that begin as one.
    fn look_at_beginnings(&mut self) {
        let Self { lines, connections, accepted, .. } = self;
        lines.retain_mut(|line| {
            let Way::Bytes(end) = &mut line.way else { return true };
            end.turn();
            let Some(shared) = Connection::of(end, line.replica, *accepted) else { return true };
            *accepted += 1;
            connections.push(shared);
            false
        });
    }

    /// Reads and writes what can be, by everything that is open. Lines may come, and none goes.
    fn go_on(&mut self) {
        for line in &mut self.lines {
            if let Way::Bytes(end) = &mut line.way {
                end.turn();
            }
        }
        let turn = |connection: &mut Connection| (connection.replica, connection.turn());
        let begun: Vec<_> = self.connections.iter_mut().map(turn).collect();
        for (replica, streams) in begun {
            streams.into_iter().for_each(|stream| self.add(replica, Way::Stream(Box::new(stream))));
        }
        self.connections.retain(|connection| !connection.is_over());
    }

    /// Another label is as it was not, by no write of anybody's.
    pub(super) fn change(&mut self, organization: usize, label: usize) -> u64 {
        self.latest += 1;
        self.versions[organization][label] = self.latest;
        self.latest
    }

    /// Takes what has come: the calls that arrived whole, by their places.
    pub(super) fn turn(&mut self, at: Moment, event: u64) -> Vec<(usize, Message)> {
        self.look_at_beginnings();
        self.go_on();
        let mut arrived = Vec::new();
        for line in &mut self.lines {
            if line.call.is_some() {
                continue;
            }
            if line.way.has_come() {
                line.begun.get_or_insert(at);
            }
            let Some(request) = line.way.take() else { continue };
            let head = line.begun.take().unwrap_or(at);
            let (party, what) = (Party::of(&request), What::of(&request));
            line.call = Some(self.calls.len());
            arrived.push((self.calls.len(), request));
            self.calls.push(Call {
                party,
                replica: line.replica,
                organization: self.homes[party.token()],
                what,
                head,
                at,
                event,
                answer: None,
                begun: None,
                landed: None,
                slipped: false,
                is_stream: line.is_stream(),
            });
        }
        self.lines.retain_mut(|line| line.call.is_some() || line.way.is_open());
        arrived
    }

    /// A call of a stream was not looked at: what it is, and that it has not arrived.
    pub(super) fn refuse_unseen(&mut self, place: usize) -> Option<usize> {
        let line = &mut self.lines[place];
        let Way::Stream(stream) = &mut line.way else { return None };
        stream.reset(Reason::REFUSED_STREAM);
        let number = line.call.take();
        self.go_on();
        number
    }

    /// Ends the line of a call in the middle of its answer: a stream, or with it its connection, by the call's number. The calls that
    /// end with it, itself included, and which of the two it was.
    fn cut(&mut self, place: usize, number: usize) -> (Vec<usize>, Sent) {
        let line = &mut self.lines[place];
        line.call = None;
        let shared = match &mut line.way {
            Way::Bytes(end) => {
                end.turn();
                end.close();
                return (vec![number], Sent::Cut);
            }
            Way::Stream(stream) => {
                if let Some(reason) = RESETS[number % RESETS.len()] {
                    stream.reset(reason);
                    self.go_on();
                    return (vec![number], Sent::Reset);
                }
                stream.connection
            }
        };
        let connection = self.connections.iter_mut().find(|connection| connection.number == shared);
        if let Some(connection) = connection {
            let says_so = (number / RESETS.len()).is_multiple_of(2);
            connection.cut(says_so.then_some(Reason::INTERNAL_ERROR));
        }
        let mut cut = vec![number];
        for line in &mut self.lines {
            if let Way::Stream(stream) = &mut line.way
                && stream.connection == shared
            {
                if line.call.is_none() {
                    // It had come whole, and nobody has looked at it yet.
                    self.lost.extend(stream.take().map(|request| What::of(&request)));
                }
                stream.lose();
                line.rest = None;
                cut.extend(line.call.take());
            }
        }
        self.go_on();
        (cut, Sent::Cut)
    }

    /// Acts on the call of a line, as the truth is now.
    pub(super) fn act(&mut self, number: usize, fate: Fate) -> u16 {
        let call = &self.calls[number];
        let (party, what) = (call.party, call.what);
        let organization = self.homes[party.token()];
        let refusal = self.refusal(party, what, number).or(match fate {
            Fate::Failed => Some(503),
            Fate::Limited => Some(429),
            Fate::Unpaid => Some(402),
            Fate::Forbidden => Some(403),
            Fate::Done | Fate::DoneAndDenied | Fate::DoneAndLost | Fate::Unseen => None,
        });
        let wrote = match (what, refusal) {
            (What::Write(label, _), None) => Some(self.change(organization, label)),
            _ => None,
        };
        let denied = (fate == Fate::DoneAndDenied && refusal.is_none()).then_some(500);
        let status = refusal.or(denied).unwrap_or(200);
        let mut answer = Answer {
            status,
            retry_after: (status == 429).then_some(1 + number as u64 % 3),
            body: format!("{{\"statusCode\":{status},\"message\":\"No.\"}}"),
            organization,
            versions: self.versions[organization],
            limits: self.limits[organization],
            wrote,
            is_lost: fate == Fate::DoneAndLost && refusal.is_none(),
        };
        if status == 200 {
            answer.body = answer.done(party, what, number);
        }
        self.calls[number].answer = Some(answer);
        status
    }

    /// What is refused whatever its fate.
    fn refusal(&self, party: Party, what: What, number: usize) -> Option<u16> {
        let home = self.homes[party.token()];
        let sees = |label| !self.limits[home] || party.sees(label);
        match what {
            _ if self.revoked[party.token()] => Some(401),
            // Half of the time it does not look at the field, and answers as whose key it is.
            _ if party.workspace().is_some_and(|workspace| workspace != home) && number.is_multiple_of(2) => {
                Some(403)
            }
            What::Pass(_) => None,
            _ if !party.may_read() => Some(403),
            What::Read(label) | What::Doubt(label, _) | What::Write(label, _) if !sees(label) => Some(404),
            What::Read(_) | What::Doubt(..) | What::Write(..) | What::List => None,
        }
    }

    /// Sends of the answer of a line what is to be sent now. The framing is by chunks where the call's number is even. Which calls that
    /// concerns: where a connection is cut, all that are on it.
    pub(super) fn send(&mut self, place: usize, share: Share, event: u64) -> Option<(Vec<usize>, Sent)> {
        self.go_on();
        let line = &mut self.lines[place];
        let number = line.call?;
        if !line.way.is_open() {
            line.call = None;
            return Some((vec![number], Sent::Unheard));
        }
        let answer = self.calls[number].answer.as_ref()?;
        let share = if answer.is_lost { Share::Cut(0) } else { share };
        let bytes = match (line.rest.take(), &line.way) {
            (Some(rest), _) => rest,
            (None, Way::Bytes(_)) => answer.to_bytes(number),
            (None, Way::Stream(_)) => answer.to_piece(),
        };
        self.calls[number].begun.get_or_insert(event);
        let answer = self.calls[number].answer.as_ref()?;
        let sent = match share {
            Share::Part(length) if length < bytes.len() => {
                line.way.send(&bytes[..length], answer);
                line.rest = Some(bytes[length..].to_vec());
                Sent::Part
            }
            Share::Cut(length) if length < bytes.len() => {
                line.way.send(&bytes[..length], answer);
                self.go_on();
                return Some(self.cut(place, number));
            }
            Share::All | Share::Part(_) | Share::Cut(_) => {
                line.way.end(&bytes, answer);
                line.call = None;
                self.calls[number].landed = Some(event);
                if let Way::Stream(stream) = &line.way
                    && number.is_multiple_of(16)
                {
                    let of = stream.connection;
                    let shared = self.connections.iter_mut().find(|connection| connection.number == of);
                    shared.into_iter().for_each(Connection::go_away);
                }
                Sent::Whole
            }
        };
        self.go_on();
        Some((vec![number], sent))
    }

    /// Exchanges what two calls are answered with.
    pub(super) fn slip(&mut self, one: usize, other: usize) {
        let answer = self.calls[one].answer.take();
        self.calls[one].answer = std::mem::replace(&mut self.calls[other].answer, answer);
        (self.calls[one].slipped, self.calls[other].slipped) = (true, true);
    }
}
