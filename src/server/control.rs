//! The control thread: accepts, runs flights and the admin port, and brings everything to an end in order.
//!
//! Its runtime has this one thread. What runs on it waits for the network nearly all the time, and a second thread
//! would take a core from the workers on small machines and make every flight's state travel between caches.

use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tracing::warn;

use super::connection::Context;
use super::handler::Handler;
use super::listener::{Acceptor, Lane};
use super::live::{AdminToken, Live, Times};
use super::progress::Stage;
use super::room::Bounds;
use super::shutdown::{Drained, Shutdown};
use super::start_error::StartError;
use super::tls::Certificate;
use super::worker::{Seat, Worker, WorkerThread, local_runtime};
use crate::admin::{Access, Admin};
use crate::clock::Clock;
use crate::config::Config;
use crate::descriptors;
use crate::fleet::store::{Gravity, probe};
use crate::metrics::Metrics;
use crate::proxy::Proxy;
use crate::resource::Resources;

/// Connections that the admin port keeps open at once.
pub(super) const MAX_ADMIN_CONNECTIONS: usize = 64;

/// How long a replica waits for the store to take note that it leaves the fleet.
const LEAVING: Duration = Duration::from_secs(1);

/// Of one address, so that none takes all places: a browser opens six, and who forwards a port is one address for all.
/// Heads are short there and come at once: who is slow must not keep a place for as long as callers of the API may.
const ADMIN_PER_ADDRESS: usize = 16;

/// Requests of one HTTP/2 connection to the admin port at a time: a browser with the page open has six.
pub(super) const MAX_ADMIN_STREAMS: u32 = 8;

/// Everything that was got ready before the thread started.
pub(super) struct Plan<F> {
    pub(super) config: Config,
    pub(super) resources: Resources,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) data: TcpListener,
    pub(super) admin: TcpListener,
    pub(super) access: Access,
    pub(super) token: AdminToken,
    pub(super) certificate: Option<Arc<Certificate>>,
    pub(super) asked: watch::Receiver<Option<Shutdown>>,
    /// Makes what answers a worker's requests, on the worker's thread.
    pub(super) handler: F,
}

/// The body of the control thread; `report` learns whether both ports accept.
pub(super) fn run<F, H>(plan: Plan<F>, report: &mpsc::Sender<Result<Arc<Live>, StartError>>) -> Drained
where
    F: Fn(&Arc<Proxy>) -> H + Clone + Send + 'static,
    H: Handler,
{
    let started = local_runtime().map_err(StartError::from).and_then(|runtime| {
        let control = runtime.block_on(Control::start(plan, runtime.handle().clone()))?;
        Ok((runtime, control))
    });
    let (runtime, control) = match started {
        Ok(started) => started,
        Err(error) => {
            report.send(Err(error)).ok();
            return Drained::default();
        }
    };
    report.send(Ok(Arc::clone(&control.live))).ok();
    let drained = runtime.block_on(control.serve());
    // A name look-up may hang on a thread of the runtime's own: nobody waits for it any more.
    runtime.shutdown_background();
    drained
}

struct Control {
    live: Arc<Live>,
    clock: Clock,
    proxy: Arc<Proxy>,
    asked: watch::Receiver<Option<Shutdown>>,
    ready: Arc<AtomicBool>,
    accepting: Accepting,
    workers: Vec<WorkerThread>,
    stages: watch::Sender<Stage>,
    _admin: (Accepting, watch::Sender<Stage>),
}

impl Control {
    async fn start<F, H>(plan: Plan<F>, flights: Handle) -> Result<Self, StartError>
    where
        F: Fn(&Arc<Proxy>) -> H + Clone + Send + 'static,
        H: Handler,
    {
        let Plan { config, clock, metrics, .. } = plan;
        require_store(&config, &clock).await?;
        let proxy = Proxy::new(&config, plan.resources, clock.clone(), Arc::clone(&metrics), flights)
            .map_err(|error| StartError(error.to_string()))?;
        let (times, _) = watch::channel(Times::from(&config));
        let (stages, stage) = watch::channel(Stage::Serving);
        let seat = Seat {
            proxy: Arc::clone(&proxy),
            stages: stage,
            times: times.subscribe(),
            tls: plan.certificate.as_ref().map(Certificate::acceptor),
            clock: clock.clone(),
            handler: plan.handler,
        };
        let count = config.listen.workers.map_or_else(cores, NonZeroUsize::get);
        let threads = (0..count).map(|index| WorkerThread::start(index, seat.clone()));
        let (lanes, workers) = threads.collect::<io::Result<Vec<_>>>()?.into_iter().unzip();
        let ready = Arc::new(AtomicBool::new(true));
        let admin = Admin::new(
            Arc::clone(&proxy),
            Arc::clone(&metrics),
            clock.clone(),
            Arc::clone(&ready),
            plan.access,
        );
        let bounds = Bounds { per_address: Some(ADMIN_PER_ADDRESS), head: config.admin.header_timeout };
        let admin = serve_admin(plan.admin, bounds, admin, times.subscribe(), clock.clone())?;
        let most = descriptors::for_callers(config.listen.max_connections, config.upstream.max_connections);
        let acceptor = Acceptor::new("data", most, lanes, Some(metrics), clock.clone());
        let accepting = Accepting::start(acceptor, plan.data)?;
        let live =
            Live { proxy: Arc::clone(&proxy), certificate: plan.certificate, token: plan.token, times };
        let live = Arc::new(live);
        tokio::task::spawn_local(Arc::clone(&live).follow(clock.clone()));
        Ok(Self { live, clock, proxy, asked: plan.asked, ready, accepting, workers, stages, _admin: admin })
    }

