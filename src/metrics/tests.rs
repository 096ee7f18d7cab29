use std::collections::HashSet;

use super::*;
use crate::resource::{CAMPAIGN, CUSTOM_TAG, LEAD_LABEL, RESOURCES};

fn sample<'a>(page: &'a str, series: &str) -> Option<&'a str> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
}

fn with_everything() -> Metrics {
    let metrics = Metrics::default();
    for route in Route::all(RESOURCES) {
        for outcome in Outcome::ALL {
            for status in StatusClass::ALL {
                metrics.request(route, *outcome, *status, Duration::from_micros(70));
            }
        }
    }
    for purpose in Purpose::ALL {
        for status in UpstreamStatus::ALL {
            metrics.upstream(*purpose, *status, Duration::from_millis(80));
        }
    }
    AdminPath::ALL.iter().for_each(|path| metrics.admin_request(*path, StatusClass::Success));
    metrics
}

#[test]
fn one_request_is_counted_under_both_names() {
    let metrics = Metrics::default();
    metrics.request(Route::Item(&LEAD_LABEL), Outcome::Hit, StatusClass::Success, Duration::from_micros(70));
    metrics.request(
        Route::Item(&LEAD_LABEL),
        Outcome::Hit,
        StatusClass::Redirection,
        Duration::from_secs(200),
    );
    let page = metrics.render(Gauges::default());
    let rows = [
        (r#"instantly_proxy_requests_total{route="lead_label",outcome="hit",status="2xx"}"#, "1"),
        (r#"instantly_proxy_requests_total{route="lead_label",outcome="hit",status="3xx"}"#, "1"),
        (r#"instantly_proxy_request_duration_seconds_count{route="lead_label",outcome="hit"}"#, "2"),
        (r#"instantly_proxy_request_duration_seconds_sum{route="lead_label",outcome="hit"}"#, "200.00007"),
    ];
    for (series, value) in rows {
        assert_eq!(sample(&page, series), Some(value), "{series}");
    }
    let buckets: Vec<_> =
        page.lines().filter(|line| line.contains("request_duration_seconds_bucket")).collect();
    assert_eq!(buckets.len(), 20);
    assert!(
        buckets[0].ends_with(" 0") && buckets[1].contains(r#"le="0.0001""#) && buckets[1].ends_with(" 1")
    );
    assert!(buckets[19].contains(r#"le="+Inf""#) && buckets[19].ends_with(" 2"));
}

#[test]
fn the_page_has_the_names_of_the_contract() {
    let page = with_everything().render(Gauges {
        cache_entries: 3,
        cache_bytes: 4096,
        bindings: 2,
        ..Gauges::default()
    });
    let names = [
        "instantly_proxy_upstream_requests_total",
        "instantly_proxy_upstream_request_duration_seconds",
        "instantly_proxy_upstream_requests_avoided_total",
        "instantly_proxy_cache_evictions_total",
        "instantly_proxy_cache_invalidations_total",
        "instantly_proxy_proofs_total",
        "instantly_proxy_admin_requests_total",
        "instantly_proxy_response_gate_rejections_total",
        "instantly_proxy_connections",
        "instantly_proxy_build_info",
    ];
    for name in names {
        assert!(page.contains(&format!("\n{name}")), "{name}");
    }
    assert_eq!(sample(&page, "instantly_proxy_cache_entries"), Some("3"));
    assert_eq!(sample(&page, "instantly_proxy_cache_bytes"), Some("4096"));
    assert_eq!(sample(&page, "instantly_proxy_bindings"), Some("2"));
    assert!(page.ends_with("# EOF\n"));
}

#[cfg(target_os = "linux")]
#[test]
fn the_page_has_the_figures_of_the_process() {
    let page = Metrics::default().render(Gauges::default());
    for name in [
        "process_cpu_seconds_total",
        "process_start_time_seconds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_threads",
        "process_open_fds",
    ] {
        let value: f64 = sample(&page, name).unwrap_or_else(|| panic!("{name}")).parse().unwrap();
        assert!(value >= 0.0, "{name}");
    }
}

#[test]
fn every_line_is_a_sample_or_a_comment_and_no_series_is_there_twice() {
    let page = with_everything().render(Gauges::default());
    let mut seen = HashSet::new();
    for line in page.lines() {
        if line.starts_with("# ") {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(seen.insert(series.to_owned()), "twice: {series}");
    }
}

#[test]
fn the_number_of_series_is_fixed_once_every_label_was_seen() {
    let metrics = with_everything();
    let before = metrics.render(Gauges::default()).lines().count();
    metrics.request(Route::PassThrough, Outcome::Forwarded, StatusClass::Success, Duration::from_secs(1));
    metrics.avoided(Avoided::Hit);
    metrics.proof(ProofResult::Bound);
    metrics.gate_rejection(GateReason::Shape);
    assert_eq!(metrics.render(Gauges::default()).lines().count(), before);
}

#[test]
fn a_connection_is_counted_while_its_guard_lives() {
    let metrics = Metrics::default();
    let guard = metrics.connection();
    assert_eq!(metrics.totals().connections, 1);
    drop(guard);
    assert_eq!(metrics.totals().connections, 0);
}

#[test]
fn saved_is_what_was_avoided_less_what_proving_cost() {
    let metrics = Metrics::default();
    metrics.avoided(Avoided::Hit);
    metrics.avoided(Avoided::Collapse);
    metrics.upstream(Purpose::Fill, UpstreamStatus::Success, Duration::ZERO);
    for _ in 0..3 {
        metrics.upstream(Purpose::Proof, UpstreamStatus::Success, Duration::ZERO);
    }
    metrics.request(Route::Item(&LEAD_LABEL), Outcome::Hit, StatusClass::Success, Duration::ZERO);
    let totals = metrics.totals();
    assert_eq!(totals.saved(), -1);
    assert!(totals.requests.contains(&(Outcome::Hit, 1)) && totals.upstream.contains(&(Purpose::Proof, 3)));
}

#[test]
fn reads_and_writes_are_told_by_resource() {
    let metrics = Metrics::of(RESOURCES);
    let note = |route, outcome| metrics.request(route, outcome, StatusClass::Success, Duration::ZERO);
    for (route, outcome) in [
        (Route::Item(&CUSTOM_TAG), Outcome::Hit),
        (Route::List(&CUSTOM_TAG), Outcome::Collapsed),
        (Route::List(&CUSTOM_TAG), Outcome::Miss),
        (Route::Write(&CUSTOM_TAG), Outcome::Forwarded),
        (Route::Item(&LEAD_LABEL), Outcome::Stale),
        (Route::PassThrough, Outcome::Forwarded),
    ] {
        note(route, outcome);
    }
    let rows = metrics.by_resource();
    assert_eq!(rows.len(), RESOURCES.count());
    let told = |name| {
        let row = rows.iter().find(|row| row.resource == name).unwrap();
        (row.reads.iter().map(|(_, count)| count).sum::<u64>(), row.avoided(), row.writes)
    };
    assert_eq!((told(&LEAD_LABEL), told(&CUSTOM_TAG), told(&CAMPAIGN)), ((1, 1, 0), (3, 2, 1), (0, 0, 0)));
}

#[test]
fn errors_of_our_own_are_counted_by_kind_from_the_start() {
    let metrics = Metrics::default();
    let count = |kind: &str| {
        let page = metrics.render(Gauges::default());
        sample(&page, &format!("instantly_proxy_errors_total{{{kind}}}")).map(str::to_owned)
    };
    let (ours, asked) = (r#"error="no_memory",status="5xx""#, r#"error="over_budget",status="4xx""#);
    assert_eq!((count(ours).as_deref(), count(asked).as_deref()), (Some("0"), Some("0")));
    metrics.failure(ErrorKind::NoMemory, Duration::from_secs(1));
    metrics.failure(ErrorKind::OverBudget, Duration::from_secs(1));
    metrics.failure(ErrorKind::OverBudget, Duration::from_secs(2));
    assert_eq!((count(ours).as_deref(), count(asked).as_deref()), (Some("1"), Some("2")));
}
