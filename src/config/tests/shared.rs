//! `[shared]`: its bounds, and what of it fits together.

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A section with a URL, a secret and these lines.
fn section(files: &Files, url: &str, lines: &str) -> String {
    let secret = files.add("secret", SECRET);
    format!("[shared]\nurl = '{url}'\nsecret_file = {secret:?}\n{lines}\n")
}

fn with(lines: &str) -> Result<Loaded, Vec<Fault>> {
    from_toml(&section(&Files::new(), "redis://localhost", lines))
}

fn at(url: &str) -> Result<Loaded, Vec<Fault>> {
    from_toml(&section(&Files::new(), url, ""))
}

#[test]
fn the_section_is_there_if_a_url_is() {
    assert_eq!(load(&[], std::iter::empty()).unwrap().config.shared, None);
    let files = Files::new();
    let shared = from_toml(&section(&files, "redis://127.0.0.1:6380/2", "")).unwrap().config.shared.unwrap();
    let mut expected = Shared::at(StoreAddress::new("127.0.0.1", 6380), files.0.path().join("secret"));
    expected.store.database = 2;
    assert_eq!(shared, expected);
    assert_eq!((shared.store.timeout, shared.lease), (Duration::from_millis(50), Duration::from_millis(500)));
}

#[test]
fn whatever_else_is_set_needs_a_url() {
    let files = Files::new();
    let secret = files.add("secret", SECRET);
    for line in [
        format!("secret_file = {secret:?}"),
        format!("password_file = {secret:?}"),
        "mode = 'cluster'".to_owned(),
        "required = true".to_owned(),
        "namespace = 'ours'".to_owned(),
        "lease = '1s'".to_owned(),
    ] {
        let fault = the_fault(from_toml(&format!("[shared]\n{line}\n")));
        assert_eq!(fault.key, "shared.url", "{line}");
        assert!(fault.allowed.starts_with("a URL, since shared."), "{fault}");
    }
    for line in ["", "lease = '500ms'", "required = false"] {
        assert_eq!(from_toml(&format!("[shared]\n{line}\n")).unwrap().config.shared, None, "{line}");
    }
    let default = from_variables(&[("INSTANTLY_PROXY_SHARED__REQUIRED", "false")]);
    assert_eq!(default.unwrap().config.shared, None);
}

#[test]
fn each_key_has_its_bounds() {
    for (key, taken, refused) in [
        ("namespace", "a A.b-c_9", "'' a:b {a} a* ä"),
        ("timeout", "1ms 100ms", "0s 999us 1001ms 50"),
        ("lease", "200ms 10s", "99ms 10001ms 0s 500"),
        ("alone_ttl", "0s 1h", "61m -1s 10"),
        ("when_lost", "alone refuse_writes", "Alone refuse none"),
        ("mode", "standalone cluster", "Standalone single"),
    ] {
        for value in taken.split(' ') {
            assert!(with(&format!("{key} = '{value}'")).is_ok(), "{key} = {value}");
        }
        for value in refused.split(' ') {
            let fault = the_fault(with(&format!("{key} = '{}'", value.trim_matches('\''))));
            assert_eq!(fault.key, format!("shared.{key}"), "{value}");
        }
    }
    assert!(with(&format!("namespace = '{}'", "n".repeat(64))).is_ok());
    assert_eq!(the_fault(with(&format!("namespace = '{}'", "n".repeat(65)))).key, "shared.namespace");
    for key in ["allow_plaintext", "share_proofs", "tell_all_writes", "required"] {
        assert!(with(&format!("{key} = true")).is_ok() && with(&format!("{key} = false")).is_ok());
        assert_eq!(the_fault(with(&format!("{key} = 1"))).key, format!("shared.{key}"));
    }
}

#[test]
fn a_lease_has_room_for_four_calls() {
    assert!(with("timeout = '125ms'").is_ok());
    let fault = the_fault(with("timeout = '126ms'"));
    assert_eq!(fault.key, "shared.lease");
    assert_eq!(fault.allowed, "at least 4 times shared.timeout, which is \"126ms\"");
}

