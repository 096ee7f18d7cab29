//! What the carrier does with an order, over a real server.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use uuid::Uuid;

use crate::clock::Clock;
use crate::config::{Config, Shared, StoreAddress};
use crate::fleet::Fleet;
use crate::fleet::account::{Carrier, Slots, Unsaid};
use crate::fleet::control::Status;
use crate::fleet::names::AccountName;
use crate::fleet::start::Unlinked;
use crate::fleet::store::test_store::{Engine, TestStore};
use crate::metrics::SharedSeries;
use crate::organization::OrganizationName;
use crate::shield::Shield;
use crate::shield::account::AccountKey;
use crate::shield::booking::Order;

const MINUTE: Duration = Duration::from_secs(60);

/// A replica whose store is at this port, and which has no lease.
fn replica(port: u16, clock: &Clock) -> (TempDir, Arc<Fleet>, Unlinked) {
    let files = TempDir::new().unwrap();
    let secrets = files.path().join("secrets");
    std::fs::write(&secrets, "0123456789abcdef0123456789abcdef\n").unwrap();
    let shared = Shared::at(StoreAddress::new("127.0.0.1", port), secrets);
    let (series, runtime) = (SharedSeries::default(), Handle::current());
    let (fleet, unlinked) = Fleet::new(&shared, "http://upstream", clock, &series, &runtime).unwrap();
    (files, fleet, unlinked)
}

/// What carries the orders of that budget.
fn carry(fleet: &Arc<Fleet>, shield: &Shield, clock: &Clock, orders: UnboundedReceiver<Order>) {
    let carrier = Carrier {
        fleet: Arc::clone(fleet),
        data: Arc::clone(fleet.data()),
        budget: shield.budget.downgrade(),
        clock: clock.clone(),
        timeout: Duration::from_secs(5),
        slots: Slots::One,
        unsaid: Unsaid::default(),
    };
    tokio::spawn(carrier.carry(orders));
}

#[tokio::test]
async fn the_budget_knows_of_a_lease_and_of_others_as_soon_as_the_replica_does() {
    let (clock, _hand) = Clock::manual();
    let (_files, fleet, _unlinked) = replica(1, &clock);
    let rules = Config::default().shield;
    let shield = Shield::new(&rules, clock.clone());
    let whole = rules.requests_per_second.get();
    carry(&fleet, &shield, &clock, shield.connect_store(&rules, Duration::from_secs(5)));
    // The time stands still: whoever looks again later looks never.
    let usable = async |members, lease| {
        fleet.lease.extend(if lease { clock.now().plus(MINUTE) } else { clock.now() });
        fleet.note_status(Status { members, ..Status::default() });
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        shield.budget.snapshot(0, clock.now()).limits.per_second
    };
    assert_eq!(usable(3, false).await, whole / 3);
    assert_eq!(usable(3, true).await, whole);
    assert_eq!(usable(2, true).await, whole);
    assert_eq!(usable(2, false).await, whole / 2);
    assert_eq!(usable(5, false).await, whole / 5);
}

#[tokio::test]
async fn a_hold_that_a_replica_met_alone_holds_the_others_back_once_it_has_a_lease() {
    let (store, clock) = (TestStore::start(Engine::Valkey), Clock::system());
    let (_files, fleet, _unlinked) = replica(store.port(), &clock);
    let shield = Shield::new(&Config::default().shield, clock.clone());
    let (orders, ordered) = mpsc::unbounded_channel();
    carry(&fleet, &shield, &clock, ordered);
    let organization = OrganizationName(Uuid::from_u128(1));
    let hold = Order::Hold { account: AccountKey::Organization(organization), lasts: MINUTE };
    orders.send(hold).unwrap();
    // The order is taken, and whoever says it has looked for a lease.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    fleet.lease.extend(clock.now().plus(MINUTE));
    let gate = fleet.names().beside_account(AccountName::Organization(organization), "gate");
    let (gate, end) = (String::from_utf8(gate).unwrap(), clock.now().plus(MINUTE / 4));
    while store.ask(&["EXISTS", &gate]) == "0" {
        assert!(!clock.now().reached(end), "the store is not told");
        tokio::task::yield_now().await;
    }
}
