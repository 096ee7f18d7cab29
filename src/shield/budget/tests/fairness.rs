//! Load: the limits kept, the budget used, and nobody held up by somebody else's calls.

mod policies;
mod shares;

use std::sync::{Arc, Mutex};

use super::*;

#[derive(Clone, Copy)]
pub(super) struct Sent {
    pub(super) at: Duration,
    pub(super) caller: usize,
    pub(super) waited: Duration,
}

/// Calls that one caller offers, evenly spread.
#[derive(Clone, Copy)]
pub(super) struct Offer {
    caller: usize,
    pub(super) every: Duration,
    class: Class,
    max_wait: Duration,
    share: Share,
    /// Whether its calls have the key of all others.
    one_key: bool,
}

impl Offer {
    pub(super) fn new(caller: usize, per_second: f64, max_wait: Duration) -> Self {
        Self {
            caller,
            every: SECOND.div_f64(per_second),
            class: Class::Interactive,
            max_wait,
            share: Share::default(),
            one_key: false,
        }
    }
}

impl World {
    /// Runs offers for one account and answers what was sent, in order.
    async fn run(&self, account: AccountKey, offers: &[Offer], length: Duration) -> Vec<Sent> {
        self.run_with(account, offers, length, |_| {}).await
    }

    /// The same, where something happens before every step of the clock.
    async fn run_with(
        &self,
        account: AccountKey,
        offers: &[Offer],
        length: Duration,
        before_each_step: impl Fn(&Self),
    ) -> Vec<Sent> {
        const STEP: Duration = ms(1);
        let sent = Arc::new(Mutex::new(Vec::new()));
        let phase =
            |(offer, index): (&Offer, u32)| offer.every * index / u32::try_from(offers.len()).unwrap();
        let mut due: Vec<Duration> = offers.iter().zip(0..).map(phase).collect();
        let begun = self.clock.now();
        while self.clock.now().since(begun) < length {
            before_each_step(self);
            for (offer, due) in offers.iter().zip(&mut due) {
                while *due <= self.clock.now().since(begun) {
                    *due += offer.every;
                    self.offer(account, offer, &sent);
                }
            }
            self.advance(STEP).await;
        }
        let sent = sent.lock().unwrap();
        sent.clone()
    }

    /// Sends one call off, which notes when it goes.
    pub(super) fn offer(&self, account: AccountKey, offer: &Offer, sent: &Arc<Mutex<Vec<Sent>>>) {
        let call = Call {
            class: offer.class,
            ahead: ms(20),
            share: offer.share,
            ..call(account, self.caller(if offer.one_key { 0 } else { offer.caller }), offer.max_wait)
        };
        let (admitted, clock, sent) = (admit(&self.budget, call), self.clock.clone(), Arc::clone(sent));
        let caller = offer.caller;
        tokio::spawn(async move {
            if let Ok(admission) = admitted.await {
                let at = clock.now().uptime();
                sent.lock().unwrap().push(Sent { at, caller, waited: admission.waited });
            }
        });
    }
}

pub(super) fn assert_limits_kept(sent: &[Sent]) {
    let moments: Vec<Duration> = sent.iter().map(|sent| sent.at).collect();
    assert!(moments.is_sorted());
    assert!(densest(&moments, WINDOW) <= 90, "{} in a second", densest(&moments, WINDOW));
    assert!(densest(&moments, MINUTE) <= 5400, "{} in a minute", densest(&moments, MINUTE));
}

pub(super) fn p99(sent: &[Sent], mut of: impl FnMut(usize) -> bool) -> Duration {
    let mut waits: Vec<Duration> =
        sent.iter().filter(|sent| of(sent.caller)).map(|sent| sent.waited).collect();
    waits.sort();
    waits[waits.len() * 99 / 100]
}

#[tokio::test]
async fn five_times_the_budget_is_offered_and_the_limits_are_kept_and_used() {
    for max_wait in [Duration::ZERO, 2 * WINDOW] {
        let world = World::new(&rules());
        let mut offers: Vec<Offer> = (0..5).map(|caller| Offer::new(caller, 99.0, max_wait)).collect();
        offers
            .extend((0..5).map(|caller| Offer { class: Class::Proof, ..Offer::new(caller, 0.5, max_wait) }));
        offers.push(Offer { class: Class::Background, ..Offer::new(0, 2.5, max_wait) });
        let sent = world.run(organization(1), &offers, 3 * MINUTE).await;
        assert_limits_kept(&sent);
        let used = sent.len();
        assert!(used * 100 > 3 * 5400 * 95, "{used} of {} used, max_wait {max_wait:?}", 3 * 5400);
        let longest = sent.iter().map(|sent| sent.waited).max().unwrap();
        assert!(longest <= max_wait, "{longest:?}");
        let shares: Vec<usize> =
            (0..5).map(|caller| sent.iter().filter(|sent| sent.caller == caller).count()).collect();
        if !max_wait.is_zero() {
            assert!(shares.iter().all(|share| share * 100 > used * 19), "{shares:?}");
        }
    }
}

