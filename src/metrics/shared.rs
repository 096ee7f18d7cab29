//! [`SharedSeries`]: what is counted of the fleet and its store.
//!
//! Only a process with `[shared]` shows any of it: its series exist from [`SharedSeries::show`] on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::series::{Counter, Durations, Histogram, Table, Totals};
use crate::closed_enum::closed_enum;

closed_enum! {
    /// What the store is asked for.
    pub enum Operation {
        /// A replica's heartbeat.
        Beat = "beat",
        /// Notices are appended to the log.
        Append = "append",
        /// A write is entered among the open ones, or taken out, or taken over.
        OpenWrite = "open_write",
        /// Members are removed, or leave.
        Member = "member",
        /// A stored response is looked for, or who fetches it.
        Lookup = "lookup",
        /// A response is stored.
        Store = "store",
        /// The lock of a fill is extended or freed.
        Lock = "lock",
        /// A proof is looked for, stored or taken out.
        Proof = "proof",
        /// A moment of a budget is booked.
        Book = "book",
        /// An account is told something: a limit, the outcome of a probe, what was spent alone.
        Account = "account",
    }
}

closed_enum! {
    /// How a question to the store ended.
    pub enum OperationResult {
        /// With an answer.
        Answered = "answered",
        /// Without one in time.
        Timeout = "timeout",
        /// There was no connection, or it broke, or the store was left alone because it had not answered.
        Lost = "lost",
        /// The server refused.
        Refused = "refused",
    }
}

closed_enum! {
    /// Why a lease was lost.
    pub enum LeaseLoss {
        /// There was no link to the store.
        Link = "link",
        /// Beats were refused or not answered.
        Unanswered = "unanswered",
        /// Answers came, but too late, or were not the last of what was missed.
        Late = "late",
        /// The replica left.
        Left = "left",
    }
}

closed_enum! {
    /// What a look-up in the second tier found.
    pub enum LookupResult {
        /// A response that counts.
        Hit = "hit",
        /// Nothing that counts: this replica fetches it.
        Miss = "miss",
        /// Nothing that counts: another replica fetches it.
        Followed = "followed",
        /// The store was not asked, or did not answer.
        Without = "without",
    }
}

closed_enum! {
    /// Why something that the store has does not count.
    pub enum Rejected {
        /// It was not sealed by a replica of this fleet, for this name; or it was cut or changed.
        Unreadable = "unreadable",
        /// It is sealed, and not what it should be.
        Malformed = "malformed",
        /// It is of another upstream, fleet, organization, key or credential.
        Foreign = "foreign",
        /// It is from before a notice that was applied here.
        Superseded = "superseded",
        /// It is too old, or how old it is cannot be told.
        Old = "old",
        /// The gate did not let it through.
        Gate = "gate",
        /// It names another organization than the credential is bound to.
        Moved = "moved",
        /// A notice cannot be read: of a newer format, or under an unknown secret. Everything was invalidated.
        Notice = "notice",
    }
}

/// What is counted of the fleet and its store. Clones count together.
#[derive(Clone, Debug)]
pub struct SharedSeries {
    link_up: Table<Level, 0>,
    replicas: Table<Level, 0>,
    operations: Table<Histogram, 2>,
    lease_losses: Table<Counter, 1>,
    lookups: Table<Counter, 1>,
    rejected: Table<Counter, 1>,
    invalidation_wait: Table<Histogram, 0>,
    writes_unannounced: Table<Counter, 0>,
    histories: Table<Counter, 0>,
    members_removed: Table<Counter, 0>,
}

impl Default for SharedSeries {
    fn default() -> Self {
        Self {
            link_up: Table::of(1),
            replicas: Table::of(1),
            operations: Table::of(Operation::ALL.len() * OperationResult::ALL.len()),
            lease_losses: Table::of(LeaseLoss::ALL.len()),
            lookups: Table::of(LookupResult::ALL.len()),
            rejected: Table::of(Rejected::ALL.len()),
            invalidation_wait: Table::of(1),
            writes_unannounced: Table::of(1),
            histories: Table::of(1),
            members_removed: Table::of(1),
        }
    }
}

impl SharedSeries {
    /// From now on all of it is shown, zeros as well: an alert on the first event needs them.
    pub fn show(&self) {
        self.link_up(LinkState::Down);
        self.replicas(0);
        for cause in LeaseLoss::ALL {
            self.loss(*cause);
        }
        for result in LookupResult::ALL {
            self.found(*result);
        }
        for reason in Rejected::ALL {
            self.reason(*reason);
        }
        self.invalidation_wait.at(0, || []);
        for counter in [&self.writes_unannounced, &self.histories, &self.members_removed] {
            counter.at(0, || []);
        }
    }

    /// Whether there is a link to the store.
    pub fn link_up(&self, state: LinkState) {
        self.link_up.at(0, || []).set(u64::from(state == LinkState::Up));
    }

    /// How many replicas the fleet has, this one included.
    pub fn replicas(&self, count: u64) {
        self.replicas.at(0, || []).set(count);
    }

    /// Counts one question to the store, and how long it took.
    pub fn operation(&self, operation: Operation, result: OperationResult, took: Duration) {
        let index = operation.index() * OperationResult::ALL.len() + result.index();
        let labels = || [("operation", operation.as_str()), ("result", result.as_str())];
        self.operations.at(index, labels).observe(took);
    }

    /// Counts one lease that was lost.
    pub fn lease_loss(&self, cause: LeaseLoss) {
        self.loss(cause).add_one();
    }

