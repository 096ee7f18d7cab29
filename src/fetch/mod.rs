//! One upstream read for many: [`Fetcher`].
//!
//! `asker` is who reads and what is wanted for it; `flight` joins those who want the same; `task` is a fetch on its way, in a
//! task of its own, and `turn` its wait for its turn; `accept` says what may be stored of an answer, and is the one place
//! where a stored response is made; `deliver` says who may have the result; `behind` is what nobody waits for. How a call
//! goes is `origin`'s, what is served without a fetch `proxy`'s.

mod accept;
mod allowed;
mod asker;
mod behind;
mod deliver;
pub mod flight;
mod following;
mod found;
mod introduce;
mod items;
mod judging;
mod list;
mod result;
mod second_tier;
mod spared;
mod task;
mod turn;

use std::sync::Arc;

use tokio::runtime::Handle;

pub use self::accept::Written;
pub use self::asker::{Asker, Fallback, Ground, Wait, Waits, Wanted};
pub use self::deliver::{Delivery, Got, Part};
use self::flight::Flights;
pub use self::flight::Storing;
use self::judging::Judging;
pub use self::judging::{Told, WriteQuestion};
use self::result::Fetched;
use crate::cache::Cache;
use crate::caller::attempts::Attempts;
use crate::caller::bindings::Bindings;
use crate::caller::credential::Digester;
use crate::caller::introduced::Introduced;
use crate::clock::{Clock, Moment};
use crate::fleet::Fleet;
use crate::held::Held;
use crate::metrics::Metrics;
use crate::origin::Origin;
use crate::resource::Resources;
use crate::telemetry::Tracing;

/// How long a read waits for another read's first proof, for a list, or for its own attempt while an old proof would do.
pub const BRIEF_MAX_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

/// What fetches for reads, and joins those that want the same; one per process.
#[derive(Debug)]
pub struct Fetcher {
    /// What is cached.
    resources: Resources,
    origin: Arc<Origin>,
    cache: Arc<Cache>,
    /// What the API has proved and refused of each credential.
    bindings: Arc<Bindings>,
    attempts: Attempts,
    flights: Flights<Fetched>,
    /// Callers that were introduced by a list read of late.
    introduced: Introduced,
    judging: Judging,
    /// The other replicas, where there are any.
    fleet: Option<Arc<Fleet>>,
    /// What calls hold of memory.
    held: Held,
    digester: Arc<Digester>,
    tracing: Option<Tracing>,
    /// Runs the fetches.
    runtime: Handle,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// What a [`Fetcher`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// What is cached.
    pub resources: Resources,
    /// The only way out.
    pub origin: Arc<Origin>,
    /// Where results go.
    pub cache: Arc<Cache>,
    /// What the API has proved and refused.
    pub bindings: Arc<Bindings>,
    /// The other replicas, where there are any.
    pub fleet: Option<Arc<Fleet>>,
    /// What calls hold of memory.
    pub held: Held,
    /// Makes digests.
    pub digester: Arc<Digester>,
    /// Spans, where they are asked for.
    pub tracing: Option<Tracing>,
    /// Runs the fetches.
    pub runtime: Handle,
    /// The time.
    pub clock: Clock,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

impl Fetcher {
    /// Of these parts, with no fetch under way.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { resources, origin, cache, bindings, fleet, held, .. } = parts;
        let Parts { digester, tracing, runtime, clock, metrics, .. } = parts;
        Self {
            resources,
            origin,
            cache,
            bindings,
            attempts: Attempts::default(),
            flights: Flights::default(),
            introduced: Introduced::default(),
            judging: Judging::new(runtime.clone()),
            fleet,
            held,
            digester,
            tracing,
            runtime,
            clock,
            metrics,
        }
    }

    /// Lets go of what is over.
    pub fn tidy(&self, now: Moment) {
        self.flights.tidy(now);
        self.introduced.tidy(now);
    }
}
