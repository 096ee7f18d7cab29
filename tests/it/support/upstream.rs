//! [`TestUpstream`]: a scripted upstream over real sockets, on a thread of its own.
//!
//! It speaks HTTP/1.1 in bytes, so that it can send what no library would. The answer to a request is made when the
//! request has arrived, **before** a [`Gate`] holds it: a held read carries the value of the moment at which it came.
//! A request that a proxy should never send (two framings, two credentials, no Host) and a panic in a script are
//! remembered and fail the test when the upstream is dropped.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::answer::{After, Answer};
use super::gate::{Gate, GateState};
use super::patience::patiently;
use super::recorded::Recorded;
use super::stand_in;
use super::vendor::Vendor;
use super::wire::{Framing, Wire};

type Handler = Arc<dyn Fn(&Recorded) -> Answer + Send + Sync>;
type Script = Arc<dyn Fn(&Recorded) -> Option<Answer> + Send + Sync>;
struct Shared {
    state: Mutex<State>,
    heads: watch::Sender<usize>,
    /// Connections closed from here whose other side is closed, too.
    closed: watch::Sender<usize>,
    requests: watch::Sender<usize>,
    networking: watch::Sender<bool>,
    listening: watch::Sender<bool>,
}

struct State {
    handler: Handler,
    scripts: Vec<Script>,
    gates: Vec<Arc<GateState>>,
    requests: Vec<Arc<Recorded>>,
    connections: usize,
    faults: Vec<String>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, text: String) {
        self.state().faults.push(text);
    }

    /// Records the request and makes its answer; the gate that holds it, if one does.
    fn take(&self, request: Recorded) -> (Answer, Option<Arc<GateState>>) {
        let request = Recorded { target: stand_in::inward(request.target), ..request };
        let (scripts, handler, gate) = {
            let mut state = self.state();
            if let Some(fault) = request.fault() {
                state.faults.push(fault);
            }
            state.requests.push(Arc::new(request.clone()));
            let gate = state.gates.iter().find(|gate| gate.matches(&request)).cloned();
            (state.scripts.clone(), Arc::clone(&state.handler), gate)
        };
        let made = catch_unwind(AssertUnwindSafe(|| {
            let scripted = scripts.iter().rev().find_map(|script| script(&request));
            scripted.unwrap_or_else(|| handler(&request))
        }));
        let answer = made.unwrap_or_else(|_| {
            self.fault(format!("a script panicked at {} {}", request.method, request.target));
            Answer::close()
        });
        self.requests.send_modify(|count| *count += 1);
        (answer, gate)
    }
}

/// A way through the thread of an upstream, which no test counts: it is open while the network is broken, too.
#[derive(Clone)]
pub struct Passage(mpsc::UnboundedSender<oneshot::Sender<()>>);

impl Passage {
    /// Waits until the thread has seen what had arrived before this; at once if it has ended.
    pub async fn pass(&self) {
        let (told, passed) = oneshot::channel();
        if self.0.send(told).is_ok() {
            let _ = passed.await;
        }
    }
}

/// Lets whoever passes go on, each behind what its sockets had for the thread.
async fn let_pass(mut passing: mpsc::UnboundedReceiver<oneshot::Sender<()>>) {
    while let Some(told) = passing.recv().await {
        // The runtime looks at its sockets before it goes on with this.
        tokio::task::yield_now().await;
        let _ = told.send(());
    }
}

