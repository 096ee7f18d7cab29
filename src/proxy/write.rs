//! Label writes: read whole, sent on, and answered only after everything older has been shut out (R5, R9).

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Body as _;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::Proxy;
use super::answer::Answer;
use super::dispatch::{Call, Departure, Gone, Held, Lane};
use super::exchange::Asked;
use super::posted::unreadable;
use super::rules::Rules;
use super::whole::{self, StreamedAnswer, WholeAnswer};
use crate::body::Body;
use crate::cache::key::CacheKey;
use crate::caller::bindings::Refusal;
use crate::caller::credential::{AuthorizationDigest, Credential, RouteDigest};
use crate::classify::Target;
use crate::clock::Moment;
use crate::error::{ErrorKind, ProxyError};
use crate::fence::Fate;
use crate::metrics::InvalidationCause;
use crate::organization::Organization;
use crate::outcome::{CacheStatus, Outcome};
use crate::peer::Peer;
use crate::purpose::Purpose;
use crate::received::Received;
use crate::resource::{self, Descriptor, Place};
use crate::semantics::{fields, media_type, owned};
use crate::shield::budget::Class;
use crate::telemetry::Context;
use crate::tick::Tick;
use crate::upstream::calls::was_never_sent;
use crate::upstream::connections::UpstreamClient;
use crate::upstream::outgoing::Outgoing;
use crate::upstream::pace::Paced;

/// Largest body of a label write.
const MAX_REQUEST: usize = 1024 * 1024;
/// Largest answer that is read whole; a label has a few hundred bytes.
const MAX_ANSWER: usize = 256 * 1024;
/// Within this, the body of a label write must have arrived: a slow sender holds memory here, not a stream.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What a write is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) resource: &'static Descriptor,
    pub(super) item: Option<Uuid>,
}

/// Who writes, as far as it is known before the answer.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) credential: Option<Credential>,
    authorization: Option<AuthorizationDigest>,
    pub(super) organization: Option<Arc<Organization>>,
    route: RouteDigest,
    pub(super) rules: Arc<Rules>,
}

