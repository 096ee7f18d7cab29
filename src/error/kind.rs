//! [`ErrorKind`]: the kinds of failure, and the table of what the client sees of each.

use http::StatusCode;

use crate::closed_enum::closed_enum;

closed_enum! {
    /// What failed; the `error` field of the log.
    pub enum ErrorKind {
        /// No Host field, or one that is not a host with an optional port.
        BadHost = "bad_host",
        /// More than one Host field.
        RepeatedHost = "repeated_host",
        /// More than one Authorization field, or control bytes in it.
        BadAuthorization = "bad_authorization",
        /// A field value that begins or ends with white space.
        BadFieldValue = "bad_field_value",
        /// Content-Length repeated, with a leading zero, or not a number.
        BadContentLength = "bad_content_length",
        /// Transfer-Encoding other than one `chunked`, or in HTTP/1.0.
        BadTransferEncoding = "bad_transfer_encoding",
        /// Connection names a field that must reach the next hop.
        BadConnection = "bad_connection",
        /// A field that would change the method.
        MethodOverride = "method_override",
        /// A field that looks like a framing, authorization or host field.
        LookAlikeField = "look_alike_field",
        /// Another spelling of a label path.
        PathSpelling = "path_spelling",
        /// A request target that is no path.
        BadTarget = "bad_target",
        /// TE other than `trailers`, on HTTP/2.
        BadTe = "bad_te",
        /// The body of a label write ended early or did not come in time.
        BodyIncomplete = "body_incomplete",
        /// The body of a request that passes through ended early or is malformed.
        BodyBroken = "body_broken",
        /// The body of a request came slower than its least rate.
        UploadTooSlow = "upload_too_slow",
        /// A method that is not passed on.
        MethodNotAllowed = "method_not_allowed",
        /// The body of a label write is over its limit.
        BodyTooLarge = "body_too_large",
        /// The request target is over its limit.
        TargetTooLong = "target_too_long",
        /// Expect other than `100-continue`.
        ExpectationFailed = "expectation_failed",
        /// An absolute target whose authority is not the Host's.
        Misdirected = "misdirected",
        /// More fields, or larger ones, than the limit.
        FieldsTooLarge = "fields_too_large",
        /// Our own `Via` came back.
        Loop = "loop",
        /// `only-if-cached` and nothing that may be served.
        OnlyIfCached = "only_if_cached",
        /// The upstream could not be connected to.
        ConnectFailed = "connect_failed",
        /// The upstream did not accept a connection in time.
        ConnectTimeout = "connect_timeout",
        /// TLS with the upstream failed.
        TlsFailed = "tls_failed",
        /// The upstream's certificate is not one to trust, or not the upstream's.
        UntrustedCertificate = "untrusted_certificate",
        /// The upstream did not answer in time.
        UpstreamTimeout = "upstream_timeout",
        /// The upstream's answer ended early or was no HTTP.
        BadUpstreamAnswer = "bad_upstream_answer",
        /// The upstream certainly did not process the request: it was closing the connection, or refused it.
        NotTaken = "not_taken",
        /// The head of the upstream's answer is over the limit or malformed: over HTTP/2 the two are not told apart.
        BadAnswerHead = "bad_answer_head",
        /// The upstream asked to switch protocols.
        UnaskedUpgrade = "unasked_upgrade",
        /// The upstream's answer belongs to another request or organization.
        MixedUpAnswer = "mixed_up_answer",
        /// The upstream answered 5xx to the read that this one had joined.
        UpstreamFailed = "upstream_failed",
        /// The upstream answered 429 to the read that this one had joined.
        UpstreamLimited = "upstream_limited",
        /// The wait for the organization's share of the API's limit would be too long.
        OverBudget = "over_budget",
        /// Too many calls of the organization wait already.
        QueueFull = "queue_full",
        /// The API has limited the organization, and the time it gave is not over.
        GateClosed = "gate_closed",
        /// Too many calls of callers that the API has not accepted yet, or too many of them refused.
        TooManyStrangers = "too_many_strangers",
        /// The API has not been reachable for a moment.
        Unreachable = "unreachable",
        /// Every upstream connection that this caller may use is taken.
        NoConnection = "no_connection",
        /// Calls under way hold all the memory that they may; this one was not sent.
        NoMemory = "no_memory",
        /// The same, found when the answer came.
        NoMemoryForAnswer = "no_memory_for_answer",
        /// No descriptor, port, buffer or memory is left here for a connection to the upstream.
        OutOfResources = "out_of_resources",
        /// A fault of this proxy.
        Internal = "internal",
    }
}

