//! [`Heard`]: the latest notice of each organization that was applied here. It judges what others have stored.
//!
//! An entry of the second tier carries the stamp of its fetch: the number of the last notice that its reader's replica had
//! applied when the upstream call was sent. Whoever finds it judges it by what it has applied itself, so that nothing in the
//! store says how old an entry may be, and nothing there can be evicted, replayed or raced into saying it wrongly.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};

use lru::LruCache;
use uuid::Uuid;

use super::control::Stamp;
pub use super::number::Number;
use crate::bounded::bounded;
use crate::caller::credential::AuthorizationDigest;
use crate::classify::Target;
use crate::clock::Moment;
use crate::lock::Mutex;
use crate::resource::Descriptor;

/// Organizations whose latest notice is told apart, known here or not; for the rest the latest that left counts.
const ORGANIZATIONS: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");
/// Items of which the latest write is told apart; with one that leaves, its whole organization counts as written.
const WRITTEN: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");
/// Items of whichever organization that are told apart.
const ITEMS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// The same of `Authorization` values that were refused.
const REFUSALS: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");

/// What has been applied here.
#[derive(Debug)]
pub struct Heard {
    /// The last notice that was applied.
    applied: AtomicU64,
    /// What upstream calls are stamped with now.
    stamp: Mutex<Option<Stamp>>,
    table: Mutex<Table>,
    /// When `Authorization` values were last refused here, by which resource if that alone: uptime in microseconds.
    refused_here: Mutex<Latest<(AuthorizationDigest, Option<&'static Descriptor>)>>,
}

#[derive(Debug)]
struct Table {
    organizations: Latest<Uuid>,
    /// Of organizations of which single items were written: their lists.
    lists_of: Latest<Uuid>,
    /// Those items, with the organization of each.
    written: LruCache<(Uuid, Uuid), Number>,
    items: Latest<Uuid>,
    refusals: Latest<AuthorizationDigest>,
    /// By one resource, which ended the proofs by that one alone.
    refusals_by: Latest<(AuthorizationDigest, &'static Descriptor)>,
    /// Organizations whose proofs an operator has ended.
    purged: Latest<Uuid>,
    lists: Number,
    /// A write that may have changed anything of anybody's: nothing stored from before it counts, and proofs stay.
    changed: Number,
    /// Nothing from before this notice counts: of everything, or the oldest that was read, for what was before is not known.
    everything: Number,
}

/// The latest number of each key, and of all that left the table.
#[derive(Debug)]
struct Latest<K: std::hash::Hash + Eq> {
    table: LruCache<K, Number>,
    others: Number,
}

impl<K: std::hash::Hash + Eq + Copy> Latest<K> {
    fn new(size: NonZeroUsize) -> Self {
        Self { table: bounded(size), others: Number::default() }
    }

    fn note(&mut self, key: K, number: Number) {
        if let Some((left, its)) = self.table.push(key, number)
            && left != key
        {
            self.others = self.others.max(its);
        }
    }

    /// A number that may be older than what is there.
    fn note_late(&mut self, key: K, number: Number) {
        self.note(key, number.max(self.of(&key)));
    }

    fn of(&self, key: &K) -> Number {
        self.table.peek(key).copied().unwrap_or(self.others)
    }
}

impl Default for Heard {
    fn default() -> Self {
        Self {
            applied: AtomicU64::new(0),
            stamp: Mutex::default(),
            table: Mutex::new(Table::after(Number::default())),
            refused_here: Mutex::new(Latest::new(REFUSALS)),
        }
    }
}

impl Table {
    /// Nothing from before this notice counts.
    fn after(everything: Number) -> Self {
        Self {
            organizations: Latest::new(ORGANIZATIONS),
            lists_of: Latest::new(ORGANIZATIONS),
            written: bounded(WRITTEN),
            items: Latest::new(ITEMS),
            refusals: Latest::new(REFUSALS),
            refusals_by: Latest::new(REFUSALS),
            purged: Latest::new(ITEMS),
            lists: Number::default(),
            changed: Number::default(),
            everything,
        }
    }
}

impl Heard {
    /// The number of the last notice that was applied.
    #[must_use]
    pub fn applied(&self) -> Number {
        Number(self.applied.load(Ordering::SeqCst))
    }

    /// What an upstream call that is sent now is stamped with: its history and the last notice applied, as one. Nothing while
    /// that is not known: before the first beat, between two histories, and as long as something that was said here has not
    /// come back with its number. Then what others have stored cannot be judged.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        *self.stamp.lock()
    }

