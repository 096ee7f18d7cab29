use std::net::Ipv4Addr;
use std::pin::Pin;

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::door::{ADDRESSES, KNOWN, KNOWN_FOR};
use super::*;
use crate::caller::credential::Digester;
use crate::clock::ManualClock;
use crate::proving::by_now::by_now;

const MAX_WAIT: Duration = Duration::from_secs(2);

struct World {
    unverified: UnverifiedCallers,
    digester: Digester,
    clock: Clock,
    hand: ManualClock,
}

fn world() -> World {
    let (clock, hand) = Clock::manual();
    World { unverified: UnverifiedCallers::new(clock.clone()), digester: Digester::default(), clock, hand }
}

fn address(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, number))
}

type Waiting<'a> = Pin<Box<dyn Future<Output = Result<Pass, TurnedAway>> + 'a>>;

impl World {
    fn caller(&self, token: usize) -> Who {
        let mut fields = HeaderMap::new();
        fields.insert("authorization", HeaderValue::try_from(format!("Bearer {token}")).unwrap());
        Who::Credential(self.digester.credential(&fields).unwrap().digest())
    }

    /// What a caller that would not wait is told.
    async fn at_once(&self, caller: Who, from: u8) -> Result<Pass, TurnedAway> {
        self.unverified.admit(caller, address(from), Duration::ZERO).await
    }

    fn waiting(&self, caller: Who, from: u8) -> Waiting<'_> {
        Box::pin(self.unverified.admit(caller, address(from), MAX_WAIT))
    }

    /// Passes of as many different unverified callers from one address.
    async fn filled(&self, from: u8, tokens: std::ops::Range<usize>) -> Vec<Pass> {
        let mut passes = Vec::new();
        for token in tokens {
            passes.push(self.at_once(self.caller(token), from).await.unwrap());
        }
        passes
    }

    async fn refused(&self, caller: Who, from: u8) -> Result<(), TurnedAway> {
        self.at_once(caller, from).await.map(|pass| pass.answered(StatusCode::UNAUTHORIZED))
    }
}

fn reason(verdict: &Result<Pass, TurnedAway>) -> Option<Reason> {
    verdict.as_ref().err().map(|away| away.reason)
}

/// T10.
#[tokio::test]
async fn a_stranger_has_eight_calls_in_flight_its_address_half_and_all_together_sixty_four() {
    let world = world();
    let own = world.caller(0);
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(world.at_once(own, 1).await.unwrap());
    }
    assert_eq!(reason(&world.at_once(own, 2).await), Some(Reason::Slots), "its ninth, from wherever");
    held.extend(world.filled(1, 1..25).await);
    assert_eq!(reason(&world.at_once(world.caller(99), 1).await), Some(Reason::Slots), "the address has 32");
    held.extend(world.filled(2, 30..62).await);
    assert_eq!(reason(&world.at_once(world.caller(99), 3).await), Some(Reason::Slots), "all have 64");
    assert_eq!(world.unverified.load(), (64, 0));
    held.clear();
    assert_eq!(world.unverified.load(), (0, 0));
    assert!(world.at_once(own, 1).await.is_ok());
}

#[tokio::test]
async fn an_ipv4_address_is_the_same_in_its_ipv6_form() {
    let world = world();
    let mapped = IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
    let _held = world.filled(1, 0..32).await;
    let verdict = world.unverified.admit(world.caller(99), mapped, Duration::ZERO).await;
    assert_eq!(reason(&verdict), Some(Reason::Slots));
}

#[tokio::test]
async fn any_answer_but_a_401_makes_a_caller_known_for_ten_minutes() {
    for (status, known) in [(200, true), (402, true), (404, true), (429, true), (503, true), (401, false)] {
        let world = world();
        let caller = world.caller(1);
        let pass = world.at_once(caller, 1).await.unwrap();
        assert!(pass.is_unverified());
        pass.answered(StatusCode::from_u16(status).unwrap());
        assert_eq!(world.unverified.is_unverified(caller, world.clock.now()), !known, "{status}");
        world.hand.advance(Duration::from_secs(599));
        world.refused(caller, 1).await.unwrap();
        assert_eq!(world.unverified.is_unverified(caller, world.clock.now()), !known, "a 401 ends nothing");
        world.hand.advance(Duration::from_secs(1));
        assert!(world.unverified.is_unverified(caller, world.clock.now()), "{status}");
    }
}

