//! `docs/REFERENCE.md` is what the code says: errors, metrics, labels, explanations and spans, row by row and word by word.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::Method;
use instantly_proxy::callers::Ignored;
use instantly_proxy::config::{CallerSource, Callers, Config};
use instantly_proxy::error::ErrorKind;
use instantly_proxy::metrics::{
    AdminPath, CallerNumbers, CallerRow, CertificateOf, ClientRefusal, EvictionCause, Gauges,
    InvalidationCause, LeaseLoss, LookupResult, Metrics, Operation, OperationResult, Rejected, ReloadResult,
    RetryResult, SpanLoss,
};
use instantly_proxy::organization::sharing::Shared;
use instantly_proxy::outcome::{Avoided, BypassReason, CacheStatus, Outcome, StaleReason, StatusClass};
use instantly_proxy::proxy::{Conclusion, Proof};
use instantly_proxy::purpose::{Purpose, UpstreamStatus};
use instantly_proxy::reason::{GateReason, ProofResult, RejectionReason};
use instantly_proxy::resource::{RESOURCES, Route};
use instantly_proxy::semantics::response_directives::ForbidReason;
use instantly_proxy::shield::retry::may_retry;
use serde_json::Value;

use super::documents::{anchor, path, sources, text};
use super::explain::{Asked, explain};
use crate::support::World;
use crate::support::fleet::{TestFleet, patient};
use crate::support::labels::{label_path, token};
use crate::support::store::Engine;

/// Closed enums that no table explains: what they say is said by others, or nowhere.
const UNEXPLAINED: [(&str, &str); 12] = [
    ("CallerSource", "values of a key: docs/OPERATING.md has a row for each"),
    ("Priority", "values of a key"),
    ("Mode", "values of a key"),
    ("Denied", "docs/LOGGING.md has them in the row of `reason`"),
    ("Figure", "members of `/api/status`, which docs/OPERATING.md lists"),
    ("Key", "docs/CONFIGURATION.md has a row for each"),
    ("StoreErrorKind", "said in log lines, before the server's own words"),
    ("ControlScript", "names of scripts, which the store alone sees"),
    ("Settled", "why an answer was let go: metrics count each kind by itself"),
    ("Class", "only ever compared"),
    ("Reason", "of the budget and of strangers: both become a RejectionReason"),
    ("Pace", "parts of the names of columns"),
];

/// A table's rows, each with its cells.
type Rows = Vec<Vec<String>>;

/// The table of each section, by the anchor of its heading.
fn tables() -> BTreeMap<String, Rows> {
    let document = text("docs/REFERENCE.md");
    let mut tables = BTreeMap::<String, Rows>::new();
    let mut section = String::new();
    for line in document.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            section = anchor(heading.trim_start_matches('#').trim());
        } else if let Some(row) = line.strip_prefix("| `").and_then(|row| row.strip_suffix('|')) {
            let cells = format!("`{row}");
            let cells = cells.split(" |").map(|cell| cell.trim().to_owned()).collect();
            tables.entry(section.clone()).or_default().push(cells);
        }
    }
    tables
}

/// The words of a table: what stands first in its rows. None is there twice, and each has an explanation.
#[track_caller]
fn words(tables: &BTreeMap<String, Rows>, section: &str) -> BTreeSet<String> {
    let rows = tables.get(section).unwrap_or_else(|| panic!("docs/REFERENCE.md has no table #{section}"));
    let words: BTreeSet<_> = rows.iter().map(|cells| cells[0].trim_matches('`').to_owned()).collect();
    assert_eq!(words.len(), rows.len(), "#{section} has a row twice");
    for cells in rows {
        assert!(
            cells.len() > 1 && cells.last().is_some_and(|cell| !cell.is_empty()),
            "#{section}: {cells:?}"
        );
    }
    words
}