    /// From now on calls are stamped so. All that it says has been applied.
    pub fn stamp_with(&self, stamp: Option<Stamp>) {
        *self.stamp.lock() = stamp;
    }

    /// All notices up to this one have been applied.
    pub fn note_applied(&self, number: Number) {
        self.applied.fetch_max(number.0, Ordering::SeqCst);
    }

    /// This notice concerned an organization.
    pub fn note_organization(&self, organization: Uuid, number: Number) {
        self.table.lock().organizations.note(organization, number);
    }

    /// This notice concerned an item of an organization, and the lists of that.
    pub fn note_written(&self, organization: Uuid, item: Uuid, number: Number) {
        let Table { organizations, lists_of, written, .. } = &mut *self.table.lock();
        lists_of.note(organization, number);
        if let Some((left, its)) = written.push((organization, item), number)
            && left != (organization, item)
        {
            organizations.note_late(left.0, its);
        }
    }

    /// This notice ended the proofs of an organization's credentials.
    pub fn note_purge(&self, organization: Uuid, number: Number) {
        self.table.lock().purged.note(organization, number);
    }

    /// This notice concerned an item, of whichever organization.
    pub fn note_item(&self, item: Uuid, number: Number) {
        self.table.lock().items.note(item, number);
    }

    /// This notice ended the proofs of an `Authorization` value, or of one credential with it.
    pub fn note_refusal(&self, authorization: AuthorizationDigest, number: Number) {
        self.table.lock().refusals.note(authorization, number);
    }

    /// This notice ended the proofs by a resource of an `Authorization` value's credential.
    pub fn note_refusal_by(
        &self,
        resource: &'static Descriptor,
        authorization: AuthorizationDigest,
        number: Number,
    ) {
        self.table.lock().refusals_by.note((authorization, resource), number);
    }

    /// The API has refused an `Authorization` value here, or its credential, be it by one resource alone. The others may not
    /// know of it, so that it has no number.
    pub fn note_refused_here(
        &self,
        authorization: AuthorizationDigest,
        by: Option<&'static Descriptor>,
        now: Moment,
    ) {
        self.refused_here.lock().note((authorization, by), Number(micros(now) + 1));
    }

    /// Whether it has since a read was sent.
    #[must_use]
    pub fn is_refused_here_since(
        &self,
        authorization: AuthorizationDigest,
        resource: &'static Descriptor,
        sent: Moment,
    ) -> bool {
        let refused = self.refused_here.lock();
        [None, Some(resource)].iter().any(|by| refused.of(&(authorization, *by)) > Number(micros(sent)))
    }

    /// Whether a proof of this `Authorization` by a resource, of a read that was sent under `stamp`, is from after its last
    /// refusal.
    #[must_use]
    pub fn admits_proof(
        &self,
        authorization: AuthorizationDigest,
        resource: &'static Descriptor,
        organization: Uuid,
        stamp: Number,
    ) -> bool {
        let table = self.table.lock();
        stamp >= table.everything
            && stamp >= table.purged.of(&organization)
            && stamp >= table.refusals.of(&authorization)
            && stamp >= table.refusals_by.of(&(authorization, resource))
    }

    /// This notice concerned the lists of all organizations.
    pub fn note_lists(&self, number: Number) {
        let mut table = self.table.lock();
        table.lists = table.lists.max(number);
    }

    /// This notice concerned all that is stored of anybody's.
    pub fn note_changed(&self, number: Number) {
        let mut table = self.table.lock();
        table.changed = table.changed.max(number);
    }

    /// This notice concerned everything; or what was said before it is not known. It may begin another history, whose numbers
    /// are lower: whatever was noted before says nothing any more.
    pub fn note_everything(&self, number: Number) {
        *self.table.lock() = Table::after(number);
    }

    /// Whether what was fetched under a stamp is of this history and from after all that was heard of it.
    #[must_use]
    pub fn admits_stamp(&self, organization: Uuid, target: &Target, stamp: Stamp) -> bool {
        // In this order: what is noted of another history is noted after that history is known to be another.
        self.admits(organization, target, stamp.number) && self.is_of_this_history(stamp)
    }

    /// Whether a stamp is of the history that is known here.
    #[must_use]
    pub fn is_of_this_history(&self, stamp: Stamp) -> bool {
        self.stamp().is_some_and(|own| own.history == stamp.history)
    }

