//! Every key that can be reloaded takes effect, for what is stored, proven, spent and under way already.

use std::net::TcpListener;
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::time::Duration;

use instantly_proxy::config::{
    Attribute, Burst, CallerLimit, CallerSource, Callers, Change, ClientAuth, ClientCertificate, ClientRoots,
    Compression, Config, ForwardProxy, Key, MaxHeldBytes, Mode, NoProxy, OtlpProtocol, ProxyAuthorization,
    Ratio, Share, Shared, StoreAddress, StoreMode, StoreTransport, UpstreamDirectives, WhenLost,
    WriteInvalidates,
};
use instantly_proxy::error::ErrorKind;
use instantly_proxy::server::Shutdown;
use serde_json::Value;

use crate::support::labels::{CAMPAIGNS, LABELS, error, label, label_path};
use crate::support::{Answer, Caller, TestProxy, TestUpstream, World, is_label_read, patiently};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Each key with a change of it, and whether a running process can take that.
type Row = (Key, bool, fn(&mut Config));

const ROWS: &[Row] = &[
    (Key::ListenAddress, false, |config| config.listen.address.set_port(1)),
    (Key::ListenWorkers, false, |config| config.listen.workers = 3.try_into().ok()),
    (Key::ListenMaxConnections, false, |config| config.listen.max_connections = 7),
    (Key::ListenMaxHeldBytes, false, |config| config.listen.max_held_bytes = MaxHeldBytes::Bytes(1 << 23)),
    (Key::ListenHeaderTimeout, true, |config| config.listen.header_timeout = seconds(7)),
    (Key::ListenMinUploadRate, true, |config| config.listen.min_upload_rate = 7),
    (Key::ListenIdleTimeout, true, |config| config.listen.idle_timeout = seconds(7)),
    (Key::ListenDrainDelay, true, |config| config.listen.drain_delay = seconds(7)),
    (Key::ListenDrainTimeout, true, |config| config.listen.drain_timeout = seconds(7)),
    (Key::ListenAllowPlaintext, false, |config| config.listen.allow_plaintext = true),
    (Key::ListenHealthPath, false, |config| config.listen.health_path = Some("/healthz".to_owned())),
    (Key::ListenTlsCertificate, true, |config| tls(config).certificate = "other".into()),
    (Key::ListenTlsKey, true, |config| tls(config).key = "other".into()),
    (Key::ListenTlsClientCa, true, |config| clients(config).ca = "other".into()),
    (Key::ListenTlsClientAuth, true, |config| clients(config).auth = ClientAuth::Optional),
    (Key::AdminAddress, false, |config| config.admin.address.set_port(1)),
    (Key::AdminHeaderTimeout, false, |config| config.admin.header_timeout = seconds(7)),
    (Key::AdminTokenFile, true, |config| config.admin.token_file = Some("other".into())),
    (Key::UpstreamUrl, false, |config| config.upstream.url = "http://[::1]:1".parse().expect("an address")),
    (Key::UpstreamConnectTimeout, true, |config| config.upstream.connect_timeout = seconds(7)),
    (Key::UpstreamFirstByteTimeout, true, |config| config.upstream.first_byte_timeout = seconds(7)),
    (Key::UpstreamIdleTimeout, true, |config| config.upstream.idle_timeout = seconds(7)),
    (Key::UpstreamFillTimeout, true, |config| config.upstream.fill_timeout = seconds(7)),
    (Key::UpstreamMaxConnections, false, |config| config.upstream.max_connections = 7),
    (Key::UpstreamCaFile, true, |config| config.upstream.ca_file = Some("other".into())),
    (Key::UpstreamProxy, false, |config| proxy(config).url = http::Uri::from_static("http://other:1")),
    (Key::UpstreamNoProxy, false, |config| proxy(config).except = NoProxy::parse("other").expect("a name")),
    (Key::UpstreamProxyAuthorizationFile, false, |config| {
        proxy(config).authorization = Some(ProxyAuthorization::File("other".into()));
    }),
    (Key::UpstreamProxyCaFile, false, |config| proxy(config).ca_file = Some("other".into())),
    (Key::UpstreamClientCertificate, false, |config| client(config).certificate = "other".into()),
    (Key::UpstreamClientKey, false, |config| client(config).key = "other".into()),
    (Key::UpstreamUserAgent, false, |config| config.upstream.user_agent = "other".to_owned()),
    (Key::UpstreamAllowPlaintext, false, |config| config.upstream.allow_plaintext = true),
    (Key::CacheMaxBytes, false, |config| config.cache.max_bytes = 1 << 20),
    (Key::CacheShare, true, |config| config.cache.share = Share::Credential),
    (Key::CacheListFill, true, |config| config.cache.list_fill = false),
    (Key::CacheWriteThrough, true, |config| config.cache.write_through = false),
    (Key::CacheWriteInvalidates, true, |config| {
        config.cache.write_invalidates = WriteInvalidates::Organization;
    }),
    (Key::LeadLabelsTtl, true, |config| config.cache.lead_labels.ttl = seconds(7)),
    (Key::LeadLabelsStaleWhileRevalidate, true, |config| {
        config.cache.lead_labels.stale_while_revalidate = seconds(7);
    }),
    (Key::LeadLabelsStaleIfError, true, |config| config.cache.lead_labels.stale_if_error = seconds(7)),
    (Key::LeadLabelsUpstreamDirectives, true, |config| {
        config.cache.lead_labels.upstream_directives = UpstreamDirectives::Respect;
    }),
    (Key::LeadLabelListsTtl, true, |config| config.cache.lead_label_lists.ttl = seconds(7)),
    (Key::LeadLabelListsStaleWhileRevalidate, true, |config| {
        config.cache.lead_label_lists.stale_while_revalidate = seconds(7);
    }),
    (Key::LeadLabelListsStaleIfError, true, |config| {
        config.cache.lead_label_lists.stale_if_error = seconds(7);
    }),
    (Key::LeadLabelListsUpstreamDirectives, true, |config| {
        config.cache.lead_label_lists.upstream_directives = UpstreamDirectives::Respect;
    }),
    (Key::CustomTagsEnabled, false, |config| config.cache.custom_tags.enabled = true),
    (Key::CustomTagsTtl, true, |config| {
        config.cache.custom_tags.items.ttl = seconds(7);
    }),
    (Key::CustomTagsListTtl, true, |config| config.cache.custom_tags.lists.ttl = seconds(7)),
    (Key::CustomTagsStaleWhileRevalidate, true, |config| {
        for kept in [&mut config.cache.custom_tags.items, &mut config.cache.custom_tags.lists] {
            kept.stale_while_revalidate = seconds(7);
        }
    }),
    (Key::CustomTagsStaleIfError, true, |config| {
        for kept in [&mut config.cache.custom_tags.items, &mut config.cache.custom_tags.lists] {
            kept.stale_if_error = seconds(7);
        }
    }),
    (Key::CustomTagsUpstreamDirectives, true, |config| {
        for kept in [&mut config.cache.custom_tags.items, &mut config.cache.custom_tags.lists] {
            kept.upstream_directives = UpstreamDirectives::Respect;
        }
    }),
    (Key::LeadListsEnabled, false, |config| config.cache.lead_lists.enabled = true),
    (Key::LeadListsTtl, true, |config| {
        config.cache.lead_lists.items.ttl = seconds(7);
    }),
    (Key::LeadListsListTtl, true, |config| config.cache.lead_lists.lists.ttl = seconds(7)),
    (Key::LeadListsStaleWhileRevalidate, true, |config| {
        for kept in [&mut config.cache.lead_lists.items, &mut config.cache.lead_lists.lists] {
            kept.stale_while_revalidate = seconds(7);
        }
    }),
    (Key::LeadListsStaleIfError, true, |config| {
        for kept in [&mut config.cache.lead_lists.items, &mut config.cache.lead_lists.lists] {
            kept.stale_if_error = seconds(7);
        }
    }),
    (Key::LeadListsUpstreamDirectives, true, |config| {
        for kept in [&mut config.cache.lead_lists.items, &mut config.cache.lead_lists.lists] {
            kept.upstream_directives = UpstreamDirectives::Respect;
        }
    }),
    (Key::WorkspacesEnabled, false, |config| config.cache.workspaces.enabled = true),
    (Key::WorkspacesTtl, true, |config| {
        config.cache.workspaces.items.ttl = seconds(7);
        config.cache.workspaces.lists.ttl = seconds(7);
    }),
    (Key::WorkspacesStaleWhileRevalidate, true, |config| {
        for kept in [&mut config.cache.workspaces.items, &mut config.cache.workspaces.lists] {
            kept.stale_while_revalidate = seconds(7);
        }
    }),
    (Key::WorkspacesStaleIfError, true, |config| {
        for kept in [&mut config.cache.workspaces.items, &mut config.cache.workspaces.lists] {
            kept.stale_if_error = seconds(7);
        }
    }),
    (Key::WorkspacesUpstreamDirectives, true, |config| {
        for kept in [&mut config.cache.workspaces.items, &mut config.cache.workspaces.lists] {
            kept.upstream_directives = UpstreamDirectives::Respect;
        }
    }),
    (Key::CampaignsEnabled, false, |config| config.cache.campaigns.enabled = true),
    (Key::CampaignsTtl, true, |config| {
        config.cache.campaigns.items.ttl = seconds(7);
    }),
    (Key::CampaignsListTtl, true, |config| config.cache.campaigns.lists.ttl = seconds(7)),
    (Key::CampaignsStaleWhileRevalidate, true, |config| {
        for kept in [&mut config.cache.campaigns.items, &mut config.cache.campaigns.lists] {
            kept.stale_while_revalidate = seconds(7);
        }
    }),
    (Key::CampaignsStaleIfError, true, |config| {
        for kept in [&mut config.cache.campaigns.items, &mut config.cache.campaigns.lists] {
            kept.stale_if_error = seconds(7);
        }
    }),
    (Key::CampaignsUpstreamDirectives, true, |config| {
        for kept in [&mut config.cache.campaigns.items, &mut config.cache.campaigns.lists] {
            kept.upstream_directives = UpstreamDirectives::Respect;
        }
    }),
    (Key::ProofMaxAge, true, |config| config.proof.max_age = seconds(7)),
    (Key::ProofOutageMaxAge, true, |config| config.proof.outage_max_age = seconds(70)),
    (Key::ProofMaxCredentials, true, |config| config.proof.max_credentials = one()),
    (Key::ShieldRequestsPerSecond, true, |config| config.shield.requests_per_second = one()),
    (Key::ShieldRequestsPerMinute, true, |config| config.shield.requests_per_minute = one()),
    (Key::ShieldBurst, true, |config| config.shield.burst = Burst::Whole),
    (Key::ShieldReplicas, true, |config| config.shield.replicas = 3.try_into().expect("not zero")),
    (Key::ShieldSingleWorkspace, true, |config| config.shield.single_workspace = true),
    (Key::ShieldMaxWait, true, |config| config.shield.max_wait = seconds(7)),
    (Key::ShieldMaxQueued, true, |config| config.shield.max_queued = 7),
    (Key::ShieldMode, true, |config| config.shield.mode = Mode::Observe),
    (Key::CallersSources, true, |config| callers(config).sources = vec![CallerSource::Address]),
    (Key::CallersField, true, |config| callers(config).field = http::HeaderName::from_static("x-service")),
    (Key::CallersTrusted, true, |config| callers(config).trusted.clear()),
    (Key::CallersFingerprintSecretFile, true, |config| {
        callers(config).fingerprint_secret_file = Some("other".into());
    }),
    (Key::CallersAddresses, true, |config| {
        callers(config).addresses = vec![("10.0.0.0/8".parse().expect("a network"), "other".to_owned())];
    }),
    (Key::CallersDefault, true, |config| callers(config).fallback.mode = Mode::Observe),
    (Key::CallersLimits, true, |config| {
        callers(config).limits.insert("other-one".to_owned(), CallerLimit::default());
    }),
    (Key::LogLevel, true, |config| config.log.level = "debug".to_owned()),
    (Key::LogFormat, true, |config| config.log.format = instantly_proxy::config::LogFormat::Text),
    (Key::TelemetryOtlpEndpoint, false, |config| {
        config.telemetry.otlp_endpoint = Some(http::Uri::from_static("http://collector:4318"));
    }),
    (Key::TelemetryOtlpProtocol, false, |config| config.telemetry.otlp_protocol = OtlpProtocol::Grpc),
    (Key::TelemetryCompression, false, |config| config.telemetry.compression = Compression::Gzip),
    (Key::TelemetryCaFile, false, |config| config.telemetry.ca_file = Some("other".into())),
    (Key::TelemetryHeadersFile, false, |config| config.telemetry.headers_file = Some("other".into())),
    (Key::TelemetryServiceName, false, |config| config.telemetry.service_name = "other".to_owned()),
    (Key::TelemetryResourceAttributes, false, |config| {
        let attribute = Attribute { key: "a".to_owned(), value: "b".to_owned() };
        config.telemetry.resource_attributes = vec![attribute];
    }),
    (Key::TelemetrySamplingRatio, false, |config| {
        config.telemetry.sampling_ratio = Ratio::of(0.5).expect("a part");
    }),
    (Key::SharedUrl, false, |config| shared(config).store.addresses[0].port = 1),
    (Key::SharedMode, false, |config| shared(config).store.mode = StoreMode::Cluster),
    (Key::SharedMasterName, false, |config| {
        shared(config).store.mode = StoreMode::Sentinel { master_name: "other".to_owned() };
    }),
    (Key::SharedUsername, false, |config| shared(config).store.username = Some("other".to_owned())),
    (Key::SharedPasswordFile, false, |config| shared(config).store.password_file = Some("other".into())),
    (Key::SharedCaFile, false, |config| *tls_of_store(config).0 = Some("other".into())),
    (Key::SharedClientCertificate, false, |config| tls_of_store(config).1.certificate = "other".into()),
    (Key::SharedClientKey, false, |config| tls_of_store(config).1.key = "other".into()),
    (Key::SharedAllowPlaintext, false, |config| shared(config).allow_plaintext = true),
    (Key::SharedSecretFile, false, |config| shared(config).secret_file = "other".into()),
    (Key::SharedNamespace, false, |config| shared(config).namespace = "other".to_owned()),
    (Key::SharedTimeout, false, |config| shared(config).store.timeout = Duration::from_millis(7)),
    (Key::SharedLease, false, |config| shared(config).lease = seconds(7)),
    (Key::SharedAloneTtl, false, |config| shared(config).alone_ttl = seconds(7)),
    (Key::SharedShareProofs, false, |config| shared(config).share_proofs = false),
    (Key::SharedTellAllWrites, false, |config| shared(config).tell_all_writes = true),
    (Key::SharedWhenLost, false, |config| shared(config).when_lost = WhenLost::RefuseWrites),
    (Key::SharedRequired, false, |config| shared(config).required = true),
];

