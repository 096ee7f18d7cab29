//! Fuzz targets: each takes any bytes, and panics where a promise is broken.
//!
//! What is asserted is written anew and more simply than what it is asserted of, where it can be: a second reader of the same
//! bytes that takes longer and knows less.

mod body;
mod configuration;
mod fields;
mod request;
mod sealed;
mod whole;

pub use self::whole::Gauge;
use crate::proxy::alike;

// A function a target, and not a table of them, for what is fuzzed: the fuzzer looks at a counter of every branch that is linked
// after every input, and a table links the whole proxy to each target (220,000 counters, half the time of a short input).
macro_rules! targets {
    ($($(#[$doc:meta])* $name:ident => $run:path,)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Panics
            ///
            /// Where a promise is broken.
            pub fn $name(bytes: &[u8]) {
                $run(bytes);
            }
        )*

        /// All of them.
        #[cfg(test)]
        pub(super) const TARGETS: &[Target] = &[$(Target { name: stringify!($name), run: $name },)*];
    };
}

/// A target: its name, which is that of its corpus and of its file in `fuzz/`, and what it does with bytes.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    /// Its name.
    pub name: &'static str,
    /// Feeds it.
    pub run: fn(&[u8]),
}

targets! {
    /// A head of HTTP/1.1.
    request => request::head,
    /// The query of a list.
    query => request::query,
    /// A head, as the fast path and as the long way read it.
    fast_path => alike::compare,
    /// A response.
    response_gate => body::gate,
    /// `Cache-Control`, `Prefer` and `Retry-After`.
    directives => fields::directives,
    /// What replicas tell each other and put into the store.
    sealed => sealed::messages,
    /// A file of the configuration, and an environment.
    configuration => configuration::load,
    /// The whole proxy between two clients and an upstream.
    whole => whole::steps,
}

/// The whole proxy, and what an input may cost it: 256 KiB, and the CPU of 50 plain hits a connection and one for each answer.
///
/// # Panics
///
/// Where a promise is broken, or more is held or spent.
pub fn whole_within(bytes: &[u8], gauge: Gauge) {
    whole::steps_within(bytes, gauge);
}