/// Closed enums with the section that explains their words.
fn explained() -> Vec<(&'static str, &'static str, BTreeSet<String>)> {
    macro_rules! explained {
        ($($name:ident => $section:literal,)+) => {
            vec![$((
                stringify!($name),
                $section,
                $name::ALL.iter().map(|value| value.as_str().to_owned()).collect(),
            ),)+]
        };
    }
    explained! {
        LeaseLoss => "cause-of-a-lost-lease",
        LookupResult => "result-of-a-look-up",
        Operation => "operation",
        OperationResult => "result-of-an-operation",
        Rejected => "reason-not-to-count",
        AdminPath => "path-of-the-admin-port",
        Avoided => "by",
        BypassReason => "reason-of-a-bypass",
        ClientRefusal => "reason-of-a-refused-client",
        Ignored => "reason-of-a-claim-that-is-ignored",
        CertificateOf => "certificate",
        Conclusion => "decision",
        ErrorKind => "errors",
        EvictionCause => "cause-of-an-eviction",
        ForbidReason => "forbidden-storing",
        GateReason => "reason-of-the-response-gate",
        InvalidationCause => "cause-of-an-invalidation",
        Outcome => "outcome",
        Proof => "proof",
        ProofResult => "result-of-a-proof",
        Purpose => "purpose",
        RejectionReason => "reason-of-a-rejection",
        ReloadResult => "result-of-a-reload",
        RetryResult => "result-of-a-retry",
        Shared => "shared",
        SpanLoss => "cause-of-a-lost-span",
        StaleReason => "stale-detail",
        StatusClass => "status-of-answers",
        UpstreamStatus => "status-of-upstream-calls",
    }
}

#[test]
fn every_value_of_a_closed_label_is_explained() {
    let tables = tables();
    for (name, section, values) in explained() {
        assert_eq!(words(&tables, section), values, "{name} and docs/REFERENCE.md#{section}");
    }
    let routes = Route::all(RESOURCES).map(|route| route.as_str().to_owned()).collect();
    assert_eq!(words(&tables, "route"), routes);
}

/// A closed enum that is new needs a table, or a reason why it has none.
#[test]
fn every_closed_enum_of_the_code_has_its_table() {
    let mut declared = BTreeSet::new();
    for (file, source) in sources(&path("src")) {
        if file.components().any(|part| part.as_os_str() == "simulator") {
            continue;
        }
        for declaration in source.split("closed_enum! {\n").skip(1) {
            let line = declaration.lines().find(|line| line.trim_start().starts_with("pub"));
            let name = line.and_then(|line| line.split(" enum ").nth(1)?.split(' ').next());
            declared.insert(name.unwrap_or_else(|| panic!("{}: an enum", file.display())).to_owned());
        }
    }
    let known = explained().into_iter().map(|(name, ..)| name);
    let known: BTreeSet<_> =
        known.chain(UNEXPLAINED.iter().map(|(name, _)| *name)).map(str::to_owned).collect();
    declared.insert("Key".to_owned());
    assert_eq!(declared, known);
}

#[test]
fn every_error_is_listed_with_its_status_and_sentence() {
    let tables = tables();
    for cells in &tables["errors"] {
        let name = cells[0].trim_matches('`');
        let kind = ErrorKind::ALL.iter().find(|kind| kind.as_str() == name);
        let kind = kind.unwrap_or_else(|| panic!("{name} is no kind of error"));
        assert_eq!(cells[1], kind.status().as_str(), "{kind}");
        assert_eq!(cells[2], kind.message(), "{kind}");
        assert_eq!(cells[3], format!("`{}`", kind.proxy_status()), "{kind}");
        assert_eq!(cells.len(), 6, "{kind}: {cells:?}");
    }
    assert_eq!(words(&tables, "errors").len(), ErrorKind::ALL.len());
}

/// What a program may do with an error is what its sentence says, and what the proxy itself does.
#[test]
fn every_error_says_whether_it_may_be_sent_again() {
    let tables = tables();
    for (cells, kind) in tables["errors"].iter().map(|cells| (cells, cells[0].trim_matches('`'))) {
        let (sentence, again) = (&*cells[2], &*cells[4]);
        let (whether, when) = again.split_once(' ').unwrap_or((again, ""));
        assert!(["yes", "reads", "no"].contains(&whether), "{kind}: {again}");
        let waits = sentence.contains("Retry-After");
        assert_eq!(when, if waits { "after `Retry-After`" } else { "" }, "{kind}");
        assert!(!sentence.contains("try again") || whether != "no", "{kind}");
        let unknown = ["may have taken effect", "a part of it was sent"];
        assert!(unknown.iter().all(|words| !sentence.contains(words)) || whether == "reads", "{kind}");
        let certain = ["nothing was sent", "had no effect"];
        assert!(certain.iter().all(|words| !sentence.contains(words)) || whether != "reads", "{kind}");
        let known = ErrorKind::ALL.iter().find(|known| known.as_str() == kind).expect("a kind");
        assert!(!may_retry(&Method::GET, Err(*known)) || whether != "no", "{kind}");
    }
}

