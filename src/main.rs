//! The `instantly-proxy` program: the allocator, and the command line of [`instantly_proxy::cli`].

use std::process::ExitCode;

use instantly_proxy::{cli, config};

/// Many small, short-lived allocations on several threads: what the system's allocator is slowest at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(std::env::args_os(), config::environment())
}
