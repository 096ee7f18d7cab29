//! The running process: listeners, workers, drain.
//!
//! One control thread accepts, runs flights and the admin port; each worker thread serves its share of the connections.
//! Promises that no connection outlives its limits in any state of its protocol, and that a stop loses no request that
//! could still be answered. What a request is answered with is left to the proxy.

mod client_verifier;
mod connection;
mod control;
mod counted;
mod fast_path;
mod handler;
mod io;
mod limits;
mod listener;
mod live;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod pipes;
mod progress;
mod room;
mod shutdown;
mod start_error;
mod streams;
#[cfg(test)]
mod tests;
mod tls;
mod under_way;
mod worker;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;

use http::request::Parts;
use http::{Request, Response, StatusCode};
use tokio::sync::watch;
use tracing::{error, info};

use crate::admin::{Access, Admin};
use crate::body::Body;
use crate::clock::Clock;
use crate::config::Config;
use crate::lock::Mutex;
use crate::metrics::{ClientRefusal, Metrics};
use crate::peer::Peer;
use crate::proxy::{Client, FromMemory, Proxy, Worker};
use crate::received::Received;
use crate::resource::{RESOURCES, Resources};
use control::Plan;
use handler::Handler;
use live::{AdminToken, Followed, Live};
pub use shutdown::{Drained, Shutdown};
pub use start_error::StartError;
use tls::Certificate;

/// A running proxy: its threads, its two ports. Dropped without [`Server::wait`], it stops at once.
#[derive(Debug)]
pub struct Server {
    data_address: SocketAddr,
    admin_address: SocketAddr,
    metrics: Arc<Metrics>,
    live: Arc<Live>,
    asked: watch::Sender<Option<Shutdown>>,
    control: Mutex<Option<thread::JoinHandle<Drained>>>,
}

impl Server {
    /// Binds both ports, starts the threads, and returns once both ports accept. Blocks for that long, and may be
    /// called on a thread of another runtime.
    ///
    /// # Errors
    ///
    /// If a port is taken or a file cannot be read.
    pub fn start(config: Config, clock: Clock) -> Result<Self, StartError> {
        Self::start_for(RESOURCES, config, clock)
    }

    /// The same, with other resources to cache: those of them that the configuration has on.
    ///
    /// # Errors
    ///
    /// If a port is taken or a file cannot be read.
    pub fn start_for(resources: Resources, config: Config, clock: Clock) -> Result<Self, StartError> {
        let tells_all = config.shared.as_ref().is_some_and(|shared| shared.tell_all_writes);
        let resources = match tells_all {
            true => resources.watched(&config.cache),
            false => resources.enabled(&config.cache),
        };
        Self::start_with(resources, config, clock, |proxy| Rc::new(proxy.worker()))
    }

    fn start_with<F, H>(
        resources: Resources,
        config: Config,
        clock: Clock,
        handler: F,
    ) -> Result<Self, StartError>
    where
        F: Fn(&Arc<Proxy>) -> H + Clone + Send + 'static,
        H: Handler,
    {
        let data = listener::bind("listen.address", config.listen.address)?;
        let admin = listener::bind("admin.address", config.admin.address)?;
        let (data_address, admin_address) = (data.local_addr()?, admin.local_addr()?);
        let access = Access::new(admin_address, None);
        let token = AdminToken::new(access.clone(), Followed::read(config.admin.token_file.as_deref())?);
        let metrics = Arc::new(Metrics::of(resources));
        let read = |files| Certificate::read(files, Arc::clone(&metrics));
        let certificate = config.listen.tls.as_ref().map(read).transpose()?;
        let (asked, stop) = watch::channel(None);
        let (report, started) = mpsc::channel();
        let plan = Plan {
            config,
            resources,
            clock,
            metrics: Arc::clone(&metrics),
            data,
            admin,
            access,
            token,
            certificate,
            asked: stop,
            handler,
        };
        let control =
            thread::Builder::new().name("control".to_owned()).spawn(move || control::run(plan, &report))?;
        let ended = || Err(StartError("the control thread ended at once".to_owned()));
        let live = started.recv().unwrap_or_else(|_| ended())?;
        info!(address = %data_address, admin = %admin_address, "listening");
        Ok(Self { data_address, admin_address, metrics, live, asked, control: Mutex::new(Some(control)) })
    }

    /// The data port's address, with the port that was really taken.
    #[must_use]
    pub const fn data_address(&self) -> SocketAddr {
        self.data_address
    }

    /// The admin port's address, with the port that was really taken.
    #[must_use]
    pub const fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// The process's counters.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Takes what can change of a running server from `config`, all of it or nothing; what else differs is passed over. A
    /// request keeps what held when it began.
    ///
    /// # Errors
    ///
    /// If a file that it names cannot be used: then nothing has changed.
    pub fn reload(&self, config: &Config) -> Result<(), StartError> {
        self.live.take(config)
    }

    /// Begins to stop; may be called again with a harder way.
    pub fn shutdown(&self, how: Shutdown) {
        self.asked.send_if_modified(|asked| {
            let harder = *asked < Some(how);
            if harder {
                *asked = Some(how);
            }
            harder
        });
    }

    /// Blocks until everything has stopped. Whoever asks second is answered at once, with nothing.
    #[must_use]
    pub fn wait(&self) -> Drained {
        let control = self.control.lock().take();
        control.map_or_else(Drained::default, |control| {
            control.join().unwrap_or_else(|_| {
                error!("the control thread panicked");
                Drained::default()
            })
        })
    }
}

impl Handler for Rc<Worker> {
    fn answer(
        &self,
        head: Parts,
        body: Received,
        peer: Peer,
    ) -> impl Future<Output = Response<Body>> + 'static {
        Worker::handle(Self::clone(self), head, body, peer)
    }

    fn answer_from_memory(
        &self,
        request: &[u8],
        client: Client<'_>,
        head: &mut Vec<u8>,
    ) -> Option<FromMemory> {
        Worker::answer_from_memory(self, request, client, head)
    }

    fn note_refused_client(&self, peer: &Peer, reason: ClientRefusal, cause: &str) {
        Worker::note_refused_client(self, peer, reason, cause);
    }

    fn note_unreadable(&self, peer: &Peer, status: StatusCode, fault: &hyper::Error) {
        Worker::note_unreadable(self, peer, status, fault);
    }
}

impl Handler for Rc<Admin> {
    fn answer(
        &self,
        head: Parts,
        body: Received,
        _peer: Peer,
    ) -> impl Future<Output = Response<Body>> + 'static {
        let admin = Self::clone(self);
        async move { admin.handle(Request::from_parts(head, body)).await }
    }
}
