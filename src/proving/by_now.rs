//! [`by_now`]: a look at something that is waited for, without waiting.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// What it has come to by now, if it has.
pub(crate) async fn by_now<T>(mut waited: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
    poll_fn(|cx| {
        Poll::Ready(match waited.as_mut().poll(cx) {
            Poll::Ready(it) => Some(it),
            Poll::Pending => None,
        })
    })
    .await
}
