//! [`Operation`]: what the store is asked for.

use crate::closed_enum::closed_enum;

closed_enum! {
    /// What the store is asked for, as `instantly_proxy_shared_operation_seconds` tells it.
    pub enum Operation {
        /// A replica's heartbeat.
        Beat = "beat",
        /// A notice is added to the log.
        Append = "append",
        /// A write is entered among the open ones.
        Open = "open",
        /// A replica leaves.
        Leave = "leave",
        /// A stored response is looked for, or who fetches it.
        Lookup = "lookup",
        /// A response is stored.
        Store = "store",
        /// The lock of a fill is extended or freed.
        Lock = "lock",
        /// A proof is looked for, stored or taken out.
        Proof = "proof",
        /// A moment of a budget is booked.
        Book = "book",
        /// What an account is told: a gate, a probe's outcome, what was spent alone.
        Account = "account",
    }
}
