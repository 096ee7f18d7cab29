//! Calls that have no connection when they come.

use std::convert::Infallible;

use super::super::super::place::Place;
use super::super::super::table::Entry;
use super::super::super::waiter::Readiness;
use super::*;
use crate::config::Burst;

const AHEAD: Duration = ms(10);

/// Rules under which half of a second's calls may go at one moment.
fn paced() -> ShieldRules {
    ShieldRules { burst: Burst::Half, ..rules() }
}

/// Sends a call off that has to connect, which takes as long as `connecting`.
async fn connect(
    world: &World,
    call: Call,
    connecting: impl Future<Output = ()> + Send + 'static,
) -> tokio::task::JoinHandle<Result<Admission, Turned<Infallible>>> {
    let budget = world.budget.clone();
    let connecting = async move {
        connecting.await;
        Ok(())
    };
    let waiting =
        tokio::spawn(async move { budget.admit(call, None, connecting, || {}).await.map(|(slot, ())| slot) });
    quiet().await;
    waiting
}

#[tokio::test]
async fn who_connects_for_ever_holds_nobody_up() {
    let world = World::new(&paced());
    let key = organization(1);
    let call = Call { ahead: AHEAD, ..call(key, world.caller(1), 5 * SECOND) };
    for _ in 0..45 {
        connect(&world, call, std::future::pending()).await;
    }
    let behind = connect(&world, call, std::future::ready(())).await;
    for _ in 0..100 {
        world.advance(ms(10)).await;
    }
    assert!(behind.is_finished() && behind.await.unwrap().is_ok());
    assert_eq!(world.used(key), (1, 1));
}

#[tokio::test]
async fn who_waits_for_another_account_keeps_nobody_from_connecting() {
    let world = World::new(&paced());
    let (workspace, own) = (organization(1), organization(2));
    world.exhaust(workspace, 1).await;
    world.budget.close_until(own, world.clock.now().plus(MINUTE));
    let patient = Call { ahead: AHEAD, ..call(workspace, world.caller(2), 2 * MINUTE) };
    let acting = Call { accounts: Accounts::acting(workspace, own), ..patient };
    let held_up = connect(&world, acting, std::future::ready(())).await;
    let free = Call { caller: world.caller(1), ..patient };
    let waiting = connect(&world, free, std::future::ready(())).await;
    assert_eq!(world.budget.queued(), 2);
    for _ in 0..200 {
        world.advance(ms(10)).await;
    }
    assert!(waiting.is_finished() && waiting.await.unwrap().is_ok());
    assert!(!held_up.is_finished());
    held_up.abort();
}

#[tokio::test]
async fn who_has_a_connection_when_its_turn_comes_near_needs_no_other() {
    let world = World::new(&rules());
    let key = organization(1);
    world.exhaust(key, 1).await;
    let call = Call { ahead: ms(100), ..call(key, world.caller(1), 2 * WINDOW) };
    let entry = world.budget.lock().enter(&call, Readiness::Connected, world.budget.now());
    let Entry::Waiting(waiting) = entry else { panic!("{entry:?}") };
    // Time passes before its first look.
    world.hand.advance(WINDOW - ms(50));
    let place = Place::new(Arc::clone(&world.budget.0), waiting);
    let turn = tokio::spawn(async move {
        let never = std::future::pending::<Result<(), Infallible>>();
        place.turn(Some(()), never).await.is_ok()
    });
    world.advance(ms(50)).await;
    assert!(turn.is_finished() && turn.await.unwrap());
}

#[tokio::test]
async fn who_is_refused_before_its_first_look_is_told_so_even_where_its_task_has_run_for_long() {
    let world = World::new(&rules());
    let key = organization(1);
    world.exhaust(key, 1).await;
    let call = Call { ahead: ms(100), ..call(key, world.caller(1), 2 * WINDOW) };
    let entry = world.budget.lock().enter(&call, Readiness::Connected, world.budget.now());
    let Entry::Waiting(waiting) = entry else { panic!("{entry:?}") };
    world.budget.close_until(key, world.clock.now().plus(MINUTE));
    let place = Place::new(Arc::clone(&world.budget.0), waiting);
    let turn = tokio::spawn(async move {
        // The runtime lets it hear nothing before it has let others go.
        while tokio::task::coop::has_budget_remaining() {
            tokio::task::coop::consume_budget().await;
        }
        let never = std::future::pending::<Result<(), Infallible>>();
        place.turn(Some(()), never).await.map(drop)
    });
    let Err(Turned::Rejected(rejection)) = turn.await.unwrap() else { panic!("it is refused") };
    assert_eq!((rejection.reason, rejection.retry_after), (Reason::Hold, MINUTE));
}
