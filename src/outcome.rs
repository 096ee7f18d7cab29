//! How a request was answered, in the words that the log, the metrics and `Cache-Status` (RFC 9211) share.
//!
//! Every enum here is closed: a series or a log field can say nothing that is not on this page.

use http::HeaderValue;

use crate::closed_enum::closed_enum;
use crate::semantics::seconds::Seconds;

closed_enum! {
    /// How a request was answered: the `outcome` label. The first that fits, in this order.
    pub enum Outcome {
        /// Refused here, with a 4xx of our own.
        Rejected = "rejected",
        /// Failed here, with a 5xx of our own; an `only-if-cached` read that missed included.
        Error = "error",
        /// Answered from a fresh stored response, a 304 included.
        Hit = "hit",
        /// Answered from a stale stored response.
        Stale = "stale",
        /// A label read that may not be cached.
        Bypass = "bypass",
        /// Answered by a flight that another request leads.
        Collapsed = "collapsed",
        /// Answered by a flight of its own.
        Miss = "miss",
        /// A write or a pass-through call.
        Forwarded = "forwarded",
    }
}

impl Outcome {
    /// What spared an answer of this outcome an upstream call of its own.
    #[must_use]
    pub const fn avoided(self) -> Option<Avoided> {
        match self {
            Self::Hit => Some(Avoided::Hit),
            Self::Stale => Some(Avoided::Stale),
            Self::Collapsed => Some(Avoided::Collapse),
            Self::Rejected | Self::Error | Self::Bypass | Self::Miss | Self::Forwarded => None,
        }
    }
}

closed_enum! {
    /// Class of the status that was sent downstream: the `status` label.
    pub enum StatusClass {
        /// 200 to 299.
        Success = "2xx",
        /// 300 to 399.
        Redirection = "3xx",
        /// 400 to 499.
        ClientError = "4xx",
        /// 500 to 599.
        ServerError = "5xx",
        /// The client was gone before a head could be sent.
        None = "none",
    }
}

impl StatusClass {
    /// Class of a final status; one that HTTP does not define counts as a server error.
    #[must_use]
    pub fn of(status: http::StatusCode) -> Self {
        match status.as_u16() {
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

closed_enum! {
    /// Why a read on a label path is passed through uncached: the `detail` of `fwd=bypass`.
    pub enum BypassReason {
        /// `search` in the query: such a list proves, and is never stored.
        Search = "search",
        /// A query that is none of the known parameters, each at most once.
        Query = "query",
        /// The path with a trailing slash, an upper-case UUID, or another path below the collection.
        Path = "path",
        /// A cookie that is not the edge's.
        Cookie = "cookie",
        /// `api_key` in the query.
        ApiKey = "api-key",
        /// `x-as-workspace` that is doubled or no UUID.
        Workspace = "workspace",
        /// `Authorization` that is absent or not `Bearer` and one token68.
        Authorization = "authorization",
        /// Another field that may choose whose data comes back.
        IdentityField = "identity-field",
        /// A body that says something.
        Body = "body",
        /// The edge in front of the API turns the proxy's own reads away.
        EdgeBlock = "edge-block",
    }
}

closed_enum! {
    /// By what an upstream call was avoided: the `by` label.
    pub enum Avoided {
        /// A fresh stored response.
        Hit = "hit",
        /// A stale stored response.
        Stale = "stale",
        /// Another request's flight.
        Collapse = "collapse",
    }
}

closed_enum! {
    /// Why a stale stored response was served: the `detail` of a stale hit.
    pub enum StaleReason {
        /// It is being refreshed in the background.
        Revalidating = "stale-revalidating",
        /// The upstream failed or cannot be asked.
        Error = "stale-error",
        /// The upstream's limit, or our share of it, is used up.
        Limit = "stale-limit",
    }
}

/// The member that this cache adds to `Cache-Status` (RFC 9211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// Answered from a stored response; seconds of freshness left.
    Hit {
        /// Freshness lifetime minus age in whole seconds: not negative, as it is fresh.
        ttl: i64,
    },
    /// Answered from what another replica fetched and this one did not have; seconds of freshness left.
    Shared {
        /// Freshness lifetime minus age in whole seconds: not negative, as it is fresh.
        ttl: i64,
    },
    /// Answered from a stored response that is stale, because of this.
    Stale {
        /// Freshness lifetime minus age in whole seconds: zero or negative.
        ttl: i64,
        /// Why.
        reason: StaleReason,
    },
    /// Answered from a stored response although the client asked for a younger one: refetches are limited.
    RefetchLimited {
        /// Freshness lifetime minus age in whole seconds.
        ttl: i64,
    },
    /// Proven, fetched by this request's own flight.
    Miss {
        /// Whether the answer was stored.
        stored: bool,
    },
    /// Proven, answered by somebody else's flight.
    Collapsed,
    /// Proven, fetched because the client asked for it.
    Request,
    /// A label read of a credential without proof: never tells what is cached.
    Proof,
    /// A label write.
    Method,
    /// A label read that may not be cached.
    Uncached(BypassReason),
    /// Everything else.
    PassThrough,
}

/// What comes before the seconds of freshness left, of a hit.
pub(crate) const HIT: &str = "instantly-proxy; hit; ttl=";

thread_local! {
    static HITS: Seconds = const { Seconds::after(HIT) };
}

impl CacheStatus {
    /// Why it is no plain hit or miss, in the words of the log.
    #[must_use]
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Stale { reason, .. } => Some(reason.as_str()),
            Self::RefetchLimited { .. } => Some("refill-limited"),
            Self::Request => Some("request"),
            Self::Proof => Some("proof"),
            Self::Uncached(reason) => Some(reason.as_str()),
            Self::Hit { .. }
            | Self::Shared { .. }
            | Self::Miss { .. }
            | Self::Collapsed
            | Self::Method
            | Self::PassThrough => None,
        }
    }

