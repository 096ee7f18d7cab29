use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use tokio::runtime::Builder;
use uuid::Uuid;

use super::*;
use crate::cache::stored::{Packed, ToStore};
use crate::caller::bindings::Refusal;
use crate::caller::credential::Credential;
use crate::callers::Ledger;
use crate::classify::Target;
use crate::clock::{Clock, ManualClock, Moment};
use crate::config::Config;
use crate::fetch::asker::Waits;
use crate::fetch::flight::Publisher;
use crate::organization::OrganizationId;
use crate::organization::sharing::Shown;
use crate::proving::by_now::by_now;
use crate::proving::world;
use crate::resource::LEAD_LABEL;
use crate::rules::Rules;
use crate::shield::edge::Wording;
use crate::tick::Tick;

const MAX_WAIT: Duration = Duration::from_secs(8);
const NO_FALLBACK: Ground = Ground::Missing(Fallback::Nothing);
const FALLBACK: Ground = Ground::Missing(Fallback::Stored);

/// Two keys of one organization, whose labels all of its keys see, and a flight that the first of them leads.
struct World {
    fetcher: Arc<Fetcher>,
    hand: ManualClock,
    organization: Arc<Organization>,
    leader: Credential,
    other: Credential,
    read: Read,
    rules: Arc<Rules>,
    arrived_at: Moment,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().build().unwrap();
        let (clock, hand) = Clock::manual();
        let config = world::config();
        let fetcher = {
            let _entered = runtime.enter();
            Arc::clone(&world::proxy(&config, &clock).0.fetcher)
        };
        let organization = fetcher.cache.fence().organizations().get(OrganizationId::example(1), clock.now());
        let key = |token: &'static str| {
            let value = HeaderValue::from_static(token);
            fetcher
                .digester
                .credential(&HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]))
                .unwrap()
        };
        let (leader, other) = (key("Bearer a"), key("Bearer b"));
        let target = Target::Item(Uuid::from_u128(2));
        let read = Read { resource: &LEAD_LABEL, target, storable: true, head: false };
        let (rules, arrived_at) = (Arc::new(Rules::new(&Config::default())), clock.now());
        let world = Self { fetcher, hand, organization, leader, other, read, rules, arrived_at, runtime };
        world.show(false);
        for credential in [&world.leader, &world.other] {
            let (tick, now) = (world.tick(), world.fetcher.clock.now());
            let _ = world.fetcher.bindings.prove(credential, &LEAD_LABEL, &world.organization, tick, now);
        }
        world
    }

    fn tick(&self) -> Tick {
        self.fetcher.cache.fence().sequence().advance()
    }

    /// A list shows whether keys of the organization are told apart.
    fn show(&self, grants: bool) {
        let (begun, now) = (self.tick(), self.fetcher.clock.now());
        let shown = Shown { grants, is_witness: true, begun, sent: now };
        let sequence = self.fetcher.cache.fence().sequence();
        let _ = self.organization.sharing(&LEAD_LABEL).note(shown, sequence, Duration::ZERO, now);
    }

    fn response(&self) -> Arc<StoredResponse> {
        let (etag, body) = (HeaderValue::from_static("\"x\""), Bytes::from_static(b"{}"));
        ToStore {
            organization: self.organization.id(),
            content_type: HeaderValue::from_static("application/json"),
            packed: Packed { etag, body, keeping: None },
            sent: self.fetcher.clock.now(),
            begun: self.tick(),
            jitter: 0,
            settling: false,
            limit: None,
        }
        .stored()
    }

    fn asker<'a>(&'a self, credential: &'a Credential, read: &'a Read, ledger: &'a Ledger) -> Asker<'a> {
        Asker {
            reader: Reader { credential, read, rules: &self.rules },
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            arrived: Tick::default(),
            arrived_at: self.arrived_at,
            max_wait: MAX_WAIT,
            youngest: Tick::default(),
            storing: Storing::Allowed,
            waits: Waits::default(),
            rounds: 0,
            store_waited: Duration::ZERO,
            ledger,
            trace: None,
        }
    }

    fn wanted(&self, asker: &Asker<'_>, ground: Ground) -> Wanted<'_> {
        self.fetcher.wanted(asker, Some(&self.organization), ground, self.fetcher.clock.now())
    }

    fn lead(&self, asker: &Asker<'_>, wanted: &Wanted<'_>) -> (Arc<Flight<Fetched>>, Publisher<Fetched>) {
        match self.fetcher.join(asker, wanted, || None::<()>) {
            Join::Leading(flight, publisher) => (flight, publisher),
            other => panic!("{other:?}"),
        }
    }

    /// What one of them may have of a result, in a word.
    fn delivered(&self, to: &Credential, ground: Ground, result: Fetched) -> &'static str {
        let _entered = self.runtime.enter();
        let ledger = Ledger::default();
        let (leader, asked) =
            (self.asker(&self.leader, &self.read, &ledger), self.asker(to, &self.read, &ledger));
        let wanted = self.wanted(&asked, ground);
        let (flight, _publisher) = self.lead(&leader, &wanted);
        let part = if to.digest() == self.leader.digest() { Part::Led } else { Part::Joined };
        match self.fetcher.deliver(&asked, &wanted, &flight, part, result) {
            Ok(Delivery::Response { .. }) => "response",
            Ok(Delivery::Shared(_)) => "shared",
            Ok(Delivery::Blocked) => "blocked",
            Ok(Delivery::Again) => "again",
            Ok(other) => panic!("{other:?}"),
            Err(error) => error.kind().as_str(),
        }
    }

    /// What the one who leads may have of a result, and what the other may.
    fn both(&self, ground: Ground, result: &dyn Fn() -> Fetched) -> (&'static str, &'static str) {
        (self.delivered(&self.leader, ground, result()), self.delivered(&self.other, ground, result()))
    }
}

