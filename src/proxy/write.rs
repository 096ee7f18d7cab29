//! Label writes: read whole, sent on, and answered only after everything older has been shut out (R5, R9).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::Proxy;
use super::answer::Answer;
use super::exchange::RequestId;
use super::whole::{self, StreamedAnswer, WholeAnswer};
use crate::body::Body;
use crate::cache::gate;
use crate::cache::key::CacheKey;
use crate::caller::bindings::Refusal;
use crate::caller::credential::{AuthorizationDigest, Credential, RouteDigest};
use crate::classify::Target;
use crate::error::{ErrorKind, ProxyError};
use crate::fence::Fate;
use crate::metrics::InvalidationCause;
use crate::organization::{Organization, OrganizationId};
use crate::outcome::{CacheStatus, Outcome};
use crate::resource::Descriptor;
use crate::semantics::{fields, media_type};
use crate::upstream::client::was_never_sent;
use crate::upstream::purpose::Purpose;

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
struct Writer {
    credential: Option<Credential>,
    authorization: Option<AuthorizationDigest>,
    organization: Option<Arc<Organization>>,
    route: RouteDigest,
}

impl Proxy {
    /// Sends a label write and answers it after the raise. The write goes on if its client leaves.
    pub(super) async fn write(
        self: &Arc<Self>,
        head: Parts,
        body: Incoming,
        subject: Subject,
        id: &RequestId,
    ) -> Result<Answer, ProxyError> {
        let body = self.read_request(&head.headers, body).await?;
        let credential = self.digester.credential(&head.headers);
        let writer = Arc::new(Writer {
            authorization: self.digester.authorization(&head.headers),
            organization: credential.as_ref().and_then(|credential| self.bindings.organization(credential)),
            route: self.digester.route(&head.method, head.uri.path()),
            credential,
        });
        let mut fields = fields::forwardable_request(&head.headers, self.upstream.pseudonym());
        fields.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        id.present(&mut fields);
        let path = head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let request = self.upstream.request(head.method.clone(), path, fields, Body::whole(body))?;

        // From here on nothing can call the write back: a client that leaves before its first byte is out has written.
        let mut watch = Abandoned { proxy: self, writer: &writer, subject, answered: false };
        let (answer, answered) = oneshot::channel();
        let (proxy, task_writer) = (Arc::clone(self), Arc::clone(&writer));
        let method = head.method;
        self.runtime.spawn(async move {
            let _ = answer.send(proxy.send_write(request, &method, &task_writer, subject).await);
        });
        let outcome = answered.await;
        // A task that panicked has raised nothing: the guard does.
        watch.answered = outcome.is_ok();
        drop(watch);
        outcome.unwrap_or_else(|cause| Err(ErrorKind::Internal.error().because(cause)))
    }

    /// The whole body of a write, before anything of it is sent.
    async fn read_request(&self, fields: &HeaderMap, body: Incoming) -> Result<Bytes, ProxyError> {
        let announced = fields
            .get(http::header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > MAX_REQUEST as u64) {
            return Err(ErrorKind::BodyTooLarge.error());
        }
        let deadline = self.clock.now().plus(REQUEST_TIMEOUT);
        match self.clock.deadline(deadline, whole::read(body, MAX_REQUEST)).await {
            Ok(Ok(whole::Read::Whole(body))) => Ok(body),
            Ok(Ok(whole::Read::TooLarge(..))) => Err(ErrorKind::BodyTooLarge.error()),
            Ok(Err(cause)) => Err(ErrorKind::BodyIncomplete.error().because(cause)),
            Err(elapsed) => Err(ErrorKind::BodyIncomplete.error().because(elapsed)),
        }
    }

    async fn send_write(
        &self,
        request: Request<Body>,
        method: &Method,
        writer: &Writer,
        subject: Subject,
    ) -> Result<Answer, ProxyError> {
        let give_up = self.clock.sleep(self.timeouts.first_byte_timeout);
        let answer = match self.upstream.send(&self.label_client, request, Purpose::Write, give_up).await {
            Ok(answer) => answer,
            Err(error) => {
                if !was_never_sent(error.kind()) {
                    self.raise(writer, subject, None, Fate::Unknown);
                }
                return Err(error);
            }
        };
        let response = self.conclude(answer, method, writer, subject).await?;
        Ok(Answer { response, outcome: Outcome::Forwarded, cache_status: CacheStatus::Method })
    }

    /// Reads the answer, does to the cache and to the proofs what it calls for, and only then releases it.
    async fn conclude(
        &self,
        answer: Response<Incoming>,
        method: &Method,
        writer: &Writer,
        subject: Subject,
    ) -> Result<Response<Body>, ProxyError> {
        let (head, body) = answer.into_parts();
        let status = head.status;
        let harmless = status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT;
        if harmless {
            self.refused(status, media_type::is_json(&head.headers), writer, subject);
        }
        let idle = self.timeouts.idle_timeout;
        let deadline = self.clock.now().plus(idle);
        let read = match self.clock.deadline(deadline, whole::read(body, MAX_ANSWER)).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(cause)) => Err(ErrorKind::BadUpstreamAnswer.error().because(cause)),
            Err(elapsed) => Err(ErrorKind::UpstreamTimeout.error().because(elapsed)),
        };
        if !harmless {
            let (named, fate) = match &read {
                Ok(whole::Read::Whole(body))
                    if status.is_success()
                        && media_type::is_json(&head.headers)
                        && !head.headers.contains_key(CONTENT_ENCODING)
                        && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() =>
                {
                    (gate::organization_of(subject.resource, body), Fate::Known)
                }
                _ => (None, Fate::Unknown),
            };
            self.raise(writer, subject, named, fate);
        }
        Ok(match read? {
            whole::Read::Whole(body) => WholeAnswer::new(head, body).response(method),
            whole::Read::TooLarge(read, rest) => StreamedAnswer::new(head, read, rest, &self.clock, idle)
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

    /// Shuts out everything that is older than this write: of the writer's organization and of the one that the answer
    /// names, or everywhere if neither is known.
    fn raise(&self, writer: &Writer, subject: Subject, named: Option<OrganizationId>, fate: Fate) {
        let now = self.clock.now();
        let named = named.map(|id| self.fence.organizations().get(id, now));
        for organization in writer.organization.iter().chain(&named) {
            self.fence.raise(organization, fate, now);
        }
        if writer.organization.is_none() && named.is_none() {
            self.fence.raise_everywhere(subject.item, Some((fate, now)));
        }
        self.metrics.invalidation(match fate {
            Fate::Known => InvalidationCause::Write,
            Fate::Unknown => InvalidationCause::UnknownWrite,
        });
    }
}

/// Raises when the client leaves while its write is under way: it may read its own write through another connection
/// before the answer is here.
struct Abandoned<'a> {
    proxy: &'a Proxy,
    writer: &'a Writer,
    subject: Subject,
    answered: bool,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.proxy.raise(self.writer, self.subject, None, Fate::Unknown);
        }
    }
}
