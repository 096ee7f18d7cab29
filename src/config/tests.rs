//! The configuration from the outside: what is taken, what is refused, and in which words.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

mod bounds;
mod callers;
mod named_files;
mod notices;
mod outward;
mod shared;
mod template;

/// Files of one test, gone with it.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn add(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn absent(&self) -> PathBuf {
        self.0.path().join("absent")
    }
}

fn from_toml(text: &str) -> Result<Loaded, Vec<Fault>> {
    let files = Files::new();
    load(&[files.add("site.toml", text)], std::iter::empty())
}

fn from_variables(variables: &[(&str, &str)]) -> Result<Loaded, Vec<Fault>> {
    load(&[], variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// `cache.lead_labels.ttl` and a value in TOML, as a file.
fn setting(key: Key, value: &str) -> String {
    format!("[{}]\n{} = {value}\n", key.section(), key.leaf())
}

#[track_caller]
fn faults(loaded: Result<Loaded, Vec<Fault>>) -> Vec<Fault> {
    loaded.expect_err("the configuration was taken")
}

#[track_caller]
fn the_fault(loaded: Result<Loaded, Vec<Fault>>) -> Fault {
    let [fault] = faults(loaded).try_into().expect("one fault");
    fault
}

#[test]
fn without_anything_the_defaults_hold() {
    let loaded = load(&[], std::iter::empty()).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(Key::ALL.iter().all(|key| *loaded.origin(*key) == Origin::Default));
}

#[test]
fn later_files_win_over_earlier_ones_and_the_environment_over_all() {
    let files = Files::new();
    let first =
        files.add("first.toml", "[cache]\nmax_bytes = '1MiB'\nshare = 'credential'\n[log]\nlevel = 'warn'");
    let second = files.add("second.toml", "[cache]\nmax_bytes = '2MiB'\n[log]\nlevel = 'error'");
    let variable = ("INSTANTLY_PROXY_LOG__LEVEL".to_owned(), "debug".to_owned());
    let loaded = load(&[first.clone(), second.clone()], std::iter::once(variable)).unwrap();
    assert_eq!(loaded.config.cache.max_bytes, 2 << 20);
    assert_eq!(loaded.config.cache.share, Share::Credential);
    assert_eq!(loaded.config.log.level, "debug");
    assert_eq!(*loaded.origin(Key::CacheMaxBytes), Origin::File(second));
    assert_eq!(*loaded.origin(Key::CacheShare), Origin::File(first));
    assert_eq!(*loaded.origin(Key::LogLevel), Origin::Variable("INSTANTLY_PROXY_LOG__LEVEL".to_owned()));
    assert_eq!(*loaded.origin(Key::ProofMaxAge), Origin::Default);
}

#[test]
fn variables_stand_for_numbers_and_flags_too() {
    let config = from_variables(&[
        ("INSTANTLY_PROXY_LISTEN__WORKERS", "3"),
        ("INSTANTLY_PROXY_LISTEN__ALLOW_PLAINTEXT", "true"),
        ("INSTANTLY_PROXY_LISTEN__ADDRESS", "[::]:80"),
        ("INSTANTLY_PROXY_CACHE__LEAD_LABELS__TTL", "1h30m"),
        ("INSTANTLY_PROXY_SHIELD__REPLICAS", "4"),
    ])
    .unwrap()
    .config;
    assert_eq!(config.listen.workers.map(NonZeroUsize::get), Some(3));
    assert!(config.listen.allow_plaintext);
    assert_eq!(config.listen.address, "[::]:80".parse::<SocketAddr>().unwrap());
    assert_eq!(config.cache.lead_labels.ttl, Duration::from_secs(5400));
    assert_eq!(config.shield.replicas.get(), 4);
}

#[test]
fn service_links_are_ignored_and_near_misses_are_named() {
    let loaded = from_variables(&[
        ("INSTANTLY_PROXY_PORT", "tcp://10.0.0.1:8080"),
        ("INSTANTLY_PROXY_SERVICE_HOST", "10.0.0.1"),
        ("INSTANTLY_PROXY_SERVICE_PORT", "8080"),
        ("INSTANTLY_PROXY_SERVICE_PORT_HTTP", "8080"),
        ("INSTANTLY_PROXY_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("INSTANTLY_PROXY_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("INSTANTLY_PROXY_ADMIN_SERVICE_HOST", "10.0.0.2"),
        ("INSTANTLY_PROXY_ADMIN_PORT_8081_TCP_PROTO", "tcp"),
        ("INSTANTLY_PROXY__DATA_PORT", "tcp://10.0.0.1:8080"),
        ("INSTANTLY_PROXY__DATA_SERVICE_PORT", "8080"),
        ("INSTANTLY_PROXY__DATA_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("INSTANTLY_PROXY_VERSION", "7"),
        ("INSTANTLY_PROXYLOG__LEVEL", "debug"),
        ("PATH", "/bin"),
    ])
    .unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.ignored, ["INSTANTLY_PROXY_VERSION"]);
}

#[test]
fn one_underscore_for_two_is_a_fault_that_says_what_was_meant() {
    for (name, key) in [
        ("INSTANTLY_PROXY_LOG_LEVEL", Key::LogLevel),
        ("INSTANTLY_PROXY_CACHE_LEAD_LABELS_TTL", Key::LeadLabelsTtl),
        ("INSTANTLY_PROXY_cache_max_bytes", Key::CacheMaxBytes),
    ] {
        let fault = the_fault(from_variables(&[(name, "debug")]));
        assert_eq!((fault.key.as_str(), fault.allowed), (key.as_str(), key.variable()));
    }
    let fault = the_fault(from_variables(&[("INSTANTLY_PROXY_LISTEN__PORT", "8080")]));
    assert_eq!(fault.given, "unknown key", "no service has such a link");
}

#[test]
fn an_unknown_table_is_answered_with_the_one_that_was_meant() {
    let fault = the_fault(from_toml("[cach]\nmax_bytes = '1MiB'\n"));
    assert_eq!(
        fault.to_string().split_once("allowed: ").unwrap().1,
        "the keys of [listen], [admin], [upstream], [cache], [proof], [shield], [callers], [log], [telemetry], [shared]; \
         did you mean [cache]?"
    );
    let fault = the_fault(from_toml("[cache.lead_label]\nttl = '5m'\n"));
    assert!(fault.allowed.ends_with("; did you mean [cache.lead_labels]?"), "{fault}");
    let fault = the_fault(from_toml("cach = 1\n"));
    assert!(fault.allowed.ends_with("; did you mean [cache]?"), "{fault}");
}

#[test]
fn whole_numbers_may_be_written_as_templates_write_them() {
    for (text, workers) in [("3.0", 3), ("1e2", 100), ("0.0", 0), ("1.024e3", 1024)] {
        let of_file = from_toml(&setting(Key::ListenWorkers, text)).unwrap().config;
        let of_variable = from_variables(&[("INSTANTLY_PROXY_LISTEN__WORKERS", text)]).unwrap().config;
        for config in [of_file, of_variable] {
            assert_eq!(config.listen.workers.map_or(0, NonZeroUsize::get), workers, "{text}");
        }
    }
    assert_eq!(from_toml(&setting(Key::ShieldReplicas, "1.0")).unwrap().config.shield.replicas.get(), 1);
    for text in ["3.5", "-1.0", "1e20", "nan", "inf"] {
        the_fault(from_toml(&setting(Key::ListenWorkers, text)));
        the_fault(from_variables(&[("INSTANTLY_PROXY_LISTEN__WORKERS", text)]));
    }
}

#[test]
fn an_empty_variable_is_none_where_there_may_be_none() {
    let files = Files::new();
    let token = files.add("token", "0123456789abcdef");
    for key in Key::ALL.iter().filter(|key| report::value(&Config::default(), **key).is_none()) {
        assert_eq!(from_variables(&[(&key.variable(), "")]).unwrap().config, Config::default(), "{key}");
    }
    let named = files.add("site.toml", format!("[admin]\ntoken_file = {token:?}\n"));
    let empty = std::iter::once(("INSTANTLY_PROXY_ADMIN__TOKEN_FILE".to_owned(), String::new()));
    assert_eq!(load(&[named], empty).unwrap().config.admin.token_file, Some(token));
    the_fault(from_variables(&[("INSTANTLY_PROXY_LISTEN__ADDRESS", "")]));
}

#[test]
fn a_fault_quotes_what_was_given_and_what_is_allowed() {
    for (key, value, given) in [
        (Key::ListenWorkers, "-1", "-1"),
        (Key::ListenWorkers, "1.5", "1.5"),
        (Key::ListenWorkers, "[1]", "an array"),
        (Key::ListenWorkers, "{ a = 1 }", "a table"),
        (Key::ListenWorkers, "true", "true"),
        (Key::CacheShare, "'every\"body'", r#""every\"body""#),
        (Key::UpstreamUrl, "'https://user:secret@host'", "***"),
        (Key::UpstreamUrl, "'https://host?api_key=secret'", "***"),
    ] {
        let fault = the_fault(from_toml(&setting(key, value)));
        assert_eq!((fault.given.as_str(), fault.allowed.as_str()), (given, key.allowed()));
    }
}

#[test]
fn dangerous_combinations_are_refused_unless_allowed_by_name() {
    let plaintext_off_loopback = "[listen]\naddress = '0.0.0.0:8080'\n";
    let plaintext_upstream = "[upstream]\nurl = 'http://api.instantly.ai'\n";
    for (text, key) in [
        (plaintext_off_loopback, Key::ListenAddress),
        ("[listen]\naddress = '[::]:8080'\n", Key::ListenAddress),
        (plaintext_upstream, Key::UpstreamUrl),
        ("[proof]\nmax_age = '2m'\noutage_max_age = '1m'\n", Key::ProofMaxAge),
        ("[admin]\naddress = '127.0.0.1:8080'\n", Key::AdminAddress),
        ("[admin]\naddress = '0.0.0.0:8080'\n", Key::AdminAddress),
        ("[admin]\naddress = '[::]:8080'\n", Key::AdminAddress),
        ("[admin]\naddress = '[::ffff:127.0.0.1]:8080'\n", Key::AdminAddress),
        ("[listen]\naddress = '[::1]:9'\n[admin]\naddress = '[::]:9'\n", Key::AdminAddress),
        ("[listen.tls]\ncertificate = 'a.crt'\n", Key::ListenTlsCertificate),
        ("[listen.tls]\nkey = 'a.key'\n", Key::ListenTlsKey),
    ] {
        assert_eq!(the_fault(from_toml(text)).key, key.as_str(), "{text}");
    }
    for text in [
        &format!("{plaintext_off_loopback}allow_plaintext = true"),
        &format!("{plaintext_upstream}allow_plaintext = true"),
        "[admin]\naddress = '0.0.0.0:8081'\n",
        "[admin]\naddress = '127.0.0.2:8080'\n",
        "[listen]\naddress = '[::1]:9'\n[admin]\naddress = '0.0.0.0:9'\n",
        "[listen]\naddress = '127.0.0.1:0'\n[admin]\naddress = '127.0.0.1:0'\n",
    ] {
        assert!(from_toml(text).is_ok(), "{text}");
    }
}

#[test]
fn every_fault_of_every_layer_is_told_at_once() {
    let files = Files::new();
    let text = "lisen = 1\nproof = 3\n\"log.level\" = 'info'\n[cache]\nmax_byte = '1MiB'\n[upstream]\nurl = 'x'\n\
                [admin]\naddress = '127.0.0.1:8080'\n[admin.tls]\nkey = 'k'\n";
    let site = files.add("site.toml", text);
    let broken = files.add("broken.toml", "[cache\n");
    let variables =
        [("INSTANTLY_PROXY_CACHE__LEAD_LABEL__TTL", "5m"), ("INSTANTLY_PROXY_LISTEN__WORKERS", "many")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let faults = faults(load(&[site, broken, files.absent()], variables.into_iter()));
    let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
    let expected = [
        "admin.tls",
        "cache.max_byte",
        "lisen",
        "\"log.level\"",
        "proof",
        "",
        "",
        "cache.lead_label.ttl",
        "admin.address",
        "listen.workers",
        "upstream.url",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn an_unknown_key_is_answered_with_its_neighbours_and_the_one_that_was_meant() {
    let fault = the_fault(from_toml("[cache]\nmax_byte = '1MiB'\n"));
    assert_eq!(fault.given, "unknown key");
    assert_eq!(
        fault.allowed,
        "in [cache], max_bytes, share, list_fill, write_through, write_invalidates, lead_labels, \
         lead_label_lists, custom_tags, lead_lists, workspaces, campaigns; \
         did you mean cache.max_bytes?"
    );
    let fault = the_fault(from_variables(&[("INSTANTLY_PROXY_LISTEN__ADRESS", "x")]));
    assert_eq!((fault.key.as_str(), fault.given.as_str()), ("listen.adress", "unknown key"));
    assert!(fault.allowed.ends_with("did you mean INSTANTLY_PROXY_LISTEN__ADDRESS?"), "{fault}");
    let fault = the_fault(from_variables(&[("INSTANTLY_PROXY_listen__address", "127.0.0.1:1")]));
    assert!(fault.allowed.ends_with("did you mean INSTANTLY_PROXY_LISTEN__ADDRESS?"), "{fault}");
}

#[test]
fn a_file_that_is_no_configuration_is_never_quoted() {
    for text in
        ["sk-secret-token\n", "token = sk-secret-token\n", "token = \"sk-secret-token\n", "[sk-secret-token"]
    {
        let fault = the_fault(from_toml(text));
        assert!(!fault.to_string().contains("secret"), "{fault}");
        assert!(fault.given.contains("line 1"), "{fault}");
    }
}

#[test]
fn the_report_can_be_given_back_as_a_file() {
    let files = Files::new();
    let token = files.add("token", "0123456789abcdef");
    let text = format!(
        "[listen]\nworkers = 7\ndrain_delay = '0s'\n[admin]\ntoken_file = {token:?}\n[upstream]\n\
         url = 'http://[::1]:9/'\nuser_agent = 'a \"b\" c\\d'\n[cache]\nmax_bytes = '1536KiB'\n\
         list_fill = false\n[cache.lead_labels]\nstale_while_revalidate = '1500ms'\n\
         [cache.lead_label_lists]\nstale_if_error = '0s'\nupstream_directives = 'respect'\n\
         [proof]\nmax_age = '90s'\n[shield]\nrequests_per_minute = 600\nmax_wait = '0s'\n\
         [log]\nlevel = 'warn,hyper=trace'\nformat = 'json'\n"
    );
    let loaded = from_toml(&text).unwrap();
    let again = from_toml(&loaded.report()).unwrap();
    assert_eq!(again.config, loaded.config);
}

#[test]
fn the_report_says_where_each_value_came_from() {
    let report = from_variables(&[("INSTANTLY_PROXY_CACHE__MAX_BYTES", "1GiB")]).unwrap().report();
    let line = |key: &str| report.lines().find(|line| line.contains(key)).unwrap().split_whitespace();
    let max_bytes: Vec<_> = line("max_bytes").collect();
    assert_eq!(max_bytes.join(" "), r#"max_bytes = "1GiB" # variable INSTANTLY_PROXY_CACHE__MAX_BYTES"#);
    let share: Vec<_> = line("share").collect();
    assert_eq!(share.join(" "), r#"share = "organization" # default"#);
    assert!(report.contains("# token_file is not set"));
}
