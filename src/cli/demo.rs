//! `demo`: simulator, proxy and a modest load on loopback, with a live line of figures.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

/// How the demonstration ends.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// End after this time, such as 10s; without it Ctrl-C ends it
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(super) duration: Option<Duration>,
}

pub(super) async fn run(_arguments: Arguments) -> ExitCode {
    super::Failure::failed("demo is not available in this build").report()
}
