//! The other files that the configuration names, looked at again while the process runs: the admin token and the roots of
//! the upstream.
//!
//! Their contents are compared every ten seconds. Notifications of the file system would be quicker and less sure: a
//! Secret that Kubernetes mounts changes by a link to a folder, and network file systems tell nothing.

use std::path::Path;
use std::sync::Weak;
use std::time::Duration;
use std::{fs, io};

use tokio::sync::watch;
use tracing::{info, warn};

use super::read_token;
use crate::admin::Access;
use crate::clock::Clock;
use crate::config::Config;
use crate::proxy::Proxy;

const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// What is looked at, and who is told.
pub(super) struct Files {
    pub(super) config: watch::Receiver<Config>,
    pub(super) access: Access,
    pub(super) proxy: Weak<Proxy>,
}

impl Files {
    /// Looks for as long as the proxy is there.
    pub(super) async fn follow(self, clock: Clock) {
        let (mut token, mut roots) = (self.token(), self.roots());
        loop {
            clock.sleep(LOOK_INTERVAL).await;
            let Some(proxy) = self.proxy.upgrade() else { return };
            let config = self.config.borrow().clone();
            let now = self.token();
            if now != token && config.admin.token_file.is_some() {
                match config.admin.token_file.as_deref().map(read_token).transpose() {
                    Ok(given) => {
                        if self.access.set_token(given) {
                            info!("admin token changed");
                        }
                    }
                    Err(error) => warn!(%error, "the new admin token cannot be used; the old one stays"),
                }
            }
            token = now;
            let now = self.roots();
            if now != roots && config.upstream.ca_file.is_some() {
                match proxy.reread_roots(config.upstream.ca_file.as_ref()) {
                    Ok(()) => info!("the upstream's roots changed"),
                    Err(error) => warn!(%error, "the upstream's new roots cannot be used; the old ones stay"),
                }
            }
            roots = now;
        }
    }

    fn token(&self) -> Option<Contents> {
        self.config.borrow().admin.token_file.as_deref().map(Contents::of)
    }

    fn roots(&self) -> Option<Contents> {
        self.config.borrow().upstream.ca_file.as_deref().map(Contents::of)
    }
}

/// What a file held, or why it could not be read. Never shown: it may be a secret.
#[derive(PartialEq, Eq)]
struct Contents(Result<Vec<u8>, io::ErrorKind>);

impl Contents {
    fn of(file: &Path) -> Self {
        Self(fs::read(file).map_err(|error| error.kind()))
    }
}
