//! [`Way`]: how a connection to a server of the store is made, within a time of its own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::client::{Login, Wire};
use super::error::{StoreError, StoreErrorKind};
use super::reply::Reply;
use super::script::Script;
use super::tls::Tls;
use crate::clock::{Clock, Moment};
use crate::config::{StoreAddress, StoreSettings, StoreTransport, files};

/// For name look-up, TCP, TLS and log-in together. No request waits for any of it, and a thousand replicas that connect at
/// once keep a server busy for longer than one call may take.
pub(super) const CONNECT: Duration = Duration::from_secs(2);

/// Which address is asked first where everything is: each time the one behind that of the last time. One that is cut off with
/// the servers that it knows answers as promptly as any, and what it names is of no use to anybody.
#[derive(Clone, Debug, Default)]
pub struct First(Arc<AtomicUsize>);

impl First {
    /// One of so many.
    pub(super) fn next(&self, count: usize) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed) % count.max(1)
    }
}

/// How connections are made.
#[derive(Clone, Debug)]
pub(super) struct Way {
    settings: StoreSettings,
    first: First,
    clock: Clock,
    tls: Option<Arc<Tls>>,
}

/// As whom one logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum As {
    /// The configured user, in the configured database.
    User,
    /// Nobody: Sentinels mostly ask for no password, and refuse one that they do not know.
    Nobody,
}

impl Way {
    pub(super) fn new(settings: StoreSettings, clock: Clock) -> Self {
        Self::beginning_with(First::default(), settings, clock)
    }

    pub(super) fn beginning_with(first: First, settings: StoreSettings, clock: Clock) -> Self {
        let tls = match &settings.transport {
            StoreTransport::Plain => None,
            StoreTransport::Tls { ca_file, client } => {
                Some(Arc::new(Tls::new(ca_file.clone(), client.clone())))
            }
        };
        Self { settings, first, clock, tls }
    }

    pub(super) const fn first(&self) -> &First {
        &self.first
    }

    pub(super) const fn settings(&self) -> &StoreSettings {
        &self.settings
    }

    pub(super) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// A connection to this server, as the configured user.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Lost`] if there is none, [`StoreErrorKind::Timeout`] if it takes too long, and whatever the server
    /// refuses the log-in for.
    pub(super) async fn connect(
        &self,
        address: &StoreAddress,
        who: As,
    ) -> Result<(Wire, mpsc::Receiver<Vec<u8>>), StoreError> {
        let deadline = self.clock.now().plus(CONNECT);
        // Boxed: TLS and log-in are large, and whoever connects would be as large.
        within(&self.clock, deadline, Box::pin(self.connect_whenever(address, who))).await
    }

    async fn connect_whenever(
        &self,
        address: &StoreAddress,
        who: As,
    ) -> Result<(Wire, mpsc::Receiver<Vec<u8>>), StoreError> {
        let login = self.login(who)?;
        #[cfg(test)]
        if let Some(pipe) = super::pipes::dial() {
            return Wire::open(pipe, &login).await;
        }
        let stream = TcpStream::connect((address.host.as_str(), address.port));
        let stream = stream.await.map_err(|fault| lost(address, &fault))?;
        stream.set_nodelay(true).map_err(|fault| lost(address, &fault))?;
        match &self.tls {
            None => Wire::open(stream, &login).await,
            Some(tls) => Wire::open(tls.over(stream, address).await?, &login).await,
        }
    }

    /// Who connects. The file is read each time, so that a password that was changed counts from the next connection on.
    fn login(&self, who: As) -> Result<Login, StoreError> {
        if who == As::Nobody {
            return Ok(Login { username: None, password: None, database: 0 });
        }
        let password = match &self.settings.password_file {
            None => None,
            Some(path) => {
                let unusable = |problem| {
                    let detail = format!("shared.password_file {} {problem}", path.display());
                    StoreError::new(StoreErrorKind::NoAuth, detail)
                };
                Some(files::password(path).map_err(unusable)?)
            }
        };
        Ok(Login {
            username: self.settings.username.clone(),
            password: password.map(|password| password.expose().to_owned()),
            database: self.settings.database,
        })
    }
}

fn lost(address: &StoreAddress, fault: &io::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Lost, format!("{address}: {fault}"))
}

/// What a future gives, or [`StoreErrorKind::Timeout`] at the deadline.
pub(super) async fn within<T>(
    clock: &Clock,
    deadline: Moment,
    future: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    clock
        .deadline(deadline, future)
        .await
        .unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::Timeout, "")))
}

/// Runs a script: by its digest, and whole where the server does not know it.
pub(super) async fn run(
    wire: &Wire,
    script: &Script,
    keys: &[&[u8]],
    args: &[&[u8]],
) -> Result<Reply, StoreError> {
    let count = keys.len().to_string();
    let mut words = Vec::with_capacity(3 + keys.len() + args.len());
    words.extend([b"EVALSHA".as_slice(), script.digest().as_bytes(), count.as_bytes()]);
    words.extend_from_slice(keys);
    words.extend_from_slice(args);
    match wire.ask(&words).await {
        Err(error) if error.kind() == StoreErrorKind::NoScript => {
            words[..2].copy_from_slice(&[b"EVAL".as_slice(), script.body().as_bytes()]);
            wire.ask(&words).await
        }
        answered => answered,
    }
}
