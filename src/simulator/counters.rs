//! [`Counters`]: what arrived, for tests and the demo to compare with what was meant to arrive.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Version};
use uuid::Uuid;

use super::operation::{Operation, Verb};
use super::organization::Organization;
use crate::lock::{Mutex, MutexGuard};

/// What arrived since the start. A request counts when its head is read, whatever becomes of it.
#[derive(Debug)]
pub struct Counters {
    requests: AtomicU64,
    by_organization: Box<[(Uuid, AtomicU64)]>,
    by_operation: [[AtomicU64; Verb::ALL.len()]; Operation::ALL.len()],
    unauthorized: AtomicU64,
    under_way: AtomicU64,
    most_under_way: AtomicU64,
    pub(super) uploaded: AtomicU64,
    connections: AtomicU64,
    open_connections: AtomicU64,
    log: Mutex<VecDeque<Arrival>>,
    log_length: usize,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// Its HTTP version.
    pub version: Version,
    /// Which connection it came on, counted from 0.
    pub connection: u64,
    /// [`Key::index`](super::Key::index), where the key is known.
    pub key: Option<usize>,
    /// Whose data it asks for, where the key is known and may.
    pub organization: Option<Uuid>,
    /// Its fields; the value of `Authorization` is `***`.
    pub fields: HeaderMap,
}

impl Counters {
    pub(super) fn new(organizations: &[Organization], log_length: usize) -> Self {
        Self {
            requests: AtomicU64::new(0),
            by_organization: organizations.iter().map(|o| (o.id(), AtomicU64::new(0))).collect(),
            by_operation: [const { [const { AtomicU64::new(0) }; Verb::ALL.len()] }; Operation::ALL.len()],
            unauthorized: AtomicU64::new(0),
            under_way: AtomicU64::new(0),
            most_under_way: AtomicU64::new(0),
            uploaded: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            open_connections: AtomicU64::new(0),
            log: Mutex::new(VecDeque::with_capacity(log_length)),
            log_length,
        }
    }

    /// Requests in all.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Requests for this organization's data, by whatever key.
    #[must_use]
    pub fn of_organization(&self, id: Uuid) -> u64 {
        let count = self.by_organization.iter().find(|(organization, _)| *organization == id);
        count.map_or(0, |(_, count)| count.load(Ordering::Relaxed))
    }

    /// Requests for this operation, HEAD included.
    #[must_use]
    pub fn of_operation(&self, operation: Operation) -> u64 {
        self.by_operation[operation.index()].iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Requests with this method for this operation.
    #[must_use]
    pub fn of(&self, verb: Verb, operation: Operation) -> u64 {
        self.by_operation[operation.index()][verb.index()].load(Ordering::Relaxed)
    }

    /// Answers of status 401.
    #[must_use]
    pub fn unauthorized(&self) -> u64 {
        self.unauthorized.load(Ordering::Relaxed)
    }

    /// Requests without the head of an answer yet.
    #[must_use]
    pub fn under_way(&self) -> u64 {
        self.under_way.load(Ordering::Relaxed)
    }

    /// The most requests that were under way at once.
    #[must_use]
    pub fn most_under_way(&self) -> u64 {
        self.most_under_way.load(Ordering::Relaxed)
    }

    /// Bytes that the upload sink has received.
    #[must_use]
    pub fn uploaded_bytes(&self) -> u64 {
        self.uploaded.load(Ordering::Relaxed)
    }

    /// Connections that were accepted, those without a request included.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Connections that are open.
    #[must_use]
    pub fn open_connections(&self) -> u64 {
        self.open_connections.load(Ordering::Relaxed)
    }

    /// The latest requests, the oldest first; as many as the configuration keeps.
    #[must_use]
    pub fn recent(&self) -> Vec<Arrival> {
        self.log().iter().cloned().collect()
    }

    /// Forgets the requests that [`recent`](Self::recent) tells of; the counts stay.
    pub fn forget_recent(&self) {
        self.log().clear();
    }

    pub(super) fn arrived(&self, arrived: &Arrived<'_>) -> UnderWay<'_> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.by_operation[arrived.operation.index()][arrived.verb.index()].fetch_add(1, Ordering::Relaxed);
        if let Some(organization) = arrived.organization {
            self.by_organization[organization.index()].1.fetch_add(1, Ordering::Relaxed);
        }
        if self.log_length > 0 {
            self.remember(arrived);
        }
        let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_under_way.fetch_max(under_way, Ordering::Relaxed);
        UnderWay(&self.under_way)
    }

    pub(super) fn refused_as_unauthorized(&self) {
        self.unauthorized.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection; its number, and what counts it as open until dropped.
    pub(super) fn connected(&self) -> (u64, UnderWay<'_>) {
        self.open_connections.fetch_add(1, Ordering::Relaxed);
        (self.connections.fetch_add(1, Ordering::Relaxed), UnderWay(&self.open_connections))
    }

    fn remember(&self, arrived: &Arrived<'_>) {
        let mut fields = arrived.head.headers.clone();
        if fields.contains_key(AUTHORIZATION) {
            fields.insert(AUTHORIZATION, HeaderValue::from_static("***"));
        }
        let uri = &arrived.head.uri;
        let arrival = Arrival {
            method: arrived.head.method.clone(),
            target: uri.path_and_query().map_or_else(|| uri.to_string(), ToString::to_string),
            version: arrived.head.version,
            connection: arrived.connection,
            key: arrived.key,
            organization: arrived.organization.map(Organization::id),
            fields,
        };
        let mut log = self.log();
        if log.len() == self.log_length {
            log.pop_front();
        }
        log.push_back(arrival);
    }

    fn log(&self) -> MutexGuard<'_, VecDeque<Arrival>> {
        self.log.lock()
    }
}

/// A request's head and what is known of it.
pub(super) struct Arrived<'a> {
    pub(super) head: &'a Parts,
    pub(super) connection: u64,
    pub(super) verb: Verb,
    pub(super) operation: Operation,
    pub(super) key: Option<usize>,
    pub(super) organization: Option<&'a Organization>,
}

/// Counts down when dropped.
#[must_use]
pub(super) struct UnderWay<'a>(&'a AtomicU64);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn arrive(counters: &Counters, target: &str) {
        let request = Request::get(target).header("authorization", "Bearer secret").body(()).unwrap();
        let head = request.into_parts().0;
        let verb = Verb::Get;
        let operation = Operation::ListLabels;
        let _done = counters.arrived(&Arrived {
            head: &head,
            connection: 0,
            verb,
            operation,
            key: None,
            organization: None,
        });
    }

    #[test]
    fn the_log_is_bounded_and_holds_no_token() {
        let counters = Counters::new(&[], 2);
        for target in ["/a", "/b", "/c?d=e"] {
            arrive(&counters, target);
        }
        let recent = counters.recent();
        assert_eq!(recent.iter().map(|a| a.target.as_str()).collect::<Vec<_>>(), ["/b", "/c?d=e"]);
        assert!(!format!("{recent:?}").contains("secret"));
        assert_eq!(recent[0].fields[AUTHORIZATION], "***");
    }

    #[test]
    fn what_is_under_way_falls_when_it_ends() {
        let counters = Counters::new(&[], 0);
        arrive(&counters, "/a");
        arrive(&counters, "/b");
        assert_eq!((counters.requests(), counters.under_way(), counters.most_under_way()), (2, 0, 1));
        assert_eq!(counters.of_operation(Operation::ListLabels), 2);
    }
}
