//! [`Pipes`]: connections without sockets, for what is proved by machine.

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use tokio::io::{DuplexStream, duplex};

use super::connection::{Context, MAX_STREAMS, serve_bytes};
use super::io::Watched;
use super::limits::Limits;
use super::progress::{Progress, Stage};
use crate::clock::Clock;
use crate::config::Config;
use crate::proxy::{Proxy, Worker};

/// What a pipe holds, as a socket's buffer would.
const PIPE_BYTES: usize = 64 * 1024;

/// A worker whose connections are pipes; lives on one thread.
pub(crate) struct Pipes {
    context: Rc<Context<Rc<Worker>>>,
    limits: Limits,
    open: RefCell<Vec<Weak<Progress>>>,
    ports: Cell<u16>,
}

impl Pipes {
    /// Made on the runtime that serves them.
    pub(crate) fn new(config: &Config, proxy: &Arc<Proxy>, clock: Clock) -> Self {
        let handler = Rc::new(proxy.worker());
        let context = Rc::new(Context { handler, tls: None, clock, max_streams: MAX_STREAMS });
        Self { context, limits: Limits::from(config), open: RefCell::default(), ports: Cell::new(0) }
    }

    /// The client's end of a new connection.
    pub(crate) fn connect(&self) -> DuplexStream {
        self.ports.set(self.ports.get().wrapping_add(1));
        let (client, server) = duplex(PIPE_BYTES);
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.get())).into();
        let progress = Progress::new(self.context.clock.clone(), Stage::Serving);
        self.open.borrow_mut().push(Rc::downgrade(&progress));
        let context = Rc::clone(&self.context);
        tokio::task::spawn_local(self.context.clock.by_polls(async move {
            let bytes = Watched::new(server, crate::peer::Peer::clone(&peer), Rc::clone(&progress));
            tokio::select! {
                biased;
                () = progress.cut() => {}
                ended = serve_bytes(bytes, None, &peer, &progress, &context) => drop(ended),
            }
        }));
        client
    }

    /// Ends connections that wait too long, as a worker does every second.
    pub(crate) fn sweep(&self) {
        self.open.borrow_mut().retain(|open| open.strong_count() > 0);
        let open: Vec<_> = self.open.borrow().iter().filter_map(Weak::upgrade).collect();
        open.iter().for_each(|progress| progress.sweep(self.limits));
    }
}
