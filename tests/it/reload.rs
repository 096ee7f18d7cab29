//! A configuration that is read again: what can change changes at once, what cannot is named, what is broken changes
//! nothing, and no request is lost over it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use crate::support::labels::{CAMPAIGNS, label_path, token};
use crate::support::{Caller, Reply, Serving, TestProxy, TestUpstream, World, patiently};

/// A running program with a configuration file that can be rewritten.
struct Stage {
    upstream: TestUpstream,
    serving: Serving,
    folder: TempDir,
}

impl Stage {
    async fn start(config: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let file = folder.path().join("instantly-proxy.toml");
        fs::write(&file, config).expect("a file can be written there");
        let upstream = TestUpstream::of(&World::vendor());
        let url = format!("http://{}", upstream.address());
        let arguments = ["--config", file.to_str().expect("a plain name")];
        let serving = Serving::start_with(&arguments, &url, &[]).await;
        Self { upstream, serving, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn count(&self, result: &str) -> u64 {
        let text = self.serving.operator().get("/metrics").send().await.text();
        let series = format!("instantly_proxy_config_reloads_total{{result=\"{result}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.and_then(|value| value.parse().ok()).unwrap_or_default()
    }

    /// Rewrites the file, asks for a reload, and waits until it came to this.
    async fn reload(&self, config: impl AsRef<[u8]>, result: &str) {
        let before = self.count(result).await;
        fs::write(self.path("instantly-proxy.toml"), config).expect("the file can be written");
        self.serving.process.signal("HUP");
        patiently("a reload", async { while self.count(result).await == before {} }).await;
    }

    /// Waits until the log has this text: a line may come behind its answer.
    async fn log_has(&self, text: &str) {
        patiently(text, async {
            while !self.serving.process.stdout().contains(text) {
                let _ = self.count("applied").await;
            }
        })
        .await;
    }

    async fn proven(&self) -> Caller {
        let caller = self.serving.caller(&token("a", 1));
        caller.get(&label_path(1)).send().await.assert_label("a-1");
        caller.get(&label_path(1)).send().await.assert_label("a-1").assert_hit();
        caller
    }
}

#[tokio::test]
async fn what_can_change_changes_at_once_and_the_rest_is_named() {
    let stage = Stage::start("").await;
    let caller = stage.proven().await;
    let changed = "[cache]\nmax_bytes = \"32MiB\"\nlist_fill = false\n[cache.lead_labels]\nttl = \"1ms\"\n\
                   stale_while_revalidate = \"0s\"\n[upstream]\nuser_agent = \"other\"\n";
    stage.reload(changed, "applied").await;
    let read = caller.get(&label_path(1)).send().await;
    assert!(
        read.cache_status().starts_with("fwd=miss"),
        "a lower lifetime holds for what is stored: {read:?}"
    );
    let named = || -> Vec<String> {
        let output = stage.serving.process.stdout();
        let lines = output.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        let named = lines.filter(|line| line["message"] == "changed, and needs a restart");
        named.map(|line| line["key"].as_str().expect("a key").to_owned()).collect()
    };
    patiently("the lines of both keys", async {
        while named().len() < 2 {
            let _ = stage.count("applied").await;
        }
    })
    .await;
    let named = named();
    assert_eq!(named, ["upstream.user_agent", "cache.max_bytes"]);
    assert_ne!(stage.upstream.last().field("user-agent"), Some("other"));

    stage.reload("[proof]\nmax_age = \"0s\"\n", "applied").await;
    caller.get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
    stage.reload("[shield]\nrequests_per_second = 1\nmax_wait = \"0s\"\n", "applied").await;
    let calls = [caller.get(CAMPAIGNS).send().await, caller.get(CAMPAIGNS).send().await];
    assert!(calls.iter().any(|call| call.status == 429), "{calls:?}");
}

/// A vendor's key that was exchanged in its place would go on being sent, and nobody would know.
#[tokio::test]
async fn what_the_files_of_traces_hold_is_read_at_start_and_a_reload_says_what_changed_since() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let fields = folder.path().join("fields");
    fs::write(&fields, "x-key: first\n").expect("it is ours");
    let config = format!("[telemetry]\notlp_endpoint = 'http://127.0.0.1:1'\nheaders_file = {fields:?}\n");
    let stage = Stage::start(&config).await;
    stage.reload(&config, "applied").await;
    assert!(!stage.serving.process.stdout().contains("changed, and needs a restart"));
    fs::write(&fields, "x-key: second\n").expect("it is ours");
    stage.reload(&config, "applied").await;
    let told = stage.serving.process.logged("changed, and needs a restart").await;
    assert_eq!(told["key"], "telemetry.headers_file");
}

#[tokio::test]
async fn the_level_of_the_log_changes_while_it_runs() {
    let stage = Stage::start("[log]\nlevel = \"info,instantly_proxy::access=warn\"\n").await;
    let caller = stage.proven().await;
    assert!(!stage.serving.process.stdout().contains("instantly_proxy::access"));
    stage.reload("[log]\nlevel = \"info\"\n", "applied").await;
    let id = "after-the-reload";
    caller.get(&label_path(1)).field("x-request-id", id).send().await.assert_status(200);
    stage.log_has(id).await;
}

/// All defaults would be another limit and other sharing.
#[tokio::test]
async fn an_input_that_has_gone_is_a_fault_and_never_an_empty_configuration() {
    let stage = Stage::start("[cache]\nshare = \"credential\"\n").await;
    stage.proven().await;
    stage.reload("", "refused").await;
    stage.reload("\n", "refused").await;
    stage.reload("# all defaults are meant\n", "applied").await;
    stage.reload("# all defaults are meant\n", "applied").await;

    let url = format!("http://{}", stage.upstream.address());
    let serving = Serving::start_fed("[shield]\nrequests_per_second = 22\n", &url).await;
    serving.process.signal("HUP");
    let fault = serving.process.logged("configuration not taken").await;
    let text = fault["fault"].as_str().expect("a text");
    assert!(text.contains("/dev/stdin") && text.contains("was read at start"), "{text}");
    serving.process.logged("the configuration has faults: the earlier one goes on").await;
}

#[tokio::test]
async fn every_field_of_an_access_line_is_in_the_document() {
    let stage = Stage::start("").await;
    stage.proven().await;
    stage.serving.caller("garbage").get(CAMPAIGNS).send().await.assert_status(401);
    stage.serving.caller("x").request("TRACE", CAMPAIGNS).send().await.assert_status(405);
    stage.serving.process.signal("TERM");
    stage.serving.process.ended().await;
    let document = include_str!("../../docs/LOGGING.md");
    let mut lines = 0;
    for line in stage.serving.process.stdout().lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if line["target"] == "instantly_proxy::access" {
            lines += 1;
            for field in line.as_object().expect("an object").keys() {
                assert!(document.contains(&format!("| `{field}`")), "docs/LOGGING.md lacks {field}");
            }
        }
    }
    assert_eq!(lines, 4, "nothing is lost at a clean end");
}

#[tokio::test]
async fn two_hundred_broken_files_under_load_change_nothing_and_cost_no_request() {
    let stage = Stage::start("").await;
    let caller = stage.proven().await;
    let ended = Arc::new(AtomicBool::new(false));
    let load = {
        let (caller, ended) = (caller.clone(), Arc::clone(&ended));
        tokio::spawn(async move {
            let mut replies: Vec<Reply> = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                replies.push(caller.get(&label_path(1)).send().await);
            }
            replies
        })
    };
    let broken = [
        "[cache.lead_labels]\nttl = \"25h\"",
        "[proof]\nmax_age = \"10m\"",
        "[cache]\nmax_bites = 1",
        "= = =",
        "[shield]\nrequests_per_second = 0",
        "[listen]\nidle_timeout = \"2h\"",
        "[log]\nlevel = \"a=b=c\"",
        "[admin]\ntoken_file = \"/nowhere/token\"",
        "[upstream]\nca_file = \"/nowhere/ca\"",
        "[unknown]\nkey = 1",
    ];
    for round in 0..200 {
        let file = format!("{}\n# {round}", broken[round % broken.len()]);
        stage.reload(file, "refused").await;
    }
    let not_text = [0xff, 0xfe, 0x00];
    stage.reload(not_text, "refused").await;
    ended.store(true, Ordering::Relaxed);
    let replies = load.await.expect("no panic");
    assert!(replies.len() > 100, "{}", replies.len());
    for reply in replies {
        reply.assert_label("a-1").assert_hit();
    }
    assert_eq!(stage.count("applied").await, 0);
    stage.serving.operator().get("/readyz").send().await.assert_status(200);
    assert!(
        stage.serving.process.stdout().contains("allowed: a duration from 1ms to 24h"),
        "each fault is told"
    );
}

