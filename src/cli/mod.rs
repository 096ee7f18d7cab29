//! The command line: one file a command, and the exit codes that all of them share.
//!
//! 0 is fine, 1 failed while running, 2 bad configuration or usage. What a command was asked for goes to stdout, why it
//! could not be done to stderr.

mod admin_client;
mod check;
mod completions;
mod config;
mod demo;
mod health;
mod purge;
mod reload;
mod serve;
mod simulate;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

use crate::config::{Fault, Loaded, load, load_values};

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
    Check(Files),
    /// Print the effective configuration, each value with where it came from
    Config(Files),
    /// Ask the running proxy whether it is ready
    Health(Files),
    /// Take stored responses away: all, or those of one organization or label
    Purge(purge::Arguments),
    /// Print the script that completes this command line in a shell
    Completions(completions::Arguments),
}

/// The files of the configuration. Stands before and behind a command's name; what is named before comes first. Not
/// clap's `global`, which forgets the former where there are both.
#[derive(Args, Clone, Debug, Default)]
struct Files {
    /// Configuration file in TOML; may be repeated: later ones win, and the environment wins over all
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
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
        Command::Check(files) => setup.and(files).load().map(|loaded| check::run(&loaded)),
        Command::Config(files) => setup.and(files).load().map(|loaded| config::run(&loaded)),
        Command::Health(files) => setup.and(files).load_values().and_then(|loaded| health::run(&loaded)),
        Command::Purge(arguments) => setup
            .and(arguments.files.clone())
            .load_values()
            .and_then(|loaded| purge::run(&loaded, &arguments)),
        Command::Completions(arguments) => setup.expect_none().and_then(|()| completions::run(&arguments)),
        Command::Demo(arguments) => setup.expect_none().and_then(|()| block_on(demo::run(arguments))),
        Command::Simulate(arguments) => setup.expect_none().and_then(|()| block_on(simulate::run(arguments))),
    };
    done.unwrap_or_else(|failure| failure.report())
}

/// What a command needs to read its configuration.
struct Setup {
    files: Vec<PathBuf>,
    environment: Vec<(String, String)>,
}

impl Setup {
    fn and(mut self, more: Files) -> Self {
        self.files.extend(more.config);
        self
    }

    fn load(&self) -> Result<Loaded, Failure> {
        self.read().map_err(Failure::from)
    }

    fn read(&self) -> Result<Loaded, Vec<Fault>> {
        load(&self.files, self.environment.iter().cloned())
    }

    fn load_values(self) -> Result<Loaded, Failure> {
        load_values(&self.files, self.environment.into_iter()).map_err(Failure::from)
    }

    /// For commands that bring a configuration of their own.
    fn expect_none(self) -> Result<(), Failure> {
        if self.files.is_empty() { Ok(()) } else { Err(Failure::misused("this command reads no --config")) }
    }
}

/// Why a command could not do what it was asked for.
#[derive(Debug)]
struct Failure {
    code: u8,
    lines: Vec<String>,
}

impl Failure {
    const FAILED: u8 = 1;
    const MISUSED: u8 = 2;

    fn failed(reason: impl Display) -> Self {
        Self { code: Self::FAILED, lines: vec![reason.to_string()] }
    }

    fn misused(reason: impl Display) -> Self {
        Self { code: Self::MISUSED, lines: vec![reason.to_string()] }
    }

    fn report(self) -> ExitCode {
        let mut stderr = io::stderr().lock();
        for line in self.lines {
            // Whoever closed stderr does not want to know.
            let _ = writeln!(stderr, "instantly-proxy: {line}");
        }
        ExitCode::from(self.code)
    }
}

impl From<Vec<Fault>> for Failure {
    fn from(faults: Vec<Fault>) -> Self {
        Self { code: Self::MISUSED, lines: faults.iter().map(ToString::to_string).collect() }
    }
}

/// Writes a command's output; whoever closed the pipe has read enough.
fn say(text: impl Display) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// The runtime of a command's own sockets and signals; the server brings its own.
fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|reason| Failure::failed(format!("the runtime cannot start: {reason}")))
}

fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    runtime()?.block_on(command)
}
