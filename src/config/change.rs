//! [`Change`]: what of a new configuration a running process can take, and what it cannot.
//!
//! The list of the former is [`taken`] alone: a key that nobody names there waits for a restart.

use super::report::value;
use super::{Cache, Config, Key, Listen, ListenTls, OptionalResource, ProxyAuthorization, Upstream};

/// A configuration that was read while another one holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What can hold from now on: the new values where they can be taken, the old ones elsewhere.
    pub config: Config,
    /// Keys whose values differ from what held.
    pub taken: Vec<Key>,
    /// Keys whose new values need a restart.
    pub waiting: Vec<Key>,
}

impl Change {
    /// What changes where `current` holds and `new` was read.
    #[must_use]
    pub fn between(current: &Config, new: &Config) -> Self {
        let config = taken(current, new);
        let differing = |a: &Config, b: &Config| {
            // A password in the proxy's URL is shown nowhere, and is a difference nevertheless.
            let secret = |config: &Config| match &config.upstream.proxy.as_ref()?.authorization {
                Some(ProxyAuthorization::Given(given)) => Some(given.clone()),
                Some(ProxyAuthorization::File(_)) | None => None,
            };
            let differs = |key: Key| {
                value(a, key) != value(b, key) || key == Key::UpstreamProxy && secret(a) != secret(b)
            };
            Key::ALL.iter().copied().filter(|key| differs(*key)).collect()
        };
        Self { taken: differing(current, &config), waiting: differing(&config, new), config }
    }
}

fn taken(current: &Config, new: &Config) -> Config {
    let mut config = current.clone();
    config.listen = Listen {
        header_timeout: new.listen.header_timeout,
        min_upload_rate: new.listen.min_upload_rate,
        idle_timeout: new.listen.idle_timeout,
        drain_delay: new.listen.drain_delay,
        drain_timeout: new.listen.drain_timeout,
        // Other files can be read; a listener cannot become one with TLS, or without.
        tls: current.listen.tls.as_ref().map(|tls| changed(tls, new.listen.tls.as_ref().unwrap_or(tls))),
        ..config.listen
    };
    config.admin.token_file.clone_from(&new.admin.token_file);
    config.upstream = Upstream {
        connect_timeout: new.upstream.connect_timeout,
        first_byte_timeout: new.upstream.first_byte_timeout,
        idle_timeout: new.upstream.idle_timeout,
        fill_timeout: new.upstream.fill_timeout,
        ca_file: new.upstream.ca_file.clone(),
        ..config.upstream
    };
    config.cache = cache(&current.cache, &new.cache);
    config.proof = new.proof.clone();
    config.shield = new.shield.clone();
    config.callers.clone_from(&new.callers);
    config.log = new.log.clone();
    config
}

/// What is cached at all is settled at start: paths, metrics and what is known of callers are kept by resource.
fn cache(current: &Cache, new: &Cache) -> Cache {
    let kept = |current: &OptionalResource, new: &OptionalResource| OptionalResource {
        enabled: current.enabled,
        ..*new
    };
    Cache {
        max_bytes: current.max_bytes,
        custom_tags: kept(&current.custom_tags, &new.custom_tags),
        lead_lists: kept(&current.lead_lists, &new.lead_lists),
        workspaces: kept(&current.workspaces, &new.workspaces),
        campaigns: kept(&current.campaigns, &new.campaigns),
        ..new.clone()
    }
}

/// Who asks for certificates of clients goes on to, by these roots or others, and who does not cannot begin.
fn changed(current: &ListenTls, new: &ListenTls) -> ListenTls {
    let clients = match (&current.clients, &new.clients) {
        (Some(_), Some(new)) => Some(new.clone()),
        (current, _) => current.clone(),
    };
    ListenTls { clients, ..new.clone() }
}