fn proxy(config: &mut Config) -> &mut ForwardProxy {
    config.upstream.proxy.as_mut().expect("it has a proxy")
}

fn client(config: &mut Config) -> &mut ClientCertificate {
    config.upstream.client.as_mut().expect("it has a certificate")
}

fn shared(config: &mut Config) -> &mut Shared {
    config.shared.as_mut().expect("it has a store")
}

fn callers(config: &mut Config) -> &mut Callers {
    config.callers.as_mut().expect("it tells callers apart")
}

fn clients(config: &mut Config) -> &mut ClientRoots {
    tls(config).clients.as_mut().expect("it asks for certificates")
}

fn tls_of_store(config: &mut Config) -> (&mut Option<PathBuf>, &mut ClientCertificate) {
    match &mut shared(config).store.transport {
        StoreTransport::Tls { ca_file, client: Some(client) } => (ca_file, client),
        _ => panic!("it has TLS"),
    }
}

fn one<T: From<NonZeroU8>>() -> T {
    NonZeroU8::MIN.into()
}

fn tls(config: &mut Config) -> &mut instantly_proxy::config::ListenTls {
    config.listen.tls.as_mut().expect("it has TLS")
}

#[test]
fn each_key_can_change_or_is_named_and_no_other_changes_with_it() {
    let mut current = Config::default();
    let clients = Some(ClientRoots { ca: "a".into(), auth: ClientAuth::Required });
    let files = instantly_proxy::config::ListenTls { certificate: "a".into(), key: "b".into(), clients };
    current.listen.tls = Some(files);
    current.upstream.proxy = Some(ForwardProxy::at(http::Uri::from_static("http://proxy:1")));
    current.upstream.client = Some(ClientCertificate { certificate: "a".into(), key: "b".into() });
    let trusted = vec!["10.0.0.0/8".parse().expect("a network")];
    let sources = vec![CallerSource::Field];
    current.callers = Some(Callers { sources, trusted, ..Callers::default() });
    let mut store = Shared::at(StoreAddress::new("::1", 7), "secret".into());
    store.store.transport = StoreTransport::Tls {
        ca_file: Some("a".into()),
        client: Some(ClientCertificate { certificate: "a".into(), key: "b".into() }),
    };
    store.store.mode = StoreMode::Sentinel { master_name: "a".to_owned() };
    current.shared = Some(store);
    let mut keys: Vec<_> = ROWS.iter().map(|(key, ..)| *key).collect();
    keys.dedup();
    assert_eq!(keys, Key::ALL, "a row for each key");
    for (key, can_change, change) in ROWS {
        let mut current = current.clone();
        if *key == Key::SharedMode {
            // Only Sentinels have a name, which would change along.
            shared(&mut current).store.mode = StoreMode::Standalone;
        }
        let mut new = current.clone();
        change(&mut new);
        let Change { config, taken, waiting } = Change::between(&current, &new);
        let (expected, nothing) = (vec![*key], Vec::new());
        assert_eq!(
            (&taken, &waiting),
            if *can_change { (&expected, &nothing) } else { (&nothing, &expected) }
        );
        assert_eq!(config, if *can_change { new } else { current.clone() }, "{key}");
    }
}

