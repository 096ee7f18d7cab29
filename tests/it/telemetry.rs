//! How spans leave: over HTTP to any path, over gRPC, packed, with fields and attributes of the operator's; and that what is
//! lost is counted and told.

use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use tempfile::TempDir;

use crate::support::labels::{CAMPAIGNS, token};
use crate::support::{Answer, Serving, TestUpstream, World, patiently};

/// The library's own pace, which is five seconds.
const AT_ONCE: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "20");

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).expect("it is packed");
    plain
}

/// The attributes of the resource, as text, and how many spans came of it.
fn told(message: &[u8]) -> (Vec<String>, usize) {
    let request = ExportTraceServiceRequest::decode(message).expect("OTLP");
    let [resource] = &request.resource_spans[..] else { panic!("{request:?}") };
    let attributes = &resource.resource.as_ref().expect("a resource").attributes;
    let shown = attributes.iter().map(|attribute| {
        match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Value::StringValue(text)) => format!("{}={text}", attribute.key),
            other => format!("{}: {other:?}", attribute.key),
        }
    });
    (shown.collect(), resource.scope_spans.iter().map(|scope| scope.spans.len()).sum())
}

async fn serving(environment: &[(&str, &str)]) -> (Serving, TestUpstream) {
    let upstream = TestUpstream::of(&World::vendor());
    let url = format!("http://{}", upstream.address());
    let environment: Vec<_> = environment.iter().copied().chain([AT_ONCE]).collect();
    (Serving::start(&url, &environment).await, upstream)
}

async fn series(serving: &Serving, name: &str) -> f64 {
    let page = serving.operator().get("/metrics").send().await.assert_status(200).text();
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    line.unwrap_or_default()
}

#[tokio::test]
async fn the_standard_variables_say_where_spans_go_and_whose_they_are() {
    let collector = TestUpstream::start(|_| Answer::status(200));
    let folder = TempDir::new().expect("a temporary folder can be made");
    let file = folder.path().join("headers");
    std::fs::write(&file, "# a vendor's\nx-key: a-secret\nx-team: labels\n").expect("it is ours");
    let (serving, _upstream) = serving(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}/a/path/", collector.address())),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-of-the-variable=7"),
        ("OTEL_SERVICE_NAME", "labels"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,host.name=a"),
        ("INSTANTLY_PROXY_TELEMETRY__HEADERS_FILE", file.to_str().expect("a plain name")),
    ])
    .await;
    serving.caller(&token("a", 1)).get(CAMPAIGNS).send().await.assert_status(200);
    patiently("a batch", async {
        while collector.requests().is_empty() {
            tokio::task::yield_now().await
        }
    })
    .await;
    let batch = collector.requests().remove(0);
    assert!(batch.is("POST", "/a/path/v1/traces"), "{}", batch.target);
    for (name, value) in [
        ("x-key", "a-secret"),
        ("x-team", "labels"),
        ("x-of-the-variable", "7"),
        ("content-encoding", "gzip"),
        ("content-type", "application/x-protobuf"),
    ] {
        assert_eq!(batch.field(name), Some(value));
    }
    let (attributes, spans) = told(&unpacked(&batch.body));
    for wanted in ["service.name=labels", "deployment.environment.name=test", "host.name=a"] {
        assert!(attributes.iter().any(|attribute| attribute == wanted), "{attributes:?}");
    }
    assert!(spans > 0);
    patiently("the count", async {
        while series(&serving, "instantly_proxy_spans_exported_total").await == 0.0 {}
    })
    .await;
    assert!(!serving.process.stdout().contains("a-secret"));
}

#[tokio::test]
async fn nothing_is_exported_where_no_trace_is_sampled_or_the_library_is_switched_off() {
    for (name, value) in [("OTEL_TRACES_SAMPLER", "always_off"), ("OTEL_SDK_DISABLED", "true")] {
        let collector = TestUpstream::start(|_| Answer::status(200));
        let endpoint = format!("http://{}", collector.address());
        let (serving, _upstream) =
            serving(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), (name, value)]).await;
        serving.caller(&token("a", 1)).get(CAMPAIGNS).send().await.assert_status(200);
        serving.process.signal("TERM");
        serving.process.ended().await;
        assert_eq!(collector.requests().len(), 0, "{name}");
    }
}

