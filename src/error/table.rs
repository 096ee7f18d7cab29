//! The table of [`ErrorKind`]s: what the client sees of each, and what it says of the call that failed.
//!
//! Whoever decides by kind asks a method here, so that one row says all that a kind means.

use http::StatusCode;

use super::kind::ErrorKind;
use crate::outcome::StaleReason;
use crate::purpose::UpstreamStatus;

/// Which failures of a kind speak of the way to the upstream, so that the breaker counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// All.
    Always,
    /// Those of reads: a call that passes through may wait for one slow endpoint, and a write too.
    OfReads,
    /// Those of a connection that went silent.
    OfSilence,
    /// None.
    Never,
}

/// What a failure says of the call.
struct Call {
    never_sent: bool,
    tried_again: bool,
    counts: Counts,
    stale: Option<StaleReason>,
    ended: UpstreamStatus,
}

/// The request may have had an effect, is not tried again, and nothing stands in for its answer.
const NOTHING: Call = Call {
    never_sent: false,
    tried_again: false,
    counts: Counts::Never,
    stale: None,
    ended: UpstreamStatus::Error,
};

impl Call {
    const fn never_sent(self) -> Self {
        Self { never_sent: true, ..self }
    }

    const fn tried_again(self) -> Self {
        Self { tried_again: true, ..self }
    }

    const fn counts(self, counts: Counts) -> Self {
        Self { counts, ..self }
    }

    const fn stale(self, reason: StaleReason) -> Self {
        Self { stale: Some(reason), ..self }
    }

    const fn timed_out(self) -> Self {
        Self { ended: UpstreamStatus::Timeout, ..self }
    }
}

/// A kind, its status, the error type of `Proxy-Status` (RFC 9209 §2.3), what it says of the call, and its sentence.
struct Row(ErrorKind, u16, &'static str, Call, &'static str);

const REQUEST: &str = "http_request_error";
const DENIED: &str = "http_request_denied";