    /// The label read that was passed through, and why.
    #[must_use]
    pub const fn bypass(self) -> Option<BypassReason> {
        match self {
            Self::Uncached(reason) => Some(reason),
            _ => None,
        }
    }

    /// The whole field value.
    #[must_use]
    pub fn value(self) -> HeaderValue {
        match self {
            Self::Hit { ttl } => HITS.with(|hits| hits.value(ttl.unsigned_abs())),
            Self::Shared { ttl } => {
                HeaderValue::try_from(format!("instantly-proxy; hit; ttl={ttl}; detail=shared"))
                    .expect("a decimal number is a valid field value")
            }
            Self::Stale { ttl, reason } => {
                HeaderValue::try_from(format!("instantly-proxy; hit; ttl={ttl}; detail={reason}"))
                    .expect("a number and a closed enum's text are a valid field value")
            }
            Self::RefetchLimited { ttl } => {
                HeaderValue::try_from(format!("instantly-proxy; hit; ttl={ttl}; detail=refill-limited"))
                    .expect("a decimal number is a valid field value")
            }
            Self::Miss { stored: true } => HeaderValue::from_static("instantly-proxy; fwd=miss; stored"),
            Self::Miss { stored: false } => HeaderValue::from_static("instantly-proxy; fwd=miss"),
            Self::Collapsed => HeaderValue::from_static("instantly-proxy; fwd=miss; collapsed"),
            Self::Request => HeaderValue::from_static("instantly-proxy; fwd=request"),
            Self::Proof => HeaderValue::from_static("instantly-proxy; fwd=request; detail=proof"),
            Self::Method => HeaderValue::from_static("instantly-proxy; fwd=method"),
            Self::Uncached(reason) => {
                HeaderValue::try_from(format!("instantly-proxy; fwd=bypass; detail={reason}"))
                    .expect("a closed enum's text is a valid field value")
            }
            Self::PassThrough => HeaderValue::from_static("instantly-proxy; fwd=bypass"),
        }
    }
}
