//! [`Dialled`]: an upstream without sockets, for what is proved by machine.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;

use tokio::io::{DuplexStream, duplex};

const PIPE_BYTES: usize = 64 * 1024;

#[derive(Default)]
struct Line {
    refuses: bool,
    dialled: VecDeque<DuplexStream>,
}

thread_local! {
    static LINE: RefCell<Option<Line>> = const { RefCell::new(None) };
}

/// While it is held, what this thread connects to is not the network: the other ends are here.
#[derive(Debug)]
pub(crate) struct Dialled(());

impl Dialled {
    /// From now on.
    pub(crate) fn begin() -> Self {
        LINE.set(Some(Line::default()));
        Self(())
    }

    /// The upstream's end of the next connection that was made.
    pub(crate) fn take(&self) -> Option<DuplexStream> {
        LINE.with_borrow_mut(|line| line.as_mut()?.dialled.pop_front())
    }

    /// Refuses every connection, until [`Self::listen_again`].
    pub(crate) fn refuse(&self) {
        LINE.with_borrow_mut(|line| line.get_or_insert_default().refuses = true);
    }

    /// Takes connections.
    pub(crate) fn listen_again(&self) {
        LINE.with_borrow_mut(|line| line.get_or_insert_default().refuses = false);
    }
}

impl Drop for Dialled {
    fn drop(&mut self) {
        LINE.set(None);
    }
}

/// A pipe, where the thread's upstream is one.
pub(super) fn dial() -> Option<io::Result<DuplexStream>> {
    LINE.with_borrow_mut(|line| {
        let line = line.as_mut()?;
        if line.refuses {
            return Some(Err(io::ErrorKind::ConnectionRefused.into()));
        }
        let (near, far) = duplex(PIPE_BYTES);
        line.dialled.push_back(far);
        Some(Ok(near))
    })
}
