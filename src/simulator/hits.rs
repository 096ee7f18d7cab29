//! [`Hits`]: the faults that hit one request, and what each does to it on its way.
//!
//! When a fault hits is left to [`Faults`](super::Faults).

use std::fmt;
use std::time::Duration;

use http::Response;

use super::answer::{edge_block, plain, too_many_requests};
use super::fault::Fault;
use super::transfers::Cut;
use crate::body::Body;
use crate::clock::Clock;

/// The connection is to end without an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disconnected;

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("disconnected on purpose")
    }
}

impl std::error::Error for Disconnected {}

/// The faults that hit one request.
#[derive(Debug)]
pub(super) struct Hits(pub(super) Vec<Fault>);

impl Hits {
    /// Before the request is acted upon.
    pub(super) async fn before(&self, clock: &Clock) -> Result<(), Disconnected> {
        for fault in &self.0 {
            match fault {
                Fault::Latency(latency) => clock.sleep(*latency).await,
                Fault::HoldRequest(gate) => gate.pass().await,
                Fault::Hang => std::future::pending().await,
                Fault::Disconnect => return Err(Disconnected),
                _ => {}
            }
        }
        Ok(())
    }

    /// In place of acting upon the request; the first armed wins.
    pub(super) fn instead(&self) -> Option<Response<Body>> {
        self.0.iter().find_map(|fault| match fault {
            Fault::Status(status) => Some(plain(*status)),
            Fault::TooManyRequests(retry_after) => Some(too_many_requests(retry_after.clone())),
            Fault::EdgeBlock => Some(edge_block()),
            Fault::Canned(canned) => {
                let mut response = Response::new(Body::whole(canned.body.clone()));
                *response.status_mut() = canned.status;
                *response.headers_mut() = canned.fields.clone();
                Some(response)
            }
            _ => None,
        })
    }

    /// When the answer is known, before its head is sent.
    pub(super) async fn after(&self, mut answer: Response<Body>) -> Response<Body> {
        for fault in &self.0 {
            match fault {
                Fault::HoldAnswer(gate) => gate.pass().await,
                Fault::LoseAnswer(status) => answer = plain(*status),
                _ => {}
            }
        }
        answer
    }

    /// When the answer's head is final.
    pub(super) fn cut(&self, answer: Response<Body>) -> Response<Body> {
        let bytes = self.0.iter().find_map(|fault| match fault {
            Fault::Cut(bytes) => Some(*bytes),
            _ => None,
        });
        match bytes {
            Some(bytes) => answer.map(|body| Body::stream(Cut::new(body, bytes))),
            None => answer,
        }
    }

    pub(super) fn lag(&self) -> Duration {
        let lag = |fault: &Fault| match fault {
            Fault::ReplicationLag(lag) => Some(*lag),
            _ => None,
        };
        self.0.iter().find_map(lag).unwrap_or_default()
    }

    pub(super) fn extra_member(&self) -> Option<&str> {
        self.0.iter().find_map(|fault| match fault {
            Fault::ExtraMember(member) => Some(&**member),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn latency_passes_by_the_clock_alone() {
        let (clock, hand) = Clock::manual();
        let hits = Hits(vec![Fault::Latency(Duration::from_secs(3600))]);
        let mut waiting = std::pin::pin!(hits.before(&clock));
        let at_once = std::future::poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await;
        assert!(at_once.is_pending());
        hand.advance(Duration::from_secs(3600));
        waiting.await.unwrap();
    }
}
