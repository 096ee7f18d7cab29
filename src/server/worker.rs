//! A lane's end: serves the connections that it is handed, on one thread, and sweeps them once a second.
//!
//! A request that is answered from memory never leaves this thread. What outlives its caller is left to the flights on
//! the control thread.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, error};

use super::connection::{self, Context};
use super::handler::Handler;
use super::limits::Limits;
use super::listener::{Accepted, Lane, Order};
use super::live::Times;
use super::progress::{Progress, Stage};
use super::room::{self, Bounds, Candidate};
use crate::clock::Clock;
use crate::proxy::Proxy;

const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What a worker thread takes along.
#[derive(Clone)]
pub(super) struct Seat<F> {
    pub(super) proxy: Arc<Proxy>,
    pub(super) stages: watch::Receiver<Stage>,
    pub(super) times: watch::Receiver<Times>,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) clock: Clock,
    /// Makes what answers the thread's requests.
    pub(super) handler: F,
}

/// A thread with a worker on it.
pub(super) struct WorkerThread {
    cut: oneshot::Receiver<usize>,
    seen: Option<usize>,
    thread: thread::JoinHandle<()>,
}

impl WorkerThread {
    /// Starts the thread; connections given to the lane are served on it.
    ///
    /// # Errors
    ///
    /// If the system gives no thread or no event queue.
    pub(super) fn start<F, H>(index: usize, seat: Seat<F>) -> io::Result<(Lane, Self)>
    where
        F: Fn(&Arc<Proxy>) -> H + Send + 'static,
        H: Handler,
    {
        let (lane, orders) = Lane::new();
        let (report, cut) = oneshot::channel();
        let (started, starting) = std::sync::mpsc::channel();
        let thread = thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            let runtime = match local_runtime() {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error))),
            };
            started.send(Ok(())).ok();
            let cut = runtime.block_on(async {
                let Seat { proxy, stages, times, tls, clock, handler } = seat;
                let context =
                    Context { handler: handler(&proxy), tls, clock, max_streams: connection::MAX_STREAMS };
                Worker { orders, stages, times, bounds: Bounds::default(), context }.run().await
            });
            runtime.shutdown_background();
            report.send(cut).ok();
        })?;
        starting.recv().unwrap_or_else(|_| Err(io::Error::other("a worker thread ended at once")))?;
        Ok((lane, Self { cut, seen: None, thread }))
    }

    /// Waits until the worker has ended; at once when asked again.
    pub(super) async fn ended(&mut self) {
        if self.seen.is_none() {
            self.seen = Some((&mut self.cut).await.unwrap_or_default());
        }
    }

    /// Ends the thread of a worker that has ended; says how many connections were cut with a request under way.
    pub(super) fn join(self) -> usize {
        if self.thread.join().is_err() {
            error!("a worker thread panicked");
        }
        self.seen.unwrap_or_default()
    }
}

/// A runtime of one thread, whose tasks may stay on it.
///
/// # Errors
///
/// If the system gives no event queue.
pub(super) fn local_runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}

/// Serves connections; lives on one thread.
pub(super) struct Worker<H> {
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    pub(super) stages: watch::Receiver<Stage>,
    pub(super) times: watch::Receiver<Times>,
    pub(super) bounds: Bounds,
    pub(super) context: Context<H>,
}

impl<H: Handler> Worker<H> {
    /// Serves until nothing is left after the end has begun, or until it is cut; says how many connections were cut
    /// with a request under way.
    pub(super) async fn run(mut self) -> usize {
        let clock = self.context.clock.clone();
        let (open, context) = (Rc::new(Connections::default()), Rc::new(self.context));
        let mut sweep = clock.sleep(SWEEP_INTERVAL);
        let mut accepting = true;
        loop {
            tokio::select! {
                biased;
                changed = self.stages.changed() => {
                    let stage = *self.stages.borrow_and_update();
                    // Who would tell of the stages is gone: so is the process's wish to serve.
                    open.raise(if changed.is_ok() { stage } else { Stage::Cut });
                    if open.stage.get() == Stage::Cut {
                        return open.busy();
                    }
                }
                () = &mut sweep => {
                    let limits = self.times.borrow().limits;
                    open.sweep(self.bounds.of(limits));
                    sweep = clock.sleep(SWEEP_INTERVAL);
                }
                next = self.orders.recv(), if accepting => match next {
                    Some(Order::Serve(accepted)) if open.has_room(self.bounds, accepted.peer.ip()) => {
                        open.serve(accepted, &context);
                        // What it has sent already is read before the next order: it is not silent then.
                        tokio::task::yield_now().await;
                    }
                    Some(Order::Serve(Accepted { peer, .. })) => {
                        debug!(%peer, "connection dropped: its address has too many at work");
                    }
                    Some(Order::MakeRoom(count)) => open.make_room(open.silent(), count),
                    None => accepting = false,
                },
                () = open.emptied(), if !accepting && open.stage.get() >= Stage::Ending => return 0,
            }
        }
    }
}

