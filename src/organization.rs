//! Organizations: the unit of isolation, and what the proxy remembers of each.
//!
//! An organization is known from an upstream body alone, never from anything that a client sent. The table forgets
//! one that nobody is bound to and that was idle for [`IDLE`]; what is forgotten counts as invalidated at that moment, so
//! that nothing stored before it can come back.

mod epochs;
mod id;
pub mod lists;
mod settling;
pub mod sharing;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lru::LruCache;

use self::epochs::Epochs;
use self::lists::Lists;
use self::settling::Settling;
use self::sharing::{Change, Sharing, Shown};
use crate::bounded::bounded;
use crate::clock::{Moment, ShortMoment};
use crate::lock::Mutex;
use crate::resource::{ByResource, Descriptor, RESOURCES, Resources, Target};
use crate::tick::{Sequence, Tick};

pub use self::epochs::Extent;
pub use self::id::{OrganizationId, OrganizationName};

/// How long an organization without a binding is remembered.
pub const IDLE: Duration = Duration::from_secs(600);

/// Organizations that are forgotten while nothing of theirs was shared and that are told apart; where one leaves this
/// table, every organization that is new here begins as such.
const FORGOTTEN_WITH_GRANTS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// What is remembered of one organization.
#[derive(Debug)]
pub struct Organization {
    id: OrganizationId,
    epochs: Epochs,
    settling: Settling,
    private: AtomicBool,
    /// Answers that needed no upstream call of their own.
    avoided: AtomicU64,
    /// From the first answer on that teaches something: most organizations read one resource or two.
    known: ByResource<OnceLock<Box<Knowledge>>>,
}

/// What answers have taught of one resource of an organization: it says nothing of its other resources.
#[derive(Debug, Default)]
struct Knowledge {
    sharing: Sharing,
    lists: Lists,
}

impl Organization {
    fn new(
        id: OrganizationId,
        invalidated: Tick,
        resources: Resources,
        known: impl Fn() -> Option<Knowledge>,
    ) -> Self {
        Self {
            id,
            epochs: Epochs::after(invalidated),
            settling: Settling::default(),
            private: AtomicBool::new(false),
            avoided: AtomicU64::new(0),
            known: ByResource::new(resources, || {
                known().map_or_else(OnceLock::new, |known| OnceLock::from(Box::new(known)))
            }),
        }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> OrganizationId {
        self.id
    }

    /// Its epoch: nothing whose fetch began before this may be served or stored.
    #[must_use]
    pub fn invalidated(&self) -> Tick {
        self.epochs.of_all()
    }

    /// The epoch of its lists: no list whose fetch began before this may be served, stored or taken for its items.
    #[must_use]
    pub fn lists_invalidated(&self) -> Tick {
        self.epochs.of_lists()
    }

    /// Whether what was fetched of a target at `begun` may be served or stored: nothing was invalidated of it since.
    #[must_use]
    pub fn admits(&self, target: &Target, begun: Tick) -> bool {
        self.epochs.admit(target, begun)
    }

    /// Invalidates so much of it; returns the tick of that, and of the invalidation before it that concerned any of that.
    pub fn invalidate(&self, extent: Extent, sequence: &Sequence) -> (Tick, Tick) {
        self.epochs.invalidate(extent, sequence)
    }

    /// Notes that a write of this replica has invalidated once more, and after which invalidation.
    pub fn note_invalidated_again(&self, tick: Tick, before: Tick) {
        self.epochs.note_again(tick, before);
    }

    /// The latest invalidation that concerns anything of this extent, if it is that of a write at `own`, or of the same
    /// write once more with nothing between the two.
    #[must_use]
    pub fn invalidated_by(&self, own: Tick, extent: Extent) -> Option<Tick> {
        self.epochs.latest_by(own, extent)
    }

    /// Moves the epoch on to a tick that was taken for all organizations; never back.
    pub fn invalidate_to(&self, tick: Tick) {
        self.epochs.invalidate_to(tick);
    }

    /// Whether what is sent for at `sent` may meet the vendor's own replication lag.
    #[must_use]
    pub fn is_settling(&self, target: &Target, sent: Moment) -> bool {
        self.settling.is_open(target, sent)
    }

    /// Extends the time in which fetches of so much are kept for a second only; never shortens it.
    pub fn settle_until(&self, extent: Extent, until: Moment) {
        self.settling.extend(extent, until);
    }

    /// Whether some stored response of this organization belongs to one credential alone.
    #[must_use]
    pub fn has_private_responses(&self) -> bool {
        self.private.load(Ordering::Relaxed)
    }

    /// Notes that a stored response belongs to one credential alone.
    pub fn note_private_response(&self) {
        self.private.store(true, Ordering::Relaxed);
    }

    /// Whether its credentials share what they read of a resource.
    #[must_use]
    pub fn sharing(&self, resource: &'static Descriptor) -> &Sharing {
        &self.knowledge(resource).sharing
    }

    /// What is known of its lists of a resource.
    #[must_use]
    pub fn lists(&self, resource: &'static Descriptor) -> &Lists {
        &self.knowledge(resource).lists
    }

    fn knowledge(&self, resource: &'static Descriptor) -> &Knowledge {
        self.known.of(resource).get_or_init(Box::default)
    }

    /// What has been taught of any resource so far.
    fn taught(&self) -> impl Iterator<Item = &Knowledge> {
        self.known.iter().filter_map(OnceLock::get).map(Box::as_ref)
    }

    /// Notes what an answer showed of who may see the items of a resource. Grants are a matter of the whole workspace: they
    /// end the sharing of every resource. That a list shows none is said of its own resource alone.
    pub fn note_shown(
        &self,
        resource: &'static Descriptor,
        shown: Shown,
        sequence: &Sequence,
        ttl: Duration,
        now: Moment,
    ) -> Change {
        if !shown.grants {
            return self.sharing(resource).note(shown, sequence, ttl, now);
        }
        // All of them, and not as many as it takes to know.
        let of_all = self.known.iter().map(|known| known.get_or_init(Box::default));
        of_all.fold(Change::None, |changed, known| {
            match (changed, known.sharing.note(shown, sequence, ttl, now)) {
                (Change::Ended, _) | (_, Change::Ended) => Change::Ended,
                (Change::None, noted) => noted,
                (noted, _) => noted,
            }
        })
    }

    /// Forgets what is known of the lists of every resource.
    pub fn forget_lists(&self) {
        self.taught().for_each(|known| known.lists.forget());
    }

    fn has_grants(&self) -> bool {
        self.taught().any(|known| known.sharing.has_grants())
    }

    /// Counts an answer that needed no upstream call of its own.
    pub fn note_avoided(&self) {
        self.avoided.fetch_add(1, Ordering::Relaxed);
    }

    /// How many such answers there were since it became known.
    #[must_use]
    pub fn avoided(&self) -> u64 {
        self.avoided.load(Ordering::Relaxed)
    }
}

/// Every organization that was seen of late.
#[derive(Debug)]
pub struct Organizations {
    resources: Resources,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    known: HashMap<OrganizationId, Seen>,
    /// Epoch of every organization that is not in the table.
    forgotten: Tick,
    /// When it was last forgotten what lists have shown.
    doubted: Option<(Tick, Moment)>,
    /// Those of them that showed who may see their labels: forgetting must not end that.
    granted: LruCache<OrganizationId, ()>,
    /// Whether one of those has been lost.
    granted_were_lost: bool,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            forgotten: Tick::default(),
            doubted: None,
            granted: bounded(FORGOTTEN_WITH_GRANTS),
            granted_were_lost: false,
        }
    }
}

