//! Why an upstream call was made and how it ended: the labels of the upstream metrics.

use http::StatusCode;

use crate::closed_enum::closed_enum;

closed_enum! {
    /// What started an upstream call: the `purpose` label.
    pub enum Purpose {
        /// A label read that a caller waits for.
        Fill = "fill",
        /// A background read that renews a credential's proof.
        Proof = "proof",
        /// A background read that keeps a stored response fresh.
        Refresh = "refresh",
        /// A background read of a whole list, for its items.
        ListFill = "list_fill",
        /// A label write.
        Write = "write",
        /// A call that is passed through.
        PassThrough = "pass_through",
    }
}

closed_enum! {
    /// How an upstream call ended: the `status` label.
    pub enum UpstreamStatus {
        /// 200 to 299.
        Success = "2xx",
        /// 300 to 399.
        Redirection = "3xx",
        /// Unauthorized.
        Unauthorized = "401",
        /// Payment required.
        PaymentRequired = "402",
        /// Forbidden.
        Forbidden = "403",
        /// Not found.
        NotFound = "404",
        /// Any other 4xx.
        ClientError = "4xx",
        /// Too many requests.
        TooManyRequests = "429",
        /// 500 to 599.
        ServerError = "5xx",
        /// No answer in time.
        Timeout = "timeout",
        /// No answer that could be read, or the caller left before it.
        Error = "error",
    }
}

impl UpstreamStatus {
    /// Label of a final status.
    #[must_use]
    pub fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            401 => Self::Unauthorized,
            402 => Self::PaymentRequired,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            429 => Self::TooManyRequests,
            400..=499 => Self::ClientError,
            500..=599 => Self::ServerError,
            _ => Self::Error,
        }
    }
}
