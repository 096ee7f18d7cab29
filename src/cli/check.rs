//! `check`: read the configuration, named files included, and say that it is sound; its faults are told by the loader. With
//! `--probe` the store of `[shared]` is asked whether it has what a fleet needs; with `--values-only` no named file is opened.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::failure::Failure;
use super::output::Output;
use super::runtime::block_on;
use super::say::say;
use super::setup::{Files, Setup};
use crate::clock::Clock;
use crate::config::{Fault, Loaded, Shared};
use crate::descriptors;
use crate::fleet::store::probe;

/// What is checked.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) files: Files,
    #[command(flatten)]
    output: Output,
    /// Ask the store of shared.url whether it has what is needed, too
    #[arg(long)]
    probe: bool,
    /// Open none of the files that the configuration names: they are mounted where it will run, and not here
    #[arg(long, conflicts_with = "probe")]
    pub(super) values_only: bool,
}

/// What a program reads of a check.
#[derive(Serialize)]
struct Document {
    sound: bool,
    faults: Vec<Row>,
    notices: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    key: String,
    origin: String,
    given: String,
    allowed: String,
}

impl Arguments {
    /// Reads as much as is to be checked.
    pub(super) fn read(&self, setup: &Setup) -> Result<Loaded, Failure> {
        self.told(if self.values_only { setup.read_values() } else { setup.read() })
    }

    /// Tells of faults as it was asked to: on standard error, or in the document.
    fn told(&self, read: Result<Loaded, Vec<Fault>>) -> Result<Loaded, Failure> {
        read.map_err(|faults| {
            if self.output.is_text() {
                return Failure::from(faults);
            }
            let row = |fault: &Fault| Row {
                key: fault.key.clone(),
                origin: fault.origin.to_string(),
                given: fault.given.clone(),
                allowed: fault.allowed.clone(),
            };
            let faults = faults.iter().map(row).collect();
            self.output.write(String::new, &Document { sound: false, faults, notices: Vec::new() });
            Failure { code: Failure::MISUSED, lines: Vec::new() }
        })
    }
}

pub(super) fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let now = Clock::system().now().unix();
    let ending: Vec<_> = loaded.ending(now).filter(|_| !arguments.values_only).collect();
    // What is told of a certificate must not be read as a word of comfort, and is no reason not to start either.
    let conclusion = match (arguments.values_only, ending.is_empty()) {
        (true, _) => "the values are sound; the files that they name were not opened",
        (false, true) => "configuration is sound",
        (false, false) => "configuration can be used, for now",
    };
    let notices: Vec<_> =
        loaded.notices(descriptors::highest()).chain(loaded.egress()).chain(ending.iter().cloned()).collect();
    let text = || notices.iter().map(String::as_str).chain([conclusion]).collect::<Vec<_>>().join("\n");
    let document = Document { sound: ending.is_empty(), faults: Vec::new(), notices: notices.clone() };
    arguments.output.write(text, &document);
    if arguments.probe {
        block_on(ask_store(loaded.config.shared.as_ref(), arguments.output))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the store lacks is as good as a fault: all of it is told, and the exit code is the same.
async fn ask_store(shared: Option<&Shared>, output: Output) -> Result<(), Failure> {
    let Some(shared) = shared else {
        return Err(Failure::misused("--probe asks the store of shared.url, which is not set"));
    };
    let shortfalls = probe(&shared.store, &shared.namespace, &Clock::system()).await;
    if shortfalls.is_empty() {
        if output.is_text() {
            say("the store has what is needed");
        }
        return Ok(());
    }
    Err(Failure { code: Failure::MISUSED, lines: shortfalls.iter().map(ToString::to_string).collect() })
}
