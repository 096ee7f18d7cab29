//! [`Failure`]: what became of a call that got no answer: what the client is told, what the breaker makes of it, and
//! whether the upstream can have processed it.
//!
//! A request is sent again on another connection, at no cost to the budget of retries, where it is certain that it was not
//! processed: not one byte of it was written, or the peer says so with a `REFUSED_STREAM`, or with a `GOAWAY` whose last
//! stream is below its own (RFC 9113 §6.8, §8.7). On a connection that had served before, a read is sent again, too, if the
//! peer closed it without a byte of an answer: the peer was closing it when the request came (RFC 9112 §9.5), and a read
//! that was processed all the same has done nothing.

use std::error::Error;

use h2::Reason;

use super::outgoing::Outgoing;
use crate::error::{ErrorKind, ProxyError};

/// A call without an answer.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: ProxyError,
    /// The request once more, where it may go again at once.
    pub(super) again: Option<Outgoing>,
    /// Whether it certainly was not processed.
    pub(super) unprocessed: bool,
}

impl Failure {
    /// Of a call on HTTP/1.1. `stale` says that the connection had served before and gave no byte of an answer.
    pub(super) fn on_http1(
        error: hyper::Error,
        unwritten: bool,
        stale: bool,
        again: Option<Outgoing>,
    ) -> Self {
        let is_read = again.as_ref().is_some_and(|again| again.method.is_safe());
        let may_go = unwritten || (stale && is_read && !error.is_parse());
        let kind = match () {
            () if unwritten => ErrorKind::NotTaken,
            () if error.is_parse_too_large() => ErrorKind::BadAnswerHead,
            () => ErrorKind::BadUpstreamAnswer,
        };
        Self { error: kind.error().because(error), again: again.filter(|_| may_go), unprocessed: unwritten }
    }

    /// Of a call on HTTP/2. `unwritten` says that hyper gave the request back.
    pub(super) fn on_http2(
        error: hyper::Error,
        unwritten: bool,
        reused: bool,
        again: Option<Outgoing>,
    ) -> Self {
        let cause = of_h2(&error);
        let refused = cause.is_some_and(is_refusal);
        let unprocessed = unwritten || refused;
        let is_read = again.as_ref().is_some_and(|again| again.method.is_safe());
        // Closed, or found dead by PING, before the head of an answer.
        let lost = reused && is_read && (error.is_timeout() || cause.is_none_or(h2::Error::is_io));
        let kind = match cause {
            _ if unprocessed => ErrorKind::NotTaken,
            // What h2 itself ends a stream for before there is an answer: a head that is too large or malformed.
            Some(cause) if cause.is_library() => ErrorKind::BadAnswerHead,
            _ => ErrorKind::BadUpstreamAnswer,
        };
        Self { error: kind.error().because(error), again: again.filter(|_| unprocessed || lost), unprocessed }
    }
}

impl From<ProxyError> for Failure {
    fn from(error: ProxyError) -> Self {
        Self { error, again: None, unprocessed: false }
    }
}

/// What h2 says of a failure, if it says anything.
pub(super) fn of_h2<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a h2::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        cause = error.source();
    }
    None
}

/// Whether the peer says that it did not process the stream. Streams that a GOAWAY with an error names as processed end
/// with that same error, so that only `NO_ERROR`, behind which they go on, tells the others from them.
fn is_refusal(error: &h2::Error) -> bool {
    let goes_away = error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
    let refuses = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    error.is_remote() && (goes_away || refuses)
}
