//! [`Lines`]: the way of finished lines to standard output, on a thread of its own.
//!
//! Whoever logs puts a line into a buffer and goes on: no request waits for whoever reads the log. The buffer has a limit;
//! where the reader stands still so long that it fills, lines are dropped and counted. Lines come out whole and in order,
//! many in one write: the first of them waits a moment for the others. What is buffered when [`Flush`] is dropped is still
//! written, as long as the reader takes any of it.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use crate::lock::{Condvar, Mutex};

/// Bytes that wait at most: some ten thousand lines.
const ROOM: usize = 4 * 1024 * 1024;
/// Bytes for which the writer is woken early.
const ENOUGH: usize = 64 * 1024;
/// Bytes that are handed over at once. A write comes back only when all of them are taken: with more, a slow reader would
/// look like one that stands still.
const HANDED_OVER: usize = 8 * 1024;
/// How long a line waits for others to be written with. To wake the writer for each line cost more than the whole rest of
/// answering from memory.
const LINGER: Duration = Duration::from_millis(20);
/// At the end of the process, a reader that takes nothing for this long is not waited for.
const STILL: Duration = Duration::from_secs(1);
/// Nor is one that takes this many times as long in all.
const PATIENCE: u32 = 10;

/// Takes lines; a cheap handle.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

struct Shared {
    room: usize,
    waiting: Mutex<Waiting>,
    /// Rung when there is something to write, or the end has come.
    come: Condvar,
    /// Rung when the writer has ended.
    ended: Condvar,
    dropped: Arc<AtomicU64>,
    pieces: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    lines: u64,
    closing: bool,
    ended: bool,
}

/// Writes what is left when it is dropped.
#[must_use = "dropping it ends the log"]
pub struct Flush(Lines);

impl fmt::Debug for Flush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flush")
    }
}

impl Lines {
    /// Lines that go to `out`.
    ///
    /// # Errors
    ///
    /// If the system gives no thread.
    pub(super) fn to(out: impl Write + Send + 'static) -> io::Result<(Self, Flush)> {
        Self::with_room(ROOM, out)
    }

    fn with_room(room: usize, out: impl Write + Send + 'static) -> io::Result<(Self, Flush)> {
        let lines = Self(Arc::new(Shared {
            room,
            waiting: Mutex::default(),
            come: Condvar::default(),
            ended: Condvar::default(),
            dropped: Arc::default(),
            pieces: AtomicU64::new(0),
        }));
        let writer = lines.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.write_to(out))?;
        let flush = Flush(lines.clone());
        Ok((lines, flush))
    }

    /// How many lines found no room, or could not be written.
    pub(super) fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.0.dropped)
    }

    /// Takes a line with its line feed, or counts it as dropped.
    pub(super) fn push(&self, line: &[u8]) {
        let mut waiting = self.0.waiting.lock();
        if waiting.bytes.len() + line.len() > self.0.room {
            drop(waiting);
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let before = waiting.bytes.len();
        waiting.bytes.extend_from_slice(line);
        waiting.lines += 1;
        let is_enough = before < ENOUGH && waiting.bytes.len() >= ENOUGH;
        drop(waiting);
        // Else the writer knows already, and takes this line along.
        if before == 0 || is_enough {
            self.0.come.notify_one();
        }
    }

    fn write_to(&self, mut out: impl Write) {
        let mut bytes = Vec::new();
        while let Some(lines) = self.next(&mut bytes) {
            let written = bytes.chunks(HANDED_OVER).try_for_each(|piece| {
                put(&mut out, piece)?;
                self.0.pieces.fetch_add(1, Ordering::Relaxed);
                Ok::<_, io::Error>(())
            });
            if written.and_then(|()| patiently(|| out.flush())).is_err() {
                // Nobody reads any more. How many of them came through is not known.
                self.0.dropped.fetch_add(lines, Ordering::Relaxed);
            }
            bytes.clear();
            bytes.shrink_to(ENOUGH);
        }
        self.0.waiting.lock().ended = true;
        self.0.ended.notify_all();
    }

    /// Waits for lines and exchanges them for the empty `bytes`; says how many, or that no more will come.
    fn next(&self, bytes: &mut Vec<u8>) -> Option<u64> {
        let is_idle = |waiting: &mut Waiting| waiting.bytes.is_empty() && !waiting.closing;
        let waiting = self.0.come.wait_while(self.0.waiting.lock(), is_idle);
        // Real time, not the clock's: it is the log of whoever sets the clock, too.
        let lingers = |waiting: &mut Waiting| waiting.bytes.len() < ENOUGH && !waiting.closing;
        let (mut waiting, _) = self.0.come.wait_timeout_while(waiting, LINGER, lingers);
        std::mem::swap(&mut waiting.bytes, bytes);
        (!bytes.is_empty()).then_some(std::mem::take(&mut waiting.lines))
    }
}

