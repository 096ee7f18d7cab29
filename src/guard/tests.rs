use super::*;
use crate::resource::RESOURCES;
use http::{HeaderValue, Request};
use proptest::prelude::*;

const OWN_VIA: &str = "instantly-proxy-7f3a";
const LABELS: &str = "/api/v2/lead-labels";
const ID: &str = "/api/v2/lead-labels/01997c3e-25b5-7d2f-a5c8-0d1d1e6e4d10";
const ELSEWHERE: &str = "/api/v2/accounts";

struct Case {
    method: &'static str,
    target: String,
    version: http::Version,
    fields: Vec<(String, Vec<u8>)>,
}

fn get(target: &str) -> Case {
    Case {
        method: "GET",
        target: target.to_owned(),
        version: http::Version::HTTP_11,
        fields: vec![("host".to_owned(), b"localhost:8080".to_vec())],
    }
}

impl Case {
    fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    fn version(mut self, version: http::Version) -> Self {
        self.version = version;
        self
    }

    fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    fn without_host(mut self) -> Self {
        self.fields.retain(|(name, _)| name != "host");
        self
    }

    fn check(&self) -> Result<(), ErrorKind> {
        let mut request =
            Request::builder().method(self.method).uri(self.target.as_str()).version(self.version);
        for (name, value) in &self.fields {
            request = request.header(name, HeaderValue::from_bytes(value).unwrap());
        }
        check(RESOURCES, &request.body(()).unwrap().into_parts().0, OWN_VIA)
            .map(|_| ())
            .map_err(|error| error.kind())
    }

    #[track_caller]
    fn passes(&self) {
        assert_eq!(self.check(), Ok(()), "{} {} {:?}", self.method, self.target, self.fields);
    }

    #[track_caller]
    fn is_refused(&self, kind: ErrorKind) {
        assert_eq!(self.check(), Err(kind), "{} {} {:?}", self.method, self.target, self.fields);
    }
}

#[test]
fn a_common_request_passes() {
    for version in [http::Version::HTTP_10, http::Version::HTTP_11] {
        get(ID)
            .version(version)
            .field("authorization", "Bearer bm90IGEga2V5==")
            .field("user-agent", "x")
            .field("accept", "*/*")
            .field("accept-encoding", "gzip")
            .field("connection", "keep-alive")
            .passes();
    }
}

/// Q14; RFC 9110 §9.1.
#[test]
fn only_six_methods_are_passed_on() {
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
        get(ELSEWHERE).method(method).passes();
    }
    for method in ["OPTIONS", "TRACE", "CONNECT", "get", "Delete", "PROPFIND", "PURGE", "QUERY"] {
        get(ELSEWHERE).method(method).is_refused(ErrorKind::MethodNotAllowed);
    }
}

/// RFC 9112 §3.2.
#[test]
fn the_target_is_a_path() {
    for target in ["*", "localhost:8080", "ftp://localhost:8080/", "http://localhost:8080?x=1"] {
        get(target).is_refused(ErrorKind::BadTarget);
    }
    for target in ["/", "/?", "http://localhost:8080/", "https://localhost:8080/api", "http://localhost:8080"]
    {
        get(target).passes();
    }
}

/// Q17.
#[test]
fn sizes_are_limited() {
    let longest = format!("/{}", "x".repeat(8 * 1024 - 1));
    get(&longest).passes();
    get(&format!("{longest}x")).is_refused(ErrorKind::TargetTooLong);
    get(&format!("/?{longest}")).is_refused(ErrorKind::TargetTooLong);

    let many = |n| (0..n).fold(get("/"), |case, at| case.field(&format!("x-{}", at % 7), "1"));
    many(99).passes();
    many(100).is_refused(ErrorKind::FieldsTooLarge);

    // Host takes 4 + 14 + 4 bytes.
    let rest = 32 * 1024 - 22 - 5;
    get("/").field("x", "y".repeat(rest)).passes();
    get("/").field("x", "y".repeat(rest + 1)).is_refused(ErrorKind::FieldsTooLarge);
}

/// Q16; RFC 9113 §8.2.1.
#[test]
fn a_value_without_one_reading_behind_http_1_is_refused() {
    for (name, value) in [
        ("authorization", " Bearer a"),
        ("authorization", "Bearer a "),
        ("x-as-workspace", " a"),
        ("x-other", "\ta"),
        ("x-other", "a\t"),
        ("x-other", " "),
    ] {
        get(ID).field(name, value).version(http::Version::HTTP_2).is_refused(ErrorKind::BadFieldValue);
    }
    get(ID).field("x-other", "a b").field("x-empty", "").passes();
}

