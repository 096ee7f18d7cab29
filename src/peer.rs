//! [`Peer`]: the client's end of a connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A client's address and port, with their text: every line of the log has it, and it is written once a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    ip: IpAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    text: String,
    says_no_more: AtomicBool,
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
        &self.shared.text
    }

    /// Notes that it has said that it sends no more.
    pub fn note_end(&self) {
        self.shared.says_no_more.store(true, Ordering::Relaxed);
    }

    /// Whether it may have left: it sends no more. It may as well wait for its answer (a half-close). Whoever asks is on the
    /// connection's own task, which is woken when this changes.
    #[must_use]
    pub fn may_have_left(&self) -> bool {
        self.shared.says_no_more.load(Ordering::Relaxed)
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        let shared = Shared { text: address.to_string(), says_no_more: AtomicBool::new(false) };
        Self { ip: address.ip(), shared: Arc::new(shared) }
    }
}
