//! Whom TLS trusts: public roots, or `NamedRoots`, the certificates of `upstream.ca_file`; and what is a fault of a certificate.
//!
//! A server that signs for itself often presents the very certificate that its clients are given, marked as an authority
//! (`CA:TRUE`): `openssl req -x509` makes it so, and `curl --cacert` takes it. The library refuses an authority at the end of a
//! chain, whoever it is. Here such a certificate is accepted where it is, byte for byte, one that the operator named, stands
//! for the name that was asked for, and is valid now. That gives its holder nothing: as a root it could sign a certificate for
//! that name anyway. Everything else is left to the library.

use std::error::Error;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WantsClientCert, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, DistinguishedName,
    Error as TlsError, RootCertStore, SignatureScheme,
};

use super::cause;
use crate::config::files;

/// TLS that trusts the certificates of a PEM file, or public roots without one. What this side shows is for the caller to
/// say.
///
/// # Errors
///
/// In words about the file, if it holds no certificate that can be a root.
pub fn trusting(pem: Option<&[u8]>) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let versions = versions.with_safe_default_protocol_versions().map_err(|cause| format!("TLS: {cause}"))?;
    let Some(pem) = pem else { return Ok(versions.with_root_certificates(public_roots())) };
    let roots = NamedRoots::new(files::roots_of(pem)?, files::certificates_of(pem)?, provider)
        .map_err(|cause| format!("cannot be used: {cause}"))?;
    Ok(versions.dangerous().with_custom_certificate_verifier(Arc::new(roots)))
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

/// Whom TLS trusts under a file of the operator's.
#[derive(Debug)]
pub(super) struct NamedRoots {
    library: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl NamedRoots {
    /// Trusts these roots, which were made of these certificates.
    ///
    /// # Errors
    ///
    /// If there is no root.
    pub(super) fn new(
        roots: RootCertStore,
        named: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let library = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Self { library, named })
    }
}

impl ServerCertVerifier for NamedRoots {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let verified = self.library.verify_server_cert(leaf, intermediates, name, ocsp_response, now);
        match verified {
            // The library looks at the time before it looks at this.
            Err(fault) if is_authority_at_the_end(&fault) && self.named.contains(leaf) => {
                verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.library.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.library.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.library.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.library.root_hint_subjects()
    }
}

fn is_authority_at_the_end(fault: &TlsError) -> bool {
    let TlsError::InvalidCertificate(CertificateError::Other(other)) = fault else { return false };
    other.0.downcast_ref::<webpki::Error>() == Some(&webpki::Error::CaUsedAsEndEntity)
}

/// Whether the upstream's certificate is what a connection failed of: `tls_certificate_error` of RFC 9209 §2.3.
pub(super) fn is_certificate_fault(error: &(dyn Error + 'static)) -> bool {
    cause::is_among(error, &|cause| {
        matches!(
            cause.downcast_ref(),
            Some(TlsError::InvalidCertificate(_) | TlsError::NoCertificatesPresented)
        )
    })
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
    use rustls::crypto::aws_lc_rs::default_provider;

    use super::*;

    const NOW: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));

    fn authority(name: &str, until: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn verify(named: &CertificateDer<'static>, leaf: &CertificateDer<'_>) -> Result<(), TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add(named.clone()).unwrap();
        let roots = NamedRoots::new(roots, vec![named.clone()], Arc::new(default_provider())).unwrap();
        let name = ServerName::try_from("api.test").unwrap();
        roots.verify_server_cert(leaf, &[], &name, &[], NOW).map(|_| ())
    }

    #[test]
    fn an_authority_at_the_end_is_accepted_where_it_is_named_itself_and_is_good() {
        let own = authority("api.test", 2040);
        assert_eq!(verify(&own, &own), Ok(()));
        let refusal = |named: &CertificateDer<'static>, leaf| {
            let fault = verify(named, leaf).unwrap_err();
            assert!(is_certificate_fault(&io::Error::other(fault.clone())), "{fault}");
            fault
        };
        // Another key under the same name.
        let look_alike = authority("api.test", 2040);
        assert!(is_authority_at_the_end(&refusal(&own, &look_alike)));
        let elsewhere = authority("other.test", 2040);
        let of_another_name = refusal(&elsewhere, &elsewhere);
        assert!(of_another_name.to_string().contains("api.test"), "{of_another_name}");
        let old = authority("api.test", 2021);
        let expired = refusal(&old, &old);
        assert!(expired.to_string().contains("expired"), "{expired}");
    }

    #[test]
    fn other_faults_of_tls_are_none_of_a_certificate() {
        for fault in [TlsError::HandshakeNotComplete, TlsError::General("anything".to_owned())] {
            assert!(!is_certificate_fault(&io::Error::other(fault)));
        }
        assert!(!is_certificate_fault(&io::Error::other("no TLS at all")));
    }
}
