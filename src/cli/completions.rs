//! `completions`: what a shell needs to complete this program's commands, from the same table as `--help`.

use std::io;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

use super::failure::Failure;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The shell that will read it
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments, mut table: Command) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut table, "instantly-proxy", &mut script);
    // Whoever closed the pipe has read enough.
    let _ = io::Write::write_all(&mut io::stdout().lock(), &script);
    Ok(ExitCode::SUCCESS)
}