#[tokio::test]
async fn what_the_collector_refuses_is_counted_and_told_with_its_reason() {
    let collector = TestUpstream::start(|_| Answer::status(404));
    let refusing = format!("http://{}", collector.address());
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let refused = format!("http://{nobody}");
    for (endpoint, reason) in [(&refusing, "404 Not Found"), (&refused, "onnection refused")] {
        let (serving, _upstream) = serving(&[("INSTANTLY_PROXY_TELEMETRY__OTLP_ENDPOINT", endpoint)]).await;
        let lost = "instantly_proxy_spans_dropped_total{cause=\"export_failed\"}";
        assert_eq!(series(&serving, lost).await, 0.0, "it is there from the start");
        let caller = serving.caller(&token("a", 1));
        caller.get(CAMPAIGNS).send().await.assert_status(200);
        let line = serving.process.logged("spans were not exported").await;
        assert!(line["reason"].as_str().is_some_and(|text| text.contains(reason)), "{line}");
        let before = series(&serving, lost).await;
        assert!(before > 0.0);
        caller.get(CAMPAIGNS).send().await.assert_status(200);
        patiently("more lost spans", async { while series(&serving, lost).await == before {} }).await;
        let lines = serving.process.stdout();
        assert_eq!(lines.matches("spans were not exported").count(), 1, "once a minute: {lines}");
    }
}

type Calls = Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>;

/// A collector that speaks gRPC, and answers with this status behind its answers.
async fn grpc(status: &'static str) -> (SocketAddr, Calls) {
    let calls = Calls::default();
    let taken = Arc::clone(&calls);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let calls = Arc::clone(&taken);
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                let calls = Arc::clone(&calls);
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.expect("a whole body").to_bytes();
                    calls.lock().expect("no panic").push((head.uri.path().to_owned(), head.headers, body));
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static(status));
                    trailers.insert("grpc-message", HeaderValue::from_static("said so"));
                    let body =
                        Full::new(Bytes::from_static(&[0; 5])).with_trailers(async { Some(Ok(trailers)) });
                    Ok::<_, Infallible>(Response::new(body))
                }
            });
            tokio::spawn(async move {
                http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await
            });
        }
    });
    (address, calls)
}

#[tokio::test]
async fn spans_go_by_grpc_packed_or_not() {
    for compression in ["none", "gzip"] {
        let (address, calls) = grpc("0").await;
        let (serving, _upstream) = serving(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{address}")),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=7"),
            ("INSTANTLY_PROXY_TELEMETRY__COMPRESSION", compression),
        ])
        .await;
        serving.caller(&token("a", 1)).get(CAMPAIGNS).send().await.assert_status(200);
        patiently("the count", async {
            while series(&serving, "instantly_proxy_spans_exported_total").await == 0.0 {}
        })
        .await;
        let (path, fields, body) = calls.lock().expect("no panic").remove(0);
        assert_eq!(path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
        assert_eq!(
            (&fields["content-type"], &fields["te"], &fields["x-key"]),
            (
                &HeaderValue::from_static("application/grpc"),
                &HeaderValue::from_static("trailers"),
                &HeaderValue::from_static("7"),
            )
        );
        let (head, message) = body.split_at(5);
        assert_eq!(u32::from_be_bytes(head[1..].try_into().expect("four bytes")) as usize, message.len());
        let is_packed = compression == "gzip";
        assert_eq!((head[0] == 1, fields.contains_key("grpc-encoding")), (is_packed, is_packed));
        let message = if is_packed { unpacked(message) } else { message.to_vec() };
        assert!(told(&message).1 > 0);
    }
}

#[tokio::test]
async fn a_refusal_of_grpc_is_told_in_its_words() {
    let (address, _calls) = grpc("12").await;
    let (serving, _upstream) = serving(&[
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("http://{address}")),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ])
    .await;
    serving.caller(&token("a", 1)).get(CAMPAIGNS).send().await.assert_status(200);
    let line = serving.process.logged("spans were not exported").await;
    assert_eq!(line["reason"], "the collector answered grpc-status 12: said so");
}
