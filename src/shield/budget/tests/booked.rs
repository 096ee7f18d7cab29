//! One replica's calls with a store: what a booking changes for callers, and what it does not.

use tokio::task::JoinHandle;

use super::replicas::Fleet;
use super::*;

type Asking = JoinHandle<Result<Admission, Rejection>>;

impl Fleet {
    fn one() -> Self {
        Self::new(1)
    }

    async fn asks(&mut self, calls: impl IntoIterator<Item = Call>) -> Vec<Asking> {
        let mut asking = Vec::new();
        for call in calls {
            asking.push(self.replicas[0].world.wait(call).await);
        }
        self.carry().await;
        asking
    }

    fn call(&self, caller: usize, max_wait: Duration) -> Call {
        call(organization(1), self.replicas[0].world.caller(caller), max_wait)
    }

    async fn pass(&mut self, time: Duration) {
        for _ in 0..time.as_millis() {
            self.advance(ms(1)).await;
        }
    }
}

async fn gone(asking: Vec<Asking>) -> Vec<bool> {
    let mut gone = Vec::new();
    for call in asking {
        assert!(call.is_finished(), "everybody is told");
        gone.push(call.await.unwrap().is_ok());
    }
    gone
}

#[tokio::test]
async fn calls_that_will_not_wait_go_at_once_but_for_the_stores_answers() {
    let mut fleet = Fleet::one();
    let calls: Vec<Call> = (0..30).map(|caller| fleet.call(caller, Duration::ZERO)).collect();
    let asking = fleet.asks(calls).await;
    fleet.pass(ms(40)).await;
    assert_eq!(gone(asking).await, [true; 30]);
}

/// However late the store is, nobody waits for it longer than its timeout, and the share goes on.
#[tokio::test]
async fn nobody_waits_longer_for_a_slow_store_than_its_timeout() {
    for round_trip in [49, 51, 400] {
        let mut fleet = Fleet::one();
        fleet.round_trip = ms(round_trip);
        let calls: Vec<Call> = (0..20).map(|caller| fleet.call(caller, Duration::ZERO)).collect();
        let asking = fleet.asks(calls).await;
        fleet.pass(ms(round_trip.max(51) + 100)).await;
        let gone = gone(asking).await;
        assert_eq!(gone, [true; 20], "{round_trip} ms");
    }
}

/// P6: all that a request asks the store has one deadline. What its look-ups took is taken from its booking.
#[tokio::test]
async fn a_request_that_has_waited_for_the_store_waits_for_what_is_left_of_the_time() {
    for (waited, still) in [(0, 30), (10, 30), (40, 10), (50, 0), (70, 0)] {
        let mut fleet = Fleet::one();
        fleet.round_trip = ms(30);
        let call = Call { store_waited: ms(waited), ..fleet.call(1, Duration::ZERO) };
        let mut asking = fleet.asks([call]).await;
        let asking = asking.remove(0);
        for passed in 0..still {
            assert!(!asking.is_finished(), "{waited} ms before, {passed} ms now");
            fleet.pass(ms(1)).await;
        }
        assert_eq!(gone(vec![asking]).await, [true], "{waited} ms before, {still} ms now");
    }
}

#[tokio::test]
async fn who_cannot_wait_for_its_moment_is_told_when_it_would_come() {
    let mut fleet = Fleet::one();
    let now = fleet.store_now();
    fleet.model.spent(1, 90, 5400, now);
    let calls = [fleet.call(1, ms(500)), fleet.call(2, ms(800))];
    let asking = fleet.asks(calls).await;
    fleet.pass(ms(10)).await;
    for call in asking {
        let rejection = call.await.unwrap().unwrap_err();
        assert_eq!(rejection.reason, Reason::Budget);
        assert!((ms(1030)..=ms(1050)).contains(&rejection.retry_after), "{rejection:?}");
    }
    let patient = fleet.call(1, ms(1500));
    let asking = fleet.asks([patient]).await;
    fleet.pass(ms(1100)).await;
    assert_eq!(gone(asking).await, [true]);
}

/// The first moment that has to be waited for lies a window behind the burst before it, and says nothing of how far those that
/// follow are apart.
#[tokio::test]
async fn whoever_comes_behind_a_burst_of_all_replicas_is_told_no_longer_wait_than_by_their_shares() {
    let mut fleet = Fleet::new(3);
    let mut asking = Vec::new();
    for calls in [60, 10, 10, 10, 10] {
        for replica in &fleet.replicas {
            for caller in 0..calls {
                let call = call(organization(1), replica.world.caller(caller), 8 * SECOND);
                asking.push(replica.world.wait(call).await);
            }
        }
        fleet.carry().await;
        fleet.pass(ms(100)).await;
    }
    fleet.pass(6 * SECOND).await;
    assert_eq!(gone(asking).await, [true; 3 * (60 + 40)]);
}

