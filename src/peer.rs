//! [`Peer`]: the client's end of a connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A client's address and port, with their text: every line of the log has it, and it is written once a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    ip: IpAddr,
    text: Arc<str>,
}

impl Peer {
    /// Its address without the port.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// Address and port.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self { ip: address.ip(), text: address.to_string().into() }
    }
}
