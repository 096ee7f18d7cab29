//! [`Booking`]: what one queue knows of the moments that are booked for it.
//!
//! A state and nothing else: `bookings` asks and is answered, `turns` hands the moment out.

use std::sync::LazyLock;
use std::time::Duration;

use foldhash::HashMap;

use super::booking::Urgency;
use super::payers::{AccountKey, Accounts};
use super::rare::AtFirst;
use super::window::{Minute, WINDOW};

/// What is known of a queue's moments.
#[derive(Debug, Default)]
pub(super) struct Booking {
    /// The question that is under way: one at a time.
    pub(super) asked: Option<Asked>,
    /// The moment that was booked last, until somebody has it.
    pub(super) granted: Option<Granted>,
    /// How long the last answer took.
    pub(super) took: Duration,
    /// Nothing is asked before this.
    pub(super) ask_at: Duration,
    /// What holds back calls that take from that other account, too, and nobody else in this queue.
    apart: HashMap<AccountKey, Apart>,
    /// Probes of this account that were given up, of which the store does not know.
    pub(super) lost: Vec<u64>,
    /// Until then calls take from this replica's share: the store was not reached.
    pub(super) share_until: Duration,
    /// Calls that the store has not been told of.
    pub(super) unbooked: Minute,
    /// Calls that were sent without a booking, whether the store has been told of them or not; nothing where there is no
    /// store. The share of a minute is counted by these: what was booked before the store was lost kept the limit of all
    /// replicas together, and a replica that had much of it would have nothing left of its share.
    pub(super) alone: Option<Minute>,
    /// When the moment behind the last one is expected; it has passed where calls need not wait.
    next: Duration,
    /// How far apart this replica's moments are, while calls have to wait.
    gap: Duration,
}

impl AtFirst for Booking {
    fn at_first() -> &'static Self {
        static AT_FIRST: LazyLock<Booking> = LazyLock::new(Booking::default);
        &AT_FIRST
    }
}

/// What the store said of two accounts together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Apart {
    /// Nothing is asked for both before this.
    pub(super) ask_at: Duration,
    /// Nothing is to be had before this.
    pub(super) until: Duration,
    pub(super) cause: Cause,
}

/// Why nothing is to be had for two accounts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// What one of them may send is booked for longer than the other one's is.
    Full,
    /// The upstream limits one of them.
    Held,
}

/// Which accounts of a call are booked. The others take from the share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paying {
    All,
    /// The one in whose queue it waits alone.
    First,
    /// The other one alone.
    Second,
}

impl Paying {
    /// Those of a call's accounts that are booked.
    pub(super) fn of(self, accounts: Accounts) -> Accounts {
        match (self, accounts.second) {
            (Self::First, Some(_)) => Accounts::one(accounts.first),
            (Self::Second, Some(second)) => Accounts::one(second),
            (Self::All, _) | (_, None) => accounts,
        }
    }
}

/// A question that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) number: u64,
    pub(super) at: Duration,
    pub(super) accounts: Accounts,
    pub(super) paying: Paying,
    pub(super) urgency: Urgency,
}

/// A moment that is booked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    pub(super) number: u64,
    pub(super) accounts: Accounts,
    pub(super) paying: Paying,
    /// From when on it may be used.
    pub(super) at: Duration,
    /// When it is lost. The store has counted with a send until then.
    pub(super) until: Duration,
    /// What the store calls it.
    pub(super) moment: u64,
    /// Whether its call finds out if a hold is over.
    pub(super) is_probe: bool,
}

impl Granted {
    /// In which accounts it is booked.
    pub(super) fn paid(&self) -> Accounts {
        self.paying.of(self.accounts)
    }

    /// Whether a call has a moment in this account by it.
    pub(super) fn pays(&self, key: AccountKey) -> bool {
        self.paid().keys().any(|paying| paying == key)
    }
}

impl Asked {
    /// In which accounts it is to be booked.
    pub(super) fn paid(&self) -> Accounts {
        self.paying.of(self.accounts)
    }

    /// When there should have been an answer, or word that there is none, long ago.
    pub(super) const fn lost_at(&self, timeout: Duration) -> Duration {
        self.at.saturating_add(timeout.saturating_mul(2))
    }

