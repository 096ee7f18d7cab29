//! The store: a Redis or Valkey server, and how it is asked.
//!
//! [`Link`] is the control link: one bare connection that ends when it is lost, so that what was read of the server when it
//! was made holds for as long as it lasts. [`Data`] is for everything that may be missed: it connects again by itself,
//! answers at once while it has no connection, and stops asking a store that does not answer. Both run a [`Script`] and
//! give a [`Reply`] or a [`StoreError`]. `client` alone names the `redis` crate, whose managers reorder pushes and hide
//! gaps: neither has a place here.

mod backoff;
mod breaker;
mod client;
mod cluster;
mod data;
mod error;
mod find;
mod link;
mod node;
mod permissions;
#[cfg(test)]
pub(crate) mod pipes;
mod probe;
mod reply;
mod script;
mod server;
mod slots;
mod tls;
mod way;

pub use self::backoff::Backoff;
pub use self::data::Data;
pub use self::error::{StoreError, StoreErrorKind};
pub use self::link::{Bells, Link};
pub use self::probe::{Gravity, Shortfall, probe};
pub use self::reply::Reply;
pub use self::script::Script;
pub use self::way::First;
pub use crate::metrics::Operation;

#[cfg(test)]
#[path = "../../../tests/it/support/store.rs"]
pub(crate) mod test_store;

#[cfg(test)]
mod tests;
