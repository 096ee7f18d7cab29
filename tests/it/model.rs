//! The proxy against a model: whatever callers, the vendor and time do, no answer is what it must not be.
//!
//! Four organizations have labels under the same ids. Random steps read, write, revoke, refuse, fail, purge and move the
//! clock, one after the other or many at once, through a real proxy over sockets. The [`ledger`] says of each answer whose
//! it may be, how old, and by what right; [`alone`] also says what it must be while nothing else goes on.
//!
//! The same goes on with several resources at once, whose items share their ids in each organization: what is read is of the
//! resource that was asked for, by a proof of its own.
//!
//! A failing case prints its seed and its shortest steps; `PROPTEST_RNG_SEED` runs a seed again, `PROPTEST_CASES` runs more.

mod alone;
mod arena;
mod ledger;
mod oracle;
mod parties;
mod steps;
mod together;

use std::future::Future;

use instantly_proxy::config::Config;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use crate::support::{Kind, LABEL, LIST, Peculiar, TAG};

/// Resources whose items have the same ids in the same organizations.
const MIXED: [Kind; 3] = [LABEL, TAG, LIST];

/// Runs `case` with many values. A case is a proxy of its own: half of proptest's usual number is what a build waits
/// for.
fn check<S: Strategy>(strategy: &S, case: impl Fn(S::Value)) {
    let usual = ProptestConfig::default();
    let seed = match usual.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => fastrand::u64(..),
    };
    println!("PROPTEST_RNG_SEED={seed}");
    let mut runner = TestRunner::new(ProptestConfig {
        cases: usual.cases.div_ceil(2),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 300,
        ..usual
    });
    if let Err(failure) = runner.run(strategy, |value| {
        case(value);
        Ok(())
    }) {
        panic!("with PROPTEST_RNG_SEED={seed}: {failure}");
    }
}

fn block_on(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(case);
}

#[test]
fn one_step_after_the_other_every_answer_is_what_the_model_says() {
    check(&steps::steps(), |steps| block_on(alone::run(steps)));
}

#[test]
fn many_callers_at_once_never_get_what_they_must_not() {
    check(&steps::callers(1), |callers| block_on(together::run(&[LABEL], callers, |_| {})));
}

#[test]
fn many_callers_at_once_never_get_what_they_must_not_with_all_that_is_on_by_default() {
    check(&steps::callers(1), |callers| block_on(together::run(&[LABEL], callers, by_default)));
}

#[test]
fn many_callers_of_several_resources_at_once_never_get_what_they_must_not() {
    if !Peculiar::Neighbours.is_there() {
        return;
    }
    check(&steps::callers(MIXED.len()), |callers| block_on(together::run(&MIXED, callers, |_| {})));
}

#[test]
fn many_callers_of_several_resources_at_once_never_get_what_they_must_not_with_all_that_is_on_by_default() {
    if !Peculiar::Neighbours.is_there() {
        return;
    }
    check(&steps::callers(MIXED.len()), |callers| block_on(together::run(&MIXED, callers, by_default)));
}

fn by_default(config: &mut Config) {
    let Config { cache, shield, .. } = Config::default();
    (config.cache, config.shield) = (cache, shield);
}
