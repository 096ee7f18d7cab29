//! What is run of it in the gate, and longer by hand.

use super::{Outcome, run};

fn number(name: &str, otherwise: u64) -> u64 {
    let given = std::env::vars().find(|(known, _)| known == name);
    given.map_or(otherwise, |(_, value)| value.parse().expect("a number"))
}

#[test]
fn the_same_seed_gives_the_same_events() {
    let (one, other) = (run(7, 1500), run(7, 1500));
    assert_eq!(one, other);
    assert_ne!(one.log, run(8, 1500).log, "nor does another");
}

#[test]
fn no_answer_breaks_a_rule_whatever_callers_upstream_and_time_do() {
    let operations = usize::try_from(number("SIMULATION_OPERATIONS", 20_000)).expect("a number");
    // The gate's are always the same ones: it says something of a change, and nothing of chance.
    let first = number("SIMULATION_SEED", 3);
    println!("SIMULATION_SEED={first}");
    // A world of its own for so many: no run hangs on what was long ago.
    const EACH: usize = 10_000;
    let mut all = Vec::new();
    for (run_of, seed) in (0..operations.div_ceil(EACH)).zip(first..) {
        let outcome = run(seed, EACH.min(operations - run_of * EACH));
        println!("{seed}: {outcome:?}");
        all.push(outcome);
    }
    let met = |of: fn(&Outcome) -> u64| all.iter().map(of).sum::<u64>();
    for (what, count) in [
        ("answers from memory", met(|outcome| outcome.met.stored)),
        ("answers from memory while all was well", met(|outcome| outcome.met.calm)),
        ("answers of another caller's call", met(|outcome| outcome.met.shared)),
        ("proofs that an outage made last", met(|outcome| outcome.met.outlived)),
        ("writes whose answer came", met(|outcome| outcome.met.written)),
        ("refusals", met(|outcome| outcome.met.refused)),
        ("cuts", met(|outcome| outcome.met.cut)),
        ("answers to somebody else", met(|outcome| outcome.met.slipped)),
    ] {
        println!("{what}: {count}");
        assert!(count > 0 || operations < 20_000, "there were no {what}");
    }
}
