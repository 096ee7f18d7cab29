//! [`Dialled`]: a store without sockets, for what is proved by machine.

use std::cell::RefCell;
use std::collections::VecDeque;

use tokio::io::{DuplexStream, duplex};

const PIPE_BYTES: usize = 256 * 1024;

thread_local! {
    static LINE: RefCell<Option<VecDeque<DuplexStream>>> = const { RefCell::new(None) };
}

/// While it is held, what this thread connects to is not the network: the other ends are here.
#[derive(Debug)]
pub(crate) struct Dialled(());

impl Dialled {
    /// From now on.
    pub(crate) fn begin() -> Self {
        LINE.set(Some(VecDeque::new()));
        Self(())
    }

    /// The store's end of the next connection that was made.
    pub(crate) fn take(&self) -> Option<DuplexStream> {
        LINE.with_borrow_mut(|line| line.as_mut()?.pop_front())
    }
}

impl Drop for Dialled {
    fn drop(&mut self) {
        LINE.set(None);
    }
}

/// A pipe, where the thread's store is one.
pub(super) fn dial() -> Option<DuplexStream> {
    LINE.with_borrow_mut(|line| {
        let (near, far) = duplex(PIPE_BYTES);
        line.as_mut()?.push_back(far);
        Some(near)
    })
}
