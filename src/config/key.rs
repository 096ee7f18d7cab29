//! [`Key`]: every key that the configuration knows, with what its value may be.
//!
//! The table is the only list of keys: what is unknown is what it does not name, faults quote its words, and the
//! report follows its order. The bounds themselves are held by `resolve`; a test compares the two.

use crate::closed_enum::closed_enum;

/// What every variable of the configuration begins with.
pub(super) const PREFIX: &str = "INSTANTLY_PROXY_";

/// Keys whose value is a secret, shown as `***`. None so far: secrets are kept in files of their own.
const SECRETS: &[Key] = &[];

macro_rules! keys {
    ($($variant:ident = $name:literal, $allowed:literal;)+) => {
        closed_enum! {
            /// A key of the configuration; its text is the dotted name.
            pub enum Key { $(#[doc = concat!("`", $name, "`; allowed: `", $allowed, "`.")] $variant = $name,)+ }
        }

        impl Key {
            /// What a value of this key may be, in words.
            #[must_use]
            pub const fn allowed(self) -> &'static str {
                match self { $(Self::$variant => $allowed,)+ }
            }
        }
    };
}

keys! {
    ListenAddress = "listen.address", "an IP address with a port, such as 127.0.0.1:8080 or [::1]:8080";
    ListenWorkers = "listen.workers", "a whole number from 0 (one per core) to 1024";
    ListenMaxConnections = "listen.max_connections", "a whole number from 1 to 1000000";
    ListenMaxHeldBytes = "listen.max_held_bytes",
        "\"auto\", or a size from 8MiB to 1TiB, such as \"128MiB\" (units B, KiB, MiB, GiB, TiB)";
    ListenHeaderTimeout = "listen.header_timeout", "a duration from 1ms to 1h, such as \"10s\"";
    ListenMinUploadRate = "listen.min_upload_rate",
        "a size from 1B to 1GiB for each second, such as \"1KiB\" (units B, KiB, MiB, GiB)";
    ListenIdleTimeout = "listen.idle_timeout", "a duration from 1ms to 1h, such as \"120s\"";
    ListenDrainDelay = "listen.drain_delay", "a duration from 0s to 1h, such as \"5s\"";
    ListenDrainTimeout = "listen.drain_timeout", "a duration from 0s to 1h, such as \"25s\"";
    ListenAllowPlaintext = "listen.allow_plaintext", "true or false";
    ListenHealthPath = "listen.health_path",
        "a path of 2 to 256 letters, digits and any of -._~/, such as \"/.well-known/ready\", not at or below /api";
    ListenTlsCertificate = "listen.tls.certificate", "a PEM file with the certificate chain, leaf first";
    ListenTlsKey = "listen.tls.key", "a PEM file with the private key of the leaf certificate";
    ListenTlsClientCa = "listen.tls.client_ca", "a PEM file with at least one root certificate";
    ListenTlsClientAuth = "listen.tls.client_auth", "\"required\" or \"optional\"";
    AdminAddress = "admin.address", "an IP address with a port, such as 127.0.0.1:8081 or [::1]:8081";
    AdminHeaderTimeout = "admin.header_timeout", "a duration from 1ms to 1h, such as \"3s\"";
    AdminTokenFile = "admin.token_file",
        "a file with a token of at least 16 visible ASCII characters on one line";
    UpstreamUrl = "upstream.url",
        "http:// or https:// with a host and an optional port; no user, path or query";
    UpstreamConnectTimeout = "upstream.connect_timeout", "a duration from 1ms to 1h, such as \"2s\"";
    UpstreamFirstByteTimeout = "upstream.first_byte_timeout", "a duration from 1ms to 1h, such as \"100s\"";
    UpstreamIdleTimeout = "upstream.idle_timeout", "a duration from 1ms to 1h, such as \"60s\"";
    UpstreamFillTimeout = "upstream.fill_timeout", "a duration from 1ms to 1h, such as \"10s\"";
    UpstreamMaxConnections = "upstream.max_connections", "a whole number from 4 to 65536";
    UpstreamCaFile = "upstream.ca_file", "a PEM file with at least one root certificate";
    UpstreamProxy = "upstream.proxy",
        "http:// or https:// with a host and an optional port, or \"none\"";
    UpstreamNoProxy = "upstream.no_proxy",
        "\"*\", or names, addresses and networks joined by commas, such as \"collector,.svc,10.0.0.0/8\"";
    UpstreamProxyAuthorizationFile = "upstream.proxy_authorization_file",
        "a file with user:password on one line";
    UpstreamProxyCaFile = "upstream.proxy_ca_file", "a PEM file with at least one root certificate";
    UpstreamClientCertificate = "upstream.client_certificate",
        "a PEM file with the certificate chain, leaf first";
    UpstreamClientKey = "upstream.client_key", "a PEM file with the private key of the leaf certificate";
    UpstreamUserAgent = "upstream.user_agent",
        "1 to 256 visible ASCII characters, with spaces only between them";
    UpstreamAllowPlaintext = "upstream.allow_plaintext", "true or false";
    CacheMaxBytes = "cache.max_bytes",
        "a size from 1MiB to 1TiB, such as \"64MiB\" (units B, KiB, MiB, GiB, TiB)";
    CacheShare = "cache.share", "\"organization\" or \"credential\"";
    CacheListFill = "cache.list_fill", "true or false";
    CacheWriteThrough = "cache.write_through", "true or false";
    CacheWriteInvalidates = "cache.write_invalidates", "\"label\" or \"organization\"";
    LeadLabelsTtl = "cache.lead_labels.ttl", "a duration from 1ms to 24h, such as \"5m\"";
    LeadLabelsStaleWhileRevalidate = "cache.lead_labels.stale_while_revalidate",
        "a duration from 0s (never) to 24h, such as \"30s\"";
    LeadLabelsStaleIfError = "cache.lead_labels.stale_if_error",
        "a duration from 0s (never) to 24h, such as \"5m\"";
    LeadLabelsUpstreamDirectives = "cache.lead_labels.upstream_directives", "\"ignore\" or \"respect\"";
    LeadLabelListsTtl = "cache.lead_label_lists.ttl", "a duration from 1ms to 24h, such as \"60s\"";
    LeadLabelListsStaleWhileRevalidate = "cache.lead_label_lists.stale_while_revalidate",
        "a duration from 0s (never) to 24h, such as \"30s\"";
    LeadLabelListsStaleIfError = "cache.lead_label_lists.stale_if_error",
        "a duration from 0s (never) to 24h, such as \"5m\"";
    LeadLabelListsUpstreamDirectives = "cache.lead_label_lists.upstream_directives",
        "\"ignore\" or \"respect\"";
    CustomTagsEnabled = "cache.custom_tags.enabled", "true or false";
    CustomTagsTtl = "cache.custom_tags.ttl", "a duration from 1ms to 24h, such as \"5m\"";
    CustomTagsListTtl = "cache.custom_tags.list_ttl", "a duration from 1ms to 24h, such as \"60s\"";
    CustomTagsStaleWhileRevalidate = "cache.custom_tags.stale_while_revalidate",
        "a duration from 0s (never) to 24h, such as \"30s\"";
    CustomTagsStaleIfError = "cache.custom_tags.stale_if_error",
        "a duration from 0s (never) to 24h, such as \"5m\"";
    CustomTagsUpstreamDirectives = "cache.custom_tags.upstream_directives", "\"ignore\" or \"respect\"";
    LeadListsEnabled = "cache.lead_lists.enabled", "true or false";
    LeadListsTtl = "cache.lead_lists.ttl", "a duration from 1ms to 24h, such as \"30s\"";
    LeadListsListTtl = "cache.lead_lists.list_ttl", "a duration from 1ms to 24h, such as \"30s\"";
    LeadListsStaleWhileRevalidate = "cache.lead_lists.stale_while_revalidate",
        "a duration from 0s (never) to 24h, such as \"30s\"";
    LeadListsStaleIfError = "cache.lead_lists.stale_if_error",
        "a duration from 0s (never) to 24h, such as \"5m\"";
    LeadListsUpstreamDirectives = "cache.lead_lists.upstream_directives", "\"ignore\" or \"respect\"";
    WorkspacesEnabled = "cache.workspaces.enabled", "true or false";
    WorkspacesTtl = "cache.workspaces.ttl", "a duration from 1ms to 24h, such as \"60s\"";
    WorkspacesStaleWhileRevalidate = "cache.workspaces.stale_while_revalidate",
        "a duration from 0s (never) to 24h, such as \"30s\"";
    WorkspacesStaleIfError = "cache.workspaces.stale_if_error",
        "a duration from 0s (never) to 24h, such as \"5m\"";
    WorkspacesUpstreamDirectives = "cache.workspaces.upstream_directives", "\"ignore\" or \"respect\"";
    CampaignsEnabled = "cache.campaigns.enabled", "true or false";
    CampaignsTtl = "cache.campaigns.ttl", "a duration from 1ms to 24h, such as \"5s\"";
    CampaignsListTtl = "cache.campaigns.list_ttl", "a duration from 1ms to 24h, such as \"5s\"";
    CampaignsStaleWhileRevalidate = "cache.campaigns.stale_while_revalidate",
        "a duration from 0s (never) to 24h, such as \"30s\"";
    CampaignsStaleIfError = "cache.campaigns.stale_if_error",
        "a duration from 0s (never) to 24h, such as \"5m\"";
    CampaignsUpstreamDirectives = "cache.campaigns.upstream_directives", "\"ignore\" or \"respect\"";
    ProofMaxAge = "proof.max_age", "a duration from 0s (ask each time) to 5m, such as \"60s\"";
    ProofOutageMaxAge = "proof.outage_max_age", "a duration from 0s to 5m, such as \"5m\"";
    ProofMaxCredentials = "proof.max_credentials", "a whole number from 1 to 10000000";
    ShieldRequestsPerSecond = "shield.requests_per_second", "a whole number from 1 to 1000000";
    ShieldRequestsPerMinute = "shield.requests_per_minute", "a whole number from 1 to 1000000";
    ShieldBurst = "shield.burst", "\"half\" or \"whole\"";
    ShieldReplicas = "shield.replicas", "a whole number from 1 to 1000";
    ShieldSingleWorkspace = "shield.single_workspace", "true or false";
    ShieldMaxWait = "shield.max_wait", "a duration from 0s (never wait) to 60s, such as \"8s\"";
    ShieldMaxQueued = "shield.max_queued", "a whole number from 1 to 1000000";
    ShieldMode = "shield.mode", "\"enforce\" or \"observe\"";
    CallersSources = "callers.sources",
        "\"certificate\", \"field\", \"address\" and \"credential\", each at most once, with commas between them";
    CallersField = "callers.field",
        "a field name of 1 to 64 lower-case letters, digits and \"-\" that means nothing to proxy or API, such as \"x-caller\"";
    CallersTrusted = "callers.trusted", "networks such as \"10.0.0.0/8, ::1/128\" with commas between them, or \"none\"";
    CallersFingerprintSecretFile = "callers.fingerprint_secret_file",
        "a file with a secret of at least 32 bytes on one line";
    CallersAddresses = "callers.addresses", "a table of networks with a name each, such as { \"10.1.0.0/16\" = \"billing\" }";
    CallersDefault = "callers.default", "a table of weight, requests_per_minute, part, priority, methods, denied_methods, paths, denied_paths, max_wait, observe";
    CallersLimits = "callers.limits", "a table of names, 200 at most, with a table of limits each";
    LogLevel = "log.level", "error, warn, info, debug or trace, or target=level pairs joined by commas";
    LogFormat = "log.format", "\"auto\", \"json\" or \"text\"";
    TelemetryOtlpEndpoint = "telemetry.otlp_endpoint",
        "http:// or https:// with a host, an optional port and path; no user or query";
    TelemetryOtlpProtocol = "telemetry.otlp_protocol", "\"http/protobuf\" or \"grpc\"";
    TelemetryCompression = "telemetry.compression", "\"none\" or \"gzip\"";
    TelemetryCaFile = "telemetry.ca_file", "a PEM file with at least one root certificate";
    TelemetryHeadersFile = "telemetry.headers_file", "a file with one \"name: value\" a line";
    TelemetryServiceName = "telemetry.service_name", "1 to 256 bytes of text";
    TelemetryResourceAttributes = "telemetry.resource_attributes",
        "key=value pairs joined by commas, such as \"deployment.environment.name=production\"";
    TelemetrySamplingRatio = "telemetry.sampling_ratio", "a number from 0 (none) to 1 (all)";
    SharedUrl = "shared.url",
        "redis:// or rediss:// with a host, an optional port and database, no user; several with commas between them";
    SharedMode = "shared.mode", "\"standalone\", \"sentinel\" or \"cluster\"";
    SharedMasterName = "shared.master_name", "1 to 256 visible ASCII characters";
    SharedUsername = "shared.username", "1 to 256 visible ASCII characters";
    SharedPasswordFile = "shared.password_file", "a file with a password on one line";
    SharedCaFile = "shared.ca_file", "a PEM file with at least one root certificate";
    SharedClientCertificate = "shared.client_certificate", "a PEM file with the certificate chain, leaf first";
    SharedClientKey = "shared.client_key", "a PEM file with the private key of the leaf certificate";
    SharedAllowPlaintext = "shared.allow_plaintext", "true or false";
    SharedSecretFile = "shared.secret_file",
        "a file with one secret a line, each of at least 32 bytes: the first seals, all open";
    SharedNamespace = "shared.namespace", "1 to 64 letters, digits, \"-\", \"_\" and \".\"";
    SharedTimeout = "shared.timeout", "a duration from 1ms to 1s, such as \"50ms\"";
    SharedLease = "shared.lease", "a duration from 100ms to 10s, such as \"500ms\"";
    SharedAloneTtl = "shared.alone_ttl", "a duration from 0s to 1h, such as \"10s\"";
    SharedShareProofs = "shared.share_proofs", "true or false";
    SharedTellAllWrites = "shared.tell_all_writes", "true or false";
    SharedWhenLost = "shared.when_lost", "\"alone\" or \"refuse_writes\"";
    SharedRequired = "shared.required", "true or false";
}

impl Key {
    /// The table that it stands in: `cache.lead_labels` of `cache.lead_labels.ttl`.
    #[must_use]
    pub fn section(self) -> &'static str {
        self.split().0
    }

    /// Its name inside that table.
    #[must_use]
    pub fn leaf(self) -> &'static str {
        self.split().1
    }

    /// The variable that sets it: `INSTANTLY_PROXY_CACHE__LEAD_LABELS__TTL` of `cache.lead_labels.ttl`.
    #[must_use]
    pub fn variable(self) -> String {
        format!("{PREFIX}{}", self.as_str().replace('.', "__").to_ascii_uppercase())
    }

    /// Whether its value must never be shown.
    #[must_use]
    pub fn is_secret(self) -> bool {
        SECRETS.contains(&self)
    }

    /// The key of this dotted name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|key| key.as_str() == name)
    }

    /// The key that this variable sets. Spelling counts: with two spellings for one key, which of them wins would be
    /// an accident.
    pub(super) fn of_variable(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|key| key.variable() == name)
    }

    /// The key that this variable would set if each of its underscores that could be two were two.
    pub(super) fn run_together(name: &str) -> Option<Self> {
        let flat = |name: &str| name.replace("__", "_").to_ascii_uppercase();
        Self::ALL.iter().copied().find(|key| flat(&key.variable()) == flat(name))
    }

    /// The key that was probably meant by an unknown name: the least edits away, or alike but for its section.
    pub(super) fn near(name: &str) -> Option<Self> {
        let leaf = name.rsplit('.').next().unwrap_or(name);
        let nearest = Self::ALL.iter().copied().min_by_key(|key| edits(name, key.as_str()))?;
        if edits(name, nearest.as_str()) <= 3 {
            return Some(nearest);
        }
        let mut of_that_leaf = Self::ALL.iter().copied().filter(|key| key.leaf() == leaf);
        of_that_leaf.next().filter(|_| of_that_leaf.next().is_none())
    }

    fn split(self) -> (&'static str, &'static str) {
        self.as_str().rsplit_once('.').expect("every key of the table has a section")
    }
}

