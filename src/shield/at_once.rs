//! The way of most calls through the [`Table`]: nobody waits, one account pays, and there is room in it.
//!
//! Such a call is granted by one look-up. What could have a say besides that account, a store, a share, a second account, a
//! hold or a queue, sends it the general way, [`Table::enter_in_turn`], which comes to the same: a test asks both.

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
        if account.restraint.hold != Hold::None || !account.queue.is_empty() {
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
        self.last_id += 1;
        account.take(caller, at, ProbeId(self.last_id));
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::caller::credential::AuthorizationDigest;
    use crate::config::Burst;
    use crate::organization::OrganizationName;
    use crate::shield::limits::ShieldRules;
    use crate::shield::table::Entry;
    use crate::shield::waiter::Readiness;
    use crate::shield::who::Who;

    /// What happens to a table.
    #[derive(Clone, Debug)]
    enum Step {
        /// A call of this caller and account, a proof or not, that waits so long at most, so long after the step before.
        Call { caller: u8, account: u8, acts: bool, class: Class, max_wait: u64, after: u64 },
        /// The account is held for so long.
        Hold { account: u8, lasts: u64 },
        /// An account turns out to be another one.
        Merge { from: u8, to: u8 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let class = prop_oneof![4 => Just(Class::Interactive), 1 => Just(Class::Proof)];
        let wait = prop_oneof![4 => Just(0_u64), 1 => 0..2000_u64];
        let call = (0..4_u8, 0..3_u8, prop::bool::weighted(0.1), class, wait, 0..400_u64);
        let call = call.prop_map(|(caller, account, acts, class, max_wait, after)| Step::Call {
            caller,
            account,
            acts,
            class,
            max_wait,
            after,
        });
        let hold = (0..3_u8, 0..1500_u64).prop_map(|(account, lasts)| Step::Hold { account, lasts });
        let merge = (0..3_u8, 0..3_u8).prop_map(|(from, to)| Step::Merge { from, to });
        prop::collection::vec(prop_oneof![20 => call, 1 => hold, 1 => merge], 1..80)
    }

    fn account(number: u8) -> AccountKey {
        AccountKey::Organization(OrganizationName(uuid::Uuid::from_u128(number.into())))
    }

    fn told(entry: &Entry) -> String {
        match entry {
            Entry::Granted(slot) => format!("{slot:?}"),
            Entry::Refused(rejection) => format!("{rejection:?}"),
            Entry::Waiting(waiting) => format!("waits until {:?}, free: {}", waiting.deadline, waiting.free),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_is_granted_at_once_is_granted_in_turn_too_and_spends_the_same(
            steps in steps(),
            single_workspace in prop::bool::weighted(0.1),
            half in any::<bool>(),
        ) {
            let limit = |calls| NonZeroU32::new(calls).unwrap();
            let rules = ShieldRules {
                requests_per_second: limit(5),
                requests_per_minute: limit(40),
                replicas: limit(1),
                single_workspace,
                max_queued: 3,
                burst: if half { Burst::Half } else { Burst::Whole },
            };
            let (mut either, mut in_turn) = (Table::new(&rules), Table::new(&rules));
            in_turn.hasher = either.hasher.clone();
            let mut now = Duration::from_secs(1);
            for step in steps {
                match step {
                    Step::Call { caller, account: number, acts, class, max_wait, after } => {
                        now += Duration::from_millis(after);
                        let accounts = match acts {
                            true => Accounts::acting(account(number), account(number + 1)),
                            false => Accounts::one(account(number)),
                        };
                        let call = Call {
                            accounts,
                            caller: Who::Authorization(AuthorizationDigest::told([caller; 32])),
                            share: Share::default(),
                            class,
                            max_wait: Duration::from_millis(max_wait),
                            store_waited: Duration::ZERO,
                            ahead: Duration::ZERO,
                        };
                        let entries = (
                            either.enter(&call, Readiness::Connected, now),
                            in_turn.enter_in_turn(&call, Readiness::Connected, now),
                        );
                        prop_assert_eq!(told(&entries.0), told(&entries.1));
                    }
                    Step::Hold { account: number, lasts } => {
                        let until = now + Duration::from_millis(lasts);
                        either.close_until(account(number), until, now);
                        in_turn.close_until(account(number), until, now);
                    }
                    Step::Merge { from, to } => {
                        either.merge(account(from), account(to), now);
                        in_turn.merge(account(from), account(to), now);
                    }
                }
            }
        }
    }
}