    /// Counts one look-up in the second tier.
    pub fn lookup(&self, result: LookupResult) {
        self.found(result).add_one();
    }

    /// Counts one thing that the store has and that does not count.
    pub fn rejected(&self, reason: Rejected) {
        self.reason(reason).add_one();
    }

    /// Counts one answer to a write that was held until all replicas had applied what it invalidates, or their leases were
    /// over.
    pub fn invalidation_wait(&self, waited: Duration) {
        self.invalidation_wait.at(0, || []).observe(waited);
    }

    /// Counts one write whose answer was given before the others could be told.
    pub fn write_unannounced(&self) {
        self.writes_unannounced.at(0, || []).add_one();
    }

    /// Counts one history that began: everything was invalidated everywhere.
    pub fn history(&self) {
        self.histories.at(0, || []).add_one();
    }

    /// Counts one member that was removed because it had not moved.
    pub fn member_removed(&self) {
        self.members_removed.at(0, || []).add_one();
    }

    fn loss(&self, cause: LeaseLoss) -> &Counter {
        self.lease_losses.at(cause.index(), || [("cause", cause.as_str())])
    }

    fn found(&self, result: LookupResult) -> &Counter {
        self.lookups.at(result.index(), || [("result", result.as_str())])
    }

    fn reason(&self, reason: Rejected) -> &Counter {
        self.rejected.at(reason.index(), || [("reason", reason.as_str())])
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("shared_link_up", "Whether there is a link to the store", self.link_up.clone());
        registry.register("shared_replicas", "Replicas of the fleet", self.replicas.clone());
        let losses = "Leases that were lost";
        registry.register("shared_lease_losses", losses, self.lease_losses.clone());
        registry.register("shared_operations", "Questions to the store", Totals(self.operations.clone()));
        registry.register_with_unit(
            "shared_operation",
            "From the wish to ask the store to its answer, or to giving up",
            Unit::Seconds,
            Durations { table: self.operations.clone(), merged: OperationResult::ALL.len() },
        );
        registry.register("shared_lookups", "Look-ups in the second tier", self.lookups.clone());
        let rejected = "What the store had, and what did not count";
        registry.register("shared_rejected", rejected, self.rejected.clone());
        registry.register_with_unit(
            "shared_invalidation_wait",
            "For how long answers to writes were held until all replicas had applied what they invalidate",
            Unit::Seconds,
            Durations { table: self.invalidation_wait.clone(), merged: 1 },
        );
        let unannounced = "Writes that were answered before the others could be told";
        registry.register("shared_writes_unannounced", unannounced, self.writes_unannounced.clone());
        let histories = "Histories that began";
        registry.register("shared_histories", histories, self.histories.clone());
        let removed = "Members that were removed because they had not moved";
        registry.register("shared_members_removed", removed, self.members_removed.clone());
    }
}

/// Whether there is a link to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// There is.
    Up,
    /// There is none.
    Down,
}

/// A number that rises and falls.
#[derive(Debug, Default)]
struct Level(AtomicU64);

impl Level {
    fn set(&self, level: u64) {
        self.0.store(level, Ordering::Relaxed);
    }
}

impl EncodeMetric for Table<Level, 0> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> std::fmt::Result {
        self.occurred().try_for_each(|(_, level)| encoder.encode_gauge(&level.0.load(Ordering::Relaxed)))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Gauges, Metrics};

    fn series(metrics: &Metrics) -> Vec<String> {
        let page = metrics.render(Gauges::default());
        let ours = page.lines().filter(|line| line.starts_with("instantly_proxy_shared_"));
        ours.map(|line| line.replace("{}", "")).collect()
    }

    #[test]
    fn only_a_fleet_shows_its_series_and_it_shows_zeros() {
        let metrics = Metrics::default();
        assert_eq!(series(&metrics), [""; 0]);
        metrics.shared().show();
        let shown = series(&metrics);
        for line in [
            "instantly_proxy_shared_link_up 0",
            "instantly_proxy_shared_replicas 0",
            "instantly_proxy_shared_lease_losses_total{cause=\"late\"} 0",
            "instantly_proxy_shared_lookups_total{result=\"hit\"} 0",
            "instantly_proxy_shared_rejected_total{reason=\"notice\"} 0",
            "instantly_proxy_shared_invalidation_wait_seconds_count 0",
            "instantly_proxy_shared_writes_unannounced_total 0",
            "instantly_proxy_shared_histories_total 0",
            "instantly_proxy_shared_members_removed_total 0",
        ] {
            assert!(shown.iter().any(|shown| shown == line), "{line}: {shown:#?}");
        }
    }

    #[test]
    fn clones_count_together() {
        let metrics = Metrics::default();
        let clone = metrics.shared().clone();
        clone.link_up(LinkState::Up);
        clone.replicas(3);
        for result in [OperationResult::Answered, OperationResult::Timeout] {
            clone.operation(Operation::Beat, result, Duration::from_millis(2));
        }
        let shown = series(&metrics);
        for line in [
            "instantly_proxy_shared_link_up 1",
            "instantly_proxy_shared_replicas 3",
            "instantly_proxy_shared_operations_total{operation=\"beat\",result=\"timeout\"} 1",
            "instantly_proxy_shared_operation_seconds_count{operation=\"beat\"} 2",
        ] {
            assert!(shown.iter().any(|shown| shown == line), "{line}: {shown:#?}");
        }
        clone.link_up(LinkState::Down);
        assert!(series(&metrics).contains(&"instantly_proxy_shared_link_up 0".to_owned()));
    }
}