struct Open {
    progress: Rc<Progress>,
    address: IpAddr,
}

/// The open connections of one thread.
struct Connections {
    open: RefCell<HashMap<u64, Open>>,
    next_id: Cell<u64>,
    stage: Cell<Stage>,
    left: Notify,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            open: RefCell::default(),
            next_id: Cell::new(0),
            stage: Cell::new(Stage::Serving),
            left: Notify::new(),
        }
    }
}

impl Connections {
    fn serve<H: Handler>(self: &Rc<Self>, accepted: Accepted, context: &Rc<Context<H>>) {
        let Accepted { stream, peer, held } = accepted;
        let stream = TcpStream::from_std(stream).and_then(|stream| {
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => return debug!(%peer, %error, "connection dropped"),
        };
        let progress = Progress::new(context.clock.clone(), self.stage.get());
        let entry = self.enter(Open { progress: Rc::clone(&progress), address: peer.ip() });
        let (context, clock) = (Rc::clone(context), context.clock.clone());
        tokio::task::spawn_local(clock.by_polls(async move {
            let _until_closed = (held, entry);
            connection::serve(stream, peer.into(), progress, context).await;
        }));
    }

    fn enter(self: &Rc<Self>, open: Open) -> Entry {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        self.open.borrow_mut().insert(id, open);
        Entry { connections: Rc::clone(self), id }
    }

    /// Whether one more of this address may be open; for its sake the address's own oldest silent one goes.
    fn has_room(&self, bounds: Bounds, address: IpAddr) -> bool {
        let Some(most) = bounds.per_address else { return true };
        let open = self.open.borrow();
        let staying = open.values().filter(|open| open.progress.stage() < Stage::Cut);
        if staying.filter(|open| open.address == address).count() < most {
            return true;
        }
        let mut silent = self.silent();
        silent.retain(|candidate| candidate.address == address);
        let has_room = !silent.is_empty();
        self.make_room(silent, 1);
        has_room
    }

    fn silent(&self) -> Vec<Candidate> {
        let open = self.open.borrow();
        let staying = open.iter().filter(|(_, open)| open.progress.stage() < Stage::Cut);
        let candidate = |(id, open): (&u64, &Open)| {
            Some(Candidate { id: *id, address: open.address, silence: open.progress.silence()? })
        };
        staying.filter_map(candidate).collect()
    }

    fn make_room(&self, silent: Vec<Candidate>, count: usize) {
        let open = self.open.borrow();
        for id in room::first_to_go(silent, count) {
            if let Some(open) = open.get(&id) {
                open.progress.give_way();
            }
        }
    }

    fn raise(&self, stage: Stage) {
        self.stage.set(stage.max(self.stage.get()));
        self.open.borrow().values().for_each(|open| open.progress.raise(stage));
    }

    fn sweep(&self, limits: Limits) {
        self.open.borrow().values().for_each(|open| open.progress.sweep(limits));
    }

    fn busy(&self) -> usize {
        self.open.borrow().values().filter(|open| open.progress.is_busy()).count()
    }

    async fn emptied(&self) {
        while !self.open.borrow().is_empty() {
            self.left.notified().await;
        }
    }
}

/// Keeps a connection among the open ones.
struct Entry {
    connections: Rc<Connections>,
    id: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.open.borrow_mut().remove(&self.id);
        self.connections.left.notify_one();
    }
}
