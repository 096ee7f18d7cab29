use http_body_util::Full;
use serde_json::{Value, json};

use super::*;
use crate::config::{Config, files};
use crate::resource::{LEAD_LABEL, RESOURCES, Route};

const TOKEN: &str = "a-token-of-the-operator";
const ORGANIZATION: &str = "0a11ce00-0000-4000-8000-000000000001";

struct TestAdmin {
    admin: Admin,
    metrics: Arc<Metrics>,
    ready: Arc<AtomicBool>,
    clock: crate::clock::ManualClock,
}

struct Reply {
    status: u16,
    fields: http::HeaderMap,
    body: Bytes,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn loopback() -> Access {
    Access::new(([127, 0, 0, 1], 8081).into(), None)
}

fn with_token(address: [u8; 4]) -> Access {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{TOKEN}\n")).unwrap();
    Access::new((address, 8081).into(), Some(files::token(file.path()).unwrap()))
}

fn admin(access: Access) -> TestAdmin {
    let (clock, hand) = Clock::manual();
    let (metrics, ready) = (Arc::new(Metrics::default()), Arc::new(AtomicBool::new(true)));
    let flights = tokio::runtime::Handle::current();
    let proxy =
        Proxy::new(&Config::default(), RESOURCES, clock.clone(), Arc::clone(&metrics), flights).unwrap();
    let admin = Admin::new(proxy, Arc::clone(&metrics), clock, Arc::clone(&ready), access);
    TestAdmin { admin, metrics, ready, clock: hand }
}

impl TestAdmin {
    async fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        let (head, body) = self.admin.handle(request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply { status: head.status.as_u16(), fields: head.headers, body }
    }

    async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], "").await
    }
}

/// A port's rules, the fields of a request, and the status of its answer.
type Row<'a> = (Access, &'a [(&'a str, &'a str)], u16);

