//! [`Decision`]: what happens next. Each brings the seed of all that is drawn at random while it is carried out, the proxy's own
//! jitter included: so a history is a list of them, and whatever is left out of it, the rest draws what it drew.

use std::collections::VecDeque;

use super::setting::Setting;
use super::truth::{LABELS, ORGANIZATIONS, PARTIES, Party};

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
    Ask(Taste),
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

/// What a client is likely to ask, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taste {
    /// That it writes.
    pub(super) writes: u8,
    /// That it is about this label, by a credential of this one's organization, or by itself.
    pub(super) near: u8,
    pub(super) label: usize,
    pub(super) party: Party,
}

/// Chooses what there is to be chosen of a kind.
type Make = fn(&mut Choices) -> Kind;

/// What may happen, and how often of about a thousand times: in one process, and in a fleet. Of those before [`STEADY`] that is so
/// at any time.
const KINDS: [(Make, u32, u32); 18] = [
    (|choices| Kind::Ask(choices.spell.taste), 420, 420),
    (|_| Kind::Upstream, 400, 410),
    (|_| Kind::SendRest, 50, 40),
    (|choices| Kind::Pass(choices.short()), 86, 80),
    (|_| Kind::Listen, 2, 6),
    (|_| Kind::StoreHeals, 0, 10),
    (|choices| Kind::Pass(choices.long()), 4, 3),
    (|_| Kind::SwitchToken, 8, 5),
    (|_| Kind::Move, 3, 1),
    (|_| Kind::Restrict, 2, 1),
    (|_| Kind::Purge, 4, 2),
    (|_| Kind::Leave, 11, 6),
    (|_| Kind::Jump, 2, 0),
    (|_| Kind::Slip, 5, 4),
    (|_| Kind::Restart, 1, 1),
    (|_| Kind::Refuse, 1, 1),
    (|_| Kind::StoreFault, 0, 3),
    (Choices::be_calm, 1, 1),
];
const STEADY: usize = 6;

/// For a while the same things are likely, and some never happen: what hardly ever meets in the long run meets then (swarm testing,
/// Groce and others 2012).
struct Spell {
    left: u32,
    times: [u32; KINDS.len()],
    taste: Taste,
}

impl Spell {
    fn begin(chance: &mut fastrand::Rng, organizations: usize) -> Self {
        let times =
            std::array::from_fn(|place| if place < STEADY { 1 } else { [0, 1, 1, 5][chance.usize(..4)] });
        let taste = Taste {
            writes: [2, 5, 10, 20][chance.usize(..4)],
            near: [20, 50, 80][chance.usize(..3)],
            label: chance.usize(..LABELS),
            party: anybody(chance, organizations),
        };
        Self { left: chance.u32(50..500), times, taste }
    }
}

/// Somebody of the first organizations, of which a few have most of the callers.
pub(super) fn anybody(chance: &mut fastrand::Rng, among: usize) -> Party {
    let organization = chance.usize(..among).min(chance.usize(..among));
    Party(organization + ORGANIZATIONS * chance.usize(..PARTIES / ORGANIZATIONS))
}

/// Where decisions come from.
pub(super) struct Choices {
    chance: fastrand::Rng,
    is_fleet: bool,
    organizations: usize,
    spell: Spell,
    /// What follows from one that was drawn.
    next: VecDeque<Decision>,
}

impl Choices {
    pub(super) fn new(seed: u64, setting: &Setting) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed);
        let organizations = setting.organizations();
        let spell = Spell::begin(&mut chance, organizations);
        Self { chance, is_fleet: setting.is_fleet(), organizations, spell, next: VecDeque::new() }
    }

    pub(super) fn draw(&mut self) -> Decision {
        if let Some(next) = self.next.pop_front() {
            return next;
        }
        if self.spell.left == 0 {
            self.spell = Spell::begin(&mut self.chance, self.organizations);
        }
        self.spell.left -= 1;
        let kind = self.kind();
        let pace = if self.chance.u32(..10) == 0 { Pace::Turns(self.chance.u8(1..6)) } else { Pace::Settle };
        Decision { pace, ..self.settled(kind) }
    }

    fn settled(&mut self, kind: Kind) -> Decision {
        Decision { kind, seed: self.chance.u64(..), pace: Pace::Settle }
    }

    fn kind(&mut self) -> Kind {
        let (is_fleet, times) = (self.is_fleet, self.spell.times);
        let weight = |place: usize| times[place] * if is_fleet { KINDS[place].2 } else { KINDS[place].1 };
        let all: u32 = (0..KINDS.len()).map(weight).sum();
        let mut drawn = self.chance.u32(..all);
        for (place, (kind, ..)) in KINDS.iter().enumerate() {
            if drawn < weight(place) {
                return kind(self);
            }
            drawn -= weight(place);
        }
        Kind::Upstream
    }

    fn short(&mut self) -> u16 {
        let most = if self.is_fleet { 120 } else { 400 };
        self.chance.u16(1..most)
    }

    fn long(&mut self) -> u16 {
        if self.is_fleet { self.chance.u16(500..6000) } else { self.chance.u16(2000..45_000) }
    }

    /// For some minutes every call is answered at once, so that nothing excuses what is old; a link to the store may be cut.
    fn be_calm(&mut self) -> Kind {
        // Time is dear in a fleet, where a beat goes by in a tenth of a second.
        let (turns, most) = if self.is_fleet { (24, 6) } else { (60, 12) };
        if self.is_fleet && self.chance.u32(..4) > 0 {
            return Kind::Listen;
        }
        for _ in 0..20 {
            self.answer_after(500);
        }
        let taste = Taste { writes: 3, ..self.spell.taste };
        let fault = if self.is_fleet { self.chance.usize(..turns) } else { turns };
        for turn in 0..turns {
            if turn == fault {
                let fails = self.settled(Kind::StoreFault);
                self.next.push_back(fails);
            }
            let asks = self.settled(Kind::Ask(taste));
            self.next.push_back(asks);
            for _ in 0..self.chance.u32(1..most) {
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
