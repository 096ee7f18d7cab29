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
        loaded.egress().collect::<Vec<_>>(),
        [
            "calls to https://api.instantly.ai go through the forward proxy http://proxy.test:3128 (from variable HTTPS_PROXY)"
        ]
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
fn the_proxy_of_the_environment_is_for_https_alone_and_every_way_is_told() {
    let loaded = from_variables(&[
        ("HTTPS_PROXY", "http://proxy.test:3128"),
        ("NO_PROXY", "192.168.*,a.test,<local>"),
        ("INSTANTLY_PROXY_UPSTREAM__URL", "http://127.0.0.1:1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.test/otlp"),
    ])
    .unwrap();
    let by = "through the forward proxy http://proxy.test:3128 (from variable HTTPS_PROXY)";
    assert_eq!(
        loaded.egress().collect::<Vec<_>>(),
        [
            format!("calls to http://127.0.0.1:1 do not go {by}: it is for https alone"),
            format!("spans to https://collector.test/otlp/v1/traces go {by}"),
        ]
    );
    let notices: Vec<_> = loaded.notices(None).collect();
    assert_eq!(notices.len(), 2, "{notices:?}");
    for member in ["192.168.*", "<local>"] {
        let told = format!("\"{member}\" (from variable NO_PROXY) is passed over");
        assert!(notices.iter().any(|notice| notice.starts_with(&told)), "{notices:?}");
    }
    let upper = [
        ("HTTPS_PROXY", "http://proxy.test:3128"),
        ("INSTANTLY_PROXY_UPSTREAM__URL", "http://127.0.0.1:1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "HTTPS://collector.test"),
    ];
    let ways: Vec<_> = from_variables(&upper).unwrap().egress().collect();
    assert!(ways.last().is_some_and(|way| way.contains(" go through the forward proxy")), "{ways:?}");
    // Nothing is asked for by https: what the variable says is for other programs, and may be wrong.
    let plain = [("HTTPS_PROXY", "socks5://a"), ("INSTANTLY_PROXY_UPSTREAM__URL", "http://127.0.0.1:1")];
    assert_eq!(from_variables(&plain).unwrap().egress().count(), 0);
    let alone = from_variables(&[("NO_PROXY", "<local>")]).unwrap();
    assert_eq!(alone.notices(None).count(), 0, "there is nothing to be kept from");
}

/// A proxy is asked for its own loopback address: what is meant to stay on this machine would leave it, tokens and all.
#[test]
fn plaintext_to_a_loopback_address_through_a_proxy_is_no_plaintext_on_this_machine() {
    let upstream = |rest: &str| from_toml(&format!("[upstream]\nurl = 'http://127.0.0.1:9090'\n{rest}"));
    assert!(upstream("").is_ok());
    let fault = the_fault(upstream("proxy = 'http://proxy.test:3128'"));
    assert_eq!(fault.key, "upstream.url", "{fault}");
    for sound in ["no_proxy = '127.0.0.0/8'", "allow_plaintext = true"] {
        assert!(upstream(&format!("proxy = 'http://proxy.test:3128'\n{sound}")).is_ok(), "{sound}");
    }
}

#[test]
fn another_password_in_the_url_of_the_proxy_waits_for_a_restart() {
    let with = |password: &str| {
        from_toml(&format!("[upstream]\nproxy = 'http://user:{password}@proxy.test:3128'\n")).unwrap().config
    };
    assert_eq!(Change::between(&with("first"), &with("second")).waiting, [Key::UpstreamProxy]);
    assert_eq!(Change::between(&with("first"), &with("first")).waiting, []);
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
