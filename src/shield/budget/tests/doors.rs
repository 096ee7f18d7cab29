//! Accounts that the upstream limits: closed, probed by one call, open again.

use super::*;

const KEY: fn() -> AccountKey = || organization(1);

impl World {
    fn close_for(&self, time: Duration) {
        self.budget.close_until(KEY(), self.clock.now().plus(time));
    }
}

#[tokio::test]
async fn a_closed_account_admits_nothing_and_others_go_on() {
    let world = World::new(&rules());
    world.close_for(10 * WINDOW);
    for class in [Class::Proof, Class::Interactive] {
        let rejection = world.ask_for(class, KEY(), 1).await.unwrap_err();
        assert_eq!((rejection.reason, rejection.retry_after), (Reason::Hold, 10 * WINDOW), "{class}");
    }
    assert!(world.ask_for(Class::Background, KEY(), 1).await.is_err());
    assert!(world.budget.is_short(KEY(), world.clock.now()));
    assert_eq!(world.budget.closed(world.clock.now()), 1);
    assert!(world.ask(organization(2), 1).await.is_ok());
    world.advance(ms(9_999)).await;
    assert!(world.ask(KEY(), 1).await.is_err());
}

#[tokio::test]
async fn whoever_cannot_wait_for_the_reopening_is_told_when_it_closes() {
    let world = World::new(&rules());
    world.exhaust(KEY(), 1).await;
    let short = world.wait(call(KEY(), world.caller(1), ms(1100))).await;
    let long = world.wait(call(KEY(), world.caller(1), 3 * WINDOW)).await;
    world.close_for(2 * WINDOW);
    quiet().await;
    let rejection = short.await.unwrap().unwrap_err();
    assert_eq!((rejection.reason, rejection.retry_after), (Reason::Hold, 2 * WINDOW));
    world.advance(2 * WINDOW - ms(1)).await;
    assert!(!long.is_finished());
    world.advance(ms(1)).await;
    assert!(long.await.unwrap().unwrap().probe.is_some());
}

#[tokio::test]
async fn one_probe_goes_first_and_the_rest_when_it_has_passed() {
    let world = World::new(&rules());
    world.close_for(WINDOW);
    let mut waiting = Vec::new();
    for caller in 0..20 {
        waiting.push(world.wait(call(KEY(), world.caller(caller), 5 * WINDOW)).await);
    }
    world.advance(WINDOW).await;
    let done = waiting.iter().position(tokio::task::JoinHandle::is_finished).unwrap();
    let probe = waiting.remove(done).await.unwrap().unwrap().probe.unwrap();
    world.advance(ms(500)).await;
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    assert_eq!(world.ask(KEY(), 1).await.unwrap_err().reason, Reason::Hold);
    probe.passed();
    quiet().await;
    for waiting in waiting {
        assert!(waiting.await.unwrap().unwrap().probe.is_none());
    }
}

#[tokio::test]
async fn a_probe_that_is_refused_closes_the_account_again() {
    let world = World::new(&rules());
    world.close_for(WINDOW);
    world.advance(WINDOW).await;
    let probe = world.ask(KEY(), 1).await.unwrap().probe.unwrap();
    world.close_for(4 * WINDOW);
    drop(probe);
    assert_eq!(world.ask(KEY(), 1).await.unwrap_err().retry_after, 4 * WINDOW);
    world.advance(4 * WINDOW).await;
    world.ask(KEY(), 1).await.unwrap().probe.unwrap().passed();
    assert!(world.ask(KEY(), 1).await.unwrap().probe.is_none());
}

#[tokio::test]
async fn a_probe_that_is_given_up_or_never_answered_is_followed_by_another() {
    let world = World::new(&rules());
    world.close_for(WINDOW);
    world.advance(WINDOW).await;
    drop(world.ask(KEY(), 1).await.unwrap());
    let silent = world.ask(KEY(), 1).await.unwrap().probe.unwrap();
    assert!(world.ask(KEY(), 1).await.is_err());
    world.advance(10 * WINDOW).await;
    let second = world.ask(KEY(), 1).await.unwrap().probe.unwrap();
    silent.passed();
    assert!(world.ask(KEY(), 1).await.is_err(), "an answer that comes too late opens nothing");
    second.passed();
    assert!(world.ask(KEY(), 1).await.is_ok());
}

