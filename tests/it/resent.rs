//! Calls that the upstream certainly did not process, or reads whose connection it was closing, go once more on another
//! connection: nothing that the first try held may stand in the way of the second.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::labels::{CAMPAIGNS, error, label_path};
use crate::support::{Answer, World, together};

/// Closes connections that carried a call before without a byte of an answer, where a read of this label comes.
fn close_reused(world: &World, n: u32) -> Arc<AtomicUsize> {
    let (closed, path) = (Arc::new(AtomicUsize::new(0)), label_path(n));
    let (counted, reused) = (Arc::clone(&closed), world.upstream.last().connection);
    world.upstream.script(move |request| {
        (request.target == path && request.connection == reused).then(|| {
            counted.fetch_add(1, Ordering::SeqCst);
            Answer::close()
        })
    });
    closed
}

#[tokio::test]
async fn a_probe_of_the_gate_whose_connection_was_being_closed_is_the_probe_once_more() {
    let world = World::start_shielded_with(|config| config.cache.list_fill = false);
    let caller = world.proven("a", 1).await;
    let limited = Answer::json(429, error(429, "slow down")).field("retry-after", "5");
    world.upstream.reply_to("GET", &label_path(2), limited);
    caller.get(&label_path(2)).send().await.assert_refused_upstream(429);
    world.proxy.advance_seconds(5);
    let closed = close_reused(&world, 3);
    caller.get(&label_path(3)).send().await.assert_label("a-3");
    assert_eq!(closed.load(Ordering::SeqCst), 1, "the connection was used again");
}

#[tokio::test]
async fn a_read_outlives_any_number_of_kept_connections_that_are_closed_under_it() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    let gate = world.upstream.hold(|request| request.target == CAMPAIGNS);
    let calls = tokio::spawn(together(8, move |_| caller.get(CAMPAIGNS).send()));
    gate.held(8).await;
    gate.release();
    for call in calls.await.expect("no panic") {
        call.assert_status(200);
    }
    let used: HashSet<_> = world.upstream.requests().iter().map(|request| request.connection).collect();
    assert!(used.len() >= 8, "all are kept: {}", used.len());
    let closed = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&closed);
    world.upstream.script(move |request| {
        used.contains(&request.connection).then(|| {
            counted.fetch_add(1, Ordering::SeqCst);
            Answer::close()
        })
    });
    world.caller("a", 1).get(CAMPAIGNS).send().await.assert_status(200);
    assert_eq!(closed.load(Ordering::SeqCst), 1, "one is enough to distrust the others");
}
