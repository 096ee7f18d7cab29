//! Bodies that are not whole in memory: large downloads, an upload sink, and bodies that end early.
//!
//! Both directions run in constant memory, so that what is in front can be measured with gigabytes.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode, Uri};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;

use super::answer::{Refusal, json};
use super::query::parameter;
use crate::body::{Body, BodyError};
use crate::received::Received;

/// The byte at `offset` of every download, so that a client can tell a lost or moved one.
#[must_use]
pub fn download_byte(offset: u64) -> u8 {
    u8::try_from(offset % PERIOD as u64).expect("the period fits a byte")
}

/// `bytes` of them, announced by Content-Length unless `chunked=true`.
pub(super) fn download(uri: &Uri) -> Result<Response<Body>, Refusal> {
    let bytes = parameter(uri, "bytes").unwrap_or_else(|| "0".to_owned());
    let bytes =
        bytes.parse().map_err(|_| Refusal::Invalid("querystring/bytes must be integer".to_owned()))?;
    let announced = parameter(uri, "chunked").as_deref() != Some("true");
    let mut response = Response::new(Body::stream(Download { left: bytes, announced }));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}

/// Swallows a body and answers its length and BLAKE3 hash. `received` grows as the bytes come.
pub(super) async fn upload(mut body: Received, received: &AtomicU64) -> Result<Response<Body>, Refusal> {
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0_u64;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::Invalid("body ended early".to_owned()))?;
        let Ok(data) = frame.into_data() else { continue };
        received.fetch_add(data.len() as u64, Ordering::Relaxed);
        bytes += data.len() as u64;
        hasher.update(&data);
    }
    let hash = hasher.finalize().to_hex();
    Ok(json(StatusCode::OK, format!(r#"{{"bytes":{bytes},"blake3":"{hash}"}}"#).into()))
}

const PERIOD: usize = 251;
/// A whole number of periods, so that one block follows another without a seam.
const BLOCK: usize = PERIOD * 64;

static PATTERN: [u8; BLOCK] = {
    let mut pattern = [0; BLOCK];
    let mut at = 0;
    while at < BLOCK {
        pattern[at] = (at % PERIOD) as u8;
        at += 1;
    }
    pattern
};

struct Download {
    left: u64,
    announced: bool,
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let block = usize::try_from(self.left).map_or(BLOCK, |left| left.min(BLOCK));
        self.left -= block as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&PATTERN[..block])))))
    }

    fn is_end_stream(&self) -> bool {
        self.announced && self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.announced { SizeHint::with_exact(self.left) } else { SizeHint::default() }
    }
}

/// A body that announces all of its length and ends with an error after a part.
pub(super) struct Cut {
    inner: Body,
    announced: SizeHint,
    left: u64,
    flushed: bool,
}

impl Cut {
    pub(super) fn new(inner: Body, bytes: u64) -> Self {
        let announced = inner.size_hint();
        Self { inner, announced, left: bytes, flushed: false }
    }
}

impl http_body::Body for Cut {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.left > 0
            && let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut self.inner).poll_frame(cx)
            && let Ok(mut data) = frame.into_data()
        {
            data.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= data.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if !self.flushed {
            // hyper drops what it has not written when a body fails; one pause lets it write the head and the part.
            self.flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err("cut on purpose".into())))
    }

    fn size_hint(&self) -> SizeHint {
        self.announced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn bytes(uri: &'static str) -> (Option<u64>, Bytes) {
        let body = download(&Uri::from_static(uri)).unwrap().into_body();
        let announced = body.size_hint().exact();
        (announced, body.collect().await.unwrap().to_bytes())
    }

    #[tokio::test]
    async fn a_download_is_as_long_as_asked_and_known_at_every_offset() {
        let (announced, body) = bytes("/?bytes=40000").await;
        assert_eq!((announced, body.len()), (Some(40_000), 40_000));
        assert!(body.iter().zip(0..).all(|(&byte, offset)| byte == download_byte(offset)));
        let (announced, body) = bytes("/?chunked=true&bytes=40000").await;
        assert_eq!((announced, body.len()), (None, 40_000));
        assert_eq!(bytes("/").await.1.len(), 0);
    }

    #[test]
    fn a_length_that_is_no_number_is_refused() {
        assert!(download(&Uri::from_static("/?bytes=many")).is_err());
    }

    #[tokio::test]
    async fn a_cut_body_announces_more_than_it_gives() {
        let mut cut = Cut::new(Body::whole(Bytes::from_static(b"0123456789")), 4);
        assert_eq!(cut.size_hint().exact(), Some(10));
        assert_eq!(cut.frame().await.unwrap().unwrap().into_data().unwrap(), "0123");
        assert!(cut.frame().await.unwrap().is_err());
    }
}