#[test]
fn a_listener_becomes_no_other_by_a_reload() {
    let plain = Config::default();
    let mut with_tls = Config::default();
    let files =
        instantly_proxy::config::ListenTls { certificate: "a".into(), key: "b".into(), clients: None };
    with_tls.listen.tls = Some(files);
    for (current, new) in [(&plain, &with_tls), (&with_tls, &plain)] {
        let change = Change::between(current, new);
        assert_eq!(change.waiting, [Key::ListenTlsCertificate, Key::ListenTlsKey]);
        assert_eq!(&change.config, current);
    }
}

/// A key that needs a restart says so where it is explained, and no other does.
#[test]
fn the_template_says_which_keys_need_a_restart() {
    let template = include_str!("../../config/instantly-proxy.toml");
    let (mut section, mut comment) = (String::new(), String::new());
    let mut told = Vec::new();
    for line in template.lines() {
        let bare = line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line);
        if let Some(table) = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = table.to_owned();
        } else if let Some(text) = line.strip_prefix("# ") {
            comment.push_str(text);
            comment.push(' ');
            continue;
        } else if let Some((leaf, _)) = bare.split_once(" = ") {
            let name = format!("{section}.{leaf}");
            let key = Key::ALL.iter().find(|key| key.as_str() == name);
            told.push((*key.unwrap_or_else(|| panic!("{name}")), comment.contains("Needs a restart.")));
        }
        comment.clear();
    }
    let expected: Vec<_> = ROWS.iter().map(|(key, can_change, _)| (*key, !can_change)).collect();
    assert_eq!(told, expected);
}

