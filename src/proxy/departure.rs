//! The departure of a call that passes through: it needs its turn and a connection, and holds neither while it waits for
//! the other.
//!
//! With a connection in hand, calls that wait for their turn would keep it from those whose turn has come, and the
//! order in which connections are handed out, first come first served, would stand in for the queue's. So a call waits
//! for its turn first; where it comes and no connection is free, the turn is given back, and the call waits for a
//! connection, to go with it at once or to queue again. All of it is one wait.

use std::time::Duration;

use super::Worker;
use super::dispatch::{Going, Held, Stopped};
use super::exchange::Asked;
use super::forward::Caller;
use crate::shield::RejectionReason;
use crate::upstream::permits::Permit;

impl Worker {
    /// Waits until a call may go and there is a connection for it.
    pub(super) async fn depart(&self, caller: &Caller, asked: &Asked) -> Result<(Going, Permit), Held> {
        let proxy = &self.proxy;
        let arrived = proxy.clock.now();
        let left = || asked.patience.saturating_sub(proxy.clock.now().since(arrived));
        let call = |patience| caller.call(asked.peer, patience);
        let departing = async {
            loop {
                let going = proxy.let_go(&call(left())).await?;
                if let Some(permit) = proxy.permits.try_take(caller.account()) {
                    return Ok((going, permit));
                }
                proxy.call_off(going);
                let taken = proxy.permits.take(caller.account(), left()).await;
                let permit = taken.map_err(|error| Stopped::Rejected(RejectionReason::Connections, error))?;
                match proxy.let_go(&call(Duration::ZERO)).await {
                    Ok(going) => return Ok((going, permit)),
                    Err(Stopped::Rejected(..)) if !left().is_zero() => {}
                    Err(stopped) => return Err(stopped),
                }
            }
        };
        match departing.await {
            Ok((going, permit)) => {
                proxy.note_going(&call(Duration::ZERO), &going);
                Ok((going, permit))
            }
            Err(stopped) => Err(proxy.note_stopped(stopped)),
        }
    }
}
