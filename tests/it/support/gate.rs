//! [`Gate`]: holds answers back until the test has seen that their requests are under way.

use std::sync::Arc;

use tokio::sync::watch;

use super::patience::patiently;
use super::recorded::Recorded;

/// Holds the answers to the requests that match, until they are released. Dropping it releases all.
pub struct Gate(Arc<GateState>);

impl Gate {
    pub(super) fn of(state: &Arc<GateState>) -> Self {
        Self(Arc::clone(state))
    }

    /// Waits until `count` requests in all have come to this gate.
    #[track_caller]
    pub fn held(&self, count: usize) -> impl Future<Output = ()> + use<> {
        let mut held = self.0.held.subscribe();
        patiently("requests to be held at a gate", async move {
            held.wait_for(|now| *now >= count).await.expect("the gate outlives the test");
        })
    }

    /// How many requests have come to this gate.
    pub fn count(&self) -> usize {
        *self.0.held.borrow()
    }

    /// Lets every answer out, and those of requests to come.
    pub fn release(&self) {
        self.0.open.send_replace(true);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.release();
    }
}

type Matcher = Box<dyn Fn(&Recorded) -> bool + Send + Sync>;

/// The upstream's side of a gate.
pub(super) struct GateState {
    matches: Matcher,
    held: watch::Sender<usize>,
    open: watch::Sender<bool>,
}

impl GateState {
    pub(super) fn new(matches: Matcher) -> Arc<Self> {
        Arc::new(Self { matches, held: watch::Sender::new(0), open: watch::Sender::new(false) })
    }

    pub(super) fn matches(&self, request: &Recorded) -> bool {
        (self.matches)(request)
    }

    /// Counts a request and waits until its answer may go.
    pub(super) async fn pass(&self) {
        self.held.send_modify(|count| *count += 1);
        let mut open = self.open.subscribe();
        let _ = open.wait_for(|open| *open).await;
    }
}