#[test]
fn nothing_goes_off_this_machine_in_plaintext_unless_it_is_allowed() {
    let files = Files::new();
    for url in ["redis://10.0.0.1", "redis://cache.example:6379", "redis://localhost,redis://10.0.0.1"] {
        let text = section(&files, url, "mode = 'cluster'");
        let fault = the_fault(from_toml(&text));
        assert!(fault.key == "shared.url" && fault.given.contains("plaintext"), "{fault}");
        let allowed = section(&files, url, "mode = 'cluster'\nallow_plaintext = true");
        assert!(from_toml(&allowed).is_ok(), "{url}");
    }
    for url in ["redis://127.0.0.9", "redis://[::1]:1", "rediss://cache.example"] {
        assert!(at(url).is_ok(), "{url}");
    }
}

#[test]
fn a_url_with_a_user_is_refused_and_not_shown() {
    for url in ["redis://user:secret@localhost", "redis://localhost?password=secret"] {
        let fault = the_fault(at(url));
        assert_eq!((fault.key.as_str(), fault.given.as_str()), ("shared.url", "***"));
    }
}

#[test]
fn urls_fit_what_they_are_said_to_name() {
    let two = "redis://localhost:1,redis://localhost:2";
    for (url, lines, fault) in [
        (two, "", Some("shared.url")),
        (two, "mode = 'cluster'", None),
        (two, "mode = 'sentinel'\nmaster_name = 'm'", None),
        (two, "mode = 'sentinel'", Some("shared.master_name")),
        ("redis://localhost/1", "mode = 'cluster'", Some("shared.url")),
        ("redis://localhost/0", "mode = 'cluster'", None),
        ("redis://localhost/1", "mode = 'sentinel'\nmaster_name = 'm'", None),
        ("redis://localhost", "master_name = 'm'", Some("shared.master_name")),
        ("redis://localhost", "username = 'u'", Some("shared.username")),
    ] {
        match (from_toml(&section(&Files::new(), url, lines)), fault) {
            (loaded, Some(key)) => assert_eq!(the_fault(loaded).key, key, "{url} {lines}"),
            (loaded, None) => assert!(loaded.is_ok(), "{url} {lines}: {loaded:?}"),
        }
    }
}

#[test]
fn secrets_are_long_and_never_shown() {
    let files = Files::new();
    let other = SECRET.replace('0', "x");
    let told = |content: &str| {
        let file = files.add("secrets", content);
        from_toml(&format!("[shared]\nurl = 'redis://localhost'\nsecret_file = {file:?}\n"))
    };
    for content in [SECRET.to_owned(), format!("{SECRET}\r\n{other}\n\n")] {
        assert!(told(&content).is_ok());
    }
    for (content, problem) in [
        (String::new(), "is empty"),
        ("\n".to_owned(), "is empty"),
        (SECRET[1..].to_owned(), "has 31 bytes in line 1"),
        (format!("{SECRET}\nshort"), "has 5 bytes in line 2"),
        (format!("{SECRET}\n{SECRET}"), "has a secret twice, in line 2"),
    ] {
        let fault = the_fault(told(&content));
        assert_eq!(fault.key, "shared.secret_file");
        assert!(fault.given.contains(problem), "{fault}");
        assert!(!fault.to_string().contains(&SECRET[1..]), "{fault}");
    }
    let secrets = files::shared_secrets(&files.add("two", format!("{SECRET}\n{other}"))).unwrap();
    assert_eq!(secrets.expose().collect::<Vec<_>>(), [SECRET.as_bytes(), other.as_bytes()]);
    assert_eq!(format!("{secrets:?}"), "SharedSecrets(*** of 2)");
    let fault = the_fault(from_toml("[shared]\nurl = 'redis://localhost'\n"));
    assert_eq!((fault.key.as_str(), fault.given.as_str()), ("shared.secret_file", "nothing"));
    let absent = format!("[shared]\nurl = 'redis://localhost'\nsecret_file = {:?}\n", files.absent());
    assert!(the_fault(from_toml(&absent)).given.contains("cannot be read"));
}