/// Whether a table of this dotted name holds keys or tables of keys.
pub(super) fn is_section(name: &str) -> bool {
    Key::ALL.iter().any(|key| key.as_str().strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// The tables that stand in no other.
pub(super) fn sections() -> impl Iterator<Item = &'static str> {
    let mut last = "";
    Key::ALL.iter().filter_map(move |key| {
        let section = key.as_str().split('.').next().unwrap_or_default();
        (std::mem::replace(&mut last, section) != section).then_some(section)
    })
}

/// The table that was probably meant by an unknown name.
pub(super) fn section_near(name: &str) -> Option<&'static str> {
    let nearest =
        Key::ALL.iter().flat_map(|key| [key.section(), key.section().split('.').next().unwrap_or_default()]);
    nearest.min_by_key(|section| edits(name, section)).filter(|section| edits(name, section) <= 2)
}

/// Levenshtein's distance in bytes: the insertions, deletions and replacements between two names.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_leads_to_the_key_that_was_meant() {
        for (unknown, meant) in [
            ("cache.max_byte", Some(Key::CacheMaxBytes)),
            ("listen.adress", Some(Key::ListenAddress)),
            ("cache.lead_label.ttl", Some(Key::LeadLabelsTtl)),
            ("listen.token_file", Some(Key::AdminTokenFile)),
            ("proof.address", None),
            ("cache.replicas", Some(Key::ShieldReplicas)),
            ("cache.stale_if_error", None),
            ("telemetry.endpoint", None),
            ("x", None),
        ] {
            assert_eq!(Key::near(unknown), meant, "{unknown}");
        }
    }

    #[test]
    fn an_unknown_table_leads_to_the_one_that_was_meant() {
        for (unknown, meant) in [
            ("cach", Some("cache")),
            ("cache.lead_label", Some("cache.lead_labels")),
            ("cache.lead_label_list", Some("cache.lead_label_lists")),
            ("lsiten.tls", Some("listen.tls")),
            ("telemtry", Some("telemetry")),
            ("other", None),
            ("admin.tls", None),
        ] {
            assert_eq!(section_near(unknown), meant, "{unknown}");
        }
        let sections: Vec<_> = sections().collect();
        assert_eq!(sections.len(), sections.iter().collect::<std::collections::BTreeSet<_>>().len());
    }

    #[test]
    fn each_key_has_a_variable_of_its_own_that_leads_back_to_it() {
        for key in Key::ALL {
            assert_eq!(Key::of_variable(&key.variable()), Some(*key));
        }
        assert_eq!(Key::LeadLabelsTtl.variable(), "INSTANTLY_PROXY_CACHE__LEAD_LABELS__TTL");
        assert_eq!(Key::ListenTlsCertificate.variable(), "INSTANTLY_PROXY_LISTEN__TLS__CERTIFICATE");
    }

    #[test]
    fn a_table_is_known_by_its_whole_name() {
        assert!(is_section("listen") && is_section("listen.tls") && is_section("cache.lead_labels"));
        assert!(!is_section("listen.address") && !is_section("cache.lead_label") && !is_section(""));
    }
}
