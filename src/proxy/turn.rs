//! A fill's turn: it waits as long as the most patient of those who wait for it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use super::Proxy;
use super::fill::{Fill, Landing};
use crate::cache::flight::Ticket;
use crate::caller::identity::Caller;
use crate::clock::Moment;
use crate::error::ErrorKind;
use crate::origin::{Call, Lane, NotAdmitted, Retries, Turn};

impl Proxy {
    /// Waits for the fill's turn: as long as the most patient of those who wait for it, and not without any.
    pub(super) async fn queue(&self, fill: &Fill, ticket: &Ticket<Landing>) -> Result<Turn, NotAdmitted> {
        let asked_at = self.clock.now();
        loop {
            let patience = ticket.patience();
            let now = self.clock.now();
            let max_wait = Self::patience_of(fill, patience, now);
            let call = Call { asked_at, ..self.call_of(fill, max_wait) };
            let connecting = AtomicBool::new(false);
            let connects = || {
                // Nobody's patience is for that.
                connecting.store(true, Ordering::Relaxed);
                if let Some(attempt) = &fill.attempt {
                    attempt.note_sent(self.clock.now());
                }
                ticket.depart();
            };
            let mut admitting = pin!(self.origin.admit(&call, connects));
            if let Poll::Ready(admitted) = poll_fn(|cx| Poll::Ready(admitting.as_mut().poll(cx))).await {
                return admitted;
            }
            if connecting.load(Ordering::Relaxed) {
                return admitting.await;
            }
            ticket.queue();
            if let Some(attempt) = &fill.attempt {
                attempt.note_queued();
            }
            if !fill.awaited {
                return admitting.await;
            }
            let admitted = tokio::select! {
                biased;
                admitted = admitting.as_mut() => admitted,
                () = ticket.abandoned() => {
                    if connecting.load(Ordering::Relaxed) {
                        return admitting.await;
                    }
                    return Err(NotAdmitted::Rejected(ErrorKind::OverBudget.error()));
                }
            };
            match admitted {
                // Somebody came meanwhile who is ready to wait longer.
                Err(NotAdmitted::Rejected(_)) if ticket.patience() > patience.max(now.uptime()) => {}
                admitted => return admitted,
            }
        }
    }

    fn patience_of(fill: &Fill, until: Duration, now: Moment) -> Duration {
        if fill.awaited { until.saturating_sub(now.uptime()) } else { fill.rules.patience(None) }
    }

    pub(super) fn call_of<'a>(&self, fill: &'a Fill, patience: Duration) -> Call<'a> {
        Call {
            caller: Caller::Credential(&fill.credential),
            organization: fill.organization.as_ref().map(|organization| organization.id()),
            peer: fill.peer,
            route: fill.route,
            resource: Some(fill.read.resource),
            class: fill.class,
            asked_at: self.clock.now(),
            max_wait: patience,
            purpose: fill.purpose,
            lane: Lane::Labels,
            retries: Retries::Once,
            trace: fill.trace.as_ref(),
        }
    }
}
