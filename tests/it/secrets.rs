//! Nothing of a token is ever written: not in logs at their most talkative, not in metrics, status, errors or commands.
//!
//! The canaries go every way that a request can go. A part of one counts, too: eight characters in a row, or of its
//! digest.

use std::fs;
use std::path::PathBuf;

use instantly_proxy::clock::Clock;
use instantly_proxy::simulator::{Aim, Fault, FaultId, Operation, Simulator, SimulatorConfig};
use tempfile::TempDir;

use crate::support::labels::{CAMPAIGNS, LABELS};
use crate::support::{Caller, Process, RawConnection, Serving};

/// Characters of a secret in a row that are too many.
const PART: usize = 8;
const ADMIN: &str = "adm1nC4n4ryT0ken.of-the-operator";
const GARBAGE: &str = "Z4rb4geC4n4ryXq7Rm2Vn9Lw5Kt8Jp3Hs6Gd1Ff0";
const BASIC: &str = "QjRzMWNDNG40cnlMazhKaDdHZjZEZDVTczRBYTM=";
const IN_QUERY: &str = "Qu3ryC4n4ryPw9Oe8Iu7Yt6Tr5Re4Ew3Wq2";

struct Stage {
    simulator: Simulator,
    serving: Serving,
    token_file: PathBuf,
    _folder: TempDir,
    /// What answers and commands said.
    said: String,
}

async fn stage() -> Stage {
    // With TLS, label calls go over HTTP/2: its field compression logs what it does.
    let config = SimulatorConfig { tls: true, ..SimulatorConfig::default() };
    let simulator = Simulator::start(config, Clock::system()).await.expect("a free port");
    let folder = TempDir::new().expect("a temporary folder can be made");
    let ca_file = folder.path().join("ca.pem");
    fs::write(&ca_file, simulator.ca_pem().expect("with TLS there is one"))
        .expect("a file can be written there");
    let token_file = folder.path().join("token");
    fs::write(&token_file, ADMIN).expect("a file can be written there");
    let serving = Serving::start(
        &simulator.url(),
        &[
            ("INSTANTLY_PROXY_LOG__LEVEL", "trace"),
            ("INSTANTLY_PROXY_LOG__FORMAT", "json"),
            ("INSTANTLY_PROXY_ADMIN__TOKEN_FILE", token_file.to_str().expect("text")),
            ("INSTANTLY_PROXY_UPSTREAM__CA_FILE", ca_file.to_str().expect("text")),
        ],
    )
    .await;
    Stage { simulator, serving, token_file, _folder: folder, said: String::new() }
}

