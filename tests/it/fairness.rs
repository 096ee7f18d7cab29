//! Callers among each other, over sockets: who waits for its turn holds nothing that others need.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::time::Duration;

use instantly_proxy::config::Config;

use crate::limits::{Steps, both_bound};
use crate::support::labels::{CAMPAIGNS, label_path, token};
use crate::support::{RawConnection, World, patiently};

/// A few calls a second, and four connections for one organization.
fn few_connections(config: &mut Config) {
    config.cache.list_fill = false;
    config.shield.requests_per_second = NonZeroU32::new(5).expect("not zero");
    config.shield.max_wait = Duration::from_secs(20);
    config.upstream.max_connections = 16;
}

#[tokio::test]
async fn calls_that_wait_for_their_turn_hold_no_connection_that_others_of_their_organization_need() {
    let world = World::start_shielded_with(few_connections);
    let steps = Steps::begin(&world).await;
    let (many, few) = both_bound(&world, ("a", 1), ("a", 2)).await;
    let flood: Vec<_> = (0..40).map(|_| many.get(CAMPAIGNS).spawn()).collect();
    steps.pass_workers().await;
    let other = few.get(CAMPAIGNS).spawn();
    steps.pass_workers().await;
    for _ in 0..22 {
        world.proxy.advance(Duration::from_millis(50));
        steps.pass_workers().await;
    }
    patiently("the other's turn", other).await.expect("no panic").assert_status(200);
    for call in flood {
        world.proxy.advancing("its turn", call).await.expect("no panic").assert_status(200);
    }
}

#[tokio::test]
async fn strangers_that_wait_for_a_slot_hold_no_connection_that_known_callers_need() {
    let world = World::start_shielded_with(|config| config.upstream.max_connections = 64);
    let steps = Steps::begin(&world).await;
    let known = world.proven("a", 1).await;
    let gate = world.upstream.hold(|request| request.target == CAMPAIGNS);
    let source = Ipv4Addr::new(127, 0, 0, 2);
    let mut crowd = Vec::new();
    for n in 0..72 {
        let mut connection = RawConnection::open_from(source, world.proxy.address()).await;
        let token = token("nobody", n);
        let request = format!("GET {CAMPAIGNS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
        connection.send(request).await;
        crowd.push(connection);
    }
    gate.held(32).await;
    steps.pass_workers().await;
    known.get("/api/v2/accounts").field("prefer", "wait=0").send().await.assert_status(200);
    gate.release();
}

#[tokio::test]
async fn a_credential_that_reads_what_is_stale_keeps_its_proof_while_the_budget_is_short() {
    for (revalidate, on_error) in [(3600, 0), (0, 3600)] {
        let world = World::start_shielded_with(|config| {
            config.cache.list_fill = false;
            config.cache.lead_labels.ttl = Duration::from_secs(20);
            config.cache.lead_labels.stale_while_revalidate = Duration::from_secs(revalidate);
            config.cache.lead_labels.stale_if_error = Duration::from_secs(on_error);
            config.shield.requests_per_second = NonZeroU32::new(2).expect("not zero");
        });
        let (busy, other) = (world.proven("a", 1).await, world.proven("a", 2).await);
        let steps = Steps::begin(&world).await;
        let mut flood = Vec::new();
        for quarter in 0..600 {
            flood.push(other.get(CAMPAIGNS).spawn());
            steps.pass_workers().await;
            let reply = busy.get(&label_path(1)).send().await;
            assert!(reply.assert_label("a-1").cache_status().starts_with("hit"), "{quarter}: {reply:?}");
            world.proxy.advance(Duration::from_millis(250));
        }
        for call in flood {
            let _ = world.proxy.advancing("its turn", call).await.expect("no panic");
        }
    }
}