/// In the order of [`ErrorKind::ALL`], which is held while it is compiled.
#[rustfmt::skip]
const TABLE: &[Row; ErrorKind::ALL.len()] = &[
    Row(ErrorKind::BadHost, 400, REQUEST, NOTHING,
        "Host is missing or malformed: send one host name or address with an optional port."),
    Row(ErrorKind::RepeatedHost, 400, REQUEST, NOTHING,
        "Host was sent more than once: send it once."),
    Row(ErrorKind::BadAuthorization, 400, REQUEST, NOTHING,
        "Authorization was sent more than once or holds control bytes: send one value."),
    Row(ErrorKind::BadFieldValue, 400, REQUEST, NOTHING,
        "A field value begins or ends with white space: send it without."),
    Row(ErrorKind::BadContentLength, 400, REQUEST, NOTHING,
        "Content-Length must be one decimal number without leading zeros."),
    Row(ErrorKind::BadTransferEncoding, 400, REQUEST, NOTHING,
        "Transfer-Encoding must be one chunked, in HTTP/1.1."),
    Row(ErrorKind::BadConnection, 400, REQUEST, NOTHING,
        "Connection names a field that must reach the API: remove the name."),
    Row(ErrorKind::MethodOverride, 400, REQUEST, NOTHING,
        "Fields that override the method are not accepted: send the method itself."),
    Row(ErrorKind::LookAlikeField, 400, REQUEST, NOTHING,
        "A field name with an underscore imitates a framing, authorization or host field."),
    Row(ErrorKind::PathSpelling, 400, REQUEST, NOTHING,
        "This is another spelling of a lead-label path: send /api/v2/lead-labels or /api/v2/lead-labels/{id}."),
    Row(ErrorKind::BadTarget, 400, REQUEST, NOTHING,
        "The request target must be an absolute path with an optional query."),
    Row(ErrorKind::BadTe, 400, REQUEST, NOTHING,
        "TE may only say trailers on HTTP/2."),
    Row(ErrorKind::BodyIncomplete, 400, REQUEST, NOTHING,
        "The request body ended early or did not arrive in time; nothing was sent to the API."),
    Row(ErrorKind::BodyBroken, 400, REQUEST, NOTHING,
        "The request body ended early or is malformed; a part of it was sent to the API."),
    Row(ErrorKind::UploadTooSlow, 408, REQUEST, NOTHING,
        "The request body came too slowly: send it faster, or in smaller parts."),
    Row(ErrorKind::CallerDenied, 403, DENIED, NOTHING,
        "The operator of this proxy does not let this caller send such a request; nothing was sent to the API."),
    Row(ErrorKind::MethodNotAllowed, 405, DENIED, NOTHING,
        "This method is not passed on: use one of those in Allow."),
    Row(ErrorKind::BodyTooLarge, 413, DENIED, NOTHING,
        "The body of a lead-label write may have 1 MiB at most; nothing was sent to the API."),
    Row(ErrorKind::TargetTooLong, 414, DENIED, NOTHING,
        "The request target may have 8 KiB at most."),
    Row(ErrorKind::ExpectationFailed, 417, DENIED, NOTHING,
        "Expect may only say 100-continue."),
    Row(ErrorKind::Misdirected, 421, DENIED, NOTHING,
        "The target's authority is not the one in Host."),
    Row(ErrorKind::FieldsTooLarge, 431, DENIED, NOTHING,
        "A request may have 100 fields in 32 KiB at most."),
    Row(ErrorKind::Loop, 508, "proxy_loop_detected", NOTHING,
        "This request has passed through this proxy before: its upstream leads back to it."),
    Row(ErrorKind::OnlyIfCached, 504, "proxy_internal_response", NOTHING,
        "The client asked for a stored response alone, and there is none that it may have."),
    Row(ErrorKind::ConnectFailed, 502, "destination_unavailable",
        NOTHING.never_sent().tried_again().counts(Counts::Always).stale(StaleReason::Error),
        "The API could not be connected to: try again."),
    Row(ErrorKind::EgressFailed, 502, "destination_unavailable",
        NOTHING.never_sent().tried_again().counts(Counts::Always).stale(StaleReason::Error),
        "The forward proxy on the way to the API refused or could not be reached: see the proxy's log."),
    Row(ErrorKind::ConnectTimeout, 504, "connection_timeout",
        NOTHING.never_sent().tried_again().counts(Counts::Always).stale(StaleReason::Error).timed_out(),
        "The API did not accept a connection in time: try again."),
    Row(ErrorKind::TlsFailed, 502, "tls_protocol_error",
        NOTHING.never_sent().counts(Counts::Always).stale(StaleReason::Error),
        "No TLS connection to the API could be made: see the proxy's log."),
    Row(ErrorKind::UntrustedCertificate, 502, "tls_certificate_error",
        NOTHING.never_sent().counts(Counts::Always).stale(StaleReason::Error),
        "The API's certificate cannot be trusted: see the proxy's log."),
    Row(ErrorKind::UpstreamTimeout, 504, "http_response_timeout",
        NOTHING.counts(Counts::OfReads).stale(StaleReason::Error).timed_out(),
        "The API did not answer in time; a write may have taken effect."),
    Row(ErrorKind::BadUpstreamAnswer, 502, "http_response_incomplete",
        NOTHING.tried_again().counts(Counts::OfSilence).stale(StaleReason::Error),
        "The API's answer ended early or was malformed; a write may have taken effect."),
    Row(ErrorKind::NotTaken, 502, "connection_terminated", NOTHING.never_sent().stale(StaleReason::Error),
        "The API closed its connections before it took the request, which had no effect: try again."),
    Row(ErrorKind::BadAnswerHead, 502, "http_response_header_section_size", NOTHING,
        "The head of the API's answer has more than 64 KiB or is malformed; a write may have taken effect."),
    Row(ErrorKind::UnaskedUpgrade, 502, "http_upgrade_failed", NOTHING,
        "The API asked to switch protocols, which is not passed on."),
    Row(ErrorKind::MixedUpAnswer, 502, "http_protocol_error", NOTHING,
        "The API's answer was not the one to this request and was discarded; a write may have taken effect."),
    Row(ErrorKind::UpstreamFailed, 502, "http_response_incomplete", NOTHING.stale(StaleReason::Error),
        "The API failed to answer this read: try again."),
    Row(ErrorKind::UpstreamLimited, 429, DENIED, NOTHING.stale(StaleReason::Limit),
        "The API's rate limit is reached: try again after the time in Retry-After."),
    Row(ErrorKind::OverBudget, 429, DENIED, NOTHING.stale(StaleReason::Limit),
        "The organization's share of the API's rate limit is used up: try again after the time in Retry-After."),
    Row(ErrorKind::QueueFull, 429, DENIED, NOTHING.stale(StaleReason::Limit),
        "Too many calls of this organization wait for their turn: try again after the time in Retry-After."),
    Row(ErrorKind::CallerCapped, 429, DENIED, NOTHING.stale(StaleReason::Limit),
        "This caller has had what it may have of the API's limit in a minute: try again after the time in Retry-After."),
    Row(ErrorKind::GateClosed, 429, DENIED, NOTHING.stale(StaleReason::Limit),
        "The API has limited this organization for a while: try again after the time in Retry-After."),
    Row(ErrorKind::TooManyStrangers, 429, DENIED, NOTHING.stale(StaleReason::Limit),
        "Too many calls with keys that the API has not accepted yet: try again after the time in Retry-After."),
    Row(ErrorKind::Unreachable, 503, "destination_unavailable",
        NOTHING.never_sent().stale(StaleReason::Error),
        "The API cannot be reached at the moment: try again after the time in Retry-After."),
    Row(ErrorKind::NoConnection, 503, "connection_limit_reached",
        NOTHING.never_sent().stale(StaleReason::Error),
        "Every upstream connection that this caller may use is taken: try again after the time in Retry-After."),
    Row(ErrorKind::NoMemory, 503, "proxy_internal_error", NOTHING,
        "Calls under way hold all the memory that they may; nothing was sent to the API: try again after the time in Retry-After."),
    Row(ErrorKind::NoMemoryForAnswer, 503, "proxy_internal_error", NOTHING.stale(StaleReason::Error),
        "Calls under way hold all the memory that they may, and the API's answer found none; a write may have taken effect: try again after the time in Retry-After."),
    Row(ErrorKind::NoTimeForAnswer, 503, "proxy_internal_error", NOTHING.stale(StaleReason::Error),
        "The API's answer came, and the proxy was too busy to go through it in time: try again after the time in Retry-After."),
    Row(ErrorKind::OutOfResources, 503, "proxy_internal_error",
        NOTHING.never_sent().stale(StaleReason::Error),
        "The proxy has no file or port left for a connection to the API; nothing was sent to it: try again after the time in Retry-After."),
    Row(ErrorKind::StoreUnreachable, 503, "proxy_internal_error", NOTHING.never_sent(),
        "The proxy cannot reach the store through which it tells the others of a write, and was told to refuse writes then; nothing was sent to the API: try again after the time in Retry-After."),
    Row(ErrorKind::Internal, 500, "proxy_internal_error", NOTHING,
        "The proxy failed to answer: see its log."),
];

