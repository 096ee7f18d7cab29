//! Many callers at once: what no answer may be, whichever thread was quicker.

use std::sync::Arc;
use std::time::Duration;

use instantly_proxy::config::Config;

use super::arena::Arena;
use super::ledger::Purged;
use super::parties::{NAMES, targets};
use super::steps::{Placed, Step, Wish};
use crate::support::labels::label_id;
use crate::support::{Kind, together as at_once};

/// Runs one case with these resources: each list of steps is one caller's.
pub(super) async fn run(kinds: &[Kind], callers: Vec<Vec<Placed>>, change: impl FnOnce(&mut Config)) {
    let arenas = Arc::new(Arena::start_mixed(kinds, change));
    let steps = Arc::new(callers);
    let ticking = Arc::clone(&arenas);
    let all = at_once(steps.len(), |caller| {
        let (arenas, steps) = (Arc::clone(&arenas), Arc::clone(&steps));
        async move {
            for (place, step) in &steps[caller] {
                take(&arenas[*place], step).await;
            }
        }
    });
    tokio::select! {
        _ = all => {}
        () = tick(&ticking[0]) => {}
    }
}

/// Lets time pass, in which who waits for a turn gets it: with all callers waiting nobody else moves the clock.
async fn tick(arena: &Arena) {
    loop {
        for _ in 0..10 {
            pause(arena).await;
        }
        arena.advance(Duration::from_millis(100));
    }
}

async fn take(arena: &Arena, step: &Step) {
    match step {
        Step::Read { party, target, wish } => read(arena, (*party, *target), *wish).await,
        Step::HoldRead { party, target } => {
            let asked = targets(arena.kind)[*target].clone();
            let gate = arena.upstream.hold(move |request| request.target == asked);
            tokio::join!(read(arena, (*party, *target), Wish::Plain), async {
                pause(arena).await;
                gate.release();
            });
        }
        Step::Write { party, verb, label, fate } => {
            let (written, outgoing) = arena.writing(*party, *verb, *label, *fate);
            let reply = outgoing.send().await;
            arena.check_write(&written, &reply);
        }
        Step::HoldWrite { party, verb, label, fate } => {
            let (written, outgoing) = arena.writing(*party, *verb, *label, *fate);
            let nonce = written.nonce.clone();
            let gate = arena.upstream.hold(move |request| request.field("x-nonce") == Some(&nonce));
            let (reply, ()) = tokio::join!(outgoing.send(), async {
                pause(arena).await;
                gate.release();
            });
            arena.check_write(&written, &reply);
        }
        Step::Release | Step::Abandon => pause(arena).await,
        Step::Campaigns { party } => drop(arena.call_campaigns(*party).await),
        Step::Edit { name, label } => arena.oracle.edit(arena.kind, NAMES[*name], *label),
        Step::Own { name, grants } => arena.oracle.set_ownership(NAMES[*name], *grants),
        Step::Refuse { party } => {
            arena.oracle.revoke(*party);
            let _ = arena.call_campaigns(*party).await;
            arena.oracle.restore(*party);
        }
        Step::Revoke { party } => arena.oracle.revoke(*party),
        Step::Restore { party } => arena.oracle.restore(*party),
        Step::Deny { party, what } => arena.deny(*party, *what),
        Step::Allow { party } => arena.oracle.allow(*party),
        Step::Health(health) => arena.oracle.set_health(*health),
        Step::Purge { name, label } => {
            let what = match (name, label) {
                (_, Some(label)) => Purged::Label(label_id(*label)),
                (Some(name), None) => Purged::Organization(NAMES[*name]),
                (None, None) => Purged::Everything,
            };
            arena.purge(what, false).await;
        }
        Step::Advance(by) | Step::WallAhead(by) | Step::WallBack(by) => {
            // Whatever is under way may time out by this.
            arena.note_trouble();
            arena.advance((*by).min(Duration::from_secs(3600)));
            arena.note_trouble();
        }
    }
}

async fn read(arena: &Arena, (party, target): (usize, usize), wish: Wish) {
    let (asked, outgoing) = arena.reading(party, &targets(arena.kind)[target], wish);
    let told = outgoing.send().await;
    arena.check_read(&asked, told);
}

/// As long as a few answers take.
async fn pause(arena: &Arena) {
    for _ in 0..3 {
        let _ = arena.proxy.admin_get("/livez").send().await;
    }
}