#[test]
fn the_reference_lists_the_keys_that_need_a_restart() {
    let reference = include_str!("../../docs/REFERENCE.md");
    let (_, section) = reference.split_once("\n## Keys that need a restart\n").expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let listed: Vec<_> = section.split('`').skip(1).step_by(2).collect();
    let rows = ROWS.iter().filter(|(_, can_change, _)| !can_change);
    assert_eq!(listed, rows.map(|(key, ..)| key.as_str()).collect::<Vec<_>>());
}

#[tokio::test]
async fn another_ttl_holds_at_once_for_what_is_stored() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    caller.get(LABELS).send().await.assert_miss();
    world.proxy.advance_seconds(20);
    caller.get(&label_path(1)).send().await.assert_hit();
    caller.get(LABELS).send().await.assert_hit();

    world.proxy.reload(|config| config.cache.lead_labels.ttl = seconds(20));
    caller.get(LABELS).send().await.assert_hit();
    caller.get(&label_path(1)).send().await.assert_miss();
    world.proxy.reload(|config| config.cache.lead_label_lists.ttl = seconds(20));
    caller.get(LABELS).send().await.assert_miss();

    world.proxy.advance_seconds(25);
    world.proxy.reload(|config| {
        config.cache.lead_labels.ttl = seconds(300);
        config.cache.lead_label_lists.ttl = seconds(0);
    });
    let ttl = caller.get(LABELS).send().await;
    assert!(!ttl.cache_status().contains("hit"), "{ttl:?}");
}

