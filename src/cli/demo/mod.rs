//! `demo`: simulator, proxy and a modest load on loopback, with a live line of figures and a summary. With `--replicas`, a fleet
//! of proxies and the store in which they meet.

mod figures;
mod load;
mod replicas;
mod store;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use self::figures::{Figures, Observed};
use self::replicas::Replicas;
use super::failure::Failure;
use super::say::say;
use crate::clock::Clock;
use crate::simulator::{Simulator, SimulatorConfig};

/// How the demonstration ends, and what it shows.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// End after this time, such as 10s; without it Ctrl-C ends it
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Start so many proxies as one fleet, 2 to 16, with a valkey-server or redis-server from PATH
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=16))]
    replicas: Option<u16>,
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let clock = Clock::system();
    // From here on: whoever ends it early is to find no server left behind.
    let mut terminated = signal(SignalKind::terminate()).map_err(Failure::failed)?;
    let simulation = SimulatorConfig { labels_per_organization: 60, ..SimulatorConfig::default() };
    let simulator = Arc::new(Simulator::start(simulation, clock.clone()).await.map_err(Failure::failed)?);
    let replicas = tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        _ = terminated.recv() => return Ok(ExitCode::SUCCESS),
        started = start(&arguments, &simulator, &clock) => started?,
    };
    say(format_args!("API (simulated)  {}", simulator.url()));
    replicas.lines().iter().for_each(say);

    let observed = Arc::<Observed>::default();
    let load = load::start(&simulator, &replicas.addresses(), &clock, &observed);
    let metrics = replicas.metrics();
    let begun = clock.now();
    let figures = || Figures::of(&metrics, clock.now().since(begun));
    let end = arguments.duration.map(|duration| begun.plus(duration));
    let mut before = Figures::default();
    loop {
        let next = clock.now().plus(Duration::from_secs(1));
        let stop = end.is_some_and(|end| next.since(begun) >= end.since(begun));
        tokio::select! {
            () = clock.sleep_until(end.filter(|_| stop).unwrap_or(next)) => {}
            _ = tokio::signal::ctrl_c() => break,
            _ = terminated.recv() => break,
        }
        if stop {
            break;
        }
        let now = figures();
        show(&now.line_since(&before));
        before = now;
    }
    load.stop().await;

    say(format_args!("\n{}", figures().summary(&observed).trim_end()));
    // Blocks, but nothing else runs here any more.
    replicas.stop();
    if let Some(simulator) = Arc::into_inner(simulator) {
        simulator.stop().await;
    }
    Ok(ExitCode::SUCCESS)
}

async fn start(arguments: &Arguments, simulator: &Simulator, clock: &Clock) -> Result<Replicas, Failure> {
    match arguments.replicas {
        None => Replicas::one(simulator, clock),
        Some(count) => Replicas::fleet(count, simulator, clock).await,
    }
}

/// One line, over the one before it on a terminal.
fn show(line: &str) {
    let mut stdout = io::stdout().lock();
    if stdout.is_terminal() {
        // Whoever closed the pipe has read enough.
        let _ = write!(stdout, "\r\x1b[K{line}").and_then(|()| stdout.flush());
    } else {
        drop(stdout);
        say(line);
    }
}
