//! [`SimulatorConfig`]: how a simulator is to be.

use std::net::{Ipv4Addr, SocketAddr};

use http::StatusCode;

use super::limits::Limits;
use super::ownership::Grants;

/// How a simulator is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatorConfig {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// What the world is made from.
    pub seed: u64,
    /// Organizations, without the admin workspace. All but the last are in its group; a single one is too.
    pub organizations: usize,
    /// Keys of each, at least 1. Their scopes go by position: see [`Organization::keys`](super::Organization::keys).
    pub keys_per_organization: usize,
    /// Lead labels of each at the start.
    pub labels_per_organization: usize,
    /// Whether the same UUIDs name the labels of every organization: what would show a leak.
    pub shared_label_ids: bool,
    /// Where set, the first organization has resource ownership on, and its keys but those that may do everything do not
    /// see every third label.
    pub ownership: Option<Grants>,
    /// Whether the port speaks TLS, with a certificate for `localhost`, `127.0.0.1` and `::1`.
    pub tls: bool,
    /// The rate windows of each workspace.
    pub limits: Limits,
    /// Status for a valid key without the scope: 403 by the documents, 401 by one report.
    pub missing_scope: StatusCode,
    /// Whether the edge adds its fields, its cookie, and gzip.
    pub edge: bool,
    /// How many requests [`Counters::recent`](super::Counters::recent) remembers; 0 keeps none and costs nothing.
    pub recent_requests: usize,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 1,
            organizations: 3,
            keys_per_organization: 5,
            labels_per_organization: 12,
            shared_label_ids: false,
            ownership: None,
            tls: false,
            limits: Limits::default(),
            missing_scope: StatusCode::FORBIDDEN,
            edge: true,
            recent_requests: 1000,
        }
    }
}
