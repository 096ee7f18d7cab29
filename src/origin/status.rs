//! [`Meaning`]: what the head of an answer says of the key, the credential, the organization, the item and the edge.
//!
//! A 401 speaks of the key, on any path. A 402 speaks of the credential. A 403 in JSON speaks of the credential on a resource's
//! path alone, and of that resource alone: elsewhere it may say that a scope is missing. A 403 that is not JSON is the edge's and speaks of nobody. A 429
//! speaks of the organization, whose limit it is. This table stands here and nowhere else.

use http::{HeaderMap, StatusCode};

use crate::caller::bindings::Refusal;
use crate::caller::credential::RouteDigest;
use crate::resource::Descriptor;
use crate::semantics::media_type;

/// What an answer says by its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// 200 to 299: it was done.
    Done,
    /// 401: the key is refused.
    KeyRefused,
    /// 402: the credential is refused.
    CredentialRefused,
    /// A JSON 403 on the path of a resource: the credential is refused what it reads there, and nothing else.
    ResourceRefused,
    /// A 403 that is not JSON: the edge in front of the API turned the call away.
    EdgeBlock,
    /// A 403 in JSON on any other path: this call is refused, and nobody else.
    Forbidden,
    /// 404: on a label's own path it is gone.
    NotFound,
    /// 408: the API did not wait for all of the request, of which something may have been done.
    RequestTimeout,
    /// 429: the organization is over its limit.
    Limited,
    /// Any other 4xx: nothing was done.
    ClientError,
    /// 502, 503, 504: it failed on the way, or nearly so.
    FailedOnTheWay,
    /// Any other 5xx.
    ServerError,
    /// 1xx, 3xx and what is no status.
    Other,
}

impl Meaning {
    /// Of an answer with this head to a call on a resource's path, or on another one.
    #[must_use]
    pub fn of(status: StatusCode, fields: &HeaderMap, path: Path) -> Self {
        match status.as_u16() {
            200..=299 => Self::Done,
            401 => Self::KeyRefused,
            402 => Self::CredentialRefused,
            403 if !media_type::is_json(fields) => Self::EdgeBlock,
            403 => match path {
                Path::Of(_) => Self::ResourceRefused,
                Path::Other => Self::Forbidden,
            },
            404 => Self::NotFound,
            408 => Self::RequestTimeout,
            429 => Self::Limited,
            400..=499 => Self::ClientError,
            502..=504 => Self::FailedOnTheWay,
            500..=599 => Self::ServerError,
            _ => Self::Other,
        }
    }

    /// Whom it refuses, if anybody.
    #[must_use]
    pub fn refusal(self, route: RouteDigest, path: Path) -> Option<Refusal> {
        match self {
            Self::KeyRefused => Some(Refusal::Unauthorized {
                route,
                on_resource: match path {
                    Path::Of(resource) => Some(resource),
                    Path::Other => None,
                },
            }),
            Self::CredentialRefused => Some(Refusal::Credential),
            Self::ResourceRefused => match path {
                Path::Of(resource) => Some(Refusal::Resource(resource)),
                Path::Other => None,
            },
            Self::Done
            | Self::EdgeBlock
            | Self::Forbidden
            | Self::NotFound
            | Self::RequestTimeout
            | Self::Limited
            | Self::ClientError
            | Self::FailedOnTheWay
            | Self::ServerError
            | Self::Other => None,
        }
    }

    /// Whether a write that is answered so has changed nothing for certain.
    #[must_use]
    pub const fn has_changed_nothing(self) -> bool {
        match self {
            Self::KeyRefused
            | Self::CredentialRefused
            | Self::ResourceRefused
            | Self::EdgeBlock
            | Self::Forbidden
            | Self::NotFound
            | Self::Limited
            | Self::ClientError => true,
            Self::Done | Self::RequestTimeout | Self::FailedOnTheWay | Self::ServerError | Self::Other => {
                false
            }
        }
    }

    /// Whether the upstream could not answer: concerns everybody who asks it, and not the one who did.
    #[must_use]
    pub const fn is_upstreams_own(self) -> bool {
        match self {
            Self::Limited | Self::FailedOnTheWay | Self::ServerError => true,
            Self::Done
            | Self::KeyRefused
            | Self::CredentialRefused
            | Self::ResourceRefused
            | Self::EdgeBlock
            | Self::Forbidden
            | Self::NotFound
            | Self::RequestTimeout
            | Self::ClientError
            | Self::Other => false,
        }
    }
}

/// Where a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// At or below this resource's: there a refusal speaks of the credential.
    Of(&'static Descriptor),
    /// Anywhere else.
    Other,
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::CONTENT_TYPE;

    use super::*;
    use crate::caller::credential::Digester;
    use crate::resource::LEAD_LABEL;

    fn meaning(status: u16, content_type: &'static str, path: Path) -> Meaning {
        let fields = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        Meaning::of(StatusCode::from_u16(status).unwrap(), &fields, path)
    }

    #[test]
    fn every_status_speaks_of_whom_the_table_says() {
        use Meaning::*;
        let json = "application/json";
        for (status, content_type, on_label_path, elsewhere) in [
            (200, json, Done, Done),
            (204, json, Done, Done),
            (304, json, Other, Other),
            (400, json, ClientError, ClientError),
            (401, "text/html", KeyRefused, KeyRefused),
            (402, "text/html", CredentialRefused, CredentialRefused),
            (403, json, ResourceRefused, Forbidden),
            (403, "text/html", EdgeBlock, EdgeBlock),
            (404, json, NotFound, NotFound),
            (408, json, RequestTimeout, RequestTimeout),
            (429, json, Limited, Limited),
            (499, json, ClientError, ClientError),
            (500, json, ServerError, ServerError),
            (501, json, ServerError, ServerError),
            (502, json, FailedOnTheWay, FailedOnTheWay),
            (504, json, FailedOnTheWay, FailedOnTheWay),
            (599, json, ServerError, ServerError),
            (999, json, Other, Other),
        ] {
            assert_eq!(meaning(status, content_type, Path::Of(&LEAD_LABEL)), on_label_path, "{status}");
            assert_eq!(meaning(status, content_type, Path::Other), elsewhere, "{status}");
        }
    }

    #[test]
    fn a_401_refuses_the_key_and_a_json_403_the_credential_for_the_resource_on_whose_path_it_came() {
        let route = Digester::default().route(&http::Method::GET, "/api/v2/lead-labels");
        let of = |status, path| meaning(status, "application/json", path).refusal(route, path);
        for (path, on_resource) in [(Path::Of(&LEAD_LABEL), Some(&LEAD_LABEL)), (Path::Other, None)] {
            assert_eq!(of(401, path), Some(Refusal::Unauthorized { route, on_resource }));
            assert_eq!(of(402, path), Some(Refusal::Credential));
            assert_eq!(of(403, path), on_resource.map(|_| Refusal::Resource(&LEAD_LABEL)));
            for other in [200, 304, 400, 404, 408, 429, 500, 503] {
                assert_eq!(of(other, path), None, "{other}");
            }
        }
    }
}