const HOST: (&str, &str) = ("host", "127.0.0.1:8081");
const JSON_BODY: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn probes_and_metrics_are_free_everywhere() {
    for access in [loopback(), with_token([10, 0, 0, 1]), Access::new(([0, 0, 0, 0], 1).into(), None)] {
        let admin = admin(access);
        for path in ["/livez", "/readyz", "/metrics"] {
            assert_eq!(admin.get(path).await.status, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn a_stopping_process_is_alive_and_not_ready() {
    let admin = admin(loopback());
    admin.ready.store(false, Ordering::Relaxed);
    assert_eq!(admin.get("/livez").await.status, 200);
    let reply = admin.get("/readyz").await;
    assert_eq!((reply.status, reply.json()["statusCode"].as_u64()), (503, Some(503)));
    assert_eq!(admin.get("/api/status").await.json()["ready"], json!(false));
}

#[tokio::test]
async fn reading_data_follows_the_token_rules() {
    let bearer = format!("Bearer {TOKEN}");
    let (right, wrong) = (("authorization", bearer.as_str()), ("authorization", "Bearer no"));
    let off_loopback = || Access::new(([10, 0, 0, 1], 8081).into(), None);
    let mapped = || Access::new("[::ffff:127.0.0.1]:8081".parse().unwrap(), None);
    let rows: [Row; 10] = [
        (loopback(), &[], 200),
        (mapped(), &[], 200),
        (off_loopback(), &[], 403),
        (off_loopback(), &[right], 403),
        (with_token([127, 0, 0, 1]), &[], 401),
        (with_token([127, 0, 0, 1]), &[wrong], 401),
        (with_token([127, 0, 0, 1]), &[("authorization", TOKEN)], 401),
        (with_token([127, 0, 0, 1]), &[right, wrong], 401),
        (with_token([127, 0, 0, 1]), &[right], 200),
        (with_token([10, 0, 0, 1]), &[right], 200),
    ];
    for (row, (access, fields, status)) in rows.into_iter().enumerate() {
        let reply = admin(access).ask("GET", "/api/status", fields, "").await;
        assert_eq!(reply.status, status, "row {row}");
        assert_eq!(reply.fields.contains_key("www-authenticate"), status == 401, "row {row}");
    }
    let refused = admin(off_loopback()).get("/api/status").await.json();
    assert!(refused["message"].as_str().unwrap().contains("admin.token_file"));
}

#[tokio::test]
async fn a_page_whose_name_was_made_to_mean_this_address_reads_nothing_without_the_token() {
    let bearer = format!("bearer {TOKEN}");
    let rows: [Row; 7] = [
        (loopback(), &[("host", "")], 200),
        (loopback(), &[("host", "localhost.:8081")], 200),
        (loopback(), &[("host", "evil.example:8081")], 403),
        (loopback(), &[("host", "localhost.evil.example")], 403),
        (loopback(), &[("host", "not a host")], 403),
        (loopback(), &[("host", "localhost:8081")], 200),
        (with_token([127, 0, 0, 1]), &[("host", "proxy.internal"), ("authorization", &bearer)], 200),
    ];
    for (row, (access, fields, status)) in rows.into_iter().enumerate() {
        let reply = admin(access).ask("GET", "/api/status", fields, "").await;
        assert_eq!(reply.status, status, "row {row}");
    }
}

#[tokio::test]
async fn an_action_needs_what_no_foreign_page_can_send() {
    let bearer = format!("bearer {TOKEN}");
    let right = ("authorization", bearer.as_str());
    let own = ("origin", "http://127.0.0.1:8081");
    let rows: [Row; 14] = [
        (loopback(), &[HOST, JSON_BODY], 200),
        (loopback(), &[("host", "localhost:8081"), JSON_BODY], 200),
        (loopback(), &[("host", "[::1]:8081"), ("content-type", "Application/JSON; charset=utf-8")], 200),
        (loopback(), &[HOST, JSON_BODY, own], 200),
        (loopback(), &[HOST], 415),
        (loopback(), &[HOST, ("content-type", "text/plain")], 415),
        (loopback(), &[("host", "evil.example:8081"), JSON_BODY], 403),
        (loopback(), &[JSON_BODY], 403),
        (loopback(), &[HOST, JSON_BODY, ("origin", "http://evil.example")], 403),
        (loopback(), &[HOST, JSON_BODY, ("origin", "http://127.0.0.1:8080")], 403),
        (loopback(), &[HOST, JSON_BODY, ("origin", "null")], 403),
        (with_token([10, 0, 0, 1]), &[("host", "proxy.internal"), JSON_BODY, right], 200),
        (with_token([10, 0, 0, 1]), &[HOST, JSON_BODY, right, ("origin", "http://evil.example")], 403),
        (with_token([10, 0, 0, 1]), &[HOST, JSON_BODY], 401),
    ];
    for (row, (access, fields, status)) in rows.into_iter().enumerate() {
        let admin = admin(access);
        let question = r#"{"method":"GET","path":"/","headers":{}}"#;
        for (path, body) in [("/api/purge", "{}"), ("/api/explain", question)] {
            let reply = admin.ask("POST", path, fields, body).await;
            assert_eq!(reply.status, status, "row {row} of {path}");
        }
    }
}

#[tokio::test]
async fn a_purge_says_what_went_and_a_bad_one_what_is_allowed() {
    let admin = admin(loopback());
    let body = json!({ "organization": ORGANIZATION }).to_string();
    let reply = admin.ask("POST", "/api/purge", &[HOST, JSON_BODY], &body).await;
    assert_eq!(reply.json(), json!({"entries": 0, "bytes": 0, "proofs": 0}));
    let reply = admin.ask("POST", "/api/purge", &[HOST, JSON_BODY], r#"{"organization":"x"}"#).await;
    assert_eq!(reply.status, 400);
    assert!(reply.json()["message"].as_str().unwrap().starts_with("organization is no UUID"));
    let reply = admin.ask("POST", "/api/purge", &[HOST, JSON_BODY], &" ".repeat(MAX_BODY_BYTES + 1)).await;
    assert_eq!(reply.status, 413);
}

#[tokio::test]
async fn an_unknown_path_or_method_is_refused() {
    let admin = admin(loopback());
    let rows = [
        ("GET", "/nothing", 404, None),
        ("GET", "/livez/", 404, None),
        ("GET", "other", 404, None),
        ("POST", "/livez", 405, Some("GET, HEAD")),
        ("GET", "/api/purge", 405, Some("POST")),
        ("GET", "/api/explain", 405, Some("POST")),
        ("HEAD", "/readyz", 200, None),
    ];
    for (method, path, status, allow) in rows {
        let reply = admin.ask(method, path, &[], "").await;
        assert_eq!(reply.status, status, "{method} {path}");
        assert_eq!(reply.fields.get("allow").map(|allow| allow.to_str().unwrap()), allow, "{method} {path}");
        assert_eq!(reply.body.is_empty(), method == "HEAD", "{method} {path}");
    }
}

#[tokio::test]
async fn status_shows_totals_of_every_kind() {
    use crate::outcome::{Avoided, Outcome};
    use crate::purpose::{Purpose, UpstreamStatus};
    let admin = admin(loopback());
    admin.metrics.request(Route::Item(&LEAD_LABEL), Outcome::Hit, StatusClass::Success, Duration::ZERO);
    admin.metrics.avoided(Avoided::Hit);
    admin.metrics.upstream(Purpose::Fill, UpstreamStatus::Success, Duration::ZERO);
    let _open = admin.metrics.connection();
    admin.clock.advance(Duration::from_secs(90));
    let status = admin.get("/api/status").await.json();
    assert_eq!(status["version"], json!(env!("CARGO_PKG_VERSION")));
    assert_eq!(status["uptime_seconds"], json!(90));
    assert_eq!(status["requests"]["hit"], json!(1));
    assert_eq!(status["requests"]["miss"], json!(0));
    assert_eq!(status["upstream"]["calls"]["fill"], json!(1));
    assert_eq!(status["upstream"]["avoided"], json!({"hit": 1, "stale": 0, "collapse": 0}));
    assert_eq!(status["upstream"]["saved"], json!(1));
    assert_eq!(status["cache"], json!({"entries": 0, "bytes": 0}));
    assert_eq!((&status["bindings"], &status["connections"]), (&json!(0), &json!(1)));
    let shield = &status["shield"];
    assert_eq!(shield["limits"], json!({"per_second": 90, "per_minute": 5400}));
    assert_eq!(shield["limit_holds_for"], json!("bound_callers"));
    assert_eq!((&shield["accounts"], &shield["others"]["accounts"]), (&json!([]), &json!(0)));
    assert_eq!(shield["rejections"]["gate"], json!(0));
    assert_eq!(shield["retries"], json!({"answered": 0, "failed": 0, "refused": 0}));
}

#[tokio::test]
async fn refusals_are_counted_and_the_token_shows_nowhere() {
    let admin = admin(with_token([127, 0, 0, 1]));
    admin.ask("GET", "/api/status", &[("authorization", "Bearer no")], "").await;
    let reply = admin.get("/metrics").await;
    assert_eq!(reply.fields["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let page = String::from_utf8(reply.body.to_vec()).unwrap();
    let series = r#"instantly_proxy_admin_requests_total{path="/api/status",status="4xx"} 1"#;
    assert!(page.lines().any(|line| line == series), "{page}");
    let shown = format!("{page}{:?}", admin.admin);
    assert!(!shown.contains(TOKEN));
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for_and_packed_where_that_is() {
    use std::io::Read;
    let admin = admin(loopback());
    let asked = [("accept", "application/openmetrics-text; version=1.0.0"), ("accept-encoding", "gzip")];
    let reply = admin.ask("GET", "/metrics", &asked, "").await;
    assert_eq!(reply.fields["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_eq!(
        (&reply.fields["content-encoding"], &reply.fields["vary"]),
        (&"gzip".parse().unwrap(), &"accept, accept-encoding".parse().unwrap())
    );
    assert_eq!(reply.fields["content-length"], reply.body.len().to_string());
    let mut page = String::new();
    flate2::read::GzDecoder::new(&reply.body[..]).read_to_string(&mut page).unwrap();
    assert!(page.ends_with("# EOF\n") && page.contains("# TYPE instantly_proxy_proofs counter\n"), "{page}");
    let reply = admin.ask("GET", "/metrics", &[("accept", "*/*")], "").await;
    assert_eq!(reply.fields.get("content-encoding"), None);
    let page = String::from_utf8(reply.body.to_vec()).unwrap();
    assert!(
        !page.contains("# EOF") && page.contains("# TYPE instantly_proxy_proofs_total counter\n"),
        "{page}"
    );
}

#[tokio::test]
async fn metrics_tell_of_all_that_was_answered_before_they_were_asked_for() {
    let admin = admin(loopback());
    let ask = || admin.ask("GET", "/metrics", &[("accept-encoding", "gzip")], "");
    tokio::join!(ask(), ask(), ask(), ask());
    for expected in 4..10 {
        let page = String::from_utf8(admin.get("/metrics").await.body.to_vec()).unwrap();
        let counted = page.lines().find(|line| line.contains("path=\"/metrics\"")).unwrap();
        assert!(counted.ends_with(&format!(" {expected}")), "all that were answered before: {counted}");
    }
}

#[tokio::test]
async fn the_page_is_free_without_data_and_may_load_nothing_from_elsewhere() {
    let admin = admin(with_token([10, 0, 0, 1]));
    for (path, media_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/callers.js", "text/javascript; charset=utf-8"),
        ("/uPlot.min.css", "text/css; charset=utf-8"),
        ("/uPlot.iife.min.js", "text/javascript; charset=utf-8"),
    ] {
        let reply = admin.get(path).await;
        assert_eq!(
            (reply.status, &reply.fields["content-type"]),
            (200, &media_type.parse().unwrap()),
            "{path}"
        );
        let policy = reply.fields["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(reply.fields["x-content-type-options"], "nosniff");
        let etag = reply.fields["etag"].to_str().unwrap().to_owned();
        let again = admin.ask("GET", path, &[("if-none-match", &etag)], "").await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        assert_eq!(admin.ask("GET", path, &[("if-none-match", "\"other\"")], "").await.status, 200);
        assert_eq!(admin.ask("POST", path, &[], "").await.status, 405);
    }
    let page = String::from_utf8(admin.get("/").await.body.to_vec()).unwrap();
    assert!(!page.contains("http://") && !page.contains("https://"), "it names another place");
    assert!(
        !page.contains("<script>") && !page.contains("style=") && !page.contains("onclick"),
        "inline code"
    );
}

#[tokio::test]
async fn the_status_tells_errors_and_the_last_hour() {
    let admin = admin(loopback());
    let at = Duration::from_secs(1_800_000_000);
    admin.metrics.failure(crate::error::ErrorKind::ConnectFailed, at);
    let status = admin.get("/api/status").await.json();
    assert_eq!(status["errors"][0]["error"], "connect_failed");
    assert_eq!(status["errors"][0]["count"], 1);
    assert_eq!(status["history"]["step_seconds"], 10);
    assert_eq!(status["history"]["requests"]["hit"].as_array().unwrap().len(), 0);
}