/// Every metric as a scrape shows it once everything has occurred: its type, and its labels with their values.
fn scraped() -> BTreeMap<String, (String, BTreeMap<String, BTreeSet<String>>)> {
    let metrics = Metrics::default();
    for (route, outcome) in
        Route::all(RESOURCES).flat_map(|route| Outcome::ALL.iter().map(move |outcome| (route, outcome)))
    {
        for status in StatusClass::ALL {
            metrics.request(route, *outcome, *status, Duration::ZERO);
        }
    }
    for (purpose, status) in Purpose::ALL
        .iter()
        .flat_map(|purpose| UpstreamStatus::ALL.iter().map(move |status| (purpose, status)))
    {
        metrics.upstream(*purpose, *status, Duration::ZERO);
    }
    for (path, status) in
        AdminPath::ALL.iter().flat_map(|path| StatusClass::ALL.iter().map(move |status| (path, status)))
    {
        metrics.admin_request(*path, *status);
    }
    metrics.shield_wait(Duration::ZERO);
    metrics.follow_callers(caller_numbers);
    metrics.spans().show();
    CertificateOf::ALL.iter().for_each(|of| metrics.certificate(*of, Duration::ZERO));
    metrics.shared().show();
    for (operation, result) in Operation::ALL
        .iter()
        .flat_map(|operation| OperationResult::ALL.iter().map(move |result| (operation, result)))
    {
        metrics.shared().operation(*operation, *result, Duration::ZERO);
    }
    let page = metrics.render(Gauges::default());
    let mut found = BTreeMap::new();
    let mut current = String::new();
    for line in page.lines() {
        if let Some(metric) = line.strip_prefix("# TYPE ") {
            let (name, kind) = metric.split_once(' ').expect("a name and a type");
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            current = format!("{name}{suffix}");
            found.insert(current.clone(), (kind.to_owned(), BTreeMap::new()));
        } else if let Some((_, labels)) = line.split_once('{').filter(|_| !line.starts_with('#')) {
            let known: &mut BTreeMap<String, BTreeSet<String>> =
                &mut found.get_mut(&current).expect("a type before its samples").1;
            let pairs = labels.split('}').next().unwrap_or_default().split(',');
            for (label, value) in pairs.filter_map(|pair| pair.split_once('=')).filter(|pair| pair.0 != "le")
            {
                known.entry(label.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
            }
        }
    }
    found
}

/// What a proxy counts of one caller.
fn caller_numbers() -> CallerNumbers {
    let row = CallerRow {
        caller: "billing".to_owned(),
        requests: Outcome::ALL.iter().map(|outcome| (*outcome, 0)).collect(),
        refused: vec![("limit", 0), ("denied", 0)],
        observed: vec![("waits", 0), ("refused", 0)],
        ..CallerRow::default()
    };
    CallerNumbers { rows: vec![row], ignored: Ignored::ALL.iter().map(|why| (why.as_str(), 0)).collect() }
}

/// A cell names each label of its metric, and links to the table of its values.
#[test]
fn every_metric_is_listed_with_its_type_and_its_labels() {
    let tables = tables();
    let scraped = scraped();
    let mut listed = words(&tables, "metrics");
    if !cfg!(target_os = "linux") {
        listed.retain(|name| !name.starts_with("process_"));
    }
    assert_eq!(listed, scraped.keys().cloned().collect());
    for cells in tables["metrics"].iter().filter(|cells| listed.contains(cells[0].trim_matches('`'))) {
        let name = cells[0].trim_matches('`');
        let (kind, labels) = &scraped[name];
        assert_eq!(&cells[1], kind, "{name}");
        let named: Vec<_> = cells[2].split(", ").filter(|cell| !cell.is_empty()).collect();
        assert_eq!(named.len(), labels.len(), "{name}: {labels:?}");
        for cell in named {
            let label = cell.split('`').nth(1).expect("a label in back-quotes");
            let values = labels.get(label).unwrap_or_else(|| panic!("{name} has no label {label}"));
            match cell.split_once("](#") {
                Some((_, section)) => {
                    assert_eq!(&words(&tables, section.trim_end_matches(')')), values, "{name}, {label}");
                }
                // What runs is no closed set, nor are the names that an operator lists.
                None => {
                    assert!(label == "caller" || (name, label) == ("instantly_proxy_build_info", "version"))
                }
            }
        }
    }
}

#[test]
fn every_form_of_cache_status_is_listed() {
    let mut forms = vec![
        CacheStatus::Hit { ttl: 7 },
        CacheStatus::Shared { ttl: 7 },
        CacheStatus::RefetchLimited { ttl: 7 },
        CacheStatus::Miss { stored: true },
        CacheStatus::Miss { stored: false },
        CacheStatus::Collapsed,
        CacheStatus::Request,
        CacheStatus::Proof,
        CacheStatus::Method,
        CacheStatus::PassThrough,
    ];
    forms.extend(StaleReason::ALL.iter().map(|reason| CacheStatus::Stale { ttl: -7, reason: *reason }));
    forms.extend(BypassReason::ALL.iter().map(|reason| CacheStatus::Uncached(*reason)));
    let forms = forms.into_iter().map(|form| {
        let value = form.value().to_str().expect("text").replace('7', "N");
        let value = value.strip_prefix("instantly-proxy; ").expect("our name").to_owned();
        match form {
            CacheStatus::Uncached(reason) => value.replace(reason.as_str(), "REASON"),
            // All are named: another one needs a row, and its place in the list above.
            CacheStatus::Hit { .. }
            | CacheStatus::Shared { .. }
            | CacheStatus::Stale { .. }
            | CacheStatus::RefetchLimited { .. }
            | CacheStatus::Miss { .. }
            | CacheStatus::Collapsed
            | CacheStatus::Request
            | CacheStatus::Proof
            | CacheStatus::Method
            | CacheStatus::PassThrough => value,
        }
    });
    assert_eq!(words(&tables(), "cache-status"), forms.collect());
}

/// All members that hold a value, or may, as JSON pointers.
fn members(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members_of) => {
            for (name, value) in members_of {
                members(value, &format!("{at}/{name}"), found);
            }
        }
        _ => {
            found.insert(at.to_owned());
        }
    }
}

