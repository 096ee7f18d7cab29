//! [`Introduced`]: the callers that were introduced of late, that is, asked for by a list read of our own.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;

use super::credential::CredentialDigest;
use crate::bounded::{bounded, sweep};
use crate::clock::Moment;
use crate::lock::Mutex;

/// A caller is introduced this often at most.
const EVERY: Duration = Duration::from_secs(600);
/// Callers whose introduction is remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

/// When callers were introduced.
#[derive(Debug)]
pub struct Introduced(Mutex<LruCache<CredentialDigest, Moment>>);

impl Default for Introduced {
    fn default() -> Self {
        Self(Mutex::new(bounded(REMEMBERED)))
    }
}

impl Introduced {
    /// Whether a caller is to be introduced: then it counts as introduced now.
    pub fn is_due(&self, credential: CredentialDigest, now: Moment) -> bool {
        let mut introduced = self.0.lock();
        let due = introduced.peek(&credential).is_none_or(|last| now.since(*last) >= EVERY);
        if due {
            introduced.put(credential, now);
        }
        due
    }

    /// Forgets those that are due again.
    pub fn tidy(&self, now: Moment) {
        let mut introduced = self.0.lock();
        sweep(&mut introduced, |last| now.since(*last) >= EVERY);
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
