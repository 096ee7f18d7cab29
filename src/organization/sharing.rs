//! [`Sharing`]: whether what one credential reads may be served to another of its organization.
//!
//! The vendor can limit who may see a label (`access_grants`): a property of the whole workspace, of which a single
//! answer may say nothing. One answer that shows it ends all sharing at once; only lists, which always show it, can bring
//! sharing back. Where the list is asked for as a witness, nothing is shared before one was read.
//!
//! The argument needs no lock on the way of a hit: a stored response carries the tick of its fetch, and is for everybody
//! only if that is not before the tick since which they share; while nothing is shared, no tick is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::caller::credential::CredentialDigest;
use crate::clock::{Moment, ShortMoment};
use crate::closed_enum::closed_enum;
use crate::lock::Mutex;
use crate::tick::{Sequence, Tick};

/// A tick that no fetch has: nothing is shared.
const NEVER: u64 = u64::MAX;
/// Other replicas are not told of grants more often than this, however short the time is in which sharing could resume there.
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long after a list that was asked for as a witness the next one may be, at first and at last.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// How long behind the moment at which another might be asked for a list that was asked for as a witness has landed.
const LANDED_AFTER: Duration = Duration::from_secs(60);

closed_enum! {
    /// Who may get what one credential of an organization has read.
    pub enum Shared {
        /// Every credential that is proven for the organization.
        Organization = "organization",
        /// That credential alone: the configuration says so.
        Configured = "configured",
        /// That credential alone, until a list has shown that the labels are for everybody.
        Unwitnessed = "list_not_read",
        /// That credential alone: an answer has shown who may see a label.
        Granted = "access_grants",
    }
}

/// What must have been read before credentials share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// A list, which shows whether the labels are for everybody.
    Required,
    /// Nothing.
    NotRequired,
}

/// What an answer showed of who may see the labels of its organization.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// Whether some label says who may see it.
    pub grants: bool,
    /// Whether it was a list of one label or more, which would have said so.
    pub is_witness: bool,
    /// Place of its fetch in the order of writes.
    pub begun: Tick,
    /// When what it says was true: when it was sent for, less its age.
    pub sent: Moment,
}

impl Shown {
    /// Whether it shows what was after something that came here then.
    fn is_since(&self, arrived: Tick, at: Moment) -> bool {
        self.begun > arrived && self.sent.surely_reached(at)
    }
}

/// What an answer changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// From now on nothing is shared.
    Ended,
    /// What is read from now on is shared again.
    Resumed,
    /// Nothing here; where other replicas were not shown these grants, sharing may resume before long.
    Repeated,
}

/// Whether the credentials of one organization share what they read.
#[derive(Debug, Default)]
pub struct Sharing {
    since: AtomicU64,
    witnessed: AtomicBool,
    known: Mutex<Option<Box<Known>>>,
}

/// What few organizations need: it takes room from the first grants or the first wish for a witness on.
#[derive(Debug)]
struct Known {
    /// The latest answer that showed grants, while nothing is shared.
    granted: Option<Granted>,
    /// When a list may be asked for as a witness, how long after that again, and who asked last.
    ask: Option<ShortMoment>,
    ask_again_after: Duration,
    asked: Option<CredentialDigest>,
}

impl Default for Known {
    fn default() -> Self {
        Self { granted: None, ask: None, ask_again_after: ASK_AGAIN.0, asked: None }
    }
}

#[derive(Clone, Copy, Debug)]
struct Granted {
    arrived: Tick,
    at: ShortMoment,
    /// When other replicas were last told of them, or told so here.
    told: Option<ShortMoment>,
    /// Whether a list that was asked for since shows no grants.
    denied: bool,
}

impl Sharing {
    /// Of an organization that is new here.
    #[cfg(test)]
    fn new() -> Self {
        Self::default()
    }

    /// Of one that showed grants when it was last known.
    pub(super) fn granted(arrived: Tick, at: Moment) -> Self {
        let granted = Some(Granted { arrived, at: at.into(), told: None, denied: false });
        let known = Mutex::new(Some(Box::new(Known { granted, ..Known::default() })));
        Self { since: AtomicU64::new(NEVER), known, ..Self::default() }
    }

    /// Whether what a fetch of `begun` brought may go to other credentials. Asked **after** what is to be served is at hand, so
    /// that nothing is served by what was true before that.
    #[must_use]
    pub fn admits(&self, begun: Tick, witness: Witness) -> bool {
        // In this order: grants are a witness too, and are noted after sharing has ended.
        (witness == Witness::NotRequired || self.witnessed.load(Ordering::SeqCst))
            && begun.0 >= self.since.load(Ordering::SeqCst)
    }

    /// Whether anything may go to other credentials.
    #[must_use]
    pub fn admits_some(&self, witness: Witness) -> bool {
        (witness == Witness::NotRequired || self.is_witnessed()) && !self.has_grants()
    }

