//! Open files: all that the system gives are taken, and callers cannot use them up.
#![cfg(target_os = "linux")]

use std::net::TcpStream;

use instantly_proxy::error::ErrorKind;

use crate::support::{Answer, Process, RawConnection, Serving, TestUpstream, sum_of_series};

fn upstream() -> TestUpstream {
    TestUpstream::start(|_| Answer::json(200, "{}").then_close())
}

async fn metric(serving: &Serving, name: &str) -> f64 {
    let page = serving.operator().get("/metrics").send().await;
    sum_of_series(&page.text(), name, &[])
}

#[tokio::test]
async fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let upstream = upstream();
    let url = format!("http://{}", upstream.address());
    let serving = Serving::start_limited((300, 900), &url, &[]).await;
    assert_eq!(metric(&serving, "process_max_fds").await, 900.0);
}

#[tokio::test]
async fn callers_that_open_more_connections_than_there_are_files_leave_the_api_and_the_admin_port_theirs() {
    let upstream = upstream();
    let url = format!("http://{}", upstream.address());
    let serving =
        Serving::start_limited((300, 400), &url, &[("INSTANTLY_PROXY_UPSTREAM__MAX_CONNECTIONS", "64")])
            .await;
    let _crowd: Vec<_> =
        (0..500).map(|_| TcpStream::connect(serving.data).expect("a place to wait")).collect();
    for _ in 0..3 {
        serving.caller("key").get("/api/v2/campaigns").send().await.assert_status(200);
    }
    serving.operator().get("/livez").send().await.assert_status(200);
    // A quarter of the files for callers, and a few for everything else.
    assert!(metric(&serving, "process_open_fds").await < 200.0);
    assert_eq!(upstream.count_of(|request| request.is("GET", "/api/v2/campaigns")), 3);
}

#[tokio::test]
async fn check_says_that_there_are_too_few_open_files_for_what_is_configured() {
    let check = Process::start_limited((300, 400), &["check"], &[]);
    assert_eq!(check.ended().await, Some(0));
    assert!(
        check.stdout().contains("limit of open files, 400: 100 connections at most"),
        "{}",
        check.stdout()
    );
}

#[tokio::test]
async fn want_of_open_files_is_never_taken_for_an_upstream_that_cannot_be_reached() {
    for host in ["127.0.0.1", "localhost"] {
        let upstream = upstream();
        let url = format!("http://{host}:{}", upstream.address().port());
        let serving = Serving::start(&url, &[]).await;
        let mut caller = RawConnection::open(serving.data).await;
        // The connection is open, and nobody has looked the upstream's name up yet.
        caller.send("OPTIONS / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        caller.read().await.reply().assert_error(ErrorKind::MethodNotAllowed);
        let files = serving.process.limit_files(Some(3));
        for _ in 0..8 {
            caller.send(CALL).await;
            let reply = caller.read().await.reply();
            reply.assert_error(ErrorKind::OutOfResources);
            assert_eq!(reply.field("retry-after"), Some("1"));
        }
        serving.process.limit_files(files);
        caller.send(CALL).await;
        caller.read().await.reply().assert_status(200);
        assert_eq!(upstream.count_of(|request| request.is("GET", "/api/v2/campaigns")), 1);
    }
}

const CALL: &str = "GET /api/v2/campaigns HTTP/1.1\r\nhost: a\r\nauthorization: Bearer key\r\n\r\n";
