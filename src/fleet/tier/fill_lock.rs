//! [`FillLock`]: the lock of a fill or a proof, as long as it is queued or under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::AbortHandle;

use super::super::store::Script;
use super::Tier;
use crate::metrics::Operation;

/// For how long a lock holds that is not extended: who holds it has died then, and the next asker takes it.
pub(super) const HOLDS: Duration = Duration::from_secs(1);
/// How often it is extended.
const EXTENDED_EVERY: Duration = Duration::from_millis(300);

static EXTEND: Script = Script::new("extend", include_str!("scripts/extend.lua"));
static FREE: Script = Script::new("free", include_str!("scripts/free.lua"));

/// Random bytes by which the holder of a lock is known.
pub(super) type Token = [u8; 16];

/// How far whoever holds a lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has just been given the lock: whether its call may be sent at once is being found out.
    Begun,
    /// Its call waits for its turn.
    Queued,
    /// It is on its way.
    Sent,
}

impl Progress {
    const fn word(self) -> &'static [u8] {
        match self {
            Self::Begun => b"b",
            Self::Queued => b"q",
            Self::Sent => b"s",
        }
    }

    /// As it stands behind the token in a lock.
    pub(super) fn of_lock(value: &[u8]) -> Self {
        match value.last() {
            Some(b's') => Self::Sent,
            Some(b'q') => Self::Queued,
            _ => Self::Begun,
        }
    }
}

/// A lock of this replica: extended until it is dropped, and freed then.
#[derive(Debug)]
pub struct FillLock {
    tier: Arc<Tier>,
    held: Arc<Held>,
    extending: AbortHandle,
}

#[derive(Debug)]
struct Held {
    name: Vec<u8>,
    token: Token,
    is_sent: AtomicBool,
}

impl FillLock {
    pub(super) fn new(tier: &Arc<Tier>, name: Vec<u8>, token: Token) -> Self {
        let held = Arc::new(Held { name, token, is_sent: AtomicBool::new(false) });
        let extending = tier.0.runtime.spawn(extend(Arc::clone(tier), Arc::clone(&held))).abort_handle();
        Self { tier: Arc::clone(tier), held, extending }
    }

    /// The call is on its way: who waits for it may wait for its answer.
    pub fn note_sent(&self) {
        self.held.is_sent.store(true, Ordering::Relaxed);
    }
}

impl Drop for FillLock {
    fn drop(&mut self) {
        self.extending.abort();
        self.tier.free(self.held.name.clone(), self.held.token);
    }
}

impl Tier {
    /// Frees a lock, if it is held by this token; nobody waits for it.
    pub(super) fn free(self: &Arc<Self>, name: Vec<u8>, token: Token) {
        let tier = Arc::clone(self);
        if !tier.may_ask(tier.0.clock.now()) {
            return;
        }
        self.0.runtime.spawn(async move {
            let deadline = tier.0.clock.now().plus(tier.0.timeout);
            let (keys, args) = ([&name[..]], [&token[..]]);
            // Where it fails the lock ends by itself.
            let _ = tier.0.data.call(Operation::Lock, &FREE, &keys, &args, deadline).await;
        });
    }
}

/// Extends a lock until it is lost.
async fn extend(tier: Arc<Tier>, held: Arc<Held>) {
    let lasts = HOLDS.as_millis().to_string();
    loop {
        tier.0.clock.sleep(EXTENDED_EVERY).await;
        let progress = if held.is_sent.load(Ordering::Relaxed) { Progress::Sent } else { Progress::Queued };
        let deadline = tier.0.clock.now().plus(tier.0.timeout);
        let (keys, args) = ([&held.name[..]], [&held.token[..], progress.word(), lasts.as_bytes()]);
        let extended = tier.0.data.call(Operation::Lock, &EXTEND, &keys, &args, deadline).await;
        // An error may be over by the next time, before the lock ends.
        if extended.is_ok_and(|reply| reply.int().is_ok_and(|extended| extended == 0)) {
            return;
        }
    }
}
