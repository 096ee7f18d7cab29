//! [`Dialled`]: an upstream without sockets, for what is proved by machine.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use tokio::io::{DuplexStream, duplex};

const PIPE_BYTES: usize = 64 * 1024;

#[derive(Default)]
struct Line {
    refuses: bool,
    speaks_http2: bool,
    dialled: VecDeque<DuplexStream>,
}

thread_local! {
    /// Nobody speaks TLS on a pipe, and to read whom it would trust takes longer than all that an input does.
    static TLS: Arc<ClientConfig> = unused_tls();
    static LINE: RefCell<Option<Line>> = const { RefCell::new(None) };
}

/// While it is held, what this thread connects to is not the network: the other ends are here.
#[derive(Debug)]
pub(crate) struct Dialled(());

impl Dialled {
    /// From now on.
    pub(crate) fn begin() -> Self {
        LINE.set(Some(Line::default()));
        Self(())
    }

    /// The upstream's end of the next connection that was made.
    pub(crate) fn take(&self) -> Option<DuplexStream> {
        LINE.with_borrow_mut(|line| line.as_mut()?.dialled.pop_front())
    }

    /// Refuses every connection, until [`Self::listen_again`].
    pub(crate) fn refuse(&self) {
        LINE.with_borrow_mut(|line| line.get_or_insert_default().refuses = true);
    }

    /// Speaks HTTP/2 on connections for label calls, as if TLS had agreed on it.
    pub(crate) fn speak_http2(&self) {
        LINE.with_borrow_mut(|line| line.get_or_insert_default().speaks_http2 = true);
    }

    /// Takes connections.
    pub(crate) fn listen_again(&self) {
        LINE.with_borrow_mut(|line| line.get_or_insert_default().refuses = false);
    }
}

impl Drop for Dialled {
    fn drop(&mut self) {
        LINE.set(None);
    }
}

/// Whether HTTP/2 is agreed on, where the thread's upstream is a pipe.
pub(super) fn speaks_http2() -> bool {
    LINE.with_borrow(|line| line.as_ref().is_some_and(|line| line.speaks_http2))
}

/// TLS that trusts nobody, made once, where the thread's upstream is a pipe.
pub(super) fn tls() -> Option<Arc<ClientConfig>> {
    LINE.with_borrow(Option::is_some).then(|| TLS.with(Arc::clone))
}

fn unused_tls() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let roots = versions.expect("versions").with_root_certificates(RootCertStore::empty());
    Arc::new(roots.with_no_client_auth())
}

/// A pipe, where the thread's upstream is one.
pub(super) fn dial() -> Option<io::Result<DuplexStream>> {
    LINE.with_borrow_mut(|line| {
        let line = line.as_mut()?;
        if line.refuses {
            return Some(Err(io::ErrorKind::ConnectionRefused.into()));
        }
        let (near, far) = duplex(PIPE_BYTES);
        line.dialled.push_back(far);
        Some(Ok(near))
    })
}
