//! [`Names`]: the upstream's addresses, and the last good ones for when nobody can be asked.
//!
//! Every new connection asks, so that a new address is used at once. Where the answer fails or is late, the last good one
//! does for ten minutes: a name server that is ill for a while costs nothing then.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::want;
use crate::clock::{Clock, Moment};
use crate::lock::{Mutex, MutexGuard};

/// How long the last good answer does where there is no new one.
const LASTS: Duration = Duration::from_secs(600);
/// How long a new answer is waited for where an old one would do: a part of any `connect_timeout`.
const PATIENCE: Duration = Duration::from_millis(500);

pub(super) type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
pub(super) type Lookup = dyn Fn(String) -> Looking + Send + Sync;

/// Looks names up; clones share what they remember. There is one name, the upstream's.
#[derive(Clone)]
pub(super) struct Names {
    lookup: Arc<Lookup>,
    known: Arc<Mutex<Option<Known>>>,
    clock: Clock,
}

#[derive(Clone)]
struct Known {
    addresses: Vec<SocketAddr>,
    at: Moment,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

impl Names {
    /// The system's way of looking names up.
    pub(super) fn new(clock: Clock) -> Self {
        let system = |name: String| -> Looking {
            Box::pin(async move {
                Ok(tokio::net::lookup_host((name, 0)).await.map_err(want::behind_look_up)?.collect())
            })
        };
        Self::with(Arc::new(system), clock)
    }

    pub(super) fn with(lookup: Arc<Lookup>, clock: Clock) -> Self {
        Self { lookup, known: Arc::default(), clock }
    }

    /// The addresses of `name`, in the order in which the system would have them tried; their port is 0.
    ///
    /// # Errors
    ///
    /// If nobody knows any, and none was known of late.
    pub(super) async fn addresses(self, name: String) -> io::Result<Vec<SocketAddr>> {
        let asked = self.clock.now();
        let known = self.known().clone().filter(|known| asked.since(known.at) < LASTS);
        let mut looking = (self.lookup)(name);
        let Some(known) = known else {
            return looking.await.map(|addresses| self.remember(addresses, asked));
        };
        let found = match self.clock.deadline(asked.plus(PATIENCE), looking.as_mut()).await {
            Ok(Ok(addresses)) if !addresses.is_empty() => return Ok(self.remember(addresses, asked)),
            Ok(Ok(_)) => "no address".to_owned(),
            Ok(Err(cause)) => cause.to_string(),
            Err(_) => {
                // It is asked no second time meanwhile by this connection; what comes late is remembered for the next.
                tokio::spawn(async move {
                    if let Ok(addresses) = looking.await {
                        self.remember(addresses, asked);
                    }
                });
                "no answer yet".to_owned()
            }
        };
        tracing::warn!(cause = found, "the upstream's name was not found: its last address is used");
        Ok(known.addresses)
    }

    fn remember(&self, addresses: Vec<SocketAddr>, at: Moment) -> Vec<SocketAddr> {
        if !addresses.is_empty() {
            *self.known() = Some(Known { addresses: addresses.clone(), at });
        }
        addresses
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::clock::ManualClock;

    /// What the name server says, in order; nothing left is silence.
    type Script = Arc<Mutex<Vec<io::Result<u8>>>>;

    fn names(script: &Script) -> (Names, ManualClock) {
        let (clock, hand) = Clock::manual();
        let script = Arc::clone(script);
        let lookup = move |_| -> Looking {
            match script.lock().pop() {
                Some(said) => Box::pin(async { said.map(|last| vec![address(last)]) }),
                None => Box::pin(std::future::pending()),
            }
        };
        (Names::with(Arc::new(lookup), clock), hand)
    }

    fn script(said: Vec<io::Result<u8>>) -> Script {
        Arc::new(Mutex::new(said.into_iter().rev().collect()))
    }

    fn ill() -> io::Result<u8> {
        Err(io::Error::other("no name server"))
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 443))
    }

    async fn ask(names: &Names) -> io::Result<Vec<SocketAddr>> {
        names.clone().addresses("api.example".to_owned()).await
    }

    /// F5.
    #[tokio::test]
    async fn a_new_address_is_used_at_once() {
        let (names, _) = names(&script(vec![Ok(1), Ok(2)]));
        assert_eq!(ask(&names).await.unwrap(), [address(1)]);
        assert_eq!(ask(&names).await.unwrap(), [address(2)]);
    }

    /// F5.
    #[tokio::test]
    async fn the_last_good_address_does_for_ten_minutes() {
        let (names, hand) = names(&script(vec![Ok(1), ill(), ill()]));
        assert_eq!(ask(&names).await.unwrap(), [address(1)]);
        hand.advance(LASTS - Duration::from_secs(1));
        assert_eq!(ask(&names).await.unwrap(), [address(1)]);
        hand.advance(Duration::from_secs(1));
        assert!(ask(&names).await.is_err());
    }

    #[tokio::test]
    async fn without_a_good_address_a_failure_is_told() {
        assert!(ask(&names(&script(vec![ill()])).0).await.is_err());
    }

    #[tokio::test]
    async fn a_name_server_that_is_silent_costs_half_a_second() {
        let (names, hand) = names(&script(vec![Ok(1)]));
        assert_eq!(ask(&names).await.unwrap(), [address(1)]);
        let (done, answered) = oneshot::channel();
        let asking = names.clone();
        tokio::spawn(async move { done.send(ask(&asking).await.unwrap()).unwrap() });
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        hand.advance(PATIENCE);
        assert_eq!(answered.await.unwrap(), [address(1)]);
    }
}
