//! The configuration as an operator meets it: the program's output and its exit codes.

use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::store::{Engine, TestStore};

/// Runs the built program with this environment and no other.
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_instantly-proxy"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .expect("the program can be started")
}

fn file(content: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let path = folder.path().join("site.toml");
    std::fs::write(&path, content).expect("a file can be written there");
    (folder, path)
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("text")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("text")
}

#[track_caller]
fn assert_exit(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "stdout: {}\nstderr: {}", stdout(output), stderr(output));
}

#[test]
fn the_defaults_are_sound() {
    let output = run(&["check"], &[]);
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), "configuration is sound\n");
    assert_eq!(stderr(&output), "");
}

#[test]
fn every_fault_is_told_at_once_with_key_source_and_what_is_allowed() {
    let (folder, site) =
        file("[listen]\nworkers = 'many'\n[cache]\nmax_byte = '1MiB'\n[cache.lead_labels]\nttl = '25h'\n");
    let token = folder.path().join("token");
    let environment = [
        ("INSTANTLY_PROXY_LISTEN__ADDRESS", "0.0.0.0:80"),
        ("INSTANTLY_PROXY_ADMIN__TOKEN_FILE", token.to_str().unwrap()),
    ];
    for command in ["check", "config", "serve"] {
        let output = run(&[command, "--config", site.to_str().unwrap()], &environment);
        assert_exit(&output, 2);
        assert_eq!(stdout(&output), "");
        let faults: Vec<_> = stderr(&output).lines().collect();
        let site = site.display();
        let expected = [
            format!("cache.max_byte: unknown key (from file {site}); allowed: in [cache], max_bytes, share"),
            "listen.address: \"0.0.0.0:80\" would take tokens in plaintext (from variable INSTANTLY_PROXY_LISTEN__ADDRESS); \
             allowed: a loopback address"
                .to_owned(),
            format!("listen.workers: \"many\" (from file {site}); allowed: a whole number from 0 (one per core) to 1024"),
            format!(
                "admin.token_file: \"{}\" cannot be read: No such file or directory (os error 2) \
                 (from variable INSTANTLY_PROXY_ADMIN__TOKEN_FILE); allowed: a file with a token",
                token.display()
            ),
            format!("cache.lead_labels.ttl: \"25h\" (from file {site}); allowed: a duration from 1ms to 24h"),
        ];
        assert_eq!(faults.len(), expected.len(), "{}", stderr(&output));
        for expected in expected {
            let told = faults.iter().any(|fault| fault.starts_with(&format!("instantly-proxy: {expected}")));
            assert!(told, "{expected}\nis not in\n{}", stderr(&output));
        }
    }
}

#[test]
fn a_file_that_is_absent_or_no_toml_is_named() {
    let (folder, site) = file("[cache\n");
    let output = run(&["check", "--config", site.to_str().unwrap()], &[]);
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("line 1"), "{}", stderr(&output));
    assert!(stderr(&output).contains(&format!("(from file {})", site.display())), "{}", stderr(&output));

    let absent = folder.path().join("absent.toml");
    let output = run(&["check", "--config", absent.to_str().unwrap()], &[]);
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("absent.toml"), "{}", stderr(&output));
}

#[test]
fn service_links_of_kubernetes_are_ignored() {
    let output = run(
        &["check"],
        &[
            ("INSTANTLY_PROXY_PORT", "tcp://10.0.0.1:8080"),
            ("INSTANTLY_PROXY_SERVICE_HOST", "10.0.0.1"),
            ("INSTANTLY_PROXY_SERVICE_PORT_HTTP", "8080"),
            ("INSTANTLY_PROXY_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ],
    );
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), "configuration is sound\n");
}

#[test]
fn a_variable_with_one_underscore_too_few_is_pointed_out() {
    let output = run(&["check"], &[("INSTANTLY_PROXY_LOG_LEVEL", "debug")]);
    assert_exit(&output, 2);
    let said = "instantly-proxy: log.level: one underscore where two stand between a section and its key (from variable \
                INSTANTLY_PROXY_LOG_LEVEL); allowed: INSTANTLY_PROXY_LOG__LEVEL\n";
    assert_eq!(stderr(&output), said);
}

#[test]
fn limits_that_will_not_hold_are_pointed_out_and_taken() {
    let (_folder, site) = file("[shield]\nrequests_per_minute = 7000\nreplicas = 1000\n");
    let output = run(&["check", "--config", site.to_str().unwrap()], &[]);
    assert_exit(&output, 0);
    let [limit, share, sound] = stdout(&output).lines().collect::<Vec<_>>().try_into().unwrap();
    assert!(limit.starts_with("shield.requests_per_minute: 7000 (from file "), "{limit}");
    assert!(limit.contains("6000 a minute"), "{limit}");
    assert!(share.starts_with("shield.replicas: 1000 (from file "), "{share}");
    assert!(share.contains("shield.requests_per_second = 90"), "{share}");
    assert_eq!(sound, "configuration is sound");
}

#[test]
fn the_effective_configuration_names_sources_and_is_a_configuration_itself() {
    let (_folder, site) = file("[cache]\nmax_bytes = '1GiB'\n");
    let environment = [("INSTANTLY_PROXY_PROOF__MAX_AGE", "30s")];
    let output = run(&["--config", site.to_str().unwrap(), "config"], &environment);
    assert_exit(&output, 0);
    let line = |key: &str| stdout(&output).lines().find(|line| line.starts_with(key)).unwrap();
    assert!(line("max_bytes").ends_with(&format!("# file {}", site.display())));
    assert!(line("max_age").ends_with("# variable INSTANTLY_PROXY_PROOF__MAX_AGE"));
    assert!(line("share").ends_with("# default"));

    let (_folder, again) = file(stdout(&output));
    assert_exit(&run(&["check", "--config", again.to_str().unwrap()], &[]), 0);
}

