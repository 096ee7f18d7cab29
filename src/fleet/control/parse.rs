//! What the scripts answer, taken apart.

use super::types::{HistoryId, Number};

/// What the store answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing.
    Nil,
    /// A whole number.
    Int(i64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Several replies.
    List(Vec<Self>),
}

/// What was answered is nothing that the script answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

impl Reply {
    pub(super) fn count(&self) -> Result<u64, Unreadable> {
        match self {
            Self::Int(int) => u64::try_from(*int).map_err(|_| Unreadable),
            Self::Nil | Self::Bytes(_) | Self::List(_) => Err(Unreadable),
        }
    }

    pub(super) fn count_if_any(&self) -> Result<Option<u64>, Unreadable> {
        match self {
            Self::Nil => Ok(None),
            other => other.count().map(Some),
        }
    }

    fn number(&self) -> Result<Number, Unreadable> {
        self.count().map(Number)
    }

    fn history(self) -> Result<HistoryId, Unreadable> {
        self.bytes()?.try_into().map(HistoryId).map_err(|_| Unreadable)
    }

    fn flag(&self) -> Result<bool, Unreadable> {
        self.count().map(|count| count != 0)
    }

    fn bytes(self) -> Result<Vec<u8>, Unreadable> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Nil | Self::Int(_) | Self::List(_) => Err(Unreadable),
        }
    }

    fn list(self) -> Result<Vec<Self>, Unreadable> {
        match self {
            Self::List(list) => Ok(list),
            Self::Nil | Self::Int(_) | Self::Bytes(_) => Err(Unreadable),
        }
    }

    fn exactly<const N: usize>(self) -> Result<[Self; N], Unreadable> {
        self.list()?.try_into().map_err(|_| Unreadable)
    }
}

/// A notice as the log has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Logged {
    pub(super) number: Number,
    pub(super) body: Vec<u8>,
}

/// What was brought of the log.
#[derive(Debug)]
pub(super) struct Brought {
    /// Whether they follow the notice that the asker had applied; else they are the oldest of the log.
    pub(super) known: bool,
    /// Whether there are more.
    pub(super) more: bool,
    pub(super) notices: Vec<Logged>,
}

/// The answer to a beat.
#[derive(Debug)]
pub(super) struct BeatReply {
    pub(super) history: HistoryId,
    pub(super) began: bool,
    pub(super) brought: Brought,
    /// Count of all beats, this one included.
    pub(super) count: u64,
    pub(super) members: u64,
    pub(super) lowest: Number,
    pub(super) lowest_member: Vec<u8>,
    /// Count at which the open write that was not renewed for longest was renewed.
    pub(super) oldest_open: Option<u64>,
    pub(super) time: u64,
}

/// The answer to an append.
#[derive(Debug)]
pub(super) struct AppendReply {
    pub(super) history: HistoryId,
    pub(super) number: Number,
    /// Count of beats at that moment.
    pub(super) count: u64,
    pub(super) brought: Brought,
}

impl BeatReply {
    pub(super) fn read(reply: Reply) -> Result<Self, Unreadable> {
        let [history, began, known, more, count, members, lowest, lowest_member, oldest, time, notices] =
            reply.exactly()?;
        Ok(Self {
            history: history.history()?,
            began: began.flag()?,
            brought: Brought { known: known.flag()?, more: more.flag()?, notices: read_notices(notices)? },
            count: count.count()?,
            members: members.count()?,
            lowest: lowest.number()?,
            lowest_member: lowest_member.bytes()?,
            oldest_open: oldest.count_if_any()?,
            time: time.count()?,
        })
    }
}

impl AppendReply {
    pub(super) fn read(reply: Reply) -> Result<Self, Unreadable> {
        let [history, number, _before, known, more, count, notices] = reply.exactly()?;
        Ok(Self {
            history: history.history()?,
            number: number.number()?,
            count: count.count()?,
            brought: Brought { known: known.flag()?, more: more.flag()?, notices: read_notices(notices)? },
        })
    }
}

fn read_notices(reply: Reply) -> Result<Vec<Logged>, Unreadable> {
    reply.list()?.into_iter().map(|notice| Logged::read(&notice.bytes()?)).collect()
}

impl Logged {
    fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let (number, body) = bytes.split_at_checked(16).ok_or(Unreadable)?;
        Ok(Self { number: read_number(number)?, body: body.to_vec() })
    }
}

fn read_number(digits: &[u8]) -> Result<Number, Unreadable> {
    let text = std::str::from_utf8(digits).map_err(|_| Unreadable)?;
    text.parse().map(Number).map_err(|_| Unreadable)
}

/// What the bell brings: a notice, and the one before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bell<'a> {
    pub(super) history: HistoryId,
    pub(super) before: Number,
    pub(super) number: Number,
    pub(super) body: &'a [u8],
}

impl<'a> Bell<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Self, Unreadable> {
        let (history, rest) = message.split_first_chunk().ok_or(Unreadable)?;
        let (before, rest) = rest.split_at_checked(16).ok_or(Unreadable)?;
        let (number, body) = rest.split_at_checked(16).ok_or(Unreadable)?;
        let history = HistoryId(*history);
        Ok(Self { history, before: read_number(before)?, number: read_number(number)?, body })
    }
}
