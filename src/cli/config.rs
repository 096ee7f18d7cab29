//! `config`: print the effective configuration, each value with where it came from.

use std::process::ExitCode;

use super::say::say;
use crate::config::Loaded;
use crate::descriptors;

pub(super) fn run(loaded: &Loaded) -> ExitCode {
    // Comments, so that the output stays a file that can be given back.
    loaded.notices(descriptors::highest()).for_each(|notice| say(format!("# {notice}")));
    say(loaded.report().trim_end());
    ExitCode::SUCCESS
}
