//! `[callers]`: what is taken, and that every fault of it is told at once.

use super::*;
use crate::config::{CallerSource, Cap, Priority};

const SITE: &str = r#"
[callers]
sources = "certificate, field, credential"
field = "x-service"
trusted = "10.0.0.0/8, 127.0.0.1/32"
default = { max_wait = "1s" }

[callers.addresses]
"10.1.0.0/16" = "billing"
"10.1.2.0/24" = "spiffe://cluster.local/ns/prod/sa/sync"

[callers.limits.billing]
weight = 4
requests_per_minute = 1200
denied_methods = ["DELETE"]
denied_paths = ["/api/v2/emails/"]

[callers.limits."spiffe://cluster.local/ns/prod/sa/sync"]
part = "25%"
priority = "background"
observe = true
"#;

#[test]
fn callers_are_told_apart_and_limited_as_the_file_says() {
    let loaded = from_toml(SITE).unwrap();
    let callers = loaded.config.callers.clone().unwrap();
    let sources = [CallerSource::Certificate, CallerSource::Field, CallerSource::Credential];
    assert_eq!((callers.sources.as_slice(), callers.field.as_str()), (&sources[..], "x-service"));
    assert_eq!(callers.addresses[0].1, "spiffe://cluster.local/ns/prod/sa/sync", "the narrowest first");
    assert_eq!(callers.fallback.max_wait, Some(Duration::from_secs(1)));
    let billing = &callers.limits["billing"];
    assert_eq!((billing.weight.get(), &*billing.denied_paths[0]), (4, "/api/v2/emails"));
    let sync = &callers.limits["spiffe://cluster.local/ns/prod/sa/sync"];
    let minute = loaded.config.shield.requests_per_minute;
    assert_eq!((sync.cap.map(|cap| cap.of(minute).get()), sync.priority), (Some(1350), Priority::Background));
    assert!(matches!(sync.cap, Some(Cap::Percent(_))));
    assert_eq!(from_toml(&loaded.report()).unwrap().config, loaded.config, "the report can be read back");
}

#[test]
fn without_sources_nobody_is_told_apart_and_limits_are_a_fault() {
    assert_eq!(from_toml("[callers]\nfield = 'x-service'").unwrap().config.callers, None);
    let fault = the_fault(from_toml("[callers.limits.billing]\nweight = 2"));
    assert_eq!(fault.key, "callers.sources");
}

#[test]
fn every_fault_of_callers_is_told_at_once_with_what_is_allowed() {
    let bad = r#"
[callers]
sources = "field, cookie"
field = "authorization"
trusted = "10.0.0.1/8"
fingerprint_secret_file = "/nowhere"
default = { urgent = true }

[callers.addresses]
"10.0.0.0/33" = "billing"
"10.0.0.0/8" = "no name"

[callers.limits.billing]
weight = 0
requests_per_minute = 5401
priority = "high"
methods = ["FETCH"]
denied_methods = "GET"
paths = ["api"]
denied_paths = ["/a/../b"]
max_wait = "61s"
observe = "yes"

[callers.limits."a b"]
[callers.limits.other]
[callers.limits.sync]
part = "101%"
[callers.limits.both]
part = "10%"
requests_per_minute = 10
"#;
    let found = faults(from_toml(bad));
    let keys: Vec<&str> = found.iter().map(|fault| fault.key.as_str()).collect();
    for key in [
        "callers.sources",
        "callers.field",
        "callers.trusted",
        "callers.fingerprint_secret_file",
        "callers.default.urgent",
        "callers.addresses.\"10.0.0.0/33\"",
        "callers.addresses.\"10.0.0.0/8\"",
        "callers.limits.billing.weight",
        "callers.limits.billing.requests_per_minute",
        "callers.limits.billing.priority",
        "callers.limits.billing.methods",
        "callers.limits.billing.denied_methods",
        "callers.limits.billing.paths",
        "callers.limits.billing.denied_paths",
        "callers.limits.billing.max_wait",
        "callers.limits.billing.observe",
        "callers.limits.a b",
        "callers.limits.other",
        "callers.limits.sync.part",
        "callers.limits.both.part",
    ] {
        assert!(keys.contains(&key), "{key} in {keys:#?}");
    }
    assert_eq!(keys.len(), 20);
    assert!(found.iter().all(|fault| !fault.allowed.is_empty() && matches!(fault.origin, Origin::File(_))));
}

#[test]
fn no_field_that_means_something_to_anybody_here_names_a_caller() {
    let known = crate::semantics::request_fields::KNOWN.iter().map(|(name, ..)| *name);
    let others = [
        "proxy-authorization",
        "keep-alive",
        "expect",
        "upgrade",
        "trailer",
        "x-http-method-override",
        "x-org",
        "x-tenant-id",
        "x-api-key",
        "x-service-token",
        "x-client-ip",
        "x-original-url",
        "X-Caller",
        "x_caller",
        "x caller",
        "",
    ];
    let one = |name: &str| from_toml(&format!("[callers]\nsources = 'field'\nfield = '{name}'"));
    for name in known.chain(others) {
        assert_eq!(the_fault(one(name)).key, "callers.field", "{name}");
    }
    for name in ["x-caller", "x-service", "from", "x-client-name", "x-envoy-peer-metadata-id"] {
        assert_eq!(one(name).unwrap().config.callers.unwrap().field, name);
    }
}

#[test]
fn certificates_of_clients_need_tls_and_readable_roots() {
    let files = Files::new();
    let absent = files.absent();
    let text = format!("[listen.tls]\nclient_ca = {absent:?}\nclient_auth = 'sometimes'");
    let keys: Vec<String> = faults(from_toml(&text)).into_iter().map(|fault| fault.key).collect();
    assert_eq!(keys, ["listen.tls.client_ca", "listen.tls.client_auth"]);
}