#[tokio::test]
async fn a_new_admin_token_holds_within_ten_seconds_and_a_broken_one_changes_nothing() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let file = folder.path().join("token");
    fs::write(&file, "the-first-admin-token").expect("a file can be written there");
    let upstream = TestUpstream::of(&World::vendor());
    let proxy = TestProxy::start_with(&upstream, |config| config.admin.token_file = Some(file.clone()));
    let status = |token: &str| {
        proxy.admin_get("/api/status").field("authorization", &format!("Bearer {token}")).send()
    };
    status("the-first-admin-token").await.assert_status(200);
    for (content, good, bad) in [
        ("the-second-admin-token", "the-second-admin-token", "the-first-admin-token"),
        ("short", "the-second-admin-token", "short"),
        ("the-third-admin-token", "the-third-admin-token", "the-second-admin-token"),
    ] {
        fs::write(&file, content).expect("the file can be written");
        let taken = async { while status(good).await.status != 200 {} };
        proxy.advancing("the file to be looked at", taken).await;
        for _ in 0..3 {
            proxy.advance_seconds(10);
            status(good).await.assert_status(200);
        }
        status(bad).await.assert_status(401);
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_no_request_and_its_lost_lines_are_counted() {
    let upstream = TestUpstream::of(&World::vendor());
    let free =
        || std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    let (data, admin) = (free(), free());
    let mut child = Command::new(env!("CARGO_BIN_EXE_instantly-proxy"))
        .env_clear()
        .env("INSTANTLY_PROXY_UPSTREAM__URL", format!("http://{}", upstream.address()))
        .env("INSTANTLY_PROXY_LISTEN__ADDRESS", data.to_string())
        .env("INSTANTLY_PROXY_ADMIN__ADDRESS", admin.to_string())
        .env("INSTANTLY_PROXY_LOG__LEVEL", "trace")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let operator = Caller::anonymous(admin);
    patiently("the ports", async {
        while operator.get("/readyz").attempt().await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let caller = Caller::anonymous(data).with_token(&token("a", 1));
    let dropped = || async {
        let text = operator.get("/metrics").send().await.text();
        let line =
            text.lines().find_map(|line| line.strip_prefix("instantly_proxy_log_lines_dropped_total "));
        line.and_then(|value| value.parse::<u64>().ok()).expect("the counter is there from the start")
    };
    patiently("lines to be dropped", async {
        while dropped().await == 0 {
            for _ in 0..50 {
                caller.get(&label_path(1)).send().await.assert_label("a-1");
            }
        }
    })
    .await;
    caller.get(&label_path(1)).send().await.assert_label("a-1").assert_hit();
    child.kill().expect("it runs");
    child.wait().expect("a child can be waited for");
}

#[tokio::test]
async fn every_fault_of_a_file_is_told_and_a_mended_file_holds() {
    let stage = Stage::start("").await;
    let caller = stage.proven().await;
    let faulty = "[proof]\nmax_age = \"1y\"\nmax_credential = 1\n[log]\nlevel = \"x\"\n";
    stage.reload(faulty, "refused").await;
    let told = stage.serving.process.logged("the configuration has faults: the earlier one goes on").await;
    assert_eq!(told["faults"], 3);
    for key in ["proof.max_age", "proof.max_credential", "log.level"] {
        assert!(stage.serving.process.stdout().contains(&format!("\"fault\":\"{key}: ")), "{key}");
    }
    caller.get(&label_path(1)).send().await.assert_hit();
    stage.reload("[proof]\nmax_age = \"0s\"\n", "applied").await;
    caller.get(&label_path(1)).send().await.assert_proof();
    let told = stage.serving.process.logged("configuration taken").await;
    assert_eq!(told["changed"], "proof.max_age");
}

#[tokio::test]
async fn variables_win_over_files_as_they_did_at_start() {
    let stage = Stage::start("").await;
    // The port was given by a variable: this is no change of it.
    stage.reload("[listen]\naddress = \"127.0.0.1:1\"\n", "applied").await;
    assert!(!stage.serving.process.stdout().contains("\"key\":\"listen.address\""));
    stage.proven().await;
}

#[tokio::test]
async fn the_form_of_the_log_changes_while_it_runs() {
    let stage = Stage::start("").await;
    let caller = stage.serving.caller(&token("a", 1));
    stage.reload("[log]\nformat = \"text\"\n", "applied").await;
    caller.get("/api/v2/text").send().await.assert_status(200);
    stage.log_has("/api/v2/text").await;
    stage.reload("[log]\nlevel = \"error\"\nformat = \"json\"\n", "applied").await;
    caller.get("/api/v2/silent").send().await.assert_status(200);
    stage.serving.process.signal("INT");
    assert_eq!(stage.serving.process.ended().await, Some(0));
    let log = stage.serving.process.stdout();
    let line = log.lines().find(|line| line.contains("/api/v2/text")).expect("its line");
    assert!(line.contains("path=\"/api/v2/text\"") && !line.starts_with('{'), "{line}");
    assert!(!log.contains("/api/v2/silent"));
}

#[tokio::test]
async fn a_process_that_stops_takes_no_new_configuration() {
    let stage = Stage::start("[listen]\ndrain_delay = \"1h\"\n").await;
    stage.serving.process.signal("TERM");
    let operator = stage.serving.operator();
    let unready = async { while operator.get("/readyz").send().await.status != 503 {} };
    patiently("the end of readiness", unready).await;
    fs::write(stage.path("instantly-proxy.toml"), "[log]\nlevel = \"debug\"\n").expect("it can be written");
    stage.serving.process.signal("HUP");
    stage.serving.caller(&token("a", 1)).get(CAMPAIGNS).send().await.assert_status(200);
    stage.serving.process.signal("INT");
    assert_eq!(stage.serving.process.ended().await, Some(0));
    assert!(!stage.serving.process.stdout().contains("configuration taken"));
}
