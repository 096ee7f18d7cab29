//! The budget in virtual minutes, on a clock that the test moves.

mod booked;
mod connecting;
mod doors;
mod fairness;
mod faults;
mod interleaved;
mod leaving;
mod readiness;
mod replicas;
mod rules;

use std::num::NonZeroU32;

use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use super::super::table::MAX_UNBOUND;
use super::super::who::Who;
use super::super::window::WINDOW;
use super::*;
use crate::caller::credential::{AuthorizationDigest, Digester};
use crate::clock::ManualClock;
use crate::config::Burst;
use crate::organization::OrganizationName;
use crate::shield::share::Share;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn rules() -> ShieldRules {
    let positive = |number| NonZeroU32::new(number).unwrap();
    ShieldRules {
        requests_per_second: positive(90),
        requests_per_minute: positive(5400),
        replicas: NonZeroU32::MIN,
        single_workspace: false,
        max_queued: 1000,
        burst: Burst::Whole,
    }
}

fn organization(number: u128) -> AccountKey {
    AccountKey::Organization(OrganizationName(Uuid::from_u128(number)))
}

/// A call that somebody waits for, and that keeps its connection while it waits.
fn call(account: AccountKey, caller: Who, max_wait: Duration) -> Call {
    let (accounts, class) = (Accounts::one(account), Class::Interactive);
    let share = Share::default();
    Call { accounts, caller, share, class, max_wait, store_waited: Duration::ZERO, ahead: MINUTE }
}

/// Asks for a call that has its connection.
fn admit(budget: &Budget, call: Call) -> impl Future<Output = Result<Admission, Rejection>> + Send + use<> {
    let budget = budget.clone();
    async move {
        let connect = std::future::ready(Ok::<_, std::convert::Infallible>(()));
        match budget.admit(call, Some(()), connect, || {}).await {
            Ok((admission, ())) => Ok(admission),
            Err(Turned::Rejected(rejection)) => Err(rejection),
            Err(Turned::Unconnected(never)) => match never {},
        }
    }
}

struct World {
    budget: Budget,
    clock: Clock,
    hand: ManualClock,
    digester: Digester,
}

impl World {
    fn new(rules: &ShieldRules) -> Self {
        let (clock, hand) = Clock::manual();
        let budget = Budget::new(rules, clock.clone());
        tokio::spawn(budget.hand_out());
        Self { budget, clock, hand, digester: Digester::default() }
    }

    fn authorization(&self, number: usize) -> AuthorizationDigest {
        let value = HeaderValue::try_from(format!("Bearer {number}")).unwrap();
        self.digester.authorization(&HeaderMap::from_iter([(http::header::AUTHORIZATION, value)])).unwrap()
    }

    fn caller(&self, number: usize) -> Who {
        Who::Authorization(self.authorization(number))
    }

    /// Moves the clock and lets everybody who woke get on.
    async fn advance(&self, by: Duration) {
        self.hand.advance(by);
        quiet().await;
    }

    /// Asks now or never.
    async fn ask(&self, account: AccountKey, caller: usize) -> Result<Admission, Rejection> {
        admit(&self.budget, call(account, self.caller(caller), Duration::ZERO)).await
    }

    async fn ask_for(
        &self,
        class: Class,
        account: AccountKey,
        caller: usize,
    ) -> Result<Admission, Rejection> {
        let call = Call { class, ..call(account, self.caller(caller), Duration::ZERO) };
        admit(&self.budget, call).await
    }

    /// Spends what one caller may of a second.
    async fn exhaust(&self, account: AccountKey, caller: usize) {
        while self.ask(account, caller).await.is_ok() {}
    }

    /// Sends a call off to wait.
    async fn wait(&self, call: Call) -> tokio::task::JoinHandle<Result<Admission, Rejection>> {
        let waiting = tokio::spawn(admit(&self.budget, call));
        quiet().await;
        waiting
    }

    fn used(&self, account: AccountKey) -> (u32, u32) {
        let usage = self.budget.usage(account, self.clock.now());
        (usage.second, usage.minute)
    }
}

/// Lets every task run until it waits. A wake passes from a timer to the budget's task, to who may go or must connect, and
/// back to the task: four hops, each of them one turn of the runtime.
async fn quiet() {
    for _ in 0..6 {
        tokio::task::yield_now().await;
    }
}

/// Most sends in any half-open stretch of `length`; `sends` are in order.
fn densest(sends: &[Duration], length: Duration) -> usize {
    let mut from = 0;
    let mut most = 0;
    for (index, at) in sends.iter().enumerate() {
        while sends[from] + length <= *at {
            from += 1;
        }
        most = most.max(index + 1 - from);
    }
    most
}

