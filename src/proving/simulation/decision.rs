//! [`Decision`]: what happens next. Each brings the seed of all that is drawn at random while it is carried out, the proxy's own
//! jitter included: so a history is a list of them, and whatever is left out of it, the rest draws what it drew.

use std::collections::VecDeque;

use super::setting::Setting;

/// What happens next, and how long the proxies work at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) kind: Kind,
    pub(super) seed: u64,
    pub(super) pace: Pace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Until they wait for somebody.
    Settle,
    /// For so many turns of their tasks: something else happens while they are still at work.
    Turns(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A client asks.
    Ask,
    /// A client sends more of what it has begun to send.
    SendRest,
    /// A client leaves.
    Leave,
    /// The upstream acts on a call that waits, or sends some of an answer.
    Upstream,
    /// Whoever waits gets what is true now.
    AnswerAll,
    /// So many milliseconds pass.
    Pass(u16),
    /// The wall clock jumps.
    Jump,
    /// A token is revoked, or restored.
    SwitchToken,
    /// A token is another organization's from now on.
    Move,
    /// An organization limits who sees a label, or no longer does.
    Restrict,
    Purge,
    /// Two callers get each other's answers.
    Slip,
    /// The upstream takes no connections.
    Refuse,
    Listen,
    /// A process is killed, and another one takes its place.
    Restart,
    /// Something befalls the store of the fleet, or a link to it.
    StoreFault,
    /// And is over.
    StoreHeals,
    /// All is well again, and whoever waits gets an answer.
    End,
}

/// Where decisions come from.
pub(super) struct Choices {
    chance: fastrand::Rng,
    is_fleet: bool,
    /// What follows from one that was drawn.
    next: VecDeque<Decision>,
}

impl Choices {
    pub(super) fn new(seed: u64, setting: &Setting) -> Self {
        Self { chance: fastrand::Rng::with_seed(seed), is_fleet: setting.is_fleet(), next: VecDeque::new() }
    }

    pub(super) fn draw(&mut self) -> Decision {
        if let Some(next) = self.next.pop_front() {
            return next;
        }
        let kind = if self.is_fleet { self.of_fleet() } else { self.alone() };
        let pace = if self.chance.u32(..10) == 0 { Pace::Turns(self.chance.u8(1..6)) } else { Pace::Settle };
        Decision { pace, ..self.settled(kind) }
    }

    fn settled(&mut self, kind: Kind) -> Decision {
        Decision { kind, seed: self.chance.u64(..), pace: Pace::Settle }
    }

    fn alone(&mut self) -> Kind {
        match self.chance.u32(..1000) {
            0..420 => Kind::Ask,
            420..820 => Kind::Upstream,
            820..870 => Kind::SendRest,
            870..956 => Kind::Pass(self.chance.u16(1..400)),
            956..960 => Kind::Pass(self.chance.u16(2000..45_000)),
            960..968 => Kind::SwitchToken,
            968..971 => Kind::Move,
            971..973 => Kind::Restrict,
            973..977 => Kind::Purge,
            977..988 => Kind::Leave,
            988..990 => Kind::Jump,
            990..995 => Kind::Slip,
            995 => Kind::Restart,
            996 => Kind::Refuse,
            997 | 998 => Kind::Listen,
            _ => self.be_calm(),
        }
    }

    fn of_fleet(&mut self) -> Kind {
        match self.chance.u32(..1000) {
            0..420 => Kind::Ask,
            420..830 => Kind::Upstream,
            830..870 => Kind::SendRest,
            870..950 => Kind::Pass(self.chance.u16(1..120)),
            950..953 => Kind::Pass(self.chance.u16(500..6000)),
            953..958 => Kind::SwitchToken,
            958 => Kind::Move,
            959 => Kind::Restrict,
            960..962 => Kind::Purge,
            962..968 => Kind::Leave,
            968..972 => Kind::Slip,
            972 => Kind::Restart,
            973 => Kind::Refuse,
            974..980 => Kind::Listen,
            980..984 => Kind::StoreFault,
            _ => Kind::StoreHeals,
        }
    }

    /// For some minutes every call is answered at once, so that nothing excuses what is old.
    fn be_calm(&mut self) -> Kind {
        for _ in 0..20 {
            self.answer_after(500);
        }
        for _ in 0..60 {
            let asks = self.settled(Kind::Ask);
            self.next.push_back(asks);
            for _ in 0..self.chance.u32(1..12) {
                self.answer_after(1000);
            }
        }
        Kind::Listen
    }

    fn answer_after(&mut self, time: u16) {
        for kind in [Kind::AnswerAll, Kind::Pass(time)] {
            let decision = self.settled(kind);
            self.next.push_back(decision);
        }
    }
}
