//! The way out: [`Upstream::ready`] has a connection for a call, [`Upstream::send`] writes it and waits for the head of its
//! answer. Between the two a call takes its turn, so that the limit is kept where it counts: where a call is written.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::{Extensions, Method, Response, StatusCode};
use hyper::body::Incoming;

use super::client::Upstream;
use super::connections::{Carrier, UpstreamClient};
use super::failure::Failure;
pub use super::failure::RequestFate;
use super::http1::Http1;
use super::lease::Lease;
use super::outgoing::{Outgoing, Owner};
use super::pool::Checkout;
use super::stream::Link;
use crate::clock::Moment;
use crate::error::{ErrorKind, ProxyError};
use crate::purpose::{Purpose, UpstreamStatus};
use crate::race::{First, race};
use crate::reason::RejectionReason;
use crate::received::Received;
use crate::semantics::framing;
use crate::shield::breaker::{Probe, Verdict};
use crate::telemetry::Span;

/// A connection in hand, for one call. Dropped without a call, it goes back to where it came from.
#[derive(Debug)]
pub struct Ready {
    carrier: Carrier,
    /// Whether the breaker has let it pass.
    passed: bool,
    /// Held until the answer is here, where the call is to find out whether the upstream is back.
    probe: Option<Probe>,
}

/// A call without an answer.
#[derive(Debug)]
pub struct Unanswered {
    /// What the client is told.
    pub error: ProxyError,
    /// What became of the request.
    pub fate: RequestFate,
}

/// Travels with an answer: tells its connection that no call is put on it any more.
#[derive(Clone, Debug)]
struct Origin(Arc<Link>);

/// Keeps the connection on which an answer with these extensions came from being used again: what came may have been the
/// answer to another request, and what comes next would be, too.
pub fn distrust_connection(extensions: &Extensions) {
    if let Some(Origin(link)) = extensions.get() {
        link.retire();
    }
}

impl Upstream {
    /// A connection that is open, for a call that could go at once; `None` if one has to be opened. The call has to
    /// [pass](Self::pass) when it goes: one that still waits must not be what everybody else waits for.
    #[must_use]
    pub fn ready_now(&self, client: &UpstreamClient, owner: Owner) -> Option<Ready> {
        Some(Ready { carrier: client.0.take(owner)?, passed: false, probe: None })
    }

    /// Asks the breaker for a call that goes now.
    ///
    /// # Errors
    ///
    /// When to come again, while the upstream cannot be reached.
    pub fn pass(&self, ready: &mut Ready) -> Result<(), Duration> {
        if !ready.passed {
            ready.probe = self.probe()?;
            ready.passed = true;
        }
        Ok(())
    }

    /// A connection for a call of this owner: one that is open, or a new one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unreachable`] while the breaker is open; else what went wrong with connecting.
    pub async fn ready(
        &self,
        client: &UpstreamClient,
        owner: Owner,
        purpose: Purpose,
    ) -> Result<Ready, ProxyError> {
        let (probe, begun) = (self.pass_breaker()?, self.clock.now());
        match client.0.connect(owner).await {
            Ok(carrier) => Ok(Ready { carrier, passed: true, probe }),
            Err(error) => {
                self.note_failure_of(purpose, &error, None);
                self.metrics.upstream(purpose, error.kind().upstream_status(), self.clock.now().since(begun));
                Err(error)
            }
        }
    }

    fn pass_breaker(&self) -> Result<Option<Probe>, ProxyError> {
        self.probe().map_err(|retry_after| {
            self.metrics.shield_rejection(RejectionReason::Breaker);
            ErrorKind::Unreachable.error().retry_after(retry_after)
        })
    }

    fn probe(&self) -> Result<Option<Probe>, Duration> {
        match self.breaker.admit(self.clock.now()) {
            Verdict::Go => Ok(None),
            Verdict::Probe(probe) => Ok(Some(probe)),
            Verdict::Refuse { retry_after } => Err(retry_after),
        }
    }

