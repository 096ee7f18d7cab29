//! [`World`]: the whole proxy above the socket on one thread, with pipes on both sides and a clock that a hand moves.
//!
//! Nothing in it waits for the machine: its only runtime has one thread and neither timers nor sockets, what it picks at random
//! comes from the seed, and [`Quiet`] tells when nothing is left to be done. So the same seed gives the same events.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::runtime::{Builder, Handle, LocalOptions};

use crate::clock::{Clock, ManualClock};
use crate::config::Config;
use crate::lock::Mutex;
use crate::metrics::Metrics;
use crate::proxy::Proxy;
use crate::resource::RESOURCES;
use crate::server::pipes::Pipes;
use crate::upstream::pipes::Dialled;

/// Tells when no task can go on.
#[derive(Clone, Default)]
pub(super) struct Quiet(Arc<Parking>);

#[derive(Default)]
struct Parking {
    parked: AtomicBool,
    waiting: Mutex<Option<Waker>>,
}

impl Quiet {
    /// The thread has nothing to do.
    pub(super) fn note_parked(&self) {
        self.0.parked.store(true, Ordering::Relaxed);
        if let Some(waiting) = self.0.waiting.lock().take() {
            waiting.wake();
        }
    }

    /// Waits until no task can go on without time, or bytes, from outside.
    pub(super) async fn reached(&self) {
        self.0.parked.store(false, Ordering::Relaxed);
        poll_fn(|cx| {
            if self.0.parked.swap(false, Ordering::Relaxed) {
                return Poll::Ready(());
            }
            *self.0.waiting.lock() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// A proxy, its clock, and whoever is on both sides of it.
pub(super) struct World {
    pub(super) proxy: Arc<Proxy>,
    pub(super) clock: Clock,
    pub(super) hand: ManualClock,
    pub(super) quiet: Quiet,
    pub(super) upstream: Dialled,
    pub(super) metrics: Arc<Metrics>,
    pipes: Pipes,
}

impl World {
    /// Runs `what` with a new proxy, on a thread whose chances come from `seed`.
    pub(super) fn run<T>(seed: u64, config: &Config, what: impl AsyncFnOnce(Self) -> T) -> T {
        fastrand::seed(seed);
        let quiet = Quiet::default();
        let parked = quiet.clone();
        let mut builder = Builder::new_current_thread();
        builder.on_thread_park(move || parked.note_parked());
        let runtime = builder.build_local(LocalOptions::default()).expect("a runtime without drivers");
        runtime.block_on(async {
            let (clock, hand) = Clock::manual();
            let upstream = Dialled::begin();
            let (proxy, metrics) = proxy(config, &clock);
            let pipes = Pipes::new(config, &proxy, clock.clone());
            what(Self { proxy, clock, hand, quiet, upstream, metrics, pipes }).await
        })
    }

    /// A client's new connection.
    pub(super) fn connect(&self) -> DuplexStream {
        self.pipes.connect()
    }

    /// Time passes, a second at a time where there are several: what a second brings is done before the next.
    pub(super) async fn pass(&self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(Duration::from_secs(1));
            self.hand.advance(step);
            self.pipes.sweep();
            self.quiet.reached().await;
            left -= step;
        }
    }
}

/// A proxy on the runtime that this is called on, and what it counts.
pub(crate) fn proxy(config: &Config, clock: &Clock) -> (Arc<Proxy>, Arc<Metrics>) {
    let resources = RESOURCES.enabled(&config.cache);
    let metrics = Arc::new(Metrics::of(resources));
    let proxy = Proxy::new(config, resources, clock.clone(), Arc::clone(&metrics), Handle::current());
    (proxy.expect("a sound configuration"), metrics)
}

/// The configuration of every such proxy: the defaults, in front of an upstream that is a pipe.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.upstream.url = "http://127.0.0.1:9".parse().expect("a URL");
    config
}