const _: () = {
    let mut place = 0;
    while place < TABLE.len() {
        assert!(TABLE[place].0.index() == place, "the table is in the order of the kinds");
        place += 1;
    }
};

impl ErrorKind {
    const fn row(self) -> &'static Row {
        &TABLE[self.index()]
    }

    /// The status it is answered with.
    #[must_use]
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().1).expect("the table holds valid statuses")
    }

    /// The sentence that the client reads.
    #[must_use]
    pub const fn message(self) -> &'static str {
        self.row().4
    }

    /// The error type that `Proxy-Status` names (RFC 9209 §2.3).
    #[must_use]
    pub const fn proxy_status(self) -> &'static str {
        self.row().2
    }

    /// Whether a call that ended so cannot have had an effect.
    #[must_use]
    pub const fn was_never_sent(self) -> bool {
        self.row().3.never_sent
    }

    /// Whether a read that ended so may be tried again.
    #[must_use]
    pub const fn may_be_tried_again(self) -> bool {
        self.row().3.tried_again
    }

    /// Which failures of this kind the breaker counts.
    #[must_use]
    pub const fn counts(self) -> Counts {
        self.row().3.counts
    }

    /// Why a stale stored response may be served in place of this failure; nothing where the failure is no reason to.
    #[must_use]
    pub const fn stale_reason(self) -> Option<StaleReason> {
        self.row().3.stale
    }

    /// How an upstream call ended that failed so.
    #[must_use]
    pub const fn upstream_status(self) -> UpstreamStatus {
        self.row().3.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::RESOURCES;

    /// Of a kind alone, without the request, the first resource is spoken of.
    #[test]
    fn what_is_said_of_a_resource_is_what_the_table_says_of_the_first() {
        let sentences = RESOURCES.first().sentences;
        assert_eq!(ErrorKind::PathSpelling.message(), sentences.misspelt);
        assert_eq!(ErrorKind::BodyTooLarge.message(), sentences.write_too_large);
    }

    #[test]
    fn every_kind_has_a_status_of_the_contract_and_a_sentence() {
        for kind in ErrorKind::ALL {
            let status = kind.status().as_u16();
            assert!(
                [400, 403, 405, 408, 413, 414, 417, 421, 429, 431, 500, 502, 503, 504, 508].contains(&status),
                "{kind}: {status}"
            );
            assert!(kind.message().ends_with('.'), "{kind}");
        }
    }

    #[test]
    fn what_a_kind_says_of_its_call_agrees_with_what_it_says_to_the_client() {
        for kind in ErrorKind::ALL.iter().copied() {
            let may_have_had_an_effect = kind.message().contains("may have taken effect");
            assert!(!(kind.was_never_sent() && may_have_had_an_effect), "{kind}");
            let is_limit = kind.stale_reason() == Some(StaleReason::Limit);
            assert_eq!(is_limit, kind.status() == StatusCode::TOO_MANY_REQUESTS, "{kind}");
            let is_timeout = kind.upstream_status() == UpstreamStatus::Timeout;
            assert_eq!(
                is_timeout,
                kind.status() == StatusCode::GATEWAY_TIMEOUT && kind != ErrorKind::OnlyIfCached,
                "{kind}"
            );
            if kind.status().is_client_error() && !is_limit {
                let says_nothing = kind.stale_reason().is_none() && kind.counts() == Counts::Never;
                assert!(says_nothing && !kind.may_be_tried_again() && !kind.was_never_sent(), "{kind}");
            }
            // What the breaker counts is a failure of the upstream, and a stale response may stand in for those.
            if kind.counts() != Counts::Never || kind.may_be_tried_again() {
                assert_eq!(kind.stale_reason(), Some(StaleReason::Error), "{kind}");
            }
        }
    }
}
