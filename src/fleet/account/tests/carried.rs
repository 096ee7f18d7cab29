//! What the carrier does with an order, over a real server.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::clock::Clock;
use crate::config::{Config, Shared, StoreAddress};
use crate::fleet::Fleet;
use crate::fleet::account::{Carrier, Slots, Unsaid};
use crate::fleet::names::AccountName;
use crate::fleet::store::test_store::{Engine, TestStore};
use crate::metrics::SharedSeries;
use crate::organization::OrganizationName;
use crate::shield::Shield;
use crate::shield::account::AccountKey;
use crate::shield::booking::Order;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_hold_that_a_replica_met_alone_holds_the_others_back_once_it_has_a_lease() {
    let (store, clock, files) = (TestStore::start(Engine::Valkey), Clock::system(), TempDir::new().unwrap());
    let secrets = files.path().join("secrets");
    std::fs::write(&secrets, "0123456789abcdef0123456789abcdef\n").unwrap();
    let shared = Shared::at(StoreAddress::new("127.0.0.1", store.port()), secrets);
    let (series, runtime) = (SharedSeries::default(), Handle::current());
    let (fleet, _unlinked) = Fleet::new(&shared, "http://upstream", &clock, &series, &runtime).unwrap();
    let shield = Shield::new(&Config::default().shield, clock.clone());
    let (orders, ordered) = mpsc::unbounded_channel();
    let carrier = Carrier {
        fleet: Arc::clone(&fleet),
        data: Arc::clone(fleet.data()),
        budget: shield.budget.downgrade(),
        clock: clock.clone(),
        timeout: Duration::from_secs(5),
        slots: Slots::One,
        unsaid: Unsaid::default(),
    };
    tokio::spawn(carrier.carry(ordered));
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
