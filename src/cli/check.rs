//! `check`: read the configuration, named files included, and say that it is sound; its faults are told by the loader.

use std::process::ExitCode;

use super::say::say;
use crate::config::Loaded;
use crate::descriptors;

pub(super) fn run(loaded: &Loaded) -> ExitCode {
    loaded.notices(descriptors::highest()).for_each(say);
    say("configuration is sound");
    ExitCode::SUCCESS
}
