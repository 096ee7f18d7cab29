//! [`Breaker`]: whether the upstream can be reached at all.
//!
//! It counts failures that speak of the upstream or the way to it: of connecting, of an HTTP/2 PING, of a fetch's deadline.
//! It never counts a 5xx, which is an answer, nor a pass-through deadline, which may be one slow endpoint. It opens when
//! they come from several connections with no answer to anybody among them; then calls fail at once, but for one probe
//! at a time, and the first answer heals it; where nobody asks for a minute it lapses. Opening trial connections and sending
//! probes is left to the caller.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::lock::{Mutex, MutexGuard};

/// Failures that open it.
const FAILURES: usize = 3;
/// Within this time.
const WINDOW: Duration = Duration::from_secs(5);
/// When connections are tried to find out, counted from the first suspicion. They may overlap: a connection that times
/// out takes longer than the time between two.
const TRIALS: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_millis(500), Duration::from_millis(1000)];
/// Probes begin this far apart.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Nobody asked for so long: what was found out then says nothing of now, and the next call finds out as the first one did.
/// Otherwise an idle process would call the upstream dead for as long as nobody comes. Whoever is turned away comes again
/// sooner, and waits for no time-out again.
const LAPSES: Duration = Duration::from_secs(60);
/// A probe that has not been answered by then holds nobody else up: pass-through calls may wait long for their head.
const PROBE_MAX_WAIT: Duration = Duration::from_secs(5);

/// A process's view of the upstream; a handle, as probes hold it.
#[derive(Clone, Debug, Default)]
pub struct Breaker(Arc<Mutex<State>>);

/// Whether a call may go upstream.
#[derive(Debug)]
pub enum Verdict {
    /// Yes.
    Go,
    /// Yes, as the one call that finds out: the guard is held until its answer or failure has been noted.
    Probe(Probe),
    /// No.
    Refuse {
        /// When the next call may find out.
        retry_after: Duration,
    },
}

/// What a failure changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Nothing.
    Counted,
    /// The upstream is suspected from now on: a connection is to be tried at each [`Breaker::next_trial`].
    Suspected,
    /// The breaker is open from now on.
    Opened,
}

/// The right to find out whether an open breaker heals. Dropped without an answer, the next call gets it.
#[derive(Debug)]
#[must_use = "dropping it lets the next probe go"]
pub struct Probe {
    breaker: Breaker,
    number: u64,
}

#[derive(Debug, Default)]
struct State {
    /// The latest three failures: of more, three on two connections would have opened it before.
    recent: VecDeque<Failure>,
    suspicion: Option<Suspicion>,
    open: Option<Open>,
    probes: u64,
}

#[derive(Debug)]
struct Failure {
    connection: u64,
    at: Moment,
}

#[derive(Debug)]
struct Suspicion {
    since: Moment,
    trials: usize,
}

#[derive(Debug)]
struct Open {
    next_probe: Moment,
    under_way: Option<UnderWay>,
    /// When it was last of use or confirmed: a call was refused by it, was sent to find out, or failed.
    asked: Moment,
}

#[derive(Debug)]
struct UnderWay {
    number: u64,
    begun: Moment,
}

impl Breaker {
    /// Whether a call may be sent at `now`.
    #[must_use]
    pub fn admit(&self, now: Moment) -> Verdict {
        let mut state = self.lock();
        let number = state.probes.wrapping_add(1);
        let Some(open) = state.open_at(now) else { return Verdict::Go };
        open.asked = now;
        if let Some(retry_after) = open.refuses(now) {
            return Verdict::Refuse { retry_after };
        }
        *open = Open {
            next_probe: now.plus(PROBE_EVERY),
            under_way: Some(UnderWay { number, begun: now }),
            asked: now,
        };
        state.probes = number;
        Verdict::Probe(Probe { breaker: self.clone(), number })
    }

    /// When to come again, if a call would be refused at `now`. Asking takes no probe.
    #[must_use]
    pub fn refuses(&self, now: Moment) -> Option<Duration> {
        let mut state = self.lock();
        let open = state.open_at(now)?;
        let refused = open.refuses(now);
        if refused.is_some() {
            open.asked = now;
        }
        refused
    }

