//! Certificate, admin token and roots change while the process runs, by their files alone or by SIGHUP.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use instantly_proxy::clock::Clock;
use instantly_proxy::simulator::{Simulator, SimulatorConfig};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::labels::{CAMPAIGNS, LABELS};
use crate::support::{Process, Serving, TestProxy, TestUpstream, World, patiently};

const OLD: &str = "the-old-token-0123456789";
const NEW: &str = "the-new-token-0123456789";

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().expect("a temporary folder can be made"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("text").to_owned()
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("a file can be written there");
    }

    /// A new certificate with its key, good until that day of 2040, or for the current clock's year not at all.
    fn renew(&self, year: i32) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        self.write("key.pem", &key.serialize_pem());
        self.write("certificate.pem", &certificate.pem());
    }

    /// Whether a client that trusts nothing but the certificate in this file gets a handshake.
    async fn is_served(&self, proxy: &TestProxy) -> bool {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(self.path("certificate.pem")).expect("a certificate");
        roots.add(certificate).expect("it can be a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("both versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(proxy.address()).await.expect("it listens");
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.is_ok()
    }
}

#[tokio::test]
async fn a_certificate_at_another_place_is_taken_by_a_reload() {
    let (first, second) = (Files::new(), Files::new());
    first.renew(2040);
    second.renew(2040);
    let tls = |files: &Files| {
        Some(instantly_proxy::config::ListenTls {
            certificate: files.path("certificate.pem"),
            key: files.path("key.pem"),
            clients: None,
        })
    };
    let world = World::start_with(|config| config.listen.tls = tls(&first));
    assert!(first.is_served(&world.proxy).await && !second.is_served(&world.proxy).await);
    world.proxy.reload(|config| config.listen.tls = tls(&second));
    assert!(second.is_served(&world.proxy).await && !first.is_served(&world.proxy).await);
    // And it is followed there: the clock moves until it has been looked at.
    second.renew(2041);
    patiently("the new certificate", async {
        while !second.is_served(&world.proxy).await {
            world.proxy.advance_seconds(5);
        }
    })
    .await;
}

#[tokio::test]
async fn an_admin_token_is_followed_and_a_broken_one_keeps_the_old() {
    let files = Files::new();
    files.write("token", OLD);
    let world = World::start_with(|config| config.admin.token_file = Some(files.path("token")));
    let status = async |token: &str| {
        let operator = world.proxy.operator().with_token(token);
        operator.get("/api/status").send().await.status
    };
    assert_eq!((status(OLD).await, status(NEW).await), (200, 401));
    for broken in ["short", "two\nlines of it, long enough"] {
        files.write("token", broken);
        world.proxy.advance_seconds(60);
        assert_eq!((status(OLD).await, status(broken.lines().next().expect("a line")).await), (200, 401));
    }
    files.write("token", NEW);
    patiently("the new token", async {
        while status(NEW).await != 200 {
            world.proxy.advance_seconds(5);
        }
    })
    .await;
    assert_eq!(status(OLD).await, 401);
    world.proxy.reload(|config| config.admin.token_file = None);
    assert_eq!(status(OLD).await, 200, "on loopback none is needed");
}

#[tokio::test]
async fn roots_are_followed_and_connections_made_under_the_old_ones_are_not_used_again() {
    let config = SimulatorConfig { tls: true, ..SimulatorConfig::default() };
    let simulator = Simulator::start(config.clone(), Clock::system()).await.expect("a free port");
    let stranger = Simulator::start(config, Clock::system()).await.expect("a free port");
    let (right, wrong) = (simulator.ca_pem().expect("a root"), stranger.ca_pem().expect("a root"));
    let files = Files::new();
    files.write("ca.pem", right);
    let nobody = TestUpstream::start(|_| crate::support::Answer::status(500));
    let proxy = TestProxy::start_with(&nobody, |config| {
        config.upstream.url = simulator.url().parse().expect("an address");
        config.upstream.ca_file = Some(files.path("ca.pem"));
    });
    let organization = &simulator.world().organizations()[0];
    let caller = proxy.caller(organization.keys()[0].secret());
    // Never stored: each is a call of its own.
    let label = format!("{LABELS}?search=a");
    let both = async || {
        let (label, passed) = (caller.get(&label).send().await, caller.get(CAMPAIGNS).send().await);
        (label.status, passed.status)
    };
    assert_eq!(both().await, (200, 200));

    files.write("ca.pem", "broken");
    proxy.advance_seconds(60);
    assert_eq!(both().await, (200, 200));

    files.write("ca.pem", wrong);
    patiently("the new roots", async {
        while both().await == (200, 200) {
            proxy.advance_seconds(5);
        }
    })
    .await;
    let (label, passed) = both().await;
    assert!(label >= 500 && passed >= 500, "{label} {passed}");

    // SIGHUP does not wait for the next look.
    files.write("ca.pem", right);
    proxy.reload(|_| {});
    patiently("the upstream's recovery", async {
        while both().await != (200, 200) {
            proxy.advance_seconds(1);
        }
    })
    .await;
}

fn warnings_of(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("\"level\":\"WARN\"") && line.contains("certificate")).collect()
}

async fn with_certificate(files: &Files) -> Serving {
    let (certificate, key) = (files.text("certificate.pem"), files.text("key.pem"));
    let environment = [
        ("INSTANTLY_PROXY_LISTEN__TLS__CERTIFICATE", certificate.as_str()),
        ("INSTANTLY_PROXY_LISTEN__TLS__KEY", key.as_str()),
    ];
    Serving::start("http://127.0.0.1:9", &environment).await
}

async fn ended(process: &Process) -> String {
    process.signal("INT");
    assert_eq!(process.ended().await, Some(0));
    process.stdout()
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_told_of_and_one_with_years_to_go_is_not() {
    let files = Files::new();
    files.renew(2024);
    let serving = with_certificate(&files).await;
    let told = serving.process.logged("the certificate has expired").await;
    assert_eq!(
        (&told["days_left"], told["file"].as_str()),
        (&0.into(), Some(&*files.text("certificate.pem")))
    );
    // A pair of which one half is new fits nobody, and is told of once however often it is looked at.
    files.write("certificate.pem", "broken");
    serving.process.logged("the new certificate cannot be used; the old one stays").await;
    files.renew(2098);
    serving.process.logged("certificate changed").await;
    let log = ended(&serving.process).await;
    assert_eq!(warnings_of(&log).len(), 2, "{log}");

    let serving = with_certificate(&files).await;
    let log = ended(&serving.process).await;
    assert_eq!(warnings_of(&log), [""; 0]);
}
