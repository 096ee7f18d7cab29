//! What each second-order policy of the budget buys: the figures of the table in `docs/ARCHITECTURE.md`.
//!
//! Each is measured with the policy and without it, which is undone before every step of the clock, over a minute or less that
//! the test moves: the figures are the same on every machine. `cargo test policies -- --nocapture` prints them.

mod beside;

use super::*;
use crate::shield::account::Account;

const LENGTH: Duration = ms(60_000);
const GREEDY: usize = 0;

/// Whether a policy is in force.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Policy {
    With,
    Without,
}

/// One figure, with the policy and without it.
#[derive(Clone, Copy, Debug)]
struct Figures {
    with: f64,
    without: f64,
}

fn figures(what: &str, with: f64, without: f64) -> Figures {
    println!("{what}: {with:.0} with, {without:.0} without");
    Figures { with, without }
}

fn key() -> AccountKey {
    organization(1)
}

/// The limits and the burst that are the default.
fn default_world() -> World {
    World::new(&ShieldRules { burst: Burst::Half, ..rules() })
}

impl Policy {
    /// Does something with the account, unless the policy is in force.
    fn undo(self, world: &World, undo: impl FnOnce(&mut Account)) {
        if self == Self::Without {
            undo(world.budget.lock().account(key(), world.clock.now().uptime()));
        }
    }
}

fn modest(per_second: f64) -> Vec<Offer> {
    (1..5).map(|caller| Offer::new(caller, per_second, 2 * WINDOW)).collect()
}

fn greedy() -> Offer {
    Offer::new(GREEDY, 450.0, 2 * WINDOW)
}

fn millis_p99(sent: &[Sent], of: impl FnMut(usize) -> bool) -> f64 {
    p99(sent, of).as_secs_f64() * 1000.0
}

/// How long four modest callers wait beside one that asks for five times the limit.
#[tokio::test]
async fn the_pace_of_a_large_part_keeps_the_waits_of_others_short() {
    let measure = async |policy: Policy| {
        let world = default_world();
        let offers = [modest(8.0), vec![greedy()]].concat();
        let undo = |world: &World| policy.undo(world, Account::forget_pace);
        let sent = world.run_with(key(), &offers, LENGTH, undo).await;
        millis_p99(&sent, |caller| caller != GREEDY)
    };
    let Figures { with, without } = figures(
        "pace, p99 of others' waits in ms",
        measure(Policy::With).await,
        measure(Policy::Without).await,
    );
    assert!(with * 2.0 < without);
}

/// How long the calls of one caller wait that is alone and sends fifteen at once, four times a second.
#[tokio::test]
async fn a_large_part_that_nobody_else_wants_is_not_paced() {
    let measure = async |policy: Policy| {
        let world = default_world();
        let sent = Arc::default();
        for step in 0..20_000 {
            policy.undo(&world, |account| account.contend(world.clock.now().uptime()));
            for _ in 0..15 * u32::from(step % 250 == 0) {
                world.offer(key(), &greedy(), &sent);
            }
            world.advance(ms(1)).await;
        }
        let sent = sent.lock().unwrap();
        millis_p99(&sent, |_| true)
    };
    let Figures { with, without } = figures(
        "contended_until, p99 of waits in ms",
        measure(Policy::With).await,
        measure(Policy::Without).await,
    );
    assert!(with * 2.0 < without);
}

/// How many of twenty callers that had nothing and would not wait go at once where another uses all that there is.
#[tokio::test]
async fn what_is_kept_for_newcomers_lets_them_go_at_once() {
    let measure = async |policy: Policy| {
        let world = default_world();
        if policy == Policy::Without {
            world.budget.lock().limits.kept = 0;
        }
        let newcomers = (100..120).map(|caller| Offer::new(caller, 1.0 / 60.0, Duration::ZERO));
        let offers: Vec<Offer> = newcomers.chain([greedy()]).collect();
        let sent = world.run(key(), &offers, LENGTH).await;
        let at_once = sent.iter().filter(|sent| sent.caller != GREEDY).count();
        at_once as f64 * 100.0 / 20.0
    };
    let Figures { with, without } = figures(
        "kept, % of newcomers that go at once",
        measure(Policy::With).await,
        measure(Policy::Without).await,
    );
    assert!(with > without + 10.0);
}