/// A scripted upstream.
pub struct TestUpstream {
    address: SocketAddr,
    passage: Passage,
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl TestUpstream {
    /// Answers everything as `handler` says.
    pub fn start(handler: impl Fn(&Recorded) -> Answer + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                handler: Arc::new(handler),
                scripts: Vec::new(),
                gates: Vec::new(),
                requests: Vec::new(),
                connections: 0,
                faults: Vec::new(),
            }),
            heads: watch::Sender::new(0),
            closed: watch::Sender::new(0),
            requests: watch::Sender::new(0),
            networking: watch::Sender::new(true),
            listening: watch::Sender::new(true),
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        listener.set_nonblocking(true).expect("a socket can be non-blocking");
        let address = listener.local_addr().expect("a bound socket has an address");
        let stop = watch::Sender::new(false);
        let (passage, passing) = mpsc::unbounded_channel();
        let (own, mut stopped) = (Arc::clone(&shared), stop.subscribe());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(async {
                let listener = TcpListener::from_std(listener).expect("the socket is non-blocking");
                tokio::spawn(let_pass(passing));
                tokio::select! {
                    () = accept(own, listener) => {}
                    _ = stopped.wait_for(|stop| *stop) => {}
                }
            });
        });
        Self { address, passage: Passage(passage), shared, thread: Some(thread), stop }
    }

    /// A way through its thread.
    pub fn passage(&self) -> Passage {
        self.passage.clone()
    }

    /// Answers as `vendor` does.
    pub fn of(vendor: &Vendor) -> Self {
        let vendor = vendor.clone();
        Self::start(move |request| vendor.answer(request))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers what `script` wants to answer, from the next request on; the latest script is asked first.
    pub fn script(&self, script: impl Fn(&Recorded) -> Option<Answer> + Send + Sync + 'static) {
        self.shared.state().scripts.push(Arc::new(script));
    }

    /// Answers one method and target so.
    pub fn reply_to(&self, method: &'static str, target: &str, answer: Answer) {
        let target = target.to_owned();
        self.script(move |request| request.is(method, &target).then(|| answer.clone()));
    }

    /// Ends every script: the handler answers again.
    pub fn clear_scripts(&self) {
        self.shared.state().scripts.clear();
    }

    /// Holds the answers to requests that match and come from here on.
    pub fn hold(&self, matches: impl Fn(&Recorded) -> bool + Send + Sync + 'static) -> Gate {
        let gate = GateState::new(Box::new(matches));
        self.shared.state().gates.insert(0, Arc::clone(&gate));
        Gate::of(&gate)
    }

    /// Waits until `count` whole requests in all have arrived.
    #[track_caller]
    pub fn arrived(&self, count: usize) -> impl Future<Output = ()> + use<> {
        let mut requests = self.shared.requests.subscribe();
        patiently("requests to arrive upstream", async move {
            requests.wait_for(|now| *now >= count).await.expect("the upstream outlives the test");
        })
    }

    /// Waits until the heads of `count` requests in all have arrived, with or without their bodies.
    #[track_caller]
    pub fn heads_arrived(&self, count: usize) -> impl Future<Output = ()> + use<> {
        let mut heads = self.shared.heads.subscribe();
        patiently("heads to arrive upstream", async move {
            heads.wait_for(|now| *now >= count).await.expect("the upstream outlives the test");
        })
    }

    /// Waits until the proxy has closed its side of `count` connections, in all, that were closed from here: it knows of that.
    pub fn closed(&self, count: usize) -> impl Future<Output = ()> + use<> {
        let mut closed = self.shared.closed.subscribe();
        patiently("the ends of connections to be seen", async move {
            closed.wait_for(|now| *now >= count).await.expect("the upstream outlives the test");
        })
    }

    /// How many heads have arrived: zero says that not one byte of a request did.
    pub fn heads(&self) -> usize {
        *self.shared.heads.borrow()
    }

    /// Every whole request, in order of arrival.
    pub fn requests(&self) -> Vec<Arc<Recorded>> {
        self.shared.state().requests.clone()
    }

    /// The latest whole request.
    #[track_caller]
    pub fn last(&self) -> Arc<Recorded> {
        self.requests().pop().expect("a request has arrived")
    }

    /// How many whole requests have arrived.
    pub fn count(&self) -> usize {
        self.shared.state().requests.len()
    }

    /// How many of them match.
    pub fn count_of(&self, matches: impl Fn(&Recorded) -> bool) -> usize {
        self.requests().iter().filter(|request| matches(request)).count()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// Cuts every connection and refuses new ones.
    pub async fn break_networking(&self) {
        self.shared.networking.send_replace(false);
        self.listening_is(false).await;
    }

    /// Accepts connections again, on the same port.
    pub async fn heal_networking(&self) {
        self.shared.networking.send_replace(true);
        self.listening_is(true).await;
    }

    async fn listening_is(&self, wanted: bool) {
        let mut listening = self.shared.listening.subscribe();
        patiently("the upstream's port to open or close", listening.wait_for(|now| *now == wanted))
            .await
            .expect("the upstream outlives the test");
    }
}

impl Drop for TestUpstream {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let faults = std::mem::take(&mut self.shared.state().faults);
        if !thread::panicking() {
            assert!(faults.is_empty(), "{}", faults.join("\n"));
        }
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let address = listener.local_addr().expect("a bound socket has an address");
    let mut networking = shared.networking.subscribe();
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        let open = match listener.take() {
            Some(open) => open,
            None => TcpListener::bind(address).await.expect("nobody took the port meanwhile"),
        };
        shared.listening.send_replace(true);
        loop {
            tokio::select! {
                biased;
                _ = networking.wait_for(|on| !on) => break,
                accepted = open.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    let number = {
                        let mut state = shared.state();
                        state.connections += 1;
                        state.connections
                    };
                    connections.spawn(serve(Arc::clone(&shared), stream, number));
                }
            }
        }
        drop(open);
        connections.shutdown().await;
        shared.listening.send_replace(false);
        if networking.wait_for(|on| *on).await.is_err() {
            return;
        }
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream, connection: usize) {
    let _ = stream.set_nodelay(true);
    let (read, mut write) = stream.into_split();
    let mut wire = Wire::new(read);
    while let Ok(Some(head)) = wire.head().await {
        shared.heads.send_modify(|count| *count += 1);
        let framing = Framing::of_request(&head);
        let Ok((body, _)) = wire.body(framing).await else { return };
        let mut words = head.first_line.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let request = Recorded { connection, head, method: method.clone(), target, body, framing };
        let (answer, gate) = shared.take(request);
        if let Some(gate) = gate {
            gate.pass().await;
        }
        let (bytes, after) = answer.render(&method);
        if write.write_all(&bytes).await.is_err() {
            return;
        }
        match after {
            After::Next => {}
            After::Close => {
                let _ = write.shutdown().await;
                let _ = wire.rest().await;
                shared.closed.send_modify(|count| *count += 1);
                return;
            }
            After::Hang => {
                let _ = wire.rest().await;
                return;
            }
        }
    }
}