#[derive(Debug)]
struct Seen {
    organization: Arc<Organization>,
    last: ShortMoment,
}

impl Default for Organizations {
    fn default() -> Self {
        Self::new(RESOURCES)
    }
}

impl Organizations {
    /// None yet, of which these resources will be cached.
    #[must_use]
    pub fn new(resources: Resources) -> Self {
        Self { resources, table: Mutex::default() }
    }

    /// The organization with this id; made if it is new.
    #[must_use]
    pub fn get(&self, id: OrganizationId, now: Moment) -> Arc<Organization> {
        let Table { known, forgotten, granted, granted_were_lost, .. } = &mut *self.table.lock();
        let seen = known.entry(id).or_insert_with(|| {
            let had_grants = granted.pop(&id).is_some() || *granted_were_lost;
            let granted =
                || Knowledge { sharing: Sharing::granted(*forgotten, now), lists: Lists::default() };
            let known = || had_grants.then(granted);
            let organization = Organization::new(id, *forgotten, self.resources, known);
            Seen { organization: Arc::new(organization), last: now.into() }
        });
        seen.last = now.into();
        Arc::clone(&seen.organization)
    }

    /// The organization with this id, if it is known; asking does not keep it known.
    #[must_use]
    pub fn peek(&self, id: OrganizationId) -> Option<Arc<Organization>> {
        self.table.lock().known.get(&id).map(|seen| Arc::clone(&seen.organization))
    }

    /// Invalidates the organization that somebody names, and returns the tick of it. None is made of a name: where none is
    /// known by it, whichever becomes known later counts as invalidated now.
    pub fn invalidate_named(&self, name: OrganizationName, sequence: &Sequence) -> Tick {
        let Table { known, forgotten, .. } = &mut *self.table.lock();
        if let Some(seen) = known.get(&name) {
            return seen.organization.invalidate(Extent::Organization, sequence).0;
        }
        *forgotten = sequence.advance();
        *forgotten
    }

