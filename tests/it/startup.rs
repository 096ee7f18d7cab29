//! The program as an operator starts it: what it ignores, what it refuses and how it says so, and how its commands find it.

use std::net::{SocketAddr, TcpListener};

use crate::support::labels::{label_path, token};
use crate::support::{Process, Serving, TestUpstream, World};

fn upstream() -> TestUpstream {
    TestUpstream::of(&World::vendor())
}

fn url(upstream: &TestUpstream) -> String {
    format!("http://{}", upstream.address())
}

/// Runs a command with the address of a running proxy's admin port.
async fn command(arguments: &[&str], admin: SocketAddr) -> (Option<i32>, String, String) {
    let process = Process::start(arguments, &[("INSTANTLY_PROXY_ADMIN__ADDRESS", &admin.to_string())]);
    (process.ended().await, process.stdout(), process.stderr())
}

#[tokio::test]
async fn it_serves_among_the_variables_that_kubernetes_makes_for_its_service() {
    let upstream = upstream();
    let environment = [
        ("INSTANTLY_PROXY_PORT", "tcp://10.0.0.1:8080"),
        ("INSTANTLY_PROXY_SERVICE_HOST", "10.0.0.1"),
        ("INSTANTLY_PROXY_SERVICE_PORT", "8080"),
        ("INSTANTLY_PROXY_SERVICE_PORT_HTTP", "8080"),
        ("INSTANTLY_PROXY_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("INSTANTLY_PROXY_PORT_8080_TCP_PROTO", "tcp"),
        ("INSTANTLY_PROXY_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ];
    let serving = Serving::start(&url(&upstream), &environment).await;
    let caller = serving.caller(&token("a", 1));
    caller.get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
    caller.get(&label_path(1)).send().await.assert_label("a-1").assert_hit();
    assert!(!serving.process.stdout().contains("ignored"), "{}", serving.process.stdout());
}

#[tokio::test]
async fn a_taken_port_ends_it_with_1_and_names_address_and_reason() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    for (key, variable, other) in [
        ("listen.address", "INSTANTLY_PROXY_LISTEN__ADDRESS", "INSTANTLY_PROXY_ADMIN__ADDRESS"),
        ("admin.address", "INSTANTLY_PROXY_ADMIN__ADDRESS", "INSTANTLY_PROXY_LISTEN__ADDRESS"),
    ] {
        let process = Process::start(&[], &[(variable, address.as_str()), (other, "127.0.0.1:0")]);
        assert_eq!(process.ended().await, Some(1));
        let told = process.stderr();
        assert!(told.starts_with(&format!("instantly-proxy: {key} {address}: ")), "{told}");
        assert!(told.contains("in use"), "{told}");
        assert_eq!(process.stdout(), "", "nothing was served");
    }
}

#[tokio::test]
async fn every_shell_is_told_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let process = Process::start(&["completions", shell], &[]);
        assert_eq!(process.ended().await, Some(0), "{}", process.stderr());
        for command in ["serve", "demo", "simulate", "check", "config", "health", "purge", "completions"] {
            assert!(process.stdout().contains(command), "{shell} is not told of {command}");
        }
    }
    assert_eq!(Process::start(&["completions", "tcsh"], &[]).ended().await, Some(2));
}

#[tokio::test]
async fn health_and_purge_reach_the_running_proxy() {
    let upstream = upstream();
    // A list that is read behind the first answer would bring the second label, sooner or later.
    let no_lists = ("INSTANTLY_PROXY_CACHE__LIST_FILL", "false");
    let serving = Serving::start(&url(&upstream), &[no_lists]).await;
    let caller = serving.caller(&token("a", 1));
    caller.get(&label_path(1)).send().await.assert_proof();
    caller.get(&label_path(2)).send().await.assert_miss();

    let (code, stdout, stderr) = command(&["health"], serving.admin).await;
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), "ready", ""));

    let other = crate::support::labels::organization("b").to_string();
    let (code, ..) = command(&["purge", "--organization", &other], serving.admin).await;
    assert_eq!(code, Some(0));
    caller.get(&label_path(1)).send().await.assert_hit();

    let (code, stdout, stderr) = command(&["purge"], serving.admin).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains('2') && stdout.contains('1'), "two responses, one proof: {stdout}");
    caller.get(&label_path(1)).send().await.assert_label("a-1").assert_proof();

    serving.process.signal("INT");
    assert_eq!(serving.process.ended().await, Some(0));
    let (code, stdout, stderr) = command(&["health"], serving.admin).await;
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains(&serving.admin.to_string()), "{stderr}");
}

#[tokio::test]
async fn it_is_ready_soon_after_its_start() {
    let upstream = upstream();
    #[expect(clippy::disallowed_methods, reason = "how long a process takes to start is real time")]
    let started = std::time::Instant::now();
    let serving = Serving::start(&url(&upstream), &[]).await;
    serving.operator().get("/readyz").send().await.assert_status(200);
    // For people: what a build of this profile on this machine takes decides nothing.
    println!("from exec to the first 200 of /readyz: {:?}", started.elapsed());
}