/// How long calls wait beside keys that prove nothing and try again and again.
#[tokio::test]
async fn one_proof_a_second_goes_ahead_and_others_do_not_wait_for_more() {
    let measure = async |policy: Policy| {
        let world = default_world();
        let proving = |caller| Offer { class: Class::Proof, ..Offer::new(caller, 25.0, 2 * WINDOW) };
        let offers = [(10..15).map(proving).collect(), modest(5.0)].concat();
        let undo = |world: &World| policy.undo(world, |account| account.second.forget_proofs());
        let sent = world.run_with(key(), &offers, LENGTH, undo).await;
        let served = sent.iter().filter(|sent| sent.caller < 10).count();
        (millis_p99(&sent, |caller| caller < 10), served as f64 * 100.0 / (4.0 * 5.0 * 60.0))
    };
    let (with, without) = (measure(Policy::With).await, measure(Policy::Without).await);
    let waits = figures("proofs once a second, p99 of calls' waits in ms", with.0, without.0);
    let served = figures("proofs once a second, % of calls that go", with.1, without.1);
    assert!(waits.with * 2.0 < waits.without || served.with > served.without + 10.0);
}

/// How many calls of modest callers go where another keeps the queue full. Without the policy a call is turned away where it
/// would have to wait and the queue is full, which is what [`Budget::foresee`] says.
#[tokio::test]
async fn who_fills_the_queue_makes_room_in_it() {
    let measure = async |policy: Policy| {
        let world = World::new(&ShieldRules { burst: Burst::Half, max_queued: 50, ..rules() });
        let sent = Arc::default();
        let mut offered = 0;
        for step in 0..20_000_usize {
            if step % 2 == 0 {
                world.offer(key(), &greedy(), &sent);
            }
            if step % 50 == 25 {
                let offer = Offer::new(1 + step / 50 % 4, 1.0, 2 * WINDOW);
                let wanted = call(key(), world.caller(offer.caller), offer.max_wait);
                offered += 1;
                if policy == Policy::With || world.budget.foresee(&wanted, world.clock.now()).is_ok() {
                    world.offer(key(), &offer, &sent);
                }
            }
            world.advance(ms(1)).await;
        }
        let sent = sent.lock().unwrap();
        sent.iter().filter(|sent| sent.caller != GREEDY).count() as f64 * 100.0 / f64::from(offered)
    };
    let Figures { with, without } = figures(
        "displace, % of others' calls that go",
        measure(Policy::With).await,
        measure(Policy::Without).await,
    );
    assert!(with > without + 10.0);
}

/// How many calls of one organization go in the minute in which its callers get accounts of their own, of a limit of 100.
#[tokio::test]
async fn what_was_spent_together_counts_for_a_minute_after_the_parting() {
    let measure = async |policy: Policy| {
        let few = ShieldRules {
            requests_per_minute: NonZeroU32::new(100).unwrap(),
            single_workspace: true,
            ..rules()
        };
        let world = World::new(&few);
        let mut sent = 0;
        for second in 0..30 {
            if second == 10 {
                world.budget.set_rules(&ShieldRules { single_workspace: false, ..few });
            }
            if policy == Policy::Without {
                world.budget.lock().parting_until = Duration::ZERO;
            }
            while world.ask(key(), 1).await.is_ok() {
                sent += 1;
            }
            world.advance(SECOND).await;
        }
        f64::from(sent)
    };
    let Figures { with, without } = figures(
        "PARTING, calls in a minute of 100",
        measure(Policy::With).await,
        measure(Policy::Without).await,
    );
    assert!(with <= 100.0 && without > 100.0);
}
