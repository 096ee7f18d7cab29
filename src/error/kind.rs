//! [`ErrorKind`]: the kinds of failure. What follows from each is in `table`.

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
        /// The caller's limits forbid this method or this path.
        CallerDenied = "caller_denied",
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
        /// The forward proxy on the way to the upstream refused, or could not be reached.
        EgressFailed = "egress_failed",
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
        /// The caller has had what it may have in this minute.
        CallerCapped = "caller_capped",
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
        /// The API's answer was all here, and was not gone through in time.
        NoTimeForAnswer = "no_time_for_answer",
        /// No descriptor, port, buffer or memory is left here for a connection to the upstream.
        OutOfResources = "out_of_resources",
        /// No lease of the fleet, and label writes are refused without one.
        StoreUnreachable = "store_unreachable",
        /// A fault of this proxy.
        Internal = "internal",
    }
}