#[tokio::test]
async fn other_stale_windows_hold_at_once_for_what_is_stored() {
    for list in [false, true] {
        let world = World::start_with(|config| {
            config.cache.lead_labels.ttl = seconds(10);
            config.cache.lead_label_lists.ttl = seconds(10);
            config.cache.lead_labels.stale_if_error = seconds(1);
            config.cache.lead_label_lists.stale_if_error = seconds(1);
        });
        let caller = world.proven("a", 1).await;
        caller.get(LABELS).send().await.assert_miss();
        let target = if list { LABELS.to_owned() } else { label_path(1) };
        let change = |windows: fn(&mut instantly_proxy::config::CachedResource)| {
            world.proxy.reload(|config| {
                let Config { cache, .. } = config;
                windows(if list { &mut cache.lead_label_lists } else { &mut cache.lead_labels });
            });
        };
        // Past the window of a second, inside what the store keeps.
        world.proxy.advance(Duration::from_millis(10_200));
        change(|rules| rules.stale_if_error = Duration::ZERO);
        world.upstream.script(|request| is_label_read(request).then(|| Answer::json(500, error(500, "no"))));
        caller.get(&target).send().await.assert_refused_upstream(500);
        change(|rules| rules.stale_if_error = seconds(100));
        let stale = caller.get(&target).send().await;
        assert!(stale.cache_status().contains("stale-error"), "{stale:?}");
        change(|rules| rules.stale_while_revalidate = seconds(100));
        let stale = caller.get(&target).send().await;
        assert!(stale.cache_status().contains("stale-revalidating"), "{stale:?}");
        world.upstream.clear_scripts();
    }
}

