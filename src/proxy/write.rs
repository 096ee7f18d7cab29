//! Label writes: read whole, sent on, and answered only after everything older has been shut out (R5, R9).

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Response};
use http_body::Body as _;
use tokio::sync::oneshot;

use super::Proxy;
use super::abandoned::Abandoned;
use super::answer::Answer;
use super::changed::Changed;
use super::exchange::Asked;
use super::posted::unreadable;
use super::written::{Begun, Subject, Write};
use crate::body::Body;
use crate::cache::key::CacheKey;
use crate::caller::credential::Credential;
use crate::classify::Target;
use crate::error::{ErrorKind, ProxyError};
use crate::fence::Reach;
use crate::fleet::open_write::OpenWrite;
use crate::held::{Full, Sender};
use crate::origin::status::Meaning;
use crate::origin::whole::{self, WholeAnswer};
use crate::origin::{Answered, NotAdmitted, Turn};
use crate::outcome::{CacheStatus, Outcome};
use crate::peer::Peer;
use crate::received::Received;
use crate::resource::Descriptor;
use crate::rules::Rules;
use crate::semantics::{fields, owned};
use crate::upstream::calls::was_never_sent;
use crate::upstream::pace::Paced;

/// Largest body of a label write.
const MAX_REQUEST: usize = 1024 * 1024;
/// Largest answer that is read whole; a label has a few hundred bytes.
const MAX_ANSWER: usize = 256 * 1024;
/// Within this, the body of a label write must have arrived: a slow sender holds memory here, not a stream.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

impl Proxy {
    /// Sends a label write and answers it after the invalidation. The write goes on if its client leaves.
    pub(super) async fn write(
        self: &Arc<Self>,
        head: Parts,
        body: Received,
        subject: Subject,
        asked: &Asked,
        peer: &Peer,
    ) -> Result<Answer, ProxyError> {
        let write = Arc::new(self.read_write(head, body, subject, asked).await?);
        asked.ledger.note_organization(write.organization.as_ref().map(|organization| organization.id()));
        let open = self.open(&write).await?;
        // Here and not in the task: a write whose client leaves before its turn is not sent.
        let turn = match self.origin.admit(&write.call(self.clock.now()), || {}).await {
            Ok(turn) => turn,
            Err(NotAdmitted::Rejected(error) | NotAdmitted::Unconnected(error)) => return Err(error),
            Err(NotAdmitted::Remembered(answer)) => return Ok(Answer::remembered(&answer, &write.method)),
        };
        // Again: it may have waited for longer than a lease lasts.
        if let Err(refused) = self.may_send(open.as_ref()) {
            self.origin.call_off(turn);
            return Err(refused);
        }
        // From here on nothing can call the write back: a client that leaves before its first byte is out has written.
        let named = write.subject.item.map_or(Reach::Lists, Reach::Item);
        let is_anybodys = write.organization.is_none() || !write.is_surely_its_organizations();
        let everywhere = is_anybodys.then_some(named);
        let mut watch = Abandoned::new(self, write.organization.as_ref(), named, everywhere);
        if write.says_nobody() {
            // It cannot come to anything.
            watch.note_answered();
        }
        let (answer, mut answered) = oneshot::channel();
        let (proxy, sent) = (Arc::clone(self), Arc::clone(&write));
        let writing = async move {
            let _ = answer.send(proxy.send_write(&sent, turn, open).await);
        };
        self.writes.spawn_on(writing, &self.runtime);
        let mut has_invalidated = false;
        let outcome = poll_fn(|cx| {
            // It may have left, and look at its write by another way.
            if !has_invalidated && peer.may_have_left() {
                has_invalidated = true;
                watch.invalidate();
            }
            Pin::new(&mut answered).poll(cx)
        })
        .await;
        watch.note_answered();
        outcome.unwrap_or_else(|panicked| {
            let _ = self.invalidate(&write, None, Changed::unknown());
            // Its open write is dropped with the task, and tells the fleet the same.
            Err(ErrorKind::Internal.error().because(panicked))
        })
    }

