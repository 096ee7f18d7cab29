//! Rules that change while accounts are in use: no window of a second or a minute holds more on account of the change.

use super::*;

fn limited(per_second: u32, per_minute: u32, single_workspace: bool) -> ShieldRules {
    let positive = |number| NonZeroU32::new(number).unwrap();
    ShieldRules {
        requests_per_second: positive(per_second),
        requests_per_minute: positive(per_minute),
        single_workspace,
        ..rules()
    }
}

/// How many calls of an account go now.
async fn burst(world: &World, account: AccountKey) -> usize {
    let mut sent = 0;
    while sent < 10_000 && world.ask(account, sent).await.is_ok() {
        sent += 1;
    }
    sent
}

#[tokio::test]
async fn a_lower_limit_counts_what_was_sent_under_the_higher_one() {
    let world = World::new(&limited(50, 1000, false));
    assert_eq!(burst(&world, organization(1)).await, 50);
    world.budget.set_rules(&limited(20, 1000, false));
    assert_eq!(burst(&world, organization(1)).await, 0);
    world.advance(WINDOW).await;
    assert_eq!(burst(&world, organization(1)).await, 20);
    world.budget.set_rules(&limited(1000, 60, false));
    world.advance(WINDOW).await;
    assert_eq!(burst(&world, organization(1)).await, 0, "70 of 60 are used up");
    world.advance(MINUTE + WINDOW).await;
    assert_eq!(burst(&world, organization(1)).await, 60);
}

#[tokio::test]
async fn a_higher_limit_counts_what_was_sent_under_the_lower_one() {
    let world = World::new(&limited(20, 1000, false));
    assert_eq!(burst(&world, organization(1)).await, 20);
    world.budget.set_rules(&limited(50, 1000, false));
    assert_eq!(burst(&world, organization(1)).await, 30);
}

#[tokio::test]
async fn callers_that_are_put_on_one_account_bring_along_what_they_spent_and_who_waits() {
    let world = World::new(&limited(50, 1000, false));
    assert_eq!(burst(&world, organization(1)).await, 50);
    let waiting = world.wait(call(organization(1), world.caller(1), 2 * WINDOW)).await;
    world.budget.set_rules(&limited(50, 1000, true));
    assert_eq!(burst(&world, organization(2)).await, 0, "another's calls count for all");
    world.advance(WINDOW).await;
    assert!(waiting.await.unwrap().is_ok());
    assert_eq!(burst(&world, organization(2)).await, 49);
}

#[tokio::test]
async fn callers_that_get_accounts_of_their_own_do_not_get_the_limit_twice() {
    let world = World::new(&limited(1000, 100, true));
    assert_eq!(burst(&world, organization(1)).await, 100);
    world.budget.set_rules(&limited(1000, 100, false));
    let mut sent = Vec::new();
    for second in 0_usize..240 {
        sent.extend(std::iter::repeat_n(second, burst(&world, organization(1)).await));
        let last_minute = sent.iter().filter(|at| **at + 60 > second).count();
        let before = if second < 60 { 100 } else { 0 };
        assert!(before + last_minute <= 100, "{second}: {last_minute} in a minute");
        world.advance(SECOND).await;
    }
    assert!(sent.len() >= 200, "{} in three minutes", sent.len());
    assert_eq!(burst(&world, organization(2)).await, 100, "apart in the end");
}
