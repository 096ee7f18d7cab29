//! TLS for the simulator: a certificate authority and a certificate of its own, made anew at every start.

use std::io;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// ALPN's name of HTTP/2.
pub(super) const H2: &[u8] = b"h2";

/// What a TLS listener needs, and what its clients need.
pub(super) struct Identity {
    pub(super) server: Arc<ServerConfig>,
    /// The root that signed the certificate.
    pub(super) ca_pem: String,
}

impl Identity {
    /// A certificate for `localhost`, `127.0.0.1` and `::1`, with HTTP/2 and HTTP/1.1 on offer.
    pub(super) fn generate() -> io::Result<Self> {
        let (certificate, key, ca_pem) = certificate().map_err(io::Error::other)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .map_err(io::Error::other)?;
        server.alpn_protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
        Ok(Self { server: Arc::new(server), ca_pem })
    }
}

type Certificate = rustls::pki_types::CertificateDer<'static>;

fn certificate() -> Result<(Certificate, PrivateKeyDer<'static>, String), rcgen::Error> {
    let mut root = CertificateParams::new(Vec::new())?;
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    root.distinguished_name.push(DnType::CommonName, "instantly-proxy simulator root");
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;

    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name.push(DnType::CommonName, "instantly-proxy simulator");
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &root)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Ok((certificate.der().clone(), key, root.pem()))
}
