//! One budget for all replicas: accounts that lie in the store.
//!
//! Every upstream call books its moment by one script over the account, and nothing else decides when it goes; who of those
//! that wait here has the moment is the budget's (`shield`). `docs/FLEET.md` has what it promises.

mod carrier;
mod script;
mod unsaid;

pub use self::carrier::{Carrier, Slots};
pub use self::unsaid::Unsaid;

#[cfg(test)]
pub(crate) mod model;
#[cfg(test)]
mod tests;

/// What the script's answer means.
#[cfg(test)]
pub(crate) fn answer_of(reply: [u64; 5]) -> crate::shield::booking::Answer {
    script::answer(reply).expect("the script answers so")
}
