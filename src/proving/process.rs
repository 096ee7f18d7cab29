//! [`Process`]: a proxy with a runtime of its own, so that several live on one thread, and that each can be killed.
//!
//! Nothing of it goes on but while it is told to: who holds several decides which of them runs when, and time stands still
//! meanwhile.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::DuplexStream;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

use super::world::{Quiet, proxy};
use crate::clock::Clock;
use crate::config::Config;
use crate::proxy::{Proxy, Purge};
use crate::server::pipes::Pipes;

/// A process. Dropped, it is killed: none of its tasks ends what it has begun.
pub(super) struct Process {
    // First: its tasks have the rest.
    runtime: LocalRuntime,
    quiet: Quiet,
    proxy: Arc<Proxy>,
    pipes: Rc<Pipes>,
}

impl Process {
    /// A new one, which knows nothing.
    pub(super) fn begin(config: &Config, clock: &Clock) -> Self {
        let quiet = Quiet::default();
        let parked = quiet.clone();
        let mut builder = Builder::new_current_thread();
        builder.on_thread_park(move || parked.note_parked());
        let runtime = builder.build_local(LocalOptions::default()).expect("a runtime without drivers");
        let (proxy, pipes) = runtime.block_on(async {
            let (proxy, _) = proxy(config, clock);
            let pipes = Rc::new(Pipes::new(config, &proxy, clock.clone()));
            (proxy, pipes)
        });
        Self { runtime, quiet, proxy, pipes }
    }

    /// Goes on until none of its tasks can without time, or bytes, from outside.
    pub(super) fn settle(&self) {
        self.runtime.block_on(self.quiet.reached());
    }

    /// Goes on for so many turns of its tasks, and no further.
    pub(super) fn go_on(&self, turns: u32) {
        self.runtime.block_on(async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        });
    }

    /// A client's new connection.
    pub(super) fn connect(&self) -> DuplexStream {
        self.runtime.block_on(async { self.pipes.connect() })
    }

    /// Runs something of a client's beside it; its connections are made by the second one.
    pub(super) fn beside<F: Future<Output = ()> + 'static>(
        &self,
        task: impl FnOnce(Rc<Pipes>) -> F,
    ) -> tokio::task::AbortHandle {
        let task = task(Rc::clone(&self.pipes));
        self.runtime.block_on(async { tokio::task::spawn_local(task).abort_handle() })
    }

    /// Ends connections that wait too long, as a worker does every second.
    pub(super) fn sweep(&self) {
        self.runtime.block_on(async { self.pipes.sweep() });
    }

    /// Begins a purge; it says when it is done.
    pub(super) fn purge(&self, what: Purge) -> Rc<Cell<bool>> {
        let done = Rc::new(Cell::new(false));
        let (proxy, told) = (Arc::clone(&self.proxy), Rc::clone(&done));
        let purge = async move {
            drop(proxy.purge(what).await);
            told.set(true);
        };
        self.runtime.block_on(async { drop(tokio::task::spawn_local(purge)) });
        done
    }
}