    /// Notes a failure of a connection, or of a call on one. A connection that was never there has a number of its own.
    pub fn on_failure(&self, connection: u64, now: Moment) -> Reaction {
        let mut state = self.lock();
        if let Some(open) = state.open_at(now) {
            open.asked = now;
            return Reaction::Counted;
        }
        state.recent.push_back(Failure { connection, at: now });
        if state.recent.len() > FAILURES {
            state.recent.pop_front();
        }
        if state.is_dead(now) {
            *state = State {
                open: Some(Open { next_probe: now.plus(PROBE_EVERY), under_way: None, asked: now }),
                probes: state.probes,
                ..State::default()
            };
            return Reaction::Opened;
        }
        state.suspect(now)
    }

    /// Suspects the upstream without a failure, as when a PING is late: trials show whether it is dead before the PING's
    /// time is over.
    pub fn suspect(&self, now: Moment) -> Reaction {
        let mut state = self.lock();
        if state.open_at(now).is_some() { Reaction::Counted } else { state.suspect(now) }
    }

    /// Notes an answer to any call of anybody, whatever its status. Returns whether it healed an open breaker. A
    /// connection that comes about is no answer: a frozen process still accepts them.
    pub fn on_success(&self) -> bool {
        let mut state = self.lock();
        if state.recent.is_empty() && state.suspicion.is_none() && state.open.is_none() {
            return false;
        }
        let probes = state.probes;
        std::mem::replace(&mut *state, State { probes, ..State::default() }).open.is_some()
    }

    /// When the next trial connection is due; nothing while the upstream is not suspected, or is known to be dead.
    #[must_use]
    pub fn next_trial(&self) -> Option<Moment> {
        self.lock().next_trial()
    }

    /// Takes the trial that is due, so that each is made once. Its failure goes to [`Self::on_failure`].
    #[must_use]
    pub fn take_trial(&self, now: Moment) -> bool {
        let mut state = self.lock();
        let due = state.next_trial().is_some_and(|at| now.reached(at));
        if let Some(suspicion) = state.suspicion.as_mut().filter(|_| due) {
            suspicion.trials += 1;
        }
        due
    }

    /// Whether it is open at `now`: calls fail at once, but for probes.
    #[must_use]
    pub fn is_open(&self, now: Moment) -> bool {
        self.lock().open_at(now).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl Open {
    fn refuses(&self, now: Moment) -> Option<Duration> {
        if self.under_way.as_ref().is_some_and(|probe| now.since(probe.begun) < PROBE_MAX_WAIT) {
            return Some(PROBE_EVERY);
        }
        // A wall clock that was set back makes nobody wait longer.
        (!now.reached(self.next_probe)).then(|| self.next_probe.since(now).min(PROBE_EVERY))
    }
}

impl State {
    /// What holds calls up at `now`; it lapses here.
    fn open_at(&mut self, now: Moment) -> Option<&mut Open> {
        self.open.take_if(|open| now.since(open.asked) >= LAPSES);
        self.open.as_mut()
    }

    fn is_dead(&self, now: Moment) -> bool {
        let mut in_window = self.recent.iter().filter(|failure| now.since(failure.at) <= WINDOW).peekable();
        let Some(first) = in_window.peek().map(|failure| failure.connection) else { return false };
        let (failures, elsewhere) = in_window.fold((0, false), |(failures, elsewhere), failure| {
            (failures + 1, elsewhere || failure.connection != first)
        });
        failures >= FAILURES && elsewhere
    }

    /// One suspicion lasts as long as failures count together, so that a flickering one is not a storm of connections.
    fn suspect(&mut self, now: Moment) -> Reaction {
        if self.suspicion.as_ref().is_some_and(|suspicion| now.since(suspicion.since) < WINDOW) {
            return Reaction::Counted;
        }
        self.suspicion = Some(Suspicion { since: now, trials: 0 });
        Reaction::Suspected
    }

    fn next_trial(&self) -> Option<Moment> {
        let suspicion = self.suspicion.as_ref()?;
        TRIALS.get(suspicion.trials).map(|after| suspicion.since.plus(*after))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if let Some(open) = &mut self.breaker.lock().open
            && open.under_way.as_ref().is_some_and(|probe| probe.number == self.number)
        {
            open.under_way = None;
        }
    }
}

#[cfg(test)]
#[path = "breaker/tests.rs"]
mod tests;
