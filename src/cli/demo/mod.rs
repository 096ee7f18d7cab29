//! `demo`: simulator, proxy and a modest load on loopback, with a live line of figures and a summary.

mod figures;
mod load;

use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use self::figures::Figures;
use super::failure::Failure;
use super::say::say;
use crate::clock::Clock;
use crate::config::Config;
use crate::server::{Server, Shutdown};
use crate::simulator::{Simulator, SimulatorConfig};

/// How the demonstration ends.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// End after this time, such as 10s; without it Ctrl-C ends it
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let clock = Clock::system();
    let simulation = SimulatorConfig { labels_per_organization: 60, ..SimulatorConfig::default() };
    let simulator = Arc::new(Simulator::start(simulation, clock.clone()).await.map_err(Failure::failed)?);
    let server = Server::start(configuration(&simulator)?, clock.clone()).map_err(Failure::failed)?;
    say(format_args!("API (simulated)  {}", simulator.url()));
    say(format_args!("proxy            http://{}", server.data_address()));
    say(format_args!("dashboard        http://{}/", server.admin_address()));

    let latencies = Arc::default();
    let load = load::start(&simulator, server.data_address(), &clock, &latencies);
    let begun = clock.now();
    let end = arguments.duration.map(|duration| begun.plus(duration));
    let mut before = Figures::of(&server.metrics(), Duration::ZERO);
    loop {
        let next = clock.now().plus(Duration::from_secs(1));
        let stop = end.is_some_and(|end| next.since(begun) >= end.since(begun));
        tokio::select! {
            () = clock.sleep_until(end.filter(|_| stop).unwrap_or(next)) => {}
            _ = tokio::signal::ctrl_c() => break,
        }
        if stop {
            break;
        }
        let now = Figures::of(&server.metrics(), clock.now().since(begun));
        show(&now.line_since(&before));
        before = now;
    }
    load.stop().await;

    let figures = Figures::of(&server.metrics(), clock.now().since(begun));
    say(format_args!("\n{}", figures.summary(&latencies).trim_end()));
    server.shutdown(Shutdown::Now);
    // Blocks, but nothing else runs here any more.
    let _ = server.wait();
    if let Some(simulator) = Arc::into_inner(simulator) {
        simulator.stop().await;
    }
    Ok(ExitCode::SUCCESS)
}

/// Defaults, on free ports, in front of the simulator.
fn configuration(simulator: &Simulator) -> Result<Config, Failure> {
    let mut config = Config::default();
    config.listen.address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.admin.address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.upstream.url = simulator.url().parse().map_err(Failure::failed)?;
    Ok(config)
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
