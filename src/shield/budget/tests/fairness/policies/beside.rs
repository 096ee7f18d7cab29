//! Traffic beside the proxy: what lowering an account buys, beside direct calls that use part of the same limit.

use std::collections::VecDeque;

use super::*;
use crate::shield::backoff::HoldBackoff;
use crate::shield::beside::Beside;

/// How long the upstream takes to answer.
const ANSWERS_IN: Duration = ms(50);

/// An upstream as the vendor's documents say: 100 calls in any second, from whoever they come. What it refuses takes nothing.
#[derive(Default)]
struct Upstream {
    let_in: VecDeque<Duration>,
    refused: usize,
    served: usize,
}

impl Upstream {
    fn lets_in(&mut self, now: Duration) -> bool {
        while self.let_in.front().is_some_and(|at| *at + SECOND <= now) {
            self.let_in.pop_front();
        }
        let lets_in = self.let_in.len() < 100;
        if lets_in {
            self.let_in.push_back(now);
        }
        lets_in
    }
}

/// Sends one call off and does with its answer what `origin/send` does.
fn send(world: &World, caller: usize, upstream: &Arc<Mutex<Upstream>>, backoff: &Arc<Mutex<HoldBackoff>>) {
    let wanted = Call { ahead: ms(20), ..call(key(), world.caller(caller), 2 * WINDOW) };
    let (admitted, clock, budget) = (admit(&world.budget, wanted), world.clock.clone(), world.budget.clone());
    let (upstream, backoff) = (Arc::clone(upstream), Arc::clone(backoff));
    tokio::spawn(async move {
        let Ok(admission) = admitted.await else { return };
        let sent = clock.now();
        let served = upstream.lock().unwrap().lets_in(sent.uptime());
        clock.sleep(ANSWERS_IN).await;
        let now = clock.now();
        if served {
            upstream.lock().unwrap().served += 1;
            backoff.lock().unwrap().on_success(sent);
            if let Some(probe) = admission.probe {
                probe.passed();
            }
        } else {
            upstream.lock().unwrap().refused += 1;
            budget.limited(&admission, now);
            let wait = backoff.lock().unwrap().on_limited(sent, None, now);
            budget.close_until(key(), now.plus(wait));
        }
    });
}

/// What becomes of the calls of four callers, at twice the limit together, in three minutes beside 40 direct calls a second.
async fn measure(policy: Policy) -> (usize, usize) {
    let world = default_world();
    let upstream: Arc<Mutex<Upstream>> = Arc::default();
    let backoff = Arc::default();
    for step in 0..3 * 60_000_usize {
        policy.undo(&world, |account| account.restraint.beside = Beside::default());
        let now = world.clock.now().uptime();
        if step % 25 == 0 {
            upstream.lock().unwrap().lets_in(now);
        }
        if step % 6 == 0 {
            send(&world, step / 6 % 4, &upstream, &backoff);
        }
        world.advance(ms(1)).await;
    }
    let upstream = upstream.lock().unwrap();
    (upstream.refused, upstream.served)
}

#[tokio::test]
async fn an_account_is_lowered_beside_others_that_spend_from_its_limit() {
    let (with, without) = (measure(Policy::With).await, measure(Policy::Without).await);
    let refused = figures("beside, 429s of the API in 3 min", with.0 as f64, without.0 as f64);
    let served = figures("beside, calls served in 3 min", with.1 as f64, without.1 as f64);
    assert!(refused.with * 4.0 < refused.without);
    assert!(served.with > served.without);
}
