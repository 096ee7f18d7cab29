use proptest::prelude::*;

use super::alike::assert_read_alike;
use super::*;
use crate::resource::{LEAD_LABEL, RESOURCES};

const LABELS: &str = "/api/v2/lead-labels";
const ID: &str = "01997c3e-25b5-7d2f-a5c8-0d1d1e6e4d10";

fn head(target: &str, lines: &[&str]) -> Vec<u8> {
    let mut head = format!("GET {target} HTTP/1.1\r\n");
    for line in ["Host: localhost", "Authorization: Bearer a"].iter().chain(lines) {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn is_plain(bytes: &[u8]) -> bool {
    PlainRead::parse(RESOURCES, None, bytes).is_some()
}

#[test]
fn what_plain_clients_send_is_plain() {
    let item = format!("{LABELS}/{ID}");
    for lines in [
        &[] as &[&str],
        &["User-Agent: curl/8.5.0", "Accept: */*"],
        &[
            "User-Agent: python-requests/2.32",
            "Accept-Encoding: gzip, deflate",
            "Accept: */*",
            "Connection: keep-alive",
        ],
        &["connection: Keep-Alive", "accept-language: *", "sec-fetch-mode: cors", "user-agent: node"],
        &["If-None-Match: \"a\"", "X-Request-Id: 7", "Content-Type: application/json"],
        &["x-as-workspace: 018f2a00-0000-7000-8000-00000000000a"],
        &["x-forwarded-for: 1.2.3.4", "x-forwarded-proto: https", "x-forwarded-host: a", "traceparent: 00-x"],
    ] {
        for target in [LABELS, item.as_str()] {
            assert!(is_plain(&head(target, lines)), "{target} {lines:?}");
        }
    }
    let read = head(&item, &["If-None-Match:  \"a\" ", "X-Request-Id: 7"]);
    let read = PlainRead::parse(RESOURCES, None, &read).expect("it is plain");
    assert_eq!(read.target, Target::Item(ID.parse().unwrap()));
    assert_eq!((read.authorization, read.workspace), (&b"Bearer a"[..], None));
    assert_eq!((read.condition, read.request_id), (Some(&b"\"a\""[..]), Some(&b"7"[..])));
}

#[test]
fn a_head_that_is_not_whole_and_alone_is_not_plain() {
    let whole = head(LABELS, &["Accept: */*"]);
    for length in 0..whole.len() {
        assert!(!is_plain(&whole[..length]), "{length}");
    }
    for behind in ["\r\n", "\n", "G", "{}", " "] {
        assert!(!is_plain(&[&whole, behind.as_bytes()].concat()), "{behind:?}");
        assert!(!is_plain(&[behind.as_bytes(), &whole].concat()), "{behind:?}");
    }
    assert!(!is_plain(&[whole.as_slice(), &whole].concat()));
}

#[test]
fn whatever_is_not_known_to_say_nothing_else_is_not_plain() {
    for line in [
        "X-Unknown: 1",
        "Cache-Control: no-cache",
        "Pragma: no-cache",
        "Prefer: wait=1",
        "Range: bytes=0-1",
        "Cookie: __cf_bm=x",
        "Content-Length: 0",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
        "Upgrade: h2c",
        "TE: trailers",
        "Connection: close",
        "Connection: keep-alive, close",
        "Connection:",
        "Via: 1.1 a",
        "X-Tenant: a",
        "X-Api-Key: a",
        "Host: localhost",
        "Authorization: Bearer a",
        "x-as-workspace: a",
        "Accept : */*",
        " Accept: */*",
        "User_Agent: a",
        "Content-Type: a\r\nContent-Type: a",
        "accept: \0",
        "Accept: a\r\n b",
    ] {
        assert!(!is_plain(&head(LABELS, &[line])), "{line:?}");
    }
    let text = String::from_utf8(head(LABELS, &[])).unwrap();
    for (old, new) in [
        ("GET ", "get "),
        ("GET ", "HEAD "),
        ("GET ", "POST "),
        ("GET ", "GET  "),
        ("GET ", "\r\nGET "),
        ("HTTP/1.1", "HTTP/1.0"),
        ("HTTP/1.1", "HTTP/2.0"),
        (" HTTP/1.1", ""),
        (LABELS, "/api/v2/lead-labels?"),
        (LABELS, "/api/v2/lead-labels?limit=1"),
        (LABELS, "/api/v2/lead-labels/"),
        (LABELS, "/api/v2/lead-labels#"),
        (LABELS, "http://localhost/api/v2/lead-labels"),
        (LABELS, "/api/v2/lead-labels/01997C3E-25b5-7d2f-a5c8-0d1d1e6e4d10"),
        (LABELS, "/api/v2/lead-label%73"),
        (LABELS, "/api/v2/lead-labels/01997c3e25b57d2fa5c80d1d1e6e4d10"),
        (LABELS, "//api/v2/lead-labels"),
        ("localhost", ""),
        ("localhost", "a b"),
        ("localhost", "a@b"),
        ("Host: localhost\r\n", ""),
        ("Authorization: Bearer a\r\n", ""),
        ("Bearer a", "Basic a"),
        ("Bearer a", "Bearer"),
        ("Bearer a", "Bearer a b"),
        ("Bearer a", "Bearer a,b"),
        ("Bearer a", ""),
    ] {
        assert!(!is_plain(text.replacen(old, new, 1).as_bytes()), "{new}");
    }
}

/// A line: nearly always one that is plain, sometimes any.
fn line() -> impl Strategy<Value = String> {
    let plain = prop::sample::select(vec![
        "Accept: */*",
        "user-agent: a b\tc",
        "ACCEPT-ENCODING:gzip",
        "Connection: keep-alive",
        "x-request-id: 7",
        "If-None-Match: *",
        "accept-language: \u{e9}",
        "Content-Type:",
        "x-as-workspace: 018f2a00-0000-7000-8000-00000000000a",
        "priority:  u=1 ",
        "x-forwarded-for: 1.2.3.4",
        "x-forwarded-host: b",
        "baggage: a=b",
    ]);
    let names = prop::sample::select(vec![
        "host",
        "Authorization",
        "accept",
        "connection",
        "cookie",
        "content-length",
        "transfer-encoding",
        "x-tenant",
        "x_as_workspace",
        "x-as-workspace",
        "cache-control",
        "prefer",
        "expect",
        "via",
        "te",
        "upgrade",
        "if-none-match",
        "x-forwarded-for",
        "a",
    ]);
    let values = prop::sample::select(vec![
        "",
        "a",
        "Bearer b",
        "bearer  c==",
        "Bearer a b",
        "keep-alive",
        "close",
        "0",
        "1",
        "chunked",
        "no-store",
        "wait=1",
        "*",
        "018f2a00-0000-7000-8000-00000000000a",
        "localhost:80",
        "[::1]",
        "a,b",
        "\t",
    ]);
    let any = (names, values).prop_map(|(name, value)| format!("{name}: {value}"));
    prop_oneof![6 => plain.prop_map(str::to_owned), 1 => any]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let targets = prop::sample::select(vec![
        LABELS.to_owned(),
        format!("{LABELS}/{ID}"),
        format!("{LABELS}/{ID}/"),
        format!("{LABELS}?limit=1"),
        "/api/v2/leads".to_owned(),
        format!("http://localhost{LABELS}"),
        format!("{LABELS}/{}", ID.to_uppercase()),
        format!("{LABELS}/x"),
    ]);
    let targets =
        prop_oneof![4 => Just(format!("{LABELS}/{ID}")), 2 => Just(LABELS.to_owned()), 1 => targets];
    let ends = prop_oneof![9 => Just("\r\n"), 1 => Just("\n")];
    let hosts = prop_oneof![6 => Just("Host: localhost"), 1 => Just("host: a:1"), 1 => Just("Accept: x")];
    let keys = prop_oneof![6 => Just("Authorization: Bearer a"), 1 => Just("authorization:  BEARER  a== "), 1 => Just("Accept: y")];
    let lines = (hosts, keys, prop::collection::vec(line(), 0..6)).prop_map(|(host, key, mut lines)| {
        lines.extend([host.to_owned(), key.to_owned()]);
        lines
    });
    let lines = lines.prop_shuffle();
    // A byte that is put, taken or changed anywhere.
    let mutation = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    let mutations = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(mutation, 1..3)];
    (targets, ends, lines, mutations).prop_map(|(target, end, lines, mutations)| {
        let mut head = format!("GET {target} HTTP/1.1\r\n");
        for line in lines {
            head.push_str(&line);
            head.push_str(end);
        }
        head.push_str("\r\n");
        let mut head = head.into_bytes();
        for (at, byte, what) in mutations {
            let at = at.index(head.len());
            match what {
                0 => head[at] = byte,
                1 => head.insert(at, byte),
                2 => drop(head.remove(at)),
                _ => head[at] ^= 0x20,
            }
        }
        head
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn what_is_plain_the_long_way_reads_alike(bytes in bytes()) {
        if let Some(read) = PlainRead::parse(RESOURCES, None, &bytes) {
            assert_read_alike(&bytes, &read);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = PlainRead::parse(RESOURCES, None, &[b"GET /api/v2/lead-labels", bytes.as_slice(), b"\r\n\r\n"].concat());
    }
}

/// Else the property says little.
#[test]
fn many_of_the_heads_of_the_property_are_plain() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let plain = (0..1000).filter(|_| is_plain(&bytes().new_tree(&mut runner).unwrap().current())).count();
    assert!((200..900).contains(&plain), "{plain} of 1000");
}

#[test]
fn a_plain_read_is_of_a_resource_of_the_table() {
    let bytes = head(LABELS, &[]);
    let read = PlainRead::parse(RESOURCES, None, &bytes).unwrap();
    assert_eq!(read.resource, &LEAD_LABEL);
}