    /// Who may get what is read now, as far as the organization decides it.
    #[must_use]
    pub fn shared(&self, witness: Witness) -> Shared {
        if self.has_grants() {
            Shared::Granted
        } else if self.admits_some(witness) {
            Shared::Organization
        } else {
            Shared::Unwitnessed
        }
    }

    /// Whether nothing is shared because an answer showed grants.
    #[must_use]
    pub fn has_grants(&self) -> bool {
        self.since.load(Ordering::SeqCst) == NEVER
    }

    /// Whether a list has shown what can be known of its labels.
    #[must_use]
    pub fn is_witnessed(&self) -> bool {
        self.witnessed.load(Ordering::SeqCst)
    }

    /// Notes an answer that arrived at `now`. Sharing resumes after a full `ttl` without grants in which a list was asked
    /// for that showed none; what was begun before that is not shared even then. Where it resumes by itself elsewhere, others
    /// have to be told of grants that go on: [`Change::Repeated`] at most once in half of that time.
    pub fn note(&self, shown: Shown, sequence: &Sequence, ttl: Duration, now: Moment) -> Change {
        let mut known = self.known.lock();
        if shown.grants {
            // First: from here on no look-up and no delivery finds anything shared.
            let began = self.since.swap(NEVER, Ordering::SeqCst) != NEVER;
            self.witnessed.store(true, Ordering::SeqCst);
            let granted = &mut known.get_or_insert_default().granted;
            let told = granted.and_then(|granted| granted.told).filter(|told| {
                // Others may share again after a full one.
                now.since(told.moment()) < (ttl / 2).max(TOLD_AGAIN_AFTER)
            });
            let (arrived, at) = (sequence.advance(), now.into());
            *granted = Some(Granted { arrived, at, told: told.or(Some(at)), denied: false });
            return match (began, told) {
                (true, _) => Change::Ended,
                (false, None) => Change::Repeated,
                (false, Some(_)) => Change::None,
            };
        }
        if shown.is_witness {
            self.witnessed.store(true, Ordering::SeqCst);
        }
        let Some(asking) = known.as_mut() else { return Change::None };
        let Some(granted) = &mut asking.granted else {
            // The list that was the witness has long been landed: nobody waits for it any more.
            if self.is_witnessed() && asking.ask.is_none_or(|at| now.reached(at.moment().plus(LANDED_AFTER)))
            {
                *known = None;
            }
            return Change::None;
        };
        granted.denied |= shown.is_witness && shown.is_since(granted.arrived, granted.at.moment());
        // By the clock that never jumps: a wall clock that is set ahead would bring sharing back too early.
        if !granted.denied || !now.surely_reached(granted.at.moment().plus(ttl)) {
            return Change::None;
        }
        asking.granted = None;
        self.since.store(sequence.advance().0, Ordering::SeqCst);
        Change::Resumed
    }

    /// Forgets what lists have shown. Nothing is shared that wants a witness before there is another.
    pub fn doubt(&self) {
        let mut known = self.known.lock();
        self.witnessed.store(false, Ordering::SeqCst);
        let Some(known) = known.as_mut() else { return };
        (known.ask, known.ask_again_after) = (None, ASK_AGAIN.0);
        if let Some(granted) = &mut known.granted {
            granted.denied = false;
        }
    }

    /// Whether a list may be asked for as a witness now, with the token of `credential`; not again for a while then, and
    /// longer each time.
    pub fn asks_for_witness(&self, credential: CredentialDigest, now: Moment) -> bool {
        if self.is_witnessed() {
            return false;
        }
        let mut known = self.known.lock();
        let known = known.get_or_insert_default();
        if known.ask.is_some_and(|at| !now.reached(at.moment())) {
            return false;
        }
        known.ask = Some(now.plus(known.ask_again_after).into());
        known.ask_again_after = (known.ask_again_after * 2).min(ASK_AGAIN.1);
        known.asked = Some(credential);
        true
    }

