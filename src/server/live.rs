//! [`Live`]: what can change of a running server, by a reload or because a file did.
//!
//! Files are read again every five seconds and compared by what they hold. Being told by the system was rejected: a
//! mounted secret changes by the swap of a symbolic link two folders up, which a watch of the file never sees, network and
//! overlay file systems tell of nothing, and a lost notification would be an expired certificate. A few small files cost
//! nothing to read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use super::limits::Limits;
use super::start_error::StartError;
use super::tls::Certificate;
use crate::admin::Access;
use crate::clock::{Clock, Moment};
use crate::config::files::{self, Mark, Token};
use crate::config::{Config, ListenTls};
use crate::lock::Mutex;
use crate::proxy::Proxy;

const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How long things may take, as it holds now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) limits: Limits,
    pub(super) drain_delay: Duration,
    pub(super) drain_timeout: Duration,
}

impl From<&Config> for Times {
    fn from(config: &Config) -> Self {
        Self {
            limits: Limits::from(config),
            drain_delay: config.listen.drain_delay,
            drain_timeout: config.listen.drain_timeout,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) proxy: Arc<Proxy>,
    pub(super) certificate: Option<Arc<Certificate>>,
    pub(super) token: AdminToken,
    pub(super) times: watch::Sender<Times>,
}

impl Live {
    /// Takes a configuration: all of it that can change, or nothing.
    ///
    /// # Errors
    ///
    /// If a file that it names cannot be used.
    pub(super) fn take(&self, config: &Config) -> Result<(), StartError> {
        let pair = |files: &ListenTls| self.certificate.as_ref().map(|held| held.prepare(files)).transpose();
        let pair = config.listen.tls.as_ref().map(pair).transpose()?.flatten();
        let token = Followed::read(config.admin.token_file.as_deref())?;
        let prepared = Proxy::prepare(config).map_err(|error| StartError(error.to_string()))?;
        if let (Some(certificate), Some(pair)) = (&self.certificate, pair) {
            certificate.take(pair);
        }
        self.token.take(token);
        self.times.send_replace(Times::from(config));
        self.proxy.take(prepared);
        Ok(())
    }

    /// Looks at the files for ever.
    pub(super) async fn follow(self: Arc<Self>, clock: Clock) {
        loop {
            let (live, now) = (Arc::clone(&self), clock.now());
            // A mount that hangs must not hold up who accepts. After a panic the next look may fare better.
            let _ = tokio::task::spawn_blocking(move || live.look(now)).await;
            clock.sleep(LOOK_INTERVAL).await;
        }
    }

    fn look(&self, now: Moment) {
        if let Some(certificate) = &self.certificate {
            certificate.follow(now);
        }
        self.token.follow();
        self.proxy.follow_files();
    }
}

/// The token of the admin port, and the file that it came from.
#[derive(Debug)]
pub(super) struct AdminToken {
    access: Access,
    followed: Mutex<Option<Followed>>,
}

/// A file with a token, and what it was last found to hold.
#[derive(Debug)]
pub(super) struct Followed {
    file: PathBuf,
    seen: Mark,
    token: Token,
}

impl Followed {
    /// Reads the token of a file, if one is named.
    ///
    /// # Errors
    ///
    /// If the file holds none.
    pub(super) fn read(file: Option<&Path>) -> Result<Option<Self>, StartError> {
        let Some(file) = file else { return Ok(None) };
        let contents = files::contents(file);
        let seen = Mark::of_read(&contents);
        let token = contents
            .and_then(|contents| files::token_of(&contents))
            .map_err(|fault| StartError(format!("admin.token_file: {} {fault}", file.display())))?;
        Ok(Some(Self { file: file.to_owned(), seen, token }))
    }
}

impl AdminToken {
    /// Lets `access` ask for this token.
    pub(super) fn new(access: Access, followed: Option<Followed>) -> Self {
        let token = Self { access, followed: Mutex::new(None) };
        token.take(followed);
        token
    }

    fn take(&self, taken: Option<Followed>) {
        // Under the lock, as who follows a file does: the token is that of the file that is followed.
        let mut followed = self.followed.lock();
        self.access.set_token(taken.as_ref().map(|taken| taken.token.clone()));
        *followed = taken;
    }

    /// Changes what is known of a file, if it is this one that is followed. A reload may have named another while this one was
    /// read, on a mount that hangs for long: what stood in this one counts no more.
    fn with_file<T>(&self, file: &Path, change: impl FnOnce(&mut Followed) -> T) -> Option<T> {
        let mut followed = self.followed.lock();
        followed.as_mut().filter(|followed| followed.file == file).map(change)
    }

    fn follow(&self) {
        let Some(file) = self.followed.lock().as_ref().map(|followed| followed.file.clone()) else { return };
        let seen = Mark::of_read(&files::contents(&file));
        let is_news = self.with_file(&file, |followed| std::mem::replace(&mut followed.seen, seen) != seen);
        if is_news != Some(true) {
            return;
        }
        match Followed::read(Some(&file)) {
            Ok(Some(read)) => {
                let access = &self.access;
                let token = read.token.clone();
                let taken = self.with_file(&file, |followed| {
                    *followed = read;
                    access.set_token(Some(token));
                });
                if taken.is_some() {
                    info!(file = %file.display(), "admin token changed");
                }
            }
            Ok(None) => {}
            Err(error) => warn!(%error, "the new admin token cannot be used; the old one stays"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_stood_in_a_token_file_counts_no_more_once_a_reload_has_named_another() {
        let folder = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| folder.path().join(name));
        let text = |of: &str| of.repeat(16);
        let followed = |file: &Path, of: &str| {
            fs::write(file, text(of)).unwrap();
            Followed::read(Some(file)).unwrap()
        };
        let token = AdminToken::new(Access::new(([127, 0, 0, 1], 1).into(), None), followed(&old, "old-"));
        let held = |token: &AdminToken| {
            token.followed.lock().as_ref().map(|followed| followed.token.expose().to_owned())
        };
        // Somebody looks at the file, and has read it when the reload comes.
        let read = followed(&old, "more");
        assert!(token.with_file(&old, |_| ()).is_some());
        token.take(followed(&new, "new-"));
        assert!(token.with_file(&old, |followed| *followed = read.unwrap()).is_none());
        assert_eq!(held(&token), Some(text("new-")));
        // Of the file that is followed the news count.
        fs::write(&new, text("news")).unwrap();
        token.follow();
        assert_eq!(held(&token), Some(text("news")));
    }
}
