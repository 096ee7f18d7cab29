//! [`Bookings`]: how a table asks the store for moments, and by which rules.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::booking::{Both, Order};
use super::limits::{Limits, ShieldRules};

/// Whether this replica may ask the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It has a lease.
    Linked,
    /// It has none: nothing is asked.
    Alone,
}

/// How the table asks.
#[derive(Debug)]
pub(super) struct Bookings {
    pub(super) orders: UnboundedSender<Order>,
    pub(super) timeout: Duration,
    pub(super) link: Link,
    /// Nothing as long as none was seen.
    pub(super) replicas: Option<NonZeroU32>,
    pub(super) rules: ShieldRules,
}

impl Bookings {
    pub(super) fn new(orders: UnboundedSender<Order>, timeout: Duration, rules: ShieldRules) -> Self {
        Self { orders, timeout, link: Link::Alone, replicas: None, rules }
    }

    /// What all replicas together may send for an account.
    pub(super) const fn whole(&self) -> Both {
        Both { per_second: self.rules.requests_per_second, per_minute: self.rules.requests_per_minute }
    }

    /// What this one may send when it does not ask.
    pub(super) fn share(&self) -> Limits {
        Limits::new(&ShieldRules { replicas: self.replicas.unwrap_or(self.rules.replicas), ..self.rules })
    }

    pub(super) fn order(&self, order: Order) {
        // Whoever carried them is gone when the process ends.
        self.orders.send(order).ok();
    }
}
