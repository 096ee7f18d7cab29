//! Waiters that leave, at any point.

use proptest::prelude::*;
use tokio::task::JoinHandle;

use super::*;

#[tokio::test]
async fn a_waiter_that_leaves_frees_its_place_and_spends_nothing() {
    let world = World::new(&rules());
    let key = organization(1);
    world.exhaust(key, 1).await;
    let first = world.wait(call(key, world.caller(1), 2 * WINDOW)).await;
    let second = world.wait(call(key, world.caller(1), 2 * WINDOW)).await;
    assert_eq!(world.budget.queued(), 2);
    first.abort();
    quiet().await;
    assert_eq!(world.budget.queued(), 1);
    world.advance(WINDOW).await;
    assert!(second.await.unwrap().is_ok());
    assert_eq!(world.used(key), (1, 88));
}

#[tokio::test]
async fn a_slot_whose_waiter_left_before_it_heard_goes_to_the_next() {
    let world = World::new(&rules());
    let key = organization(1);
    world.exhaust(key, 1).await;
    let first = world.wait(call(key, world.caller(1), 2 * WINDOW)).await;
    // Without yielding: the slot is handed out by this newcomer's dispatch, and nobody has run since.
    world.hand.advance(WINDOW);
    assert!(world.ask(key, 2).await.is_ok());
    assert_eq!(world.used(key).0, 2);
    first.abort();
    quiet().await;
    assert_eq!((world.used(key).0, world.budget.queued()), (1, 0));
}

#[tokio::test]
async fn a_slot_that_is_given_back_goes_to_who_waits_and_its_probe_to_the_next() {
    let world = World::new(&rules());
    let (unbound, key) = (AccountKey::Authorization(world.authorization(1)), organization(1));
    let unsent = world.ask(unbound, 1).await.unwrap();
    world.budget.merge(unbound, key);
    world.exhaust(key, 1).await;
    for newcomer in 2..5 {
        assert!(world.ask(key, newcomer).await.is_ok());
    }
    let waiting = world.wait(call(key, world.caller(6), 2 * WINDOW)).await;
    assert_eq!((world.used(key), waiting.is_finished()), ((90, 90), false));
    world.budget.give_back(unsent);
    quiet().await;
    assert!(waiting.is_finished() && waiting.await.unwrap().is_ok());
    assert_eq!(world.used(key), (90, 90));

    world.budget.close_until(key, world.clock.now().plus(WINDOW));
    world.advance(WINDOW).await;
    let probe = world.ask(key, 1).await.unwrap();
    assert!(world.ask(key, 2).await.is_err());
    world.budget.give_back(probe);
    assert_eq!(world.used(key).0, 0);
    assert!(world.ask(key, 2).await.unwrap().probe.is_some());
}

#[tokio::test]
async fn slots_that_are_given_back_put_nobody_off() {
    let world = World::new(&rules());
    let key = organization(1);
    world.exhaust(key, 1).await;
    world.advance(2 * WINDOW).await;
    assert!(world.ask(key, 1).await.is_ok());
    for _ in 0..500 {
        world.budget.give_back(world.ask(key, 1).await.unwrap());
    }
    // Contended, so that the pace counts.
    world.exhaust(key, 1).await;
    assert_eq!(world.used(key).0, 87);
    let rejection = world.ask(key, 1).await.unwrap_err();
    assert_eq!(rejection.retry_after, WINDOW);
}

#[tokio::test]
async fn patience_that_ends_is_answered_and_leaves_nothing_behind() {
    let world = World::new(&rules());
    let key = organization(1);
    world.exhaust(key, 1).await;
    // It fits when it comes; then proofs go before it for longer than it waits.
    let late = world.wait(call(key, world.caller(1), WINDOW + ms(5))).await;
    let mut proofs = Vec::new();
    for _ in 0..87 {
        let proof = Call { class: Class::Proof, ..call(key, world.caller(1), 5 * WINDOW) };
        proofs.push(world.wait(proof).await);
    }
    world.advance(WINDOW).await;
    world.advance(ms(5)).await;
    let rejection = late.await.unwrap().unwrap_err();
    assert_eq!(rejection.reason, Reason::Budget);
    assert!(rejection.retry_after > Duration::ZERO);
    proofs.into_iter().for_each(|proof| proof.abort());
    quiet().await;
    assert_eq!(world.budget.queued(), 0);
}

#[tokio::test]
async fn who_leaves_lets_those_behind_it_connect_when_their_turn_is_near_then() {
    let world = World::new(&rules());
    let key = organization(1);
    world.exhaust(key, 1).await;
    let patient = call(key, world.caller(1), 3 * WINDOW);
    let mut before = Vec::new();
    for _ in 0..40 {
        before.push(world.wait(patient).await);
    }
    let (told, mut begun) = tokio::sync::oneshot::channel();
    let budget = world.budget.clone();
    let behind = tokio::spawn(async move {
        let connect = async {
            told.send(()).unwrap();
            Ok::<_, std::convert::Infallible>(())
        };
        budget.admit(Call { ahead: ms(50), ..patient }, None, connect, || {}).await.map(|(slot, ())| slot)
    });
    quiet().await;
    world.advance(WINDOW - ms(50)).await;
    assert!(begun.try_recv().is_err(), "forty go before it, one in eleven milliseconds");
    before.into_iter().for_each(|call| call.abort());
    quiet().await;
    world.advance(ms(1)).await;
    assert!(begun.try_recv().is_ok(), "nobody does");
    world.advance(ms(49)).await;
    assert_eq!(behind.await.unwrap().unwrap().waited, WINDOW);
}

