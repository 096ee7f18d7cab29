//! A call that has its turn: sent, sent again where that is safe, and noted before anybody sees its answer.

use std::future::Future;
use std::pin::{Pin, pin};

use http::{Method, Response, StatusCode};

use super::Origin;
use super::admit::{Admitted, Places, Turn};
use super::call::{Call, Retries};
use super::status::{Meaning, Path};
use crate::caller::credential::{CredentialDigest, RouteDigest};
use crate::caller::identity::Caller;
use crate::callers::Payer;
use crate::callers::figures::Figure;
use crate::clock::Moment;
use crate::error::{ErrorKind, ProxyError};
use crate::metrics::RetryResult;
use crate::race::{First, race};
use crate::received::Received;
use crate::shield::refusals::Unauthorized;
use crate::shield::retry::may_retry;
use crate::shield::retry_after;
use crate::upstream::calls::{RequestFate, Unanswered};
use crate::upstream::outgoing::Outgoing;
use crate::upstream::permits::Permit;

/// How often a call is sent again that the upstream certainly did not process. More than once, since a connection that goes
/// away takes all with it that was put on it, and its successor may be as short-lived.
const RESENDS: usize = 4;

/// An answer whose head is here, and noted.
#[derive(Debug)]
pub struct Answered {
    /// The answer; its body is still to come.
    pub response: Response<Received>,
    /// What its head says.
    pub meaning: Meaning,
    /// The call that it answers.
    pub sent: Sent,
    /// Held for its connection, where those are counted.
    pub permit: Option<Permit>,
}

/// A call that was sent: a 401 still waits for its body, to be [remembered](Origin::remember) with it.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub(super) credential: Option<CredentialDigest>,
    pub(super) route: RouteDigest,
    pub(super) at: Moment,
}

impl Sent {
    /// When it was let go, the last time if it was sent more than once.
    #[must_use]
    pub const fn at(&self) -> Moment {
        self.at
    }
}

impl Origin {
    /// Sends a call that has its turn. A read that failed on the way is tried once more, within a tenth of what was offered.
    /// What the head of the answer says of the limit, of the caller and of the key is noted when this returns.
    ///
    /// `request` makes the request, as often as it is sent; nothing where it cannot be made a second time. `give_up` makes
    /// what each try waits for at most.
    ///
    /// # Errors
    ///
    /// What went wrong on the way; [`ErrorKind::UpstreamTimeout`] where it was given up.
    pub async fn send<R, G>(
        &self,
        call: &Call<'_>,
        turn: Turn,
        mut request: R,
        give_up: impl Fn() -> G,
    ) -> Result<Answered, ProxyError>
    where
        R: FnMut() -> Option<Outgoing>,
        G: Future<Output = ()>,
    {
        if call.retries != Retries::Never {
            self.shield.retries.on_offered(self.clock.now());
        }
        let first = match turn.0 {
            Ok(admitted) => self.send_once(call, admitted, &mut request, pin!(give_up())).await,
            Err(error) => Err(error),
        };
        let ended = match &first {
            Ok(answered) => Ok(answered.response.status()),
            Err(error) => Err(error.kind()),
        };
        let answered = if call.retries == Retries::Once && may_retry(&Method::GET, ended) {
            // In a box that is made when it is needed: few calls are tried again, and every one would keep the room for it.
            Box::pin(self.send_again(call, first, &mut request, give_up)).await?
        } else {
            first?
        };
        self.note_refusal(call, answered.meaning);
        Ok(answered)
    }

    /// A second try, if there is one to be had; what the first came to otherwise.
    async fn send_again<G: Future<Output = ()>>(
        &self,
        call: &Call<'_>,
        first: Result<Answered, ProxyError>,
        request: &mut impl FnMut() -> Option<Outgoing>,
        give_up: impl Fn() -> G,
    ) -> Result<Answered, ProxyError> {
        let Some(admitted) = self.second_turn(call).await else { return first };
        let second = self.send_once(call, admitted, request, pin!(give_up())).await;
        self.note_second(second.as_ref().map(|answered| answered.response.status()).ok());
        second
    }

    /// Sends a call, and once more on another connection, if need be more than once, while it is certain that the upstream
    /// did not process it; a read also if its connection had been closed under it.
    async fn send_once<G: Future<Output = ()>>(
        &self,
        call: &Call<'_>,
        admitted: Admitted,
        request: &mut impl FnMut() -> Option<Outgoing>,
        mut give_up: Pin<&mut G>,
    ) -> Result<Answered, ProxyError> {
        let Admitted { mut places, mut ready } = admitted;
        let mut outgoing = Box::new(request().ok_or(ErrorKind::Internal.error())?);
        for left in (0..=RESENDS).rev() {
            // Awaited where it is made: a future that is bound to a name first takes its room twice.
            let called = Called { origin: self, payer: call.payer, begun: places.at };
            let sent = self.upstream.send(ready, outgoing, call.purpose, give_up.as_mut()).await;
            drop(called);
            let Unanswered { error, fate } = match sent {
                Ok(response) => return Ok(self.note_head(call, *places, response)),
                Err(unanswered) => unanswered,
            };
            let may_go_again = match fate {
                RequestFate::Unprocessed => true,
                // What looks like a read may be a write by its query, and then it is not harmless.
                RequestFate::Harmless => call.retries != Retries::Never,
                RequestFate::Unknown => false,
            };
            if !may_go_again || left == 0 {
                return Err(error);
            }
            let Some(again) = request() else { return Err(error) };
            tracing::debug!(error = %error.kind(), cause = error.causes(), "sent again on another connection");
            let turn = Box::pin(self.turn_again(call, *places, fate, give_up.as_mut())).await?;
            let Some(admitted) = turn else { return Err(error) };
            Admitted { places, ready } = admitted;
            outgoing = Box::new(again);
        }
        Err(ErrorKind::Internal.error())
    }

