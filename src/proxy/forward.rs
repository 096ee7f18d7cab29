//! Pass-through: streamed both ways, unchanged in meaning; what the answer says of the key is noted before it is sent on.

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;

use super::Worker;
use super::answer::Answer;
use super::exchange::RequestId;
use crate::body::Body;
use crate::caller::bindings::Refusal;
use crate::caller::credential::Credential;
use crate::error::ProxyError;
use crate::outcome::{CacheStatus, Outcome};
use crate::resource;
use crate::semantics::{fields, media_type};
use crate::upstream::activity::Activity;
use crate::upstream::permits::{Account, Permit};
use crate::upstream::purpose::Purpose;
use crate::upstream::transfer::{Download, Upload};

impl Worker {
    /// Sends a request on and its answer back. Dropping the future, when the client leaves, gives the call up.
    pub(super) async fn forward(
        &self,
        head: Parts,
        body: Incoming,
        cache_status: CacheStatus,
        id: &RequestId,
    ) -> Result<Answer, ProxyError> {
        let proxy = &self.proxy;
        let credential = proxy.digester.credential(&head.headers);
        let permit = proxy.permits.take(self.account(&head.headers, credential.as_ref())).await?;
        let mut fields = fields::forwardable_request(&head.headers, proxy.upstream.pseudonym());
        id.present(&mut fields);
        let path = head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let activity = Activity::begin(proxy.clock.clone());
        let body = if body.is_end_stream() {
            activity.note_request_sent();
            Body::empty()
        } else {
            Body::stream(Upload::new(body, activity.clone()))
        };
        let request = proxy.upstream.request(head.method.clone(), path, fields, body)?;
        let overdue = activity.head_overdue(proxy.timeouts.first_byte_timeout, proxy.timeouts.idle_timeout);
        let answer =
            proxy.upstream.send(&self.pass_through_client, request, Purpose::PassThrough, overdue).await?;
        self.note_refusal(&head, credential.as_ref(), &answer);
        let is_label_read = matches!(cache_status, CacheStatus::Uncached(_));
        let outcome = if is_label_read { Outcome::Bypass } else { Outcome::Forwarded };
        Ok(Answer { response: self.relay(answer, activity, permit), outcome, cache_status })
    }

    fn account(&self, fields: &HeaderMap, credential: Option<&Credential>) -> Account {
        let proxy = &self.proxy;
        match credential.and_then(|credential| proxy.bindings.organization(credential)) {
            Some(organization) => Account::Organization(organization.id()),
            None => proxy.digester.authorization(fields).map_or(Account::Anonymous, Account::Authorization),
        }
    }

    /// A 401 on any path speaks of the key, a 402 of the credential; a JSON 403 does on a label path alone, and one that
    /// is not JSON is the edge's and speaks of nobody.
    fn note_refusal(&self, head: &Parts, credential: Option<&Credential>, answer: &Response<Incoming>) {
        let proxy = &self.proxy;
        // A POST that changes nothing passes through, and its path is a label path nevertheless.
        let on_label_path = || resource::locate(head.uri.path()).resource().is_some();
        let refusal = match answer.status() {
            StatusCode::UNAUTHORIZED => Refusal::Unauthorized {
                route: proxy.digester.route(&head.method, head.uri.path()),
                label_path: on_label_path(),
            },
            StatusCode::PAYMENT_REQUIRED => Refusal::Credential,
            StatusCode::FORBIDDEN if media_type::is_json(answer.headers()) && on_label_path() => {
                Refusal::Credential
            }
            _ => return,
        };
        let arrived = proxy.fence.sequence().advance();
        if let Some(credential) = credential {
            proxy.bindings.refuse(credential, refusal, arrived, proxy.clock.now());
        } else if answer.status() == StatusCode::UNAUTHORIZED
            && let Some(authorization) = proxy.digester.authorization(&head.headers)
        {
            proxy.bindings.refuse_authorization(authorization, arrived);
        }
    }

    fn relay(&self, answer: Response<Incoming>, activity: Activity, permit: Permit) -> Response<Body> {
        let (head, body) = answer.into_parts();
        let idle = self.proxy.timeouts.idle_timeout;
        let mut response = Response::new(if body.is_end_stream() {
            Body::empty()
        } else {
            Body::stream(Download::new(body, activity, idle, Some(permit)))
        });
        *response.status_mut() = head.status;
        *response.headers_mut() = fields::forwardable_response(head.headers);
        response
    }
}
