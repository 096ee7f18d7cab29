//! Five times the budget, of every kind of call at once, counted where it arrives upstream.
//!
//! Time moves in steps, and between two of them whatever was let go arrives: so what arrives in a step was sent in it, or
//! in the one before it where a thread heard late of the time. A window is counted a step short for that.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::limits::Steps;
use crate::support::labels::{CAMPAIGNS, LABELS, label_path};
use crate::support::{Caller, Reply, World, patiently, sum_of_series};

const STEP: Duration = Duration::from_micros(100_500);
const STEPS_A_SECOND: usize = 10;
/// A ninth of the defaults, in both windows.
const A_SECOND: usize = 10;
const A_MINUTE: usize = 600;
const SECONDS: usize = 130;

/// One more call of a caller: of each kind in turn, none of which can be answered from the store or shares a flight.
fn next_call(caller: &Caller, n: usize) -> JoinHandle<Reply> {
    let call = match n % 5 {
        0 => caller.get(CAMPAIGNS),
        1 => caller.post(CAMPAIGNS, "{}"),
        2 => caller.get(&format!("{LABELS}?search={n}")),
        // There is no such label: nothing that is stored is shut out.
        3 => caller.delete(&label_path(77)),
        _ => caller.get(&label_path(3)).field("cookie", "a=b"),
    };
    call.spawn()
}

/// Waits until every call that was let go has arrived upstream and been answered, and all others wait or are answered.
async fn settled(world: &World, offered: usize, done: &AtomicUsize) {
    patiently("what was let go to arrive", async {
        loop {
            let text = world.proxy.metrics_text().await;
            let metric = |name: &str| sum_of_series(&text, name, &[]) as usize;
            let arrived = world.upstream.count();
            let waiting = metric("instantly_proxy_shield_queued");
            if metric("instantly_proxy_shield_wait_seconds_count") == arrived
                && metric("instantly_proxy_upstream_requests_total") == arrived
                && done.load(Ordering::SeqCst) + waiting >= offered
            {
                return;
            }
        }
    })
    .await;
}

/// Most that arrived in so many steps in a row.
fn fullest(arrived: &[usize], steps: usize) -> usize {
    arrived.windows(steps).map(|window| window.iter().sum()).max().unwrap_or_default()
}

#[tokio::test]
async fn five_times_the_budget_of_all_kinds_keeps_both_windows_uses_them_and_harms_no_hit() {
    let world = World::start_shielded_with(|config| {
        let limit = |limit: usize| NonZeroU32::new(u32::try_from(limit).expect("small")).expect("not zero");
        config.cache.list_fill = false;
        config.shield.requests_per_second = limit(A_SECOND);
        config.shield.requests_per_minute = limit(A_MINUTE);
    });
    let steps = Steps::begin(&world).await;
    let mut callers = Vec::new();
    for n in 1..=3 {
        callers.push(world.proven("a", n).await);
    }
    let acting = world.acting_for("a");
    acting.get(&label_path(1)).send().await.assert_label("a-1");
    callers.push(acting);
    let done = Arc::new(AtomicUsize::new(0));
    let (mut offered, mut calls, mut arrived) = (0, Vec::new(), Vec::new());
    for step in 0..SECONDS * STEPS_A_SECOND {
        let before = world.upstream.count();
        world.proxy.advance(STEP);
        for n in step * 5..(step + 1) * 5 {
            let (call, done) = (next_call(&callers[n % callers.len()], n), Arc::clone(&done));
            calls.push(tokio::spawn(async move {
                let reply = call.await.expect("no panic");
                done.fetch_add(1, Ordering::SeqCst);
                reply.status
            }));
            offered += 1;
        }
        callers[step % callers.len()].get(&label_path(1)).send().await.assert_label("a-1").assert_hit();
        for _ in 0..3 {
            steps.pass_workers().await;
        }
        settled(&world, offered, &done).await;
        arrived.push(world.upstream.count() - before);
    }
    let fullest = |seconds| fullest(&arrived, seconds * STEPS_A_SECOND - 1);
    let (second, minute) = (fullest(1), fullest(60));
    assert!(second <= A_SECOND && minute <= A_MINUTE, "{second} in a second, {minute} in a minute");
    let (sent, could): (usize, usize) = (arrived.iter().sum(), SECONDS * A_MINUTE / 60);
    assert!(sent * 100 >= could * 95, "{sent} of {could} were used");

    for call in calls {
        let status = world.proxy.advancing("the call's turn", call).await.expect("no panic");
        assert!(matches!(status, 200 | 404 | 429), "{status}");
    }
}