#[tokio::test]
async fn what_fits_goes_at_once() {
    let world = World::new(&rules());
    let admission = world.ask(organization(1), 1).await.unwrap();
    assert_eq!((admission.waited, admission.probe.is_none()), (Duration::ZERO, true));
    assert_eq!(world.used(organization(1)), (1, 1));
}

#[tokio::test]
async fn a_little_is_kept_for_callers_that_had_none() {
    let world = World::new(&rules());
    world.exhaust(organization(1), 1).await;
    assert_eq!(world.used(organization(1)).0, 87);
    for newcomer in 2..5 {
        assert!(world.ask(organization(1), newcomer).await.is_ok());
        assert!(world.ask(organization(1), newcomer).await.is_err());
    }
    assert!(world.ask(organization(1), 6).await.is_err());
}

#[tokio::test]
async fn who_will_not_wait_is_told_the_truth_at_once() {
    let world = World::new(&rules());
    for step in 0..60 {
        world.exhaust(organization(1), 1).await;
        let rejection = world.ask(organization(1), 1).await.unwrap_err();
        assert_eq!(rejection.reason, Reason::Budget);
        world.hand.advance(rejection.retry_after.saturating_sub(ms(1)));
        let early = world.ask(organization(1), 1).await;
        assert!(early.is_err() || rejection.retry_after <= ms(1), "step {step}");
        world.hand.advance(ms(1));
        assert!(world.ask(organization(1), 1).await.is_ok(), "step {step}");
    }
}

#[tokio::test]
async fn the_minute_is_kept_where_the_second_would_allow_more() {
    let world = World::new(&ShieldRules { requests_per_minute: NonZeroU32::new(100).unwrap(), ..rules() });
    for _ in 0..2 {
        world.exhaust(organization(1), 1).await;
        world.advance(WINDOW).await;
    }
    let rejection = world.ask(organization(1), 2).await.unwrap_err();
    assert_eq!(rejection.retry_after, ms(61_005) - 2 * WINDOW, "87 went in second 0, which leaves at 61");
    world.advance(ms(61_004) - 2 * WINDOW).await;
    assert!(world.ask(organization(1), 2).await.is_err());
    world.advance(ms(1)).await;
    assert!(world.ask(organization(1), 2).await.is_ok());
}

#[tokio::test]
async fn one_account_spends_nothing_of_another() {
    let world = World::new(&rules());
    world.exhaust(organization(1), 1).await;
    let waiting = world.wait(call(organization(1), world.caller(1), 2 * WINDOW)).await;
    for other in [organization(2), AccountKey::Authorization(world.authorization(1)), AccountKey::Everybody] {
        assert_eq!(world.ask(other, 1).await.unwrap().waited, Duration::ZERO);
    }
    assert!(!waiting.is_finished());
}

#[tokio::test]
async fn with_one_workspace_all_callers_spend_together() {
    let world = World::new(&ShieldRules { single_workspace: true, ..rules() });
    world.exhaust(organization(1), 1).await;
    assert!(world.ask(AccountKey::Authorization(world.authorization(1)), 1).await.is_err());
    assert_eq!(world.used(AccountKey::Everybody).0, 87);
}

#[tokio::test]
async fn an_acting_call_takes_from_both_accounts_or_from_neither() {
    let world = World::new(&rules());
    let (workspace, own) = (organization(1), organization(2));
    let acting = |max_wait| Call {
        accounts: Accounts::acting(workspace, own),
        ..call(workspace, world.caller(1), max_wait)
    };
    assert!(admit(&world.budget, acting(Duration::ZERO)).await.is_ok());
    assert_eq!((world.used(workspace), world.used(own)), ((1, 1), (1, 1)));
    world.advance(ms(500)).await;
    for caller in 2..92 {
        let _ = world.ask(own, caller).await;
    }
    assert!(admit(&world.budget, acting(Duration::ZERO)).await.is_err());
    assert_eq!(world.used(workspace), (1, 1));
    let waiting = world.wait(acting(2 * WINDOW)).await;
    world.advance(ms(400)).await;
    assert!(!waiting.is_finished());
    assert!(world.ask(workspace, 2).await.is_ok(), "what waits for another account holds up nobody here");
    world.advance(WINDOW - ms(900)).await;
    assert!(waiting.is_finished(), "its own first call has left, and a little is kept for who had none");
    assert_eq!(waiting.await.unwrap().unwrap().waited, WINDOW - ms(500));
}

#[tokio::test]
async fn the_same_account_twice_is_charged_once() {
    let world = World::new(&rules());
    let accounts = Accounts::acting(organization(1), organization(1));
    let call = Call { accounts, ..call(organization(1), world.caller(1), Duration::ZERO) };
    assert!(admit(&world.budget, call).await.is_ok());
    assert_eq!(world.used(organization(1)), (1, 1));
}

