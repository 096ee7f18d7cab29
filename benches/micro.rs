//! What the steps of a hit take, one by one: `cargo bench --bench micro`.
//!
//! Times are of this machine and this moment: compare them with each other, in one run. For regressions look at the
//! instruction counts of `benches/instructions/run`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use divan::Bencher;
use http::request::Parts;
use http::{HeaderValue, Request};
use instantly_proxy::cache::decide::decide;
use instantly_proxy::cache::gate::organization_of;
use instantly_proxy::cache::key::CacheKey;
use instantly_proxy::cache::render::render;
use instantly_proxy::cache::store::Store;
use instantly_proxy::cache::stored::{StoredResponse, ToStore, pack};
use instantly_proxy::caller::credential::Digester;
use instantly_proxy::classify::{Target, classify};
use instantly_proxy::clock::Clock;
use instantly_proxy::config::Config;
use instantly_proxy::guard;
use instantly_proxy::held::Held;
use instantly_proxy::metrics::Metrics;
use instantly_proxy::organization::{Organization, OrganizationId, Organizations};
use instantly_proxy::resource::{LEAD_LABEL, RESOURCES};
use instantly_proxy::semantics::directives::RequestDirectives;
use instantly_proxy::tick::Tick;
use uuid::Uuid;

const BODY_BYTES: usize = 350;

fn main() {
    divan::main();
}

/// A label read with six fields, as a service sends it.
fn head() -> Parts {
    let key = "Bearer MDE5OTdjM2UtMjViNS03ZDJmLWE1YzgtMGQxZDFlNmU0ZDEwOkFCQ0QrZi9naGlqa2w==";
    let request = Request::get("/api/v2/lead-labels/01997c3e-25b5-7d2f-a5c8-0d1d1e6e4d10")
        .header("host", "api.instantly.ai")
        .header("authorization", key)
        .header("accept", "application/json")
        .header("user-agent", "service/1.0")
        .header("accept-encoding", "identity")
        .header("x-request-id", "0123456789abcdef");
    request.body(()).expect("a sound request").into_parts().0
}

fn stored(clock: &Clock) -> Arc<StoredResponse> {
    let etag = HeaderValue::from_static("\"0123456789abcdef0123456789abcdef\"");
    let response = ToStore {
        organization: organization_id(),
        content_type: HeaderValue::from_static("application/json; charset=utf-8"),
        packed: pack(&etag, &[b'x'; BODY_BYTES], &Held::new(0)),
        sent: clock.now(),
        begun: Tick::default(),
        jitter: 100,
        settling: false,
        limit: None,
    };
    response.stored()
}

/// As a body names it: an id is made of nothing else.
fn organization_id() -> OrganizationId {
    let body = br#"{"organization_id":"01920000-0000-7000-8000-000000000061"}"#;
    organization_of(&LEAD_LABEL, body).expect("a body that names its organization")
}

fn organization() -> Arc<Organization> {
    Organizations::default().get(organization_id(), Clock::system().now())
}

fn key(organization: &Organization, number: u64) -> CacheKey {
    let target = Target::Item(Uuid::from_u64_pair(0x0193_5c4b_0000_7abc, number));
    CacheKey::new(&LEAD_LABEL, organization, None, target)
}

#[divan::bench]
fn guard_check(bencher: Bencher<'_, '_>) {
    let head = head();
    bencher.bench(|| guard::check(RESOURCES, black_box(&head), "instantly-proxy-7f3a"));
}

#[divan::bench]
fn classify_label_read(bencher: Bencher<'_, '_>) {
    let head = head();
    let place = RESOURCES.locate(head.uri.path());
    bencher.bench(|| classify(black_box(&head), black_box(place)));
}

#[divan::bench]
fn credential_digest(bencher: Bencher<'_, '_>) {
    let (head, digester) = (head(), Digester::default());
    bencher.bench(|| digester.credential(black_box(&head.headers)));
}

#[divan::bench]
fn make_key(bencher: Bencher<'_, '_>) {
    let organization = organization();
    bencher.bench(|| key(black_box(&organization), black_box(7)));
}

/// The bar: no more than half as much again among a million as among a thousand.
#[divan::bench(args = [1_000, 100_000, 1_000_000], sample_count = 1000, sample_size = 100)]
fn look_up(bencher: Bencher<'_, '_>, entries: u64) {
    let store = Store::new(u64::MAX, Arc::new(Metrics::default()));
    let (response, organization) = (stored(&Clock::system()), organization());
    for number in 0..entries {
        store.insert(key(&organization, number), Arc::clone(&response), Duration::from_secs(3600));
    }
    store.tidy();
    // Far apart, as the labels of many organizations are, and the same for each size.
    let mut turn = 0_u64;
    bencher.bench_local(|| {
        turn = (turn + 1) % 1000;
        store.get(black_box(&key(&organization, turn * (entries / 1000)))).expect("it is stored")
    });
}

#[divan::bench]
fn decide_fresh(bencher: Bencher<'_, '_>) {
    let clock = Clock::system();
    let (stored, now, config) = (stored(&clock), clock.now(), Config::default());
    let wishes = RequestDirectives::default();
    bencher.bench(|| decide(black_box(&wishes), Some(&stored), &config.cache.lead_labels, black_box(now)));
}

#[divan::bench]
fn render_hit(bencher: Bencher<'_, '_>) {
    let (head, stored) = (head(), stored(&Clock::system()));
    bencher.bench(|| render(black_box(&head), &stored, Some(Duration::from_secs(42))));
}

#[divan::bench]
fn render_304(bencher: Bencher<'_, '_>) {
    let (mut head, stored) = (head(), stored(&Clock::system()));
    head.headers.insert("if-none-match", stored.packed().etag);
    bencher.bench(|| render(black_box(&head), &stored, Some(Duration::from_secs(42))));
}