/// R4a: the owner of a response that one key alone may have is that key, whoever waited for it.
#[test]
fn who_joins_a_flight_has_nothing_that_its_leader_alone_may_have() {
    let world = World::new();
    let owner = Some(world.leader.digest());
    let found = |owner| move |world: &World| Fetched::Shared { response: world.response(), owner };
    let fetched =
        |owner| move |world: &World| Fetched::Checked { response: world.response(), stored: true, owner };
    assert_eq!(world.both(NO_FALLBACK, &|| found(None)(&world)), ("shared", "shared"));
    assert_eq!(world.both(NO_FALLBACK, &|| found(owner)(&world)), ("shared", "again"));
    assert_eq!(world.both(NO_FALLBACK, &|| fetched(None)(&world)), ("response", "response"));
    assert_eq!(world.both(NO_FALLBACK, &|| fetched(owner)(&world)), ("response", "again"));
    let (before, found_before) = (fetched(None)(&world), found(None)(&world));
    world.show(true);
    assert_eq!(world.delivered(&world.other, NO_FALLBACK, before), "again", "since then they are told apart");
    assert_eq!(world.delivered(&world.other, NO_FALLBACK, found_before), "again");
}

/// R1 holds at the moment of delivery.
#[test]
fn who_was_refused_while_it_waited_has_nothing_that_another_fetched_or_the_store_had() {
    for refused in ["leader", "other"] {
        let world = World::new();
        let credential = if refused == "leader" { &world.leader } else { &world.other };
        let now = world.fetcher.clock.now();
        world.fetcher.bindings.refuse(credential, Refusal::Credential, world.tick(), now);
        let found = world.both(NO_FALLBACK, &|| Fetched::Shared { response: world.response(), owner: None });
        let fetched = Fetched::Checked { response: world.response(), stored: true, owner: None };
        match refused {
            "leader" => assert_eq!(found, ("again", "shared"), "the store grants nothing"),
            _ => {
                assert_eq!(found, ("shared", "again"));
                assert_eq!(world.delivered(&world.other, NO_FALLBACK, fetched), "again");
            }
        }
    }
}

/// R1: it may have been granted before the refusal.
#[test]
fn who_joins_its_own_flight_and_is_refused_meanwhile_is_not_given_what_that_brings() {
    let world = World::new();
    let _entered = world.runtime.enter();
    let (ledger, now) = (Ledger::default(), world.fetcher.clock.now());
    let asker = world.asker(&world.leader, &world.read, &ledger);
    let wanted = world.wanted(&asker, NO_FALLBACK);
    let (flight, _publisher) = world.lead(&asker, &wanted);
    let deliver = || {
        let result = Fetched::Checked { response: world.response(), stored: false, owner: None };
        world.fetcher.deliver(&asker, &wanted, &flight, Part::Joined, result)
    };
    assert!(matches!(deliver(), Ok(Delivery::Response { .. })));
    world.fetcher.bindings.refuse(&world.leader, Refusal::Credential, world.tick(), now);
    assert!(matches!(deliver(), Ok(Delivery::Again)));
}

