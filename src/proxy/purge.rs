//! Purge: an operator says that stored responses must go, here and at every other replica.

use super::Proxy;
pub use crate::cache::{Purge, Purged};
use crate::fleet::notice::Notice;
use crate::fleet::receipts::Confirmations;
use crate::resource::Resources;

impl Proxy {
    /// The resources that are cached here.
    #[must_use]
    pub const fn resources(&self) -> Resources {
        self.resources
    }

    /// Takes stored responses away here; then tells the fleet, if there is one, and waits until its members have
    /// confirmed.
    pub async fn purge(&self, what: Purge) -> (Purged, Option<Confirmations>) {
        let purged = self.cache.purge(what, &self.bindings);
        let Purge { organization, label, resource } = what;
        let resource = resource.map(|resource| resource.name.to_owned());
        let organization = organization.map(|name| name.0);
        let told = match &self.fleet {
            Some(fleet) => {
                Some(fleet.announce_and_ask(Notice::Purge { organization, label, resource }).await)
            }
            None => None,
        };
        (purged, told)
    }
}
