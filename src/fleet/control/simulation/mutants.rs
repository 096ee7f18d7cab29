//! Each rule that P1 rests on is left out once, and missed.

use super::super::rules::Rule;
use super::given;
use super::model::StoreRule;
use super::scenario::{AWAY, CLOCKS, DEAF, FEW, FORGETFUL, LeftOut, QUIET, SHORT_LOG, Scenario};
use super::world::World;

/// Worlds that are tried before a rule counts as one that nobody misses, and reads of each.
const WORLDS: u64 = 60;
const READS: u64 = 20_000;

/// Each rule, and the scenario that misses it most.
const RULES: &[(LeftOut, u64)] = &[
    (LeftOut::Replica(Rule::ApplyBeforeLease), AWAY),
    (LeftOut::Replica(Rule::LeaseFromSent), AWAY),
    (LeftOut::Replica(Rule::LeaseAfterLastPage), AWAY),
    (LeftOut::Replica(Rule::HoldUntilApplied), FEW),
    (LeftOut::Replica(Rule::WaitFromReply), CLOCKS),
    (LeftOut::Replica(Rule::MonotonicAlone), CLOCKS),
    (LeftOut::Replica(Rule::WaitOutNewList), FORGETFUL),
    (LeftOut::Replica(Rule::BellAfterPredecessor), DEAF),
    (LeftOut::Replica(Rule::EverythingWhenUnknown), SHORT_LOG),
    (LeftOut::Replica(Rule::AppendAnew), QUIET),
    (LeftOut::Replica(Rule::TakeOver), QUIET),
    (LeftOut::Replica(Rule::LeaseEndsBeforeLeaving), DEAF),
    (LeftOut::Store(StoreRule::RunId), FORGETFUL),
    (LeftOut::Store(StoreRule::MembersMark), FORGETFUL),
    (LeftOut::Store(StoreRule::LogIsThere), FORGETFUL),
    (LeftOut::Store(StoreRule::RemoveByBeat), AWAY),
    (LeftOut::Store(StoreRule::AppliedNotSent), DEAF),
];

/// How many worlds it takes to miss a rule.
fn worlds_until_missed(left_out: LeftOut, nth: u64, seed: u64) -> Option<u64> {
    (0..WORLDS).find(|world| {
        let scenario = Scenario { left_out, ..Scenario::nth(nth) };
        let mut world = World::new(scenario, seed.wrapping_add(*world));
        world.run(READS);
        world.oracle.failure().is_some()
    })
}

#[test]
fn every_rule_is_missed_when_it_is_left_out() {
    // The same each time: that a rule is missed by chance alone would be no news.
    let seed = given("FLEET_SEED").unwrap_or(11);
    let mut unmissed = Vec::new();
    for (left_out, nth) in RULES {
        let worlds = worlds_until_missed(*left_out, *nth, seed);
        if given("FLEET_SHOW").is_some() {
            println!("{left_out:?} after {worlds:?} worlds");
        }
        if worlds.is_none() {
            unmissed.push(left_out);
        }
    }
    assert!(unmissed.is_empty(), "FLEET_SEED={seed}: nobody misses {unmissed:?}");
}