#[tokio::test]
async fn a_waiter_that_leaves_with_the_probe_in_its_hands_hands_it_on() {
    let world = World::new(&rules());
    world.close_for(WINDOW);
    let first = world.wait(call(KEY(), world.caller(1), 5 * WINDOW)).await;
    let second = world.wait(call(KEY(), world.caller(2), 5 * WINDOW)).await;
    first.abort();
    world.advance(WINDOW).await;
    assert!(second.await.unwrap().unwrap().probe.is_some());
}

#[tokio::test]
async fn an_account_stays_closed_when_it_is_merged() {
    let world = World::new(&rules());
    let unbound = AccountKey::Authorization(world.authorization(1));
    world.budget.close_until(unbound, world.clock.now().plus(5 * WINDOW));
    world.budget.merge(unbound, KEY());
    assert_eq!(world.ask(KEY(), 1).await.unwrap_err().retry_after, 5 * WINDOW);
}

#[tokio::test]
async fn what_is_said_of_an_account_that_was_merged_concerns_the_one_that_it_went_into() {
    let world = World::new(&rules());
    let unbound = AccountKey::Authorization(world.authorization(1));
    drop(world.ask(unbound, 1).await.unwrap());
    world.budget.merge(unbound, KEY());
    // A call that left before is limited.
    world.budget.close_until(unbound, world.clock.now().plus(5 * WINDOW));
    assert_eq!(world.ask(KEY(), 1).await.unwrap_err().retry_after, 5 * WINDOW);
}

/// Waits in the queue of the workspace, and takes from the account of its key, too.
fn acting(world: &World, own: AccountKey, max_wait: Duration) -> Call {
    Call { accounts: Accounts::acting(KEY(), own), ..call(KEY(), world.caller(7), max_wait) }
}

#[tokio::test]
async fn who_acts_for_a_workspace_wakes_when_the_account_of_its_key_opens() {
    let world = World::new(&rules());
    let own = organization(2);
    world.budget.close_until(own, world.clock.now().plus(WINDOW));
    world.advance(WINDOW).await;
    let probe = world.ask(own, 1).await.unwrap().probe.unwrap();
    let waiting = world.wait(acting(&world, own, 5 * WINDOW)).await;
    world.advance(ms(200)).await;
    assert!(!waiting.is_finished());
    probe.passed();
    quiet().await;
    assert!(waiting.is_finished());
    assert_eq!(waiting.await.unwrap().unwrap().waited, ms(200));
}

#[tokio::test]
async fn who_waits_for_the_account_of_its_key_leaves_the_workspace_to_others() {
    let world = World::new(&rules());
    let own = organization(2);
    world.budget.close_until(own, world.clock.now().plus(WINDOW));
    let waiting = world.wait(acting(&world, own, 5 * WINDOW)).await;
    assert!(!waiting.is_finished());
    let now = world.clock.now();
    assert!(!world.budget.is_short(KEY(), now) && world.budget.is_short(own, now));
    assert!(world.budget.spare(KEY(), now), "for what is refreshed behind an answer");
    drop(waiting);
}

#[tokio::test]
async fn who_acts_for_a_workspace_is_told_when_the_account_of_its_key_closes() {
    let world = World::new(&rules());
    let own = organization(2);
    for _ in 0..90 {
        world.exhaust(own, 7).await;
    }
    let waiting = world.wait(acting(&world, own, 2 * WINDOW)).await;
    assert!(!waiting.is_finished());
    world.budget.close_until(own, world.clock.now().plus(30 * WINDOW));
    quiet().await;
    assert!(waiting.is_finished());
    let rejection = waiting.await.unwrap().unwrap_err();
    assert_eq!((rejection.reason, rejection.retry_after), (Reason::Hold, 30 * WINDOW));
}

#[tokio::test]
async fn a_slot_of_the_key_that_is_given_back_wakes_who_acts_for_a_workspace() {
    let world = World::new(&rules());
    let own = organization(2);
    let mut sent = Vec::new();
    for caller in 10..120 {
        sent.extend(world.ask(own, caller).await.ok());
    }
    assert_eq!(world.used(own).0, 90);
    let waiting = world.wait(acting(&world, own, 2 * WINDOW)).await;
    assert!(!waiting.is_finished());
    world.budget.give_back(sent.pop().unwrap());
    quiet().await;
    assert!(waiting.is_finished() && waiting.await.unwrap().is_ok());
}
