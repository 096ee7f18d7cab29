//! `serve`: the proxy, from its configuration to the end of its drain.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use http::StatusCode;
use tokio::runtime::Runtime;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::admin_client::AdminClient;
use super::failure::Failure;
use super::reload::Reloads;
use super::runtime::runtime;
use super::setup::Setup;
use crate::clock::Clock;
use crate::config::{Config, Key};
use crate::descriptors;
use crate::logging;
use crate::server::{Drained, Server, Shutdown, StartError};

/// For the answer of a process that holds a port.
const PATIENCE: Duration = Duration::from_millis(500);

pub(super) fn run(setup: Setup) -> Result<ExitCode, Failure> {
    let loaded = setup.load()?;
    // The last to go: what is logged until then is written.
    let (log, _flush) = logging::init(&loaded.config.log).map_err(Failure::failed)?;
    // Before anything is opened for callers. What was given goes on where more is refused.
    if let Err(error) = descriptors::raise() {
        warn!(%error, "the limit of open files could not be raised");
    }
    for notice in loaded.notices(descriptors::highest()) {
        warn!("{notice}");
    }
    // Fails if there is a provider already, which is as good: this program knows one only.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = runtime()?;
    // Before the ports open: as the first process of a container, a signal without a handler would be ignored.
    let inbox = runtime.block_on(async { Inbox::open() }).map_err(Failure::failed)?;

    let started = Server::start(loaded.config.clone(), Clock::system());
    let server =
        Arc::new(started.map_err(|error| Failure::failed(explained(&error, &runtime, &loaded.config)))?);
    let dropped = log.lines_dropped();
    server.metrics().follow_log(move || dropped.load(Ordering::Relaxed));
    info!(data = %server.data_address(), admin = %server.admin_address(), upstream = %loaded.config.upstream.url, "ready");
    for way in loaded.egress() {
        info!(way, "there is a forward proxy");
    }
    let drained = wait(Arc::clone(&server))?;
    let reloads = Reloads::start(setup, loaded, log, Arc::clone(&server)).map_err(Failure::failed)?;
    runtime.block_on(until_stopped(&server, &reloads, inbox, drained))
}

/// Why there is no server. A port is mostly taken by an earlier process of the same kind, which can be asked.
fn explained(error: &StartError, runtime: &Runtime, config: &Config) -> String {
    let is_of_a_port =
        [Key::ListenAddress, Key::AdminAddress].iter().any(|key| error.0.starts_with(key.as_str()));
    let asking = AdminClient::new(&config.admin, PATIENCE).ok().filter(|_| is_of_a_port);
    let answer = asking.and_then(|client| runtime.block_on(client.get("/readyz")).ok());
    match answer.map(|answer| answer.status) {
        Some(StatusCode::SERVICE_UNAVAILABLE) => format!(
            "{error}: an earlier process is stopping, and lets go of its ports within listen.drain_delay and \
             listen.drain_timeout"
        ),
        Some(StatusCode::OK) => format!("{error}: another process answers on admin.address, and is ready"),
        _ => error.to_string(),
    }
}

async fn until_stopped(
    server: &Server,
    reloads: &Reloads,
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
            Reaction::Reload => reloads.ask(),
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
        Some(_) if signals.any() => {
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
            // What is stopping would serve nobody with it.
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
