//! Who may connect, and over what: users, passwords that change, TLS.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::config::{ClientCertificate, StoreTransport};
use crate::fleet::store::test_store::free_port;

const PASSWORD: &str = "a long password with spaces";
const CHANNEL: &[u8] = b"test:{test.1}:bell";

fn user(password: &str) -> String {
    let permissions = include_str!("../acl.txt").trim().replace("NAMESPACE", "test");
    format!("user fleet on resetpass >{} {permissions}", password.replace(' ', "_"))
}

fn as_user(store: &TestStore, password_file: PathBuf) -> StoreSettings {
    StoreSettings {
        username: Some("fleet".to_owned()),
        password_file: Some(password_file),
        ..settings(store)
    }
}

async fn link(settings: &StoreSettings) -> Result<(Link, Bells), StoreError> {
    Link::connect(&First::default(), settings, CHANNEL, &Clock::system(), &SharedSeries::default()).await
}

#[tokio::test]
async fn the_documented_user_may_do_what_a_fleet_does_under_its_namespace() {
    for engine in Engine::ALL {
        let store = TestStore::start_with(engine, &[&user(PASSWORD), "user default off"]);
        let files = TempDir::new().unwrap();
        let file = files.path().join("password");
        std::fs::write(&file, PASSWORD.replace(' ', "_") + "\n").unwrap();
        let (link, mut bells) = link(&as_user(&store, file)).await.unwrap();
        link.call(Operation::Append, &TELL, &[CHANNEL], &[b"ding"]).await.unwrap();
        assert_eq!(bells.next().await.unwrap(), b"ding");
        link.call(Operation::Append, &WRITE, &[b"test:k"], &[b"v"]).await.unwrap();
        let error = link.call(Operation::Append, &WRITE, &[b"other:k"], &[b"v"]).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::NoPermission, "{engine:?}: {error}");
        static FLUSH: Script = Script::new("flush", "return redis.call('FLUSHALL')");
        let error = link.call(Operation::Append, &FLUSH, &[], &[]).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::NoPermission, "{engine:?}: {error}");
    }
}

#[tokio::test]
async fn a_password_that_is_wrong_or_missing_is_told_and_a_new_one_counts_at_the_next_connect() {
    let store = TestStore::start_with(Engine::Redis, &[&user(PASSWORD), "user default off"]);
    let files = TempDir::new().unwrap();
    let file = files.path().join("password");
    std::fs::write(&file, "wrong").unwrap();
    let settings = as_user(&store, file.clone());
    assert_eq!(link(&settings).await.unwrap_err().kind(), StoreErrorKind::NoAuth);
    let nobody = StoreSettings { username: None, password_file: None, ..settings.clone() };
    assert_eq!(link(&nobody).await.unwrap_err().kind(), StoreErrorKind::NoAuth);
    let clock = Clock::system();
    let data = Data::start(settings.clone(), clock.clone(), SharedSeries::default(), &Handle::current());
    std::fs::write(&file, PASSWORD.replace(' ', "_")).unwrap();
    link(&settings).await.unwrap();
    let end = clock.now().plus(Duration::from_secs(20));
    while let Err(error) = data.call(Operation::Lookup, &ECHO, &[b"test:k"], &[b"v"], soon(&clock)).await {
        assert!(!clock.now().reached(end), "{error}");
        tokio::task::yield_now().await;
    }
    std::fs::remove_file(&file).unwrap();
    let error = link(&settings).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NoAuth);
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

/// An authority, and what it signed for the server and for a client.
struct Certificates {
    files: TempDir,
}

