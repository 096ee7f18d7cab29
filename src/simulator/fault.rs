//! [`Fault`]: one thing that goes wrong with a request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::gate::Gate;

/// One thing that goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The request takes this long to arrive; what it reads is what holds then.
    Latency(Duration),
    /// The request is held at the gate, and acted upon when that is released.
    HoldRequest(Gate),
    /// The request is acted upon, and its answer held at the gate: a read's answer grows old there.
    HoldAnswer(Gate),
    /// No answer, ever; nothing is done.
    Hang,
    /// The connection (HTTP/2: the stream) ends without an answer; nothing is done.
    Disconnect,
    /// Nothing is done, and this error is the answer: 402, 5xx, or any other.
    Status(StatusCode),
    /// Nothing is done, and the answer is 429 with this `Retry-After`, as garbled as it may be.
    TooManyRequests(Option<HeaderValue>),
    /// Nothing is done, and the answer is the edge's: an HTML page with status 403 and `error code: 1010`.
    EdgeBlock,
    /// Nothing is done, and exactly this is the answer.
    Canned(Arc<Canned>),
    /// The request is acted upon, and the answer is this error in place of the outcome.
    LoseAnswer(StatusCode),
    /// The answer's head is sent as if all were well, then this many bytes, then the connection ends.
    Cut(u64),
    /// Reads go on seeing the value from before a write for this long after it.
    ReplicationLag(Duration),
    /// Every label in the answer has this member too: `"access_grants":[]`.
    ExtraMember(Arc<str>),
}

/// An answer as it is to be sent; the edge adds its fields, but encodes nothing that names an encoding.
#[derive(Clone, Debug, Default)]
pub struct Canned {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub fields: HeaderMap,
    /// Its body.
    pub body: Bytes,
}
