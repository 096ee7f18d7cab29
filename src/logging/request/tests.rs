//! The line of a request is what an event of `tracing` would give, to the byte.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::super::line::Ending;
use super::super::subscriber;
use super::super::who::Who;
use super::*;

/// What is written, one line after the other.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Caller, credential and organization.
type Names<'a> = (&'a str, &'a str, Option<Uuid>);

/// The line as an event, through the subscriber of the process.
fn as_event(line: &RequestLine<'_>, names: Option<Names<'_>>, format: Format, reader: Reader) -> String {
    let (page, threshold) = (Written::default(), Threshold::new("info").unwrap());
    let out = page.clone();
    let subscriber = subscriber(threshold, Style::new(format), reader, move || out.clone());
    #[expect(clippy::cast_precision_loss)]
    let ms = |duration: Duration| duration.as_nanos() as f64 / 1e6;
    let duration_ms = ms(line.duration);
    let wait_ms = (!line.waited.is_zero()).then(|| ms(line.waited));
    let upstream_calls = (line.upstream_calls > 0).then_some(line.upstream_calls);
    let upstream_ms = upstream_calls.map(|_| ms(line.upstream));
    let mut end = line.path.len().min(200);
    while !line.path.is_char_boundary(end) {
        end -= 1;
    }
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!(
            target: "instantly_proxy::access",
            request_id = line.request_id,
            trace_id = line.trace_id,
            peer = line.peer,
            caller = names.map(|(caller, ..)| caller),
            credential = names.map(|(_, credential, _)| credential),
            organization = names.and_then(|(.., organization)| organization).map(|id| id.to_string()),
            method = line.method,
            path = &line.path[..end],
            route = line.route,
            outcome = line.outcome,
            reason = line.reason,
            status = line.status,
            error = line.error,
            cause = line.cause,
            duration_ms,
            wait_ms,
            upstream_ms,
            upstream_calls,
            response_bytes = line.response_bytes,
            complete = line.ending == Ending::Complete,
            "request",
        );
    });
    page.text()
}

fn requests(level: &str, format: Format, reader: Reader) -> Requests {
    let (lines, flush) = Lines::to(io::sink()).unwrap();
    drop(flush);
    Requests { threshold: Threshold::new(level).unwrap(), style: Style::new(format), reader, lines }
}

fn written(requests: &Requests, line: &RequestLine<'_>) -> String {
    let mut written = String::new();
    requests.log(line, |text| written.push_str(text));
    written
}

/// An event takes its time from the system: the place of each line's is all that can be compared.
fn without_time(line: &str) -> (String, String) {
    const LENGTH: usize = "2027-01-15T08:00:00.000042Z".len();
    let begins = line.find("20").expect("a year");
    let (before, rest) = line.split_at(begins);
    (before.to_owned() + &rest[LENGTH..], rest[..LENGTH].to_owned())
}

const AT: Duration = Duration::from_micros(1_800_000_000_000_042);

const HIT: RequestLine<'_> = RequestLine {
    at: AT,
    request_id: "0123456789abcdef",
    trace_id: None,
    peer: "127.0.0.1:43210",
    method: "GET",
    path: "/api/v2/lead-labels/01935c4b-0000-7abc-9def-000000000001",
    route: "lead_labels_item",
    outcome: "hit",
    who: None,
    reason: None,
    waited: Duration::ZERO,
    upstream: Duration::ZERO,
    upstream_calls: 0,
    status: Some(200),
    error: None,
    cause: None,
    duration: Duration::from_nanos(45_600),
    response_bytes: 340,
    ending: Ending::Complete,
};

#[test]
fn the_line_of_a_hit() {
    let json = requests("info", Format::Json, Reader::Program);
    assert_eq!(
        written(&json, &HIT),
        r#"{"timestamp":"2027-01-15T08:00:00.000042Z","level":"INFO","message":"request","#.to_owned()
            + r#""request_id":"0123456789abcdef","peer":"127.0.0.1:43210","method":"GET","#
            + r#""path":"/api/v2/lead-labels/01935c4b-0000-7abc-9def-000000000001","route":"lead_labels_item","#
            + r#""outcome":"hit","status":200,"duration_ms":0.0456,"response_bytes":340,"complete":true,"#
            + r#""target":"instantly_proxy::access"}"#
            + "\n"
    );
    let text = requests("info", Format::Text, Reader::Program);
    assert_eq!(
        written(&text, &RequestLine { status: None, error: Some("timeout"), ending: Ending::Cut, ..HIT }),
        "2027-01-15T08:00:00.000042Z  INFO instantly_proxy::access: request request_id=\"0123456789abcdef\" "
            .to_owned()
            + "peer=\"127.0.0.1:43210\" method=\"GET\" "
            + "path=\"/api/v2/lead-labels/01935c4b-0000-7abc-9def-000000000001\" route=\"lead_labels_item\" "
            + "outcome=\"hit\" error=\"timeout\" duration_ms=0.0456 response_bytes=340 complete=false\n"
    );
}