/// Q7; RFC 9112 §3.2.
#[test]
fn one_well_formed_host_is_needed() {
    for host in [
        "localhost",
        "LOCALHOST:1",
        "proxy.svc.cluster.local:8080",
        "a_b-c.example.",
        "127.0.0.1:65535",
        "[::1]",
        "[::1]:8080",
        "host:",
    ] {
        get("/").without_host().field("host", host).passes();
    }
    for host in [
        "",
        ":80",
        "a b",
        "a/b",
        "user@host",
        "a,b",
        "a:b",
        "a:80:80",
        "a:65536",
        "a:+8",
        "[::1",
        "[]",
        "[x]",
        "[::1]x",
        "[::1%25eth0]",
        "h%20",
        "a#b",
        "a?b",
        "\u{E9}",
    ] {
        get("/").without_host().field("host", host).is_refused(ErrorKind::BadHost);
    }
    get("/").without_host().is_refused(ErrorKind::BadHost);
    get("/").field("host", "localhost:8080").is_refused(ErrorKind::RepeatedHost);
}

/// Q7; RFC 9112 §3.2.2, RFC 9113 §8.3.1.
#[test]
fn the_targets_authority_is_the_hosts() {
    get("http://LOCALHOST:8080/").passes();
    get("http://localhost:8080/").without_host().is_refused(ErrorKind::BadHost);
    get("http://other:8080/").is_refused(ErrorKind::Misdirected);
    get("http://localhost/").is_refused(ErrorKind::Misdirected);
    for (target, host, passes) in [
        ("http://a/", "a:80", true),
        ("http://a:80/", "A", true),
        ("http://a:/", "a:80", true),
        ("http://[::1]/", "[::1]:80", true),
        ("https://a/", "a:443", true),
        ("https://a:443/", "a", true),
        ("https://a/", "a:80", false),
        ("http://a/", "a:443", false),
        ("http://a:8080/", "a:80", false),
        ("http://a:8080/", "a", false),
    ] {
        let case = get(target).without_host().field("host", host);
        if passes { case.passes() } else { case.is_refused(ErrorKind::Misdirected) }
    }
    get("http://user@localhost:8080/").is_refused(ErrorKind::Misdirected);
    let http2 = |target| get(target).version(http::Version::HTTP_2);
    http2("http://localhost:8080/").passes();
    http2("http://localhost:8080/").without_host().passes();
    http2("http://other/").without_host().passes();
    http2("http://other/").is_refused(ErrorKind::Misdirected);
    http2("http://user@other/").without_host().is_refused(ErrorKind::BadHost);
}

/// Q1; RFC 9112 §6.
#[test]
fn framing_has_one_reading() {
    let post = || get(ELSEWHERE).method("POST");
    for length in ["0", "1", "10", "999999999999999999"] {
        post().field("content-length", length).passes();
    }
    for length in ["", "010", "00", "+1", "-1", "1.0", "1,1", "0x1", "1 1", "a", "9999999999999999999"] {
        post().field("content-length", length).is_refused(ErrorKind::BadContentLength);
    }
    post().field("content-length", "1").field("content-length", "1").is_refused(ErrorKind::BadContentLength);

    for coding in ["chunked", "Chunked"] {
        post().field("transfer-encoding", coding).passes();
    }
    for coding in ["", "identity", "gzip, chunked", "chunked, chunked", ",chunked", "chunked;x=1", "x"] {
        post().field("transfer-encoding", coding).is_refused(ErrorKind::BadTransferEncoding);
    }
    let chunked = || post().field("transfer-encoding", "chunked");
    chunked().field("transfer-encoding", "chunked").is_refused(ErrorKind::BadTransferEncoding);
    chunked().version(http::Version::HTTP_10).is_refused(ErrorKind::BadTransferEncoding);
    chunked().version(http::Version::HTTP_2).is_refused(ErrorKind::BadTransferEncoding);
    chunked().field("content-length", "1").is_refused(ErrorKind::BadContentLength);
    post()
        .field("content-length", "1")
        .field("transfer-encoding", "chunked")
        .is_refused(ErrorKind::BadTransferEncoding);
}

/// Q5; RFC 9110 §7.6.1.
#[test]
fn connection_names_nothing_that_the_upstream_needs() {
    for value in ["close", "keep-alive", "Upgrade, HTTP2-Settings", "te, close", "x-debug", "", "accept"] {
        get("/").field("connection", value).passes();
    }
    for value in [
        "authorization",
        "close, Authorization",
        "close,,\tHost ",
        "content-length",
        "Content-Type",
        "content-encoding",
        "transfer-encoding",
        "cookie",
        "Cache-Control",
        "X-As-Workspace",
        "\"a, host, b\"",
    ] {
        get("/").field("connection", value).is_refused(ErrorKind::BadConnection);
        get("/").field("connection", "close").field("connection", value).is_refused(ErrorKind::BadConnection);
    }
}

