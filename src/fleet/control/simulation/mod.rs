//! A whole fleet in one thread, with seeded faults, and an oracle that knows what every read must show.
//!
//! Real are [`Control`](super::Control), the lease and the calls; the scripts are a model that `replay` holds against real
//! servers; clocks, links, processes, the upstream and each replica's cache are as simple as they can be. The long run is
//! `FLEET_READS=50000000 cargo test --release --lib fleet::control::simulation::no_read`. A failure prints its seed and
//! scenario; `FLEET_SEED=… FLEET_NTH=… FLEET_READS=40000 FLEET_SHOW=1`, with the test of the same seed and `--nocapture`, shows
//! all that happened.

mod clocks;
mod faults;
pub(crate) mod model;
mod mutants;
mod network;
mod oracle;
mod over_sockets;
mod reading;
mod replay;
mod replica;
mod resp;
mod scenario;
mod world;
mod writing;

use std::sync::atomic::{AtomicU64, Ordering};

use self::scenario::Scenario;
use self::world::World;

/// A number of the environment.
fn given(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "what a test is given is no configuration")]
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

/// A seed that the test prints: of the environment if it is there, so that a failure can be seen again.
fn seed() -> u64 {
    given("FLEET_SEED").unwrap_or_else(|| fastrand::u64(..))
}

/// Reads of one world.
const WORLD: u64 = 40_000;

/// Runs a world; what it counted, and what it must not have shown.
fn run(scenario: Scenario, nth: u64, seed: u64, reads: u64) -> World {
    let mut world = World::new(scenario, seed);
    world.run(reads);
    if let Some(failure) = world.oracle.failure() {
        panic!("FLEET_SEED={seed} FLEET_NTH={nth}: {failure}; {:?}; {:?}", world.counts, world.scenario);
    }
    world
}

/// Runs worlds of all scenarios on all cores until so many reads were made.
fn run_all(seed: u64, reads: u64) {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let work = || {
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            if nth * WORLD >= reads {
                return;
            }
            let world = run(Scenario::nth(nth), nth, seed.wrapping_add(nth), WORLD);
            if given("FLEET_SHOW").is_some() {
                println!("{nth} {:?}", world.counts);
            }
        }
    };
    std::thread::scope(|scope| {
        let work: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        work.into_iter().for_each(|work| work.join().expect("no read showed what it must not"));
    });
}

#[test]
fn no_read_shows_what_was_before_an_answered_write() {
    run_all(seed(), given("FLEET_READS").unwrap_or(1_000_000));
}

#[test]
fn a_thousand_replicas_show_no_older_value_either() {
    let world = run(Scenario::thousand(), 0, seed(), given("FLEET_READS").unwrap_or(100_000));
    assert!(world.counts.confirmed + world.counts.leases_over > 0, "{:?}", world.counts);
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let (seed, nth) = (seed(), given("FLEET_NTH").unwrap_or(0));
    let history = || {
        let mut world = World::new(Scenario::nth(nth), seed);
        world.history = Some(Vec::new());
        world.run(given("FLEET_READS").unwrap_or(5_000));
        (world.counts, world.history)
    };
    let (first, second) = (history(), history());
    assert!(first.0.events > 1000 && first.0.faults > 0, "{:?}", first.0);
    assert!(first == second, "FLEET_SEED={seed}");
    // What happened, for whoever wants to see how a read came to fail.
    if given("FLEET_SHOW").is_some() {
        first.1.unwrap().iter().for_each(|line| println!("{line}"));
    }
}
