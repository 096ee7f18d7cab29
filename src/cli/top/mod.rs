//! `top`: who spends the limit: callers and keys of the running proxy, as a live view of a terminal, as lines or as JSON.

mod bill;
mod column;
mod lines;
mod live;
mod screen;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use self::bill::{Bill, Span, Subject};
use self::column::Column;
use self::screen::{NOT_TOLD_APART, Screen};
use super::admin_client::AdminClient;
use super::failure::Failure;
use super::output::Output;
use super::runtime::block_on;
use super::setup::Files;
use crate::config::Loaded;

const PATIENCE: Duration = Duration::from_secs(10);

/// What is shown.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) files: Files,
    #[command(flatten)]
    output: Output,
    /// What a row is
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    of: Subject,
    /// Over which time
    #[arg(long, value_enum, value_name = "TIME", default_value_t)]
    over: Span,
    /// The column to sort by
    #[arg(long, value_enum, value_name = "COLUMN", default_value_t)]
    sort: Column,
    /// Seconds between two looks, where standard output is a terminal
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
}

pub(super) fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let admin = &loaded.config.admin;
    let client = AdminClient::new(admin, PATIENCE)?.authorized(admin)?;
    let mut screen = Screen::new(arguments.of, arguments.over, arguments.sort);
    let is_live = arguments.output.is_text() && io::stdout().is_terminal() && io::stdin().is_terminal();
    if is_live {
        let every = Duration::from_secs(arguments.every);
        return block_on(live::show(&client, admin, screen, every));
    }
    let status = block_on(client.get("/api/status"))?.document(admin)?;
    let callers = status.get("callers").cloned().unwrap_or_default();
    if callers == Value::Null {
        return Err(Failure::failed(NOT_TOLD_APART));
    }
    screen.told(Bill::read(status));
    arguments.output.write(|| lines::text(&screen), &callers);
    Ok(ExitCode::SUCCESS)
}