    /// Serves until it is asked to stop, and then stops in order: readiness, accepting, connections, writes whose clients
    /// have left, flights.
    async fn serve(mut self) -> Drained {
        asked(&mut self.asked, Shutdown::Graceful).await;
        self.ready.store(false, Ordering::Relaxed);
        let times = *self.live.times.borrow();
        self.proxy.stop_storing();
        self.stages.send_replace(Stage::Leaving);
        tokio::select! {
            biased;
            () = asked(&mut self.asked, Shutdown::WithoutDelay) => {}
            () = self.clock.sleep(times.drain_delay) => {}
        }
        self.accepting.end().await;
        self.stages.send_replace(Stage::Ending);
        let mut workers = std::mem::take(&mut self.workers);
        tokio::select! {
            biased;
            () = async {
                ended(&mut workers).await;
                self.proxy.writes_ended().await;
            } => {}
            () = asked(&mut self.asked, Shutdown::Now) => {}
            () = self.clock.sleep(times.drain_timeout) => {}
        }
        self.stages.send_replace(Stage::Cut);
        ended(&mut workers).await;
        // Nothing is served from memory any more. A store that does not answer holds up nobody for long.
        let leaving = self.proxy.leave_fleet();
        self.clock.deadline(self.clock.now().plus(LEAVING), leaving).await.ok();
        let proxy = Arc::clone(&self.proxy);
        // What is queued is sent on this thread's runtime, so nobody may block it.
        tokio::task::spawn_blocking(move || proxy.end_traces()).await.ok();
        let cut = workers.into_iter().map(WorkerThread::join).sum();
        if cut > 0 {
            warn!(connections = cut, "connections were cut with a request under way");
        }
        Drained { cut }
    }
}

/// Where the configuration says that the store is required, nothing starts without one that can be used.
async fn require_store(config: &Config, clock: &Clock) -> Result<(), StartError> {
    let Some(shared) = config.shared.as_ref().filter(|shared| shared.required) else { return Ok(()) };
    let lacking = probe(&shared.store, &shared.namespace, clock).await;
    match lacking.into_iter().find(|lack| lack.gravity == Gravity::Unusable) {
        Some(lack) => {
            Err(StartError(format!("shared.required is set, and the store cannot be used: {lack}")))
        }
        None => Ok(()),
    }
}

/// Waits until it was asked to stop in this way or a harder one. Whoever could ask being gone is the hardest.
async fn asked(asked: &mut watch::Receiver<Option<Shutdown>>, how: Shutdown) {
    asked.wait_for(|asked| *asked >= Some(how)).await.ok();
}

async fn ended(workers: &mut [WorkerThread]) {
    for worker in workers {
        worker.ended().await;
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The admin port is served on this thread, by the code that serves the data port.
fn serve_admin(
    listener: TcpListener,
    bounds: Bounds,
    admin: Admin,
    times: watch::Receiver<Times>,
    clock: Clock,
) -> io::Result<(Accepting, watch::Sender<Stage>)> {
    let (stages, stage) = watch::channel(Stage::Serving);
    let (lane, orders) = Lane::new();
    let admin = Rc::new(admin);
    tokio::task::spawn_local(Rc::clone(&admin).follow());
    let context = Context { handler: admin, tls: None, clock: clock.clone(), max_streams: MAX_ADMIN_STREAMS };
    tokio::task::spawn_local(Worker { orders, stages: stage, times, bounds, context }.run());
    let acceptor = Acceptor::new("admin", MAX_ADMIN_CONNECTIONS, vec![lane], None, clock);
    Ok((Accepting::start(acceptor, listener)?, stages))
}

/// An acceptor at work; it stops when `stop` is dropped.
struct Accepting {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Accepting {
    fn start(acceptor: Acceptor, listener: TcpListener) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Ok(Self { stop, task: tokio::task::spawn_local(acceptor.run(listener, stopped)) })
    }

    async fn end(self) {
        drop(self.stop);
        self.task.await.ok();
    }
}
