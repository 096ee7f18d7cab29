//! Notices: which sound values are pointed out, and in which words.

use super::*;

/// The notices of `[shield]` with these lines.
fn of_shield(lines: &str) -> Vec<String> {
    let variables = lines.lines().map(|line| {
        let (leaf, value) = line.split_once(" = ").expect("a setting");
        (format!("INSTANTLY_PROXY_SHIELD__{}", leaf.to_uppercase()), value.to_owned())
    });
    load(&[], variables).unwrap().notices(None).collect()
}

#[test]
fn nothing_is_said_of_the_defaults_nor_of_values_at_the_edge() {
    for lines in [
        "",
        "requests_per_second = 100\nrequests_per_minute = 6000",
        "replicas = 90",
        "requests_per_second = 100\nrequests_per_minute = 100\nreplicas = 100",
    ] {
        assert_eq!(of_shield(lines), [""; 0], "{lines}");
    }
}

#[test]
fn a_limit_above_the_vendors_is_named_with_its_source_and_the_vendors_figure() {
    assert_eq!(
        of_shield("requests_per_second = 101\nrequests_per_minute = 6001"),
        [
            "shield.requests_per_second: 101 (from variable INSTANTLY_PROXY_SHIELD__REQUESTS_PER_SECOND) \
             is above the API's limit of 100 a second: right only for workspaces that were given more",
            "shield.requests_per_minute: 6001 (from variable INSTANTLY_PROXY_SHIELD__REQUESTS_PER_MINUTE) \
             is above the API's limit of 6000 a minute: right only for workspaces that were given more",
        ]
    );
}

#[test]
fn more_replicas_than_calls_to_divide_are_pointed_out() {
    const REPLICAS: &str =
        "(from variable INSTANTLY_PROXY_SHIELD__REPLICAS) leaves each replica less than 1 of";
    let second = |replicas: u32, limit: u32| {
        format!(
            "shield.replicas: {replicas} {REPLICAS} shield.requests_per_second = {limit}: \
             its share of the minute is what holds"
        )
    };
    let minute = |replicas: u32, limit: u32| {
        format!(
            "shield.replicas: {replicas} {REPLICAS} shield.requests_per_minute = {limit}: \
             each takes 1 a minute, together more than the limit"
        )
    };
    assert_eq!(of_shield("replicas = 91"), [second(91, 90)]);
    assert_eq!(of_shield("requests_per_minute = 9\nreplicas = 10"), [minute(10, 9)]);
    assert_eq!(
        of_shield("requests_per_second = 1\nrequests_per_minute = 1\nreplicas = 2"),
        [second(2, 1), minute(2, 1)]
    );
}

#[test]
fn a_variable_that_is_no_configuration_is_pointed_out() {
    let loaded = from_variables(&[("INSTANTLY_PROXY_VERSION", "debug")]).unwrap();
    let notices: Vec<_> = loaded.notices(None).collect();
    assert_eq!(
        notices,
        [
            "variable INSTANTLY_PROXY_VERSION is ignored: only INSTANTLY_PROXY_<SECTION>__<KEY> is configuration"
        ]
    );
}

#[test]
fn a_limit_of_open_files_too_low_for_what_is_configured_is_named_with_what_it_leaves() {
    let loaded = load(&[], std::iter::empty()).unwrap();
    let notices = |limit| loaded.notices(limit).collect::<Vec<_>>();
    assert_eq!(notices(Some(10_768)), [""; 0]);
    assert_eq!(
        notices(Some(1024)),
        [
            "listen.max_connections: 10000 (from default), upstream.max_connections and 256 for everything else are above \
          this system's limit of open files, 1024: 256 connections at most are kept open"
        ]
    );
}

#[test]
fn a_certificate_that_ends_soon_is_pointed_out() {
    const NOW: u64 = 1_900_000_000;
    let files = Files::new();
    let of = |days_left: i64| {
        let mut params = rcgen::CertificateParams::new(vec!["proxy.test".to_owned()]).unwrap();
        let seconds = i64::try_from(NOW).unwrap() + days_left * 86_400 + 60;
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_after = epoch + Duration::from_secs(u64::try_from(seconds).unwrap());
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = files.add("a.crt", params.self_signed(&key).unwrap().pem());
        let key = files.add("a.key", key.serialize_pem());
        let loaded =
            from_toml(&format!("[listen.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n")).unwrap();
        loaded.ending(Duration::from_secs(NOW)).collect::<Vec<_>>()
    };
    assert_eq!(of(14), [""; 0]);
    for (days_left, said) in [
        (13, "expires in 13 days"),
        (4, "expires in 4 days"),
        (1, "expires in 1 day"),
        (0, "expires within a day"),
        (-1, "has expired"),
    ] {
        let notices = of(days_left);
        assert!(notices.len() == 1 && notices[0].ends_with(said), "{notices:?}");
        assert!(notices[0].starts_with("listen.tls.certificate: \""), "{notices:?}");
    }
}