#[test]
fn no_secret_is_printed() {
    const SECRET: &str = "0123456789abcdef-secret";
    let (folder, _) = file("");
    let token = folder.path().join("token");
    std::fs::write(&token, SECRET).unwrap();
    let with_user = format!("https://user:{SECRET}@api.instantly.ai");
    let with_query = format!("https://api.instantly.ai?api_key={SECRET}");
    let token = token.to_str().unwrap();
    for (command, environment) in [
        (vec!["config"], vec![("INSTANTLY_PROXY_ADMIN__TOKEN_FILE", token)]),
        (vec!["check"], vec![("INSTANTLY_PROXY_UPSTREAM__URL", with_user.as_str())]),
        (vec!["check"], vec![("INSTANTLY_PROXY_UPSTREAM__URL", with_query.as_str())]),
        (vec!["check"], vec![("INSTANTLY_PROXY_ADMIN__TOKEN", SECRET)]),
        (vec!["check", "--config", token], vec![]),
    ] {
        let output = run(&command, &environment);
        assert!(!stdout(&output).contains(SECRET), "{}", stdout(&output));
        assert!(!stderr(&output).contains(SECRET), "{}", stderr(&output));
    }
}

#[test]
fn bad_usage_exits_with_2_and_help_with_0() {
    for arguments in [
        &["frobnicate"][..],
        &["check", "--no-such-flag"],
        &["check", "--config"],
        &["purge", "--label", "no-uuid"],
        &["demo", "--for", "soon"],
        &["--config", "site.toml", "demo"],
        &["simulate", "--tls"],
    ] {
        let output = run(arguments, &[]);
        assert_exit(&output, 2);
        assert_eq!(stdout(&output), "", "{arguments:?}");
        assert_ne!(stderr(&output), "", "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["serve", "--help"], &["--version"]] {
        let output = run(arguments, &[]);
        assert_exit(&output, 0);
        assert_ne!(stdout(&output), "", "{arguments:?}");
    }
    assert_eq!(
        stdout(&run(&["--version"], &[])),
        concat!("instantly-proxy ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn a_probe_without_a_running_proxy_fails() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = run(&["health"], &[("INSTANTLY_PROXY_ADMIN__ADDRESS", &free)]);
    assert_exit(&output, 1);
    assert!(stderr(&output).contains(&free), "{}", stderr(&output));
}

/// What `check --probe` says of this configuration of the store, on standard output and on standard error.
fn probe(code: i32, lines: &str) -> (String, String) {
    let files = TempDir::new().expect("it is ours");
    let secret = files.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef").expect("it is ours");
    let site = files.path().join("site.toml");
    std::fs::write(&site, format!("[shared]\nsecret_file = {secret:?}\n{lines}\n")).expect("it is ours");
    let output = run(&["check", "--probe", "--config", site.to_str().expect("it is ours")], &[]);
    assert_exit(&output, code);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it is ours");
    (text(output.stdout), text(output.stderr))
}

#[test]
fn a_probe_tells_what_the_store_lacks_and_leaves_nothing_there() {
    let good = TestStore::start_with(Engine::Redis, &["maxmemory-policy volatile-lru"]);
    let (said, faults) = probe(0, &format!("url = '{}'", good.url()));
    assert_eq!(said, "configuration is sound\nthe store has what is needed\n");
    assert_eq!((faults.as_str(), good.ask(&["DBSIZE"]).as_str()), ("", "0"));

    let store = TestStore::start_with(Engine::Valkey, &["user default on nopass ~* &* +@all -zadd -eval"]);
    let (_, faults) = probe(2, &format!("url = '{}'", store.url()));
    for lacking in [
        "the user may not send ZADD; needed: +zadd",
        "the user may not send EVAL; needed: +eval",
        "maxmemory-policy is noeviction; needed: volatile-lru: ",
    ] {
        let store = format!("instantly-proxy: store 127.0.0.1:{}: {lacking}", store.port());
        assert!(faults.lines().any(|line| line.starts_with(&store)), "{store}: {faults}");
    }
    assert_eq!(faults.lines().count(), 3, "{faults}");
}

#[test]
fn a_probe_needs_a_store_to_be_asked() {
    let output = run(&["check", "--probe"], &[]);
    assert_exit(&output, 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("shared.url, which is not set"));
}

/// The overlays' configurations name files that are mounted where they run.
#[test]
fn what_is_shipped_can_be_checked_where_its_secrets_are_not() {
    let overlays = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kustomize/overlays");
    for overlay in ["gateway", "fleet", "sidecar"] {
        let file = overlays.join(overlay).join("instantly-proxy.toml");
        let output = run(&["check", "--values-only", "--config", file.to_str().unwrap()], &[]);
        assert_exit(&output, 0);
        assert!(String::from_utf8_lossy(&output.stdout).contains("were not opened"), "{output:?}");
    }
    let fault = run(&["check", "--values-only"], &[("INSTANTLY_PROXY_CACHE__MAX_BYTES", "much")]);
    assert_exit(&fault, 2);
}
