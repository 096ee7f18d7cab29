//! [`Gate`]: what holds requests or answers until a test lets them go.

use tokio::sync::watch;

/// A handle to one gate; clones are the same gate. Closed until released, then open for good.
#[derive(Clone, Debug)]
pub struct Gate(watch::Sender<State>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    open: bool,
    arrived: usize,
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(State::default()))
    }

    /// Lets everybody go, those to come included.
    pub fn release(&self) {
        self.0.send_modify(|state| state.open = true);
    }

    /// How many have come to the gate so far, those who went on or gave up included.
    #[must_use]
    pub fn arrivals(&self) -> usize {
        self.0.borrow().arrived
    }

    /// Waits until this many have come in all.
    pub async fn arrived(&self, count: usize) {
        self.until(|state| state.arrived >= count).await;
    }

    pub(super) async fn pass(&self) {
        self.0.send_modify(|state| state.arrived += 1);
        self.until(|state| state.open).await;
    }

    async fn until(&self, reached: impl FnMut(&State) -> bool) {
        let mut states = self.0.subscribe();
        states.wait_for(reached).await.expect("this handle holds the sender");
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_gate_holds_until_it_is_released_and_then_stays_open() {
        let gate = Gate::new();
        let held = tokio::spawn({
            let gate = gate.clone();
            async move { gate.pass().await }
        });
        gate.arrived(1).await;
        assert!(!held.is_finished());
        gate.release();
        held.await.unwrap();
        gate.pass().await;
        assert_eq!(gate.arrivals(), 2);
    }
}
