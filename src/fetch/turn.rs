//! A fetch's turn: it waits as long as the most patient of those who wait for it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::Method;

use super::Fetcher;
use super::flight::Publisher;
use super::result::Fetched;
use super::task::{Fetch, Waited};
use crate::caller::identity::Caller;
use crate::clock::Moment;
use crate::error::ErrorKind;
use crate::origin::{Call, Lane, NotAdmitted, Retries, Turn};

impl Fetcher {
    /// Waits for the turn of a fetch: as long as the most patient of those who wait for it, and not without any.
    pub(super) async fn turn(
        &self,
        fetch: &Fetch,
        publisher: &Publisher<Fetched>,
    ) -> Result<Turn, NotAdmitted> {
        let asked_at = self.clock.now();
        loop {
            let until = publisher.max_wait();
            let now = self.clock.now();
            let max_wait = match fetch.waited {
                Waited::For => until.saturating_sub(now.uptime()),
                Waited::Behind => fetch.rules.max_wait(None),
            };
            let call = self.call_of(fetch, asked_at, max_wait);
            let connecting = AtomicBool::new(false);
            let connects = || {
                // No longest wait is for that.
                connecting.store(true, Ordering::Relaxed);
                if let Some(attempt) = &fetch.attempt {
                    attempt.note_sent(self.clock.now());
                }
                publisher.note_sent();
            };
            let mut admitting = pin!(self.origin.admit(&call, connects));
            if let Poll::Ready(admitted) = poll_fn(|cx| Poll::Ready(admitting.as_mut().poll(cx))).await {
                return admitted;
            }
            if connecting.load(Ordering::Relaxed) {
                return admitting.await;
            }
            publisher.note_queued();
            if let Some(attempt) = &fetch.attempt {
                attempt.note_queued();
            }
            if fetch.waited == Waited::Behind {
                return admitting.await;
            }
            let admitted = tokio::select! {
                biased;
                admitted = admitting.as_mut() => admitted,
                () = publisher.abandoned() => {
                    if connecting.load(Ordering::Relaxed) {
                        return admitting.await;
                    }
                    return Err(NotAdmitted::Rejected(ErrorKind::OverBudget.error()));
                }
            };
            match admitted {
                // Somebody came meanwhile who is ready to wait longer.
                Err(NotAdmitted::Rejected(_)) if publisher.max_wait() > until.max(now.uptime()) => {}
                admitted => return admitted,
            }
        }
    }

    /// The call of a fetch.
    pub(super) fn call_of<'a>(&self, fetch: &'a Fetch, asked_at: Moment, max_wait: Duration) -> Call<'a> {
        Call {
            caller: Caller::Credential(&fetch.credential),
            organization: fetch.organization.as_ref().map(|organization| organization.id()),
            peer: fetch.peer,
            route: self.digester.route(&Method::GET, fetch.read.resource.collection),
            resource: Some(fetch.read.resource),
            class: fetch.class,
            asked_at,
            max_wait,
            store_waited: fetch.store_waited,
            purpose: fetch.purpose,
            lane: Lane::Labels,
            retries: Retries::Once,
            payer: &fetch.payer,
            trace: fetch.trace.as_ref(),
        }
    }
}
