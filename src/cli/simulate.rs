//! `simulate`: the simulated API alone.

use std::io::{self, IsTerminal};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::failure::Failure;
use super::say::say;
use crate::clock::Clock;
use crate::simulator::{Simulator, SimulatorConfig};

/// What the simulator serves, and where.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Address and port; port 0 takes a free one
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)))]
    address: SocketAddr,
    /// Number that organizations, keys and labels are made from: the same ones for the same seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Serve TLS with a certificate made at start
    #[arg(long, requires = "ca_out")]
    tls: bool,
    /// Write the root of that certificate to this file, for upstream.ca_file
    #[arg(long, value_name = "FILE", requires = "tls")]
    ca_out: Option<PathBuf>,
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { address, seed, tls, ca_out } = arguments;
    let config = SimulatorConfig { address, seed, tls, ..SimulatorConfig::default() };
    let simulator = Simulator::start(config, Clock::system())
        .await
        .map_err(|cause| Failure::failed(format_args!("{address}: {cause}")))?;
    if let (Some(file), Some(pem)) = (ca_out, simulator.ca_pem()) {
        std::fs::write(&file, pem)
            .map_err(|cause| Failure::failed(format_args!("{}: {cause}", file.display())))?;
    }
    say(simulator.world().describe().trim_end());
    say(format_args!("The simulated API listens on {}", simulator.url()));
    if io::stdout().is_terminal() {
        say("Ctrl-C ends it.");
    }
    tokio::signal::ctrl_c().await.map_err(Failure::failed)?;
    simulator.stop().await;
    Ok(ExitCode::SUCCESS)
}