    /// The whole of a write, before anything of it is sent.
    async fn read_write(
        &self,
        head: Parts,
        body: Received,
        subject: Subject,
        asked: &Asked,
    ) -> Result<Write, ProxyError> {
        let is_framed = !body.is_end_stream();
        let body = Paced::new(body, self.clock.clone(), asked.rules.min_upload_rate);
        let sender = match is_framed {
            true => self.sender(asked.caller.as_ref(), asked.arrived_at),
            false => Sender::Known,
        };
        let body = self.read_request(&head.headers, body, sender, subject.resource).await?;
        // It may outlive its client: it takes along nothing of that one's connection.
        let caller = asked.caller.detached();
        let via = self.origin.upstream().via_of(head.version);
        let mut fields = fields::forwardable_request(&head.headers, via);
        if let Some(caller) = asked.rules.caller_field() {
            fields.remove(caller);
        }
        fields.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        asked.id.present(&mut fields);
        if body.is_empty() && (is_framed || head.headers.contains_key(CONTENT_LENGTH)) {
            // Any other is written by hyper, which says nothing of an empty body.
            fields.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let known = caller.as_ref().credential();
        let organization = known.and_then(|known| self.bindings.organization(known));
        let is_lately_proven = known.is_some_and(|known| self.is_lately_proven(known, &asked.rules));
        Ok(Write {
            organization,
            is_lately_proven,
            caller,
            subject,
            rules: Arc::clone(&asked.rules),
            path: head.uri.path_and_query().map_or(PathAndQuery::from_static("/"), owned::target),
            fields: owned::fields(fields),
            body,
            route: self.digester.route(&head.method, head.uri.path()),
            peer: asked.peer,
            max_wait: asked.max_wait,
            payer: asked.ledger.payer(),
            trace: head.extensions.get().cloned(),
            method: head.method,
        })
    }

    /// Whether a read of any resource has shown whose this credential is, as lately as proofs are believed at all.
    fn is_lately_proven(&self, credential: &Credential, rules: &Rules) -> bool {
        let now = self.clock.now();
        self.resources.iter().any(|resource| {
            let age = self.bindings.proof_age(credential, resource, now);
            age.is_some_and(|age| age <= rules.proof.outage_max_age)
        })
    }

    async fn read_request(
        &self,
        fields: &HeaderMap,
        body: Paced,
        sender: Sender,
        resource: &'static Descriptor,
    ) -> Result<Bytes, ProxyError> {
        let too_large = || ErrorKind::BodyTooLarge.error().saying(resource.sentences.write_too_large);
        let announced = fields.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > MAX_REQUEST as u64) {
            return Err(too_large());
        }
        let memory = self.held.gather_from(sender, whole::length_of(&body)).map_err(Full::before_sending)?;
        let deadline = self.clock.now().plus(REQUEST_TIMEOUT);
        let reading = whole::read_into(memory, body, MAX_REQUEST, &self.held);
        match self.clock.deadline(deadline, reading).await {
            Ok(Ok(whole::Read::Whole(body))) => Ok(body),
            Ok(Ok(whole::Read::TooLarge(..))) => Err(too_large()),
            Ok(Err(cause)) => Err(unreadable(cause)),
            Err(elapsed) => Err(ErrorKind::BodyIncomplete.error().because(elapsed)),
        }
    }

