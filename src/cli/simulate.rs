//! `simulate`: the simulated API alone.

use std::io::{self, IsTerminal};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::arming::{Armed, follow_input};
use super::failure::Failure;
use super::say::say;
use crate::clock::Clock;
use crate::simulator::{Limits, Simulator, SimulatorConfig};

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
    /// Calls that a workspace may make in any second
    #[arg(long, value_name = "CALLS", default_value_t = Limits::default().per_second)]
    limit: usize,
    /// Calls that it may make in any minute
    #[arg(long, value_name = "CALLS", default_value_t = Limits::default().per_minute)]
    limit_per_minute: usize,
    /// How long every answer takes
    #[arg(long, value_name = "TIME")]
    latency: Option<String>,
    /// The error that is answered in place of everything, or with /N every Nth time
    #[arg(long, value_name = "STATUS")]
    fail: Option<String>,
    /// Any other fault, such as hang, lag=2s, fail=503@read_label or edge-block/3; may be repeated
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<String>,
    /// Arm faults from lines of standard input while it runs; "clear" ends all
    #[arg(long)]
    faults_stdin: bool,
}

impl Arguments {
    fn armed(&self) -> Result<Vec<Armed>, Failure> {
        let latency = self.latency.iter().map(|time| format!("latency={time}"));
        let fail = self.fail.iter().map(|status| format!("fail={status}"));
        let words = latency.chain(fail).chain(self.faults.iter().cloned());
        words.map(|words| Armed::parse(&words).map_err(Failure::misused)).collect()
    }
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let armed = arguments.armed()?;
    let Arguments { address, seed, tls, ca_out, limit, limit_per_minute, faults_stdin, .. } = arguments;
    let limits = Limits { per_second: limit, per_minute: limit_per_minute, ..Limits::default() };
    let config = SimulatorConfig { address, seed, tls, limits, ..SimulatorConfig::default() };
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
    let mut limits = limits;
    for armed in armed {
        armed.arm(&simulator, &mut limits).map_err(Failure::misused)?;
    }
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Failure::failed)?,
        // Not unasked: whoever stands in the background of a terminal is stopped when it reads.
        () = follow_input(&simulator, limits), if faults_stdin => {}
    }
    simulator.stop().await;
    Ok(ExitCode::SUCCESS)
}
