//! [`Refusal`]: what the admin port answers instead of a page.

use http::StatusCode;

/// An answer other than 200: its status, and the sentence that says what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) String);