#[tokio::test]
async fn a_known_caller_is_not_held_up_by_strangers() {
    let world = world();
    let (known, anonymous) = (world.caller(0), Who::Anonymous);
    world.unverified.note_answer(known, StatusCode::OK, world.clock.now());
    world.unverified.note_answer(anonymous, StatusCode::OK, world.clock.now());
    let _held = (world.filled(1, 1..33).await, world.filled(2, 33..65).await);
    for _ in 0..1000 {
        world.refused(known, 1).await.unwrap();
    }
    assert!(!world.at_once(known, 1).await.unwrap().is_unverified());
    assert_eq!(
        reason(&world.at_once(anonymous, 3).await),
        Some(Reason::Slots),
        "nobody vouches for all of them"
    );
}

#[tokio::test]
async fn a_slot_that_comes_free_goes_to_who_waits() {
    let world = world();
    let mut held = world.filled(1, 0..32).await;
    let mut waiting = world.waiting(world.caller(99), 1);
    assert!(by_now(waiting.as_mut()).await.is_none());
    assert_eq!(world.unverified.load(), (32, 1));
    held.pop().unwrap().answered(StatusCode::OK);
    assert!(waiting.await.unwrap().is_unverified());
    assert_eq!(world.unverified.load(), (31, 0));
}

#[tokio::test]
async fn who_waits_in_vain_is_told_so_when_its_patience_ends() {
    let world = world();
    let _held = world.filled(1, 0..32).await;
    let mut waiting = world.waiting(world.caller(99), 1);
    assert!(by_now(waiting.as_mut()).await.is_none());
    world.hand.advance(MAX_WAIT - Duration::from_millis(1));
    assert!(by_now(waiting.as_mut()).await.is_none());
    world.hand.advance(Duration::from_millis(1));
    let away = waiting.await.unwrap_err();
    assert_eq!(away, TurnedAway { reason: Reason::Slots, retry_after: SLOT_RETRY });
    assert_eq!(world.unverified.load(), (32, 0));
}

#[tokio::test]
async fn one_answer_lets_all_waiting_calls_of_a_caller_go() {
    let world = world();
    let caller = world.caller(0);
    let first = world.at_once(caller, 1).await.unwrap();
    let mut others: Vec<_> = (0..100).map(|_| world.waiting(caller, 1)).collect();
    let mut held = Vec::new();
    for other in &mut others {
        held.extend(by_now(other.as_mut()).await);
    }
    assert_eq!((held.len(), world.unverified.load()), (7, (8, 93)));
    first.answered(StatusCode::OK);
    for other in others.split_off(7) {
        assert!(!other.await.unwrap().is_unverified());
    }
}

#[tokio::test]
async fn a_slot_given_to_a_call_that_has_just_left_is_free_again() {
    let world = world();
    let mut held = world.filled(1, 0..32).await;
    let (mut leaves, mut stays) = (world.waiting(world.caller(98), 1), world.waiting(world.caller(99), 1));
    assert!(by_now(leaves.as_mut()).await.is_none() && by_now(stays.as_mut()).await.is_none());
    drop(held.pop());
    assert_eq!(world.unverified.load(), (32, 1), "given to the first");
    drop(leaves);
    assert!(
        by_now(stays.as_mut()).await.is_some_and(|verdict| verdict.is_ok()),
        "and from there to the next"
    );
    assert_eq!(world.unverified.load(), (31, 0));
}

#[tokio::test]
async fn an_address_that_waits_in_great_number_does_not_get_in_first() {
    let world = world();
    let mut held = world.filled(1, 0..32).await;
    held.extend(world.filled(2, 32..64).await);
    let mut crowd: Vec<_> = (100..150).map(|token| world.waiting(world.caller(token), 1)).collect();
    for waiting in &mut crowd {
        assert!(by_now(waiting.as_mut()).await.is_none());
    }
    let mut single = world.waiting(world.caller(99), 3);
    assert!(by_now(single.as_mut()).await.is_none());
    held.pop();
    assert!(by_now(single.as_mut()).await.is_some_and(|verdict| verdict.is_ok()));
}

