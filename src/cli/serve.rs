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
use crate::config::{Fault, Loaded};
use crate::logging::Logging;
use crate::metrics::ReloadResult;
use crate::server::{Drained, Server, Shutdown};

pub(super) fn run(
    loaded: Loaded,
    reread: impl Fn() -> Result<Loaded, Vec<Fault>>,
) -> Result<ExitCode, Failure> {
    let logging = Logging::start(&loaded.config.log).map_err(Failure::failed)?;
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
    server.metrics().follow_log(logging.dropped());
    info!(data = %server.data_address(), admin = %server.admin_address(), %upstream, "ready");
    let drained = wait(Arc::clone(&server))?;
    let reload = || reload(&server, &logging, reread());
    runtime.block_on(until_stopped(&server, inbox, drained, reload))
}

async fn until_stopped(
    server: &Server,
    mut inbox: Inbox,
    mut drained: oneshot::Receiver<Drained>,
    reload: impl Fn(),
) -> Result<ExitCode, Failure> {
    let mut signals = Signals::default();
    loop {
        let received = tokio::select! {
            signal = inbox.next() => signal,
            drained = &mut drained => return end(signals, drained.ok()),
        };
        match signals.react(received) {
            Reaction::Reload => reload(),
            Reaction::Stop(how) => {
                info!(?how, "stopping");
                server.shutdown(how);
            }
            Reaction::GoOn => {}
            Reaction::Abort => return Ok(ExitCode::from(Failure::FAILED)),
        }
    }
}

/// Makes a configuration that was read again hold, if it has no fault.
fn reload(server: &Server, logging: &Logging, read: Result<Loaded, Vec<Fault>>) {
    let loaded = match read {
        Ok(loaded) => loaded,
        Err(faults) => {
            server.metrics().config_reload(ReloadResult::Refused);
            for fault in &faults {
                warn!(%fault, "configuration not taken");
            }
            warn!(faults = faults.len(), "the configuration has faults: the earlier one goes on");
            return;
        }
    };
    for notice in loaded.notices() {
        warn!("{notice}");
    }
    if let Err(error) = logging.set_level(&loaded.config.log.level) {
        warn!(error, "log.level not taken");
    }
    match server.reload(&loaded.config) {
        Ok(waiting) => {
            for key in waiting {
                warn!(key = key.as_str(), "changed, and needs a restart");
            }
            server.metrics().config_reload(ReloadResult::Applied);
            info!("configuration taken");
        }
        Err(error) => {
            server.metrics().config_reload(ReloadResult::Refused);
            warn!(%error, "a file of the configuration could not be used");
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
    hangup: unix::Signal,
}

impl Inbox {
    fn open() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hangup: unix::signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.hangup.recv() => Signal::Hangup,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Terminate,
    Interrupt,
    Hangup,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    Stop(Shutdown),
    /// Read the configuration again.
    Reload,
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
            // Who is about to end takes nothing new.
            Signal::Hangup if self.any() => Reaction::GoOn,
            Signal::Hangup => Reaction::Reload,
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
        use Reaction::{Abort, GoOn, Reload, Stop};
        use Signal::{Hangup, Interrupt, Terminate};
        const GRACEFUL: Reaction = Stop(Shutdown::Graceful);
        const AT_ONCE: Reaction = Stop(Shutdown::WithoutDelay);
        for (received, reactions) in [
            ([Terminate, Terminate, Terminate], [GRACEFUL, GoOn, GoOn]),
            ([Interrupt, Interrupt, Interrupt], [AT_ONCE, Abort, Abort]),
            ([Terminate, Interrupt, Interrupt], [GRACEFUL, AT_ONCE, Abort]),
            ([Interrupt, Terminate, Interrupt], [AT_ONCE, GoOn, Abort]),
            ([Hangup, Hangup, Terminate], [Reload, Reload, GRACEFUL]),
            ([Terminate, Hangup, Interrupt], [GRACEFUL, GoOn, AT_ONCE]),
        ] {
            let mut signals = Signals::default();
            assert_eq!(received.map(|signal| signals.react(signal)), reactions);
        }
    }
}
