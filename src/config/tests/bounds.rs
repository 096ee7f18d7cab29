//! Every bound: the values at it that are taken, and those beyond it that are refused.

use super::*;

/// Values in TOML.
struct Bound {
    key: Key,
    taken: &'static [&'static str],
    refused: &'static [&'static str],
}

const TIMEOUT: (&[&str], &[&str]) =
    (&["'1ms'", "'250ms'", "'1h'"], &["'0s'", "'61m'", "'999us'", "60", "'60'", "''", "true"]);
const DRAIN: (&[&str], &[&str]) = (&["'0s'", "'1h'"], &["'61m'", "'-1s'", "0"]);
const TTL: (&[&str], &[&str]) =
    (&["'1ms'", "'24h'", "'1d'"], &["'0s'", "'24h1ms'", "'99999999999999999999y'"]);
const STALE: (&[&str], &[&str]) = (&["'0s'", "'24h'"], &["'24h1ms'", "'-1s'", "0", "'5'"]);
const DIRECTIVES: (&[&str], &[&str]) = (&["'ignore'", "'respect'"], &["'Respect'", "'obey'", "true"]);
const MILLION: (&[&str], &[&str]) = (&["1", "1000000"], &["0", "1000001", "4294967297", "-1", "1.5", "'90'"]);
const FLAG: (&[&str], &[&str]) = (&["true", "false"], &["'true'", "1", "'yes'"]);
const ADDRESS: (&[&str], &[&str]) = (
    &["'127.0.0.1:80'", "'[::1]:0'", "'127.9.9.9:1'", "'[::ffff:127.0.0.1]:81'"],
    &["'localhost:80'", "':80'", "'127.0.0.1'", "'127.0.0.1:65536'", "8080", "''"],
);
const URL: (&[&str], &[&str]) = (
    &[
        "'https://api.instantly.ai/'",
        "'https://api.instantly.ai:8443'",
        "'https://10.1.2.3'",
        "'http://localhost:9090'",
        "'http://127.1.2.3:9090'",
        "'http://[::1]:9090'",
    ],
    &[
        "'api.instantly.ai'",
        "'ftp://api.instantly.ai'",
        "'https://'",
        "'https://:443'",
        "'https://api.instantly.ai:0'",
        "'https://api.instantly.ai:99999'",
        "'https://api.instantly.ai:'",
        "'https://user:secret@api.instantly.ai'",
        "'https://api.instantly.ai/api/v2'",
        "'https://api.instantly.ai?api_key=secret'",
        "'https://api.instantly.ai#x'",
        "'https://[::g]'",
        "'https://*.instantly.ai'",
        "'http://api.instantly.ai'",
        "'http://128.0.0.1'",
        "'http://localhost.example.com'",
        "''",
    ],
);
const PROXY: &[&str] = &["'socks5://proxy'", "'http://'", "'http://proxy/path'", "''", "3128"];
const SIZE: (&[&str], &[&str]) = (
    &["'1MiB'", "'1024KiB'", "'1048576B'", "'1TiB'"],
    &[
        "'1023KiB'",
        "'1048575B'",
        "'2TiB'",
        "'64MB'",
        "'64'",
        "'MiB'",
        "67108864",
        "'99999999999999999999B'",
        "'18446744073709551615TiB'",
    ],
);
const LEVEL: (&[&str], &[&str]) = (
    &["'error'", "'trace'", "'info,hyper=debug'", "'instantly_proxy::cache=trace'"],
    &["'verbose'", "'INFO'", "''", "'info,'", "'hyper=loud'", "'=info'", "'[x]=info'"],
);

const fn bound(key: Key, (taken, refused): (&'static [&'static str], &'static [&'static str])) -> Bound {
    Bound { key, taken, refused }
}

