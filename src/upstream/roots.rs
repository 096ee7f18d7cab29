//! [`Roots`]: which certificates of the upstream are trusted, exchangeable while connections are made.
//!
//! The roots are those of `upstream.ca_file`, or the platform's, or Mozilla's where the platform has none. Verification
//! cannot be switched off: what is exchanged is the set of roots under one and the same verifier.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::config::files;
use crate::proxy::SetupError;

/// The roots that new connections trust.
pub(super) struct Roots {
    provider: Arc<CryptoProvider>,
    current: ArcSwap<Arc<WebPkiServerVerifier>>,
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Roots")
    }
}

impl Roots {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// If `ca_file` cannot be read or holds no certificate.
    pub(super) fn read(ca_file: Option<&PathBuf>) -> Result<Arc<Self>, SetupError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let current = ArcSwap::from_pointee(verifier(ca_file, &provider)?);
        Ok(Arc::new(Self { provider, current }))
    }

    /// Reads them again: new connections trust what is there now.
    ///
    /// # Errors
    ///
    /// As [`Self::read`]; then the earlier ones stay.
    pub(super) fn reread(&self, ca_file: Option<&PathBuf>) -> Result<(), SetupError> {
        self.current.store(Arc::new(verifier(ca_file, &self.provider)?));
        Ok(())
    }

    /// TLS towards the upstream under these roots.
    ///
    /// # Errors
    ///
    /// If the provider has no suite for a version of TLS.
    pub(super) fn client(self: &Arc<Self>) -> Result<ClientConfig, SetupError> {
        let config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|cause| SetupError(format!("TLS: {cause}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(self) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        Ok(config)
    }
}

/// Every question goes to the library's own verifier.
impl ServerCertVerifier for Roots {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.current.load().verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current.load().verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current.load().verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current.load().supported_verify_schemes()
    }
}

fn verifier(
    ca_file: Option<&PathBuf>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, SetupError> {
    let roots = match ca_file {
        Some(file) => files::roots(file)
            .map_err(|fault| SetupError(format!("upstream.ca_file: {} {fault}", file.display())))?,
        None => public_roots(),
    };
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|cause| SetupError(format!("TLS: {cause}")))
}

/// The platform's roots; single unreadable ones are its own affair, and an image may have none at all.
fn public_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}
