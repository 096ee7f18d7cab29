//! [`Loaded`]: the effective configuration with where each value came from, and its text.
//!
//! The text is TOML: what `instantly-proxy config` prints can be given back as a file.

use std::fmt::Write;
use std::num::NonZeroUsize;
use std::path::Path;

use figment::value::Value;

use super::fault::Origin;
use super::input::Inputs;
use super::key::Key;
use super::raw::show;
use super::{
    Cache, ClientAuth, Config, Listen, NoProxy, ProxyAuthorization, Telemetry, Upstream, caller_keys,
    optional_resource, parse, shared_keys, telemetry,
};

/// A configuration without a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What holds.
    pub config: Config,
    /// Where each value came from, in the order of [`Key::ALL`].
    origins: Vec<Origin>,
    /// Variables with our prefix that are neither configuration nor a Kubernetes service link: likely a mistake.
    pub ignored: Vec<String>,
    /// Members of `NO_PROXY` that mean nothing here, if a proxy is excepted from by that.
    pub(super) passed_over: Vec<String>,
    /// The files that gave something.
    pub inputs: Inputs,
}

impl Loaded {
    pub(super) const fn new(
        config: Config,
        origins: Vec<Origin>,
        ignored: Vec<String>,
        inputs: Inputs,
    ) -> Self {
        Self { config, origins, ignored, passed_over: Vec::new(), inputs }
    }

    /// The same, having passed over these members of the variable that stands for `upstream.no_proxy`.
    pub(super) fn passing_over(mut self, members: Vec<String>) -> Self {
        self.passed_over = members;
        self
    }

    /// Where the value of `key` came from.
    #[must_use]
    pub fn origin(&self, key: Key) -> &Origin {
        &self.origins[key.index()]
    }

    /// The value of `key` as it stands in the report: a text in quotes, a number, a flag, or `***`.
    #[must_use]
    pub fn shown(&self, key: Key) -> Option<String> {
        value(&self.config, key).map(|value| show(key, &value))
    }

    /// The effective configuration as TOML, each value with where it came from, secrets as `***`.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = String::new();
        let mut section = "";
        for key in Key::ALL.iter().copied() {
            if key.section() != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                section = key.section();
                writeln!(text, "{gap}[{section}]").expect("a string takes any text");
            }
            let line = match self.shown(key) {
                Some(shown) => {
                    let setting = format!("{} = {shown}", key.leaf());
                    format!("{setting:<44} # {}", self.origin(key))
                }
                None => format!("# {} is not set", key.leaf()),
            };
            writeln!(text, "{line}").expect("a string takes any text");
        }
        text
    }
}

/// The value of `key` as a file would give it; `None` where nothing is set.
pub(super) fn value(config: &Config, key: Key) -> Option<Value> {
    let Config { admin, cache, proof, shield, log, .. } = config;
    Some(match key {
        Key::AdminAddress => admin.address.to_string().into(),
        Key::AdminHeaderTimeout => parse::duration_text(admin.header_timeout).into(),
        Key::AdminTokenFile => path(admin.token_file.as_deref()?),
        Key::ProofMaxAge => parse::duration_text(proof.max_age).into(),
        Key::ProofOutageMaxAge => parse::duration_text(proof.outage_max_age).into(),
        Key::ProofMaxCredentials => proof.max_credentials.get().into(),
        Key::ShieldRequestsPerSecond => shield.requests_per_second.get().into(),
        Key::ShieldRequestsPerMinute => shield.requests_per_minute.get().into(),
        Key::ShieldBurst => parse::burst_text(shield.burst).into(),
        Key::ShieldReplicas => shield.replicas.get().into(),
        Key::ShieldSingleWorkspace => shield.single_workspace.into(),
        Key::ShieldMaxWait => parse::duration_text(shield.max_wait).into(),
        Key::ShieldMaxQueued => shield.max_queued.into(),
        Key::ShieldMode => shield.mode.as_str().into(),
        Key::LogLevel => log.level.clone().into(),
        Key::LogFormat => parse::log_format_text(log.format).into(),
        key => {
            return match key.section() {
                "listen" | "listen.tls" => of_listen(&config.listen, key),
                "upstream" => of_upstream(&config.upstream, key),
                "telemetry" => of_telemetry(&config.telemetry, key),
                section if section.starts_with("cache") => of_cache(cache, key),
                "callers" => caller_keys::value(config.callers.as_ref(), key),
                _ => shared_keys::value(config.shared.as_ref(), key),
            };
        }
    })
}

