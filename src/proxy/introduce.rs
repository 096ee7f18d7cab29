//! Introductions: a caller that only passes calls through tells nothing of its organization, so its calls cannot be
//! counted with the others'. Once in a while it is asked for by a list read with its own token, which binds it if its
//! scopes allow.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use lru::LruCache;

use super::Proxy;
use super::exchange::Asked;
use super::fill::Fill;
use super::forward::Caller;
use crate::bounded::{bounded, sweep};
use crate::cache::flight::{Boarding, FlightKey};
use crate::cache::items;
use crate::caller::credential::CredentialDigest;
use crate::classify::Read;
use crate::clock::Moment;
use crate::purpose::Purpose;
use crate::resource::LEAD_LABEL;
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
        let mut introduced = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = introduced.peek(&credential).is_none_or(|last| now.since(*last) >= EVERY);
        if due {
            introduced.put(credential, now);
        }
        due
    }

    /// Forgets those that are due again.
    pub(super) fn tidy(&self, now: Moment) {
        let mut introduced = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sweep(&mut introduced, |last| now.since(*last) >= EVERY);
    }
}

impl Proxy {
    /// Asks in the background for the organization of a caller whose call was just answered 2xx, if it is not known.
    pub(super) fn introduce(self: &Arc<Self>, caller: &Caller, asked: &Asked) {
        let (Some(credential), None) = (&caller.credential, caller.organization) else { return };
        if self.bindings.organization(credential).is_some() {
            // It introduced itself while its call was under way.
            return;
        }
        let now = self.clock.now();
        if self.shield.edge.is_blocked() || !self.introduced.is_due(credential.digest(), now) {
            return;
        }
        let Some(attempt) = self.attempts.begin(credential.digest()) else { return };
        let read = Read {
            resource: &LEAD_LABEL,
            target: items::whole_list(&LEAD_LABEL),
            storable: true,
            head: false,
        };
        let key = FlightKey::Own {
            credential: credential.digest(),
            resource: read.resource.name,
            target: read.target.clone(),
            storing: true,
        };
        let begin = || self.fence.sequence().advance();
        let boarding = self.flights.board(key, credential.digest(), |_| true, || None::<()>, begin);
        let Boarding::Leading(flight, ticket) = boarding else { return };
        let fill = Fill {
            credential: credential.detached(),
            peer: asked.peer,
            route: self.digester.route(&Method::GET, read.resource.collection),
            read,
            class: Class::Background,
            rules: Arc::clone(&asked.rules),
            awaited: false,
            organization: None,
            storing: true,
            proving: true,
            purpose: Purpose::Proof,
            begun: flight.begun,
            sent: now,
            attempt: Some(attempt),
            trace: None,
        };
        self.launch(fill, ticket);
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
        let held = || introduced.0.lock().unwrap().len();
        for number in 0..REMEMBERED.get() + 10 {
            assert!(introduced.is_due(credential(number), clock.now()));
        }
        assert_eq!(held(), REMEMBERED.get());
        hand.advance(EVERY);
        introduced.tidy(clock.now());
        assert_eq!(held(), 0);
    }
}
