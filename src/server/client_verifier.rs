//! Certificates of clients (`listen.tls.client_ca`): who signs them, read again when the file changes, and the name in one.
//!
//! A name is told of a certificate that was verified in this very handshake: sessions are not resumed where clients have
//! certificates, so that roots that go take effect with the next connection.

use std::io;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use tracing::{info, warn};

use super::start_error::StartError;
use crate::config::files::{self, Mark};
use crate::config::{ClientAuth, ClientRoots};
use crate::lock::Mutex;
use crate::metrics::ClientRefusal;

/// Verifies certificates of clients by the roots that hold now.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    provider: Arc<CryptoProvider>,
    state: Mutex<Roots>,
}

/// What a file of roots holds, ready for use.
#[derive(Debug)]
pub(super) struct Roots {
    of: ClientRoots,
    /// Of what the file was last found to hold, be it of no use.
    seen: Mark,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl ClientVerifier {
    /// Reads the roots.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or holds none: names the key and the file.
    pub(super) fn read(of: &ClientRoots, provider: &Arc<CryptoProvider>) -> Result<Arc<Self>, StartError> {
        let roots = Roots::read(of, provider)?;
        Ok(Arc::new(Self { provider: Arc::clone(provider), state: Mutex::new(roots) }))
    }

    /// From now on these.
    pub(super) fn take(&self, roots: Roots) {
        let mut state = self.state.lock();
        if state.seen != roots.seen || state.of != roots.of {
            info!(file = %roots.of.ca.display(), "roots of clients changed");
            *state = roots;
        }
    }

    /// Looks whether the file has changed. A reload may name another while this one is read: then it counts no more.
    pub(super) fn follow(&self) {
        let of = self.state.lock().of.clone();
        let (seen, verifier) = verifier(&of, &self.provider);
        let mut state = self.state.lock();
        if state.seen == seen || state.of != of {
            return;
        }
        state.seen = seen;
        match verifier {
            Ok(verifier) => {
                info!(file = %of.ca.display(), "roots of clients changed");
                state.verifier = verifier;
            }
            Err(error) => warn!(error, "the new roots of clients cannot be used; the old ones stay"),
        }
    }

    fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.state.lock().verifier)
    }
}

impl Roots {
    /// Reads a file of roots.
    ///
    /// # Errors
    ///
    /// As [`ClientVerifier::read`].
    pub(super) fn read(of: &ClientRoots, provider: &Arc<CryptoProvider>) -> Result<Self, StartError> {
        let (seen, verifier) = verifier(of, provider);
        Ok(Self { of: of.clone(), seen, verifier: verifier.map_err(StartError)? })
    }
}

/// What the file holds, as a verifier.
fn verifier(
    of: &ClientRoots,
    provider: &Arc<CryptoProvider>,
) -> (Mark, Result<Arc<dyn ClientCertVerifier>, String>) {
    let contents = files::contents(&of.ca);
    let seen = Mark::of_read(&contents);
    let roots = contents.and_then(|pem| files::roots_of(&pem));
    let verifier = roots.and_then(|roots| {
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let builder = match of.auth {
            ClientAuth::Required => builder,
            ClientAuth::Optional => builder.allow_unauthenticated(),
        };
        builder.build().map_err(|fault| fault.to_string())
    });
    (seen, verifier.map_err(|fault| format!("listen.tls.client_ca {}: {fault}", of.ca.display())))
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.verifier().client_auth_mandatory()
    }

    /// None: they are borrowed for as long as this is there, and change. A client with one certificate needs no hint.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verifier().verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier().verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier().verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier().supported_verify_schemes()
    }
}

/// The SPIFFE id of a verified certificate, else its first DNS name.
pub(super) fn name_in(leaf: &CertificateDer<'_>) -> Option<String> {
    let leaf = webpki::EndEntityCert::try_from(leaf).ok()?;
    let spiffe = leaf.valid_uri_names().find(|uri| uri.starts_with("spiffe://"));
    spiffe.or_else(|| leaf.valid_dns_names().next()).map(str::to_owned)
}

/// Why a handshake failed, if it was because of the client's certificate, and what the library says of it.
pub(super) fn refusal(error: &io::Error) -> Option<(ClientRefusal, String)> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    let reason = match error {
        Error::NoCertificatesPresented => ClientRefusal::Missing,
        Error::InvalidCertificate(fault) => match fault {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => ClientRefusal::Expired,
            // An issuer of the same name that has another key is unknown as well.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => ClientRefusal::UnknownIssuer,
            CertificateError::Other(other) if is_name_constraint(other) => ClientRefusal::NameConstraints,
            _ => ClientRefusal::Other,
        },
        _ => return None,
    };
    let cause = match reason {
        ClientRefusal::NameConstraints => {
            format!(
                "{error}: an intermediate of its chain has constraints on names, which cannot be checked for URI names"
            )
        }
        _ => error.to_string(),
    };
    Some((reason, cause))
}

fn is_name_constraint(other: &rustls::OtherError) -> bool {
    other.0.downcast_ref::<webpki::Error>() == Some(&webpki::Error::NameConstraintViolation)
}
