//! What may happen, and how often.

use std::time::Duration;

use proptest::prelude::*;

use super::oracle::{Denial, Fate, Health};
use super::parties::{NAMES, PARTIES, TARGETS};
use crate::support::Grants;

/// How a read is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Plain,
    Head,
    /// With the validators of everything that was seen.
    Validation,
    NoCache,
    NoStore,
    OnlyIfCached,
    MaxAge,
    MinFresh,
}

impl Wish {
    pub(super) const fn directive(self) -> Option<&'static str> {
        match self {
            Self::Plain | Self::Head | Self::Validation => None,
            Self::NoCache => Some("no-cache"),
            Self::NoStore => Some("no-store"),
            Self::OnlyIfCached => Some("only-if-cached"),
            Self::MaxAge => Some("max-age=5"),
            Self::MinFresh => Some("min-fresh=40"),
        }
    }
}

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Change,
    Delete,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Read {
        party: usize,
        target: usize,
        wish: Wish,
    },
    /// A read whose answer, if it goes upstream, comes late.
    HoldRead {
        party: usize,
        target: usize,
    },
    Write {
        party: usize,
        verb: Verb,
        label: u32,
        fate: Fate,
    },
    /// A write whose answer comes late.
    HoldWrite {
        party: usize,
        verb: Verb,
        label: u32,
        fate: Fate,
    },
    /// The oldest late answer comes.
    Release,
    /// The client of the oldest late answer leaves; then it comes.
    Abandon,
    Campaigns {
        party: usize,
    },
    Edit {
        name: usize,
        label: u32,
    },
    /// Its organization's labels say who may see them, or no longer do.
    Own {
        name: usize,
        grants: Option<Grants>,
    },
    /// A key that is refused once.
    Refuse {
        party: usize,
    },
    Revoke {
        party: usize,
    },
    Restore {
        party: usize,
    },
    Deny {
        party: usize,
        what: Denial,
    },
    Allow {
        party: usize,
    },
    Health(Health),
    Purge {
        name: Option<usize>,
        label: Option<u32>,
    },
    Advance(Duration),
    WallAhead(Duration),
    WallBack(Duration),
}

fn party() -> impl Strategy<Value = usize> {
    // Those that can hit are the ones that must not hit too much.
    prop_oneof![5 => 0..2_usize, 5 => 2..6_usize, 3 => 6..9_usize, 1 => 9..PARTIES.len()]
}

fn target() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..1_usize, 3 => 0..TARGETS]
}

fn wish() -> impl Strategy<Value = Wish> {
    use Wish::{Head, MaxAge, MinFresh, NoCache, NoStore, OnlyIfCached, Plain, Validation};
    let odd = [Head, Validation, NoCache, NoStore, OnlyIfCached, MaxAge, MinFresh].as_slice();
    prop_oneof![3 => Just(Plain), 1 => prop::sample::select(odd)]
}

fn fate() -> impl Strategy<Value = Fate> {
    let odd = [Fate::Lost, Fate::Cut, Fate::Refused(400), Fate::Refused(404), Fate::Refused(429)].as_slice();
    prop_oneof![3 => Just(Fate::Done), 1 => prop::sample::select(odd)]
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![4 => Just(Verb::Change), 1 => Just(Verb::Create), 1 => Just(Verb::Delete)]
}

fn read() -> impl Strategy<Value = Step> {
    (party(), target(), wish()).prop_map(|(party, target, wish)| Step::Read { party, target, wish })
}

fn write() -> impl Strategy<Value = Step> {
    (party(), verb(), 1..=2_u32, fate()).prop_map(|(party, verb, label, fate)| Step::Write {
        party,
        verb,
        label,
        fate,
    })
}

fn late() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (party(), target()).prop_map(|(party, target)| Step::HoldRead { party, target }),
        1 => (party(), verb(), 1..=2_u32, fate())
            .prop_map(|(party, verb, label, fate)| Step::HoldWrite { party, verb, label, fate }),
        2 => Just(Step::Release),
        1 => Just(Step::Abandon),
    ]
}

fn refusal() -> impl Strategy<Value = Step> {
    let denial = [Denial::Items(None), Denial::Payment, Denial::Campaigns].as_slice();
    prop_oneof![
        3 => party().prop_map(|party| Step::Campaigns { party }),
        4 => party().prop_map(|party| Step::Refuse { party }),
        2 => party().prop_map(|party| Step::Revoke { party }),
        2 => party().prop_map(|party| Step::Restore { party }),
        1 => (party(), prop::sample::select(denial)).prop_map(|(party, what)| Step::Deny { party, what }),
        2 => party().prop_map(|party| Step::Allow { party }),
    ]
}

fn grants() -> impl Strategy<Value = Option<Grants>> {
    let some = [Grants::InLists, Grants::Everywhere].as_slice();
    prop::option::weighted(0.7, prop::sample::select(some))
}

