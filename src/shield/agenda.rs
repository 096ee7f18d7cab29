//! [`Agenda`]: when each queue has to be looked at next. One task of the process sleeps by it.
//!
//! A timer for each waiter and slot would wake hundreds of them for one slot. What comes free at a moment that is known is
//! on the agenda of its queue; what changes otherwise is dealt with by whoever changes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};
use tokio::sync::Notify;

use super::account::AccountKey;

/// The next look at each queue in which somebody waits for a moment that is known.
#[derive(Debug)]
pub(super) struct Agenda {
    by_time: BTreeMap<Look, AccountKey>,
    of_queue: HashMap<AccountKey, Look>,
    last: u64,
    /// Until when the task sleeps, as far as it has been told.
    sleeps_until: Duration,
    wake: Arc<Notify>,
}

/// The moment of a look, and a number that tells looks at the same moment apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Look {
    at: Duration,
    number: u64,
}

impl Default for Agenda {
    fn default() -> Self {
        Self {
            by_time: BTreeMap::new(),
            of_queue: HashMap::new(),
            last: 0,
            sleeps_until: Duration::MAX,
            wake: Arc::default(),
        }
    }
}

impl Agenda {
    /// The next look at a queue is at this moment, whatever was planned; never if it is [`Duration::MAX`].
    pub(super) fn plan(&mut self, key: AccountKey, at: Duration) {
        if let Some(look) = self.of_queue.remove(&key) {
            self.by_time.remove(&look);
        }
        if at == Duration::MAX {
            return;
        }
        self.last += 1;
        let look = Look { at, number: self.last };
        self.by_time.insert(look, key);
        self.of_queue.insert(key, look);
        if at < self.sleeps_until {
            self.sleeps_until = at;
            self.wake.notify_one();
        }
    }

    /// The next look at a queue is at this moment at the latest.
    pub(super) fn bring_forward(&mut self, key: AccountKey, at: Duration) {
        if at < self.next_look(key) {
            self.plan(key, at);
        }
    }

    /// When a queue is looked at next.
    pub(super) fn next_look(&self, key: AccountKey) -> Duration {
        self.of_queue.get(&key).map_or(Duration::MAX, |look| look.at)
    }

    /// Takes off a queue whose moment has come.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<AccountKey> {
        let first = self.by_time.first_entry().filter(|first| first.key().at <= now)?;
        let key = first.remove();
        self.of_queue.remove(&key);
        Some(key)
    }

    /// Until when the task may sleep, which it does now.
    pub(super) fn sleep(&mut self) -> Duration {
        self.sleeps_until = self.by_time.first_key_value().map_or(Duration::MAX, |(look, _)| look.at);
        self.sleeps_until
    }

    /// Tells the task that something is earlier than it knows, or that there is nothing left to do. Told while it is
    /// awake, it does not sleep.
    pub(super) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Poll;

    use super::*;
    use crate::organization::OrganizationName;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn organization(number: u128) -> AccountKey {
        AccountKey::Organization(OrganizationName(uuid::Uuid::from_u128(number)))
    }

    #[test]
    fn a_queue_is_on_the_agenda_once_and_leaves_it_at_its_moment() {
        let mut agenda = Agenda::default();
        let (first, second) = (organization(1), organization(2));
        for at in [50, 20, 30] {
            agenda.plan(first, ms(at));
        }
        agenda.plan(second, ms(30));
        agenda.bring_forward(second, ms(40));
        assert_eq!((agenda.by_time.len(), agenda.of_queue.len(), agenda.sleep()), (2, 2, ms(30)));
        assert_eq!(agenda.take_due(ms(29)), None);
        let due = [(); 3].map(|()| agenda.take_due(ms(30)));
        assert_eq!(due, [Some(first), Some(second), None]);
        agenda.plan(first, ms(60));
        agenda.plan(first, Duration::MAX);
        assert_eq!((agenda.by_time.len(), agenda.of_queue.len(), agenda.sleep()), (0, 0, Duration::MAX));
    }

    #[tokio::test]
    async fn what_is_earlier_than_the_task_knows_wakes_it_and_nothing_else_does() {
        let mut agenda = Agenda::default();
        let wake = agenda.wake();
        let woken =
            async || std::future::poll_fn(|cx| Poll::Ready(pin!(wake.notified()).poll(cx).is_ready())).await;
        agenda.plan(organization(1), ms(30));
        assert!(woken().await);
        agenda.sleep();
        agenda.plan(organization(2), ms(31));
        assert!(!woken().await);
        agenda.bring_forward(organization(2), ms(29));
        assert!(woken().await);
    }
}