    /// Writes a request, which is in a box because it is handed on several times; returns when the head of the answer is there,
    /// or `give_up` is.
    ///
    /// # Errors
    ///
    /// What went wrong with time or HTTP, and whether the request may go again.
    pub async fn send(
        &self,
        ready: Ready,
        mut outgoing: Box<Outgoing>,
        purpose: Purpose,
        give_up: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Response<Received>, Unanswered> {
        let Ready { carrier, probe: _probe, .. } = ready;
        // By value, here and below: what is borrowed once is kept until the answer is here.
        let mut span = self.traced(&mut outgoing, purpose);
        let mut call =
            Call { upstream: self, purpose, sent: self.clock.now(), status: UpstreamStatus::Error };
        let (carrier, link) = carrier.linked();
        let outcome = match race(pin!(self.exchange(carrier, outgoing, purpose)), give_up).await {
            First::One(answer) => answer,
            First::Other(()) => {
                // Whether the answer still comes is unknown: nobody else's may be taken for it.
                if let Some(link) = &link {
                    link.retire();
                }
                Err(ErrorKind::UpstreamTimeout.error().into())
            }
        };
        call.status = match &outcome {
            Ok(answer) => UpstreamStatus::of(answer.status()),
            Err(failure) => failure.error.kind().upstream_status(),
        };
        match &outcome {
            Ok(_) => self.note_success(),
            Err(failure) => self.note_failure_of(purpose, &failure.error, link.map(|link| link.number)),
        }
        match (&mut span, &outcome) {
            (Some(span), Ok(answer)) => span.answered(answer.status().as_u16()),
            (Some(span), Err(failure)) => span.failed(failure.error.kind().as_str()),
            (None, _) => {}
        }
        outcome.map_err(|Failure { error, fate }| Unanswered { error, fate })
    }

    /// Sends on this connection. What is left of an answer that is refused here would be read, and the connection used
    /// again: it is closed, or retired, before.
    async fn exchange(
        &self,
        carrier: Carrier,
        outgoing: Box<Outgoing>,
        purpose: Purpose,
    ) -> Result<Response<Received>, Failure> {
        let method = outgoing.method.clone();
        match carrier {
            Carrier::Shared(mut connection) => {
                let answer = connection.send(outgoing, &self.scheme, &self.authority).await?;
                let mut answer = Received::answer(answer, &method);
                check_head(&answer).inspect_err(|_| connection.link.retire())?;
                answer.extensions_mut().insert(Origin(connection.link));
                Ok(answer)
            }
            Carrier::Own(held) => {
                let Some((mut connection, checkout)) = held.take() else {
                    return Err(ErrorKind::Internal.error().into());
                };
                let answer = connection.send(outgoing, &self.host).await;
                let mut answer = self.leased(answer, connection, checkout, &method, purpose)?;
                // Where it is streamed, what came behind it went with its connection.
                let ended = answer.body_mut().end_if_empty().await;
                if let Err(excess) = ended
                    && purpose != Purpose::PassThrough
                {
                    return Err(ErrorKind::BadUpstreamAnswer.error().because(excess).into());
                }
                Ok(answer)
            }
        }
    }

    /// The head of an answer whose body holds its HTTP/1.1 connection.
    fn leased(
        &self,
        answer: Result<Response<Incoming>, Failure>,
        connection: Http1,
        checkout: Checkout,
        method: &Method,
        purpose: Purpose,
    ) -> Result<Response<Received>, Failure> {
        let answer = answer.inspect_err(|failure| {
            if failure.fate != RequestFate::Unknown {
                checkout.distrust_others();
            }
        })?;
        let mut answer = Received::answer(answer, method);
        check_head(&answer)?;
        // What passes through is not looked into, so that nobody distrusts what it came on.
        let origin = (purpose != Purpose::PassThrough).then(|| Origin(Arc::clone(&connection.link)));
        let lease = Lease::new(connection, checkout, self.clock.clone(), Arc::clone(&self.metrics));
        answer.body_mut().end_before(Box::new(lease));
        if let Some(origin) = origin {
            answer.extensions_mut().insert(origin);
        }
        Ok(answer)
    }

    /// The span of a call that says what it is a part of: the upstream is told of it.
    fn traced(&self, outgoing: &mut Outgoing, purpose: Purpose) -> Option<Span> {
        let (Some(tracing), Some(parent)) = (&self.tracing, &outgoing.trace) else { return None };
        let span = tracing.call(purpose.as_str(), &outgoing.method, parent);
        span.context().present(&mut outgoing.fields);
        Some(span)
    }
}

impl Carrier {
    /// The same, and how its connection is told that no call is put on it any more.
    fn linked(self) -> (Self, Option<Arc<Link>>) {
        let link = match &self {
            Self::Shared(connection) => Some(Arc::clone(&connection.link)),
            Self::Own(held) => held.link(),
        };
        (self, link)
    }
}

/// A call under way; counted when it is dropped, for a client may leave before the head of its answer.
struct Call<'a> {
    upstream: &'a Upstream,
    purpose: Purpose,
    sent: Moment,
    status: UpstreamStatus,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let Self { upstream, purpose, sent, status } = self;
        upstream.metrics.upstream(*purpose, *status, upstream.clock.now().since(*sent));
    }
}

/// Whether a request that failed so cannot have had an effect.
#[must_use]
pub const fn was_never_sent(kind: ErrorKind) -> bool {
    kind.was_never_sent()
}

fn check_head(answer: &Response<Received>) -> Result<(), ProxyError> {
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(ErrorKind::UnaskedUpgrade.error());
    }
    if let Some(cause) = framing::ambiguity(answer.headers()) {
        return Err(ErrorKind::BadUpstreamAnswer.error().because(cause));
    }
    Ok(())
}