const BOUNDS: &[Bound] = &[
    bound(Key::ListenAddress, ADDRESS),
    bound(
        Key::ListenWorkers,
        (&["0", "1024"], &["1025", "-1", "'4'", "1.5", "[1]", "{ a = 1 }", "1979-05-27"]),
    ),
    bound(Key::ListenMaxConnections, (&["1", "1000000"], &["0", "1000001"])),
    bound(
        Key::ListenMaxHeldBytes,
        (&["'auto'", "'8MiB'", "'1TiB'"], &["'7MiB'", "'2TiB'", "'Auto'", "'third'", "''", "8388608"]),
    ),
    bound(Key::ListenHeaderTimeout, TIMEOUT),
    bound(
        Key::ListenMinUploadRate,
        (&["'1B'", "'1KiB'", "'1GiB'"], &["'0B'", "'1025MiB'", "'1'", "1024", "'1KB'", "''"]),
    ),
    bound(Key::ListenIdleTimeout, TIMEOUT),
    bound(Key::ListenDrainDelay, DRAIN),
    bound(Key::ListenDrainTimeout, DRAIN),
    bound(Key::ListenAllowPlaintext, FLAG),
    bound(
        Key::ListenHealthPath,
        (
            &["'/healthz'", "'/.well-known/ready'", "'/apis'"],
            &[
                "'/'",
                "'healthz'",
                "'/api'",
                "'/api/v2/ready'",
                "'/a//b'",
                "'/a/'",
                "'/a/../b'",
                "'/%61'",
                "'/a?b'",
                "'/a b'",
                "true",
            ],
        ),
    ),
    bound(Key::AdminAddress, ADDRESS),
    bound(Key::AdminHeaderTimeout, TIMEOUT),
    bound(Key::UpstreamUrl, URL),
    bound(
        Key::TelemetryOtlpEndpoint,
        (
            &["'http://collector:4318'", "'https://otlp.example/'", "'https://otlp.example/a/v1/traces'"],
            &[
                "'collector:4318'",
                "'grpc://collector'",
                "'http://collector/v1/traces?key=secret'",
                "'http://a:secret@collector'",
                "''",
            ],
        ),
    ),
    bound(
        Key::UpstreamProxy,
        (&["'http://proxy:3128'", "'proxy:3128'", "'https://[::1]'", "'http://a:b@proxy'", "'none'"], PROXY),
    ),
    bound(
        Key::UpstreamNoProxy,
        (&["'*'", "'a.test,.b.test:8443,10.0.0.0/8, ::1'"], &["'10.0.0.0/33'", "'a/b'", "'a:b'", "7"]),
    ),
    bound(Key::TelemetryOtlpProtocol, (&["'http/protobuf'", "'grpc'"], &["'http/json'", "'http'", "true"])),
    bound(Key::TelemetryCompression, (&["'none'", "'gzip'"], &["'zstd'", "true"])),
    bound(Key::TelemetryServiceName, (&["'labels'", "'a b'"], &["''", "' a'", "7"])),
    bound(Key::TelemetryResourceAttributes, (&["'a=b'", "'a=b,c=d e'", "'a='"], &["'a'", "'=b'", "7"])),
    bound(Key::TelemetrySamplingRatio, (&["0", "1", "0.25", "1.0"], &["1.01", "-1", "'half'", "'0.5'"])),
    bound(Key::UpstreamConnectTimeout, TIMEOUT),
    bound(Key::UpstreamFirstByteTimeout, TIMEOUT),
    bound(Key::UpstreamIdleTimeout, TIMEOUT),
    bound(Key::UpstreamFillTimeout, TIMEOUT),
    bound(Key::UpstreamMaxConnections, (&["4", "65536"], &["3", "65537"])),
    bound(
        Key::UpstreamUserAgent,
        (&["'a'", "'team/1.0 (labels)'"], &["''", "' a'", "'a '", r#""a\nb""#, "'ü'"]),
    ),
    bound(Key::UpstreamAllowPlaintext, FLAG),
    bound(Key::CacheMaxBytes, SIZE),
    bound(Key::CacheShare, (&["'organization'", "'credential'"], &["'Organization'", "'none'", "true"])),
    bound(Key::CacheListFill, FLAG),
    bound(Key::CacheWriteThrough, FLAG),
    bound(Key::CacheWriteInvalidates, (&["'label'", "'organization'"], &["'Label'", "'lists'", "true"])),
    bound(Key::LeadLabelsTtl, TTL),
    bound(Key::LeadLabelsStaleWhileRevalidate, STALE),
    bound(Key::LeadLabelsStaleIfError, STALE),
    bound(Key::LeadLabelsUpstreamDirectives, DIRECTIVES),
    bound(Key::LeadLabelListsTtl, TTL),
    bound(Key::LeadLabelListsStaleWhileRevalidate, STALE),
    bound(Key::LeadLabelListsStaleIfError, STALE),
    bound(Key::LeadLabelListsUpstreamDirectives, DIRECTIVES),
    bound(Key::CustomTagsEnabled, FLAG),
    bound(Key::CustomTagsTtl, TTL),
    bound(Key::CustomTagsListTtl, TTL),
    bound(Key::CustomTagsStaleWhileRevalidate, STALE),
    bound(Key::CustomTagsStaleIfError, STALE),
    bound(Key::CustomTagsUpstreamDirectives, DIRECTIVES),
    bound(Key::LeadListsEnabled, FLAG),
    bound(Key::LeadListsTtl, TTL),
    bound(Key::LeadListsListTtl, TTL),
    bound(Key::LeadListsStaleWhileRevalidate, STALE),
    bound(Key::LeadListsStaleIfError, STALE),
    bound(Key::LeadListsUpstreamDirectives, DIRECTIVES),
    bound(Key::WorkspacesEnabled, FLAG),
    bound(Key::WorkspacesTtl, TTL),
    bound(Key::WorkspacesStaleWhileRevalidate, STALE),
    bound(Key::WorkspacesStaleIfError, STALE),
    bound(Key::WorkspacesUpstreamDirectives, DIRECTIVES),
    bound(Key::CampaignsEnabled, FLAG),
    bound(Key::CampaignsTtl, TTL),
    bound(Key::CampaignsListTtl, TTL),
    bound(Key::CampaignsStaleWhileRevalidate, STALE),
    bound(Key::CampaignsStaleIfError, STALE),
    bound(Key::CampaignsUpstreamDirectives, DIRECTIVES),
    bound(Key::ProofMaxAge, (&["'0s'", "'5m'"], &["'301s'", "'300001ms'"])),
    bound(Key::ProofOutageMaxAge, (&["'60s'", "'5m'"], &["'301s'", "'1h'"])),
    bound(Key::ProofMaxCredentials, (&["1", "10000000"], &["0", "10000001"])),
    bound(Key::ShieldRequestsPerSecond, MILLION),
    bound(Key::ShieldRequestsPerMinute, MILLION),
    bound(Key::ShieldBurst, (&["'half'", "'whole'"], &["'Half'", "'none'", "true"])),
    bound(Key::ShieldReplicas, (&["1", "1000"], &["0", "1001", "-1"])),
    bound(Key::ShieldSingleWorkspace, FLAG),
    bound(Key::ShieldMaxWait, (&["'0s'", "'60s'", "'1m'"], &["'60001ms'", "'-1s'", "2"])),
    bound(Key::ShieldMaxQueued, MILLION),
    bound(Key::ShieldMode, (&["'enforce'", "'observe'"], &["'Observe'", "'off'", "true"])),
    bound(Key::ListenTlsClientAuth, (&["'required'", "'optional'"], &["'none'", "true"])),
    bound(
        Key::CallersSources,
        (
            &["'certificate'", "'credential, field,address'"],
            &["''", "'field, field'", "'cookie'", "['field']", "'field,'"],
        ),
    ),
    bound(
        Key::CallersField,
        (
            &["'x-caller'", "'caller'", "'x-service-name'"],
            &[
                "''",
                "'X-Caller'",
                "'authorization'",
                "'x-workspace-id'",
                "'x-api-key'",
                "'a b'",
                "'host'",
                "'x_caller'",
            ],
        ),
    ),
    bound(
        Key::CallersTrusted,
        (
            &["'none'", "'10.0.0.0/8, ::1/128'"],
            &["''", "'10.0.0.1/8'", "'10.0.0.0'", "'10.0.0.0/33'", "'all'"],
        ),
    ),
    bound(Key::LogLevel, LEVEL),
    bound(Key::LogFormat, (&["'auto'", "'json'", "'text'"], &["'JSON'", "'pretty'"])),
];

#[test]
fn values_at_their_bounds_are_taken() {
    for Bound { key, taken, .. } in BOUNDS {
        for value in *taken {
            let loaded = from_toml(&setting(*key, value));
            assert!(loaded.is_ok(), "{key} = {value}: {loaded:?}");
        }
    }
}

#[test]
fn values_beyond_their_bounds_are_refused_once_and_by_name() {
    for Bound { key, refused, .. } in BOUNDS {
        for value in *refused {
            let fault = the_fault(from_toml(&setting(*key, value)));
            assert_eq!(fault.key, key.as_str(), "{key} = {value}");
            assert!(matches!(fault.origin, Origin::File(_)), "{key} = {value}");
            assert!(!fault.given.contains("secret"), "{key} = {value}");
        }
    }
}

#[test]
fn every_key_has_its_bounds_tested() {
    let of_files = [
        Key::ListenTlsCertificate,
        Key::ListenTlsKey,
        Key::AdminTokenFile,
        Key::UpstreamCaFile,
        Key::UpstreamProxyAuthorizationFile,
        Key::UpstreamProxyCaFile,
        Key::UpstreamClientCertificate,
        Key::UpstreamClientKey,
        Key::TelemetryCaFile,
        Key::TelemetryHeadersFile,
        Key::ListenTlsClientCa,
        Key::CallersFingerprintSecretFile,
        // Tables, with a file of their own.
        Key::CallersAddresses,
        Key::CallersDefault,
        Key::CallersLimits,
    ];
    // Those of `shared` need each other, and a file of their own.
    for key in Key::ALL.iter().filter(|key| key.section() != "shared") {
        assert!(BOUNDS.iter().any(|bound| bound.key == *key) != of_files.contains(key), "{key}");
    }
}

#[test]
fn every_level_that_is_taken_is_one_that_the_log_library_knows() {
    for level in LEVEL.0 {
        let level = from_toml(&setting(Key::LogLevel, level)).unwrap().config.log.level;
        assert!(level.parse::<tracing_subscriber::filter::Targets>().is_ok(), "{level}");
    }
}
