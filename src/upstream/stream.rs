//! [`Stream`]: the bytes of an upstream connection, plain or TLS; [`Metered`] counts them, and [`Link`] is what a
//! connection is known by while and after it stands.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::egress::Transport;

/// Bytes to and from the upstream.
#[derive(Debug)]
pub(super) enum Stream {
    /// Without TLS: on loopback, or where the operator allows it.
    Plain(Transport),
    /// In a box: its state is larger than everything else of a connection.
    Tls(Box<TlsStream<Transport>>),
}

impl Stream {
    /// Whether HTTP/2 was agreed on (RFC 7301).
    pub(super) fn speaks_http2(&self) -> bool {
        match self {
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Plain(Transport::Pipe(_)) => super::pipes::speaks_http2(),
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

/// What others may know of a connection, and tell it.
#[derive(Debug)]
pub(super) struct Link {
    /// Tells it from every other connection of the process.
    pub(super) number: u64,
    read: AtomicU64,
    written: AtomicU64,
    retired: AtomicBool,
    /// Whether nothing may be written any more, and whether something is being written.
    cut: AtomicBool,
    writing: AtomicBool,
    /// Whether the request under way has been handed to the connection whole.
    request_ended: AtomicBool,
}

impl Link {
    pub(super) fn new(number: u64) -> Arc<Self> {
        Arc::new(Self {
            number,
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            writing: AtomicBool::new(false),
            request_ended: AtomicBool::new(true),
        })
    }

    /// From now on no call is put on it: what comes next may be the answer to another request.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Sees to it that nothing is written any more, and says whether nothing has been since `written` bytes were: what is
    /// still in a buffer would go out after its call was told so.
    pub(super) fn cut_unless_written(&self, written: u64) -> bool {
        self.cut.store(true, Ordering::SeqCst);
        !self.writing.load(Ordering::SeqCst) && self.moved().written == written
    }

    /// Bytes that came and went so far, as plain text of HTTP.
    pub(super) fn moved(&self) -> Moved {
        Moved { read: self.read.load(Ordering::Acquire), written: self.written.load(Ordering::Acquire) }
    }

    /// A request begins, and its body is still to come.
    pub(super) fn begin_request(&self) {
        self.request_ended.store(false, Ordering::Release);
    }

    /// All of a request was handed over.
    pub(super) fn end_request(&self) {
        self.request_ended.store(true, Ordering::Release);
    }

    pub(super) fn request_has_ended(&self) -> bool {
        self.request_ended.load(Ordering::Acquire)
    }
}

/// How many bytes have moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) read: u64,
    pub(super) written: u64,
}

/// Counts what is read and written; where it is unknown how much was, at least something.
#[derive(Debug)]
pub(super) struct Metered {
    stream: Stream,
    link: Arc<Link>,
}

impl Metered {
    pub(super) const fn new(stream: Stream, link: Arc<Link>) -> Self {
        Self { stream, link }
    }

    fn counted(
        &mut self,
        write: impl FnOnce(&mut Stream) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        // In this order: either this sees the cut, or who cuts sees this.
        self.link.writing.store(true, Ordering::SeqCst);
        let written = match self.link.cut.load(Ordering::SeqCst) {
            true => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            false => {
                let written = write(&mut self.stream);
                self.note_written(&written);
                written
            }
        };
        self.link.writing.store(false, Ordering::SeqCst);
        written
    }

    fn note_written(&self, written: &Poll<io::Result<usize>>) {
        let bytes = match (written, &self.stream) {
            (Poll::Ready(Ok(bytes)), _) => *bytes as u64,
            // A write that fails may have sent records before, and says nothing of them.
            (Poll::Ready(Err(_)), Stream::Tls(_) | Stream::Plain(Transport::Secured(_))) => 1,
            (Poll::Ready(Err(_)), Stream::Plain(_)) | (Poll::Pending, _) => return,
        };
        self.link.written.fetch_add(bytes, Ordering::Release);
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            self.link.read.fetch_add(bytes as u64, Ordering::Release);
        }
        read
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.counted(|stream| match stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        })
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.counted(|stream| match stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        })
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    /// A TLS connection whose other end is closed, and nobody has noticed.
    async fn closed_by_the_peer() -> Stream {
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()).into();
        let chain = vec![issued.cert.der().clone()];
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).unwrap();
        let server = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = async {
            let (stream, _) = listener.accept().await.unwrap();
            TlsAcceptor::from(Arc::new(server)).accept(stream).await.unwrap()
        };
        let connecting = async {
            let stream = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            TlsConnector::from(Arc::new(client)).connect(name, Transport::Tcp(stream)).await.unwrap()
        };
        let (accepted, connected) = tokio::join!(accepting, connecting);
        drop(accepted);
        Stream::Tls(Box::new(connected))
    }

    #[tokio::test]
    async fn a_write_that_fails_behind_records_that_were_sent_is_not_one_without_a_byte() {
        let link = Link::new(1);
        let before = link.moved().written;
        let mut stream = Metered::new(closed_by_the_peer().await, Arc::clone(&link));
        // Its first records leave; with them the system learns that nobody listens.
        stream.write(&vec![b'a'; 4 << 20]).await.unwrap_err();
        assert!(link.moved().written > before);
    }

    #[tokio::test]
    async fn nothing_is_written_behind_the_word_that_nothing_was() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let link = Link::new(1);
        let mut stream = Metered::new(Stream::Plain(Transport::Tcp(stream)), Arc::clone(&link));
        stream.write_all(b"abc").await.unwrap();
        assert!(link.cut_unless_written(3) && !link.cut_unless_written(0));
        assert_eq!(stream.write(b"d").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(link.cut_unless_written(3));
    }
}
