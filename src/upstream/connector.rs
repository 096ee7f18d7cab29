//! [`Connector`]: name look-up, TCP and TLS to the upstream under one deadline, with the roots that are to be trusted.
//!
//! Where a name has several addresses, a further one is tried 250 ms after the last began (RFC 8305 §5), so that one that
//! drops packets costs a quarter of a second. The first that connects is taken; the failure of one says nothing while
//! another may do.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::cause;
use super::egress::{Egress, EgressError, Transport};
use super::names::Names;
use super::roots::is_certificate_fault;
use super::stream::Stream;
use super::want::is_want_of_our_own;
use super::way::Way;
use crate::clock::Clock;
use crate::error::{ErrorKind, ProxyError};

/// A further address is tried so long after the last one began (RFC 8305 §5).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// A silent connection is asked by the kernel whether it still stands.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// When to come again once descriptors or ports ran out here: they come free with whatever call ends next.
const WANT_LASTS: Duration = Duration::from_secs(1);

/// Which protocols a connector offers by ALPN (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocols {
    /// HTTP/2 where the upstream takes it, HTTP/1.1 otherwise.
    Http2Preferred,
    /// HTTP/1.1: one connection a call, so that a reader that stalls holds its own connection only.
    Http1Only,
}

/// Connects within `connect_timeout`, TLS handshake included.
#[derive(Clone)]
pub(super) struct Connector {
    target: Target,
    tls: Arc<ClientConfig>,
    names: Names,
    egress: Option<Egress>,
    timeout: Duration,
    clock: Clock,
}

/// Where connections go.
#[derive(Clone, Debug)]
pub(super) struct Target {
    host: Arc<str>,
    port: u16,
    /// Whom the certificate must name, where there is TLS.
    name: Option<ServerName<'static>>,
}

impl Target {
    /// The authority of `url`; `None` if it has none, or one that no certificate can name.
    pub(super) fn of(url: &Uri) -> Option<Self> {
        let host = url.host()?.trim_start_matches('[').trim_end_matches(']');
        let is_tls = url.scheme() == Some(&Scheme::HTTPS);
        let name = if is_tls { Some(ServerName::try_from(host.to_owned()).ok()?) } else { None };
        let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Some(Self { host: host.into(), port, name })
    }
}

/// A connection was not there in time.
#[derive(Clone, Copy, Debug)]
struct ConnectTimedOut;

impl fmt::Display for ConnectTimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no connection within connect_timeout")
    }
}

impl std::error::Error for ConnectTimedOut {}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({:?})", self.target)
    }
}

impl Connector {
    pub(super) fn new(target: &Target, way: &Way, protocols: Protocols, names: &Names, clock: Clock) -> Self {
        let mut tls = ClientConfig::clone(&way.tls);
        tls.alpn_protocols = match protocols {
            Protocols::Http2Preferred => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Protocols::Http1Only => vec![b"http/1.1".to_vec()],
        };
        let (egress, timeout) = (way.egress.clone(), way.connect_timeout);
        Self { target: target.clone(), tls: Arc::new(tls), names: names.clone(), egress, timeout, clock }
    }

    pub(super) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// How long connecting may take.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A new connection.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ConnectFailed`], [`ErrorKind::ConnectTimeout`], [`ErrorKind::TlsFailed`] or
    /// [`ErrorKind::EgressFailed`], with their cause.
    pub(super) async fn connect(&self) -> Result<Stream, ProxyError> {
        let deadline = self.clock.now().plus(self.timeout);
        let connecting = async {
            let stream = self.transport().await.map_err(of_connecting)?;
            let Some(name) = &self.target.name else { return Ok(Stream::Plain(stream)) };
            let handshake = TlsConnector::from(Arc::clone(&self.tls)).connect(name.clone(), stream);
            let stream = handshake.await.map_err(of_connecting)?;
            Ok(Stream::Tls(Box::new(stream)))
        };
        self.clock
            .deadline(deadline, connecting)
            .await
            .unwrap_or_else(|_| Err(ErrorKind::ConnectTimeout.error().because(ConnectTimedOut)))
    }

    /// Bytes to the upstream: straight, or by a tunnel. With a forward proxy the upstream's name is the proxy's to look up.
    async fn transport(&self) -> io::Result<Transport> {
        #[cfg(any(test, feature = "fuzzing"))]
        if let Some(dialled) = super::pipes::dial() {
            return dialled.map(Transport::Pipe);
        }
        let Target { host, port, .. } = &self.target;
        let Some(egress) = &self.egress else { return self.tcp(host, *port).await.map(Transport::Tcp) };
        let stream = self.tcp(egress.host(), egress.port()).await.map_err(|cause| egress.failed(cause))?;
        egress.tunnel(stream, host, *port).await
    }

