//! [`Unsaid`]: what the store was not reached with and must hear all the same: that an account is held, what became of a probe.
//!
//! Lost, the one would have the others go on through a hold, and the other would have all wait for a probe that is long over.
//! Both may be said twice. What was spent is kept by the budget itself.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::Moment;
use crate::lock::Mutex;
use crate::shield::account::AccountKey;
use crate::shield::booking::{Order, ProbeFate};

/// So many words are kept; further ones are lost.
const WORDS: usize = 1024;
/// For so long the store waits for a probe (`book.lua`): what became of it is of no use later.
const PROBE_LASTS: Duration = Duration::from_secs(10);
/// So many words are said again at once.
const AT_ONCE: usize = 32;

/// Something that the store must hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    account: AccountKey,
    says: Says,
    /// When it is of no use any more: of a hold, when that ends.
    until: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Held,
    Probed { probe: u64, fate: ProbeFate },
}

/// What is kept to be said again, by account and by what it is about: one word of each. A booking that nobody heard of is given up
/// under a number of its own, and must not stand in the place of the probe that passed.
#[derive(Debug, Default)]
pub struct Unsaid(Mutex<HashMap<(AccountKey, About), Word>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum About {
    Hold,
    Probe(u64),
}

impl Word {
    /// Of an order that must be heard; nothing of any other.
    pub(super) fn of(order: &Order, now: Moment) -> Option<Self> {
        match *order {
            Order::Hold { account, lasts } => {
                Some(Self { account, says: Says::Held, until: now.plus(lasts) })
            }
            Order::Probed { account, probe, fate } => {
                Some(Self { account, says: Says::Probed { probe, fate }, until: now.plus(PROBE_LASTS) })
            }
            Order::Book(_) | Order::Refused { .. } | Order::Spent { .. } => None,
        }
    }

    /// How it is told now; nothing when it is of no use any more.
    pub(super) fn order(&self, now: Moment) -> Option<Order> {
        let Self { account, says, until } = *self;
        let left = until.uptime().saturating_sub(now.uptime());
        (!left.is_zero()).then_some(match says {
            Says::Held => Order::Hold { account, lasts: left },
            Says::Probed { probe, fate } => Order::Probed { account, probe, fate },
        })
    }

    const fn about(&self) -> About {
        match self.says {
            Says::Held => About::Hold,
            Says::Probed { probe, .. } => About::Probe(probe),
        }
    }
}

impl Unsaid {
    /// Keeps a word until it is said again. Of two the one that counts for longer stays: it is the later one.
    pub(super) fn keep(&self, word: Word, now: Moment) {
        let key = (word.account, word.about());
        let mut words = self.0.lock();
        if words.len() >= WORDS {
            words.retain(|_, kept| kept.until.uptime() > now.uptime());
        }
        let has_room = words.len() < WORDS;
        let counts = match words.get(&key) {
            Some(kept) => kept.until.uptime() <= word.until.uptime(),
            None => has_room,
        };
        if counts {
            words.insert(key, word);
        }
    }

    /// Some of what is kept, to be said now: it is kept no more.
    pub(super) fn take(&self) -> Vec<Word> {
        let mut words = self.0.lock();
        let keys: Vec<_> = words.keys().take(AT_ONCE).copied().collect();
        keys.into_iter().filter_map(|key| words.remove(&key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::clock::Clock;
    use crate::organization::OrganizationName;

    const ACCOUNT: AccountKey = AccountKey::Organization(OrganizationName(Uuid::from_u128(1)));

    fn hold(seconds: u64) -> Order {
        Order::Hold { account: ACCOUNT, lasts: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_hold_that_the_store_did_not_hear_of_is_told_until_its_end_and_no_later() {
        let (clock, hand) = Clock::manual();
        let unsaid = Unsaid::default();
        unsaid.keep(Word::of(&hold(5), clock.now()).unwrap(), clock.now());
        unsaid.keep(Word::of(&hold(3), clock.now()).unwrap(), clock.now());
        hand.advance(Duration::from_secs(2));
        let [word] = unsaid.take()[..] else { panic!("one of an account") };
        assert_eq!(word.order(clock.now()), Some(hold(3)), "what is left of the longer one");
        assert_eq!(unsaid.take(), [], "whoever fails to say it keeps it again");
        hand.advance(Duration::from_secs(3));
        assert_eq!(word.order(clock.now()), None);
    }

    #[test]
    fn a_probe_that_is_over_is_told_beside_the_hold_and_for_as_long_as_the_store_waits_for_it() {
        let (clock, hand) = Clock::manual();
        let unsaid = Unsaid::default();
        let passed = |probe| Order::Probed { account: ACCOUNT, probe, fate: ProbeFate::Passed };
        for order in [passed(1), hold(60)] {
            unsaid.keep(Word::of(&order, clock.now()).unwrap(), clock.now());
        }
        hand.advance(Duration::from_secs(1));
        let lost = Order::Probed { account: ACCOUNT, probe: 2, fate: ProbeFate::Lost };
        let later = Word::of(&lost, clock.now()).unwrap();
        unsaid.keep(later, clock.now());
        let words = unsaid.take();
        assert_eq!(words.len(), 3, "each probe by its number: {words:?}");
        assert!(words.contains(&later));
        hand.advance(PROBE_LASTS);
        assert_eq!(later.order(clock.now()), None);
    }

    #[test]
    fn words_that_are_of_no_use_any_more_make_room_for_others() {
        let (clock, hand) = Clock::manual();
        let unsaid = Unsaid::default();
        let of = |number: usize| {
            let account = AccountKey::Organization(OrganizationName(Uuid::from_u128(number as u128)));
            Word::of(&Order::Hold { account, lasts: Duration::from_secs(5) }, clock.now()).unwrap()
        };
        for number in 0..=WORDS {
            unsaid.keep(of(number), clock.now());
        }
        hand.advance(Duration::from_secs(5));
        let later = of(WORDS + 1);
        unsaid.keep(later, clock.now());
        assert_eq!(unsaid.take(), [later]);
    }
}