impl Proxy {
    /// Sends a label write and answers it after the raise. The write goes on if its client leaves.
    pub(super) async fn write(
        self: &Arc<Self>,
        head: Parts,
        body: Received,
        subject: Subject,
        (asked, peer): (&Asked, &Peer),
    ) -> Result<Answer, ProxyError> {
        let is_framed = !body.is_end_stream();
        let body = Paced::new(body, self.clock.clone(), asked.rules.min_upload_rate);
        let body = self.read_request(&head.headers, body).await?;
        // It may outlive its client: it takes along nothing of that one's connection.
        let credential = self.digester.credential(&head.headers).as_ref().map(Credential::detached);
        let writer = Arc::new(Writer {
            authorization: self.digester.authorization(&head.headers),
            organization: credential.as_ref().and_then(|credential| self.bindings.organization(credential)),
            route: self.digester.route(&head.method, head.uri.path()),
            credential,
            rules: Arc::clone(&asked.rules),
        });
        let mut fields = fields::forwardable_request(&head.headers, head.version, self.upstream.pseudonym());
        fields.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        asked.id.present(&mut fields);
        if body.is_empty() && (is_framed || head.headers.contains_key(CONTENT_LENGTH)) {
            // Any other is written by hyper, which says nothing of an empty body.
            fields.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let path = head.uri.path_and_query().map_or(PathAndQuery::from_static("/"), owned::target);
        let trace: Option<Context> = head.extensions.get().cloned();
        let (method, body) = (head.method.clone(), Body::whole(body));
        let fields = owned::fields(fields);
        let outgoing = Outgoing { method, path, fields, body, trace: trace.clone() };
        let client = self.label_client();
        let lane = Lane { client: &client, permits: None };

        // Here and not in the task: a write whose client leaves before its turn is not sent.
        let queued = self.clock.now();
        let departure = match self.admit(&writer.call(asked.peer, asked.patience), lane, || {}).await {
            Ok(departure) => {
                self.trace_wait(trace.as_ref(), queued);
                departure
            }
            Err(Held::Rejected(error) | Held::Failed(error)) => return Err(error),
            Err(Held::Latched(answer)) => return Ok(Answer::latched(&answer, &head.method)),
        };
        // From here on nothing can call the write back: a client that leaves before its first byte is out has written.
        let mut watch = Abandoned { proxy: self, writer: &writer, subject, answered: false };
        let (answer, mut answered) = oneshot::channel();
        let (proxy, task_writer) = (Arc::clone(self), Arc::clone(&writer));
        let (client, address, patience) = (client.clone(), asked.peer, asked.patience);
        let method = head.method;
        let writing = async move {
            let writing = Writing { outgoing, departure, client: &client, peer: address, patience };
            let sending = proxy.send_write(writing, &method, &task_writer, subject);
            let _ = answer.send(sending.await);
        };
        self.writes.spawn_on(writing, &self.runtime);
        let mut has_raised = false;
        let outcome = poll_fn(|cx| {
            // It may have left, and look at its write by another way.
            if !has_raised && peer.may_have_left() {
                has_raised = true;
                watch.raise();
            }
            Pin::new(&mut answered).poll(cx)
        })
        .await;
        watch.answered = true;
        outcome.unwrap_or_else(|panicked| {
            let _ = self.raise(&writer, subject, None, Fate::Unknown);
            Err(ErrorKind::Internal.error().because(panicked))
        })
    }

    /// The whole body of a write, before anything of it is sent.
    async fn read_request(&self, fields: &HeaderMap, body: Paced) -> Result<Bytes, ProxyError> {
        let announced = fields.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > MAX_REQUEST as u64) {
            return Err(ErrorKind::BodyTooLarge.error());
        }
        let deadline = self.clock.now().plus(REQUEST_TIMEOUT);
        match self.clock.deadline(deadline, whole::read(body, MAX_REQUEST, &self.held)).await {
            Ok(Ok(whole::Read::Whole(body))) => Ok(body),
            Ok(Ok(whole::Read::TooLarge(..))) => Err(ErrorKind::BodyTooLarge.error()),
            Ok(Err(cause)) => Err(unreadable(cause)),
            Err(elapsed) => Err(ErrorKind::BodyIncomplete.error().because(elapsed)),
        }
    }

    async fn send_write(
        &self,
        writing: Writing<'_>,
        method: &Method,
        writer: &Writer,
        subject: Subject,
    ) -> Result<Answer, ProxyError> {
        let (begun, at) = (self.fence.sequence().advance(), self.clock.now());
        let Writing { outgoing, departure, client, peer, patience } = writing;
        let written = written_by(method, outgoing.path.path());
        let give_up = self.clock.sleep(writer.rules.timeouts.first_byte_timeout);
        let (call, lane) = (writer.call(peer, patience), Lane { client, permits: None });
        let (gone, answer) = match self.send(&call, lane, departure, outgoing, give_up).await {
            Ok((gone, answer, _)) => (gone, answer),
            Err(error) => {
                if !was_never_sent(error.kind()) {
                    self.raise(writer, subject, None, Fate::Unknown);
                }
                return Err(error);
            }
        };
        let sent = Sent { begun, at, gone, method, written };
        let response = self.conclude(answer, &sent, writer, subject).await?;
        Ok(Answer { response, outcome: Outcome::Forwarded, cache_status: Some(CacheStatus::Method) })
    }