    async fn send_write(
        &self,
        write: &Write,
        turn: Turn,
        mut open: Option<OpenWrite>,
    ) -> Result<Answer, ProxyError> {
        if let Some(open) = &mut open {
            open.note_sent();
        }
        let begun = Begun { tick: self.cache.fence().sequence().advance(), at: self.clock.now() };
        let give_up = || self.clock.sleep(write.rules.timeouts.first_byte_timeout);
        let call = write.call(begun.at);
        let answered = match self.origin.send(&call, turn, || Some(write.request()), give_up).await {
            Ok(answered) => answered,
            Err(error) => {
                if was_never_sent(error.kind()) {
                    close(open);
                } else {
                    let invalidated = self.invalidate(write, None, Changed::unknown());
                    invalidated.announce(open).await.settled().await;
                }
                return Err(error);
            }
        };
        let response = self.conclude(answered, begun, write, open).await?;
        Ok(Answer { response, outcome: Outcome::Forwarded, cache_status: Some(CacheStatus::Method) })
    }

    /// Reads the answer, does to the cache and to the proofs what it calls for, and only then releases it.
    async fn conclude(
        &self,
        answered: Answered,
        begun: Begun,
        write: &Write,
        open: Option<OpenWrite>,
    ) -> Result<Response<Body>, ProxyError> {
        let Answered { response, meaning, sent, .. } = answered;
        let (head, body) = response.into_parts();
        if meaning == Meaning::NotFound {
            self.is_gone(write);
        }
        let idle = write.rules.timeouts.idle_timeout;
        let deadline = self.clock.now().plus(idle);
        let read = match self.clock.deadline(deadline, whole::read(body, MAX_ANSWER, &self.held)).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(cause)) => Err(whole::unread(cause)),
            Err(elapsed) => Err(ErrorKind::UpstreamTimeout.error().because(elapsed)),
        };
        if meaning.has_changed_nothing() {
            close(open);
        } else {
            let told = self.told(&head, read.as_ref().ok(), write).await;
            let settled = self.settle(&head, told, begun, write);
            let announced = settled.invalidated.announce(open).await;
            let label = match settled.label {
                // Behind what others have said meanwhile, which is applied by now.
                Ok(label) => Ok(label.map(|label| self.write_through(&head, label, begun, write))),
                Err(mixed_up) => Err(mixed_up),
            };
            // An error is an answer, too: it is held as long.
            announced.settled().await;
            label?;
        }
        Ok(match read? {
            whole::Read::Whole(body) => {
                let answer = WholeAnswer::new(head, body);
                if meaning == Meaning::KeyRefused {
                    self.origin.remember(&sent, answer.unauthorized());
                }
                answer.response(&write.method)
            }
            whole::Read::TooLarge(body) => {
                self.origin.stream(&write.call(self.clock.now()), head, body, idle)?
            }
        })
    }

    fn is_gone(&self, write: &Write) {
        let (Some(organization), Some(credential), Some(id)) =
            (&write.organization, write.credential(), write.subject.item)
        else {
            return;
        };
        let key = CacheKey::new(write.subject.resource, organization, None, Target::Item(id));
        self.fetcher.evict(key, credential);
    }

    /// Tells the fleet of a write before it is sent, so that it is invalidated even if this replica dies with it.
    async fn open(&self, write: &Write) -> Result<Option<OpenWrite>, ProxyError> {
        let Some(fleet) = &self.fleet else { return Ok(None) };
        if fleet.refuses_writes(self.clock.now()) {
            return Err(store_unreachable());
        }
        Ok(Some(fleet.open_write(write.last_will()).await))
    }

    /// Whether a write may be sent now by `shared.when_lost`.
    fn may_send(&self, open: Option<&OpenWrite>) -> Result<(), ProxyError> {
        match self.fleet.as_ref().zip(open) {
            Some((fleet, open)) if fleet.refuses(open, self.clock.now()) => Err(store_unreachable()),
            _ => Ok(()),
        }
    }
}

fn store_unreachable() -> ProxyError {
    ErrorKind::StoreUnreachable.error().retry_after(Duration::from_secs(1))
}

/// The write has changed nothing for certain.
fn close(open: Option<OpenWrite>) {
    if let Some(open) = open {
        open.close();
    }
}
