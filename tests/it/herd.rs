//! Many reads of what nobody has stored, or has stored no longer: the upstream hears of a few (F20).

use std::time::Duration;

use instantly_proxy::config::Config;

use crate::support::labels::{label_path, token};
use crate::support::{TestProxy, World, is_label_read, together};

/// What the vendor allows an organization in a second, at nine tenths.
const A_SECOND: usize = 90;

#[tokio::test]
async fn three_cold_processes_under_load_cost_a_proof_of_each_key_and_a_list_each() {
    const LABELS: u32 = 60;
    const KEYS: usize = 5;
    let replicas = |config: &mut Config| config.shield.replicas = 3.try_into().expect("not zero");
    let world = World::start_by_default_with(replicas);
    for n in 1..=LABELS {
        world.vendor.put_label("a", n, &format!("a-{n}"));
    }
    let more = [(); 2].map(|()| TestProxy::start_by_default(&world.upstream, replicas));
    let processes = [&world.proxy, &more[0], &more[1]];
    let mut callers = Vec::new();
    for key in 1..=KEYS {
        let token = token("a", u32::try_from(key).expect("small"));
        world.vendor.admit(&token, "a");
        callers.extend(processes.map(|process| process.caller(&token).over_http2()));
    }
    // Nobody's time goes by: all of it happens in one second.
    let label = |n: usize| 1 + u32::try_from(n).expect("small") / 15 * 7 % LABELS;
    let replies = together(3000, |n| callers[n % callers.len()].get(&label_path(label(n))).send()).await;
    for (n, reply) in replies.iter().enumerate() {
        reply.assert_label(&format!("a-{}", label(n)));
    }
    let calls = world.upstream.count();
    assert!(calls <= processes.len() * (KEYS + 3), "{calls}");
}

#[tokio::test]
async fn a_full_cache_that_expires_in_one_second_is_refilled_inside_the_limit_and_nobody_waits() {
    const LABELS: u32 = 250;
    let world = World::start_shielded_with(|config| {
        config.proof.max_age = Duration::from_secs(300);
        config.cache.list_fill = false;
    });
    for n in 1..=LABELS {
        world.vendor.put_label("a", n, &format!("a-{n}"));
    }
    let caller = world.caller("a", 1);
    for n in 1..=LABELS {
        caller.get(&label_path(n)).send().await.assert_label(&format!("a-{n}"));
        world.proxy.advance(Duration::from_millis(12));
    }
    // The oldest is 3 s older than the youngest. Whoever has the shortest lifetime there is, 270 s, is stale for less than the 30 s
    // for which that is served in the last second, too, in which the oldest is 300 s old; and all are in their last tenth.
    world.proxy.advance_seconds(293);
    // While a proof is renewed behind the reads, nothing is refreshed.
    caller.get(&label_path(1)).field("cache-control", "no-cache").send().await.assert_label("a-1");
    world.proxy.advance_seconds(1);
    let mut refreshed = 0;
    for second in 0..4 {
        let before = world.upstream.count();
        // In this order, so that the oldest are the ones that the spare budget is spent on.
        for n in 1..=LABELS {
            let reply = caller.get(&label_path(n)).send().await;
            let from_store = reply.assert_label(&format!("a-{n}")).cache_status().starts_with("hit");
            assert!(from_store, "{second}: {reply:?}");
        }
        world.quiet().await;
        let calls = world.upstream.count() - before;
        assert!(calls <= A_SECOND, "{calls} in second {second}");
        refreshed += calls;
        world.proxy.advance_seconds(1);
    }
    assert!(refreshed >= 150, "{refreshed} of {}", world.upstream.count_of(is_label_read));
}
