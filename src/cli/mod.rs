//! The command line: one file a command, and the exit codes that all of them share.
//!
//! 0 is fine, 1 failed while running, 2 bad configuration or usage. What a command was asked for goes to stdout, why it
//! could not be done to stderr.

mod admin_client;
mod arming;
mod check;
mod completions;
mod config;
mod demo;
mod doctor;
mod explain;
mod failure;
mod fingerprint;
mod health;
mod key;
mod output;
mod purge;
mod reload;
mod runtime;
mod say;
mod serve;
mod setup;
mod simulate;
mod status;
#[cfg(test)]
mod tests;
mod top;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use self::failure::Failure;
use self::runtime::block_on;
use self::setup::{Files, Setup};

/// A caching reverse proxy for the Instantly API.
#[derive(Debug, Parser)]
#[command(name = "instantly-proxy", version)]
struct Cli {
    #[command(flatten)]
    files: Files,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy; the same as no command at all
    Serve(Files),
    /// Run simulator, proxy and a modest load on loopback, and show what the proxy saves
    Demo(demo::Arguments),
    /// Run the simulated API alone
    Simulate(simulate::Arguments),
    /// Read the configuration and print every fault of it
    Check(check::Arguments),
    /// Print the effective configuration, each value with where it came from
    Config(config::Arguments),
    /// Read a key from standard input and print the name that log and status have for it
    Fingerprint(Files),
    /// Print what the running proxy says of itself
    Status(status::Arguments),
    /// Show who spends the limit: callers and keys of the running proxy, live
    Top(top::Arguments),
    /// Ask the running proxy what it would do with a request, and why
    Explain(explain::Arguments),
    /// Try everything that the proxy needs, and say where it ends
    Doctor(doctor::Arguments),
    /// Ask the running proxy whether it is ready
    Health(Files),
    /// Take stored responses away: all, or those of one organization or label
    Purge(purge::Arguments),
    /// Print the script that completes this command line in a shell
    Completions(completions::Arguments),
}

/// Runs the command that `arguments` name, the program's name first, with the configuration's part of `environment`.
pub fn main(
    arguments: impl Iterator<Item = OsString>,
    environment: impl Iterator<Item = (String, String)>,
) -> ExitCode {
    let Cli { files, command } = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(usage) => {
            // A closed pipe is no reason to fail a `--help`.
            let _ = usage.print();
            return ExitCode::from(if usage.use_stderr() { Failure::MISUSED } else { 0 });
        }
    };
    let setup = Setup { files: files.config, environment: environment.collect() };
    let done = match command.unwrap_or_else(|| Command::Serve(Files::default())) {
        Command::Serve(files) => serve::run(setup.and(files)),
        Command::Check(arguments) => arguments
            .read(&setup.and(arguments.files.clone()))
            .and_then(|loaded| check::run(&loaded, &arguments)),
        Command::Config(arguments) => {
            setup.and(arguments.files.clone()).load().map(|loaded| config::run(&loaded, &arguments))
        }
        Command::Status(arguments) => setup
            .and(arguments.files.clone())
            .load_values()
            .and_then(|loaded| status::run(&loaded, &arguments)),
        Command::Top(arguments) => {
            setup.and(arguments.files.clone()).load_values().and_then(|loaded| top::run(&loaded, &arguments))
        }
        Command::Explain(arguments) => setup
            .and(arguments.files.clone())
            .load_values()
            .and_then(|loaded| explain::run(&loaded, &arguments)),
        Command::Doctor(arguments) => {
            setup.and(arguments.files.clone()).load().and_then(|loaded| doctor::run(&loaded, &arguments))
        }
        Command::Fingerprint(files) => {
            setup.and(files).load_values().and_then(|loaded| fingerprint::run(&loaded, std::io::stdin()))
        }
        Command::Health(files) => setup.and(files).load_values().and_then(|loaded| health::run(&loaded)),
        Command::Purge(arguments) => setup
            .and(arguments.files.clone())
            .load_values()
            .and_then(|loaded| purge::run(&loaded, &arguments)),
        Command::Completions(arguments) => {
            setup.expect_none().and_then(|()| completions::run(&arguments, Cli::command()))
        }
        Command::Demo(arguments) => setup.expect_none().and_then(|()| block_on(demo::run(arguments))),
        Command::Simulate(arguments) => setup.expect_none().and_then(|()| block_on(simulate::run(arguments))),
    };
    done.unwrap_or_else(|failure| failure.report())
}
