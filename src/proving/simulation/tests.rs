//! What is run of it in the gate, and longer by hand.

use super::calm::calm;
use super::setting::{Flaw, Setting};
use super::shrink::{Shrunk, shrink};
use super::{Outcome, run};

fn number(name: &str, otherwise: u64) -> u64 {
    let given = std::env::vars().find(|(known, _)| known == name);
    given.map_or(otherwise, |(_, value)| value.parse().expect("a number"))
}

/// A world of its own for so many: no run hangs on what was long ago.
const EACH: usize = 10_000;

/// Runs worlds from this seed on; a failure is shrunk, and told.
fn run_all(first: u64, setting: Setting, operations: usize) -> Vec<Outcome> {
    println!("SIMULATION_SEED={first}");
    let seeds = (0..operations.div_ceil(EACH)).zip(first..);
    let mut all = Vec::new();
    for (run_of, seed) in seeds {
        let setting = setting.of_seed(seed);
        match run(seed, setting, EACH.min(operations - run_of * EACH)) {
            Ok(outcome) => all.push(outcome),
            Err(failure) => {
                // Before it is shrunk, which takes longer than it took to find it.
                println!("SIMULATION_SEED={seed} {failure:?}");
                panic!("SIMULATION_SEED={seed} {setting:?}\n{}", shrink(failure, setting))
            }
        }
    }
    all
}

/// What is counted, and where it stands.
type Row = (&'static str, fn(&Outcome) -> u64);

fn assert_met(all: &[Outcome], of: &[Row]) {
    for (what, met) in of {
        let count = all.iter().map(met).sum::<u64>();
        println!("{what}: {count}");
        assert!(count > 0, "there were no {what}");
    }
}

#[test]
fn the_same_seed_gives_the_same_events() {
    let [http2, shared] = [Setting::ALONE, Setting::FLEET].map(|setting| setting.of_seed(2));
    for (setting, operations) in [(Setting::ALONE, 1500), (http2, 1500), (Setting::FLEET, 300), (shared, 300)]
    {
        let log = |seed| run(seed, setting, operations).expect("no promise is broken").log;
        assert_eq!(log(7), log(7));
        assert_ne!(log(7), log(8), "nor does another");
    }
}

#[test]
fn no_answer_breaks_a_rule_whatever_callers_upstream_and_time_do() {
    let operations = usize::try_from(number("SIMULATION_OPERATIONS", 20_000)).expect("a number");
    // The gate's are always the same ones: it says something of a change, and nothing of chance.
    let all = run_all(number("SIMULATION_SEED", 3), Setting::ALONE, operations);
    if operations < 20_000 {
        return;
    }
    assert_met(
        &all,
        &[
            ("answers", |outcome| outcome.met.answers),
            ("answers over HTTP/2", |outcome| outcome.met.by_streams),
            ("calls over HTTP/2", |outcome| outcome.met.over_http2),
            ("calls that were given back unseen", |outcome| outcome.met.unseen),
            ("calls whose connection ended under them", |outcome| outcome.met.ended),
            ("labels from memory", |outcome| outcome.met.stored),
            ("labels from memory while all was well", |outcome| outcome.met.calm),
            ("hits that waited for nobody", |outcome| outcome.met.at_once),
            ("labels of another caller's call", |outcome| outcome.met.shared),
            ("proofs that an outage made last", |outcome| outcome.met.outlived),
            ("writes whose answer came", |outcome| outcome.met.written),
            ("refusals", |outcome| outcome.met.refused),
            ("labels behind a refusal", |outcome| outcome.met.late),
            ("cuts", |outcome| outcome.met.cut),
            ("answers to somebody else", |outcome| outcome.met.slipped),
            ("reads with a query that nobody knows", |outcome| outcome.met.doubtful),
            ("restarts", |outcome| outcome.met.restarts),
            ("labels for a token that had moved", |outcome| outcome.met.moved),
            ("labels from memory where only some see them", |outcome| outcome.met.limited),
        ],
    );
}

#[test]
fn no_answer_of_a_fleet_breaks_a_promise_whatever_befalls_its_store() {
    let operations = usize::try_from(number("SIMULATION_OPERATIONS", 2000)).expect("a number");
    let first = number("SIMULATION_SEED", 3);
    let mut all = run_all(first, Setting::FLEET, operations);
    if operations <= EACH {
        // The next one has the other protocol.
        all.extend(run_all(first + 1, Setting::FLEET, operations / 2));
    }
    if operations < 2000 {
        return;
    }
    assert_met(
        &all,
        &[
            ("answers", |outcome| outcome.met.answers),
            ("labels from memory", |outcome| outcome.met.stored),
            ("hits that waited for nobody", |outcome| outcome.met.at_once),
            ("labels that another replica had read", |outcome| outcome.met.across),
            ("reads behind a write at another replica", |outcome| outcome.met.behind_others),
            ("refusals", |outcome| outcome.met.refused),
            ("refusals that another replica had heard of", |outcome| outcome.met.told),
            ("restarts", |outcome| outcome.met.restarts),
            ("seconds in which as many calls were sent as may be", |outcome| outcome.met.at_limit),
            ("calls over HTTP/2", |outcome| outcome.met.over_http2),
        ],
    );
    if operations >= 100_000 {
        let of: Row = ("hits that waited for nobody without a link", |outcome| outcome.met.at_once_cut);
        assert_met(&all, &[of]);
    }
}

/// R6, P3: a proof of each caller in three quarters of a proof's life, a page and its labels of each organization in a lifetime.
#[test]
fn while_all_is_well_no_more_is_asked_of_the_api_than_one_process_needs() {
    for (setting, seconds) in [
        (Setting::ALONE, 600),
        (Setting::ALONE.of_seed(2), 600),
        (Setting::FLEET, 120),
        (Setting::FLEET.of_seed(2), 120),
    ] {
        let calm = calm(number("SIMULATION_SEED", 3), setting, seconds);
        println!("{setting:?}: {calm:?}");
        assert!(calm.reads <= calm.needed, "{setting:?}: {calm:?}");
        // Everybody asked and was answered, but for those of the last turn, and most from memory.
        let callers = 4 * setting.organizations();
        assert_eq!((calm.asked as u64, calm.callers), (8 * seconds, callers), "{setting:?}: {calm:?}");
        assert!(calm.answers + 4 >= 8 * seconds, "{setting:?}: {calm:?}");
        assert!(calm.stored * 2 > 8 * seconds, "{setting:?}: {calm:?}");
    }
}

fn shrunk(seed: u64) -> Shrunk {
    let setting = Setting { flaw: Some(Flaw::OtherCallsWrite), ..Setting::ALONE };
    shrink(run(seed, setting, 2000).expect_err("a promise is broken on purpose"), setting)
}

#[test]
fn a_failure_shrinks_to_a_short_history_that_breaks_the_same_promise() {
    let one = shrunk(1);
    println!("{one}");
    assert!(one.broken.promise.starts_with("R5"), "{one}");
    assert!(one.operations() <= 20 && one.history.len() <= 60, "{one}");
    assert_eq!(one.lines, shrunk(1).lines, "and always to the same");
}