#[test]
fn a_password_is_one_line_and_never_shown() {
    let files = Files::new();
    for (content, problem) in
        [("", "is empty"), ("\n", "is empty"), ("one\ntwo\n", "holds more than one line")]
    {
        let file = files.add("password", content);
        let fault = the_fault(with(&format!("password_file = {file:?}")));
        assert!(fault.key == "shared.password_file" && fault.given.contains(problem), "{fault}");
    }
    let file = files.add("password", "pass word ä\n");
    let store =
        with(&format!("username = 'u'\npassword_file = {file:?}")).unwrap().config.shared.unwrap().store;
    assert_eq!(
        (store.username.as_deref(), store.password_file.as_deref()),
        (Some("u"), Some(file.as_path()))
    );
    let password = files::password(&file).unwrap();
    assert_eq!(password.expose(), "pass word ä");
    assert_eq!(format!("{password:?}"), "Password(***)");
}

#[test]
fn files_of_tls_are_read_before_they_are_needed_and_need_tls() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["store.example".to_owned()]).unwrap();
    let files = Files::new();
    let (certificate, key) =
        (files.add("c.pem", cert.pem()), files.add("k.pem", signing_key.serialize_pem()));
    let lines =
        format!("ca_file = {certificate:?}\nclient_certificate = {certificate:?}\nclient_key = {key:?}");
    let loaded = from_toml(&section(&files, "rediss://store.example", &lines)).unwrap();
    assert_eq!(
        loaded.config.shared.as_ref().unwrap().store.transport,
        StoreTransport::Tls {
            ca_file: Some(certificate.clone()),
            client: Some(ClientCertificate { certificate: certificate.clone(), key }),
        }
    );
    let again = from_toml(&loaded.report()).unwrap();
    assert_eq!(again.config, loaded.config);
    let keys: Vec<_> = faults(with(&lines)).into_iter().map(|fault| fault.key).collect();
    assert_eq!(keys, ["shared.ca_file", "shared.client_certificate"]);
    let alone = section(&files, "rediss://store.example", &format!("client_certificate = {certificate:?}"));
    assert_eq!(the_fault(from_toml(&alone)).key, "shared.client_certificate");
    let absent = section(&files, "rediss://store.example", &format!("ca_file = {:?}", files.absent()));
    assert_eq!(the_fault(from_toml(&absent)).key, "shared.ca_file");
}

#[test]
fn the_report_of_a_fleet_can_be_given_back() {
    let files = Files::new();
    let lines = "mode = 'sentinel'\nmaster_name = 'm'\nnamespace = 'n'\ntimeout = '20ms'\nlease = '1s'\n\
                 alone_ttl = '5s'\nshare_proofs = false\ntell_all_writes = true\nwhen_lost = 'refuse_writes'\nrequired = true";
    for urls in ["redis://localhost:26379,redis://[::1]:26380", "redis://localhost:1/3"] {
        let loaded = from_toml(&section(&files, urls, lines)).unwrap();
        assert_eq!(from_toml(&loaded.report()).unwrap().config, loaded.config);
    }
}

#[test]
fn every_fault_of_the_section_is_told_at_once() {
    let text = "[shared]\nurl = 'redis://10.0.0.1/1'\nmode = 'cluster'\nnamespace = ''\nlease = '1ms'\nusername = 'u'\n";
    let keys: Vec<_> = faults(from_toml(text)).into_iter().map(|fault| fault.key).collect();
    assert_eq!(
        keys,
        ["shared.username", "shared.url", "shared.namespace", "shared.lease", "shared.secret_file"]
    );
}

/// A replica that has a resource off tells nobody of its writes, unless it is told to.
#[test]
fn in_a_fleet_nothing_is_cached_but_labels_unless_all_writes_are_told() {
    let files = Files::new();
    for table in ["custom_tags", "lead_lists", "workspaces", "campaigns"] {
        let shared = section(&files, "redis://127.0.0.1:6380", "");
        let fault = the_fault(from_toml(&format!("{shared}[cache.{table}]\nenabled = true\n")));
        assert_eq!(fault.key, format!("cache.{table}.enabled"));
        assert!(fault.to_string().contains("no [shared]"), "{fault}");
        assert!(from_toml(&format!("{shared}[cache.{table}]\nenabled = false\n")).is_ok());
        let told = section(&files, "redis://127.0.0.1:6380", "tell_all_writes = true");
        assert!(from_toml(&format!("{told}[cache.{table}]\nenabled = true\n")).is_ok());
    }
}
