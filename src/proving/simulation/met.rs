//! [`Met`]: what a run has met, by its oracle.

/// How often each thing was met: a simulation that never meets it proves nothing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) answers: u64,
    pub(super) by_streams: u64,
    /// Calls that were answered over HTTP/2, and those that were given back unseen.
    pub(super) over_http2: u64,
    pub(super) unseen: u64,
    /// Calls whose connection of HTTP/2 ended under them.
    pub(super) ended: u64,
    pub(super) stored: u64,
    /// Of those, while nothing excused an old one.
    pub(super) calm: u64,
    pub(super) shared: u64,
    /// Hits that waited for nobody.
    pub(super) at_once: u64,
    /// Of those, while the link to the store was cut or frozen.
    pub(super) at_once_cut: u64,
    pub(super) outlived: u64,
    pub(super) written: u64,
    pub(super) refused: u64,
    /// Labels that came behind a refusal and had been sent before it.
    pub(super) late: u64,
    pub(super) cut: u64,
    pub(super) slipped: u64,
    pub(super) doubtful: u64,
    pub(super) restarts: u64,
    /// Answers to a token that had moved.
    pub(super) moved: u64,
    /// Labels that were read while only some see them, and that was known.
    pub(super) limited: u64,
    /// Labels that another replica's call had brought.
    pub(super) across: u64,
    /// Reads behind a write that another replica answered.
    pub(super) behind_others: u64,
    /// Refusals that another replica had heard of for certain.
    pub(super) told: u64,
    /// Seconds in which a fleet sent as many calls as it may.
    pub(super) at_limit: u64,
}
