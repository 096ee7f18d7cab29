//! [`StoreSettings`]: where the fleet's store is and how one speaks to it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where the store is and how one speaks to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// What stands at [`Self::addresses`].
    pub mode: StoreMode,
    /// The server; several of a Cluster or several Sentinels, asked in this order.
    pub addresses: Vec<StoreAddress>,
    /// The number of the database; 0 in a Cluster.
    pub database: u16,
    /// Whether connections are encrypted, and whom they trust.
    pub transport: StoreTransport,
    /// The ACL user; none is the server's `default`.
    pub username: Option<String>,
    /// File with the password, read at each connect.
    pub password_file: Option<PathBuf>,
    /// A call's own deadline.
    pub timeout: Duration,
}

impl StoreSettings {
    /// One server without TLS, user or password, and a deadline of 50 ms.
    #[must_use]
    pub fn standalone(address: StoreAddress) -> Self {
        Self {
            mode: StoreMode::Standalone,
            addresses: vec![address],
            database: 0,
            transport: StoreTransport::Plain,
            username: None,
            password_file: None,
            timeout: Duration::from_millis(50),
        }
    }
}

/// What kind of deployment the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreMode {
    /// One server.
    Standalone,
    /// Sentinels that say which server is the primary of this name.
    Sentinel {
        /// The name that they know it by.
        master_name: String,
    },
    /// A Cluster, in which each key has its node.
    Cluster,
}

/// Whether connections are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreTransport {
    /// They are not.
    Plain,
    /// TLS, Sentinels included.
    Tls {
        /// PEM file of roots to trust in place of the platform's.
        ca_file: Option<PathBuf>,
        /// What this side shows.
        client: Option<ClientCertificate>,
    },
}

/// PEM files of a certificate that a client shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
}

/// Host and port of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoreAddress {
    /// Name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl StoreAddress {
    /// One of these two.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
