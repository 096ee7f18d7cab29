//! The way out: the forward proxy, and who is told of spans.

use super::*;

#[test]
fn the_proxy_that_other_programs_go_by_is_taken_where_none_is_named() {
    let loaded =
        from_variables(&[("HTTPS_PROXY", "http://us:er@proxy.test:3128"), ("NO_PROXY", "a.test")]).unwrap();
    let proxy = loaded.config.upstream.proxy.as_ref().unwrap();
    assert_eq!(proxy.authorization, Some(ProxyAuthorization::Given("us:er".to_owned())));
    for (url, through) in [
        ("https://api.instantly.ai", true),
        ("https://b.a.test", false),
        ("https://127.0.0.1:1", false),
        ("https://localhost", false),
    ] {
        assert_eq!(proxy.is_for(&url.parse().unwrap()), through, "{url}");
    }
    assert_eq!(
        loaded.egress().unwrap(),
        "calls to https://api.instantly.ai go through the forward proxy http://proxy.test:3128 (from variable HTTPS_PROXY)"
    );
    let shown = format!("{loaded:?}{}", loaded.report());
    assert!(!shown.contains("us:er"), "{shown}");

    let named = ("INSTANTLY_PROXY_UPSTREAM__PROXY", "none");
    assert_eq!(from_variables(&[("HTTPS_PROXY", "http://a:1"), named]).unwrap().config.upstream.proxy, None);
    let plain = ("INSTANTLY_PROXY_UPSTREAM__URL", "http://127.0.0.1:1");
    assert_eq!(from_variables(&[("HTTPS_PROXY", "http://a:1"), plain]).unwrap().config.upstream.proxy, None);
    let fault = the_fault(from_variables(&[("HTTPS_PROXY", "socks5://us:er@a")]));
    assert!(fault.key == "upstream.proxy" && !fault.to_string().contains("us:er"), "{fault}");
    let files = Files::new();
    let file = files.add("authorization", "user:password\n");
    let alone = the_fault(from_toml(&setting(Key::UpstreamProxyAuthorizationFile, &format!("{file:?}"))));
    assert!(alone.given.ends_with("stands alone"), "{alone}");
    for bad in ["", "user\n", "a:b\nc:d\n"] {
        let file = files.add("authorization", bad);
        let text = format!("[upstream]\nproxy = 'http://a'\nproxy_authorization_file = {file:?}\n");
        assert_eq!(the_fault(from_toml(&text)).key, "upstream.proxy_authorization_file", "{bad}");
    }
}

#[test]
fn fields_for_a_collector_are_names_and_values() {
    let files = Files::new();
    let of = |text: &str| {
        from_toml(&setting(Key::TelemetryHeadersFile, &format!("{:?}", files.add("fields", text))))
    };
    assert!(of("# a comment\n\nx-key: a b\nauthorization: Bearer secret\n").is_ok());
    for bad in ["x-key", "x key: a", "x-key: \u{7}"] {
        let fault = the_fault(of(bad));
        assert!(fault.key == "telemetry.headers_file" && fault.given.contains("line 1"), "{fault}");
    }
}
