//! [`race`]: two futures, of which the first that ends counts.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Which of two ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First<A, B> {
    /// The first.
    One(A),
    /// The other.
    Other(B),
}

/// Waits for one of two; where both have ended, the first counts.
///
/// They are pinned by whoever waits. `tokio::select!` moves what it is given, for which the future around it keeps room
/// twice, and every call is moved to the heap with all the room that it keeps.
pub(crate) async fn race<A, B>(mut one: Pin<&mut A>, mut other: Pin<&mut B>) -> First<A::Output, B::Output>
where
    A: Future,
    B: Future,
{
    poll_fn(move |cx| {
        if let Poll::Ready(ended) = one.as_mut().poll(cx) {
            return Poll::Ready(First::One(ended));
        }
        other.as_mut().poll(cx).map(First::Other)
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn the_first_that_ends_counts_and_of_two_that_have_ended_the_first() {
        assert_eq!(race(pin!(ready(1)), pin!(ready(2))).await, First::One(1));
        assert_eq!(race(pin!(ready(1)), pin!(pending::<()>())).await, First::One(1));
        assert_eq!(race(pin!(pending::<()>()), pin!(ready(2))).await, First::Other(2));
    }
}
