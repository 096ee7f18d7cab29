//! The way of most calls through the [`Table`]: nobody waits, one account pays, and there is room in it.
//!
//! Such a call is granted by one look-up. What could have a say besides that account, a store, a share, a second account, a
//! hold or a queue, sends it the general way, [`Table::enter`], which comes to the same: a test asks both.

use std::time::Duration;

use super::account::{AccountKey, Accounts, Hold, ProbeId, Weighted};
use super::beside::Part;
use super::call::{Call, Class};
use super::share::Share;
use super::slot::{Had, Slot};
use super::table::Table;

impl Table {
    /// The slot of a call that has its connection, if it may go now and only its one account has a say. Otherwise nothing is
    /// spent, and all that has changed is that old sends have left its window.
    pub(super) fn grant_at_once(&mut self, call: &Call, now: Duration) -> Option<Slot> {
        let has_common_share = call.share == Share { caller: call.share.caller, ..Share::default() };
        let is_alone = call.accounts.second.is_none() && self.bookings.is_none() && self.shares.is_empty();
        // A proof may go ahead of others, which is remembered of it.
        if !has_common_share || !is_alone || call.class == Class::Proof || now < self.parting_until {
            return None;
        }
        let key = if self.single_workspace { AccountKey::Everybody } else { self.named(call.accounts.first) };
        let (caller, limits) = (self.caller_of(call), self.limits);
        let account = self.accounts.get_mut(&key)?;
        if account.hold != Hold::None || !account.queue.is_empty() {
            return None;
        }
        account.second.expire(now);
        // Where nobody has a share, all weigh the same.
        let who = Weighted { caller, weight: 1, of: account.second.callers() };
        if account.free_at(who, 0, &limits, now) > now {
            return None;
        }
        let at = account.second.moment(now);
        account.keep_pace(caller, at, &limits);
        // No probe, for there is no hold.
        account.take(caller, at, ProbeId(0));
        let had = Had { first: account.spent(&limits, at), second: Part::WHOLE };
        Some(Slot {
            accounts: Accounts::one(key),
            caller,
            observed: None,
            at,
            had,
            booked: None,
            probe: None,
        })
    }
}