fn world() -> impl Strategy<Value = Step> {
    let ill =
        [Health::Failing(500), Health::Failing(503), Health::Failing(429), Health::Blocked, Health::Closing];
    prop_oneof![
        2 => (0..4_usize, 1..=2_u32).prop_map(|(name, label)| Step::Edit { name, label }),
        3 => (prop_oneof![3 => 0..1_usize, 1 => 0..4_usize], grants()).prop_map(|(name, grants)| Step::Own { name, grants }),
        1 => prop::sample::select(ill.to_vec()).prop_map(Step::Health),
        3 => Just(Step::Health(Health::Sound)),
        1 => (prop::option::of(0..4_usize), prop::option::of(1..=2_u32))
            .prop_map(|(name, label)| Step::Purge { name, label }),
    ]
}

fn time() -> impl Strategy<Value = Step> {
    let seconds =
        |choices: &[u64]| prop::sample::select(choices.to_vec()).prop_map(Duration::from_millis).boxed();
    prop_oneof![
        6 => seconds(&[500, 1_100, 5_000, 16_000, 46_000, 61_000, 130_000, 301_000, 700_000])
            .prop_map(Step::Advance),
        1 => seconds(&[2_000, 61_000, 400_000, 3_600_000]).prop_map(Step::WallAhead),
        1 => seconds(&[2_000, 400_000, 315_360_000_000]).prop_map(Step::WallBack),
    ]
}

/// Two parties of one organization, and one that may be of another.
fn cast() -> impl Strategy<Value = (usize, usize, usize)> {
    (prop::sample::select(vec![(0, 1), (1, 0), (0, 7), (3, 4), (8, 3), (2, 0)]), party())
        .prop_map(|((one, other), third)| (one, other, third))
}

/// Steps that chance would seldom put into this order: an answer is overtaken by what forbids it.
fn story() -> impl Strategy<Value = Vec<Step>> {
    let told = (cast(), 1..=2_u32, fate(), wish(), 0..9_usize);
    told.prop_map(|((one, other, third), label, fate, wish, plot)| {
        let target = if label == 1 { 0 } else { 1 };
        let read = |party| Step::Read { party, target, wish: Wish::Plain };
        let prove = |party| Step::Read { party, target: 2, wish: Wish::Plain };
        let hold = |party| Step::HoldRead { party, target };
        let write = |party| Step::Write { party, verb: Verb::Change, label, fate };
        match plot {
            // A write overtakes a read, and another read would join it.
            0 => {
                vec![prove(one), prove(other), hold(one), write(other), read(other), Step::Release, read(one)]
            }
            // The same, by one whose organization nobody knows.
            1 => vec![read(one), hold(other), write(third), read(one), Step::Release, read(other)],
            // A refusal overtakes the answer that would prove.
            2 => vec![read(other), hold(one), Step::Refuse { party: one }, Step::Release, read(one)],
            // A refusal overtakes a follower.
            3 => {
                let refused = Step::Refuse { party: other };
                vec![prove(one), prove(other), hold(one), hold(other), refused, Step::Release, Step::Release]
            }
            // Answers that prove nothing.
            4 => vec![read(one), Step::Read { party: third, target, wish: Wish::Head }, read(third)],
            // Grants are shown while a read is under way that another read has joined, and a third would.
            5 | 6 => {
                let name =
                    PARTIES[one].organization.and_then(|name| NAMES.iter().position(|own| *own == name));
                let own = Step::Own { name: name.unwrap_or_default(), grants: Some(Grants::InLists) };
                let list = Step::Read { party: one, target: 5, wish: Wish::NoCache };
                let hidden = Step::HoldRead { party: one, target: if plot == 5 { 2 } else { target } };
                let also = |party| Step::Read { party, target: 2, wish: Wish::Plain };
                vec![
                    read(one),
                    read(other),
                    hidden,
                    hold(other),
                    own,
                    list,
                    Step::Release,
                    also(other),
                    read(other),
                ]
            }
            // A write, and what else was stored of its organization.
            7 => {
                let other_label = |party| Step::Read { party, target: 1 - target, wish: Wish::Plain };
                vec![
                    read(one),
                    read(one),
                    other_label(one),
                    write(one),
                    other_label(one),
                    read(other),
                    other_label(other),
                ]
            }
            // A refusal between two hits.
            _ => vec![
                read(one),
                Step::Read { party: one, target, wish },
                Step::Refuse { party: one },
                read(one),
            ],
        }
    })
}

/// Any steps, one after the other.
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let one = prop_oneof![12 => read(), 4 => write(), 6 => late(), 4 => refusal(), 2 => world(), 3 => time()];
    let some = prop_oneof![12 => one.prop_map(|step| vec![step]), 1 => story()];
    prop::collection::vec(some, 15..60).prop_map(|some| some.concat())
}

/// A step, and the place of the resource that it is about among those of the run.
pub(super) type Placed = (usize, Step);

/// Steps that callers take at once, a list for each, with so many resources mixed.
pub(super) fn callers(resources: usize) -> impl Strategy<Value = Vec<Vec<Placed>>> {
    let one = prop_oneof![14 => read(), 5 => write(), 6 => late(), 3 => refusal(), 1 => world(), 1 => time()];
    prop::collection::vec(prop::collection::vec((0..resources, one), 5..25), 2..8)
}
