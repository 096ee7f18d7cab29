//! Callers that are told apart by more than their keys: turns by caller, weights, caps, and what others leave.

use super::*;
use crate::config::Mode;
use crate::shield::share::Urgency;
use crate::shield::shares::MAX_SHARES;

const KEY: fn() -> AccountKey = || organization(1);

/// A call of a caller with the key of all others.
fn share(caller: u64) -> Share {
    Share { caller: Some(caller), ..Share::default() }
}

fn positive(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

impl World {
    async fn ask_as(&self, share: Share) -> Result<Admission, Rejection> {
        admit(&self.budget, Call { share, ..call(KEY(), self.caller(0), Duration::ZERO) }).await
    }

    /// Runs offers of callers on one key: of each what was sent.
    async fn run_on_one_key(&self, offers: &[Offer], length: Duration) -> Vec<Sent> {
        self.run(KEY(), offers, length).await
    }
}

/// An offer with the key of the first, of a caller that is told by its share.
fn offers(of: &[(u64, f64, Share)]) -> Vec<Offer> {
    let offer = |(caller, per_second, share): &(u64, f64, Share)| Offer {
        share: Share { caller: Some(*caller), ..*share },
        one_key: true,
        ..Offer::new(usize::try_from(*caller).unwrap(), *per_second, 2 * WINDOW)
    };
    of.iter().map(offer).collect()
}

#[tokio::test]
async fn a_service_with_fifty_times_the_load_holds_up_no_other_on_the_same_key() {
    for each in [2.0, 8.0] {
        let others = [(1, each, share(1)), (2, each, share(2))];
        let alone = World::new(&ShieldRules { burst: Burst::Half, ..rules() });
        let alone = alone.run_on_one_key(&offers(&others), 3 * MINUTE).await;
        let world = World::new(&ShieldRules { burst: Burst::Half, ..rules() });
        let all = [others.as_slice(), &[(0, each * 100.0, share(0))]].concat();
        let sent = world.run_on_one_key(&offers(&all), 3 * MINUTE).await;
        assert_limits_kept(&sent);
        let is_other = |caller| caller != 0;
        let (without, with) = (p99(&alone, is_other), p99(&sent, is_other));
        assert!(with <= without * 2 + ms(50), "{each}/s each: {with:?} against {without:?}");
        let served = sent.iter().filter(|sent| is_other(sent.caller)).count();
        assert!(served + 2 >= alone.len(), "{served} of {}", alone.len());
    }
}

#[tokio::test]
async fn turns_go_by_weight_and_the_budget_is_used() {
    for burst in [Burst::Half, Burst::Whole] {
        turns_go_by_weight(burst).await;
    }
}

async fn turns_go_by_weight(burst: Burst) {
    let world = World::new(&ShieldRules { burst, ..rules() });
    let weighted = |caller, weight| (caller, 200.0, Share { weight: positive(weight), ..share(caller) });
    let offers = offers(&[weighted(1, 1), weighted(2, 2), weighted(4, 4)]);
    let sent = world.run_on_one_key(&offers, 3 * MINUTE).await;
    assert_limits_kept(&sent);
    assert!(sent.len() * 100 > 3 * 5400 * 95, "{} used", sent.len());
    for caller in [1, 2, 4] {
        let had = sent.iter().filter(|sent| sent.caller == caller).count();
        let part = had as f64 * 7.0 / (sent.len() * caller) as f64;
        println!("weight {caller}: {part:.3} of its part");
        assert!((0.95..=1.05).contains(&part), "weight {caller}: {part} of its part");
    }
}

#[tokio::test]
async fn a_capped_caller_is_never_above_its_cap_in_any_minute() {
    let world = World::new(&ShieldRules { burst: Burst::Half, ..rules() });
    let capped = Share { cap: Some(positive(300)), ..share(1) };
    let sent = world.run_on_one_key(&offers(&[(1, 20.0, capped), (2, 20.0, share(2))]), 5 * MINUTE).await;
    let of = |caller| sent.iter().filter(move |sent| sent.caller == caller).map(|sent| sent.at);
    let moments: Vec<Duration> = of(1).collect();
    assert!(densest(&moments, MINUTE) <= 300, "{} in a minute", densest(&moments, MINUTE));
    assert!(moments.len() >= 5 * 300 * 95 / 100, "{} in five minutes", moments.len());
    assert!(of(2).count() >= 5 * 60 * 20 - 2, "the other one had all that it asked for");
    let refused = world.ask_as(capped).await.unwrap_err();
    assert_eq!(refused.reason, Reason::CallerCap);
    assert!(refused.retry_after <= MINUTE + 2 * SECOND);
}

#[tokio::test]
async fn a_cap_that_is_observed_alone_refuses_nothing() {
    let world = World::new(&rules());
    let observed = Share { cap: Some(positive(10)), mode: Mode::Observe, ..share(1) };
    let mut over = 0;
    for _ in 0..30 {
        over += usize::from(world.ask_as(observed).await.unwrap().observed.is_some());
    }
    assert_eq!(over, 20);
}

#[tokio::test]
async fn interactive_callers_are_never_later_for_a_background_one() {
    for (each, other) in [(5.0, 10.0), (30.0, 60.0)] {
        let interactive = [(1, each, share(1)), (2, other, share(2))];
        // A background caller that fills the minute is felt in the next one.
        let length = 2 * MINUTE;
        let alone = World::new(&ShieldRules { burst: Burst::Half, ..rules() });
        let alone = alone.run_on_one_key(&offers(&interactive), length).await;
        let background = Share { urgency: Urgency::Spare, ..share(3) };
        let all = [interactive.as_slice(), &[(3, 100.0, background)]].concat();
        let world = World::new(&ShieldRules { burst: Burst::Half, ..rules() });
        let sent = world.run_on_one_key(&offers(&all), length).await;
        assert_limits_kept(&sent);
        // The first seconds: nobody knows yet what the others will need.
        let settled = |sent: &[Sent], begun: Duration| -> Vec<Duration> {
            let later = sent.iter().filter(|sent| sent.caller != 3 && sent.at > begun + 10 * SECOND);
            later.map(|sent| sent.waited).collect()
        };
        let (alone_from, from) = (alone[0].at, sent[0].at);
        let (without, with) = (settled(&alone, alone_from), settled(&sent, from));
        let longest = |waits: &[Duration]| waits.iter().max().copied().unwrap();
        assert!(with.len() + 2 >= without.len(), "{} of {}", with.len(), without.len());
        assert!(
            longest(&with) <= longest(&without) + ms(2),
            "{each}: {:?}, {:?}",
            longest(&with),
            longest(&without)
        );
        let went = sent.iter().filter(|sent| sent.caller == 3).count();
        println!("{each} and {other} calls a second: {went} calls of the background caller in two minutes");
    }
}

#[tokio::test]
async fn while_limits_are_observed_alone_nobody_waits_and_what_would_have_been_is_told() {
    let world = World::new(&rules());
    world.budget.set_mode(Mode::Observe);
    let (mut waited, mut refused) = (0, 0);
    for _ in 0..400 {
        let admission = world.budget.admit(
            call(KEY(), world.caller(1), WINDOW),
            Some(()),
            std::future::ready(Ok::<_, ()>(())),
            || {},
        );
        match admission.await.unwrap().0.observed {
            Some(Observed::Waits(_)) => waited += 1,
            Some(Observed::Refused(_)) => refused += 1,
            None => {}
        }
    }
    // Of 400 calls at once 87 go in the first second and about as many in the next, the others would have had to wait longer.
    assert!((80..=100).contains(&waited) && (210..=235).contains(&refused), "{waited} {refused}");
    assert_eq!(world.budget.queued(), 0);
}

/// Whoever makes keys up makes callers, each with a cap of its own.
#[tokio::test]
async fn callers_beyond_so_many_have_one_share_and_one_cap_together() {
    let plenty = positive(1_000_000);
    let world =
        World::new(&ShieldRules { requests_per_second: plenty, requests_per_minute: plenty, ..rules() });
    let capped = |caller| Share { cap: Some(positive(3)), ..share(caller) };
    let made_up = MAX_SHARES as u64;
    for caller in 0..made_up {
        assert!(world.ask_as(capped(caller)).await.is_ok());
    }
    let beyond = made_up..made_up + 1000;
    let mut went = 0;
    for caller in beyond {
        went += usize::from(world.ask_as(capped(caller)).await.is_ok());
    }
    assert_eq!((went, world.budget.lock().shares.len()), (3, MAX_SHARES + 1));
    assert!(world.ask_as(capped(0)).await.is_ok(), "who was there before has its own");
    assert!(world.ask_as(share(made_up)).await.is_ok(), "who has no limits has no share to hold");
}
