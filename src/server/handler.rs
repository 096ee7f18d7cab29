//! [`Handler`]: what requests are answered by.

use http::Response;
use http::StatusCode;
use http::request::Parts;

use crate::body::Body;
use crate::metrics::ClientRefusal;
use crate::peer::Peer;
use crate::proxy::{Client, FromMemory};
use crate::received::Received;

/// Answers the requests of a thread's connections. A clone is made for each request.
pub(super) trait Handler: Clone + 'static {
    /// Answers one request; never fails: a failure is an answer.
    fn answer(
        &self,
        head: Parts,
        body: Received,
        peer: Peer,
    ) -> impl Future<Output = Response<Body>> + 'static;

    /// Answers a request from memory, if these bytes, all that have come, are the head of one whose answer is there: the
    /// answer's head is put into `head`. Otherwise nothing has been done, and [`Self::answer`] is asked.
    fn answer_from_memory(
        &self,
        _request: &[u8],
        _client: Client<'_>,
        _head: &mut Vec<u8>,
    ) -> Option<FromMemory> {
        None
    }

    /// Notes a client that was refused in its handshake because of its certificate.
    fn note_refused_client(&self, _peer: &Peer, _reason: ClientRefusal, _cause: &str) {}

    /// Notes a request that could not be read, and that the HTTP library has answered with a bare status.
    fn note_unreadable(&self, _peer: &Peer, _status: StatusCode, _fault: &hyper::Error) {}
}
