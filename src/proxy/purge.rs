//! Purge: an operator says that stored responses must go, here and at every other replica.

use super::Proxy;
pub use crate::cache::{Purge, Purged};
use crate::fleet::notice::Notice;
use crate::fleet::receipts::Confirmations;

impl Proxy {
    /// Takes stored responses away here; then tells the fleet, if there is one, and waits until its members have
    /// confirmed.
    pub async fn purge(&self, what: Purge) -> (Purged, Option<Confirmations>) {
        let purged = self.cache.purge(what, &self.bindings);
        let Purge { organization, label } = what;
        let organization = organization.map(|name| name.0);
        let told = match &self.fleet {
            Some(fleet) => Some(fleet.announce_and_ask(Notice::Purge { organization, label }).await),
            None => None,
        };
        (purged, told)
    }
}
