//! The values that go in and out of [`Control`](super::Control).

use std::time::Duration;

use super::scripts::ControlScript;
use crate::clock::Moment;
use crate::closed_enum::closed_enum;
pub use crate::fleet::number::Number;
pub use crate::metrics::LeaseLoss;

impl Number {
    /// As scripts and the bell write it: 16 digits.
    pub(super) fn digits(self) -> Vec<u8> {
        format!("{:016}", self.0).into_bytes()
    }
}

/// A run of one log on one server process: the number of its first notice in 16 digits, and what began it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HistoryId(pub(super) [u8; 40]);

impl HistoryId {
    /// As another replica wrote it; nothing if it has another length.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// One that is told from others, for tests.
    #[cfg(test)]
    pub(crate) const fn example(which: u8) -> Self {
        Self([which; 40])
    }

    /// As it is written.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Number of its first notice, which says everything.
    #[must_use]
    pub fn first(&self) -> Number {
        let digits = |number: u64, byte: &u8| number * 10 + u64::from(byte.wrapping_sub(b'0') % 10);
        Number(self.0[..16].iter().fold(0, digits))
    }
}

/// What was known here when an upstream call was sent. What it brings may be judged by this within one history alone: another
/// one begins with everything being invalid, and its numbers may be lower where the store's clock was set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The history.
    pub history: HistoryId,
    /// Number of the last notice applied.
    pub number: Number,
}

/// A process that takes part: random, so that nobody is taken for who had its place before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemberId(pub [u8; 16]);

/// What this replica calls a write, or anything else that it announces. No two of a process are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

/// What this replica calls a call to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// By which command the bell is rung: `PUBLISH`, or `SPUBLISH` in a Cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// To all who have subscribed at this server.
    Publish,
    /// To all who have subscribed in this slot.
    ShardPublish,
}

impl Ring {
    pub(super) const fn verb(self) -> &'static [u8] {
        match self {
            Self::Publish => b"PUBLISH",
            Self::ShardPublish => b"SPUBLISH",
        }
    }
}

/// How a fleet is controlled. All of its replicas have the same.
#[derive(Clone, Debug)]
pub struct ControlSettings {
    /// How long stored responses may be served after a good beat was sent.
    pub lease: Duration,
    /// Channel of the bell.
    pub bell: Vec<u8>,
    /// How it is rung.
    pub ring: Ring,
    /// Most notices that one answer brings.
    pub page: usize,
    /// Notices that the log keeps.
    pub log: usize,
}

impl ControlSettings {
    /// A page of 500 and a log of 4,096 notices.
    #[must_use]
    pub const fn new(lease: Duration, bell: Vec<u8>, ring: Ring) -> Self {
        Self { lease, bell, ring, page: 500, log: 4096 }
    }

    /// For how long a lease that was given before this moment may still be used somewhere, by the clock of here: two clocks
    /// that chrony slews by 8.3 % in opposite directions are 18 % apart.
    #[must_use]
    pub fn lease_elsewhere(&self) -> Duration {
        self.lease + self.lease / 5
    }
}

/// What a replica does with the notices of others. Each call returns when its effect is complete.
pub trait Apply {
    /// This notice, after all before it. `own` if this replica said it. It invalidates again all the same: between what was
    /// done here at once and the number that it got, the second tier may have given what another replica stored before.
    fn notice(&mut self, number: Number, body: &[u8], own: Option<WriteId>);

    /// Everything from before this number: nobody knows what was said before it.
    fn everything(&mut self, number: Number);
}

/// Something to ask the store. The keys are the names of [`PARTS`](super::PARTS), in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// To be given back with its answer, or with the news that there is none.
    pub id: CallId,
    /// What to run.
    pub script: ControlScript,
    /// Its `ARGV`.
    pub args: Vec<Vec<u8>>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this, without waiting for its answer, and ask again.
    Send(Call),
    /// Ask again at this uptime ([`Moment::uptime`]), if there is one, and whenever something was reported.
    Wait(Option<Duration>),
}

/// Whether an answer is held until its notices have been applied everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// A client, or an operator, waits.
    Answer,
    /// Nobody waits.
    Nothing,
}

closed_enum! {
    /// Why an answer that was held may go.
    pub enum Settled {
        /// Every member has applied its notices.
        Confirmed = "confirmed",
        /// The leases of those that have not are over.
        LeasesOver = "leases_over",
        /// The others could not be told. They will be when the link is back.
        Unannounced = "unannounced",
    }
}

/// Whether a write is among the open ones before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It is: if this replica is lost, others take it over.
    Said,
    /// The store could not be told, or has not said so. The next beat that is answered enters it.
    Unsaid,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A write may be sent upstream.
    Entered {
        /// Which.
        write: WriteId,
        /// Whether the fleet knows of it.
        entry: Entry,
    },
    /// Notices are in the log. All up to the last have been applied here, unless they are not `complete`: then more is missing
    /// than one answer brings.
    Appended {
        /// Whose.
        write: WriteId,
        /// Number of the last.
        number: Number,
        /// Whether nothing before it is unknown here.
        complete: bool,
    },
    /// An answer that was held may go; nothing follows of what nobody waits for.
    Settled {
        /// Of which write.
        write: WriteId,
        /// Why.
        settled: Settled,
        /// For how long it was held, by the monotonic clock.
        waited: Duration,
    },
    /// A new history was seen here; `begun_here` if a beat of this replica found that one was needed.
    History {
        /// Number of its first notice.
        first: Number,
        /// Whether this replica began it.
        begun_here: bool,
    },
    /// So many open writes of others became notices.
    TakenOver(u64),
    /// So many members that had not moved were removed.
    Removed(u64),
    /// There is a lease again.
    LeaseGained,
    /// The lease ran out.
    LeaseLost(LeaseLoss),
    /// The store was told, or could not be: nothing follows.
    Left,
}

/// The store's clock as a beat brackets it: it said `micros` after `sent` and before `read`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreTime {
    /// When the beat was sent.
    pub sent: Moment,
    /// When its answer was read.
    pub read: Moment,
    /// Microseconds since 1970.
    pub micros: u64,
}

/// What is known of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Members, as of the last answered beat; 0 before the first.
    pub members: u32,
    /// The lowest number that a member has applied, and which member.
    pub lowest: Option<(Number, Vec<u8>)>,
    /// Number of the first notice of the history.
    pub history: Option<Number>,
    /// Number of the last notice applied here.
    pub applied: Number,
    /// Writes of this replica under way.
    pub open_writes: usize,
    /// Answers held here.
    pub held_answers: usize,
    /// What is not in the log for certain.
    pub unannounced: usize,
}
