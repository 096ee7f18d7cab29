//! [`RawConnection`]: a client that sends any bytes and sees every byte that comes back.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};

use super::patience::patiently;
use super::reply::Reply;
use super::stand_in;
use super::wire::{Framing, Head, Wire};

/// One connection, driven by bytes.
pub struct RawConnection {
    wire: Wire<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

/// One whole answer, with what a library would hide.
#[derive(Clone, Debug)]
pub struct RawReply {
    /// The head, raw and in fields.
    pub head: Head,
    /// The decoded body.
    pub body: Vec<u8>,
    /// How the end of the body was told.
    pub framing: Framing,
    /// Lines of the trailer section.
    pub trailers: Vec<String>,
}

impl RawReply {
    /// The status.
    #[track_caller]
    pub fn status(&self) -> u16 {
        let digits = self.head.first_line.get(9..12).and_then(|digits| digits.parse().ok());
        digits.unwrap_or_else(|| panic!("no status line: {:?}", self.head.first_line))
    }

    /// The same with the asserts of a [`Reply`].
    pub fn reply(&self) -> Reply {
        Reply::from_raw(self.status(), &self.head, &self.body)
    }
}

impl RawConnection {
    /// Connects.
    #[track_caller]
    pub fn open(address: SocketAddr) -> impl Future<Output = Self> {
        patiently("a connection", async move {
            Self::over(TcpStream::connect(address).await.expect("the port accepts"))
        })
    }

    /// Connects from another loopback address: a client on another machine.
    #[track_caller]
    pub fn open_from(source: Ipv4Addr, address: SocketAddr) -> impl Future<Output = Self> {
        patiently("a connection", async move {
            let socket = TcpSocket::new_v4().expect("a socket can be made");
            socket.bind(SocketAddr::from((source, 0))).expect("all of 127.0.0.0/8 is this machine");
            Self::over(socket.connect(address).await.expect("the port accepts"))
        })
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket can be told not to delay");
        let (read, write) = stream.into_split();
        Self { wire: Wire::new(read), write }
    }

    /// Sends bytes. A connection that the other side has closed takes them silently: what counts is what comes back.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = stand_in::outward_text(bytes.as_ref());
        let _ = patiently("bytes to be taken", self.write.write_all(&bytes)).await;
    }

    /// Sends bytes that the other side must take, all of them: many clients look for no answer once one is refused.
    #[track_caller]
    pub fn send_whole(&mut self, bytes: impl AsRef<[u8]>) -> impl Future<Output = ()> {
        patiently("bytes to be taken", async move {
            let bytes = stand_in::outward_text(bytes.as_ref());
            self.write.write_all(&bytes).await.expect("a connection that takes them");
        })
    }

    /// Says that nothing more will be sent, and goes on reading.
    pub async fn half_close(&mut self) {
        let _ = self.write.shutdown().await;
    }

    /// Leaves at once and tells the other side so, with a reset: what a system does for a process that ends with bytes unread.
    pub fn reset(self) {
        let stream = self.wire.into_inner().reunite(self.write).expect("halves of one stream");
        stream.set_zero_linger().expect("a socket can be told not to linger");
    }

    /// The next whole answer, interim ones included. Panics if the connection ends first.
    #[track_caller]
    pub fn read(&mut self) -> impl Future<Output = RawReply> + '_ {
        patiently("a whole answer", async {
            self.try_read(false).await.expect("an answer, not the end of the connection")
        })
    }

    /// The next answer to a HEAD: no body follows, whatever its fields say.
    #[track_caller]
    pub fn read_head_only(&mut self) -> impl Future<Output = RawReply> + '_ {
        patiently("a head", async {
            self.try_read(true).await.expect("an answer, not the end of the connection")
        })
    }

    /// The next whole answer, or `None` if the connection ended before its first byte or inside it.
    #[track_caller]
    pub fn read_or_end(&mut self) -> impl Future<Output = Option<RawReply>> + '_ {
        patiently("an answer or the end", self.try_read(false))
    }

    async fn try_read(&mut self, head_only: bool) -> Option<RawReply> {
        let head = self.wire.head().await.ok()??;
        let mut reply = RawReply { head, body: Vec::new(), framing: Framing::None, trailers: Vec::new() };
        if !head_only {
            reply.framing = Framing::of_answer(&reply.head, reply.status());
            (reply.body, reply.trailers) = self.wire.body(reply.framing).await.ok()?;
        }
        Some(reply)
    }

    /// So many bytes of what comes next, be it in the middle of an answer.
    #[track_caller]
    pub fn read_exactly(&mut self, length: usize) -> impl Future<Output = Vec<u8>> + '_ {
        patiently("some bytes", async move { self.wire.exactly(length).await.expect("bytes, not the end") })
    }

    /// Whether a byte of an answer is there by now.
    pub async fn has_answer(&mut self) -> bool {
        self.wire.has_more().await
    }

    /// Every byte until the other side ends the connection.
    #[track_caller]
    pub fn read_to_end(&mut self) -> impl Future<Output = Vec<u8>> + '_ {
        patiently("the end of the connection", async { self.wire.rest().await.unwrap_or_default() })
    }

    /// Fails unless the other side ends the connection without a further byte.
    #[track_caller]
    pub fn assert_closed(&mut self) -> impl Future<Output = ()> + '_ {
        let rest = self.read_to_end();
        async move {
            let rest = rest.await;
            assert!(rest.is_empty(), "more came: {:?}", String::from_utf8_lossy(&rest));
        }
    }
}
