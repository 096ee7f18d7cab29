//! Where a command waits.

use tokio::runtime::{Builder, Runtime};

use super::failure::Failure;

/// The runtime of a command's own sockets and signals; the server brings its own.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|reason| Failure::failed(format!("the runtime cannot start: {reason}")))
}

pub(super) fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    runtime()?.block_on(command)
}