#[test]
fn levels_and_styles_change_between_two_lines_of_a_request() {
    let requests = requests("info,instantly_proxy::access=warn", Format::Json, Reader::Program);
    assert_eq!(written(&requests, &HIT), "");
    requests.threshold.set("warn,instantly_proxy=info").unwrap();
    assert!(written(&requests, &HIT).starts_with('{'));
    requests.style.set(Format::Text);
    assert!(written(&requests, &HIT).starts_with("2027-"));
    assert!(requests.threshold.set("no=such=level").is_err());
    assert!(!written(&requests, &HIT).is_empty());
    requests.threshold.set("error").unwrap();
    assert_eq!(written(&requests, &HIT), "");
}

/// Plain and odd: escapes of both styles, controls, characters of every length at every place of a block, and long ones.
fn values() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-zA-Z0-9/._-]{0,300}",
        "[a-z]{0,40}[\"\\\\\n\r\t\u{0}\u{1b}\u{7f}\u{9b}\u{a0}é€𝄞\u{301}\u{200b}][a-z]{0,40}",
        "[é€𝄞a]{0,120}",
        "[a\u{85}]{2040,2060}",
    ]
}

/// What may be taken over of a client.
fn ids() -> impl Strategy<Value = String> {
    "[0-9A-Za-z._~+/=:-]{1,128}"
}

fn addresses() -> impl Strategy<Value = String> {
    any::<(std::net::IpAddr, u16)>().prop_map(|address| std::net::SocketAddr::from(address).to_string())
}

/// Tokens (RFC 9110 §5.6.2).
fn methods() -> impl Strategy<Value = String> {
    "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,24}"
}

fn words() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["hit", "lead_labels_item", "pass_through", "upstream_timeout", "-"])
}

fn durations() -> impl Strategy<Value = Duration> {
    let nanos = prop_oneof![
        0_u64..2_000_000_000,
        (0_u64..2_000_000).prop_map(|micros| micros * 1_000),
        (0_u64..100_000).prop_map(|millis| millis * 1_000_000),
        (1_u64 << 52) - 1_000_000..(1 << 52) + 1_000_000,
        (1_u64 << 50..1 << 54),
        any::<u64>(),
    ];
    nanos.prop_map(Duration::from_nanos)
}

proptest! {
    #[test]
    fn the_line_of_a_request_is_that_of_an_event_to_the_byte(
        (request_id, peer, method, path) in (ids(), addresses(), methods(), values()),
        (trace_id, cause) in (prop::option::of(values()), prop::option::of(values())),
        (route, outcome, error) in (words(), words(), prop::option::of(words())),
        names in prop::option::of((values(), values(), prop::option::of(any::<u128>().prop_map(Uuid::from_u128)))),
        (reason, waited, upstream, upstream_calls) in
            (prop::option::of(words()), durations(), durations(), prop::sample::select(vec![0_u64, 1, 12])),
        (status, duration) in (any::<Option<u16>>(), durations()),
        (response_bytes, ending) in (any::<u64>(), prop::sample::select(vec![Ending::Complete, Ending::Cut])),
    ) {
        let names = names.as_ref().map(|(caller, credential, id)| (caller.as_str(), credential.as_str(), *id));
        let who = names.map(|(caller, credential, id)| Who::new(&peer, caller, credential, id));
        let line = RequestLine {
            at: AT,
            request_id: &request_id,
            trace_id: trace_id.as_deref(),
            peer: &peer,
            method: &method,
            path: &path,
            route,
            outcome,
            status,
            error,
            cause: cause.as_deref(),
            who: who.as_ref(),
            reason,
            waited,
            upstream,
            upstream_calls,
            duration,
            response_bytes,
            ending,
        };
        for format in [Format::Json, Format::Text] {
            for reader in [Reader::Person, Reader::Program] {
                let (ours, time) = without_time(&written(&requests("info", format, reader), &line));
                prop_assert_eq!(time, "2027-01-15T08:00:00.000042Z");
                prop_assert_eq!(ours, without_time(&as_event(&line, names, format, reader)).0);
            }
        }
    }

    #[test]
    fn a_duration_of_whatever_length_is_written_as_a_floating_point_number_is(duration in durations()) {
        let mut ours = String::new();
        json::milliseconds(&mut ours, duration);
        #[expect(clippy::cast_precision_loss)]
        let number = duration.as_nanos() as f64 / 1e6;
        prop_assert_eq!(ours, format!("{number:?}"));
    }
}