#[tokio::test]
async fn who_shares_what_is_stored_changes_at_once_in_both_directions() {
    let world = World::start();
    let (first, second) = (world.proven("a", 1).await, world.proven("a", 2).await);
    second.get(&label_path(1)).send().await.assert_hit();
    world.proxy.reload(|config| config.cache.share = Share::Credential);
    first.get(&label_path(1)).send().await.assert_miss();
    first.get(&label_path(1)).send().await.assert_hit();
    second.get(&label_path(1)).send().await.assert_miss();
    world.proxy.reload(|config| config.cache.share = Share::Organization);
    second.get(&label_path(1)).send().await.assert_hit();
    world.caller("b", 1).get(&label_path(1)).send().await.assert_label("b-1").assert_proof();
}

#[tokio::test]
async fn write_through_and_list_fill_are_switched_on_and_off() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    let write = || caller.patch(&label_path(1), r#"{"label":"new"}"#).send();
    write().await.assert_status(200);
    caller.get(&label_path(1)).send().await.assert_miss();
    world.proxy.advance_seconds(6);
    world.proxy.reload(|config| config.cache.write_through = true);
    write().await.assert_status(200);
    caller.get(&label_path(1)).send().await.assert_hit();

    world.proxy.advance_seconds(6);
    world.proxy.reload(|config| config.cache.list_fill = true);
    let lists = || world.upstream.count_of(|request| request.target.contains("limit=100"));
    assert_eq!(lists(), 0);
    for n in 2..=3 {
        caller.get(&label_path(n)).send().await.assert_status(200);
    }
    assert_eq!(lists(), 1);
}

#[tokio::test]
async fn the_upstreams_directives_are_heeded_from_the_reload_on() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    world.upstream.script(|request| {
        is_label_read(request)
            .then(|| Answer::json(200, label("a", 2, "a-2")).field("cache-control", "no-store"))
    });
    let read = || caller.get(&label_path(2)).send();
    world.proxy.reload(|config| config.cache.lead_labels.upstream_directives = UpstreamDirectives::Respect);
    read().await.assert_unstored();
    read().await.assert_unstored();
    world.proxy.reload(|config| config.cache.lead_labels.upstream_directives = UpstreamDirectives::Ignore);
    // A key whose answer could not be shared is not collapsed for a while.
    world.proxy.advance_seconds(11);
    read().await.assert_status(200);
    read().await.assert_hit();
    world.upstream.clear_scripts();
}

#[tokio::test]
async fn the_age_of_proofs_and_their_number_change_at_once() {
    let world = World::start_with(|config| {
        config.cache.lead_labels.stale_if_error = seconds(3600);
    });
    let caller = world.proven("a", 1).await;
    world.proxy.advance_seconds(30);
    caller.get(&label_path(1)).send().await.assert_hit();
    world.proxy.reload(|config| config.proof.max_age = seconds(20));
    caller.get(&label_path(1)).send().await.assert_proof();

    world.proxy.advance_seconds(100);
    world.upstream.break_networking().await;
    caller.get(&label_path(1)).send().await.assert_hit();
    world.proxy.reload(|config| config.proof.outage_max_age = seconds(90));
    caller.get(&label_path(1)).send().await.assert_own_failure(&[502, 503]);
    world.upstream.heal_networking().await;

    let world = World::start_with(|config| config.proof.max_credentials = 100.try_into().expect("not zero"));
    for n in 1..=3 {
        world.proven("a", n).await;
    }
    world.proxy.reload(|config| config.proof.max_credentials = one());
    assert!((world.proxy.metric("instantly_proxy_bindings", &[]).await - 1.0).abs() < f64::EPSILON);
    world.caller("a", 3).get(&label_path(1)).send().await.assert_hit();
    world.caller("a", 1).get(&label_path(1)).send().await.assert_proof();
}

