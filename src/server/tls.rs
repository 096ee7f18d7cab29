//! The certificate of `[listen.tls]`, read at start and again whenever its files change.
//!
//! New handshakes get the new certificate; files that do not fit each other are told of once and change nothing.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use super::StartError;
use crate::clock::Clock;
use crate::config::ListenTls;

const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// The certificate that handshakes get at present.
#[derive(Debug)]
pub(super) struct Certificate {
    files: Mutex<ListenTls>,
    provider: Arc<CryptoProvider>,
    current: Mutex<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// If one cannot be read, or they do not fit each other: names the key and the file.
    pub(super) fn read(files: &ListenTls) -> Result<Arc<Self>, StartError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let current = Pem::read(files).and_then(|pem| pem.parse(files, &provider)).map_err(StartError)?;
        Ok(Arc::new(Self { files: Mutex::new(files.clone()), provider, current: Mutex::new(current) }))
    }

    /// What makes TLS of an accepted connection: TLS 1.2 or 1.3, HTTP/2 preferred by ALPN.
    pub(super) fn acceptor(self: &Arc<Self>) -> TlsAcceptor {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// Looks at the files for ever.
    pub(super) async fn follow(self: Arc<Self>, clock: Clock) {
        let mut seen = Pem::read(&self.files());
        loop {
            clock.sleep(LOOK_INTERVAL).await;
            let pem = Pem::read(&self.files());
            if pem == seen {
                continue;
            }
            match pem.clone().and_then(|pem| pem.parse(&self.files(), &self.provider)) {
                Ok(certificate) => {
                    *self.current.lock().unwrap_or_else(PoisonError::into_inner) = certificate;
                    info!("certificate changed");
                }
                Err(error) => warn!(error, "the new certificate cannot be used; the old one stays"),
            }
            seen = pem;
        }
    }

    /// Reads the certificate of these files, and follows them from now on.
    ///
    /// # Errors
    ///
    /// As [`Self::read`]; then the earlier certificate and its files stay.
    pub(super) fn reread(&self, files: &ListenTls) -> Result<(), String> {
        let certificate = Pem::read(files).and_then(|pem| pem.parse(files, &self.provider))?;
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = files.clone();
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = certificate;
        Ok(())
    }

    fn files(&self) -> ListenTls {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

#[derive(Clone, PartialEq, Eq)]
struct Pem {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Pem {
    fn read(files: &ListenTls) -> Result<Self, String> {
        Ok(Self {
            certificate: read("listen.tls.certificate", &files.certificate)?,
            key: read("listen.tls.key", &files.key)?,
        })
    }

    fn parse(self, files: &ListenTls, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, String> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| fault("listen.tls.certificate", &files.certificate, &error))?;
        if chain.is_empty() {
            return Err(fault("listen.tls.certificate", &files.certificate, &"no certificate in PEM form"));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| fault("listen.tls.key", &files.key, &error))?;
        let certified = CertifiedKey::from_der(chain, key, provider)
            .map_err(|error| fault("listen.tls.key", &files.key, &error))?;
        Ok(Arc::new(certified))
    }
}

fn read(key: &str, file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| fault(key, file, &error))
}

fn fault(key: &str, file: &Path, reason: &dyn std::fmt::Display) -> String {
    format!("{key} {}: {reason}", file.display())
}
