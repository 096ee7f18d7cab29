//! Pass-through: streamed both ways, unchanged in meaning; what the answer says of the key is noted before it is sent on.

use std::net::IpAddr;
use std::time::Duration;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::Body as _;

use super::answer::Answer;
use super::dispatch::{Call, Departure, Gone, Held, Lane};
use super::exchange::Asked;
use super::posted::Posted;
use super::whole::{self, Holding, StreamedAnswer, WholeAnswer};
use super::{Proxy, Worker};
use crate::body::Body;
use crate::caller::bindings::Refusal;
use crate::caller::credential::{AuthorizationDigest, Credential, RouteDigest};
use crate::error::{ErrorKind, ProxyError};
use crate::held::{self, Charge, Full};
use crate::organization::OrganizationId;
use crate::outcome::{CacheStatus, Outcome};
use crate::received::Received;
use crate::resource;
use crate::semantics::{fields, media_type};
use crate::shield::account::AccountKey;
use crate::shield::budget::Class;
use crate::shield::latch::Unauthorized;
use crate::shield::retry::may_retry;
use crate::shield::who::Who;
use crate::telemetry::Context;
use crate::upstream::activity::{Activity, Broken};
use crate::upstream::outgoing::Outgoing;
use crate::upstream::permits::Permit;
use crate::upstream::purpose::Purpose;
use crate::upstream::transfer::Download;

/// Largest 401 that is read whole.
const MAX_REFUSAL: usize = 4096;

impl Worker {
    /// Sends a request on and its answer back. Dropping the future, when the client leaves, gives the call up.
    pub(super) async fn forward(
        &self,
        head: Parts,
        mut body: Posted,
        cache_status: CacheStatus,
        asked: &Asked,
    ) -> Result<Answer, ProxyError> {
        let proxy = &self.proxy;
        let caller = proxy.caller(&head);
        let is_label_read = matches!(cache_status, CacheStatus::Uncached(_));
        let outcome = if is_label_read { Outcome::Bypass } else { Outcome::Forwarded };
        match proxy.read_before_a_place(&caller, &mut body).await {
            Ok(None) => {}
            Ok(Some(answer)) => return Ok(Answer::latched(&answer, &head.method)),
            Err(error) => return Err(error),
        }
        let arrived = proxy.clock.now();
        let upload = body.length();
        let holds = held::DOWNLOAD + upload.map_or(held::UPLOAD, |length| length.min(held::UPLOAD));
        proxy.held.check(holds).map_err(Full::before_sending)?;
        let client = self.pass_through_client();
        let lane = Lane { client: &client, permits: Some((&proxy.permits, caller.account())) };
        let call = caller.call(asked.peer, asked.patience);
        let departed = match proxy.admit(&call, lane, || {}).await {
            Ok(departure) => Ok(departure),
            Err(Held::Failed(error)) => Err(error),
            Err(Held::Rejected(error)) => return Err(error),
            Err(Held::Latched(answer)) => return Ok(Answer::latched(&answer, &head.method)),
        };
        let charge = match proxy.held.take(holds) {
            Ok(charge) => charge,
            Err(full) => {
                if let Ok(departure) = departed {
                    proxy.call_off(departure.going);
                }
                return Err(full.before_sending());
            }
        };
        proxy.trace_wait(head.extensions.get(), arrived);
        proxy.shield.retries.on_offered(proxy.clock.now());
        let mut fields = fields::forwardable_request(&head.headers, head.version, proxy.upstream.pseudonym());
        asked.id.present(&mut fields);
        body.announce(&head.headers, &mut fields);
        let activity = Activity::begin(proxy.clock.clone());
        let way = Passing { head: &head, call: &call, lane, activity: &activity, asked };
        let (gone, answer, permit) = if body.is_absent() {
            activity.note_request_sent();
            self.send_without_body(&way, fields, departed).await?
        } else {
            let body = body.upload(activity.clone());
            self.send_once(&way, fields, body, departed?).await?
        };
        self.note_refusal(&head, caller.credential.as_ref(), &answer);
        if answer.status().is_success() {
            proxy.introduce(&caller, asked);
        }
        let response = if answer.status() == StatusCode::UNAUTHORIZED {
            self.relay_unauthorized(answer, &gone, &head.method, asked).await?
        } else {
            Self::relay(answer, activity, (permit, charge), asked)
        };
        Ok(Answer { response, outcome, cache_status: Some(cache_status) })
    }

    /// A request without a body; a read among them is sent once more if it failed on the way.
    async fn send_without_body(
        &self,
        way: &Passing<'_>,
        fields: HeaderMap,
        departed: Result<Departure, ProxyError>,
    ) -> Result<Passed, ProxyError> {
        let proxy = &self.proxy;
        if way.head.method != Method::GET {
            return self.send_once(way, fields, Body::empty(), departed?).await;
        }
        let first = match departed {
            Ok(departure) => self.send_once(way, fields.clone(), Body::empty(), departure).await,
            Err(error) => Err(error),
        };
        let ended = match &first {
            Ok((_, answer, _)) => Ok(answer.status()),
            Err(error) => Err(error.kind()),
        };
        if !may_retry(&way.head.method, ended) {
            return first;
        }
        let Some(departure) = proxy.second_try(way.call, way.lane).await else { return first };
        let second = self.send_once(way, fields, Body::empty(), departure).await;
        proxy.note_retry(second.as_ref().map(|(_, answer, _)| answer.status()).ok());
        second
    }

