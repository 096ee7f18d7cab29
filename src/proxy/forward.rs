//! Pass-through: streamed both ways, unchanged in meaning; what the answer says of the key is noted before it is sent on.

use std::time::Duration;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::Body as _;

use super::answer::Answer;
use super::exchange::Asked;
use super::posted::{Framing, Posted};
use super::{Proxy, Worker};
use crate::body::Body;
use crate::caller::credential::Credential;
use crate::callers::Payer;
use crate::classify;
use crate::error::{ErrorKind, ProxyError};
use crate::held::{self, Charge, Full};
use crate::organization::OrganizationId;
use crate::origin::whole::{self, Holding, WholeAnswer};
use crate::origin::{Answered, Call, Lane, NotAdmitted, Retries};
use crate::outcome::{CacheStatus, Outcome};
use crate::purpose::Purpose;
use crate::received::Received;
use crate::semantics::fields;
use crate::shield::budget::Class;
use crate::shield::refusals::Unauthorized;
use crate::telemetry::Context;
use crate::upstream::activity::{Activity, Broken};
use crate::upstream::connections::UpstreamClient;
use crate::upstream::outgoing::Outgoing;
use crate::upstream::permits::Permit;
use crate::upstream::transfer::Download;

/// Largest 401 that is read whole.
const MAX_REFUSAL: usize = 4096;

impl Worker {
    /// Sends a request on and its answer back. Dropping the future, when the client leaves, gives the call up.
    pub(super) async fn forward(
        &self,
        mut head: Parts,
        mut body: Posted,
        cache_status: CacheStatus,
        asked: &Asked,
    ) -> Result<Answer, ProxyError> {
        let (proxy, origin) = (&self.proxy, &self.proxy.origin);
        let fields = std::mem::take(&mut head.headers);
        let client = self.pass_through_client();
        let payer = asked.ledger.payer();
        let call = proxy.passed_on(&head, asked, &client, &payer);
        // In boxes, here and below, what few calls need: every one would keep the room for it.
        if !body.is_read()
            && let Some(refusal) = Box::pin(proxy.read_before_a_place(&call, &mut body)).await?
        {
            return Ok(Answer::remembered(&refusal, &head.method));
        }
        asked.ledger.note_organization(call.organization);
        let upload = body.length();
        let holds = held::DOWNLOAD + upload.map_or(held::UPLOAD, |length| length.min(held::UPLOAD));
        proxy.held.check(holds).map_err(Full::before_sending)?;
        let retries = match (&head.method, body.is_absent()) {
            // It may be a write behind the API's front.
            _ if classify::overrides_method(head.uri.query().unwrap_or_default()) => Retries::Never,
            (&Method::GET, true) => Retries::Once,
            _ => Retries::Counted,
        };
        let call = Call { asked_at: proxy.clock.now(), retries, ..call };
        let turn = match origin.admit(&call, || {}).await {
            Ok(turn) => turn,
            Err(NotAdmitted::Remembered(answer)) => return Ok(Answer::remembered(&answer, &head.method)),
            Err(NotAdmitted::Rejected(error) | NotAdmitted::Unconnected(error)) => return Err(error),
        };
        let charge = match proxy.held.take(holds) {
            Ok(charge) => charge,
            Err(full) => {
                origin.call_off(turn);
                return Err(full.before_sending());
            }
        };
        let activity = Activity::begin(proxy.clock.clone());
        let framing = body.framing(&fields);
        let request = self.request(&head, fields, framing, body.upload(activity.clone()), asked);
        let timeouts = &asked.rules.timeouts;
        let overdue = || activity.head_overdue(timeouts.first_byte_timeout, timeouts.idle_timeout);
        let sent = origin.send(&call, turn, request, overdue).await;
        let Answered { response, sent, permit, .. } =
            sent.map_err(|error| match activity.request_broken() {
                Some(Broken::Cut) => ErrorKind::BodyBroken.error().because(error),
                Some(Broken::TooSlow) => ErrorKind::UploadTooSlow.error().because(error),
                None => error,
            })?;
        if let (Some(credential), None, true) =
            (call.credential(), call.organization, response.status().is_success())
        {
            proxy.fetcher.introduce(credential, asked.peer, &asked.rules, payer.behind());
        }
        let response = if response.status() == StatusCode::UNAUTHORIZED {
            let relaying = Box::pin(self.relay_unauthorized(response, &head.method, permit, asked));
            let (unauthorized, relayed) = relaying.await?;
            origin.remember(&sent, unauthorized);
            relayed
        } else {
            relay(response, activity, permit, charge, asked)
        };
        let is_label_read = matches!(cache_status, CacheStatus::Uncached(_));
        let outcome = if is_label_read { Outcome::Bypass } else { Outcome::Forwarded };
        Ok(Answer { response, outcome, cache_status: Some(cache_status) })
    }

    /// Makes the request that is passed on, each time that it is sent: a body that is a stream goes once.
    fn request(
        &self,
        head: &Parts,
        fields: HeaderMap,
        framing: Framing,
        body: Body,
        asked: &Asked,
    ) -> impl FnMut() -> Option<Outgoing> {
        let via = self.proxy.origin.upstream().via_of(head.version);
        let mut fields = fields::pass_on(fields, via);
        asked.id.present(&mut fields);
        // What a client says of itself to this proxy is nobody else's.
        if let Some(caller) = asked.rules.caller_field() {
            fields.remove(caller);
        }
        framing.announce(&mut fields);
        let (path, mut body) = (head.uri.path_and_query(), Some(body));
        move || {
            Some(Outgoing {
                method: head.method.clone(),
                path: path.cloned().unwrap_or(PathAndQuery::from_static("/")),
                fields: fields.clone(),
                body: Body::next(&mut body)?,
                trace: head.extensions.get::<Context>().cloned(),
            })
        }
    }

    /// A 401 is read whole, for it is remembered with its body.
    async fn relay_unauthorized(
        &self,
        answer: Response<Received>,
        method: &Method,
        permit: Option<Permit>,
        asked: &Asked,
    ) -> Result<(Unauthorized, Response<Body>), ProxyError> {
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
                (answer.unauthorized(), answer.response(method))
            }
            whole::Read::TooLarge(body) => {
                (Unauthorized::default(), whole::streamed(head, body, &proxy.clock, idle, permit))
            }
        })
    }
}

impl Proxy {
    /// The call with which a request is passed on.
    fn passed_on<'a>(
        &self,
        head: &'a Parts,
        asked: &'a Asked,
        client: &'a UpstreamClient,
        payer: &'a Payer,
    ) -> Call<'a> {
        let caller = asked.caller.as_ref();
        Call {
            caller,
            organization: caller.credential().and_then(|credential| self.organization_of(credential)),
            peer: asked.peer,
            route: self.digester.route(&head.method, head.uri.path()),
            // A POST that changes nothing passes through, and its path is a label path nevertheless.
            resource: asked.resource,
            class: Class::Interactive,
            asked_at: asked.arrived_at,
            max_wait: asked.max_wait,
            store_waited: Duration::ZERO,
            purpose: Purpose::PassThrough,
            lane: Lane::PassThrough(client),
            retries: Retries::Counted,
            payer,
            trace: head.extensions.get(),
        }
    }

    pub(super) fn organization_of(&self, credential: &Credential) -> Option<OrganizationId> {
        self.bindings.organization(credential).map(|organization| organization.id())
    }
}

fn relay(
    answer: Response<Received>,
    activity: Activity,
    permit: Option<Permit>,
    charge: Charge,
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
