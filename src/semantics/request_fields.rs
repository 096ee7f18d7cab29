//! [`KNOWN`]: fields of requests that mean something here, or that most clients send: the one list of their names.
//!
//! `survey` has what everybody asks of these names ready, the fast path answers reads with some of them, and no operator may
//! have one of them name its callers. What guard and classifier ask of a name is in their own tables.

/// What is made of a field, beyond what guard and classifier ask of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The key.
    Authorization,
    /// The workspace that the key acts for.
    Workspace,
    /// The id under which the request is found.
    RequestId,
    /// `Prefer`.
    Prefer,
    /// `Cache-Control` or `Pragma`.
    Directives,
    /// What the client has: it may be answered that nothing has changed.
    Condition,
    /// Whether the connection is to stay.
    Connection,
    /// Nothing. Answers are the same whatever it says, or others look for it by themselves.
    Nothing,
}

/// Which way a read with a field may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// On the fast path: what a stored answer makes of it is its part, and nothing else is asked of it but by guard and
    /// classifier.
    Fast,
    /// The long way alone: it frames a body, or asks something of the cache.
    Long,
}

/// In the order in which clients use them: of those of one length the first is the first that is looked at.
pub(crate) const KNOWN: &[(&str, Part, Way)] = &[
    ("host", Part::Nothing, Way::Fast),
    ("authorization", Part::Authorization, Way::Fast),
    ("accept", Part::Nothing, Way::Fast),
    ("user-agent", Part::Nothing, Way::Fast),
    ("accept-encoding", Part::Nothing, Way::Fast),
    ("x-request-id", Part::RequestId, Way::Fast),
    ("connection", Part::Connection, Way::Fast),
    ("if-none-match", Part::Condition, Way::Fast),
    ("accept-language", Part::Nothing, Way::Fast),
    ("content-type", Part::Nothing, Way::Fast),
    ("content-length", Part::Nothing, Way::Long),
    ("x-as-workspace", Part::Workspace, Way::Fast),
    ("cache-control", Part::Directives, Way::Long),
    ("pragma", Part::Directives, Way::Long),
    ("prefer", Part::Prefer, Way::Long),
    ("cookie", Part::Nothing, Way::Long),
    ("origin", Part::Nothing, Way::Long),
    ("referer", Part::Nothing, Way::Long),
    ("via", Part::Nothing, Way::Long),
    ("te", Part::Nothing, Way::Long),
    ("transfer-encoding", Part::Nothing, Way::Long),
    ("sec-fetch-mode", Part::Nothing, Way::Fast),
    ("sec-fetch-site", Part::Nothing, Way::Fast),
    ("sec-fetch-dest", Part::Nothing, Way::Fast),
    ("priority", Part::Nothing, Way::Fast),
    // Read where traces are asked for; nothing is answered on the fast path then.
    ("traceparent", Part::Nothing, Way::Fast),
    ("tracestate", Part::Nothing, Way::Fast),
    ("baggage", Part::Nothing, Way::Fast),
    // Of an ingress or a sidecar in front of us.
    ("x-forwarded-for", Part::Nothing, Way::Fast),
    ("x-forwarded-proto", Part::Nothing, Way::Fast),
    ("x-forwarded-host", Part::Nothing, Way::Fast),
    ("x-forwarded-port", Part::Nothing, Way::Fast),
    ("x-forwarded-scheme", Part::Nothing, Way::Fast),
    ("x-scheme", Part::Nothing, Way::Fast),
    ("x-real-ip", Part::Nothing, Way::Fast),
    // Seldom sent.
    ("range", Part::Nothing, Way::Long),
    ("if-range", Part::Nothing, Way::Long),
    ("if-match", Part::Nothing, Way::Long),
    ("if-modified-since", Part::Nothing, Way::Long),
    ("if-unmodified-since", Part::Nothing, Way::Long),
];

/// The length of the longest name.
pub(crate) const LONGEST: usize = {
    let (mut longest, mut at) = (0, 0);
    while at < KNOWN.len() {
        let length = KNOWN[at].0.len();
        longest = if length > longest { length } else { longest };
        at += 1;
    }
    longest
};

/// Whether a name in lower case is one of them.
#[must_use]
pub(crate) fn is_known(name: &str) -> bool {
    KNOWN.iter().any(|(known, ..)| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_there_once_and_in_lower_case() {
        for (at, (name, part, way)) in KNOWN.iter().enumerate() {
            assert!(*name == name.to_ascii_lowercase() && is_known(name), "{name}");
            assert!(KNOWN[..at].iter().all(|(other, ..)| other != name), "{name}");
            assert!(*way == Way::Long || !matches!(part, Part::Prefer | Part::Directives), "{name}");
        }
        assert!(KNOWN.iter().any(|(name, ..)| name.len() == LONGEST) && !is_known("x-caller"));
    }
}
