//! [`Metrics`]: every counter and histogram, held by closed enums so that nothing is looked up on the way of a request.

use std::time::Duration;

use crate::cache::gate::GateReason;
use crate::closed_enum::closed_enum;
use crate::outcome::{Avoided, Outcome, Route, StatusClass};
use crate::upstream::purpose::{Purpose, UpstreamStatus};

closed_enum! {
    /// What an attempt to prove a credential came to: the `result` of `instantly_proxy_proofs_total`.
    pub enum ProofResult {
        /// A credential without a binding was proven.
        Bound = "bound",
        /// A bound credential was proven again.
        Renewed = "renewed",
        /// The credential was bound to another organization before: the binding was dropped.
        Moved = "moved",
        /// Answered 200, but by a body that names no organization.
        Unnamed = "unnamed",
        /// Answered 200 to a read sent before a refusal arrived: proves nothing.
        Late = "late",
        /// Answered 401, 402 or 403: proofs ended.
        Refused = "refused",
        /// Another answer, or none.
        Failed = "failed",
    }
}

closed_enum! {
    /// Why stored responses of an organization or of an id ceased to count.
    pub enum InvalidationCause {
        /// A label write whose fate is known.
        Write = "write",
        /// A label write whose fate is unknown.
        UnknownWrite = "unknown_write",
        /// The upstream says that the label is gone.
        NotFound = "not_found",
        /// An operator said so.
        Purge = "purge",
    }
}

closed_enum! {
    /// Why the store let a stored response go.
    pub enum EvictionCause {
        /// Space ran out.
        Size = "size",
        /// It could not be served any more.
        Expired = "expired",
    }
}

closed_enum! {
    /// A path of the admin listener: the `path` label.
    pub enum AdminPath {
        /// `/livez`
        Livez = "/livez",
        /// `/readyz`
        Readyz = "/readyz",
        /// `/metrics`
        Metrics = "/metrics",
        /// `/api/status`
        Status = "/api/status",
        /// `/api/purge`
        Purge = "/api/purge",
        /// Any other.
        Other = "other",
    }
}

/// Values that are read at the moment of a scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Stored responses.
    pub cache_entries: u64,
    /// Bytes that they take, keys and overhead included.
    pub cache_bytes: u64,
    /// Credentials whose organization is known.
    pub bindings: u64,
}

/// Every counter and histogram of the process.
#[derive(Debug, Default)]
pub struct Metrics {}

impl Metrics {
    /// Counts one answered request and its duration from head to the end of the head's answer.
    pub fn request(&self, _route: Route, _outcome: Outcome, _status: StatusClass, _duration: Duration) {}

    /// Counts one upstream call and its duration until the head of its answer, or its failure.
    pub fn upstream(&self, _purpose: Purpose, _status: UpstreamStatus, _duration: Duration) {}

    /// Counts one upstream call that was not needed.
    pub fn avoided(&self, _by: Avoided) {}

    /// Counts one attempt to prove a credential.
    pub fn proof(&self, _result: ProofResult) {}

    /// Counts one raise or removal.
    pub fn invalidation(&self, _cause: InvalidationCause) {}

    /// Counts one stored response that the store let go.
    pub fn eviction(&self, _cause: EvictionCause) {}

    /// Counts one upstream answer that may not be stored.
    pub fn gate_rejection(&self, _reason: GateReason) {}

    /// Counts one request to the admin listener.
    pub fn admin_request(&self, _path: AdminPath, _status: StatusClass) {}
}
