//! The proxy in a deterministic simulation: clients, upstream, time and chance come from a seed, and an oracle judges each
//! answer by the rules (`judge`).
//!
//! The whole proxy above the socket takes part, the HTTP library included, one process or several. Between two decisions nothing
//! goes on but what the proxies themselves do, until they are quiet or, at times, only for a few turns of their tasks: so every
//! place at which they wait is one at which something else may happen. One seed gives one list of decisions and one log of
//! events. A failure prints its seed, and the log of a smaller history that breaks the same promise (`shrink`);
//! `SIMULATION_SEED` runs it again, `SIMULATION_OPERATIONS` runs longer.

mod answer;
mod broken;
mod calm;
mod client;
mod decision;
mod event;
mod http2;
mod judge;
mod known;
mod line;
mod met;
mod oracle;
mod scene;
mod setting;
mod shrink;
mod stage;
mod store;
mod streams;
mod tests;
mod truth;
mod upstream;

use std::fmt;

use self::broken::{Broken, catch};
use self::decision::{Choices, Decision, Kind, Pace};
use self::event::Lines;
use self::met::Met;
use self::scene::Scene;
use self::setting::Setting;

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outcome {
    /// Of all events in their order.
    log: u64,
    events: u64,
    met: Met,
}

/// A history that breaks a promise.
struct Failure {
    broken: Broken,
    history: Vec<Decision>,
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} behind {} decisions", self.broken, self.history.len())
    }
}

/// So many operations of clients, with everything else that goes on meanwhile.
fn run(seed: u64, setting: Setting, operations: usize) -> Result<Outcome, Failure> {
    let mut history = Vec::new();
    let ran = catch(|| {
        let mut scene = Scene::new(setting, None);
        let mut choices = Choices::new(seed, &setting);
        while scene.operations < operations {
            let decision = choices.draw();
            history.push(decision);
            scene.take(decision);
        }
        let end = Decision { kind: Kind::End, seed, pace: Pace::Settle };
        history.push(end);
        scene.take(end);
        scene.outcome()
    });
    ran.map_err(|broken| Failure { broken, history })
}

/// The same decisions, or some of them, once more; the events are kept where somebody is to read them.
fn replay(history: &[Decision], setting: Setting, lines: Option<Lines>) -> Result<Outcome, Broken> {
    catch(|| {
        let mut scene = Scene::new(setting, lines);
        history.iter().for_each(|decision| scene.take(*decision));
        scene.outcome()
    })
}