impl Certificates {
    fn new() -> Self {
        let files = TempDir::new().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let certificates = Self { files };
        certificates.write("ca", &authority.pem());
        for (name, of) in [("server", "127.0.0.1"), ("client", "a-client"), ("elsewhere", "10.0.0.1")] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec![of.to_owned()]).unwrap();
            params.use_authority_key_identifier_extension = true;
            certificates.write(name, &params.signed_by(&key, &authority).unwrap().pem());
            certificates.write(&format!("{name}-key"), &key.serialize_pem());
        }
        certificates
    }

    fn write(&self, name: &str, pem: &str) {
        std::fs::write(self.path(name), pem).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn shown(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A server with TLS, and its TLS port.
    fn server(&self, engine: Engine, name: &str) -> (TestStore, u16) {
        let port = free_port();
        let lines = [
            format!("tls-port {port}"),
            format!("tls-cert-file {}", self.shown(name)),
            format!("tls-key-file {}", self.shown(&format!("{name}-key"))),
            format!("tls-ca-cert-file {}", self.shown("ca")),
            "tls-auth-clients yes".to_owned(),
        ];
        (TestStore::start_with(engine, &lines.each_ref().map(String::as_str)), port)
    }

    fn client(&self) -> ClientCertificate {
        ClientCertificate { certificate: self.path("client"), key: self.path("client-key") }
    }
}

fn over_tls(port: u16, ca_file: Option<PathBuf>, client: Option<ClientCertificate>) -> StoreSettings {
    StoreSettings {
        transport: StoreTransport::Tls { ca_file, client },
        timeout: PATIENCE,
        ..StoreSettings::standalone(StoreAddress::new("127.0.0.1", port))
    }
}

#[tokio::test]
async fn tls_goes_by_an_authority_and_a_certificate_of_our_own() {
    let ours = Certificates::new();
    for engine in Engine::ALL {
        let (_store, port) = ours.server(engine, "server");
        let settings = over_tls(port, Some(ours.path("ca")), Some(ours.client()));
        let (link, mut bells) = link(&settings).await.unwrap();
        link.call(Operation::Append, &TELL, &[CHANNEL], &[b"ding"]).await.unwrap();
        assert_eq!(bells.next().await.unwrap(), b"ding");
        let clock = Clock::system();
        let data = Data::start(settings, clock.clone(), SharedSeries::default(), &Handle::current());
        connected(&data, &clock).await;
    }
}

#[tokio::test]
async fn tls_is_refused_to_whom_we_do_not_trust_and_by_whom_does_not_trust_us() {
    let (ours, others) = (Certificates::new(), Certificates::new());
    let (_store, port) = ours.server(Engine::Redis, "server");
    let (_elsewhere, of_another_name) = ours.server(Engine::Redis, "elsewhere");
    for (settings, why) in [
        (over_tls(port, Some(others.path("ca")), Some(ours.client())), "another authority"),
        (over_tls(port, None, Some(ours.client())), "public roots"),
        (over_tls(of_another_name, Some(ours.path("ca")), Some(ours.client())), "another name"),
        (over_tls(port, Some(ours.path("absent")), Some(ours.client())), "no file"),
    ] {
        let error = link(&settings).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Tls, "{why}: {error}");
    }
    for client in [None, Some(others.client())] {
        // The server says so after the handshake is over on this side (TLS 1.3).
        let error = link(&over_tls(port, Some(ours.path("ca")), client)).await.unwrap_err();
        assert!(matches!(error.kind(), StoreErrorKind::Tls | StoreErrorKind::Lost), "{error}");
    }
}

#[tokio::test]
async fn files_of_tls_are_followed_and_a_pair_that_does_not_fit_changes_nothing() {
    let (ours, others) = (Certificates::new(), Certificates::new());
    let (_store, port) = ours.server(Engine::Redis, "server");
    let way = Way::new(over_tls(port, Some(ours.path("ca")), Some(ours.client())), Clock::system());
    let address = StoreAddress::new("127.0.0.1", port);
    way.connect(&address, As::User).await.unwrap();
    let good = std::fs::read_to_string(ours.path("client-key")).unwrap();
    std::fs::copy(others.path("client-key"), ours.path("client-key")).unwrap();
    way.connect(&address, As::User).await.unwrap();
    std::fs::write(ours.path("client-key"), good).unwrap();
    std::fs::copy(others.path("ca"), ours.path("ca")).unwrap();
    let error = way.connect(&address, As::User).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Tls, "{error}");
}
