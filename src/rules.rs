//! [`Rules`]: what requests read of the configuration, and what a reload of it changes as one.
//!
//! A request takes the rules that hold when it begins and keeps them to its end, so that it never sees half of a reload;
//! a fetch has those of the read that began it. Each worker has a copy of its own: while nothing changes, taking it costs
//! one read of a counter and touches no memory that other threads write to. What is fixed at start is not here.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderName;

use crate::callers::{CallerRules, Identity};
use crate::classify::Target;
use crate::config::{self, CachedResource, Config, Share};
use crate::lock::{Mutex, MutexGuard};
use crate::organization::Organization;
use crate::organization::sharing::{Shared, Witness};
use crate::resource::Descriptor;
use crate::tick::Tick;

/// What holds for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// What is kept, and for how long.
    pub cache: config::Cache,
    /// How long a proof lasts.
    pub proof: config::Proof,
    /// Its time-outs; where calls go is settled at start.
    pub timeouts: config::Upstream,
    /// How long a client may take for a request's head.
    pub header_timeout: Duration,
    /// Bytes a second that an upload must bring.
    pub min_upload_rate: u64,
    max_wait: Duration,
    /// Who calls, and what each may have, where callers are told apart.
    pub callers: Option<Arc<CallerRules>>,
    /// Whether limits hold, or are counted alone.
    pub mode: config::Mode,
}

impl Rules {
    /// Those of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            cache: config.cache.clone(),
            proof: config.proof.clone(),
            timeouts: config.upstream.clone(),
            header_timeout: config.listen.header_timeout,
            min_upload_rate: config.listen.min_upload_rate,
            max_wait: config.shield.max_wait,
            callers: CallerRules::new(config),
            mode: config.shield.mode,
        }
    }

    /// Lifetimes of a target of a resource.
    #[must_use]
    pub fn of(&self, resource: &Descriptor, target: &Target) -> &CachedResource {
        match target {
            Target::Item(_) => self.of_items(resource),
            Target::List(_) => self.of_lists(resource),
        }
    }

    /// Those of a resource's items.
    #[must_use]
    pub fn of_items(&self, resource: &Descriptor) -> &CachedResource {
        (resource.item_lifetimes)(&self.cache)
    }

    /// Those of its lists.
    #[must_use]
    pub fn of_lists(&self, resource: &Descriptor) -> &CachedResource {
        (resource.list_lifetimes)(&self.cache)
    }

    /// Whether credentials of one organization share what is stored.
    pub fn shares(&self) -> bool {
        self.cache.share == Share::Organization
    }

    /// Who may get what a credential of this organization reads now of a resource.
    #[must_use]
    pub fn shared_in(&self, organization: &Organization, resource: &'static Descriptor) -> Shared {
        if self.shares() { organization.sharing(resource).shared(self.witness()) } else { Shared::Configured }
    }

    /// Whether credentials of this organization share what they read now of a resource.
    #[must_use]
    pub fn shares_in(&self, organization: &Organization, resource: &'static Descriptor) -> bool {
        self.shares() && organization.sharing(resource).admits_some(self.witness())
    }

    /// Whether what was read of a resource in a fetch of `begun` may go to every credential of this organization.
    #[must_use]
    pub fn may_share(&self, organization: &Organization, resource: &'static Descriptor, begun: Tick) -> bool {
        self.shares() && organization.sharing(resource).admits(begun, self.witness())
    }

    /// Where lists fill items, that of a new organization is read in any case: nothing is shared before.
    const fn witness(&self) -> Witness {
        if self.cache.list_fill { Witness::Required } else { Witness::NotRequired }
    }

    /// The field that names callers, if one does.
    #[must_use]
    pub fn caller_field(&self) -> Option<&HeaderName> {
        self.callers.as_ref()?.field()
    }

    /// How long a call of a caller waits at most that asks for `wait`.
    #[must_use]
    pub fn max_wait_of(&self, identity: Option<&Arc<Identity>>, wait: Option<Duration>) -> Duration {
        let holds = identity.filter(|identity| identity.is_enforced());
        let own = holds.and_then(|identity| identity.limit.max_wait).unwrap_or(self.max_wait);
        wait.map_or(own, |wait| wait.min(own))
    }

    /// How long a call waits at most that asks for `wait`.
    #[must_use]
    pub fn max_wait(&self, wait: Option<Duration>) -> Duration {
        wait.map_or(self.max_wait, |wait| wait.min(self.max_wait))
    }
}

