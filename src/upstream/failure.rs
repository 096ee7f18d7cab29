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
use http::Method;

use crate::error::{ErrorKind, ProxyError};

/// A call without an answer.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: ProxyError,
    /// What became of the request.
    pub(super) fate: RequestFate,
}

/// What became of a request without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFate {
    /// The upstream certainly did not process it: it may go again, whatever it is.
    Unprocessed,
    /// The upstream may have processed it, which does nothing: it may go again.
    Harmless,
    /// The upstream may have processed it.
    Unknown,
}

/// How far a request came, as its connection tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not one byte of it was written.
    Unwritten,
    /// It was, on a connection that had served before, and not one byte of an answer came.
    Unanswered,
    /// It was written, and nothing more is known.
    Written,
}

impl Failure {
    /// Of a call on HTTP/1.1.
    pub(super) fn on_http1(error: hyper::Error, progress: Progress, method: &Method) -> Self {
        let (kind, fate) = match progress {
            Progress::Unwritten => (ErrorKind::NotTaken, RequestFate::Unprocessed),
            _ if error.is_parse_too_large() => (ErrorKind::BadAnswerHead, RequestFate::Unknown),
            Progress::Unanswered if method.is_safe() && !error.is_parse() => {
                (ErrorKind::BadUpstreamAnswer, RequestFate::Harmless)
            }
            Progress::Unanswered | Progress::Written => (ErrorKind::BadUpstreamAnswer, RequestFate::Unknown),
        };
        Self { error: kind.error().because(error), fate }
    }

    /// Of a call on HTTP/2.
    pub(super) fn on_http2(error: hyper::Error, progress: Progress, method: &Method) -> Self {
        let cause = of_h2(&error);
        // Closed, or found dead by PING, before the head of an answer.
        let is_lost = || error.is_timeout() || cause.is_none_or(h2::Error::is_io);
        let fate = match progress {
            Progress::Unwritten => RequestFate::Unprocessed,
            _ if cause.is_some_and(is_refusal) => RequestFate::Unprocessed,
            Progress::Unanswered if method.is_safe() && is_lost() => RequestFate::Harmless,
            Progress::Unanswered | Progress::Written => RequestFate::Unknown,
        };
        let kind = match cause {
            _ if fate == RequestFate::Unprocessed => ErrorKind::NotTaken,
            // What h2 itself ends a stream for before there is an answer: a head that is too large or malformed.
            Some(cause) if cause.is_library() => ErrorKind::BadAnswerHead,
            _ => ErrorKind::BadUpstreamAnswer,
        };
        Self { error: kind.error().because(error), fate }
    }
}

impl From<ProxyError> for Failure {
    fn from(error: ProxyError) -> Self {
        Self { error, fate: RequestFate::Unknown }
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
