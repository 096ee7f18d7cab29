//! [`Callers`]: who calls, by what it is told, and what each may have.
//!
//! The section is there if `callers.sources` is.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, Method};
use ipnet::IpNet;

use crate::closed_enum::closed_enum;

/// `[callers]`: services behind one key, told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callers {
    /// By what a caller is told; the first that says something wins.
    pub sources: Vec<CallerSource>,
    /// The request field that names a caller.
    pub field: HeaderName,
    /// Networks whose field is believed.
    pub trusted: Vec<IpNet>,
    /// Names of networks; the narrowest that holds an address counts.
    pub addresses: Vec<(IpNet, String)>,
    /// File with the secret by which keys get their names.
    pub fingerprint_secret_file: Option<PathBuf>,
    /// What callers may have that `limits` does not name.
    pub fallback: CallerLimit,
    /// What each of these callers may have.
    pub limits: BTreeMap<String, CallerLimit>,
}

closed_enum! {
    /// By what a caller is told.
    pub enum CallerSource {
        /// The SPIFFE id, else the DNS name, of its verified certificate.
        Certificate = "certificate",
        /// A request field.
        Field = "field",
        /// The network that its address is in.
        Address = "address",
        /// Its key: what is left where nothing else says anything.
        Credential = "credential",
    }
}

/// What one caller may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerLimit {
    /// Its part of the turns, beside the others'.
    pub weight: NonZeroU32,
    /// Calls that are sent for it in any minute.
    pub cap: Option<Cap>,
    /// How urgent its calls are.
    pub priority: Priority,
    /// Methods that it may use; all if there is none.
    pub methods: Vec<Method>,
    /// Methods that it may not use.
    pub denied_methods: Vec<Method>,
    /// Paths at or below which it may ask; all if there is none.
    pub paths: Vec<String>,
    /// Paths at or below which it may not ask.
    pub denied_paths: Vec<String>,
    /// How long its calls wait for their turn, in place of `shield.max_wait`.
    pub max_wait: Option<Duration>,
    /// Whether this holds, or is counted alone.
    pub mode: Mode,
}

impl Default for CallerLimit {
    fn default() -> Self {
        Self {
            weight: NonZeroU32::MIN,
            cap: None,
            priority: Priority::Interactive,
            methods: Vec::new(),
            denied_methods: Vec::new(),
            paths: Vec::new(),
            denied_paths: Vec::new(),
            max_wait: None,
            mode: Mode::Enforce,
        }
    }
}

/// Calls that are sent for one caller in any minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// So many.
    Calls(NonZeroU32),
    /// So many of a hundred of `shield.requests_per_minute`.
    Percent(NonZeroU32),
}

impl Cap {
    /// In calls a minute, of a limit; at least 1.
    #[must_use]
    pub fn of(self, requests_per_minute: NonZeroU32) -> NonZeroU32 {
        match self {
            Self::Calls(calls) => calls,
            Self::Percent(percent) => {
                let calls = u64::from(requests_per_minute.get()) * u64::from(percent.get()) / 100;
                u32::try_from(calls).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
            }
        }
    }
}

closed_enum! {
    /// How urgent a caller's calls are.
    pub enum Priority {
        /// They take turns with others'.
        Interactive = "interactive",
        /// They go when nobody waits and a fifth of the minute is left.
        Background = "background",
    }
}

closed_enum! {
    /// Whether limits hold.
    pub enum Mode {
        /// They do.
        Enforce = "enforce",
        /// What would have waited or been refused is counted, and nothing is refused.
        Observe = "observe",
    }
}

impl Default for Callers {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            field: HeaderName::from_static("x-caller"),
            trusted: Vec::new(),
            addresses: Vec::new(),
            fingerprint_secret_file: None,
            fallback: CallerLimit::default(),
            limits: BTreeMap::new(),
        }
    }
}
