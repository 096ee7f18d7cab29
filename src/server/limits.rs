//! [`Limits`]: the times of connections that an operator sets.

use std::time::Duration;

use crate::config::Config;

/// How long a connection may take for what has no end of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// From connect, or from the first byte of a head, to the end of the head.
    pub(super) header: Duration,
    /// Between requests.
    pub(super) idle: Duration,
    /// Without a byte of a streamed answer being taken.
    pub(super) stream: Duration,
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Self {
            header: config.listen.header_timeout,
            idle: config.listen.idle_timeout,
            stream: config.upstream.idle_timeout,
        }
    }
}
