//! What one fault may cost the others: a key that is shut in its own account, an answer that is late, a probe that is lost.

use super::replicas::{BUSY, Fleet};
use super::*;

/// A call by a key of organization 2 for workspace 1.
fn acting(fleet: &Fleet, max_wait: Duration) -> Call {
    let world = &fleet.replicas[0].world;
    let accounts = Accounts::acting(organization(1), organization(2));
    Call { accounts, ..call(organization(1), world.caller(1), max_wait) }
}

/// A call of the workspace's own, which does not wait.
fn plain(fleet: &Fleet) -> Call {
    call(organization(1), fleet.replicas[0].world.caller(2), Duration::ZERO)
}

async fn pass(fleet: &mut Fleet, time: Duration) {
    for _ in 0..time.as_millis() {
        fleet.advance(ms(1)).await;
    }
}

async fn assert_goes(fleet: &mut Fleet, call: Call) {
    let asking = fleet.replicas[0].world.wait(call).await;
    fleet.carry().await;
    pass(fleet, ms(5)).await;
    assert!(asking.is_finished(), "it is told");
    drop(asking.await.unwrap().unwrap());
}

#[tokio::test]
async fn a_hold_of_a_keys_own_account_holds_back_no_other_call_of_the_workspace() {
    let mut fleet = Fleet::new(1);
    let now = fleet.store_now();
    fleet.model.hold(2, 20_000_000, now);
    for _ in 0..3 {
        let call = acting(&fleet, Duration::ZERO);
        let asking = fleet.replicas[0].world.wait(call).await;
        fleet.carry().await;
        pass(&mut fleet, ms(5)).await;
        let rejection = asking.await.unwrap().unwrap_err();
        assert!(rejection.retry_after > 19 * SECOND, "{rejection:?}");
        let call = plain(&fleet);
        assert_goes(&mut fleet, call).await;
    }
}

#[tokio::test]
async fn a_keys_own_account_that_is_full_holds_up_no_other_call_of_the_workspace() {
    let mut fleet = Fleet::new(1);
    let now = fleet.store_now();
    fleet.model.spent(2, 5400, 5400, now);
    let patient = acting(&fleet, MINUTE + SECOND);
    let patient = fleet.replicas[0].world.wait(patient).await;
    fleet.carry().await;
    for _ in 0..60 {
        let call = plain(&fleet);
        assert_goes(&mut fleet, call).await;
        pass(&mut fleet, ms(995)).await;
    }
    pass(&mut fleet, ms(300)).await;
    assert!(patient.is_finished(), "it has waited for its own account alone");
    drop(patient.await.unwrap().unwrap());
}

/// Here the replica knows of the hold itself, so that the acting call is not even asked for; when it is over, it is.
#[tokio::test]
async fn who_heads_the_queue_with_a_shut_account_is_passed_over_and_woken_when_it_opens() {
    let mut fleet = Fleet::new(1);
    let until = fleet.clock.now().plus(ms(2000));
    fleet.replicas[0].world.budget.close_until(organization(2), until);
    let first = acting(&fleet, 5 * SECOND);
    let first = fleet.replicas[0].world.wait(first).await;
    let call = plain(&fleet);
    assert_goes(&mut fleet, call).await;
    pass(&mut fleet, ms(1900)).await;
    assert!(!first.is_finished());
    pass(&mut fleet, ms(200)).await;
    assert!(first.is_finished(), "its own hold is over");
    drop(first.await.unwrap().unwrap());
}

/// Answers on one link stall every four seconds; every replica holds its lease.
#[tokio::test]
async fn late_answers_on_one_link_leave_the_limit_what_it_is() {
    let mut fleet = Fleet::new(2);
    let begun = fleet.clock.now().uptime();
    fleet
        .run(&[BUSY, BUSY], MINUTE, |fleet, passed| {
            if passed.as_millis() % 4000 == 2000 {
                fleet.stalled_until = begun + passed + ms(300);
            }
        })
        .await;
    let moments: Vec<Duration> = fleet.all_sent().iter().map(|sent| sent.at).collect();
    let densest = densest(&moments, SECOND);
    assert!(densest <= 100, "{densest} in a second, where the API lets 100 in");
    assert!(moments.len() >= 60 * 80, "{} in a minute", moments.len());
}

/// The store takes what is told only when it is reached again.
#[tokio::test]
async fn what_the_store_was_not_told_in_time_is_told_again() {
    let mut fleet = Fleet::new(1);
    fleet.is_reachable = false;
    let call = plain(&fleet);
    let asking = fleet.replicas[0].world.wait(call).await;
    fleet.carry().await;
    pass(&mut fleet, ms(120)).await;
    drop(asking.await.unwrap().unwrap());
    assert_eq!(fleet.model.moments(1).len(), 0);
    fleet.is_reachable = true;
    pass(&mut fleet, ms(200)).await;
    assert_goes(&mut fleet, call).await;
    assert_eq!(fleet.model.moments(1).len(), 2, "the one from the share, and this one");
}

/// A probe's booking was answered too late: the next call finds out, and need not wait ten seconds for that.
#[tokio::test]
async fn a_probe_whose_answer_is_late_is_told_as_lost() {
    let mut fleet = Fleet::new(2);
    let now = fleet.store_now();
    fleet.model.hold(1, 1, now);
    fleet.advance(ms(1)).await;
    fleet.round_trip = ms(60);
    let call = plain(&fleet);
    let first = fleet.replicas[0].world.wait(call).await;
    pass(&mut fleet, ms(130)).await;
    assert!(first.is_finished());
    fleet.round_trip = ms(1);
    let other = fleet.replicas[1].world.wait(call).await;
    pass(&mut fleet, ms(20)).await;
    assert!(other.is_finished(), "no probe is under way");
    assert!(other.await.unwrap().unwrap().probe.is_some());
}
