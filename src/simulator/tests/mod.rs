//! The simulator over real sockets: what a proxy or a client would notice.

mod client;
mod faults;
mod labels;
mod other_resources;
mod ownership;
mod shelves;
mod wire;

use super::*;
use crate::clock::ManualClock;
use client::{Call, Reply};

/// A simulator whose time stands still until the hand moves it.
async fn start(change: impl FnOnce(&mut SimulatorConfig)) -> (Simulator, ManualClock) {
    let (clock, hand) = Clock::manual();
    let mut config = SimulatorConfig::default();
    change(&mut config);
    (Simulator::start(config, clock).await.unwrap(), hand)
}

async fn started() -> (Simulator, ManualClock) {
    start(|_| ()).await
}

impl Simulator {
    fn first(&self) -> &Organization {
        &self.world().organizations()[0]
    }

    /// May do everything in the first organization.
    fn full_key(&self) -> &Key {
        &self.first().keys()[0]
    }
}
