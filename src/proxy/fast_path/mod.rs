//! The fast path: a plain read that is proven, stored and fresh is answered from its bytes, without the HTTP library.
//!
//! It answers what needs nothing but an answer: [`head`] says which requests those may be, and here is asked, in the order of
//! the long way, whose they are, whether the fleet's lease holds, and what is stored. **Identify before key, key before look-up,
//! the lease before both**: the same `Standing`, the same `CacheKey`, the same fence. Where anything else would follow from an
//! answer (a proof to be renewed, a response to be refreshed, a response of one credential alone, a span), and wherever there
//! is none, nothing has been done, and the long way has the request from its first byte on.
//!
//! An answer is counted and logged as every other, and its bytes are those that the long way would send: a test compares them.

mod answer;
pub(super) mod head;
mod names;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use self::answer::{Dates, Id, Rendered};
use self::head::PlainRead;
use super::{Proxy, Worker};
use crate::cache::decide::{Decision, Servable, decide};
use crate::cache::stored::{StoredBody, StoredResponse};
use crate::caller::credential::Digests;
use crate::caller::standing::Standing;
use crate::callers::Recent;
use crate::clock::Moment;
use crate::logging::{self, Ending, RequestLine};
use crate::organization::Organization;
use crate::outcome::{Outcome, StatusClass};
use crate::peer::Peer;
use crate::rules::Rules;
use crate::semantics::directives::RequestDirectives;

/// A longer body is sent by the long way, which gives other connections their turn between its pieces.
const LARGEST_BODY: usize = 64 * 1024;

/// What is sent behind the head of an answer.
#[derive(Debug)]
pub struct FromMemory {
    /// The body; empty where there is none.
    pub body: StoredBody,
    /// When it was answered: the clock's uptime.
    pub at: Duration,
}

/// The connection that a request came on.
#[derive(Debug)]
pub struct Client<'a> {
    /// Its client.
    pub peer: &'a Peer,
    /// Which service sent its last plain read.
    pub recent: &'a mut Recent,
}

impl Worker {
    /// Answers a request from memory: its head is all bytes of `request`, and the answer's is put into `head`. Nothing if it is
    /// not a plain read whose answer is there; then nothing was counted, and nothing follows.
    pub fn answer_from_memory(
        &self,
        request: &[u8],
        client: Client<'_>,
        head: &mut Vec<u8>,
    ) -> Option<FromMemory> {
        let proxy = &*self.proxy;
        if proxy.tracing.is_some() {
            return None;
        }
        let rules = self.rules();
        let read = PlainRead::parse(proxy.resources, rules.caller_field(), request)?;
        // It comes before all else, wherever an operator has put it.
        if proxy.health_path.as_deref() == Some(read.path) {
            return None;
        }
        proxy.answer_plain(&read, &rules, client, head)
    }
}

impl Proxy {
    fn answer_plain(
        &self,
        read: &PlainRead<'_>,
        rules: &Rules,
        client: Client<'_>,
        head: &mut Vec<u8>,
    ) -> Option<FromMemory> {
        let peer = client.peer;
        let begun = self.clock.now();
        let digests = self.digester.digests(read.authorization, read.workspace);
        let Found { organization, stored, servable } = self.find_plain(read, digests, rules, begun)?;
        // Last of what may be in the way, and what is counted is counted behind it.
        let identity = match &rules.callers {
            Some(callers) => {
                Some(self.identify_plain(callers, client, read, digests.authorization(), begun)?)
            }
            None => None,
        };
        organization.note_avoided();
        let id = Id::of(read.request_id, begun);
        let rendered = Rendered::of(&stored, servable, read.condition);
        Dates::with(begun.unix(), |date| rendered.write(head, &id, date));

        let now = self.clock.read();
        let route = read.route();
        let (outcome, status, duration) = (Outcome::Hit, rendered.status, now.since(begun));
        self.metrics.request(route, outcome, StatusClass::of(status), duration);
        if let Some(by) = outcome.avoided() {
            self.metrics.avoided(by);
        }
        let who = identity.map(|identity| identity.who(peer.as_str(), Some(organization.id().name().0)));
        let body = match status {
            StatusCode::NOT_MODIFIED => StoredBody::Bytes(Bytes::new()),
            _ => StoredBody::Of(stored),
        };
        let response_bytes = body.as_ref().len() as u64;
        if let Some(identity) = identity {
            self.callers.note_claim(identity);
            identity.note_hit(outcome, response_bytes);
        }
        logging::request(&RequestLine {
            at: now.unix(),
            request_id: id.as_str(),
            trace_id: None,
            peer: peer.as_str(),
            method: "GET",
            path: read.path,
            route: route.as_str(),
            outcome: outcome.as_str(),
            status: Some(status.as_u16()),
            who: who.as_deref(),
            reason: None,
            waited: Duration::ZERO,
            upstream: Duration::ZERO,
            upstream_calls: 0,
            error: None,
            cause: None,
            duration,
            response_bytes,
            ending: Ending::Complete,
        });
        Some(FromMemory { body, at: now.uptime() })
    }

    /// What is stored for a plain read, if nothing but an answer follows from it.
    fn find_plain(
        &self,
        read: &PlainRead<'_>,
        digests: Digests,
        rules: &Rules,
        now: Moment,
    ) -> Option<Found> {
        let standing = self.bindings.standing_of(digests, read.resource, &rules.proof, now);
        let Standing::Proven { organization, renew: false } = standing else { return None };
        // The fleet's lease, always before the look-up.
        let lifetimes = self.lifetimes_at(rules.of(read.resource, &read.target), now);
        let stored = self.cache.look_up_shared(read.resource, read.target.clone(), rules, &organization)?;
        let decision = decide(&RequestDirectives::default(), Some(&stored), &lifetimes, now);
        let Decision::Serve { stored: servable, ageing: false } = decision else { return None };
        (stored.body().len() <= LARGEST_BODY).then_some(Found { organization, stored, servable })
    }
}

/// What answers a plain read.
struct Found {
    organization: Arc<Organization>,
    stored: Arc<StoredResponse>,
    servable: Servable,
}
