//! `serve`: the proxy, from its configuration to the end of its drain.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use tokio::signal::unix::{self, SignalKind};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{Failure, runtime};
use crate::clock::Clock;
use crate::config::Loaded;
use crate::logging;
use crate::server::{Drained, Server, Shutdown};

pub(super) fn run(loaded: Loaded) -> Result<ExitCode, Failure> {
    logging::init(&loaded.config.log).map_err(Failure::failed)?;
    for notice in loaded.notices() {
        warn!("{notice}");
    }
    // Fails if there is a provider already, which is as good: this program knows one only.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = runtime()?;
    // Before the ports open: as the first process of a container, a signal without a handler would be ignored.
    let inbox = runtime.block_on(async { Inbox::open() }).map_err(Failure::failed)?;

    let upstream = loaded.config.upstream.url.clone();
    let server = Arc::new(Server::start(loaded.config, Clock::system()).map_err(Failure::failed)?);
    info!(data = %server.data_address(), admin = %server.admin_address(), %upstream, "ready");
    let drained = wait(Arc::clone(&server))?;
    runtime.block_on(until_stopped(&server, inbox, drained))
}

async fn until_stopped(
    server: &Server,
    mut inbox: Inbox,
    mut drained: oneshot::Receiver<Drained>,
) -> Result<ExitCode, Failure> {
    let mut signals = Signals::default();
    loop {
        let received = tokio::select! {
            signal = inbox.next() => signal,
            drained = &mut drained => return end(signals, drained.ok()),
        };
        match signals.react(received) {
            Reaction::Stop(how) => {
                info!(?how, "stopping");
                server.shutdown(how);
            }
            Reaction::GoOn => {}
            Reaction::Abort => return Ok(ExitCode::from(Failure::FAILED)),
        }
    }
}

/// Waits for the server's end on a thread of its own: it blocks, and signals must be heard meanwhile.
fn wait(server: Arc<Server>) -> Result<oneshot::Receiver<Drained>, Failure> {
    let (sender, drained) = oneshot::channel();
    let waiting = move || {
        // Nobody listens any more after a second SIGINT.
        let _ = sender.send(server.wait());
    };
    thread::Builder::new().name("drain".to_owned()).spawn(waiting).map_err(Failure::failed)?;
    Ok(drained)
}

/// A drain that ran out of time is an end like any other, but for what it cut.
fn end(signals: Signals, drained: Option<Drained>) -> Result<ExitCode, Failure> {
    match drained {
        Some(Drained { cut }) if signals.any() => {
            if cut > 0 {
                warn!(connections = cut, "drain time-out: connections with a request under way were cut");
            }
            info!("stopped");
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(Failure::failed("the server ended without being told to")),
    }
}

/// Where the system's signals come in.
struct Inbox {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Inbox {
    fn open() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Terminate,
    Interrupt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    Stop(Shutdown),
    GoOn,
    /// End at once: somebody at a terminal asked twice.
    Abort,
}

/// What came so far.
#[derive(Clone, Copy, Debug, Default)]
struct Signals {
    terminated: bool,
    interrupted: bool,
}

impl Signals {
    fn react(&mut self, signal: Signal) -> Reaction {
        match signal {
            // Orchestrators repeat themselves; the drain that they were promised goes on.
            Signal::Terminate if self.any() => Reaction::GoOn,
            Signal::Terminate => {
                self.terminated = true;
                Reaction::Stop(Shutdown::Graceful)
            }
            Signal::Interrupt if self.interrupted => Reaction::Abort,
            Signal::Interrupt => {
                self.interrupted = true;
                Reaction::Stop(Shutdown::WithoutDelay)
            }
        }
    }

    const fn any(self) -> bool {
        self.terminated || self.interrupted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_is_answered_by_what_came_before_it() {
        use Reaction::{Abort, GoOn, Stop};
        use Signal::{Interrupt, Terminate};
        const GRACEFUL: Reaction = Stop(Shutdown::Graceful);
        const AT_ONCE: Reaction = Stop(Shutdown::WithoutDelay);
        for (received, reactions) in [
            ([Terminate, Terminate, Terminate], [GRACEFUL, GoOn, GoOn]),
            ([Interrupt, Interrupt, Interrupt], [AT_ONCE, Abort, Abort]),
            ([Terminate, Interrupt, Interrupt], [GRACEFUL, AT_ONCE, Abort]),
            ([Interrupt, Terminate, Interrupt], [AT_ONCE, GoOn, Abort]),
        ] {
            let mut signals = Signals::default();
            assert_eq!(received.map(|signal| signals.react(signal)), reactions);
        }
    }
}