/// What the client sees of a kind: status, sentence, and the error type of `Proxy-Status`.
struct Face(u16, &'static str, &'static str);

impl ErrorKind {
    #[expect(clippy::too_many_lines, reason = "a table: one row a kind")]
    const fn face(self) -> Face {
        const REQUEST: &str = "http_request_error";
        const DENIED: &str = "http_request_denied";
        match self {
            Self::BadHost => Face(
                400,
                "Host is missing or malformed: send one host name or address with an optional port.",
                REQUEST,
            ),
            Self::RepeatedHost => Face(400, "Host was sent more than once: send it once.", REQUEST),
            Self::BadAuthorization => Face(
                400,
                "Authorization was sent more than once or holds control bytes: send one value.",
                REQUEST,
            ),
            Self::BadFieldValue => {
                Face(400, "A field value begins or ends with white space: send it without.", REQUEST)
            }
            Self::BadContentLength => {
                Face(400, "Content-Length must be one decimal number without leading zeros.", REQUEST)
            }
            Self::BadTransferEncoding => {
                Face(400, "Transfer-Encoding must be one chunked, in HTTP/1.1.", REQUEST)
            }
            Self::BadConnection => {
                Face(400, "Connection names a field that must reach the API: remove the name.", REQUEST)
            }
            Self::MethodOverride => Face(
                400,
                "Fields that override the method are not accepted: send the method itself.",
                REQUEST,
            ),
            Self::LookAlikeField => Face(
                400,
                "A field name with an underscore imitates a framing, authorization or host field.",
                REQUEST,
            ),
            Self::PathSpelling => Face(
                400,
                "This is another spelling of a lead-label path: send /api/v2/lead-labels or /api/v2/lead-labels/{id}.",
                REQUEST,
            ),
            Self::BadTarget => {
                Face(400, "The request target must be an absolute path with an optional query.", REQUEST)
            }
            Self::BadTe => Face(400, "TE may only say trailers on HTTP/2.", REQUEST),
            Self::BodyIncomplete => Face(
                400,
                "The request body ended early or did not arrive in time; nothing was sent to the API.",
                REQUEST,
            ),
            Self::BodyBroken => Face(
                400,
                "The request body ended early or is malformed; a part of it was sent to the API.",
                REQUEST,
            ),
            Self::UploadTooSlow => {
                Face(408, "The request body came too slowly: send it faster, or in smaller parts.", REQUEST)
            }
            Self::MethodNotAllowed => {
                Face(405, "This method is not passed on: use one of those in Allow.", DENIED)
            }
            Self::BodyTooLarge => Face(
                413,
                "The body of a lead-label write may have 1 MiB at most; nothing was sent to the API.",
                DENIED,
            ),
            Self::TargetTooLong => Face(414, "The request target may have 8 KiB at most.", DENIED),
            Self::ExpectationFailed => Face(417, "Expect may only say 100-continue.", DENIED),
            Self::Misdirected => Face(421, "The target's authority is not the one in Host.", DENIED),
            Self::FieldsTooLarge => Face(431, "A request may have 100 fields in 32 KiB at most.", DENIED),
            Self::Loop => Face(
                508,
                "This request has passed through this proxy before: its upstream leads back to it.",
                "proxy_loop_detected",
            ),
            Self::OnlyIfCached => Face(
                504,
                "The client asked for a stored response alone, and there is none that it may have.",
                "proxy_internal_response",
            ),
            Self::ConnectFailed => {
                Face(502, "The API could not be connected to: try again.", "destination_unavailable")
            }
            Self::ConnectTimeout => {
                Face(504, "The API did not accept a connection in time: try again.", "connection_timeout")
            }
            Self::TlsFailed => Face(
                502,
                "No TLS connection to the API could be made: see the proxy's log.",
                "tls_protocol_error",
            ),
            Self::UntrustedCertificate => Face(
                502,
                "The API's certificate cannot be trusted: see the proxy's log.",
                "tls_certificate_error",
            ),
            Self::UpstreamTimeout => Face(
                504,
                "The API did not answer in time; a write may have taken effect.",
                "http_response_timeout",
            ),
            Self::BadUpstreamAnswer => Face(
                502,
                "The API's answer ended early or was malformed; a write may have taken effect.",
                "http_response_incomplete",
            ),
            Self::NotTaken => Face(
                502,
                "The API closed its connections before it took the request, which had no effect: try again.",
                "connection_terminated",
            ),
            Self::BadAnswerHead => Face(
                502,
                "The head of the API's answer has more than 64 KiB or is malformed; a write may have taken effect.",
                "http_response_header_section_size",
            ),
            Self::UnaskedUpgrade => {
                Face(502, "The API asked to switch protocols, which is not passed on.", "http_upgrade_failed")
            }
            Self::MixedUpAnswer => Face(
                502,
                "The API's answer was not the one to this request and was discarded: try again.",
                "http_protocol_error",
            ),
            Self::UpstreamFailed => {
                Face(502, "The API failed to answer this read: try again.", "http_response_incomplete")
            }
            Self::UpstreamLimited => {
                Face(429, "The API's rate limit is reached: try again after the time in Retry-After.", DENIED)
            }
            Self::OverBudget => Face(
                429,
                "The organization's share of the API's rate limit is used up: try again after the time in Retry-After.",
                DENIED,
            ),
            Self::QueueFull => Face(
                429,
                "Too many calls of this organization wait for their turn: try again after the time in Retry-After.",
                DENIED,
            ),
            Self::GateClosed => Face(
                429,
                "The API has limited this organization for a while: try again after the time in Retry-After.",
                DENIED,
            ),
            Self::TooManyStrangers => Face(
                429,
                "Too many calls with keys that the API has not accepted yet: try again after the time in Retry-After.",
                DENIED,
            ),
            Self::Unreachable => Face(
                503,
                "The API cannot be reached at the moment: try again after the time in Retry-After.",
                "destination_unavailable",
            ),
            Self::NoConnection => Face(
                503,
                "Every upstream connection that this caller may use is taken: try again after the time in Retry-After.",
                "connection_limit_reached",
            ),
            Self::NoMemory => Face(
                503,
                "Calls under way hold all the memory that they may; nothing was sent to the API: try again after the time in Retry-After.",
                "proxy_internal_error",
            ),
            Self::NoMemoryForAnswer => Face(
                503,
                "Calls under way hold all the memory that they may, and the API's answer found none; a write may have taken effect: try again after the time in Retry-After.",
                "proxy_internal_error",
            ),
            Self::OutOfResources => Face(
                503,
                "The proxy has no file or port left for a connection to the API; nothing was sent to it: try again after the time in Retry-After.",
                "proxy_internal_error",
            ),
            Self::Internal => Face(500, "The proxy failed to answer: see its log.", "proxy_internal_error"),
        }
    }

    /// The status it is answered with.
    #[must_use]
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.face().0).expect("the table holds valid statuses")
    }

    /// The sentence that the client reads.
    #[must_use]
    pub const fn message(self) -> &'static str {
        self.face().1
    }

    /// The error type that `Proxy-Status` names (RFC 9209 §2.3).
    #[must_use]
    pub const fn proxy_status(self) -> &'static str {
        self.face().2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_status_of_the_contract_and_a_sentence() {
        for kind in ErrorKind::ALL {
            let status = kind.status().as_u16();
            assert!(
                [400, 405, 408, 413, 414, 417, 421, 429, 431, 500, 502, 503, 504, 508].contains(&status),
                "{kind}: {status}"
            );
            assert!(kind.message().ends_with('.'), "{kind}");
        }
    }
}