#[tokio::test]
async fn every_member_of_an_explanation_is_listed() {
    let world = World::start();
    world.proven("a", 1).await;
    let mut found = BTreeSet::new();
    for target in [&*label_path(1), "/api//v2/lead-labels"] {
        members(&explain(&world, &token("a", 1), Asked::get(target)).await, "", &mut found);
    }
    // An object that does not apply is null.
    let empty: Vec<_> = found
        .iter()
        .filter(|parent| found.iter().any(|member| member.starts_with(&format!("{parent}/"))))
        .cloned()
        .collect();
    found.retain(|member| !empty.contains(member));
    assert_eq!(words(&tables(), "explanations"), found);
}

/// Members of the status whose own names are words, or are told elsewhere.
const BY_WORD: [&str; 12] = [
    "/requests",
    "/resources/reads",
    "/upstream/calls",
    "/upstream/avoided",
    "/shield/rejections",
    "/shield/retries",
    "/callers/callers",
    "/callers/credentials",
    "/callers/limits",
    "/history/requests",
    "/history/calls",
    "/history/avoided",
];

fn members_of_status(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) if !BY_WORD.contains(&at) => {
            for (name, value) in members {
                members_of_status(value, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(rows) if rows.iter().any(Value::is_object) && !BY_WORD.contains(&at) => {
            rows.iter().for_each(|row| members_of_status(row, at, found));
        }
        _ => {
            found.insert(at.to_owned());
        }
    }
}

#[tokio::test]
async fn every_member_of_the_status_is_listed() {
    let told_apart = |config: &mut Config| {
        patient(config);
        let sources = vec![CallerSource::Credential];
        config.callers = Some(Callers { sources, ..Callers::default() });
    };
    let fleet = TestFleet::start_with(Engine::Valkey, 1, told_apart).await;
    let caller = fleet.warm("a", 1).await.remove(0);
    caller.get("/api//v2/lead-labels").send().await.assert_error(ErrorKind::PathSpelling);
    let shown = |status: &Value| status["fleet"]["replicas"].is_array() && status["errors"][0].is_object();
    fleet.replicas[0].until("replicas and errors to be shown", shown).await;
    let told = fleet.replicas[0].admin().get("/api/status").send().await.json();
    let mut found = BTreeSet::new();
    members_of_status(&told, "", &mut found);
    assert_eq!(words(&tables(), "status"), found);
}

#[test]
fn every_span_is_listed() {
    let mut made = BTreeSet::new();
    for (_, source) in sources(&path("src")) {
        for begin in [".child(\"", ".record(\"", "SpanBuilder::from_name(\""] {
            made.extend(
                source.split(begin).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned),
            );
        }
    }
    let listed = tables()["spans"].iter().map(|cells| cells[0].clone()).collect::<BTreeSet<_>>();
    let calls = ["`GET`, … (server)", "`GET`, … (client)"].map(str::to_owned);
    let named = made.iter().map(|name| format!("`{name}`")).chain(calls).collect();
    assert_eq!(listed, named);
}