/// Q6.
#[test]
fn there_is_one_authorization_without_control_bytes() {
    for value in ["Bearer a", "Basic YTpi", "", "Bearer a, Bearer b", "x y z"] {
        for target in [ID, "/oauth/token"] {
            get(target).field("authorization", value).passes();
        }
    }
    get(ELSEWHERE).field("authorization", "Bearer\ta").is_refused(ErrorKind::BadAuthorization);
    for value in ["Bearer a", "Bearer b"] {
        get(ELSEWHERE)
            .field("authorization", "Bearer a")
            .field("authorization", value)
            .is_refused(ErrorKind::BadAuthorization);
    }
}

/// Q8: what is dropped and never read refuses nothing.
#[test]
fn fields_that_are_dropped_refuse_nothing() {
    for name in ["x-original-url", "x-original-host", "x-rewrite-url", "X-Original-URI", "x-host", "x_host"] {
        for target in [ID, LABELS, ELSEWHERE] {
            for method in ["GET", "PATCH"] {
                get(target).method(method).field(name, "/x").passes();
            }
        }
    }
    get(ID)
        .field("x-forwarded-host", "a")
        .field("x-forwarded-for", "::1")
        .field("forwarded", "for=a")
        .passes();
}

/// Q9.
#[test]
fn fields_that_override_the_method_are_refused() {
    for name in ["x-http-method-override", "X-Method-Override", "x-http-method"] {
        get(ELSEWHERE).field(name, "DELETE").is_refused(ErrorKind::MethodOverride);
    }
}

/// Q15.
#[test]
fn expect_says_100_continue() {
    get(ELSEWHERE).field("expect", "100-Continue").passes();
    for value in ["", "y 100-continue", "100-continue, 100-continue", "200-ok"] {
        get(ELSEWHERE).field("expect", value).is_refused(ErrorKind::ExpectationFailed);
    }
    get("/").field("upgrade", "h2c").field("connection", "upgrade, http2-settings").passes();
}

/// Q16; RFC 9113 §8.2.2. Perl's LWP sends the first of the latter.
#[test]
fn te_says_trailers_on_http2_and_anything_on_http1() {
    let over = |version, value: &str| get("/").version(version).field("te", value);
    for value in ["trailers", "Trailers", ""] {
        over(http::Version::HTTP_2, value).passes();
    }
    for value in ["deflate,gzip;q=0.3", "gzip", "trailers, deflate", "trailers;q=0.5"] {
        over(http::Version::HTTP_11, value).passes();
        over(http::Version::HTTP_2, value).is_refused(ErrorKind::BadTe);
    }
}

/// Q18.
#[test]
fn names_that_imitate_others_with_underscores_are_refused() {
    for name in [
        "content_length",
        "transfer_encoding",
        "Content_Type",
        "x_as_workspace",
        "x-as_workspace",
        "proxy_connection",
        "_authorization",
        "host_",
        "__te__",
        "x_http_method_override",
        "x_forwarded_host",
    ] {
        get(ELSEWHERE).field(name, "1").is_refused(ErrorKind::LookAlikeField);
    }
    for name in ["x_trace", "_", "trace_id", "content_", "authorization_x"] {
        get(ELSEWHERE).field(name, "1").passes();
    }
}

/// Q20.
#[test]
fn only_our_own_pseudonym_is_a_loop() {
    get("/").field("via", "1.1 instantly-proxy, 1.1 instantly-proxy-0000").passes();
    get("/").field("via", "1.1 a").field("via", "1.1 instantly-proxy-7f3a").is_refused(ErrorKind::Loop);
}

/// Q10, Q11: the full table of spellings is in `classify`.
#[test]
fn another_spelling_of_a_label_path_is_refused_for_reads_and_writes() {
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
        get("/api/v2//lead-labels").method(method).is_refused(ErrorKind::PathSpelling);
        get("http://localhost:8080/api/v2/lead%2Dlabels").method(method).is_refused(ErrorKind::PathSpelling);
        get("/api/v2/lead-labels/").method(method).passes();
        get(&ID.replace("01997c3e", "01997C3E")).method(method).passes();
        get("/api/v2/accounts//%2e%2e/x").method(method).passes();
    }
}

/// Q19: what a client asks of a cache is no matter for the guard.
#[test]
fn conditional_and_range_requests_pass() {
    get(ID)
        .field("range", "bytes=0-1")
        .field("if-none-match", "*")
        .field("cache-control", "no-cache")
        .passes();
}

proptest! {
    #[test]
    fn no_head_makes_it_panic(
        path in "/[ -~]{0,30}",
        fields in prop::collection::vec(("[a-z_-]{1,20}|host|te|connection|content-length", prop::collection::vec(any::<u8>(), 0..20)), 0..8),
    ) {
        let mut request = Request::builder().uri(path);
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                request = request.header(name, value);
            }
        }
        if let Ok(request) = request.body(()) {
            let _ = check(RESOURCES, &request.into_parts().0, OWN_VIA);
        }
    }
}