#[tokio::test]
async fn a_caller_with_fifty_times_the_load_holds_up_nobody_else() {
    const GREEDY: usize = 0;
    for (each, greedy_max_wait) in
        [(0.5, 2 * WINDOW), (2.0, 2 * WINDOW), (8.0, 2 * WINDOW), (2.0, Duration::ZERO)]
    {
        let others: Vec<Offer> = (1..5).map(|caller| Offer::new(caller, each, 2 * WINDOW)).collect();
        let alone = World::new(&rules()).run(organization(1), &others, 3 * MINUTE).await;
        let mut offers = others.clone();
        offers.push(Offer::new(GREEDY, each * 4.0 * 50.0, greedy_max_wait));
        let sent = World::new(&rules()).run(organization(1), &offers, 3 * MINUTE).await;
        assert_limits_kept(&sent);
        let is_other = |caller| caller != GREEDY;
        let (without, with) = (p99(&alone, is_other), p99(&sent, is_other));
        assert!(with <= without * 2 + ms(25), "{each}/s each: {with:?} against {without:?}");
        let served = sent.iter().filter(|sent| is_other(sent.caller)).count();
        assert!(served + 4 >= alone.len(), "{served} of {}", alone.len());
    }
}

#[tokio::test]
async fn a_proof_goes_before_every_call_that_waits() {
    let world = World::new(&rules());
    let key = organization(1);
    for caller in 1..5 {
        assert!(world.ask(key, caller).await.is_ok());
    }
    world.exhaust(key, 1).await;
    let mut calls = Vec::new();
    for _ in 0..20 {
        calls.push(world.wait(call(key, world.caller(2), 2 * WINDOW)).await);
    }
    let proof = Call { class: Class::Proof, ..call(key, world.caller(1), 2 * WINDOW) };
    let proof = world.wait(proof).await;
    while !proof.is_finished() {
        assert!(calls.iter().all(|call| !call.is_finished()));
        world.advance(ms(1)).await;
    }
    assert!(proof.await.unwrap().is_ok());
}

/// Keys whose label reads prove nothing, in loops: each of their reads may be the one that does.
#[tokio::test]
async fn callers_that_never_get_their_proof_hold_up_nobody_else() {
    let proving = |caller| Offer { class: Class::Proof, ..Offer::new(caller, 25.0, 2 * WINDOW) };
    let mut offers: Vec<Offer> = (1..6).map(proving).collect();
    offers.extend((6..9).map(|caller| Offer::new(caller, 5.0, 2 * WINDOW)));
    let sent = World::new(&rules()).run(organization(1), &offers, MINUTE).await;
    assert_limits_kept(&sent);
    let is_other = |caller| caller >= 6;
    let served = sent.iter().filter(|sent| is_other(sent.caller)).count();
    assert!(served >= 3 * 5 * 60 * 99 / 100, "{served}");
    let waited = p99(&sent, is_other);
    assert!(waited <= ms(50), "{waited:?}");
}

#[tokio::test]
async fn a_wait_that_would_not_fit_is_refused_at_once_and_one_that_fits_is_not() {
    let world = World::new(&rules());
    let key = organization(1);
    world.exhaust(key, 1).await;
    let max_wait = ms(1500);
    let mut waiting = Vec::new();
    let refused = loop {
        let next = world.wait(call(key, world.caller(1), max_wait)).await;
        if next.is_finished() {
            break next.await.unwrap().unwrap_err();
        }
        waiting.push(next);
    };
    assert_eq!(refused.reason, Reason::Budget);
    assert!(refused.retry_after > max_wait && refused.retry_after < max_wait + ms(25), "{refused:?}");
    for _ in 0..1500 {
        world.advance(ms(1)).await;
    }
    for waiting in waiting {
        assert!(waiting.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn a_full_queue_turns_away_who_filled_it_and_makes_room_for_others() {
    let world = World::new(&ShieldRules { max_queued: 3, ..rules() });
    let key = organization(1);
    for caller in 2..5 {
        assert!(world.ask(key, caller).await.is_ok());
    }
    world.exhaust(key, 1).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(world.wait(call(key, world.caller(1), 2 * WINDOW)).await);
    }
    let fourth = world.wait(call(key, world.caller(1), 2 * WINDOW)).await;
    assert_eq!(fourth.await.unwrap().unwrap_err().reason, Reason::QueueFull);
    let other = world.wait(call(key, world.caller(2), 2 * WINDOW)).await;
    let displaced = waiting.pop().unwrap();
    assert_eq!(displaced.await.unwrap().unwrap_err().reason, Reason::QueueFull);
    let proof = Call { class: Class::Proof, ..call(key, world.caller(1), 2 * WINDOW) };
    let proof = world.wait(proof).await;
    for _ in 0..20 {
        world.advance(ms(100)).await;
    }
    for waiting in waiting.into_iter().chain([other, proof]) {
        assert!(waiting.await.unwrap().is_ok());
    }
}
