//! [`Streams`]: an HTTP/2 client that sends frame by frame, and so can leave a request anywhere.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Ping, PingPong, Reason, SendStream};
use http::Request;
use tokio::net::TcpStream;

use super::patience::patiently;
use super::reply::Reply;

/// One HTTP/2 connection.
pub struct Streams {
    address: SocketAddr,
    send: SendRequest<Bytes>,
    pings: PingPong,
}

/// A request whose body is being sent.
pub struct Stream {
    body: SendStream<Bytes>,
    answer: ResponseFuture,
}

impl Streams {
    /// Connects.
    #[track_caller]
    pub fn open(address: SocketAddr) -> impl Future<Output = Self> {
        patiently("an HTTP/2 connection", async move {
            let stream = TcpStream::connect(address).await.expect("the port accepts");
            stream.set_nodelay(true).expect("a socket can be told not to delay");
            let (send, mut connection) = h2::client::handshake(stream).await.expect("HTTP/2");
            let pings = connection.ping_pong().expect("taken here alone");
            tokio::spawn(connection);
            Self { address, send, pings }
        })
    }

    /// Begins a request with these fields; its body is not ended.
    pub async fn begin(&mut self, method: &str, target: &str, fields: &[(&str, &str)]) -> Stream {
        let mut request = Request::builder().method(method).uri(format!("http://{}{target}", self.address));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        let mut ready = self.send.clone().ready().await.expect("the connection is open");
        let (answer, body) = ready.send_request(request, false).expect("a stream");
        Stream { body, answer }
    }

    /// Waits until all that was sent has been read by the other side.
    #[track_caller]
    pub fn flushed(&mut self) -> impl Future<Output = ()> + '_ {
        patiently("two round trips", async {
            // The first may overtake a frame that was sent before it.
            for _ in 0..2 {
                self.pings.ping(Ping::opaque()).await.expect("the connection is open");
            }
        })
    }
}

impl Stream {
    /// Sends a part of the body.
    pub fn send(&mut self, bytes: impl Into<Bytes>) {
        self.body.send_data(bytes.into(), false).expect("the stream is open");
    }

    /// Sends the end of the body, with its last bytes.
    pub fn end(&mut self, bytes: impl Into<Bytes>) {
        self.body.send_data(bytes.into(), true).expect("the stream is open");
    }

    /// Leaves the stream. Whatever has not been [flushed](Streams::flushed) is not sent any more.
    pub fn reset(mut self, reason: Reason) {
        self.body.send_reset(reason);
    }

    /// Waits until the other side resets the stream.
    #[track_caller]
    pub fn was_reset(&mut self) -> impl Future<Output = Reason> + '_ {
        let reset = std::future::poll_fn(|cx| self.body.poll_reset(cx));
        patiently("a reset", async { reset.await.expect("a reset, not the end of the connection") })
    }

    /// The whole answer, or why there is none.
    #[track_caller]
    pub fn answer(&mut self) -> impl Future<Output = Result<Reply, h2::Error>> + '_ {
        patiently("an answer", async {
            let (head, mut body) = (&mut self.answer).await?.into_parts();
            let mut read = Vec::new();
            while let Some(data) = body.data().await {
                let data = data?;
                let _ = body.flow_control().release_capacity(data.len());
                read.extend_from_slice(&data);
            }
            Ok(Reply { status: head.status.as_u16(), fields: head.headers, body: read.into() })
        })
    }
}
