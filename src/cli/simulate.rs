//! `simulate`: the simulated API alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

/// What the simulator serves, and where.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Address and port; port 0 takes a free one
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)))]
    pub(super) address: SocketAddr,
    /// Number that organizations, keys and labels are made from: the same ones for the same seed
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Serve TLS with a certificate made at start
    #[arg(long, requires = "ca_out")]
    pub(super) tls: bool,
    /// Write the root of that certificate to this file, for upstream.ca_file
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(super) ca_out: Option<PathBuf>,
}

pub(super) async fn run(_arguments: Arguments) -> ExitCode {
    super::Failure::failed("simulate is not available in this build").report()
}