/// The rules that hold now.
#[derive(Debug)]
pub struct Rulebook {
    /// Goes up with every change, behind it.
    edition: AtomicU64,
    current: Mutex<Arc<Rules>>,
}

impl Rulebook {
    /// These hold at first.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { edition: AtomicU64::new(0), current: Mutex::new(Arc::new(rules)) }
    }

    /// What holds for who begins now, away from the way of a hit: it takes a lock.
    pub fn current(&self) -> Arc<Rules> {
        Arc::clone(&self.lock())
    }

    /// From now on these.
    pub fn replace(&self, rules: Rules) {
        *self.lock() = Arc::new(rules);
        self.edition.fetch_add(1, Ordering::Release);
    }

    /// The same rules again, for what is made anew with them.
    pub fn renew(&self) {
        self.edition.fetch_add(1, Ordering::Release);
    }

    /// A thread's copy of what holds now, with `more` that is made anew whenever they change.
    pub fn copy<T>(&self, more: T) -> Copied<T> {
        // Read first: a change between the two is then seen at the next use.
        let edition = self.edition.load(Ordering::Acquire);
        Copied(RefCell::new(Copy { edition, rules: Arc::new(Rules::clone(&self.lock())), more }))
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Rules>> {
        self.current.lock()
    }
}

/// One thread's copy of the rules.
#[derive(Debug)]
pub struct Copied<T>(RefCell<Copy<T>>);

#[derive(Clone, Debug)]
struct Copy<T> {
    edition: u64,
    rules: Arc<Rules>,
    more: T,
}

impl<T: Clone> Copied<T> {
    /// The rules that hold now.
    pub fn rules(&self, book: &Rulebook, anew: impl FnOnce(&T) -> T) -> Arc<Rules> {
        let edition = book.edition.load(Ordering::Acquire);
        let mut copy = self.0.borrow_mut();
        if copy.edition != edition {
            *copy = Copy { edition, rules: Arc::new(Rules::clone(&book.lock())), more: anew(&copy.more) };
        }
        Arc::clone(&copy.rules)
    }

    /// What came with the rules that were last asked for.
    pub fn more(&self) -> T {
        self.0.borrow().more.clone()
    }
}

impl<T: Clone> Clone for Copied<T> {
    fn clone(&self) -> Self {
        Self(RefCell::new(self.0.borrow().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_keeps_the_rules_that_it_began_with_and_the_next_has_the_new_ones() {
        let mut config = Config::default();
        let book = Rulebook::new(Rules::new(&config));
        let copied = book.copy(0);
        let anew = |times: &i32| times + 1;
        let first = copied.rules(&book, anew);
        assert_eq!((first.max_wait(None), copied.more()), (Duration::from_secs(8), 0));

        config.shield.max_wait = Duration::from_secs(1);
        book.replace(Rules::new(&config));
        let second = copied.rules(&book, anew);
        assert_eq!(first.max_wait(None), Duration::from_secs(8));
        assert_eq!((second.max_wait(None), copied.more()), (Duration::from_secs(1), 1));
        assert_eq!(second.max_wait(Some(Duration::from_secs(9))), Duration::from_secs(1));
        assert!(Arc::ptr_eq(&second, &copied.rules(&book, anew)), "unchanged rules are not copied again");
        assert_eq!(book.current(), second);
    }
}
