//! `health`: ask the running proxy's `/readyz`; for probes in an image without a shell.

use std::process::ExitCode;
use std::time::Duration;

use http::StatusCode;

use super::admin_client::AdminClient;
use super::failure::Failure;
use super::runtime::block_on;
use super::say::say;
use crate::config::Loaded;

/// A probe that hangs is a failed probe; orchestrators give one second or more.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn run(loaded: &Loaded) -> Result<ExitCode, Failure> {
    let client = AdminClient::new(&loaded.config.admin, PATIENCE)?;
    let answer = block_on(client.get("/readyz"))?;
    match answer.status {
        StatusCode::OK => {
            say("ready");
            Ok(ExitCode::SUCCESS)
        }
        status => Err(Failure::failed(format!("not ready: the admin listener answered {status}"))),
    }
}