/// The minute is full for longer than anything is booked ahead.
#[tokio::test]
async fn who_has_the_patience_for_a_minute_is_asked_for_again() {
    let mut fleet = Fleet::one();
    let now = fleet.store_now();
    fleet.model.spent(1, 5400, 5400, now);
    let patient = fleet.call(1, MINUTE + SECOND);
    let asking = fleet.asks([patient]).await;
    fleet.pass(MINUTE + ms(100)).await;
    assert_eq!(gone(asking).await, [true]);
}

#[tokio::test]
async fn background_work_goes_while_a_fifth_of_the_minute_is_free_and_never_waits() {
    for (spent, goes) in [(4300, true), (4330, false)] {
        let mut fleet = Fleet::one();
        let now = fleet.store_now();
        fleet.model.spent(1, spent, 5400, now);
        fleet.pass(ms(1100)).await;
        let background = Call { class: Class::Background, ..fleet.call(1, Duration::ZERO) };
        let asking = fleet.asks([background]).await;
        fleet.pass(ms(5)).await;
        assert_eq!(gone(asking).await, [goes], "{spent}");
    }
}

#[tokio::test]
async fn a_call_that_acts_for_a_workspace_is_booked_in_both_accounts() {
    let mut fleet = Fleet::one();
    let now = fleet.store_now();
    fleet.model.spent(2, 90, 5400, now);
    let acting =
        Call { accounts: Accounts::acting(organization(1), organization(2)), ..fleet.call(1, 2 * WINDOW) };
    let plain = fleet.call(2, Duration::ZERO);
    let asking = fleet.asks([plain]).await;
    fleet.pass(ms(5)).await;
    assert_eq!(gone(asking).await, [true], "the other account is none of its business");
    let asking = fleet.asks([acting]).await;
    fleet.pass(ms(900)).await;
    assert!(!asking[0].is_finished());
    fleet.pass(ms(200)).await;
    assert_eq!(gone(asking).await, [true]);
    let (one, two) = (fleet.model.moments(1), fleet.model.moments(2));
    assert_eq!(one[0], two[0], "one moment in both");
}

/// What a caller spent under its own name counts for its organization.
#[tokio::test]
async fn what_was_spent_before_the_organization_was_known_is_entered_there() {
    let mut fleet = Fleet::one();
    fleet.replicas[0].world.budget.set_link(Link::Alone, None);
    let own = AccountKey::Authorization(fleet.replicas[0].world.authorization(1));
    for _ in 0..20 {
        let call = Call { accounts: Accounts::one(own), ..fleet.call(1, Duration::ZERO) };
        fleet.asks([call]).await;
    }
    fleet.replicas[0].world.budget.set_link(Link::Linked, None);
    fleet.replicas[0].world.budget.merge(own, organization(1));
    fleet.carry().await;
    assert_eq!(fleet.model.moments(1).len(), 20);
}

/// A refused call lowers the account in the store, by what all replicas had.
#[tokio::test]
async fn a_429_below_the_limit_of_all_replicas_lowers_the_account_for_all() {
    let mut fleet = Fleet::new(2);
    let call = fleet.call(1, Duration::ZERO);
    let mut asking = fleet.asks([call]).await;
    fleet.pass(ms(5)).await;
    let admission = asking.remove(0).await.unwrap().unwrap();
    fleet.replicas[0].world.budget.limited(&admission, fleet.clock.now());
    fleet.carry().await;
    let other = &fleet.replicas[1].world;
    let asking = other.wait(call).await;
    fleet.carry().await;
    fleet.pass(ms(5)).await;
    assert!(asking.await.unwrap().is_ok());
    let allowed = fleet.replicas[1].world.budget.least_allowed(fleet.clock.now());
    assert!((allowed.ratio() - 0.5).abs() < 0.01, "{allowed:?}");
}

/// Whoever carries the question may be gone.
#[tokio::test]
async fn an_answer_that_never_comes_holds_nobody_up() {
    let mut fleet = Fleet::one();
    let call = fleet.call(1, Duration::ZERO);
    let asking = fleet.replicas[0].world.wait(call).await;
    assert!(fleet.replicas[0].orders.try_recv().is_ok(), "the question");
    fleet.pass(ms(102)).await;
    assert_eq!(gone(vec![asking]).await, [true], "from the share");
}