    /// Invalidates every organization, known or not.
    pub fn invalidate_all(&self, to: Tick) {
        let mut table = self.table.lock();
        table.forgotten = table.forgotten.max(to);
        for seen in table.known.values() {
            seen.organization.invalidate_to(to);
        }
    }

    /// Forgets what lists have shown of every organization, known or not: others may have been shown grants, and nobody here was
    /// told.
    pub fn doubt_witnesses(&self, sequence: &Sequence, now: Moment) {
        let mut table = self.table.lock();
        table.doubted = Some((sequence.advance(), now));
        let taught = table.known.values().flat_map(|seen| seen.organization.taught());
        taught.for_each(|known| known.sharing.doubt());
    }

    /// Whether what was asked for at `begun`, and was true at `sent`, is from before that.
    #[must_use]
    pub fn doubts(&self, begun: Tick, sent: Moment) -> bool {
        self.table.lock().doubted.is_some_and(|(tick, at)| begun <= tick || !sent.surely_reached(at))
    }

    /// Forgets what nobody holds and nobody asked for in the last [`IDLE`].
    pub fn forget_idle(&self, sequence: &Sequence, now: Moment) {
        let Table { known, forgotten, granted, granted_were_lost, .. } = &mut *self.table.lock();
        let before = known.len();
        known.retain(|id, seen| {
            // Nobody else can take a hold of it meanwhile: holds are given out under this lock or cloned from one.
            let held = Arc::strong_count(&seen.organization) > 1;
            if held {
                seen.last = now.into();
            }
            // By the clock that never jumps: what a write left settling goes with it.
            let stays = held || !now.surely_reached(seen.last.moment().plus(IDLE));
            if !stays && seen.organization.has_grants() {
                *granted_were_lost |= granted.push(*id, ()).is_some_and(|(lost, ())| lost != *id);
            }
            stays
        });
        if known.len() < before {
            *forgotten = sequence.advance();
        }
    }

    /// Answers of one organization that needed no upstream call of their own, if it is known.
    #[must_use]
    pub fn avoided_of(&self, name: OrganizationName) -> Option<u64> {
        self.table.lock().known.get(&name).map(|seen| seen.organization.avoided())
    }

