#!/usr/bin/env bash
#
# hyper 1.12.0 (crates.io), HTTP/1.1 server: how a connection ends whose client asked to switch protocols and was answered 200.
#
# Java's HttpClient sends `Upgrade: h2c` with its first request over plaintext, and a server may ignore it (RFC 9110 §7.8). Once
# such a connection has answered, its future is done without an error, and has not shut the stream down: a TLS stream gets no
# close_notify, and a stream that closes in two steps (RFC 9112 §9.6) is dropped with what the client still sends, so that a reset
# may overtake the answer. Polled once more, the future shuts it down. Without the field it does so at once.
#
# seen:
#     plain: all of the answer, shut down 1 times
#     upgrade: all of the answer, shut down 0 times
#     upgrade, polled again: all of the answer, shut down 1 times
#
# Needs cargo.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "ends"
version = "0.0.0"
edition = "2021"

[dependencies]
bytes = "=1.12.2"
http-body-util = "=0.1.5"
hyper = { version = "=1.12.0", features = ["http1", "server"] }
hyper-util = { version = "=0.1.21", features = ["tokio"] }
tokio = { version = "=1.54.1", features = ["io-util", "macros", "rt"] }
TOML
cat >src/main.rs <<'RUST'
use std::cell::Cell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

const BYTES: usize = 200_000;

/// A stream that counts how often it was shut down.
struct Counted(DuplexStream, Rc<Cell<usize>>);

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, to)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, from)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.1.set(self.1.get() + 1);
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

async fn run(what: &str, fields: &str, polls: usize) {
    let (mut client, server) = tokio::io::duplex(4096);
    let shut = Rc::new(Cell::new(0));
    let answer = |_| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(vec![b'x'; BYTES])))) };
    let io = TokioIo::new(Counted(server, Rc::clone(&shut)));
    let mut connection = http1::Builder::new().serve_connection(io, service_fn(answer));
    let serve = async {
        for _ in 0..polls {
            (&mut connection).await.expect("no error");
        }
        drop(connection);
    };
    let read = async {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        client.write_all(request.as_bytes()).await.expect("it is read");
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.expect("an end");
        all.iter().filter(|byte| **byte == b'x').count()
    };
    let ((), read) = tokio::join!(serve, read);
    let whole = if read == BYTES { "all" } else { "a part" };
    println!("{what}: {whole} of the answer, shut down {} times", shut.get());
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    run("plain", "Connection: close\r\n", 1).await;
    run("upgrade", "Connection: close, Upgrade\r\nUpgrade: h2c\r\n", 1).await;
    run("upgrade, polled again", "Connection: close, Upgrade\r\nUpgrade: h2c\r\n", 2).await;
}
RUST
cargo run --quiet 2>/dev/null | tee seen
diff seen - <<'SEEN'
plain: all of the answer, shut down 1 times
upgrade: all of the answer, shut down 0 times
upgrade, polled again: all of the answer, shut down 1 times
SEEN