#[tokio::test]
async fn the_task_sleeps_while_nobody_waits_and_ends_with_its_budget() {
    let budget = Budget::new(&rules(), Clock::manual().0);
    let task = tokio::spawn(budget.hand_out());
    let call = call(organization(1), Who::Anonymous, Duration::ZERO);
    while admit(&budget, call).await.is_ok() {}
    quiet().await;
    assert_eq!(budget.lock().agenda.next_look(organization(1)), Duration::MAX);
    assert!(!task.is_finished());
    drop(budget);
    quiet().await;
    assert!(task.is_finished());
}

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    Ask {
        account: u8,
        acting: bool,
        caller: u8,
        class: u8,
        max_wait_ms: u16,
    },
    Leave(u8),
    /// Leave in the instant in which the clock has moved and nobody has run.
    AdvanceAndLeave(u16, u8),
    Advance(u16),
    Close(u8, u16),
    Merge(u8),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        12 => (0..3_u8, prop::bool::weighted(0.2), 0..6_u8, 0..8_u8, 0..3000_u16).prop_map(
            |(account, acting, caller, class, max_wait_ms)| Event::Ask { account, acting, caller, class, max_wait_ms }
        ),
        3 => any::<u8>().prop_map(Event::Leave),
        2 => (0..400_u16, any::<u8>()).prop_map(|(by, who)| Event::AdvanceAndLeave(by, who)),
        4 => (0..400_u16).prop_map(Event::Advance),
        1 => (0..3_u8, 0..1500_u16).prop_map(|(account, time)| Event::Close(account, time)),
        1 => (0..3_u8).prop_map(Event::Merge),
    ];
    prop::collection::vec(event, 1..150)
}

struct Waiting {
    task: JoinHandle<Duration>,
    deadline: Duration,
}

async fn run(events: Vec<Event>) {
    let few = ShieldRules {
        requests_per_second: NonZeroU32::new(5).unwrap(),
        requests_per_minute: NonZeroU32::new(60).unwrap(),
        max_queued: 8,
        ..rules()
    };
    let world = World::new(&few);
    let account = |number: u8| match number {
        0 => AccountKey::Authorization(world.authorization(0)),
        number => organization(number.into()),
    };
    let mut waiting: Vec<Waiting> = Vec::new();
    let mut merged = 0_u32;
    for event in events {
        match event {
            Event::Ask { account: number, acting, caller, class, max_wait_ms } => {
                let accounts = match acting {
                    true => Accounts::acting(account(number), account((number + 1) % 3)),
                    false => Accounts::one(account(number)),
                };
                let class = *Class::ALL.get(usize::from(class)).unwrap_or(&Class::Interactive);
                let max_wait = ms(max_wait_ms.into());
                let call = Call {
                    accounts,
                    caller: world.caller(caller.into()),
                    share: Share::default(),
                    class,
                    max_wait,
                    store_waited: Duration::ZERO,
                    ahead: MINUTE,
                };
                let (admitted, clock) = (admit(&world.budget, call), world.clock.clone());
                let deadline = clock.now().uptime() + max_wait;
                let task = tokio::spawn(async move {
                    let admission = admitted.await;
                    if let Ok(Admission { probe: Some(probe), .. }) = admission {
                        probe.passed();
                    }
                    clock.now().uptime()
                });
                waiting.push(Waiting { task, deadline });
                quiet().await;
            }
            Event::Leave(who) if !waiting.is_empty() => {
                let who = usize::from(who) % waiting.len();
                waiting.swap_remove(who).task.abort();
            }
            Event::AdvanceAndLeave(by, who) if !waiting.is_empty() => {
                world.hand.advance(ms(by.into()));
                let who = usize::from(who) % waiting.len();
                waiting.swap_remove(who).task.abort();
                quiet().await;
            }
            Event::Leave(_) | Event::AdvanceAndLeave(..) => {}
            Event::Advance(by) => world.advance(ms(by.into())).await,
            Event::Close(number, time) => {
                world.budget.close_until(account(number), world.clock.now().plus(ms(time.into())));
            }
            Event::Merge(number) => {
                world.budget.merge(account(number), account(2));
                merged += 1;
            }
        }
        // A merge adds what two accounts spent, each within its own limit.
        let most = 5 << merged.min(20);
        assert!([0, 1, 2].map(account).into_iter().all(|key| world.used(key).0 <= most));
    }
    for _ in 0..70 {
        world.advance(ms(50)).await;
    }
    for Waiting { task, deadline } in waiting {
        assert!(task.is_finished(), "forgotten, max_wait until {deadline:?}");
        let ended = task.await.unwrap();
        // One step of the clock is 400 ms at most.
        assert!(ended <= deadline + ms(400), "ended at {ended:?}, max_wait until {deadline:?}");
    }
    assert_eq!(world.budget.queued(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn whoever_comes_leaves_or_closes_nobody_is_forgotten(events in events()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(events));
    }
}
