//! [`Lease`]: a call's hold on its HTTP/1.1 connection.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::http1::{End, FAREWELL, Http1};
use super::pool::{Checkout, Idle};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::reason::GateReason;
use crate::received::Tail;

/// A call's hold on its connection, until the last byte of the answer: then it goes back to its owner's idle ones. Dropped
/// before, it closes the connection.
pub(super) struct Lease {
    connection: Option<Http1>,
    checkout: Checkout,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Lease {
    pub(super) const fn new(
        connection: Http1,
        checkout: Checkout,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { connection: Some(connection), checkout, clock, metrics }
    }
}

impl Tail for Lease {
    fn poll_clean(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(true) };
        let end = ready!(connection.poll_clean(cx));
        let connection = self.connection.take();
        if let (None, Some(mut connection)) = (end, connection)
            && !connection.link.is_retired()
        {
            connection.reused = true;
            self.checkout.put_back(Idle { connection, since: self.clock.now() });
        }
        let is_clean = end != Some(End::Excess);
        if !is_clean {
            self.metrics.gate_rejection(GateReason::Excess);
        }
        Poll::Ready(is_clean)
    }

    fn settle(mut self: Box<Self>) {
        let clock = self.clock.clone();
        tokio::spawn(async move {
            let clean = std::future::poll_fn(|cx| self.poll_clean(cx));
            // What has not come to rest by then is closed.
            let _ = clock.deadline(clock.now().plus(FAREWELL), clean).await;
        });
    }
}
