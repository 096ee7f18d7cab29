//! Traffic beside the proxy: an upstream 429 below our own limit lowers that account for some minutes, and no other.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use instantly_proxy::config::{Burst, Config};

use crate::limits::{assert_goes, both_bound};
use crate::support::labels::{CAMPAIGNS, error, token};
use crate::support::{Answer, Caller, World};

const ALLOWED: &str = "instantly_proxy_shield_budget_allowed_ratio";

fn ten_a_second(config: &mut Config) {
    config.cache.list_fill = false;
    config.shield.requests_per_second = NonZeroU32::new(10).expect("not zero");
    config.shield.burst = Burst::Whole;
}

/// How many calls of a caller go at this moment.
async fn go_now(world: &World, caller: &Caller) -> usize {
    let before = world.upstream.count();
    while caller.get(CAMPAIGNS).field("prefer", "wait=0").send().await.status == 200 {}
    world.upstream.count() - before
}

#[tokio::test]
async fn who_is_refused_below_its_limit_has_half_of_it_and_gets_the_rest_back_a_tenth_a_minute() {
    let world = World::start_shielded_with(ten_a_second);
    let (a, b) = both_bound(&world, ("a", 1), ("b", 1)).await;
    let key_of_a = format!("Bearer {}", token("a", 1));
    let refused_once = AtomicBool::new(false);
    world.upstream.script(move |request| {
        let first = request.field("authorization") == Some(key_of_a.as_str())
            && !refused_once.swap(true, Ordering::SeqCst);
        first.then(|| Answer::json(429, error(429, "slow down")).field("retry-after", "1"))
    });
    assert_eq!(world.proxy.metric(ALLOWED, &[]).await.to_string(), "1");
    a.get(CAMPAIGNS).send().await.assert_refused_upstream(429);
    assert_eq!(world.proxy.metric(ALLOWED, &[]).await.to_string(), "0.5");

    world.proxy.advance(Duration::from_millis(1006));
    assert_eq!((go_now(&world, &a).await, go_now(&world, &b).await), (5, 10));
    for (minute, calls) in [(1, 6), (2, 7), (3, 8), (4, 9), (5, 10)] {
        world.proxy.advance_seconds(60);
        assert_eq!(go_now(&world, &a).await, calls, "after {minute} minutes");
    }
    assert_eq!(world.proxy.metric(ALLOWED, &[]).await.to_string(), "1");
    world.proxy.advance_seconds(2);
    assert_goes(&a).await;
}

/// A full account may have sent its calls so that they met on the way: that says nothing of others.
#[tokio::test]
async fn who_is_refused_with_its_limit_spent_keeps_all_of_it() {
    let world = World::start_shielded_with(ten_a_second);
    let (a, _) = both_bound(&world, ("a", 1), ("b", 1)).await;
    let calls = AtomicUsize::new(0);
    world.upstream.script(move |_| {
        let tenth = calls.fetch_add(1, Ordering::SeqCst) == 9;
        tenth.then(|| Answer::json(429, error(429, "slow down")).field("retry-after", "1"))
    });
    for _ in 0..9 {
        assert_goes(&a).await;
    }
    a.get(CAMPAIGNS).send().await.assert_refused_upstream(429);
    assert_eq!(world.proxy.metric(ALLOWED, &[]).await.to_string(), "1");
}
