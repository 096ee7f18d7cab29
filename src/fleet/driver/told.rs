//! What the link's task is told, and what it tells: orders of the handle, events of [`Control`](super::Control).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::super::apply::NOTICE;
use super::super::control::{Event, Held, Settled, StoreTime, WriteId};
use super::super::notice::Notice;
use super::super::roster::{self, Replica};
use super::super::seal::SealPurpose;
use super::super::{Order, Receipt};
use super::{Running, Waiting, Way};
use crate::clock::Moment;

impl Running {
    pub(super) fn order(&mut self, order: Order, now: Moment) {
        match order {
            Order::Open { write, entered, last_will } => {
                let last_will = self.seal(&last_will);
                self.waiting.insert(WriteId(write), Waiting { entered: Some(entered), ..Waiting::default() });
                self.driver.control.open(WriteId(write), &last_will, now);
            }
            Order::Close { write } => {
                self.waiting.remove(&WriteId(write));
                self.driver.control.close(WriteId(write));
            }
            Order::Announce { write, notices, appended, settled } => {
                let write = WriteId(write.unwrap_or_else(|| {
                    self.announcements -= 1;
                    self.announcements
                }));
                let notices = notices.iter().map(|notice| self.seal(notice)).collect();
                let held = if settled.is_closed() { Held::Nothing } else { Held::Answer };
                let waiting = self.waiting.entry(write).or_default();
                (waiting.appended, waiting.settled) = (Some(appended), Some(settled));
                self.driver.control.announce(write, notices, held, now);
                if held == Held::Nothing {
                    self.waiting.remove(&write);
                }
            }
            Order::Leave { left } => {
                self.left = Some(left);
                self.driver.control.leave();
            }
            Order::Roster { told } => self.ask_roster(told),
        }
    }

    /// Tells who waits.
    pub(super) fn tell(&mut self, event: Event) {
        match event {
            Event::Entered { write, entry } => {
                let waiting = self.waiting.get_mut(&write).and_then(|waiting| waiting.entered.take());
                waiting.map(|entered| entered.send(entry));
            }
            Event::Appended { write, number, .. } => {
                if let Some(waiting) = self.waiting.get_mut(&write) {
                    waiting.number = number;
                    waiting.appended.take().map(|appended| appended.send(()));
                }
            }
            Event::Settled { write, settled, waited } => {
                self.driver.metrics.shared().invalidation_wait(waited);
                if settled == Settled::Unannounced {
                    self.driver.metrics.shared().write_unannounced();
                }
                if let Some(Waiting { settled: Some(told), number, .. }) = self.waiting.remove(&write) {
                    let _ = told.send(Receipt { settled: Some(settled), number, waited });
                }
            }
            Event::History { first, begun_here } => {
                self.driver.metrics.shared().history();
                tracing::info!(number = first.0, begun_here, "a new history of the fleet's log");
            }
            Event::TakenOver(count) => {
                tracing::warn!(count, "writes of a replica that is gone are told as of unknown fate");
            }
            Event::Removed(count) => {
                (0..count).for_each(|_| self.driver.metrics.shared().member_removed());
                tracing::warn!(count, "replicas that do not answer are removed from the fleet");
            }
            Event::LeaseGained => tracing::info!("this replica has a lease of the fleet"),
            Event::LeaseLost(cause) => {
                self.driver.metrics.shared().lease_loss(cause);
                tracing::warn!(
                    cause = cause.as_str(),
                    "this replica has lost its lease of the fleet: it is alone"
                );
            }
            Event::Left => {
                self.has_left = true;
                self.left.take().map(|left| left.send(()));
            }
        }
    }

    /// What upstream calls are stamped with from now on.
    pub(super) fn stamp(&self) {
        let control = &self.driver.control;
        self.driver.applier.heard.stamp_with(control.stamp().filter(|_| !control.has_unheard()));
    }

    /// What the handle shows of it.
    pub(super) fn show(&self) {
        if let Some(fleet) = self.driver.fleet.upgrade() {
            let status = self.driver.control.status();
            self.driver.metrics.shared().replicas(status.members.into());
            fleet.note_status(status);
            if let Some(StoreTime { sent, read, micros }) = self.driver.control.store_time() {
                fleet.tier().note_time(Duration::from_micros(micros), sent, read);
            }
        }
    }

    pub(super) fn note_store(&self, store: Option<String>) {
        if let Some(fleet) = self.driver.fleet.upgrade() {
            fleet.note_store(store);
        }
    }

    fn ask_roster(&self, told: oneshot::Sender<Vec<Replica>>) {
        let Way::Linked { link, .. } = &self.way else { return };
        let (link, names) = (Arc::clone(link), self.driver.roster.clone());
        self.driver.runtime.spawn(async move {
            if let Ok(replicas) = roster::ask(link, names).await {
                let _ = told.send(replicas);
            }
        });
    }

    fn seal(&self, notice: &Notice) -> Vec<u8> {
        self.driver.sealer.seal(SealPurpose::Notice, NOTICE, &notice.to_bytes())
    }
}