impl Stage {
    /// Every way of a request for one caller.
    async fn walk(&mut self, caller: &Caller, item: &str) {
        let search = format!("{LABELS}?search=a");
        for target in [item, LABELS, CAMPAIGNS, "/api/v2/nowhere", &search] {
            self.hear(caller.get(target).attempt().await);
            self.hear(caller.head(target).attempt().await);
        }
        // Not of a path without a route: the vendor's own answer repeats that.
        for target in [item, LABELS, CAMPAIGNS] {
            self.hear(caller.get(&format!("{target}?api_key={IN_QUERY}")).attempt().await);
        }
        for (name, value) in [
            ("cache-control", "no-cache"),
            ("cache-control", "only-if-cached"),
            ("cookie", "session=1"),
            ("x-as-workspace", "nobody"),
            ("te", "gzip"),
            ("connection", "authorization"),
            ("x-http-method-override", "DELETE"),
            ("authorization", &format!("Bearer {GARBAGE}")),
        ] {
            self.hear(caller.get(item).field(name, value).attempt().await);
        }
        self.hear(caller.patch(item, r#"{"label":"x"}"#).attempt().await);
        self.hear(caller.post(LABELS, "{}").attempt().await);
        self.hear(caller.post(CAMPAIGNS, "{}").attempt().await);
        self.hear(caller.request("OPTIONS", item).attempt().await);
        self.hear(caller.request("TRACE", item).attempt().await);
    }

    fn hear(&mut self, told: Result<crate::support::Reply, String>) {
        match told {
            Ok(reply) => self.said += &format!("{:?} {}\n", reply.fields, reply.text()),
            Err(fault) => self.said += &fault,
        }
    }

    /// Bytes that no client library sends.
    async fn scribble(&mut self, secret: &str, item: &str) {
        for request in [
            format!("GET {item} HTTP/1.1\r\nAuthorization: Bearer {secret}\r\n\r\n"),
            format!("GET {item} HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer {secret}\r\n\r\n"),
            format!("GET {item} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {secret}\x01\r\n\r\n"),
            format!("GET {item} HTTP/1.1\r\nHost: a\r\nAuthorization\r\n: Bearer {secret}\r\n\r\n"),
            format!("Bearer {secret}\r\n\r\n"),
            format!("{secret} {item} HTTP/1.1\r\nHost: a\r\n\r\n"),
            format!(
                "PATCH {item} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {secret}\r\nContent-Length: 9\r\n\r\n{{"
            ),
            format!(
                "GET {item} HTTP/1.1\r\nHost: a\r\nX-Request-Id: {secret} \x1b[31m\r\nAuthorization: Bearer {secret}\r\n\r\n"
            ),
        ] {
            let mut raw = RawConnection::open(self.serving.data).await;
            raw.send(request).await;
            raw.half_close().await;
            self.said += &String::from_utf8_lossy(&raw.read_to_end().await);
        }
    }

    /// Everything that was written anywhere.
    async fn everything(&mut self) -> String {
        let operator = self.serving.operator();
        for target in ["/metrics", "/api/status", "/livez", "/nowhere", "/api/purge"] {
            self.hear(operator.get(target).attempt().await);
            self.hear(operator.with_token(ADMIN).get(target).attempt().await);
            self.hear(operator.with_token(GARBAGE).get(target).attempt().await);
        }
        self.hear(operator.with_token(ADMIN).post("/api/purge", "{}").attempt().await);
        let (admin, token_file) = (self.serving.admin.to_string(), self.token_file.to_str().expect("text"));
        let environment = [
            ("INSTANTLY_PROXY_ADMIN__ADDRESS", admin.as_str()),
            ("INSTANTLY_PROXY_ADMIN__TOKEN_FILE", token_file),
        ];
        for command in ["config", "check", "health", "purge"] {
            let process = Process::start(&[command], &environment);
            assert_eq!(process.ended().await, Some(0), "{command}: {}", process.stderr());
            self.said += &(process.stdout() + &process.stderr());
        }
        self.serving.process.signal("INT");
        assert_eq!(self.serving.process.ended().await, Some(0));
        format!("{}\n{}\n{}", self.said, self.serving.process.stdout(), self.serving.process.stderr())
    }
}

/// Whether eight characters in a row of `secret` are in `text`, in whatever case.
fn shows(text: &str, secret: &str) -> Option<String> {
    let lower = secret.to_ascii_lowercase();
    (0..=lower.len() - PART).map(|at| lower[at..at + PART].to_owned()).find(|part| text.contains(part))
}

#[tokio::test]
async fn no_part_of_a_token_is_ever_written() {
    let mut stage = stage().await;
    let world = stage.simulator.world();
    let (first, second) = (&world.organizations()[0], &world.organizations()[1]);
    let item = format!("{LABELS}/{}", first.labels()[0].id);
    let keys = first.keys().iter().chain(&second.keys()[..1]).chain(&world.admin().keys()[..1]);
    let mut secrets: Vec<String> = keys.map(|key| key.secret().to_owned()).collect();
    let workspace = first.id();
    for secret in secrets.clone() {
        let caller = stage.serving.caller(&secret);
        stage.walk(&caller, &item).await;
        stage.walk(&caller.workspace(workspace), &item).await;
    }
    let two = stage.serving.caller(&secrets[0]).over_http2();
    stage.walk(&two, &item).await;

    for fault in [
        Fault::Status(http::StatusCode::INTERNAL_SERVER_ERROR),
        Fault::Status(http::StatusCode::UNAUTHORIZED),
        Fault::TooManyRequests(None),
        Fault::EdgeBlock,
        Fault::Disconnect,
        Fault::Cut(5),
        Fault::ExtraMember(r#""access_grants":[]"#.into()),
    ] {
        let armed: FaultId = stage.simulator.faults().arm(Aim::everything(), fault);
        let caller = stage.serving.caller(&secrets[0]);
        stage.walk(&caller, &item).await;
        stage.simulator.faults().disarm(armed);
    }
    let caller = stage.serving.caller(GARBAGE);
    stage.walk(&caller, &item).await;
    let basic =
        Caller::anonymous(stage.serving.data).get(&item).field("authorization", &format!("Basic {BASIC}"));
    stage.hear(basic.attempt().await);
    stage.scribble(&secrets[0].clone(), &item).await;
    stage.scribble(GARBAGE, &item).await;

    secrets.extend([ADMIN, GARBAGE, BASIC, IN_QUERY].map(str::to_owned));
    let arrived = stage.simulator.counters().of_operation(Operation::ReadLabel);
    assert!(arrived > 20, "the canaries went upstream: {arrived}");
    let text = stage.everything().await;
    assert!(text.contains(r#""level":"TRACE""#) && text.contains(r#""outcome":"hit""#), "all was logged");
    let text = text.to_ascii_lowercase();
    for secret in &secrets {
        let part = shows(&text, secret);
        let line = part.as_deref().and_then(|part| text.lines().find(|line| line.contains(part)));
        assert!(part.is_none(), "{part:?} of a token was written: {line:?}");
    }
}