    /// Reads the answer, does to the cache and to the proofs what it calls for, and only then releases it.
    async fn conclude(
        &self,
        answer: Response<Received>,
        sent: &Sent<'_>,
        writer: &Writer,
        subject: Subject,
    ) -> Result<Response<Body>, ProxyError> {
        let (head, body) = answer.into_parts();
        let status = head.status;
        let harmless = status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT;
        if harmless {
            self.refused(status, media_type::is_json(&head.headers), writer, subject);
        }
        let idle = writer.rules.timeouts.idle_timeout;
        let deadline = self.clock.now().plus(idle);
        let read = match self.clock.deadline(deadline, whole::read(body, MAX_ANSWER, &self.held)).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(cause)) => Err(whole::unread(cause)),
            Err(elapsed) => Err(ErrorKind::UpstreamTimeout.error().because(elapsed)),
        };
        if !harmless {
            let told = self.told(&head, read.as_ref().ok(), sent, writer, subject).await;
            self.settle(&head, told, sent, writer, subject)?;
        }
        Ok(match read? {
            whole::Read::Whole(body) => {
                let answer = WholeAnswer::new(head, body);
                if status == StatusCode::UNAUTHORIZED {
                    self.note_unauthorized(&sent.gone, answer.unauthorized());
                }
                answer.response(sent.method)
            }
            whole::Read::TooLarge(body) => StreamedAnswer::new(head, body, &self.clock, idle)
                .take()
                .ok_or(ErrorKind::Internal.error())?,
        })
    }

    /// A 4xx: nothing was written. It may tell something of the key or of the label.
    fn refused(&self, status: StatusCode, is_json: bool, writer: &Writer, subject: Subject) {
        let arrived = self.fence.sequence().advance();
        let refusal = match status {
            StatusCode::UNAUTHORIZED => Refusal::Unauthorized { route: writer.route, label_path: true },
            StatusCode::PAYMENT_REQUIRED => Refusal::Credential,
            StatusCode::FORBIDDEN if is_json => Refusal::Credential,
            StatusCode::NOT_FOUND => return self.is_gone(writer, subject),
            _ => return,
        };
        match (&writer.credential, writer.authorization) {
            (Some(credential), _) => {
                self.bindings.refuse(credential, refusal, arrived, self.clock.now());
            }
            (None, Some(authorization)) if status == StatusCode::UNAUTHORIZED => {
                self.bindings.refuse_authorization(authorization, arrived);
            }
            (None, _) => {}
        }
    }

    fn is_gone(&self, writer: &Writer, subject: Subject) {
        let (Some(organization), Some(credential), Some(id)) =
            (&writer.organization, &writer.credential, subject.item)
        else {
            return;
        };
        let (resource, target) = (subject.resource.name, Target::Item(id));
        self.evict(CacheKey { resource, organization: organization.id(), owner: None, target }, credential);
    }
}

/// A write that goes.
struct Writing<'a> {
    outgoing: Outgoing,
    departure: Departure,
    client: &'a UpstreamClient,
    peer: IpAddr,
    patience: Duration,
}

/// A write that was sent.
pub(super) struct Sent<'a> {
    /// Its place in the order of fills and raises.
    pub(super) begun: Tick,
    pub(super) at: Moment,
    pub(super) gone: Gone,
    pub(super) method: &'a Method,
    /// The label that its answer must be, if it is one at all.
    pub(super) written: Option<Uuid>,
}

/// The label that a write changes or takes away as a whole. What stands below a label, or is posted to one, may be
/// answered with another.
fn written_by(method: &Method, path: &str) -> Option<Uuid> {
    match resource::locate(path) {
        Place::Item(_, id) if matches!(*method, Method::PUT | Method::PATCH | Method::DELETE) => Some(id),
        _ => None,
    }
}

impl Writer {
    fn call(&self, peer: IpAddr, patience: Duration) -> Call<'_> {
        Call {
            credential: self.credential.as_ref(),
            authorization: self.authorization,
            organization: self.organization.as_ref().map(|organization| organization.id()),
            peer,
            route: self.route,
            class: Class::Interactive,
            patience,
            purpose: Purpose::Write,
        }
    }
}

/// Raises when the client leaves while its write is under way: it may read its own write through another connection
/// before the answer is here. Nothing has to settle on that account, for the answer, or its loss, raises again. A write
/// without `Authorization` cannot come to anything.
struct Abandoned<'a> {
    proxy: &'a Proxy,
    writer: &'a Writer,
    subject: Subject,
    answered: bool,
}

impl Abandoned<'_> {
    fn raise(&self) {
        if self.writer.authorization.is_none() {
            return;
        }
        let fence = &self.proxy.fence;
        match &self.writer.organization {
            Some(organization) => {
                fence.raise_purged(organization);
            }
            None => fence.raise_everywhere(self.subject.item, None),
        }
        self.proxy.metrics.invalidation(InvalidationCause::UnknownWrite);
    }
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.raise();
        }
    }
}
