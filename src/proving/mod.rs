//! What is proved by machine: the functions that fuzzing feeds with bytes, and the simulation of the whole proxy.
//!
//! It is there for tests, and under the feature `fuzzing` for `fuzz/`: so a corpus is replayed by the very function that was
//! fuzzed, nothing has to be made public for it, and no build of the program has any of it.

pub mod targets;

#[cfg(test)]
pub(crate) mod by_now;
#[cfg(test)]
mod corpora;
#[cfg(test)]
mod process;
#[cfg(test)]
mod simulation;
mod wire;
pub(crate) mod world;
