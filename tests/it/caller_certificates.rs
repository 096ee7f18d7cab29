//! Mutual TLS on the data port: a verified certificate names its caller; who has none, or one of somebody else's, is refused in
//! the handshake and counted; roots that change are taken.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use instantly_proxy::config::{CallerSource, Callers, ClientAuth, ClientRoots, ListenTls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::labels::{CAMPAIGNS, token};
use crate::support::{World, patiently};

const SPIFFE: &str = "spiffe://cluster.local/ns/prod/sa/billing";

struct Files(TempDir);

/// Who signs certificates of clients.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
type Pair = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a root"))
    }

    fn signs(&self, names: Vec<SanType>) -> Pair {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("a key");
        (certificate.der().clone(), key)
    }
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().expect("ASCII"))
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("ASCII"))
}

impl Files {
    fn new(authority: &Authority) -> Self {
        let files = Self(TempDir::new().expect("a temporary folder can be made"));
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        files.write("own.pem", &own.cert.pem());
        files.write("own.key", &own.signing_key.serialize_pem());
        files.trust(authority);
        files
    }

    fn trust(&self, authority: &Authority) {
        self.write("clients.pem", &authority.0.pem());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("a file can be written there");
    }

    fn world(&self, auth: ClientAuth) -> World {
        World::start_with(|config| {
            let clients = Some(ClientRoots { ca: self.path("clients.pem"), auth });
            config.listen.tls =
                Some(ListenTls { certificate: self.path("own.pem"), key: self.path("own.key"), clients });
            let sources = vec![CallerSource::Certificate, CallerSource::Credential];
            config.callers = Some(Callers { sources, ..Callers::default() });
        })
    }

    /// The answer to one call of a client with this certificate, or why there is none.
    async fn ask(&self, world: &World, pair: Option<Pair>) -> std::io::Result<String> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("own.pem")).expect("PEM")).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_root_certificates(roots);
        let config = match pair {
            Some((certificate, key)) => config.with_client_auth_cert(vec![certificate], key).expect("a pair"),
            None => config.with_no_client_auth(),
        };
        let stream = TcpStream::connect(world.proxy.address()).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        patiently("an answer", async move {
            let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
            let token = token("a", 1);
            let head = format!(
                "GET {CAMPAIGNS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer)
        })
        .await
    }
}

async fn callers(world: &World) -> Vec<String> {
    // The admin port speaks plain HTTP.
    let status = world.proxy.admin_get("/api/status").send().await.json();
    let rows = status["callers"]["callers"].as_array().expect("rows").clone();
    let named = rows.iter().filter(|row| row["total"]["requests"] != 0);
    named.map(|row| row["name"].as_str().expect("a name").to_owned()).collect()
}

async fn refused(world: &World, reason: &str) -> f64 {
    world.proxy.metric("instantly_proxy_client_certificate_refusals_total", &[("reason", reason)]).await
}

#[tokio::test]
async fn a_verified_certificate_names_its_caller() {
    let authority = Authority::new();
    let files = Files::new(&authority);
    let world = files.world(ClientAuth::Required);
    let pairs = [
        authority.signs(vec![dns("billing.internal"), uri(SPIFFE)]),
        authority.signs(vec![dns("sync.internal")]),
        authority.signs(vec![uri("https://not.a.spiffe.id/"), dns("web.internal")]),
    ];
    for pair in pairs {
        let answer = files.ask(&world, Some(pair)).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let mut named = callers(&world).await;
    named.sort();
    assert_eq!(named, [SPIFFE, "sync.internal", "web.internal"]);
}

#[tokio::test]
async fn who_has_no_certificate_or_one_of_another_authority_is_refused_and_counted() {
    let authority = Authority::new();
    let files = Files::new(&authority);
    let world = files.world(ClientAuth::Required);
    files.ask(&world, None).await.expect_err("it needs a certificate");
    let stranger = Authority::new().signs(vec![uri(SPIFFE)]);
    files.ask(&world, Some(stranger)).await.expect_err("nobody trusts it");
    // A client hears of its refusal before the proxy has counted it.
    for reason in ["missing", "unknown_issuer"] {
        let name = "instantly_proxy_client_certificate_refusals_total";
        world.proxy.metric_reaches(name, &[("reason", reason)], 1.0).await;
    }
    assert_eq!((refused(&world, "missing").await, refused(&world, "unknown_issuer").await), (1.0, 1.0));
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn where_certificates_are_optional_a_client_without_one_is_named_by_its_key() {
    let authority = Authority::new();
    let files = Files::new(&authority);
    let world = files.world(ClientAuth::Optional);
    files.ask(&world, None).await.expect("an answer");
    files.ask(&world, Some(Authority::new().signs(vec![uri(SPIFFE)]))).await.expect_err("nobody trusts it");
    let named = callers(&world).await;
    assert!(named.len() == 1 && named[0].starts_with('~'), "{named:?}");
}

#[tokio::test]
async fn roots_that_change_are_taken_for_the_next_handshake() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = Files::new(&old);
    let world = files.world(ClientAuth::Required);
    files.ask(&world, Some(old.signs(vec![uri(SPIFFE)]))).await.expect("an answer");
    files.trust(&new);
    world.proxy.reload(|_| {});
    files.ask(&world, Some(old.signs(vec![uri(SPIFFE)]))).await.expect_err("nobody trusts it any more");
    files.ask(&world, Some(new.signs(vec![uri(SPIFFE)]))).await.expect("an answer");
    // What cannot be read changes nothing.
    files.write("clients.pem", "no PEM");
    world.proxy.advance_seconds(10);
    files.ask(&world, Some(new.signs(vec![uri(SPIFFE)]))).await.expect("an answer");
}
