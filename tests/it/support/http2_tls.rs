//! [`Http2Tls`]: what an upstream needs that speaks HTTP/2 behind TLS and nothing else.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use super::{Answer, TestProxy, TestUpstream};

/// A certificate of its own for `localhost`, and the file with the root that it is to be trusted by.
pub struct Http2Tls {
    /// Agrees on HTTP/2 alone.
    pub acceptor: TlsAcceptor,
    /// The file.
    pub roots: PathBuf,
    /// Where it lies, for as long as this lives.
    pub folder: TempDir,
}

impl Http2Tls {
    /// A new one.
    pub fn new() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be made");
        let folder = TempDir::new().expect("a temporary folder can be made");
        let roots = folder.path().join("ca.pem");
        fs::write(&roots, cert.pem()).expect("a file can be written there");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let mut tls =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_no_client_auth()
                .with_single_cert(vec![cert.der().clone()], key)
                .expect("a certificate with its key");
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Self { acceptor: TlsAcceptor::from(Arc::new(tls)), roots, folder }
    }
}

/// A proxy in front of such an upstream.
pub fn proxy_before(address: SocketAddr, roots: PathBuf) -> TestProxy {
    // Never asked: the address is changed before anything starts.
    let nobody = TestUpstream::start(|_| Answer::status(500));
    TestProxy::start_with(&nobody, |config| {
        config.upstream.url = format!("https://localhost:{}", address.port()).parse().expect("an address");
        config.upstream.ca_file = Some(roots);
    })
}
