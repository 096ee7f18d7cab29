//! [`Fetched`]: what came of a fetch.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::cache::stored::StoredResponse;
use crate::caller::credential::CredentialDigest;
use crate::error::ErrorKind;
use crate::origin::whole::{StreamedAnswer, WholeAnswer};
use crate::shield::edge::Wording;
use crate::shield::refusals::Unauthorized;

/// What came of a fetch, in the form in which those who wait for it can share it.
#[derive(Clone, Debug)]
pub(super) enum Fetched {
    /// The body is what was asked for and names its organization: may go to every credential proven for it.
    Checked {
        response: Arc<StoredResponse>,
        stored: bool,
        /// Set where it may go to this credential alone.
        owner: Option<CredentialDigest>,
    },
    /// Another replica had fetched it: found in the second tier, and judged as an answer from upstream is.
    Shared {
        response: Arc<StoredResponse>,
        /// Set where it may go to this credential alone.
        owner: Option<CredentialDigest>,
    },
    /// Another replica had proved the credential; and how long the store was waited for.
    Proven(Duration),
    /// For the credential that fetched it alone: a refusal, or a body that may not be shared.
    Own(OwnAnswer),
    /// The upstream failed or is limited: concerns everybody who asks it, but the body is the fetcher's own.
    Upstream(Arc<WholeAnswer>),
    /// The edge turned the fetch away with a 403 that is not JSON; and whose words that speaks of.
    Blocked(Wording),
    /// The vendor refused this credential a moment ago: not asked again.
    Remembered(Arc<Unauthorized>),
    /// Not sent: its turn did not come, and when to come again.
    Held(ErrorKind, Duration),
    /// No answer; and when to come again, where that is known.
    Failed(ErrorKind, Option<Duration>),
}

/// An answer for one credential.
#[derive(Clone, Debug)]
pub(super) enum OwnAnswer {
    Whole(Arc<WholeAnswer>),
    Streamed(Arc<StreamedAnswer>),
    /// The answer was somebody else's and was discarded.
    MixedUp,
}

impl Fetched {
    /// Whether it may be a 200: what a refusal that arrived meanwhile would have kept back.
    pub(super) fn is_grant(&self) -> bool {
        match self {
            Self::Checked { .. } | Self::Shared { .. } | Self::Own(OwnAnswer::Streamed(_)) => true,
            Self::Own(OwnAnswer::Whole(answer)) => answer.status() == StatusCode::OK,
            Self::Own(OwnAnswer::MixedUp)
            | Self::Proven(_)
            | Self::Upstream(_)
            | Self::Blocked(_)
            | Self::Remembered(_)
            | Self::Held(..)
            | Self::Failed(..) => false,
        }
    }

    /// Whether the upstream has said what was asked of it, be it a refusal.
    pub(super) const fn is_answer(&self) -> bool {
        matches!(self, Self::Checked { .. } | Self::Shared { .. } | Self::Proven(_) | Self::Own(_))
    }

    /// Whether it says that the upstream cannot be asked. A 429 is an answer, and what it says ends with the hold that it
    /// began; want of our own memory, time, files or ports says nothing of the upstream, and what the edge says to what a caller
    /// worded nothing of other reads.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Blocked(wording) => *wording == Wording::Ours,
            Self::Upstream(answer) => answer.status() != StatusCode::TOO_MANY_REQUESTS,
            Self::Failed(kind, _) => !matches!(
                kind,
                ErrorKind::NoMemoryForAnswer
                    | ErrorKind::NoTimeForAnswer
                    | ErrorKind::OutOfResources
                    | ErrorKind::Internal
            ),
            Self::Checked { .. }
            | Self::Shared { .. }
            | Self::Proven(_)
            | Self::Own(_)
            | Self::Remembered(_)
            | Self::Held(..) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_our_own_and_our_own_faults_say_nothing_of_the_upstream() {
        let ours = [
            ErrorKind::NoMemoryForAnswer,
            ErrorKind::NoTimeForAnswer,
            ErrorKind::OutOfResources,
            ErrorKind::Internal,
        ];
        for kind in ErrorKind::ALL {
            let is_outage = Fetched::Failed(*kind, None).is_outage();
            assert_eq!(is_outage, !ours.contains(kind), "{kind:?}");
        }
    }
}
