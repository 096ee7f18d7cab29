//! What `/api/explain` says of calls that the shield holds up: the first that does, in the order in which it is asked.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::{Value, json};

use crate::explain::{Asked, assert_foretold, explain};
use crate::support::labels::{CAMPAIGNS, label_path, token};
use crate::support::{RawConnection, World};

#[tokio::test]
async fn a_dead_upstream_is_told_before_a_short_budget_and_its_probe_is_foretold() {
    let world = World::start_with(|config| {
        config.shield.requests_per_minute = NonZeroU32::new(5).expect("not zero");
        config.shield.max_wait = Duration::ZERO;
    });
    let caller = world.proven("a", 1).await;
    let told = || explain_of(&world, CAMPAIGNS);
    for _ in 0..4 {
        caller.get(CAMPAIGNS).send().await.assert_status(200);
    }
    assert_eq!(told().await["error"]["kind"], json!("over_budget"));
    world.upstream.break_networking().await;
    let other = world.caller("b", 1);
    while world.proxy.metric("instantly_proxy_breaker_open", &[]).await < 1.0 {
        let _ = other.get(&label_path(1)).send().await;
        world.proxy.advance(Duration::from_millis(100));
    }
    assert_foretold(&world, &token("a", 1), Asked::get(CAMPAIGNS), "unreachable").await;
    world.proxy.advance_seconds(62);
    // Its time has come: one call finds out.
    assert_eq!(told().await["decision"], json!("pass_through"));
}

async fn explain_of(world: &World, target: &str) -> Value {
    explain(world, &token("a", 1), Asked::get(target)).await
}

#[tokio::test]
async fn a_little_that_is_kept_for_newcomers_is_foretold_while_others_wait() {
    let world = World::start_with(|config| {
        config.shield.requests_per_second = NonZeroU32::new(50).expect("not zero");
    });
    let (many, _few) = (world.proven("a", 1).await, world.proven("a", 2).await);
    world.proxy.advance_seconds(2);
    for _ in 0..48 {
        many.get(CAMPAIGNS).send().await.assert_status(200);
    }
    let waiting = many.get(CAMPAIGNS).spawn();
    world.proxy.metric_reaches("instantly_proxy_shield_queued", &[], 1.0).await;
    let wait = &[("prefer", "wait=0")];
    assert_foretold(&world, &token("a", 2), Asked::get(CAMPAIGNS).with(wait), "pass_through").await;
    world.proxy.advance_window();
    waiting.await.expect("no panic").assert_status(200);
}

#[tokio::test]
async fn strangers_are_told_that_too_many_were_refused() {
    let world = World::start();
    for n in 0..50 {
        let source = Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(n % 2).expect("a bit"));
        let mut connection = RawConnection::open_from(source, world.proxy.address()).await;
        let bearer = token("nobody", n);
        let request =
            format!("GET {CAMPAIGNS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bearer}\r\n\r\n");
        connection.send(request).await;
        assert_eq!(connection.read().await.status(), 401);
    }
    assert_foretold(&world, &token("nobody", 50), Asked::get(CAMPAIGNS), "limited").await;
    world.proxy.advance_window();
    assert_foretold(&world, &token("b", 1), Asked::get(CAMPAIGNS), "pass_through").await;
}
