//! [`Outgoing`]: a request on its way to the upstream, before it is known which protocol will carry it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use http_body::{Body as _, Frame, SizeHint};

use super::stream::Link;
use crate::body::{Body, BodyError};
use crate::caller::credential::CredentialDigest;
use crate::telemetry;

/// Whose a connection is: on HTTP/1.1 an answer is told from the next by framing alone, so that no two owners may share
/// one. A caller without a credential owns nothing: each of its calls has a connection that is not used again.
pub type Owner = Option<CredentialDigest>;

/// A request to the upstream; host, authority and framing are added where it is written.
#[derive(Debug)]
pub struct Outgoing {
    /// Its method.
    pub method: Method,
    /// Where to, below the configured authority.
    pub path: PathAndQuery,
    /// Its fields. A `Host` among them is replaced where it is written on HTTP/1.1, and left out on HTTP/2.
    pub fields: HeaderMap,
    /// Its body.
    pub body: Body,
    /// What of a trace it is a part of.
    pub trace: Option<telemetry::Context>,
}

/// A body that tells its connection when all of it was handed over.
#[derive(Debug)]
pub(super) struct Sending {
    body: Body,
    link: Arc<Link>,
}

impl Sending {
    pub(super) fn new(body: Body, link: Arc<Link>) -> Self {
        if body.is_end_stream() {
            link.end_request();
        } else {
            link.begin_request();
        }
        Self { body, link }
    }
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.link.end_request();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
