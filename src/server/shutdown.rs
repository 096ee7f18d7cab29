//! [`Shutdown`] and [`Drained`]: how a stop is asked for, and what it had to cut.

/// How to stop; a later one is harder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shutdown {
    /// Readiness off, accept for `drain_delay`, then end what is under way within `drain_timeout`.
    Graceful,
    /// The same without the delay.
    WithoutDelay,
    /// Cut everything.
    Now,
}

/// What a stop had to cut when the drain time-out expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Connections with a request under way.
    pub cut: usize,
}