    async fn tcp(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let mut addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => self.names.clone().addresses(host.to_owned()).await?,
        };
        addresses.iter_mut().for_each(|address| address.set_port(port));
        let stream = match addresses.as_slice() {
            [] => return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
            [one] => TcpStream::connect(*one).await?,
            _ => self.first_of(interleaved(addresses)).await?,
        };
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE))?;
        Ok(stream)
    }

    /// The first connection of several that are tried one behind the other.
    async fn first_of(&self, mut addresses: VecDeque<SocketAddr>) -> io::Result<TcpStream> {
        let mut trials = JoinSet::new();
        let mut failure = None;
        loop {
            if let Some(address) = addresses.pop_front() {
                trials.spawn(TcpStream::connect(address));
            }
            let next = async {
                match addresses.is_empty() {
                    true => std::future::pending().await,
                    false => self.clock.sleep(NEXT_ADDRESS).await,
                }
            };
            tokio::select! {
                biased;
                ended = trials.join_next() => match ended {
                    Some(Ok(Ok(stream))) => return Ok(stream),
                    Some(Ok(Err(error))) => failure = Some(error),
                    Some(Err(panicked)) => failure = Some(io::Error::other(panicked)),
                    None => return Err(failure.unwrap_or_else(|| io::Error::other("no address was tried"))),
                },
                () = next => {}
            }
        }
    }
}

/// Families take turns, as the first address would have it (RFC 8305 §4).
fn interleaved(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut order = VecDeque::with_capacity(first.len() + second.len());
    while let Some(address) = first.pop_front() {
        order.push_back(address);
        order.extend(second.pop_front());
    }
    order.extend(second);
    order
}

/// What rustls says comes inside an [`io::Error`]; one without it is of the connection, or of a want of our own.
fn of_connecting(error: io::Error) -> ProxyError {
    if is_want_of_our_own(&error) {
        return ErrorKind::OutOfResources.error().retry_after(WANT_LASTS).because(error);
    }
    if cause::is_among(&error, &|cause| cause.is::<EgressError>()) {
        return ErrorKind::EgressFailed.error().because(error);
    }
    let is_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    let kind = match () {
        () if is_certificate_fault(&error) => ErrorKind::UntrustedCertificate,
        () if is_tls => ErrorKind::TlsFailed,
        () => ErrorKind::ConnectFailed,
    };
    kind.error().because(error)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn v4(last: u8) -> SocketAddr {
        (Ipv4Addr::new(192, 0, 2, last), 443).into()
    }

    fn v6(last: u16) -> SocketAddr {
        (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last), 443).into()
    }

    #[test]
    fn families_take_turns_and_none_is_lost() {
        for (given, tried) in [
            (vec![v6(1), v6(2), v4(1)], vec![v6(1), v4(1), v6(2)]),
            (vec![v4(1), v6(1), v6(2), v6(3)], vec![v4(1), v6(1), v6(2), v6(3)]),
            (vec![v4(1), v4(2)], vec![v4(1), v4(2)]),
            (vec![], vec![]),
        ] {
            assert_eq!(interleaved(given), tried);
        }
    }

    /// A port whose connections nobody takes: the system drops what comes once its queue is full.
    fn black_hole() -> (socket2::Socket, Vec<std::net::TcpStream>, u16) {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut taken = Vec::new();
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            taken.push(stream);
        }
        (socket, taken, address.port())
    }

    /// RFC 8305 §5.
    #[tokio::test]
    async fn an_address_that_drops_what_it_is_sent_costs_a_quarter_of_a_second() {
        let (_socket, _taken, port) = black_hole();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let (clock, hand) = Clock::manual();
        let addresses = vec![SocketAddr::from(([127, 0, 0, 2], 0)), SocketAddr::from(([127, 0, 0, 1], 0))];
        let lookup = move |_| -> super::super::names::Looking {
            let addresses = addresses.clone();
            Box::pin(async move { Ok(addresses) })
        };
        let names = Names::with(Arc::new(lookup), clock.clone());
        let target = Target { host: "api.test".into(), port, name: None };
        let settings = crate::config::Config::default().upstream;
        let way = Way::read(&settings).unwrap();
        let connector = Connector::new(&target, &way, Protocols::Http1Only, &names, clock);
        let mut connecting = tokio::spawn(async move { connector.connect().await.is_ok() });
        let accepting = tokio::spawn(async move { listener.accept().await.is_ok() });
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(!connecting.is_finished(), "the first address is being tried, and no other");
        hand.advance(NEXT_ADDRESS);
        assert!((&mut connecting).await.unwrap() && accepting.await.unwrap());
    }
}