#[tokio::test]
async fn a_binding_merges_what_both_spent_and_who_waits() {
    let world = World::new(&rules());
    let unbound = AccountKey::Authorization(world.authorization(1));
    for _ in 0..50 {
        assert!(world.ask(organization(1), 2).await.is_ok());
    }
    world.exhaust(unbound, 1).await;
    let waiting = world.wait(call(unbound, world.caller(1), 2 * WINDOW)).await;
    world.advance(ms(100)).await;
    world.budget.merge(unbound, organization(1));
    assert_eq!(world.used(organization(1)), (137, 137));
    assert_eq!(world.used(unbound), (0, 0));
    assert!(world.ask(organization(1), 3).await.is_err());
    world.advance(WINDOW - ms(101)).await;
    assert!(!waiting.is_finished());
    world.advance(ms(1)).await;
    assert_eq!(waiting.await.unwrap().unwrap().waited, WINDOW);
}

#[tokio::test]
async fn background_work_goes_from_spare_budget_alone() {
    let world = World::new(&ShieldRules { requests_per_minute: NonZeroU32::new(100).unwrap(), ..rules() });
    let key = organization(1);
    for _ in 0..79 {
        assert!(world.ask(key, 1).await.is_ok());
    }
    world.advance(2 * WINDOW).await;
    assert!(world.budget.spare(key, world.clock.now()));
    assert!(world.ask_for(Class::Background, key, 1).await.is_ok());
    assert!(!world.budget.spare(key, world.clock.now()));
    let rejection = world.ask_for(Class::Background, key, 1).await.unwrap_err();
    assert_eq!((rejection.reason, rejection.retry_after), (Reason::NoSpare, ms(61_005) - 2 * WINDOW));
    assert!(world.ask(key, 1).await.is_ok(), "a fifth is left for callers");
}

#[tokio::test]
async fn background_work_goes_when_nobody_waits() {
    let world = World::new(&rules());
    let key = organization(1);
    world.exhaust(key, 1).await;
    let waiting = world.wait(call(key, world.caller(1), 2 * WINDOW)).await;
    assert_eq!(world.ask_for(Class::Background, key, 2).await.unwrap_err().reason, Reason::NoSpare);
    assert!(world.budget.is_short(key, world.clock.now()));
    world.advance(WINDOW).await;
    assert!(waiting.await.unwrap().is_ok());
    assert!(!world.budget.is_short(key, world.clock.now()));
    assert!(world.ask_for(Class::Background, key, 2).await.is_ok());
}

#[tokio::test]
async fn idle_accounts_go_and_busy_ones_stay() {
    let world = World::new(&rules());
    for account in [organization(1), organization(2)] {
        assert!(world.ask(account, 1).await.is_ok());
    }
    world.hand.advance(ms(599_000));
    assert!(world.ask(organization(2), 1).await.is_ok());
    world.budget.tidy(world.clock.now());
    assert_eq!(world.budget.snapshot(0, world.clock.now()).others, 2);
    world.hand.advance(ms(10_000));
    world.budget.tidy(world.clock.now());
    let snapshot = world.budget.snapshot(10, world.clock.now());
    let kept: Vec<_> = snapshot.busiest.iter().map(|usage| usage.account).collect();
    assert_eq!(kept, [organization(2)]);
}

#[tokio::test]
async fn callers_without_a_binding_cannot_grow_the_table() {
    let world = World::new(&rules());
    for number in 0..MAX_UNBOUND + 50 {
        let key = AccountKey::Authorization(world.authorization(number));
        assert!(world.ask(key, number).await.is_ok());
    }
    let snapshot = world.budget.snapshot(1, world.clock.now());
    assert_eq!(snapshot.busiest[0].account, AccountKey::Everybody);
    assert_eq!(snapshot.busiest[0].minute, 50);
    assert_eq!(snapshot.others, MAX_UNBOUND);
    assert!(world.ask(organization(1), 1).await.is_ok());
    assert_eq!(world.used(organization(1)), (1, 1));
}

#[tokio::test]
async fn raised_limits_hold_at_once_for_who_waits() {
    let world = World::new(&rules());
    world.exhaust(organization(1), 1).await;
    let waiting = world.wait(call(organization(1), world.caller(1), 2 * WINDOW)).await;
    assert!(!waiting.is_finished());
    world.budget.set_rules(&ShieldRules { requests_per_second: NonZeroU32::new(200).unwrap(), ..rules() });
    quiet().await;
    assert!(waiting.await.unwrap().is_ok());
}

#[tokio::test]
async fn the_fullest_account_is_what_the_ratio_tells() {
    let world = World::new(&rules());
    for _ in 0..45 {
        assert!(world.ask(organization(1), 1).await.is_ok());
    }
    let ratio = world.budget.used_ratio(world.clock.now());
    assert_eq!(ratio, UsedRatio { second: 0.5, minute: 45.0 / 5400.0 });
}
