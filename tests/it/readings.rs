//! How often the clock is read for an answer: a reading takes longer than most of what is done with it.

use crate::support::World;
use crate::support::labels::{CAMPAIGNS, label_path, token};

const REQUESTS: u64 = 20;

/// Readings of a clock for each of several requests to `path`, one behind the other on one connection.
async fn readings(world: &World, path: &str, status: u16) -> u64 {
    let mut client = world.proxy.raw().await;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\nx-unknown: 1\r\n\r\n",
        token("a", 1)
    );
    let mut before = 0;
    for number in 0..=REQUESTS {
        if number == 1 {
            // Accepting, connecting, the first look at a connection.
            before = world.proxy.clock().readings();
        }
        client.send(&request).await;
        let reply = client.read().await;
        assert_eq!(reply.status(), status, "{reply:?}");
    }
    // The one before may have ended a little behind its answer, and the last one has not.
    (world.proxy.clock().readings() - before + REQUESTS / 2) / REQUESTS
}

#[tokio::test]
async fn a_hit_takes_at_most_four_readings_of_a_clock() {
    let world = World::start();
    world.vendor.put_label("a", 1, "x");
    world.caller("a", 1).get(&label_path(1)).send().await.assert_status(200);
    let taken = readings(&world, &label_path(1), 200).await;
    assert!((1..=4).contains(&taken), "{taken}");
}

#[tokio::test]
async fn an_answer_that_is_passed_through_takes_at_most_eight() {
    let world = World::start();
    // A key that passes calls through is introduced by a read behind the first: that one's readings are its own.
    world.proven("a", 1).await;
    let taken = readings(&world, CAMPAIGNS, 200).await;
    assert!((1..=8).contains(&taken), "{taken}");
}
