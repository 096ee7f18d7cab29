//! [`Place`]: a call's place in a queue, from the moment at which it has to wait to its turn.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::call::{Rejection, Turned};
use super::queue::WaiterId;
use super::shared::Shared;
use super::slot::Slot;
use super::waiter::Waiting;

/// A place in a queue; dropping it leaves the queue, and gives back a slot that it was handed and did not take.
pub(super) struct Place {
    shared: Arc<Shared>,
    id: WaiterId,
    deadline: Duration,
    /// Where the turn comes, or word that it does not.
    turn: oneshot::Receiver<Result<Slot, Rejection>>,
    /// Set while the turn is far: told when it is near.
    near: Option<oneshot::Receiver<()>>,
}

/// A turn that has come.
pub(super) struct Turn<C> {
    pub(super) slot: Slot,
    pub(super) connection: C,
    /// When the call was connected, if it was not from the beginning.
    pub(super) connected: Option<Duration>,
}

impl Place {
    pub(super) fn new(shared: Arc<Shared>, waiting: Waiting) -> Self {
        let Waiting { id, deadline, turn, near, .. } = waiting;
        Self { shared, id, deadline, turn, near }
    }

    /// Waits for the turn, and connects for it when it is near. While it is far, `open` is of use to others.
    pub(super) async fn turn<C, E>(
        mut self,
        open: Option<C>,
        connect: impl Future<Output = Result<C, E>>,
    ) -> Result<Turn<C>, Turned<E>> {
        let Self { shared, id, deadline, turn, near } = &mut self;
        let mut verdict = pin!(verdict(shared, *id, *deadline, turn));
        let is_far = near.as_mut().is_some_and(|near| near.try_recv().is_err());
        let (connection, connected) = match open.filter(|_| !is_far) {
            Some(open) => {
                // Where its turn has come near meanwhile, it has what others connect for.
                if near.is_some() {
                    connected(shared, *id);
                }
                (open, None)
            }
            None => {
                let connecting = async {
                    if let Some(near) = near.as_mut().filter(|_| is_far)
                        && (near.is_terminated() || near.await.is_err())
                    {
                        // Its sender is gone: the verdict is here, and is heard in a moment.
                        pending::<()>().await;
                    }
                    connect.await
                };
                tokio::select! {
                    biased;
                    verdict = verdict.as_mut() => {
                        let refused = verdict.expect_err("a turn comes to who has said that it is connected");
                        return Err(Turned::Rejected(refused));
                    }
                    ready = connecting => {
                        (ready.map_err(Turned::Unconnected)?, Some(connected(shared, *id)))
                    }
                }
            }
        };
        let slot = verdict.await.map_err(Turned::Rejected)?;
        Ok(Turn { slot, connection, connected })
    }
}

/// Says that a waiter is connected, and when that was.
fn connected(shared: &Shared, id: WaiterId) -> Duration {
    let now = shared.now();
    shared.lock().connected(id, now);
    now
}

/// What a waiter is told: by others, or once its time is over.
async fn verdict(
    shared: &Shared,
    id: WaiterId,
    deadline: Duration,
    turn: &mut oneshot::Receiver<Result<Slot, Rejection>>,
) -> Result<Slot, Rejection> {
    const TOLD: &str = "a waiter stays in the table until it is told";
    tokio::select! {
        biased;
        verdict = &mut *turn => return verdict.expect(TOLD),
        () = shared.sleep_until(deadline) => {}
    }
    let now = shared.now();
    shared.lock().expire(id, now);
    turn.await.expect(TOLD)
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = self.shared.now();
        let mut table = self.shared.lock();
        table.leave(self.id, now);
        // Told under this lock, and not heard.
        if let Ok(Ok(slot)) = self.turn.try_recv() {
            table.give_up(&slot, now);
        }
    }
}
