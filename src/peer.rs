//! [`Peer`]: the client's end of a connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::callers::Memo;

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
    certificate: OnceLock<Box<str>>,
    memo: Memo,
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

    /// Notes the name in its verified certificate: told once, behind the handshake.
    pub fn note_certificate(&self, name: &str) {
        let _ = self.shared.certificate.set(name.into());
    }

    /// The name in its verified certificate.
    #[must_use]
    pub fn certificate(&self) -> Option<&str> {
        self.shared.certificate.get().map(|name| &**name)
    }

    /// Who sent the last request of this connection.
    #[must_use]
    pub fn memo(&self) -> &Memo {
        &self.shared.memo
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
        let shared = Shared {
            text: address.to_string(),
            says_no_more: AtomicBool::new(false),
            certificate: OnceLock::new(),
            memo: Memo::default(),
        };
        Self { ip: address.ip(), shared: Arc::new(shared) }
    }
}
