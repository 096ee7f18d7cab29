//! [`Streams`]: a connection of HTTP/2 that several clients share, each with a stream at a time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::Reason;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame};
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;

use super::super::process::Process;
use super::client::{Ended, Heard};
use super::truth::Request;
use crate::server::pipes::Pipes;

/// A connection that is made when it is needed.
#[derive(Clone, Default)]
pub(super) struct Streams(Rc<RefCell<Option<http2::SendRequest<Pieces>>>>);

/// A stream, as its client sees it.
pub(super) struct Course {
    sending: Rc<RefCell<Sending>>,
    heard: Rc<RefCell<Option<Ended>>>,
}

/// A body that is sent piece by piece.
#[derive(Default)]
struct Sending {
    ready: VecDeque<Bytes>,
    /// What is kept back.
    rest: Option<Bytes>,
    /// Its client has left: what it says of that.
    left: Option<Reason>,
    waiting: Option<Waker>,
}

struct Pieces(Rc<RefCell<Sending>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let mut sending = self.0.borrow_mut();
        if let Some(piece) = sending.ready.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if let Some(reason) = sending.left {
            return Poll::Ready(Some(Err(reason.into())));
        }
        if sending.rest.is_none() {
            return Poll::Ready(None);
        }
        sending.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let sending = self.0.borrow();
        sending.ready.is_empty() && sending.rest.is_none()
    }
}

/// Runs what the connection needs beside the proxy.
#[derive(Clone, Copy)]
struct Beside;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Beside {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

impl Course {
    pub(super) fn is_sending(&self) -> bool {
        self.sending.borrow().rest.is_some()
    }

    pub(super) fn send_rest(&self) {
        let mut sending = self.sending.borrow_mut();
        let rest = sending.rest.take();
        sending.ready.extend(rest);
        if let Some(waiting) = sending.waiting.take() {
            waiting.wake();
        }
    }

    /// The client leaves: what is kept back never comes, and is not taken for the end either. Whether that ends the stream.
    pub(super) fn leave(&self, reason: Reason) -> bool {
        let mut sending = self.sending.borrow_mut();
        sending.left = sending.rest.is_some().then_some(reason);
        if let Some(waiting) = sending.waiting.take() {
            waiting.wake();
        }
        sending.left.is_some()
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        self.heard.borrow_mut().take()
    }
}

impl Streams {
    /// The process at its other end is gone.
    pub(super) fn forget(&self) {
        self.0.take();
    }

    /// Sends a request, or all of it but this much of its end.
    pub(super) fn ask(&self, request: Request, kept: usize, process: &Process) -> (Course, AbortHandle) {
        let mut body = Bytes::from(request.body.clone());
        let mut sending = Sending::default();
        if kept > 0 && !body.is_empty() {
            sending.rest = Some(body.split_off(body.len().saturating_sub(kept)));
        }
        sending.ready.extend((!body.is_empty()).then_some(body));
        let course = Course { sending: Rc::new(RefCell::new(sending)), heard: Rc::default() };
        let pieces = Pieces(Rc::clone(&course.sending));
        let (streams, heard) = (self.clone(), Rc::clone(&course.heard));
        let task = process.beside(|pipes| async move {
            let ended = streams.send(pipes, request, pieces).await.map_or(Ended::Cut, Ended::Heard);
            *heard.borrow_mut() = Some(ended);
        });
        (course, task)
    }

    async fn send(&self, pipes: Rc<Pipes>, request: Request, body: Pieces) -> Option<Heard> {
        let sender = self.0.borrow().clone().filter(|sender| !sender.is_closed());
        let mut sender = match sender {
            Some(sender) => sender,
            None => {
                let io = TokioIo::new(pipes.connect());
                let (sender, connection) = http2::handshake(Beside, io).await.ok()?;
                tokio::task::spawn_local(connection);
                // Two that come at once have one each, and the later one is shared.
                *self.0.borrow_mut() = Some(sender.clone());
                sender
            }
        };
        let mut head = http::Request::builder();
        head = head.method(request.method).uri(format!("http://a{}", request.target));
        let told = |name: &str| request.tells_length || name != "content-length";
        for (name, value) in request.fields.iter().filter(|(name, _)| told(name)) {
            head = head.header(*name, value);
        }
        sender.ready().await.ok()?;
        let answer = sender.send_request(head.body(body).ok()?).await.ok()?;
        let status = answer.status().as_u16();
        let cached = answer.headers().get("cache-status").and_then(|value| value.to_str().ok());
        let cached = cached.unwrap_or_default().to_owned();
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        Some(Heard { status, cached, body: String::from_utf8_lossy(&body).into_owned() })
    }
}