fn of_cache(cache: &Cache, key: Key) -> Option<Value> {
    let (labels, lists) = (&cache.lead_labels, &cache.lead_label_lists);
    Some(match key {
        Key::CacheMaxBytes => parse::size_text(cache.max_bytes).into(),
        Key::CacheShare => parse::share_text(cache.share).into(),
        Key::CacheListFill => cache.list_fill.into(),
        Key::CacheWriteThrough => cache.write_through.into(),
        Key::CacheWriteInvalidates => parse::write_invalidates_text(cache.write_invalidates).into(),
        Key::LeadLabelsTtl => parse::duration_text(labels.ttl).into(),
        Key::LeadLabelsStaleWhileRevalidate => parse::duration_text(labels.stale_while_revalidate).into(),
        Key::LeadLabelsStaleIfError => parse::duration_text(labels.stale_if_error).into(),
        Key::LeadLabelsUpstreamDirectives => {
            parse::upstream_directives_text(labels.upstream_directives).into()
        }
        Key::LeadLabelListsTtl => parse::duration_text(lists.ttl).into(),
        Key::LeadLabelListsStaleWhileRevalidate => parse::duration_text(lists.stale_while_revalidate).into(),
        Key::LeadLabelListsStaleIfError => parse::duration_text(lists.stale_if_error).into(),
        Key::LeadLabelListsUpstreamDirectives => {
            parse::upstream_directives_text(lists.upstream_directives).into()
        }
        key => return optional_resource::value(cache, key),
    })
}

fn of_listen(listen: &Listen, key: Key) -> Option<Value> {
    let tls = listen.tls.as_ref();
    Some(match key {
        Key::ListenAddress => listen.address.to_string().into(),
        Key::ListenWorkers => listen.workers.map_or(0, NonZeroUsize::get).into(),
        Key::ListenMaxConnections => listen.max_connections.into(),
        Key::ListenMaxHeldBytes => parse::max_held_bytes_text(listen.max_held_bytes).into(),
        Key::ListenHeaderTimeout => parse::duration_text(listen.header_timeout).into(),
        Key::ListenMinUploadRate => parse::size_text(listen.min_upload_rate).into(),
        Key::ListenIdleTimeout => parse::duration_text(listen.idle_timeout).into(),
        Key::ListenDrainDelay => parse::duration_text(listen.drain_delay).into(),
        Key::ListenDrainTimeout => parse::duration_text(listen.drain_timeout).into(),
        Key::ListenAllowPlaintext => listen.allow_plaintext.into(),
        Key::ListenHealthPath => listen.health_path.clone()?.into(),
        Key::ListenTlsCertificate => path(&tls?.certificate),
        Key::ListenTlsKey => path(&tls?.key),
        Key::ListenTlsClientCa => path(&tls?.clients.as_ref()?.ca),
        Key::ListenTlsClientAuth => {
            let clients = tls.and_then(|tls| tls.clients.as_ref());
            parse::client_auth_text(clients.map_or(ClientAuth::Required, |clients| clients.auth)).into()
        }
        _ => return None,
    })
}

fn of_upstream(upstream: &Upstream, key: Key) -> Option<Value> {
    Some(match key {
        Key::UpstreamUrl => parse::url_text(&upstream.url).into(),
        Key::UpstreamConnectTimeout => parse::duration_text(upstream.connect_timeout).into(),
        Key::UpstreamFirstByteTimeout => parse::duration_text(upstream.first_byte_timeout).into(),
        Key::UpstreamIdleTimeout => parse::duration_text(upstream.idle_timeout).into(),
        Key::UpstreamFillTimeout => parse::duration_text(upstream.fill_timeout).into(),
        Key::UpstreamMaxConnections => upstream.max_connections.into(),
        Key::UpstreamCaFile => path(upstream.ca_file.as_deref()?),
        Key::UpstreamProxy => parse::url_text(&upstream.proxy.as_ref()?.url).into(),
        Key::UpstreamNoProxy => {
            let except = &upstream.proxy.as_ref()?.except;
            (*except != NoProxy::default()).then(|| except.text().into())?
        }
        Key::UpstreamProxyAuthorizationFile => match upstream.proxy.as_ref()?.authorization.as_ref()? {
            ProxyAuthorization::File(file) => path(file),
            ProxyAuthorization::Given(_) => return None,
        },
        Key::UpstreamProxyCaFile => path(upstream.proxy.as_ref()?.ca_file.as_deref()?),
        Key::UpstreamClientCertificate => path(&upstream.client.as_ref()?.certificate),
        Key::UpstreamClientKey => path(&upstream.client.as_ref()?.key),
        Key::UpstreamUserAgent => upstream.user_agent.clone().into(),
        Key::UpstreamAllowPlaintext => upstream.allow_plaintext.into(),
        _ => return None,
    })
}

fn of_telemetry(spans: &Telemetry, key: Key) -> Option<Value> {
    Some(match key {
        Key::TelemetryOtlpEndpoint => telemetry::endpoint_text(spans.otlp_endpoint.as_ref()?).into(),
        Key::TelemetryOtlpProtocol => telemetry::protocol_text(spans.otlp_protocol).into(),
        Key::TelemetryCompression => telemetry::compression_text(spans.compression).into(),
        Key::TelemetryCaFile => path(spans.ca_file.as_deref()?),
        Key::TelemetryHeadersFile => path(spans.headers_file.as_deref()?),
        Key::TelemetryServiceName => spans.service_name.clone().into(),
        Key::TelemetryResourceAttributes => match spans.resource_attributes.as_slice() {
            [] => return None,
            attributes => telemetry::attributes_text(attributes).into(),
        },
        Key::TelemetrySamplingRatio => spans.sampling_ratio.part().into(),
        _ => return None,
    })
}

fn path(path: &Path) -> Value {
    path.display().to_string().into()
}
