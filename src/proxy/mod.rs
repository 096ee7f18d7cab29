//! The way of a request, on one screen: [`Worker::handle`].
//!
//! Identify, guard, classify, check; then `read`, `write` or `forward`; then finish. **Identify before key, key before look-up, no
//! look-up without an organization**: a stored byte cannot be reached but through a proof that the upstream gave this very
//! credential. `plan` says what becomes of a label read, `read` carries it out and `explain` prints it, `write` has label
//! writes and `settle` what they shut out, `forward` everything else. `exchange::Exchange::finish` is the one place that maps
//! errors, sets the fields that every answer carries, counts and logs.

mod abandoned;
mod answer;
mod caller_numbers;
mod callers;
mod changed;
mod exchange;
mod explain;
mod explanation;
mod fast_path;
mod forward;
mod health;
mod overview;
mod plan;
mod posted;
mod purge;
mod read;
mod reading;
mod reload;
mod settle;
mod shared;
mod write;
mod written;

use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Response, StatusCode};

use self::exchange::Exchange;
pub use self::explanation::{Conclusion, Explanation, Proof};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::fast_path::head::alike;
pub use self::fast_path::{Client, FromMemory};
pub use self::overview::Overview;
pub use self::purge::{Purge, Purged};
pub use self::reload::Prepared;
pub use self::shared::{Proxy, Worker};
use self::written::Subject;
use crate::body::{self, Body};
use crate::cache::render::keep_room;
pub use crate::callers::Recent;
use crate::classify::{Class, classify_by};
use crate::guard;
use crate::metrics::ClientRefusal;
use crate::outcome::{BypassReason, CacheStatus, Outcome, StatusClass};
use crate::peer::Peer;
use crate::received::Received;
use crate::resource::Route;
use crate::rules::Rules;
use crate::survey::Survey;

impl Worker {
    /// Answers one request; never fails: a failure is an answer.
    ///
    /// Its parts come one by one, and nothing wraps it: a future keeps room for each value that it is handed and for each
    /// that it makes of that, and every idle connection keeps the future of its latest request.
    pub async fn handle(self: Rc<Self>, mut head: Parts, body: Received, peer: Peer) -> Response<Body> {
        let proxy = &self.proxy;
        if let Some(path) = &proxy.health_path
            && let Some(answer) = proxy.health(path, &head)
        {
            return answer;
        }
        let place = proxy.resources.locate(head.uri.path());
        let survey = Survey::of(&head, place, proxy.origin.upstream().pseudonym());
        let rules = self.rules();
        let identified = proxy.identify(&head, &survey, &peer, &rules);
        let mut exchange = Exchange::begin(proxy, &head, &survey, peer, identified, rules);
        let place = match guard::conclude(&head, place, survey.guarded) {
            Ok(place) => place,
            Err(refused) => return exchange.finish(Err(refused)),
        };
        let resource = place.resource();
        let class = classify_by(&head, place, || survey.forbids).of_cached(proxy.resources);
        exchange.trace(&mut head.extensions);
        let (asked, peer) = exchange.classified(&class, resource);
        if let Err(denied) = asked.ledger.check(&head.method, head.uri.path(), asked.rules.mode) {
            return exchange.finish(Err(denied));
        }
        let answer = match class {
            Class::Read(read) if !body::is_empty(&body) => {
                Box::pin(self.read_with_body(head, body, read, asked)).await
            }
            Class::Read(read) => match proxy.read(&head, &read, asked).await {
                Ok(Some(answer)) => {
                    keep_room(mem::take(&mut head.headers));
                    Ok(answer)
                }
                Ok(None) => {
                    let status = CacheStatus::Uncached(BypassReason::EdgeBlock);
                    Box::pin(self.forward(head, self.posted(body, asked), status, asked)).await
                }
                Err(error) => Err(error),
            },
            Class::Write { resource, item } => {
                let subject = Subject { resource, item, place };
                Box::pin(proxy.write(head, body, subject, asked, peer)).await
            }
            Class::Uncached { reason, .. } => {
                let status = CacheStatus::Uncached(reason);
                Box::pin(self.forward(head, self.posted(body, asked), status, asked)).await
            }
            Class::PassThrough => {
                let body = self.posted(body, asked);
                Box::pin(self.forward(head, body, CacheStatus::PassThrough, asked)).await
            }
        };
        exchange.finish(answer)
    }

    /// Counts and logs a request whose head could not be read, and that got this status without a body.
    pub fn note_unreadable(&self, peer: &Peer, status: StatusCode, fault: &hyper::Error) {
        let class = StatusClass::of(status);
        self.proxy.metrics.request(Route::Refused, Outcome::Rejected, class, Duration::ZERO);
        self.proxy.note_unknown_request(Outcome::Rejected);
        let (status, cause) = (status.as_u16(), fault.to_string());
        tracing::info!(peer = peer.as_str(), status, cause, "request that cannot be read");
    }

    /// Counts a client that was refused because of its certificate, and says so once a minute.
    pub fn note_refused_client(&self, peer: &Peer, reason: ClientRefusal, cause: &str) {
        self.proxy.metrics.client_refused(reason);
        let now = self.proxy.clock.now();
        let mut told = self.proxy.refused_clients.lock();
        if told.is_none_or(|told| now.since(told) >= Duration::from_secs(60)) {
            *told = Some(now);
            let (peer, reason) = (peer.as_str(), reason.as_str());
            tracing::warn!(peer, reason, cause, "client refused in its handshake");
        }
    }

    /// What holds for a request that begins now.
    fn rules(&self) -> Arc<Rules> {
        self.copied.rules(&self.proxy.rulebook, |old| self.proxy.pass_through(Some(old)))
    }
}