#[tokio::test]
async fn no_more_wait_than_a_thousand_and_half_of_them_from_one_address() {
    let world = world();
    let _held = (world.filled(1, 0..32).await, world.filled(2, 32..64).await);
    let mut crowd = Vec::new();
    for (from, expected) in [(1, 500), (2, 500), (3, 0)] {
        for token in 0..=expected {
            let mut waiting = world.waiting(world.caller(token), from);
            let verdict = by_now(waiting.as_mut()).await;
            assert_eq!(verdict.is_none(), token < expected, "call {token} from {from}");
            crowd.push(waiting);
        }
    }
    assert_eq!(world.unverified.load(), (64, 1000));
    crowd.clear();
    assert_eq!(world.unverified.load(), (64, 0));
}

/// T10: fifty refusals at once and five a second, half of it for one address.
#[tokio::test]
async fn refusals_are_rationed_and_the_time_to_come_back_is_honest() {
    let world = world();
    let garbage = world.caller(1);
    for _ in 0..25 {
        world.refused(garbage, 1).await.unwrap();
    }
    let away = world.at_once(garbage, 1).await.unwrap_err();
    assert_eq!(away, TurnedAway { reason: Reason::Refusals, retry_after: Duration::from_millis(400) });
    for _ in 0..25 {
        world.refused(garbage, 2).await.unwrap();
    }
    let away = world.at_once(world.caller(2), 3).await.unwrap_err();
    assert_eq!(away, TurnedAway { reason: Reason::Refusals, retry_after: Duration::from_millis(200) });
    world.hand.advance(Duration::from_millis(199));
    assert_eq!(reason(&world.at_once(world.caller(2), 3).await), Some(Reason::Refusals));
    world.hand.advance(Duration::from_millis(1));
    assert!(world.at_once(world.caller(2), 3).await.is_ok());
}

#[tokio::test]
async fn who_waits_when_the_ration_is_out_is_told_at_once() {
    let world = world();
    for _ in 0..24 {
        world.refused(world.caller(0), 1).await.unwrap();
    }
    let mut held = world.filled(1, 0..32).await;
    let mut waiting = world.waiting(world.caller(99), 1);
    assert!(by_now(waiting.as_mut()).await.is_none());
    held.pop().unwrap().answered(StatusCode::UNAUTHORIZED);
    assert_eq!(reason(&waiting.await), Some(Reason::Refusals));
}

/// T10: everybody guesses, from everywhere, for three minutes.
#[tokio::test]
async fn a_flood_of_garbage_costs_the_upstream_five_refusals_a_second() {
    let world = world();
    let (mut all, mut of_one) = (0, 0);
    for token in 0..18_000 {
        let from = u8::try_from(token % 4).unwrap();
        if world.refused(world.caller(token), from).await.is_ok() {
            all += 1;
            of_one += usize::from(from == 1);
        }
        world.hand.advance(Duration::from_millis(10));
    }
    assert!((5 * 180..=50 + 5 * 180).contains(&all), "{all}");
    assert!(of_one <= 25 + 180 * 5 / 2, "{of_one}");
}

/// Honest callers do not starve when the proxy has just started: only refusals are rationed.
#[tokio::test]
async fn a_thousand_honest_keys_get_in_at_once() {
    let world = world();
    for token in 0..1000 {
        world.at_once(world.caller(token), 1).await.unwrap().answered(StatusCode::OK);
    }
    assert_eq!(world.unverified.load(), (0, 0));
}

