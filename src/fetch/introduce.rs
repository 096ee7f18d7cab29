//! Introductions: a caller that only passes calls through tells nothing of its organization, so its calls cannot be
//! counted with the others'. Once in a while it is asked for by a list read with its own token, which binds it if its
//! scopes allow.

use crate::lock::Mutex;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;

use super::Fetcher;
use super::asker::Storing;
use super::flight::FlightKey;
use super::task::{Fetch, Use, Waited};
use crate::bounded::{bounded, sweep};
use crate::cache::items;
use crate::caller::credential::{Credential, CredentialDigest};
use crate::classify::Read;
use crate::clock::Moment;
use crate::purpose::Purpose;
use crate::resource::LEAD_LABEL;
use crate::rules::Rules;
use crate::shield::budget::Class;

/// A caller is introduced this often at most.
const EVERY: Duration = Duration::from_secs(600);
/// Callers whose introduction is remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

/// When callers were introduced.
#[derive(Debug)]
pub(super) struct Introduced(Mutex<LruCache<CredentialDigest, Moment>>);

impl Default for Introduced {
    fn default() -> Self {
        Self(Mutex::new(bounded(REMEMBERED)))
    }
}

impl Introduced {
    fn is_due(&self, credential: CredentialDigest, now: Moment) -> bool {
        let mut introduced = self.0.lock();
        let due = introduced.peek(&credential).is_none_or(|last| now.since(*last) >= EVERY);
        if due {
            introduced.put(credential, now);
        }
        due
    }

    /// Forgets those that are due again.
    pub(super) fn tidy(&self, now: Moment) {
        let mut introduced = self.0.lock();
        sweep(&mut introduced, |last| now.since(*last) >= EVERY);
    }
}

impl Fetcher {
    /// Asks in the background for the organization of a caller whose call was just answered 2xx, if it is not known.
    pub fn introduce(self: &Arc<Self>, credential: &Credential, peer: IpAddr, rules: &Arc<Rules>) {
        if self.bindings.organization(credential).is_some() {
            return;
        }
        let now = self.clock.now();
        let edge = &self.origin.shield().edge;
        if edge.is_blocked() || !self.introduced.is_due(credential.digest(), now) {
            return;
        }
        let Some(attempt) = self.attempts.begin(credential.digest()) else { return };
        let resource = &LEAD_LABEL;
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
            attempt: Some(attempt),
            trace: None,
        };
        self.launch_alone(key, introduction, credential.digest());
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::caller::credential::Digester;
    use crate::clock::Clock;

    #[test]
    fn introductions_are_remembered_for_ten_minutes_and_for_so_many_callers() {
        let (clock, hand) = Clock::manual();
        let (introduced, digester) = (Introduced::default(), Digester::default());
        let credential = |number: usize| {
            let value = HeaderValue::try_from(format!("Bearer {number}")).unwrap();
            let fields = HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]);
            digester.credential(&fields).unwrap().digest()
        };
        let held = || introduced.0.lock().len();
        for number in 0..REMEMBERED.get() + 10 {
            assert!(introduced.is_due(credential(number), clock.now()));
        }
        assert_eq!(held(), REMEMBERED.get());
        hand.advance(EVERY);
        introduced.tidy(clock.now());
        assert_eq!(held(), 0);
    }
}
