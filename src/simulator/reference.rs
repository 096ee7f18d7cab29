//! What the API answers elsewhere: something for a proxy to pass through.

use http::{Response, StatusCode};

use crate::body::Body;

/// 204.
pub(super) fn no_content() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}
