//! A whole fleet in one thread, with seeded faults, and an oracle that knows what every read must show.
//!
//! Real are [`Control`](super::Control), the lease and the calls; the scripts are a model that `replay` holds against real
//! servers; clocks, links, processes, the upstream and each replica's cache are as simple as they can be. `FLEET_SEED` runs
//! the seed that a failure printed, and `FLEET_READS` more reads than the gate has time for.

mod clocks;
mod faults;
mod model;
mod mutants;
mod network;
mod oracle;
mod replay;
mod replica;
mod resp;
mod scenario;
mod world;
mod writing;

use self::scenario::{LeftOut, Scenario};
use self::world::{Counts, World};

/// A number of the environment.
fn given(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "what a test is given is no configuration")]
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

/// A seed that the test prints: of the environment if it is there, so that a failure can be seen again.
fn seed() -> u64 {
    given("FLEET_SEED").unwrap_or_else(|| fastrand::u64(..))
}

/// Runs a scenario; returns what it counted.
fn run(scenario: Scenario, seed: u64, reads: u64) -> (u64, Counts) {
    let mut world = World::new(scenario, seed);
    world.run(reads);
    if let Some(failure) = world.oracle.failure() {
        let scenario = &world.scenario;
        panic!("FLEET_SEED={seed}: {failure}; {:?}; {scenario:?}", world.counts);
    }
    (world.oracle.reads, world.counts)
}

#[test]
fn no_read_shows_what_was_before_an_answered_write() {
    let seed = seed();
    let total = given("FLEET_READS").unwrap_or(100_000);
    let mut done = 0;
    let mut nth = 0;
    while done < total {
        let (reads, counts) = run(Scenario::nth(nth), seed.wrapping_add(nth), 20_000);
        if given("FLEET_SHOW").is_some() {
            println!("{nth} {counts:?}");
        }
        done += reads;
        nth += 1;
    }
}

#[test]
fn debug_one() {
    let (Some(nth), Some(seed)) = (given("FLEET_NTH"), given("FLEET_SEED")) else { return };
    let mut scenario = Scenario::nth(nth);
    scenario.left_out = LeftOut::Nothing;
    let mut world = World::new(scenario, seed);
    world.history = Some(Vec::new());
    world.run(20_000);
    let history = world.history.as_ref().unwrap();
    for line in &history[history.len().saturating_sub(400)..] {
        println!("{line}");
    }
    println!("{:?} {:?}", world.oracle.failure(), world.counts);
}