    /// Whose token last asked for a list as a witness.
    #[must_use]
    pub fn asked_for_witness(&self) -> Option<CredentialDigest> {
        self.known.lock().as_ref()?.asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::credential::Digester;
    use crate::clock::Clock;

    const TTL: Duration = Duration::from_secs(60);

    fn answer(sequence: &Sequence, grants: bool, is_witness: bool, sent: Moment) -> Shown {
        Shown { grants, is_witness, begun: sequence.advance(), sent }
    }

    #[test]
    fn nothing_is_shared_from_the_first_grants_until_a_full_ttl_with_a_list_and_without_grants() {
        // What arrives at which second, and whether anything is shared then.
        type Row = (&'static str, &'static [(u64, bool, bool)], bool);
        let rows: &[Row] = &[
            ("nothing", &[], true),
            ("a label without grants", &[(0, false, false)], true),
            ("a label with grants", &[(0, true, false)], false),
            ("a list with grants", &[(0, true, true)], false),
            ("labels alone bring nothing back", &[(0, true, false), (90, false, false)], false),
            ("a list too early, and then nothing", &[(0, true, false), (59, false, true)], false),
            (
                "a list, and a label after a full ttl",
                &[(0, true, true), (9, false, true), (60, false, false)],
                true,
            ),
            ("a list after a full ttl", &[(0, true, false), (60, false, true)], true),
            (
                "grants again begin a new ttl",
                &[(0, true, true), (30, false, true), (59, true, false), (90, false, true)],
                false,
            ),
            (
                "and it ends too",
                &[(0, true, true), (59, true, false), (90, false, true), (119, false, true)],
                true,
            ),
        ];
        for (row, answers, shared) in rows {
            let (clock, hand) = Clock::manual();
            let (sequence, sharing) = (Sequence::default(), Sharing::new());
            let mut second = 0;
            for (at, grants, is_witness) in *answers {
                hand.advance(Duration::from_secs(at - second));
                second = *at;
                let shown = answer(&sequence, *grants, *is_witness, clock.now());
                let _ = sharing.note(shown, &sequence, TTL, clock.now());
            }
            assert_eq!(sharing.admits(sequence.advance(), Witness::NotRequired), *shared, "{row}");
            assert_eq!(sharing.has_grants(), !shared, "{row}");
        }
    }

    #[test]
    fn a_list_that_was_asked_for_before_the_grants_arrived_says_nothing_against_them() {
        let (clock, hand) = Clock::manual();
        let (sequence, sharing) = (Sequence::default(), Sharing::new());
        let early = answer(&sequence, false, true, clock.now());
        assert_eq!(
            sharing.note(answer(&sequence, true, false, clock.now()), &sequence, TTL, clock.now()),
            Change::Ended
        );
        hand.advance(TTL);
        assert_eq!(sharing.note(early, &sequence, TTL, clock.now()), Change::None);
        let late = answer(&sequence, false, true, clock.now());
        assert_eq!(sharing.note(late, &sequence, TTL, clock.now()), Change::Resumed);
    }

    #[test]
    fn a_wall_clock_that_is_set_ahead_brings_no_sharing_back() {
        let (sequence, sharing) = (Sequence::default(), Sharing::new());
        let at = |uptime| Moment::of(Duration::from_secs(uptime), Duration::from_secs(1_000_000 + uptime));
        let ahead = |uptime| Moment::of(Duration::from_secs(uptime), Duration::from_secs(1_003_600 + uptime));
        let _ = sharing.note(answer(&sequence, true, true, at(1)), &sequence, TTL, at(1));
        let list = answer(&sequence, false, true, ahead(2));
        assert_eq!(sharing.note(list, &sequence, TTL, ahead(3)), Change::None);
        let list = answer(&sequence, false, true, ahead(61));
        assert_eq!(sharing.note(list, &sequence, TTL, ahead(61)), Change::Resumed);
    }

    #[test]
    fn a_list_that_a_cache_had_before_the_grants_says_nothing_against_them_whatever_the_wall_clock_says() {
        let (sequence, sharing) = (Sequence::default(), Sharing::new());
        let at = |uptime| Moment::of(Duration::from_secs(uptime), Duration::from_secs(1_000_000 + uptime));
        let ahead = |uptime| Moment::of(Duration::from_secs(uptime), Duration::from_secs(1_003_600 + uptime));
        let _ = sharing.note(answer(&sequence, true, true, at(100)), &sequence, TTL, at(100));
        let aged = answer(&sequence, false, true, ahead(102).back(Duration::from_secs(30)));
        let _ = sharing.note(aged, &sequence, TTL, ahead(102));
        let label = answer(&sequence, false, false, ahead(161));
        assert_eq!(
            sharing.note(label, &sequence, TTL, ahead(161)),
            Change::None,
            "no list is since the grants"
        );
    }

    /// Each replica goes by what itself was shown, and by what it was told.
    #[test]
    fn grants_that_go_on_are_told_again_before_sharing_can_resume_elsewhere() {
        let (clock, hand) = Clock::manual();
        let (sequence, sharing) = (Sequence::default(), Sharing::new());
        let mut second = 0;
        for (at, ttl, change) in [
            (0, TTL, Change::Ended),
            (0, TTL, Change::None),
            (29, TTL, Change::None),
            (30, TTL, Change::Repeated),
            (59, TTL, Change::None),
            (90, TTL, Change::Repeated),
            // As it is told by others.
            (110, Duration::ZERO, Change::Repeated),
            (120, TTL, Change::None),
            (140, TTL, Change::Repeated),
            (140, Duration::ZERO, Change::None),
        ] {
            hand.advance(Duration::from_secs(at - second));
            second = at;
            let shown = answer(&sequence, true, false, clock.now());
            assert_eq!(sharing.note(shown, &sequence, ttl, clock.now()), change, "at {at}");
        }
    }

    #[test]
    fn what_lists_have_shown_counts_no_more_once_it_is_in_doubt() {
        let (clock, hand) = Clock::manual();
        let (sequence, sharing) = (Sequence::default(), Sharing::new());
        let list = || answer(&sequence, false, true, clock.now());
        let _ = sharing.note(list(), &sequence, TTL, clock.now());
        assert_eq!(sharing.shared(Witness::Required), Shared::Organization);
        sharing.doubt();
        assert_eq!(sharing.shared(Witness::Required), Shared::Unwitnessed);
        let _ = sharing.note(list(), &sequence, TTL, clock.now());
        assert_eq!(sharing.shared(Witness::Required), Shared::Organization);
        // Nor does one that showed no grants any more.
        let _ = sharing.note(answer(&sequence, true, true, clock.now()), &sequence, TTL, clock.now());
        let _ = sharing.note(list(), &sequence, TTL, clock.now());
        hand.advance(TTL);
        sharing.doubt();
        let label = answer(&sequence, false, false, clock.now());
        assert_eq!(sharing.note(label, &sequence, TTL, clock.now()), Change::None);
        assert_eq!(sharing.note(list(), &sequence, TTL, clock.now()), Change::Resumed);
    }

    #[test]
    fn what_was_begun_before_sharing_resumed_is_never_shared() {
        let (clock, hand) = Clock::manual();
        let (sequence, sharing) = (Sequence::default(), Sharing::new());
        let before = sequence.advance();
        let _ = sharing.note(answer(&sequence, true, false, clock.now()), &sequence, TTL, clock.now());
        let meanwhile = sequence.advance();
        hand.advance(TTL);
        let ending = answer(&sequence, false, true, clock.now());
        assert_eq!(sharing.note(ending, &sequence, TTL, clock.now()), Change::Resumed);
        for begun in [before, meanwhile, ending.begun] {
            assert!(!sharing.admits(begun, Witness::NotRequired), "{begun:?}");
        }
        assert!(sharing.admits(sequence.advance(), Witness::Required));
    }

    #[test]
    fn where_a_witness_is_needed_nothing_is_shared_before_a_list_was_seen() {
        let (clock, _) = Clock::manual();
        let (sequence, sharing) = (Sequence::default(), Sharing::new());
        let first = answer(&sequence, false, false, clock.now());
        let _ = sharing.note(first, &sequence, TTL, clock.now());
        assert!(!sharing.admits(first.begun, Witness::Required));
        assert!(sharing.admits(first.begun, Witness::NotRequired));
        assert_eq!(
            (sharing.shared(Witness::Required), sharing.shared(Witness::NotRequired)),
            (Shared::Unwitnessed, Shared::Organization)
        );
        let list = answer(&sequence, false, true, clock.now());
        let _ = sharing.note(list, &sequence, TTL, clock.now());
        assert!(sharing.admits(list.begun, Witness::Required) && sharing.is_witnessed());
    }

    #[test]
    fn a_witness_is_asked_for_again_after_longer_and_longer_pauses_and_never_once_there_was_one() {
        let (clock, hand) = Clock::manual();
        let (sequence, sharing) = (Sequence::default(), Sharing::new());
        let fields = http::HeaderMap::from_iter([(
            http::header::AUTHORIZATION,
            http::HeaderValue::from_static("Bearer somebody"),
        )]);
        let somebody = Digester::default().credential(&fields).expect("a credential").digest();
        for pause in [5, 10, 20, 40, 80, 160, 300, 300] {
            assert!(sharing.asks_for_witness(somebody, clock.now()), "{pause}");
            hand.advance(Duration::from_secs(pause - 1));
            assert!(!sharing.asks_for_witness(somebody, clock.now()), "{pause}");
            hand.advance(Duration::from_secs(1));
        }
        assert_eq!(sharing.asked_for_witness(), Some(somebody));
        let _ = sharing.note(answer(&sequence, false, true, clock.now()), &sequence, TTL, clock.now());
        assert_eq!(sharing.asked_for_witness(), Some(somebody), "it may still be landing");
        hand.advance(TTL * 100);
        assert!(!sharing.asks_for_witness(somebody, clock.now()));
        let _ = sharing.note(answer(&sequence, false, false, clock.now()), &sequence, TTL, clock.now());
        assert!(sharing.known.lock().is_none(), "who asked is nothing to anybody any more");
        assert!(!sharing.asks_for_witness(somebody, clock.now()));
        assert!(sharing.admits(sequence.advance(), Witness::Required));
    }
}