/// R7: a 403 of the edge speaks of the one who asked.
#[test]
fn whose_leader_is_turned_away_by_the_edge_asks_for_itself_or_takes_what_is_stored() {
    let world = World::new();
    let blocked = || Fetched::Blocked(Wording::Ours);
    assert_eq!(world.both(NO_FALLBACK, &blocked), ("blocked", "again"));
    assert_eq!(world.both(FALLBACK, &blocked), ("blocked", ErrorKind::UpstreamFailed.as_str()));
}

#[test]
fn a_local_429_is_its_leaders_and_who_has_time_left_asks_for_itself() {
    let world = World::new();
    let held = || Fetched::Held(ErrorKind::OverBudget, Duration::from_secs(1));
    let over = ErrorKind::OverBudget.as_str();
    assert_eq!(world.both(NO_FALLBACK, &held), (over, "again"));
    world.hand.advance(MAX_WAIT.checked_sub(Duration::from_millis(1)).unwrap());
    assert_eq!(world.both(NO_FALLBACK, &held), (over, "again"));
    world.hand.advance(Duration::from_millis(1));
    assert_eq!(world.both(NO_FALLBACK, &held), (over, over), "it has none");
}

/// R2: the client of a HEAD sees no body.
#[test]
fn only_a_read_that_is_to_prove_its_key_and_can_is_an_attempt_that_hits_wait_for() {
    let world = World::new();
    let ledger = Ledger::default();
    let head = Read { head: true, ..world.read.clone() };
    for (read, ground, is_attempt) in [
        (&world.read, Ground::ToProve, true),
        (&head, Ground::ToProve, false),
        (&world.read, NO_FALLBACK, false),
        (&head, NO_FALLBACK, false),
    ] {
        let asker = world.asker(&world.leader, read, &ledger);
        let fetch = world.fetcher.begun_by(&asker, &world.wanted(&asker, ground));
        assert_eq!(fetch.attempt.is_some(), is_attempt, "{ground:?}, HEAD: {}", read.head);
        assert_eq!(fetch.class == Class::Proof, is_attempt, "and has the turn of one");
    }
}

#[test]
fn who_has_joined_so_many_flights_in_vain_joins_no_more() {
    let world = World::new();
    let ledger = Ledger::default();
    // Behind two it shares flights with its own key's reads alone.
    let asker = |rounds| Asker { rounds, ..world.asker(&world.leader, &world.read, &ledger) };
    let (_flight, _publisher) = world.lead(&asker(2), &world.wanted(&asker(2), NO_FALLBACK));
    let would_join =
        |rounds| world.fetcher.would_join(&asker(rounds), &world.wanted(&asker(rounds), NO_FALLBACK));
    assert_eq!([2, JOINED_ROUNDS - 1, JOINED_ROUNDS].map(would_join), [true, true, false]);
}

/// Its fetch knows better when to come again.
#[test]
fn who_leads_waits_a_moment_longer_for_its_turn_than_it_may_to_be_told_by_its_fetch() {
    for (part, waits_on) in [(Part::Led, true), (Part::Joined, false)] {
        let world = World::new();
        let ledger = Ledger::default();
        let mut asker = world.asker(&world.leader, &world.read, &ledger);
        let wanted = world.wanted(&asker, NO_FALLBACK);
        let (flight, publisher) = world.lead(&asker, &wanted);
        publisher.note_queued();
        let told = world.runtime.block_on(async {
            let mut waited = std::pin::pin!(world.fetcher.wait(&mut asker, &wanted, &flight, part));
            assert!(by_now(waited.as_mut()).await.is_none());
            world.hand.advance(MAX_WAIT);
            assert_eq!(by_now(waited.as_mut()).await.is_none(), waits_on, "{part:?}");
            if !waits_on {
                return None;
            }
            world.hand.advance(TOLD_WITHIN);
            by_now(waited.as_mut()).await
        });
        let told = told.map(|told| told.map(drop).map_err(|error| error.kind()));
        assert_eq!(told, waits_on.then_some(Err(ErrorKind::OverBudget)));
    }
}
