use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use super::*;
use crate::caller::credential::Digester;
use crate::clock::ManualClock;
use crate::organization::{OrganizationId, Organizations};
use crate::resource::LEAD_LABEL;
use crate::tick::Sequence;

mod progress;

struct World {
    clock: Clock,
    hand: ManualClock,
    sequence: Sequence,
    flights: Flights<u32>,
    caller: CredentialDigest,
}

fn world() -> World {
    let (clock, hand) = Clock::manual();
    let mut fields = HeaderMap::new();
    fields.insert("authorization", HeaderValue::from_static("Bearer a"));
    let caller = Digester::default().credential(&fields).unwrap().digest();
    World { clock, hand, sequence: Sequence::default(), flights: Flights::default(), caller }
}

fn key_of(target: Target) -> CacheKey {
    let (clock, _) = Clock::manual();
    let organization = Organizations::default().get(OrganizationId::example(1), clock.now());
    CacheKey::new(&LEAD_LABEL, &organization, None, target)
}

fn cache_key() -> CacheKey {
    key_of(Target::Item(Uuid::from_u128(7)))
}

impl World {
    fn join(&self, joinable: bool) -> Join<u32, ()> {
        let key = FlightKey::Shared(cache_key());
        self.flights.join(key, self.caller, |_| joinable, || None, || self.sequence.advance())
    }

    fn lead(&self) -> (Arc<Flight<u32>>, Publisher<u32>) {
        match self.join(true) {
            Join::Leading(flight, publisher) => (flight, publisher),
            other => panic!("{other:?}"),
        }
    }

    fn follow(&self) -> Arc<Flight<u32>> {
        match self.join(true) {
            Join::Joined(flight) => flight,
            other => panic!("{other:?}"),
        }
    }

    fn soon(&self) -> Moment {
        self.clock.now().plus(Duration::from_secs(10))
    }
}

#[tokio::test]
async fn everybody_who_follows_gets_the_landing_and_the_key_is_free() {
    let world = world();
    let (leader, publisher) = world.lead();
    let followers: Vec<_> = (0..100).map(|_| world.follow()).collect();
    publisher.publish(5);
    for flight in followers.iter().chain([&leader]) {
        assert_eq!(flight.result(&world.clock, world.soon()).await, Ok(Ok(5)));
    }
    assert!(world.flights.is_empty());
}

#[tokio::test]
async fn a_flight_whose_fill_panics_wakes_everybody_and_leaves_no_stuck_key() {
    let world = world();
    let (_, publisher) = world.lead();
    let follower = world.follow();
    drop(publisher);
    assert_eq!(follower.result(&world.clock, world.soon()).await, Ok(Err(Crashed)));
    assert!(world.flights.is_empty());
}

#[tokio::test]
async fn each_follower_waits_until_its_own_deadline_only() {
    let world = world();
    let (_, publisher) = world.lead();
    let flight = world.follow();
    let short = flight.result(&world.clock, world.clock.now().plus(Duration::from_secs(1)));
    let (short, ()) = tokio::join!(short, async { world.hand.advance(Duration::from_secs(1)) });
    assert_eq!(short, Err(Elapsed));
    publisher.publish(5);
    assert_eq!(flight.result(&world.clock, world.soon()).await, Ok(Ok(5)));
}

#[test]
fn a_flight_that_may_not_be_joined_is_replaced_and_its_end_leaves_the_younger_one() {
    let world = world();
    let (_, older) = world.lead();
    let Join::Leading(_, younger) = world.join(false) else { panic!("joined") };
    older.publish(1);
    assert_eq!(world.flights.len(), 1);
    younger.publish(2);
    assert!(world.flights.is_empty());
}

#[test]
fn a_flight_that_just_landed_is_found_instead_of_begun_again() {
    let world = world();
    let key = FlightKey::Shared(cache_key());
    let boarding = world.flights.join(key, world.caller, |_| true, || Some(7), || world.sequence.advance());
    assert!(matches!(boarding, Join::Found(7)));
    assert!(world.flights.is_empty());
}

#[test]
fn a_key_that_cannot_be_shared_is_not_collapsed_for_ten_seconds() {
    let world = world();
    world.flights.note_not_collapsible(&cache_key(), world.clock.now());
    assert!(!world.flights.is_collapsible(&cache_key(), world.clock.now()));
    world.hand.advance(Duration::from_secs(10));
    assert!(world.flights.is_collapsible(&cache_key(), world.clock.now()));
}

#[test]
fn keys_that_are_not_collapsed_are_bounded_in_number_and_bytes_and_go_by_time() {
    let world = world();
    let key = |number: usize| {
        let query = crate::classify::ListQuery(Box::new([("limit", number.to_string().into())]));
        key_of(Target::List(query))
    };
    let held = || world.flights.0.not_collapsed.lock().len();
    for number in 0..NOT_COLLAPSED.get() + 10 {
        world.flights.note_not_collapsible(&key(number), world.clock.now());
    }
    assert_eq!(held(), NOT_COLLAPSED.get());
    assert_eq!(size_of::<(KeyHash, Moment)>(), 40, "nothing of a key is on the heap");
    let newest = key(NOT_COLLAPSED.get() + 9);
    assert!(!world.flights.is_collapsible(&newest, world.clock.now()));
    world.hand.advance(NOT_COLLAPSED_FOR);
    assert!(world.flights.is_collapsible(&newest, world.clock.now()));
    world.flights.tidy(world.clock.now());
    assert_eq!(held(), 0);
}
