//! The certificate of `[listen.tls]`, read at start and again whenever its files change.
//!
//! New handshakes get the new certificate; files that do not fit each other are told of once and change nothing. One that
//! will expire within two weeks is told of once a day.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use super::client_verifier::{ClientVerifier, Roots};
use super::start_error::StartError;
use crate::clock::Moment;
use crate::config::ListenTls;
use crate::config::files::{self, Mark};
use crate::lock::Mutex;
use crate::metrics::{CertificateOf, Metrics};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The certificate that handshakes get at present.
#[derive(Debug)]
pub(super) struct Certificate {
    provider: Arc<CryptoProvider>,
    state: Mutex<State>,
    /// Asks clients for certificates, where they have any.
    clients: Option<Arc<ClientVerifier>>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct State {
    pair: Pair,
    /// Of what the files were last found to hold, be it of no use.
    seen: (Mark, Mark),
    warned: Option<Moment>,
}

/// A certificate with its key, and where they came from.
#[derive(Debug)]
pub(super) struct Pair {
    files: ListenTls,
    seen: (Mark, Mark),
    certified: Arc<CertifiedKey>,
    /// Since 1970.
    expires: Option<Duration>,
    /// Those of clients' certificates, where they were read as well.
    clients: Option<Roots>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// If one cannot be read, or they do not fit each other: names the key and the file.
    pub(super) fn read(files: &ListenTls, metrics: Arc<Metrics>) -> Result<Arc<Self>, StartError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let pair = Contents::read(files).pair(files, &provider).map_err(StartError)?;
        let state = Mutex::new(State { seen: pair.seen, pair, warned: None });
        let clients =
            files.clients.as_ref().map(|clients| ClientVerifier::read(clients, &provider)).transpose()?;
        let certificate = Self { provider, state, clients, metrics };
        certificate.show_end();
        Ok(Arc::new(certificate))
    }

    fn show_end(&self) {
        if let Some(end) = self.state.lock().pair.expires {
            self.metrics.certificate(CertificateOf::Listen, end);
        }
    }

    /// What makes TLS of an accepted connection: TLS 1.2 or 1.3, HTTP/2 preferred by ALPN.
    pub(super) fn acceptor(self: &Arc<Self>) -> TlsAcceptor {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for both versions");
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                builder.with_client_cert_verifier(Arc::clone(clients) as Arc<dyn ClientCertVerifier>)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        if self.clients.is_some() {
            // A resumed session would go on under roots that have gone.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// Reads a pair for [`Self::take`], and changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub(super) fn prepare(&self, files: &ListenTls) -> Result<Pair, StartError> {
        let clients = match (&self.clients, &files.clients) {
            (Some(_), Some(clients)) => Some(Roots::read(clients, &self.provider)?),
            _ => None,
        };
        let pair = Contents::read(files).pair(files, &self.provider).map_err(StartError)?;
        Ok(Pair { clients, ..pair })
    }

    /// From now on handshakes get this.
    pub(super) fn take(&self, mut pair: Pair) {
        // What was read when it was checked: the file may hold something else by now.
        if let (Some(verifier), Some(roots)) = (&self.clients, pair.clients.take()) {
            verifier.take(roots);
        }
        self.state.lock().take(pair);
        self.show_end();
    }

    /// Looks whether the files have changed, and how long the certificate is still good.
    pub(super) fn follow(&self, now: Moment) {
        let files = self.state.lock().pair.files.clone();
        if let Some(verifier) = &self.clients {
            verifier.follow();
        }
        let contents = Contents::read(&files);
        let seen = contents.seen();
        if self.state.lock().is_news(&files, seen) {
            match contents.pair(&files, &self.provider) {
                Ok(pair) => {
                    let mut state = self.state.lock();
                    if state.pair.files == files {
                        state.take(pair);
                    }
                }
                Err(error) => warn!(error, "the new certificate cannot be used; the old one stays"),
            }
            self.show_end();
        }
        self.state.lock().warn_of_expiry(now);
    }
}

impl State {
    /// Whether files hold something else than they did. A reload may have named others while these were read, on a mount that
    /// hangs for long: what stood in these counts no more.
    fn is_news(&mut self, files: &ListenTls, seen: (Mark, Mark)) -> bool {
        self.pair.files == *files && std::mem::replace(&mut self.seen, seen) != seen
    }

    fn take(&mut self, pair: Pair) {
        if self.pair.seen != pair.seen {
            info!(file = %pair.files.certificate.display(), "certificate changed");
            self.warned = None;
        }
        self.seen = pair.seen;
        self.pair = pair;
    }

    fn warn_of_expiry(&mut self, now: Moment) {
        let Some(expires) = self.pair.expires else { return };
        let left = expires.saturating_sub(now.unix());
        if left >= files::ENDS_SOON || self.warned.is_some_and(|last| now.since(last) < DAY) {
            return;
        }
        self.warned = Some(now);
        let (file, days_left) = (self.pair.files.certificate.display(), left.as_secs() / DAY.as_secs());
        if left.is_zero() {
            warn!(%file, days_left, "the certificate has expired");
        } else {
            warn!(%file, days_left, "the certificate expires soon");
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.state.lock().pair.certified))
    }
}

/// What both files hold.
struct Contents {
    certificate: Result<Vec<u8>, String>,
    key: Result<Vec<u8>, String>,
}

impl Contents {
    fn read(files: &ListenTls) -> Self {
        Self { certificate: files::contents(&files.certificate), key: files::contents(&files.key) }
    }

    fn seen(&self) -> (Mark, Mark) {
        (Mark::of_read(&self.certificate), Mark::of_read(&self.key))
    }

    fn pair(self, files: &ListenTls, provider: &CryptoProvider) -> Result<Pair, String> {
        let seen = self.seen();
        let of_certificate = |error| fault("listen.tls.certificate", &files.certificate, error);
        let of_key = |error| fault("listen.tls.key", &files.key, error);
        let chain = self.certificate.and_then(|pem| files::certificates_of(&pem)).map_err(of_certificate)?;
        let key = self.key.and_then(|pem| files::private_key_of(&pem)).map_err(of_key)?;
        let expires = chain.first().and_then(files::end_of);
        let certified = Arc::new(files::certified_key(chain, key, provider).map_err(of_key)?);
        Ok(Pair { files: files.clone(), seen, certified, expires, clients: None })
    }
}

fn fault(key: &str, file: &Path, reason: String) -> String {
    format!("{key} {}: {reason}", file.display())
}