    /// Another turn for a call that goes again; nothing if there is none to be had.
    async fn turn_again<G: Future<Output = ()>>(
        &self,
        call: &Call<'_>,
        places: Places,
        fate: RequestFate,
        give_up: Pin<&mut G>,
    ) -> Result<Option<Admitted>, ProxyError> {
        // What the upstream did not process is not counted there: the slot is for the moment at which it goes again.
        // Whatever else the call held, the hold's probe and an unverified caller's place above all, it would wait for itself.
        let Places { pass, admission, permit, .. } = places;
        match fate {
            RequestFate::Unprocessed => self.shield.budget.give_back(admission),
            RequestFate::Harmless | RequestFate::Unknown => drop(admission),
        }
        drop((pass, permit));
        match race(pin!(self.admitted(call, || {})), give_up).await {
            First::One(admitted) => Ok(admitted.ok()),
            First::Other(()) => Err(ErrorKind::UpstreamTimeout.error()),
        }
    }

    /// Notes the head of an answer: its caller is verified by it, and the upstream limits its organization or does not.
    fn note_head(&self, call: &Call<'_>, places: Places, response: Response<Received>) -> Answered {
        let Places { accounts, at, pass, admission, permit } = places;
        let status = response.status();
        let meaning = Meaning::of(status, response.headers(), call.path());
        note_status(call, status);
        let sent = Sent { credential: call.digest(), route: call.route, at };
        match meaning {
            // The edge's word, not the API's: it has never seen the caller.
            Meaning::EdgeBlock => drop(pass),
            _ => pass.answered(status),
        }
        if meaning == Meaning::Limited {
            let now = self.clock.now();
            let wait = retry_after::of(response.headers(), now.unix());
            self.shield.budget.limited(&admission, now);
            self.shield.limited(accounts, at, wait, now);
        } else {
            self.shield.not_limited(accounts, at);
            if let Some(probe) = admission.probe {
                probe.passed();
            }
        }
        if meaning != Meaning::KeyRefused
            && let Some(credential) = sent.credential
        {
            self.shield.refusals.on_other_answer(credential, call.route);
        }
        Answered { response, meaning, sent, permit }
    }

    /// Ends what a refusal ends: it has ended when this returns.
    fn note_refusal(&self, call: &Call<'_>, meaning: Meaning) {
        let Some(refusal) = meaning.refusal(call.route, call.path()) else { return };
        let arrived = self.sequence.advance();
        match call.caller {
            Caller::Credential(credential) => {
                let (refusal, ended) = self.bindings.refuse(credential, refusal, arrived, self.clock.now());
                if let Some(fleet) = &self.fleet {
                    fleet.note_refusal(credential, refusal, ended);
                }
            }
            Caller::Authorization(authorization) if meaning == Meaning::KeyRefused => {
                let ended = self.bindings.refuse_authorization(authorization, arrived);
                if let Some(fleet) = &self.fleet {
                    fleet.note_refused_authorization(authorization, ended);
                }
            }
            Caller::Authorization(_) | Caller::Anonymous => {}
        }
    }

    /// Remembers a 401 with the vendor's own body.
    pub fn remember(&self, sent: &Sent, answer: Unauthorized) {
        if let Some(credential) = sent.credential {
            self.shield.refusals.on_unauthorized(credential, sent.route, sent.at, answer, self.clock.now());
        }
    }

    /// Counts what became of a second try: the status of its answer, if there was one.
    fn note_second(&self, status: Option<StatusCode>) {
        let answered = status.is_some_and(|status| !status.is_server_error());
        self.metrics.retry(if answered { RetryResult::Answered } else { RetryResult::Failed });
    }
}

/// A call under way, which counts when it ends, be it that nobody waits for it any more.
struct Called<'a> {
    origin: &'a Origin,
    payer: &'a Payer,
    begun: Moment,
}

impl Drop for Called<'_> {
    fn drop(&mut self) {
        self.payer.called(self.origin.clock.now().since(self.begun));
    }
}

/// Counts what the API says of a caller's calls.
fn note_status(call: &Call<'_>, status: StatusCode) {
    let figure = match status.as_u16() {
        401 => Figure::Unauthorized,
        402 => Figure::PaymentRequired,
        403 => Figure::Forbidden,
        429 => Figure::Limited,
        _ => return,
    };
    call.payer.count(figure, 1);
}

impl Call<'_> {
    /// Where it goes.
    const fn path(&self) -> Path {
        match self.resource {
            Some(resource) => Path::Of(resource),
            None => Path::Other,
        }
    }
}