async fn shield_of(proxy: &TestProxy) -> Value {
    proxy.admin_get("/api/status").send().await.assert_status(200).json()["shield"].clone()
}

#[tokio::test]
async fn the_limits_of_the_shield_change_under_calls() {
    let world = World::start_shielded();
    let caller = world.proven("a", 1).await;
    let calls = async |count: usize| {
        for _ in 0..count {
            caller.get(CAMPAIGNS).send().await.assert_status(200);
        }
    };
    calls(9).await;
    world.proxy.reload(|config| {
        config.shield.requests_per_second = 10.try_into().expect("not zero");
        config.shield.max_wait = Duration::ZERO;
    });
    caller.get(CAMPAIGNS).send().await.assert_error(ErrorKind::OverBudget);
    // Until nobody is paced any more.
    world.proxy.advance_seconds(3);
    world.proxy.reload(|config| config.shield.requests_per_second = 11.try_into().expect("not zero"));
    calls(11).await;
    caller.get(CAMPAIGNS).send().await.assert_error(ErrorKind::OverBudget);

    world.proxy.advance_seconds(3);
    world.proxy.reload(|config| {
        config.shield.requests_per_second = 90.try_into().expect("not zero");
        config.shield.requests_per_minute = 96.try_into().expect("not zero");
        config.shield.replicas = 4.try_into().expect("not zero");
    });
    let limits = &shield_of(&world.proxy).await["limits"];
    assert_eq!((&limits["per_second"], &limits["per_minute"]), (&22.into(), &24.into()));
    calls(3).await;
    caller.get(CAMPAIGNS).send().await.assert_error(ErrorKind::OverBudget);
}

#[tokio::test]
async fn callers_are_put_on_one_account_and_parted_again() {
    let world = World::start_shielded_with(|config| {
        config.shield.requests_per_minute = 3.try_into().expect("not zero");
        config.shield.max_wait = Duration::ZERO;
    });
    let (a, b) = (world.proven("a", 1).await, world.proven("b", 1).await);
    a.get(CAMPAIGNS).send().await.assert_status(200);
    world.proxy.reload(|config| config.shield.single_workspace = true);
    assert_eq!(shield_of(&world.proxy).await["limit_holds_for"], "all_callers");
    b.get(CAMPAIGNS).send().await.assert_error(ErrorKind::OverBudget);
    world.proxy.reload(|config| config.shield.single_workspace = false);
    b.get(CAMPAIGNS).send().await.assert_error(ErrorKind::OverBudget);
    world.proxy.advance_seconds(130);
    b.get(CAMPAIGNS).send().await.assert_status(200);
}

#[tokio::test]
async fn the_length_of_the_queue_and_of_the_wait_change_for_who_comes_next() {
    let world = World::start_shielded_with(|config| config.shield.requests_per_second = one());
    let caller = world.proven("a", 1).await;
    world.proxy.reload(|config| {
        config.shield.max_queued = 1;
        config.shield.max_wait = Duration::from_secs(4);
    });
    let waiting = caller.get(CAMPAIGNS).spawn();
    world.proxy.metric_reaches("instantly_proxy_shield_queued", &[], 1.0).await;
    caller.get(CAMPAIGNS).send().await.assert_error(ErrorKind::QueueFull);
    world.proxy.reload(|config| config.shield.max_wait = Duration::ZERO);
    caller.get(CAMPAIGNS).send().await.assert_error(ErrorKind::OverBudget);
    world.proxy.advance_window();
    patiently("the call that waited", waiting).await.expect("no panic").assert_status(200);
}

/// Sends a request, lets it arrive upstream, and moves time by two seconds: less than any default.
async fn two_seconds_after_arrival(world: &World, caller: &Caller, target: &str) -> Result<u16, String> {
    let before = world.upstream.heads();
    let asked = tokio::spawn(caller.get(target).attempt());
    world.upstream.heads_arrived(before + 1).await;
    world.proxy.advance_in_steps(seconds(2)).await;
    patiently("the end of the call", asked).await.expect("no panic").map(|reply| reply.status)
}