    /// Answers that needed no upstream call of their own, of all that are known.
    #[must_use]
    pub fn avoided(&self) -> u64 {
        self.table.lock().known.values().map(|seen| seen.organization.avoided()).sum()
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.lock().known.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::resource::LEAD_LABEL;

    #[test]
    fn a_forgotten_organization_counts_as_raised_when_it_was_forgotten() {
        let (clock, hand) = Clock::manual();
        let sequence = Sequence::default();
        let organizations = Organizations::default();
        let id = OrganizationId::example(1);
        drop(organizations.get(id, clock.now()));
        let begun = sequence.advance();
        hand.advance(IDLE);
        organizations.forget_idle(&sequence, clock.now());
        assert!(organizations.is_empty());
        assert!(organizations.get(id, clock.now()).invalidated() > begun);
    }

    /// It goes with what a write has left settling, and an hour's jump is no hour.
    #[test]
    fn a_wall_clock_that_is_set_ahead_makes_no_organization_idle() {
        let (clock, hand) = Clock::manual();
        let organizations = Organizations::default();
        drop(organizations.get(OrganizationId::example(1), clock.now()));
        hand.jump_wall_ahead(IDLE * 6);
        organizations.forget_idle(&Sequence::default(), clock.now());
        assert_eq!(organizations.len(), 1);
    }

    #[test]
    fn the_epoch_of_lists_is_that_of_the_latest_invalidation_of_an_item_or_of_all() {
        let (clock, _) = Clock::manual();
        let (sequence, organizations) = (Sequence::default(), Organizations::default());
        let organization = organizations.get(OrganizationId::example(1), clock.now());
        let first = organization.invalidated();
        assert_eq!(organization.lists_invalidated(), first);
        let (of_item, _) = organization.invalidate(Extent::Item(uuid::Uuid::from_u128(1)), &sequence);
        assert_eq!((organization.invalidated(), organization.lists_invalidated()), (first, of_item));
        let (of_all, _) = organization.invalidate(Extent::Organization, &sequence);
        assert!(of_all > of_item && of_item > first);
        assert_eq!((organization.invalidated(), organization.lists_invalidated()), (of_all, of_all));
    }

    #[test]
    fn a_write_is_the_latest_as_long_as_nothing_but_itself_once_more_has_followed() {
        let (clock, _) = Clock::manual();
        let (sequence, organizations) = (Sequence::default(), Organizations::default());
        let organization = organizations.get(OrganizationId::example(1), clock.now());
        let extent = Extent::Item(uuid::Uuid::from_u128(1));
        let (own, _) = organization.invalidate(extent, &sequence);
        assert_eq!(organization.invalidated_by(own, extent), Some(own));
        let (again, before) = organization.invalidate(extent, &sequence);
        organization.note_invalidated_again(again, before);
        assert_eq!(organization.invalidated_by(own, extent), Some(again));
        organization.invalidate(extent, &sequence);
        assert_eq!(organization.invalidated_by(own, extent), None, "another write");
        let (again, before) = organization.invalidate(extent, &sequence);
        organization.note_invalidated_again(again, before);
        assert_eq!(organization.invalidated_by(own, extent), None, "another one between the two");
    }

    #[test]
    fn an_organization_is_purged_by_name_before_it_is_known_and_is_not_made_by_it() {
        let (clock, _) = Clock::manual();
        let sequence = Sequence::default();
        let organizations = Organizations::default();
        let known = organizations.get(OrganizationId::example(1), clock.now());
        let begun = sequence.advance();
        let later = organizations.invalidate_named(OrganizationId::example(2).name(), &sequence);
        assert_eq!(organizations.len(), 1);
        assert!(known.invalidated() < begun, "another one");
        assert_eq!(organizations.get(OrganizationId::example(2), clock.now()).invalidated(), later);
        let purged = organizations.invalidate_named(known.id().name(), &sequence);
        assert_eq!(known.invalidated(), purged);
        assert!(purged > later && later > begun);
    }

    #[test]
    fn an_organization_that_showed_grants_is_forgotten_without_sharing_again() {
        let (clock, hand) = Clock::manual();
        let sequence = Sequence::default();
        let organizations = Organizations::default();
        let ids = |count: usize| (1..=count as u128).map(OrganizationId::example);
        let known = |id| organizations.get(id, clock.now());
        let forget = || {
            hand.advance(IDLE);
            organizations.forget_idle(&sequence, clock.now());
            assert!(organizations.is_empty());
        };
        let shown = |grants| Shown { grants, is_witness: true, begun: sequence.advance(), sent: clock.now() };
        for id in ids(FORGOTTEN_WITH_GRANTS.get()) {
            let _ = known(id).sharing(&LEAD_LABEL).note(shown(true), &sequence, IDLE, clock.now());
        }
        forget();
        let last = OrganizationId::example(FORGOTTEN_WITH_GRANTS.get() as u128);
        assert!(known(last).sharing(&LEAD_LABEL).has_grants());
        let other = OrganizationId::example(u128::MAX);
        assert!(!known(other).sharing(&LEAD_LABEL).has_grants(), "told apart");
        let _ = known(other).sharing(&LEAD_LABEL).note(shown(true), &sequence, IDLE, clock.now());
        forget();
        let unheard_of = OrganizationId::example(u128::MAX - 1);
        assert!(known(unheard_of).sharing(&LEAD_LABEL).has_grants(), "one was lost: it could be this one");
        hand.advance(IDLE);
        let _ = known(unheard_of).sharing(&LEAD_LABEL).note(shown(false), &sequence, IDLE, clock.now());
        assert!(!known(unheard_of).sharing(&LEAD_LABEL).has_grants(), "and a list tells");
    }

    #[test]
    fn an_organization_of_which_one_resource_is_read_has_room_for_no_other() {
        let (clock, _) = Clock::manual();
        let organization = Organizations::default().get(OrganizationId::example(1), clock.now());
        assert!(size_of::<Organization>() <= 112 && size_of::<Knowledge>() <= 160);
        assert!(organization.admits(&Target::Item(uuid::Uuid::from_u128(1)), Tick::default()));
        assert_eq!(organization.taught().count(), 0);
        assert!(!organization.sharing(&LEAD_LABEL).has_grants());
        assert_eq!(organization.taught().count(), 1);
    }

    #[test]
    fn grants_of_one_resource_end_the_sharing_of_those_that_were_never_read() {
        let (clock, _) = Clock::manual();
        let (sequence, organizations) = (Sequence::default(), Organizations::default());
        let organization = organizations.get(OrganizationId::example(1), clock.now());
        let begun = sequence.advance();
        let shown = Shown { grants: true, is_witness: false, begun, sent: clock.now() };
        assert_eq!(organization.note_shown(&LEAD_LABEL, shown, &sequence, IDLE, clock.now()), Change::Ended);
        for resource in RESOURCES.iter() {
            assert!(organization.sharing(resource).has_grants(), "{}", resource.name);
        }
    }

    #[test]
    fn an_organization_that_is_held_is_not_forgotten() {
        let (clock, hand) = Clock::manual();
        let sequence = Sequence::default();
        let organizations = Organizations::default();
        let held = organizations.get(OrganizationId::example(1), clock.now());
        hand.advance(IDLE * 2);
        organizations.forget_idle(&sequence, clock.now());
        assert!(Arc::ptr_eq(&held, &organizations.get(held.id(), clock.now())));
    }
}