    async fn send_once(
        &self,
        way: &Passing<'_>,
        fields: HeaderMap,
        body: Body,
        departure: Departure,
    ) -> Result<Passed, ProxyError> {
        let Passing { head, call, lane, activity, asked } = *way;
        let timeouts = &asked.rules.timeouts;
        let path = head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let (method, trace) = (head.method.clone(), head.extensions.get::<Context>().cloned());
        let outgoing = Outgoing { method, path, fields, body, trace };
        let overdue = activity.head_overdue(timeouts.first_byte_timeout, timeouts.idle_timeout);
        let sending = self.proxy.send(call, lane, departure, outgoing, overdue);
        sending.await.map_err(|error| match activity.request_broken() {
            Some(Broken::Cut) => ErrorKind::BodyBroken.error().because(error),
            Some(Broken::TooSlow) => ErrorKind::UploadTooSlow.error().because(error),
            None => error,
        })
    }

    /// A 401 is read whole, for it is remembered with its body.
    async fn relay_unauthorized(
        &self,
        answer: Response<Received>,
        gone: &Gone,
        method: &Method,
        asked: &Asked,
    ) -> Result<Response<Body>, ProxyError> {
        let proxy = &self.proxy;
        let (head, body) = answer.into_parts();
        let idle = asked.rules.timeouts.idle_timeout;
        let deadline = proxy.clock.now().plus(idle);
        let read = proxy
            .clock
            .deadline(deadline, whole::read(body, MAX_REFUSAL, &proxy.held))
            .await
            .map_err(|elapsed| ErrorKind::UpstreamTimeout.error().because(elapsed))?
            .map_err(whole::unread)?;
        Ok(match read {
            whole::Read::Whole(body) => {
                let answer = WholeAnswer::new(head, body);
                proxy.note_unauthorized(gone, answer.unauthorized());
                answer.response(method)
            }
            whole::Read::TooLarge(body) => {
                proxy.note_unauthorized(gone, Unauthorized::default());
                StreamedAnswer::new(head, body, &proxy.clock, idle)
                    .take()
                    .ok_or(ErrorKind::Internal.error())?
            }
        })
    }

    /// A 401 on any path speaks of the key, a 402 of the credential; a JSON 403 does on a label path alone, and one that
    /// is not JSON is the edge's and speaks of nobody.
    fn note_refusal(&self, head: &Parts, credential: Option<&Credential>, answer: &Response<Received>) {
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

    fn relay(
        answer: Response<Received>,
        activity: Activity,
        (permit, charge): (Option<Permit>, Charge),
        asked: &Asked,
    ) -> Response<Body> {
        let (head, body) = answer.into_parts();
        let idle = asked.rules.timeouts.idle_timeout;
        let mut response = Response::new(if body.is_end_stream() {
            Body::empty()
        } else {
            Body::stream(Holding::new(Download::new(body, activity, idle, permit), charge))
        });
        *response.status_mut() = head.status;
        *response.headers_mut() = fields::forwardable_response(head.headers);
        response
    }
}

/// A call that passes through, on its way.
#[derive(Clone, Copy)]
struct Passing<'a> {
    head: &'a Parts,
    call: &'a Call<'a>,
    lane: Lane<'a>,
    activity: &'a Activity,
    asked: &'a Asked,
}

/// What became of it: the head of its answer is here.
type Passed = (Gone, Response<Received>, Option<Permit>);

/// Who sends a call that passes through, as far as it is known.
pub(super) struct Caller {
    pub(super) credential: Option<Credential>,
    authorization: Option<AuthorizationDigest>,
    pub(super) organization: Option<OrganizationId>,
    route: RouteDigest,
}

impl Proxy {
    /// Who sends a request, as far as it is known.
    pub(super) fn caller(&self, head: &Parts) -> Caller {
        let credential = self.digester.credential(&head.headers);
        Caller {
            authorization: self.digester.authorization(&head.headers),
            organization: credential
                .as_ref()
                .and_then(|credential| self.bindings.organization(credential))
                .map(|organization| organization.id()),
            route: self.digester.route(&head.method, head.uri.path()),
            credential,
        }
    }
}

impl Caller {
    pub(super) fn who(&self) -> Who {
        Who::new(self.credential.as_ref().map(Credential::digest), self.authorization)
    }

    pub(super) const fn route(&self) -> RouteDigest {
        self.route
    }

    pub(super) fn call(&self, peer: IpAddr, patience: Duration) -> Call<'_> {
        Call {
            credential: self.credential.as_ref(),
            authorization: self.authorization,
            organization: self.organization,
            peer,
            route: self.route,
            class: Class::Interactive,
            patience,
            purpose: Purpose::PassThrough,
        }
    }

    pub(super) fn account(&self) -> AccountKey {
        AccountKey::of(self.organization, self.authorization)
    }
}
