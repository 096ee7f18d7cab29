//! [`Number`]: the order of notices.

/// A notice's place in the log: larger than all before it, below 2^53.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(pub u64);