/// Writes all of it. Whoever started the process may have left its end non-blocking: a full pipe is no reader that is gone.
fn put(out: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match patiently(|| out.write(bytes))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => bytes = &bytes[written..],
        }
    }
    Ok(())
}

fn patiently<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(1))
            }
            done => return done,
        }
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        let Lines(shared) = &self.0;
        let mut waiting = shared.waiting.lock();
        waiting.closing = true;
        shared.come.notify_one();
        let mut seen = shared.pieces.load(Ordering::Relaxed);
        // Real time, not the clock's: it is the process's end that would hang.
        for _ in 0..PATIENCE {
            let (guard, timeout) = shared.ended.wait_timeout_while(waiting, STILL, |waiting| !waiting.ended);
            waiting = guard;
            let written = shared.pieces.load(Ordering::Relaxed);
            if !timeout.timed_out() || written == seen {
                return;
            }
            seen = written;
        }
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Line<'w>;

    fn make_writer(&'w self) -> Line<'w> {
        Line(self)
    }
}

/// Takes one line, which comes in one piece.
pub(super) struct Line<'w>(&'w Lines);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// A reader that takes one write at a time, when the test lets it.
    struct Slow {
        begun: SyncSender<()>,
        go_on: Receiver<()>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.begun.send(()).ok();
            self.go_on.recv().map_err(io::Error::other)?;
            self.taken.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The other end of [`Slow`].
    struct Hand {
        begun: Receiver<()>,
        let_go: SyncSender<()>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    fn slow() -> (Slow, Hand) {
        let ((begun, seen), (let_go, go_on)) = (sync_channel(100), sync_channel(100));
        let taken: Arc<Mutex<Vec<u8>>> = Arc::default();
        (Slow { begun, go_on, taken: Arc::clone(&taken) }, Hand { begun: seen, let_go, taken })
    }

    #[test]
    fn lines_that_find_no_room_are_counted_and_the_others_come_out_whole_and_in_order() {
        let (out, Hand { begun, let_go, taken }) = slow();
        let (lines, flush) = Lines::with_room(20, out).unwrap();
        lines.push(b"first\n");
        begun.recv().unwrap();
        // The reader stands still.
        for line in [&b"second\n"[..], b"third\n", b"a line too many\n", b"last\n"] {
            lines.push(line);
        }
        assert_eq!(lines.dropped().load(Ordering::Relaxed), 1);
        for _ in 0..2 {
            let_go.send(()).unwrap();
        }
        drop(flush);
        assert_eq!(String::from_utf8(taken.lock().clone()).unwrap(), "first\nsecond\nthird\nlast\n");
        assert_eq!(lines.dropped().load(Ordering::Relaxed), 1);
    }

    /// A full pipe whose end is non-blocking: takes a little, then nothing for a moment.
    struct Full(Arc<Mutex<Vec<u8>>>, bool);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let taken = bytes.len().min(7);
            self.0.lock().extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_full_for_a_moment_costs_no_line_and_tears_none() {
        let taken: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (lines, flush) = Lines::to(Full(Arc::clone(&taken), false)).unwrap();
        lines.push(b"the first line\n");
        lines.push(b"the second line\n");
        drop(flush);
        assert_eq!(taken.lock().as_slice(), b"the first line\nthe second line\n");
        assert_eq!(lines.dropped().load(Ordering::Relaxed), 0);
    }

    #[test]
    fn nothing_is_lost_at_a_clean_end() {
        let taken: Arc<Mutex<Vec<u8>>> = Arc::default();
        struct Page(Arc<Mutex<Vec<u8>>>);
        impl Write for Page {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (lines, flush) = Lines::to(Page(Arc::clone(&taken))).unwrap();
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let lines = lines.clone();
                thread::spawn(move || {
                    for number in 0..10_000 {
                        lines.push(format!("{writer} {number}\n").as_bytes());
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        drop(flush);
        let text = String::from_utf8(taken.lock().clone()).unwrap();
        for writer in 0..4 {
            let own = text.lines().filter_map(|line| line.strip_prefix(&format!("{writer} ")));
            assert!(own.eq((0..10_000).map(|number| number.to_string())), "{writer}");
        }
        assert_eq!(lines.dropped().load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_reader_that_is_gone_costs_its_lines_and_nothing_else() {
        let (out, Hand { begun, let_go, .. }) = slow();
        let (lines, flush) = Lines::to(out).unwrap();
        drop(let_go);
        lines.push(b"nobody reads this\n");
        begun.recv().unwrap();
        drop(flush);
        assert_eq!(lines.dropped().load(Ordering::Relaxed), 1);
    }
}
