//! Spans as a collector gets them: whose they are, what they are inside, what they are linked to; and nothing of it where
//! traces are off.

use std::collections::HashMap;
use std::sync::Arc;

use instantly_proxy::config::Config;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;

use crate::support::labels::{CAMPAIGNS, label_path, token};
use crate::support::{Answer, Recorded, TestProxy, TestUpstream, World};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn traceparent() -> String {
    format!("00-{TRACE}-{PARENT}-01")
}

/// An API, a proxy that exports, and the collector.
struct Stage {
    proxy: Option<TestProxy>,
    upstream: TestUpstream,
    collector: TestUpstream,
}

impl Stage {
    fn start(change: impl FnOnce(&mut Config)) -> Self {
        let upstream = TestUpstream::of(&World::vendor());
        let collector = TestUpstream::start(|_| Answer::status(200));
        let endpoint = format!("http://{}", collector.address()).parse().expect("an address");
        let proxy = TestProxy::start_with(&upstream, |config| {
            config.telemetry.otlp_endpoint = Some(endpoint);
            change(config);
        });
        Self { proxy: Some(proxy), upstream, collector }
    }

    fn proxy(&self) -> &TestProxy {
        self.proxy.as_ref().expect("it runs until it is ended")
    }

    /// Ends the proxy, which sends what is queued; every span.
    fn spans(&mut self) -> Vec<Span> {
        drop(self.proxy.take());
        let mut batches = self.collector.requests();
        batches.retain(|request| request.is("POST", "/v1/traces"));
        assert!(!batches.is_empty(), "nothing was exported");
        let decode = |batch: &Arc<Recorded>| {
            ExportTraceServiceRequest::decode(&*batch.body).expect("OTLP").resource_spans
        };
        batches
            .iter()
            .flat_map(decode)
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans)
            .collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn notes(span: &Span) -> HashMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let pair = |note: &opentelemetry_proto::tonic::common::v1::KeyValue| {
        let value = note.value.as_ref().and_then(|value| value.value.as_ref());
        (note.key.clone(), value.map(text).unwrap_or_default())
    };
    span.attributes.iter().map(pair).collect()
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn servers(spans: &[Span]) -> Vec<&Span> {
    spans.iter().filter(|span| span.kind == SpanKind::Server as i32).collect()
}

#[tokio::test]
async fn a_miss_is_a_look_up_a_flight_and_a_call_and_a_hit_is_a_look_up() {
    let mut stage = Stage::start(|config| config.cache.list_fill = false);
    let caller = stage.proxy().caller(&token("a", 1));
    caller.get(&label_path(1)).send().await.assert_label("a-1");
    let read = || caller.get(&label_path(2)).field("traceparent", &traceparent()).field("tracestate", "x=1");
    read().send().await.assert_label("a-2").assert_miss();
    read().send().await.assert_label("a-2").assert_hit();
    let sent = stage.upstream.last();
    let told = sent.field("traceparent").expect("the upstream is told").to_owned();

    let spans = stage.spans();
    let ours: Vec<Span> = spans.iter().filter(|span| hex(&span.trace_id) == TRACE).cloned().collect();
    let [miss, hit] = servers(&ours)[..] else { panic!("{ours:#?}") };
    for (span, outcome) in [(miss, "miss"), (hit, "hit")] {
        assert_eq!((hex(&span.parent_span_id).as_str(), span.name.as_str()), (PARENT, "GET"));
        let notes = notes(span);
        assert_eq!(notes["instantly_proxy.outcome"], outcome);
        assert_eq!(
            (notes["http.route"].as_str(), notes["http.response.status_code"].as_str()),
            ("lead_label", "200")
        );
    }
    let inside = |parent: &Span, name: &str| {
        let mut found: Vec<&Span> = named(&ours, name);
        found.retain(|span| span.parent_span_id == parent.span_id);
        found.into_iter().cloned().collect::<Vec<Span>>()
    };
    assert!(!inside(miss, "look-up").is_empty() && !inside(hit, "look-up").is_empty());
    assert_eq!(inside(hit, "flight").len(), 0, "a hit asks nobody");
    let [flight] = &inside(miss, "flight")[..] else { panic!("{ours:#?}") };
    let [call] = &inside(flight, "GET")[..] else { panic!("{ours:#?}") };
    assert_eq!(notes(call)["instantly_proxy.purpose"], "fill");
    assert_eq!(told, format!("00-{TRACE}-{}-01", hex(&call.span_id)));
    for span in &spans {
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{span:?}");
        let text = format!("{span:?}");
        assert!(!text.contains(&token("a", 1)) && !text.contains(&label_path(2)), "{text}");
    }
}

#[tokio::test]
async fn who_follows_a_flight_is_linked_to_it() {
    let mut stage = Stage::start(|config| config.cache.list_fill = false);
    let (leader, follower) = (stage.proxy().caller(&token("a", 1)), stage.proxy().caller(&token("a", 2)));
    let follower = follower.over_http2();
    for caller in [&leader, &follower] {
        caller.get(&label_path(1)).send().await.assert_label("a-1");
    }
    let gate = stage.upstream.hold(|request| request.is("GET", &label_path(2)));
    let led = leader.get(&label_path(2)).spawn();
    gate.held(1).await;
    let followed = follower.get(&label_path(2)).field("traceparent", &traceparent()).spawn();
    tokio::task::yield_now().await;
    // Held until it has joined: what comes then shares the leader's answer. A call behind it on its connection went upstream.
    follower.get(CAMPAIGNS).send().await.assert_status(200);
    gate.release();
    led.await.expect("no panic").assert_label("a-2");
    followed.await.expect("no panic").assert_label("a-2").assert_cache_status("fwd=miss; collapsed");

    let spans = stage.spans();
    let [follow] = named(&spans, "follow")[..] else { panic!("{spans:#?}") };
    assert_eq!(hex(&follow.trace_id), TRACE);
    let [link] = &follow.links[..] else { panic!("{follow:#?}") };
    let flight =
        spans.iter().find(|span| span.span_id == link.span_id).expect("what it is linked to was exported");
    assert_eq!((flight.name.as_str(), &flight.trace_id), ("flight", &link.trace_id));
    assert_ne!(hex(&flight.trace_id), TRACE, "another request's trace");
}

#[tokio::test]
async fn pass_through_calls_and_writes_are_told_upstream_and_errors_are_errors() {
    let mut stage = Stage::start(|config| config.cache.list_fill = false);
    let caller = stage.proxy().caller(&token("a", 1));
    let asked =
        |method: &str, target: &str| caller.request(method, target).field("traceparent", &traceparent());
    // First a label read: a caller that is known is not introduced by a read of its own.
    asked("GET", &label_path(1)).send().await.assert_label("a-1");
    asked("GET", CAMPAIGNS).send().await.assert_status(200);
    let first = stage.upstream.last().field("traceparent").expect("it is told").to_owned();
    asked("PATCH", &label_path(1)).json(r#"{"label":"new"}"#).send().await.assert_label("new");
    let second = stage.upstream.last().field("traceparent").expect("it is told").to_owned();
    stage.upstream.reply_to("GET", CAMPAIGNS, Answer::json(500, "{}"));
    asked("GET", CAMPAIGNS).send().await.assert_status(500);
    caller.get(CAMPAIGNS).field("traceparent", "garbage").send().await.assert_status(500);

    let spans = stage.spans();
    for told in [first, second] {
        let span = told.split('-').nth(2).expect("a span").to_owned();
        let call = spans.iter().find(|call| hex(&call.span_id) == span).expect("the call was exported");
        assert_eq!(call.kind, SpanKind::Client as i32);
        assert!(servers(&spans).iter().any(|server| server.span_id == call.parent_span_id));
    }
    let failed = servers(&spans).into_iter().filter(|span| span.status.as_ref().is_some_and(|s| s.code == 2));
    let traces: Vec<String> = failed.map(|span| hex(&span.trace_id)).collect();
    assert_eq!(traces.len(), 2);
    assert!(
        traces.iter().any(|trace| trace == TRACE) && traces.iter().any(|trace| trace != TRACE),
        "{traces:?}"
    );
}

#[tokio::test]
async fn a_caller_that_does_not_sample_is_not_sampled() {
    let mut stage = Stage::start(|_| {});
    let caller = stage.proxy().caller(&token("a", 1));
    let quiet = format!("00-{TRACE}-{PARENT}-00");
    caller.get(CAMPAIGNS).field("traceparent", &quiet).send().await.assert_status(200);
    let calls = stage.upstream.requests();
    let call = calls.iter().find(|request| request.target == CAMPAIGNS).expect("it arrived");
    let told = call.field("traceparent").expect("it is told").to_owned();
    assert!(told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-00"), "{told}");
    caller.get(CAMPAIGNS).send().await.assert_status(200);
    assert!(stage.spans().iter().all(|span| hex(&span.trace_id) != TRACE));
}

#[tokio::test]
async fn without_a_collector_nothing_is_added_and_what_passes_through_stays() {
    let world = World::start();
    let caller = world.caller("a", 1);
    caller.get(&label_path(1)).field("traceparent", &traceparent()).send().await.assert_label("a-1");
    assert_eq!(world.upstream.last().field("traceparent"), None, "a fill carries our own fields");
    caller
        .get(CAMPAIGNS)
        .field("traceparent", &traceparent())
        .field("tracestate", "x=1")
        .send()
        .await
        .assert_status(200);
    let sent = world.upstream.last();
    assert_eq!((sent.field("traceparent"), sent.field("tracestate")), (Some(&*traceparent()), Some("x=1")));
}

/// W3C Trace Context §3.3.1.5: it would be held with each span until that is exported.
#[tokio::test]
async fn the_state_of_a_trace_is_kept_up_to_512_bytes_and_left_out_above() {
    let mut stage = Stage::start(|_| {});
    let caller = stage.proxy().caller(&token("a", 1));
    for length in [512, 513] {
        let state = format!("a={0},b={0},c={1}", "x".repeat(200), "x".repeat(length - 408));
        assert_eq!(state.len(), length);
        let read = caller.get(&label_path(1)).field("traceparent", &traceparent());
        read.field("tracestate", &state).send().await.assert_status(200);
    }
    let spans = stage.spans();
    let ours = spans.iter().filter(|span| hex(&span.trace_id) == TRACE).cloned().collect::<Vec<_>>();
    let [mut long, mut longer] = [0, 1].map(|at| servers(&ours)[at].trace_state.len());
    if long < longer {
        std::mem::swap(&mut long, &mut longer);
    }
    assert_eq!((long, longer), (512, 0));
}

#[tokio::test]
async fn a_dead_collector_costs_no_request() {
    let mut stage = Stage::start(|_| {});
    stage.collector.break_networking().await;
    let caller = stage.proxy().caller(&token("a", 1));
    for _ in 0..20 {
        caller.get(CAMPAIGNS).send().await.assert_status(200);
    }
    drop(stage.proxy.take());
}