/// Steps in which callers come, are answered, leave and have waited enough, in any order.
#[test]
fn who_is_known_and_whose_refusals_are_told_apart_is_bounded_and_goes_by_time() {
    let world = world();
    for number in 0..KNOWN.get() + 10 {
        world.unverified.note_answer(world.caller(number), StatusCode::OK, world.clock.now());
    }
    for number in 0..ADDRESSES.get() + 10 {
        let address = IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(number).unwrap()));
        world.unverified.lock().note_refusal(address, world.clock.now());
    }
    assert_eq!(world.unverified.lock().remembered(), (KNOWN.get(), ADDRESSES.get()));
    world.hand.advance(Duration::from_secs(10));
    world.unverified.tidy(world.clock.now());
    assert_eq!(world.unverified.lock().remembered(), (KNOWN.get(), 0));
    world.hand.advance(KNOWN_FOR);
    world.unverified.tidy(world.clock.now());
    assert_eq!(world.unverified.lock().remembered(), (0, 0));
}

async fn interleave(seed: u64) -> Result<(), TestCaseError> {
    let world = world();
    let mut script = fastrand::Rng::with_seed(seed);
    let (mut held, mut waiting) = (Vec::new(), Vec::new());
    for step in 0..400 {
        match script.u8(0..10) {
            0..5 => {
                let (caller, from) = (world.caller(script.usize(0..12)), script.u8(0..3));
                waiting.push(world.waiting(caller, from));
            }
            5..8 if !held.is_empty() => {
                let pass: Pass = held.swap_remove(script.usize(0..held.len()));
                match script.u8(0..10) {
                    0..7 => pass.answered(StatusCode::UNAUTHORIZED),
                    7 => pass.answered(StatusCode::OK),
                    _ => drop(pass),
                }
            }
            8 if !waiting.is_empty() => drop(waiting.swap_remove(script.usize(0..waiting.len()))),
            _ => world.hand.advance(Duration::from_millis(script.u64(0..3000))),
        }
        let mut still = Vec::new();
        for mut call in waiting {
            match by_now(call.as_mut()).await {
                None => still.push(call),
                Some(Ok(pass)) => held.push(pass),
                Some(Err(away)) => prop_assert!(!away.retry_after.is_zero(), "seed {seed} step {step}"),
            }
        }
        waiting = still;
        let slots: Vec<&Slot> = held
            .iter()
            .filter_map(|pass| match &pass.held {
                Held::Slot(slot) => Some(slot),
                Held::Nothing | Held::Beyond => None,
            })
            .collect();
        prop_assert_eq!(world.unverified.load(), (slots.len(), waiting.len()), "seed {} step {}", seed, step);
        for slot in &slots {
            let of = |same: &dyn Fn(&Slot) -> bool| slots.iter().filter(|other| same(other)).count();
            prop_assert!(of(&|other| other.caller == slot.caller) <= 8, "seed {seed} step {step}");
            prop_assert!(of(&|other| other.address == slot.address) <= 32, "seed {seed} step {step}");
        }
    }
    world.hand.advance(Duration::from_secs(60));
    held.clear();
    waiting.clear();
    prop_assert_eq!(world.unverified.load(), (0, 0), "seed {}", seed);
    prop_assert!(world.unverified.lock().is_empty(), "seed {seed}: a count was left behind");
    Ok(())
}

proptest! {
    #[test]
    fn no_interleaving_exceeds_a_limit_or_loses_a_slot(seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(interleave(seed))?;
    }
}

/// What is observed alone is judged as if it held: a caller that would have been turned away spends nothing at the door.
#[tokio::test]
async fn a_day_of_observed_refusals_leaves_no_debt_to_who_comes_when_limits_hold() {
    let world = world();
    let mut turned_away = 0;
    for number in 0..10_000 {
        let (pass, verdict) = world.unverified.admit_observed(world.caller(number % 50), address(1));
        assert!(pass.is_unverified());
        turned_away += usize::from(verdict.is_err());
        pass.answered(StatusCode::UNAUTHORIZED);
    }
    assert!((9_900..10_000).contains(&turned_away), "{turned_away}");
    assert_eq!(world.unverified.load(), (0, 0));
    assert!(world.at_once(world.caller(70_000), 1).await.is_err(), "that address has had its part");
    world.hand.advance(Duration::from_secs(10));
    for (caller, from) in [(80_000, 2), (80_001, 1)] {
        let pass = world.at_once(world.caller(caller), from).await;
        assert!(pass.is_ok(), "{pass:?}");
    }
}
