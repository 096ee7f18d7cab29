//! What those who wait see of a fetch that is not done yet, and what it sees of them.

use std::pin::pin;

use super::*;
use crate::proving::by_now::by_now;

#[tokio::test]
async fn who_waits_for_a_turn_is_told_when_the_fetch_is_sent() {
    let world = world();
    let (flight, publisher) = world.lead();
    let mut told = pin!(flight.sent_by(&world.clock, world.soon()));
    assert_eq!(by_now(told.as_mut()).await, None, "nobody knows yet whether it may be sent at once");
    assert!(!flight.is_sent());
    publisher.note_queued();
    assert_eq!(by_now(told.as_mut()).await, None, "it waits for its turn");
    assert!(!flight.is_sent());
    publisher.note_sent();
    assert_eq!(by_now(told.as_mut()).await, Some(Ok(())));
    assert!(flight.is_sent());
    assert_eq!(
        flight.sent_by(&world.clock, world.clock.now()).await,
        Ok(()),
        "no deadline is in the way of that"
    );
}

#[tokio::test]
async fn who_waits_for_a_turn_that_does_not_come_waits_until_its_deadline() {
    let world = world();
    let (flight, publisher) = world.lead();
    publisher.note_queued();
    let mut told = pin!(flight.sent_by(&world.clock, world.clock.now().plus(Duration::from_secs(1))));
    assert_eq!(by_now(told.as_mut()).await, None);
    world.hand.advance(Duration::from_secs(1));
    assert_eq!(told.await, Err(Elapsed));
    let mut told = pin!(flight.sent_by(&world.clock, world.soon()));
    assert_eq!(by_now(told.as_mut()).await, None);
    publisher.publish(5);
    assert_eq!(told.await, Ok(()), "that it will not be sent is known, too");
}

#[tokio::test]
async fn a_queued_fetch_hears_when_the_last_one_who_waited_leaves() {
    let world = world();
    let (flight, publisher) = world.lead();
    let first = flight.wait_until(world.clock.now().plus(Duration::from_secs(3)));
    let second = world.follow().wait_until(world.clock.now().plus(Duration::from_secs(2)));
    assert_eq!(publisher.max_wait(), Duration::from_secs(3), "it stays as long as the most patient one");
    let mut abandoned = pin!(publisher.abandoned());
    drop(first);
    assert_eq!(by_now(abandoned.as_mut()).await, None, "one waits yet");
    drop(second);
    assert_eq!(by_now(abandoned.as_mut()).await, Some(()));
}

#[test]
fn a_flight_is_found_by_its_key_until_it_ends() {
    let world = world();
    let key = FlightKey::Shared(cache_key());
    let found = || {
        (world.flights.is_under_way(&key), world.flights.under_way(&key).is_some(), world.flights.is_empty())
    };
    assert_eq!(found(), (false, false, true));
    let (flight, publisher) = world.lead();
    assert_eq!(found(), (true, true, false));
    assert_eq!(world.flights.under_way(&key).unwrap().begun, flight.begun);
    publisher.publish(1);
    assert_eq!(found(), (false, false, true));
}
