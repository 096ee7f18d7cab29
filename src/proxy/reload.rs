//! A reload: what may change of a running proxy, changed at once or not at all.

use super::Proxy;
use super::callers::fingerprints;
use super::shared::PassThrough;
use crate::callers::fingerprint::Fingerprints;
use crate::config::{self, Config};
use crate::rules::Rules;
use crate::setup_error::SetupError;
use crate::upstream::way::Way;

/// What a reload needs of the proxy, read and found sound.
#[derive(Debug)]
pub struct Prepared {
    rules: Rules,
    way: Way,
    shield: config::Shield,
    proof: config::Proof,
    fingerprints: Option<Fingerprints>,
}

impl Proxy {
    /// Reads what a configuration names, and changes nothing.
    ///
    /// # Errors
    ///
    /// If the roots to trust cannot be read.
    pub fn prepare(config: &Config) -> Result<Prepared, SetupError> {
        Ok(Prepared {
            rules: Rules::new(config),
            way: Way::read(&config.upstream)?,
            shield: config.shield.clone(),
            proof: config.proof.clone(),
            fingerprints: fingerprints(config.callers.as_ref())?,
        })
    }

    /// From now on what was prepared holds: for requests that begin, and for calls and connections that are yet to be made.
    pub fn take(&self, prepared: Prepared) {
        let Prepared { rules, way, shield, proof, fingerprints } = prepared;
        if let Some(callers) = &rules.callers {
            self.callers.set_rules(callers, fingerprints, self.clock.now().uptime());
        }
        self.origin.shield().set_rules(&shield);
        self.bindings.resize(proof.max_credentials);
        self.origin.take_way(way);
        // Last: it tells the workers that their copies, and their ways to the upstream, are old.
        self.rulebook.replace(rules);
    }

    /// Looks whether the roots to trust have changed.
    pub fn follow_files(&self) {
        if self.origin.follow_files() {
            self.rulebook.renew();
        }
    }

    /// A worker's way to the upstream; the old one, with its open connections, where nothing has changed.
    pub(super) fn pass_through(&self, old: Option<&PassThrough>) -> PassThrough {
        let way = self.origin.upstream().way();
        match old.filter(|old| old.way.is_like(&way)) {
            Some(old) => PassThrough { way, client: old.client.clone() },
            None => PassThrough { way, client: self.origin.upstream().pass_through_client() },
        }
    }
}
