//! Introductions: a caller that only passes calls through tells nothing of its organization, so its calls cannot be
//! counted with the others'. Once in a while it is asked for by a list read with its own token, which binds it if its
//! scopes allow.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Fetcher;
use super::flight::{FlightKey, Storing};
use super::spared::Asks;
use super::task::{Fetch, Use, Waited};
use crate::cache::items;
use crate::caller::credential::Credential;
use crate::callers::Payer;
use crate::classify::Read;
use crate::purpose::Purpose;
use crate::rules::Rules;
use crate::shield::budget::Class;

impl Fetcher {
    /// Asks in the background for the organization of a caller whose call was just answered 2xx, if it is not known.
    pub fn introduce(
        self: &Arc<Self>,
        credential: &Credential,
        peer: IpAddr,
        rules: &Arc<Rules>,
        payer: Payer,
    ) {
        if self.bindings.organization(credential).is_some() {
            return;
        }
        let now = self.clock.now();
        let edge = &self.origin.shield().edge;
        if edge.is_blocked() || !self.introduced.is_due(credential.digest(), now) {
            return;
        }
        let resource = self.resources.first();
        let Some(attempt) = self.attempts.begin(credential.digest(), resource) else { return };
        let target = items::whole_list(resource);
        let key = FlightKey::Own {
            credential: credential.digest(),
            resource: resource.name,
            target: target.clone(),
            storing: Storing::Allowed,
        };
        let introduction = || Fetch {
            credential: credential.detached(),
            read: Read { resource, target, storable: true, head: false },
            organization: None,
            rules: Arc::clone(rules),
            peer,
            class: Class::Background,
            purpose: Purpose::Proof,
            waited: Waited::Behind,
            use_of: Use::ProofAndStore,
            asks: Asks::Proof,
            store_waited: Duration::ZERO,
            attempt: Some(attempt),
            payer,
            trace: None,
        };
        self.launch_alone(key, introduction, credential.digest());
    }
}
