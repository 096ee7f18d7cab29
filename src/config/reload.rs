//! What of a configuration can change while the process runs.

use super::key::Key;
use super::{Config, report};

impl Key {
    /// Whether a new value holds only after a restart.
    #[must_use]
    pub const fn needs_restart(self) -> bool {
        match self {
            // Sockets, threads and the store are made once; what the upstream is called is part of every connection.
            Self::ListenAddress
            | Self::ListenWorkers
            | Self::ListenMaxConnections
            | Self::ListenAllowPlaintext
            | Self::AdminAddress
            | Self::UpstreamUrl
            | Self::UpstreamMaxConnections
            | Self::UpstreamUserAgent
            | Self::UpstreamAllowPlaintext
            | Self::CacheMaxBytes
            // The two formats are two subscribers, and a process has one.
            | Self::LogFormat => true,
            Self::ListenHeaderTimeout
            | Self::ListenIdleTimeout
            | Self::ListenDrainDelay
            | Self::ListenDrainTimeout
            | Self::ListenTlsCertificate
            | Self::ListenTlsKey
            | Self::AdminTokenFile
            | Self::UpstreamConnectTimeout
            | Self::UpstreamFirstByteTimeout
            | Self::UpstreamIdleTimeout
            | Self::UpstreamFillTimeout
            | Self::UpstreamCaFile
            | Self::CacheShare
            | Self::CacheListFill
            | Self::CacheWriteThrough
            | Self::LeadLabelsTtl
            | Self::LeadLabelsStaleWhileRevalidate
            | Self::LeadLabelsStaleIfError
            | Self::LeadLabelsUpstreamDirectives
            | Self::LeadLabelListsTtl
            | Self::LeadLabelListsStaleWhileRevalidate
            | Self::LeadLabelListsStaleIfError
            | Self::LeadLabelListsUpstreamDirectives
            | Self::ProofMaxAge
            | Self::ProofOutageMaxAge
            | Self::ProofMaxCredentials
            | Self::ShieldRequestsPerSecond
            | Self::ShieldRequestsPerMinute
            | Self::ShieldReplicas
            | Self::ShieldSingleWorkspace
            | Self::ShieldMaxWait
            | Self::ShieldMaxQueued
            | Self::LogLevel => false,
        }
    }
}

impl Config {
    /// This configuration with what `next` changes of it while the process runs, and the keys whose new value waits for a
    /// restart.
    #[must_use]
    pub fn merged(&self, next: &Self) -> (Self, Vec<Key>) {
        let mut merged = next.clone();
        merged.listen.address = self.listen.address;
        merged.listen.workers = self.listen.workers;
        merged.listen.max_connections = self.listen.max_connections;
        merged.listen.allow_plaintext = self.listen.allow_plaintext;
        merged.admin.address = self.admin.address;
        merged.upstream.url = self.upstream.url.clone();
        merged.upstream.max_connections = self.upstream.max_connections;
        merged.upstream.user_agent = self.upstream.user_agent.clone();
        merged.upstream.allow_plaintext = self.upstream.allow_plaintext;
        merged.cache.max_bytes = self.cache.max_bytes;
        merged.log.format = self.log.format;
        // A port that spoke plaintext does not begin to speak TLS, nor the other way about.
        if self.listen.tls.is_some() != next.listen.tls.is_some() {
            merged.listen.tls = self.listen.tls.clone();
        }
        let waits = |key: &Key| report::value(&merged, *key) != report::value(next, *key);
        let waiting = Key::ALL.iter().copied().filter(waits).collect();
        (merged, waiting)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{ListenTls, LogFormat};

    #[test]
    fn what_needs_a_restart_is_named_and_stays_and_all_else_changes() {
        let running = Config::default();
        let mut next = Config::default();
        next.listen.address = ([127, 0, 0, 1], 9).into();
        next.listen.tls = Some(ListenTls { certificate: "a".into(), key: "b".into() });
        next.cache.max_bytes += 1;
        next.log.format = LogFormat::Text;
        next.cache.lead_labels.ttl = Duration::from_secs(1);
        next.listen.idle_timeout = Duration::from_secs(1);
        next.admin.token_file = Some("token".into());
        let (merged, waiting) = running.merged(&next);
        let expected = [
            Key::ListenAddress,
            Key::ListenTlsCertificate,
            Key::ListenTlsKey,
            Key::CacheMaxBytes,
            Key::LogFormat,
        ];
        assert_eq!(waiting, expected);
        assert_eq!(merged.cache.lead_labels.ttl, Duration::from_secs(1));
        assert_eq!(merged.listen.idle_timeout, Duration::from_secs(1));
        assert_eq!(merged.admin.token_file, next.admin.token_file);
        assert_eq!((merged.listen.address, &merged.listen.tls), (running.listen.address, &None));
        // It goes on being named until the process is restarted.
        assert_eq!(running.merged(&merged).1, []);
        assert_eq!(merged.merged(&next).1, expected);
    }

    #[test]
    fn every_key_that_needs_a_restart_is_kept_by_merging() {
        let kept: Vec<&str> =
            Key::ALL.iter().filter(|key| key.needs_restart()).map(|key| key.as_str()).collect();
        let source = include_str!("reload.rs");
        for key in kept {
            assert!(
                source.contains(&format!("merged.{key} = self.{key}")),
                "{key} changes while the process runs"
            );
        }
    }
}