    /// Whether what was fetched under `stamp` is from after all that was heard of it.
    #[must_use]
    pub fn admits(&self, organization: Uuid, target: &Target, stamp: Number) -> bool {
        let table = self.table.lock();
        stamp >= table.everything
            && stamp >= table.changed
            && stamp >= table.organizations.of(&organization)
            && stamp
                >= match target {
                    Target::Item(id) => {
                        let written = table.written.peek(&(organization, *id)).copied();
                        table.items.of(id).max(written.unwrap_or_default())
                    }
                    Target::List(_) => table.lists.max(table.lists_of.of(&organization)),
                }
    }
}

fn micros(moment: Moment) -> u64 {
    u64::try_from(moment.uptime().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::ListQuery;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);
    const ITEM: Target = Target::Item(Uuid::from_u128(7));

    fn list() -> Target {
        Target::List(ListQuery::default())
    }

    #[test]
    fn an_entry_from_before_the_latest_notice_of_its_organization_does_not_count() {
        let heard = Heard::default();
        heard.note_organization(A, Number(10));
        assert!(!heard.admits(A, &ITEM, Number(9)));
        assert!(!heard.admits(A, &list(), Number(9)));
        assert!(heard.admits(A, &ITEM, Number(10)), "sent after it was applied");
        assert!(heard.admits(B, &ITEM, Number(9)), "another organization is untouched");
    }

    #[test]
    fn notices_of_an_item_of_lists_and_of_everything_concern_what_they_name() {
        let heard = Heard::default();
        heard.note_item(Uuid::from_u128(7), Number(10));
        assert!(!heard.admits(A, &ITEM, Number(9)) && heard.admits(A, &list(), Number(9)));
        heard.note_lists(Number(20));
        assert!(heard.admits(A, &ITEM, Number(10)) && !heard.admits(A, &list(), Number(19)));
        heard.note_everything(Number(30));
        assert!(!heard.admits(B, &ITEM, Number(29)) && heard.admits(B, &ITEM, Number(30)));
    }

    #[test]
    fn a_notice_of_a_written_item_concerns_it_and_the_lists_of_its_organization() {
        let heard = Heard::default();
        let item = |number| Target::Item(Uuid::from_u128(number));
        heard.note_written(A, Uuid::from_u128(7), Number(10));
        assert!(!heard.admits(A, &item(7), Number(9)) && heard.admits(A, &item(7), Number(10)));
        assert!(!heard.admits(A, &list(), Number(9)) && heard.admits(A, &list(), Number(10)));
        assert!(heard.admits(A, &item(8), Number(9)), "another item");
        assert!(heard.admits(B, &item(7), Number(9)) && heard.admits(B, &list(), Number(9)));
        heard.note_organization(A, Number(20));
        heard.note_written(A, Uuid::from_u128(7), Number(30));
        assert!(!heard.admits(A, &item(8), Number(19)) && heard.admits(A, &item(8), Number(20)));
    }

    #[test]
    fn with_a_written_item_that_left_the_table_its_whole_organization_counts_as_written() {
        let heard = Heard::default();
        heard.note_written(A, Uuid::from_u128(7), Number(10));
        for number in 0..WRITTEN.get() as u64 - 1 {
            heard.note_written(B, Uuid::from_u128(u128::from(number)), Number(11 + number));
        }
        assert!(heard.admits(A, &Target::Item(Uuid::from_u128(8)), Number(9)), "told apart");
        heard.note_organization(B, Number(1_000_000));
        heard.note_written(B, Uuid::from_u128(u128::MAX), Number(1_000_001));
        assert!(!heard.admits(A, &ITEM, Number(9)) && heard.admits(A, &ITEM, Number(10)));
        assert!(!heard.admits(A, &Target::Item(Uuid::from_u128(8)), Number(9)), "whichever it was");
        heard.note_written(B, Uuid::from_u128(u128::MAX - 1), Number(1_000_002));
        assert!(!heard.admits(B, &ITEM, Number(999_999)), "what left is older than what is known");
    }

    #[test]
    fn an_organization_that_left_the_table_counts_by_the_latest_that_did() {
        let heard = Heard::default();
        for number in 0..=ORGANIZATIONS.get() as u64 {
            heard.note_organization(Uuid::from_u128(u128::from(number) + 1), Number(number + 1));
        }
        assert!(!heard.admits(A, &ITEM, Number(0)), "it was the first, and has left");
        assert!(heard.admits(A, &ITEM, Number(1)));
        assert!(
            !heard.admits(Uuid::from_u128(u128::MAX), &ITEM, Number(0)),
            "never heard of: it may have been"
        );
    }
}