    pub(super) fn is_lost(&self, timeout: Duration, now: Duration) -> bool {
        self.lost_at(timeout) <= now
    }
}

impl Booking {
    /// The moment that calls of these accounts may have, now or later.
    pub(super) fn moment_for(&self, accounts: Accounts, now: Duration) -> Option<Granted> {
        self.granted.filter(|granted| granted.accounts == accounts && now <= granted.until)
    }

    /// Nothing is asked for these accounts before this.
    pub(super) fn asks_at(&self, accounts: Accounts) -> Duration {
        self.apart(accounts).map_or(self.ask_at, |apart| apart.ask_at.max(self.ask_at))
    }

    /// What is known of both accounts together, where there are two.
    pub(super) fn apart(&self, accounts: Accounts) -> Option<&Apart> {
        accounts.second.and_then(|other| self.apart.get(&other))
    }

    /// Holds back calls that take from that other account, too.
    pub(super) fn hold_apart(&mut self, other: AccountKey, apart: Apart, now: Duration) {
        self.apart.retain(|_, apart| apart.until > now);
        self.apart.insert(other, apart);
    }

    /// When the call behind so many others can expect its moment.
    pub(super) fn expected(&self, ahead: u32, now: Duration) -> Duration {
        let first =
            self.granted.filter(|granted| now <= granted.until).map_or(self.next, |granted| granted.at);
        let gap = if self.is_short(now) { self.gap } else { Duration::ZERO };
        first.max(self.ask_at).max(now).saturating_add(gap.saturating_mul(ahead))
    }

    /// Whether calls have to wait, as far as was heard.
    pub(super) fn is_short(&self, now: Duration) -> bool {
        self.next > now || self.ask_at > now
    }

    /// A moment was booked that comes after `wait`; this replica's share alone would have one each `interval`.
    pub(super) fn on_booked(&mut self, granted: Granted, wait: Duration, interval: Duration) {
        // A moment that comes at once says nothing of the next; one that has to be waited for is followed by another as
        // far behind it as it was behind the one before. Those before it may be of long ago, and the first behind a burst
        // lies a whole window behind it: of that one the wait tells too much, and replicas that take turns get no less than
        // their shares.
        (self.gap, self.next) = if wait.is_zero() {
            (Duration::ZERO, Duration::ZERO)
        } else {
            let apart = granted.at.saturating_sub(self.next.saturating_sub(self.gap));
            let gap = if self.gap.is_zero() {
                wait.min(apart).min(interval)
            } else {
                (self.gap * 3 + apart.min(WINDOW)) / 4
            };
            (gap, granted.at.saturating_add(gap))
        };
        self.ask_at = Duration::ZERO;
        if let Some(other) = granted.accounts.second {
            self.apart.remove(&other);
        }
        self.granted = Some(granted);
    }

    /// Nothing is to be had before this.
    pub(super) fn on_not_before(&mut self, at: Duration) {
        self.next = self.next.max(at);
    }

    /// A call goes without a booking.
    pub(super) fn on_unbooked(&mut self, at: Duration) {
        self.unbooked.take(at);
        if let Some(alone) = &mut self.alone {
            alone.take(at);
        }
    }

    /// It does not go after all.
    pub(super) fn give_back(&mut self, at: Duration) {
        self.unbooked.give_back(at);
        if let Some(alone) = &mut self.alone {
            alone.give_back(at);
        }
    }

    /// Takes over what was sent under another name; what was booked for that is lost.
    pub(super) fn merge(&mut self, other: Self, now: Duration) {
        self.unbooked.merge(other.unbooked, now);
        if let (Some(alone), Some(other)) = (&mut self.alone, other.alone) {
            alone.merge(other, now);
        }
    }

    /// All that was asked and booked is void: this replica is alone, or no longer.
    pub(super) fn forget(&mut self) {
        let (unbooked, alone) = (std::mem::take(&mut self.unbooked), self.alone.take());
        let mut lost = std::mem::take(&mut self.lost);
        lost.extend(self.granted.filter(|granted| granted.is_probe).map(|granted| granted.number));
        *self = Self { unbooked, alone, lost, ..Self::default() };
    }
}
