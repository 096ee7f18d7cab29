//! [`Http2Tls`]: what an upstream needs that speaks HTTP/2 behind TLS and nothing else. [`ListensBehindTls`]: the same for a
//! proxy, and its client.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use instantly_proxy::config::ListenTls;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{Answer, TestProxy, TestUpstream, patiently};

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

/// A proxy's certificate of its own for `localhost`, and clients that trust it and nothing else.
pub struct ListensBehindTls {
    folder: TempDir,
    roots: Arc<RootCertStore>,
}

impl ListensBehindTls {
    /// A new one.
    pub fn new() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be made");
        let folder = TempDir::new().expect("a temporary folder can be made");
        let write = |name: &str, content: String| fs::write(folder.path().join(name), content);
        write("own.pem", cert.pem()).expect("a file can be written there");
        write("own.key", signing_key.serialize_pem()).expect("a file can be written there");
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).expect("it can be a root");
        Self { folder, roots: Arc::new(roots) }
    }

    /// What the proxy is told.
    pub fn config(&self) -> ListenTls {
        let path = |name: &str| self.folder.path().join(name);
        ListenTls { certificate: path("own.pem"), key: path("own.key"), clients: None }
    }

    /// A connection to the proxy on which this protocol was agreed on, which alone was offered.
    pub async fn connect(&self, address: SocketAddr, protocol: &[u8]) -> TlsStream<TcpStream> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_root_certificates(Arc::clone(&self.roots));
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(address).await.expect("the port accepts");
        stream.set_nodelay(true).expect("a socket can be told not to delay");
        let name = ServerName::try_from("localhost").expect("a name");
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = patiently("a handshake", connecting).await.expect("a trusted connection");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
        stream
    }
}
