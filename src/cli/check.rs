//! `check`: read the configuration, named files included, and say that it is sound; its faults are told by the loader. With
//! `--probe` the store of `[shared]` is asked whether it has what a fleet needs; with `--values-only` no named file is opened.

use std::process::ExitCode;

use clap::Args;

use super::failure::Failure;
use super::runtime::block_on;
use super::say::say;
use super::setup::Files;
use crate::clock::Clock;
use crate::config::{Loaded, Shared};
use crate::descriptors;
use crate::fleet::store::probe;

/// What is checked.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) files: Files,
    /// Ask the store of shared.url whether it has what is needed, too
    #[arg(long)]
    probe: bool,
    /// Open none of the files that the configuration names: they are mounted where it will run, and not here
    #[arg(long, conflicts_with = "probe")]
    pub(super) values_only: bool,
}

pub(super) fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Failure> {
    loaded.notices(descriptors::highest()).for_each(say);
    loaded.egress().iter().for_each(say);
    let ending: Vec<_> = loaded.ending(Clock::system().now().unix()).collect();
    ending.iter().for_each(say);
    // What is told of a certificate must not be read as a word of comfort, and is no reason not to start either.
    say(match (arguments.values_only, ending.is_empty()) {
        (true, _) => "the values are sound; the files that they name were not opened",
        (false, true) => "configuration is sound",
        (false, false) => "configuration can be used, for now",
    });
    if arguments.probe {
        block_on(ask_store(loaded.config.shared.as_ref()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the store lacks is as good as a fault: all of it is told, and the exit code is the same.
async fn ask_store(shared: Option<&Shared>) -> Result<(), Failure> {
    let Some(shared) = shared else {
        return Err(Failure::misused("--probe asks the store of shared.url, which is not set"));
    };
    let shortfalls = probe(&shared.store, &shared.namespace, &Clock::system()).await;
    if shortfalls.is_empty() {
        say("the store has what is needed");
        return Ok(());
    }
    Err(Failure { code: Failure::MISUSED, lines: shortfalls.iter().map(ToString::to_string).collect() })
}