#[tokio::test]
async fn the_time_outs_of_calls_change() {
    let world = World::start();
    let caller = world.proven("a", 1).await;
    world.proxy.reload(|config| {
        config.upstream.fill_timeout = seconds(1);
        config.upstream.first_byte_timeout = seconds(1);
        config.upstream.idle_timeout = seconds(1);
    });
    world.upstream.reply_to("GET", &label_path(2), Answer::hang());
    assert_eq!(two_seconds_after_arrival(&world, &caller, &label_path(2)).await, Ok(504));
    world.upstream.reply_to("GET", "/api/v2/slow", Answer::hang());
    assert_eq!(two_seconds_after_arrival(&world, &caller, "/api/v2/slow").await, Ok(504));
    let stalls = Answer::json(200, "{\"never\":\"ends\"}").stall_after(4);
    world.upstream.reply_to("GET", "/api/v2/stalls", stalls);
    let (mut raw, token) = (world.proxy.raw().await, crate::support::labels::token("a", 1));
    raw.send(format!("GET /api/v2/stalls HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n"))
        .await;
    assert_eq!(raw.read_head_only().await.status(), 200);
    // Who has these knows that the proxy has them, too.
    assert_eq!(raw.read_exactly(4).await, b"{\"ne");
    world.proxy.advance_in_steps(seconds(2)).await;
    raw.assert_closed().await;
}

#[tokio::test]
async fn the_time_for_connecting_changes() {
    // Takes connections, and says nothing: a TLS handshake that never ends.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("https://{}", silent.local_addr().expect("an address"));
    let nobody = TestUpstream::start(|_| Answer::status(500));
    let proxy = TestProxy::start_with(&nobody, |config| {
        config.upstream.url = url.parse().expect("an address");
        config.upstream.connect_timeout = seconds(3600);
    });
    proxy.reload(|config| config.upstream.connect_timeout = seconds(1));
    // What is not a read is not tried again, which would need the time anew.
    let asked = tokio::spawn(proxy.caller("a-token").delete(CAMPAIGNS).attempt());
    let accepted = tokio::task::spawn_blocking(move || silent.accept().map(|accepted| (silent, accepted)));
    let _held = patiently("a connection", accepted).await.expect("no panic").expect("it is taken");
    proxy.admin_get("/livez").send().await.assert_status(200);
    proxy.advance_seconds(2);
    let reply = patiently("the end of the call", asked).await.expect("no panic").expect("an answer");
    reply.assert_error(ErrorKind::ConnectTimeout);
}

#[tokio::test]
async fn the_time_outs_of_connections_change_for_those_that_are_open() {
    let world = World::start();
    let (mut silent, mut idle) = (world.proxy.raw().await, world.proxy.raw().await);
    let request = format!("GET {CAMPAIGNS} HTTP/1.1\r\nhost: a\r\n\r\n");
    idle.send(&request).await;
    idle.read().await;
    world.proxy.reload(|config| config.listen.header_timeout = seconds(1));
    world.proxy.advancing("the end of the silent one", silent.assert_closed()).await;
    idle.send(&request).await;
    idle.read().await;
    world.proxy.reload(|config| config.listen.idle_timeout = seconds(1));
    world.proxy.advancing("the end of the idle one", idle.assert_closed()).await;
}

#[tokio::test]
async fn the_times_of_a_drain_change() {
    let world = World::start();
    let caller = world.caller("a", 1);
    let held = world.upstream.hold(|request| request.is("GET", CAMPAIGNS));
    let asked = tokio::spawn(caller.get(CAMPAIGNS).attempt());
    held.held(1).await;
    world.proxy.reload(|config| {
        config.listen.drain_delay = Duration::ZERO;
        config.listen.drain_timeout = Duration::ZERO;
    });
    // The clock stands still: with the times that it started with it would wait for ever.
    world.proxy.shutdown(Shutdown::Graceful);
    assert!(patiently("the cut", asked).await.expect("no panic").is_err());
    held.release();
}

#[tokio::test]
async fn the_least_rate_of_uploads_changes_for_who_comes_next() {
    let world = World::start_with(|config| config.listen.min_upload_rate = 1);
    let token = crate::support::labels::token("a", 1);
    world.proven("a", 1).await;
    world.proxy.reload(|config| config.listen.min_upload_rate = 1 << 30);
    let mut raw = world.proxy.raw().await;
    let head = format!("POST {CAMPAIGNS} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n");
    raw.send(format!("{head}content-length: 100\r\n\r\nx")).await;
    let reply = world.proxy.advancing("the end of the upload", raw.read()).await;
    reply.reply().assert_error(ErrorKind::UploadTooSlow);
}
