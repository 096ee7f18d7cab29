//! Whom a connection waits for, and since when: what is to be known of it when others need its place.

use std::time::Duration;

use super::{Progress, Stage, Waiting};
use crate::received::Unread;
use crate::server::room::{Silence, SilenceKind};

/// After this long without taking anything of its answer, or sending anything of a body that is waited for, a client gives way to
/// others where there is no room left.
pub(super) const STILL: Duration = Duration::from_secs(5);

/// Who takes longer than this for a head takes longer than a handshake and a request need.
pub(super) const COMING: Duration = Duration::from_secs(1);

impl Progress {
    /// Since when nothing is done on this connection, and what it waits for; `None` while something is done. Who has just
    /// come, or just begun to ask, may be in the middle of it: it goes no sooner than those that stand idle.
    pub(in crate::server) fn silence(&self) -> Option<Silence> {
        let now = self.clock.uptime();
        let (kind, since) = match self.waiting.get() {
            Waiting::FirstByte { since } | Waiting::Head { since } if now.saturating_sub(since) >= COMING => {
                (SilenceKind::Head, since)
            }
            Waiting::FirstByte { since } | Waiting::Head { since } => (SilenceKind::Request, since),
            Waiting::Request { since } | Waiting::Close { latest: since, .. } => {
                (SilenceKind::Request, since)
            }
            Waiting::Answer => return self.silence_of_client(now),
        };
        Some(Silence { kind, since })
    }

    /// The same while requests are under way: it is their client who is waited for, by every one of them.
    fn silence_of_client(&self, now: Duration) -> Option<Silence> {
        let uploads = self.awaiting_body();
        let (kind, since) = match uploads {
            0 => (SilenceKind::Reader, self.still_since.get()),
            _ => (SilenceKind::Body, self.still_since.get().max(self.heard_at.get())),
        };
        let is_silent = self.sending.get() + uploads == self.under_way.get()
            && !self.moved.get()
            && now.saturating_sub(since) >= STILL;
        is_silent.then_some(Silence { kind, since })
    }

    /// Requests under way whose own body is waited for, while nothing of it comes.
    fn awaiting_body(&self) -> usize {
        if self.multiplexed.get() {
            return self.streams.awaiting_body();
        }
        let is_asked = self.under_way.get() == 1 && self.answered.get() == 0;
        usize::from(is_asked && self.unread.borrow().as_ref().is_some_and(Unread::is_awaited))
    }

    /// Whether anything came of a body since this was last asked.
    pub(super) fn take_come(&self) -> bool {
        if self.multiplexed.get() {
            return self.streams.take_come();
        }
        self.unread.borrow().as_ref().is_some_and(Unread::take_come)
    }

    /// Ends a silent connection, because others need its place. One that was served before and stands idle is told so first,
    /// where its protocol can (HTTP/2 until the peer agrees); it is cut when it is asked again.
    pub(in crate::server) fn give_way(&self) {
        let is_idle = matches!(self.waiting.get(), Waiting::Request { .. });
        self.raise(if is_idle && self.stage() < Stage::Ending { Stage::Ending } else { Stage::Cut });
    }
}
