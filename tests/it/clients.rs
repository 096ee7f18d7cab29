//! Requests as the libraries of the day put them on the wire: each client's first read, its hit, its write and its
//! call elsewhere are served on one connection.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::support::labels::{CAMPAIGNS, label, label_path, token};
use crate::support::{Answer, RawConnection, RawReply, World};

/// How a client writes its requests: `{…}` stand for what differs between calls.
struct Client {
    name: &'static str,
    /// Head of a request without a body.
    read: &'static str,
    /// Head of a request with a JSON body.
    write: &'static str,
    /// How it sends the body.
    body: Sending,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    Whole,
    Chunked,
    AfterContinue,
}

const CLIENTS: &[Client] = &[
    Client {
        name: "curl 8",
        read: "{method} {path} HTTP/1.1\nHost: {host}\nUser-Agent: curl/8.14.1\nAccept: */*\nAuthorization: Bearer {token}\n\n",
        write: "{method} {path} HTTP/1.1\nHost: {host}\nUser-Agent: curl/8.14.1\nAccept: */*\nAuthorization: Bearer {token}\n\
                Content-Type: application/json\nContent-Length: {length}\n\n",
        body: Sending::Whole,
    },
    Client {
        name: "curl with a large body",
        read: "{method} {path} HTTP/1.1\nHost: {host}\nUser-Agent: curl/7.88.1\nAccept: */*\nAuthorization: Bearer {token}\n\n",
        write: "{method} {path} HTTP/1.1\nHost: {host}\nUser-Agent: curl/7.88.1\nAccept: */*\nAuthorization: Bearer {token}\n\
                Content-Type: application/json\nContent-Length: {length}\nExpect: 100-continue\n\n",
        body: Sending::AfterContinue,
    },
    Client {
        name: "Python requests",
        read: "{method} {path} HTTP/1.1\nHost: {host}\nUser-Agent: python-requests/2.32.3\nAccept-Encoding: gzip, deflate, br, zstd\n\
               Accept: */*\nConnection: keep-alive\nAuthorization: Bearer {token}\n\n",
        write: "{method} {path} HTTP/1.1\nHost: {host}\nUser-Agent: python-requests/2.32.3\nAccept-Encoding: gzip, deflate, br, zstd\n\
                Accept: */*\nConnection: keep-alive\nAuthorization: Bearer {token}\nContent-Length: {length}\n\
                Content-Type: application/json\n\n",
        body: Sending::Whole,
    },
    Client {
        name: "Python httpx",
        read: "{method} {path} HTTP/1.1\nHost: {host}\nAccept: */*\nAccept-Encoding: gzip, deflate\nConnection: keep-alive\n\
               User-Agent: python-httpx/0.28.1\nAuthorization: Bearer {token}\n\n",
        write: "{method} {path} HTTP/1.1\nHost: {host}\nAccept: */*\nAccept-Encoding: gzip, deflate\nConnection: keep-alive\n\
                User-Agent: python-httpx/0.28.1\nAuthorization: Bearer {token}\nContent-Length: {length}\n\
                Content-Type: application/json\n\n",
        body: Sending::Whole,
    },
    Client {
        name: "Python aiohttp",
        read: "{method} {path} HTTP/1.1\nHost: {host}\nAuthorization: Bearer {token}\nAccept: */*\nAccept-Encoding: gzip, deflate, br\n\
               User-Agent: Python/3.12 aiohttp/3.11.11\n\n",
        write: "{method} {path} HTTP/1.1\nHost: {host}\nAuthorization: Bearer {token}\nAccept: */*\nAccept-Encoding: gzip, deflate, br\n\
                User-Agent: Python/3.12 aiohttp/3.11.11\nContent-Length: {length}\nContent-Type: application/json\n\n",
        body: Sending::Whole,
    },
    Client {
        name: "Node fetch",
        read: "{method} {path} HTTP/1.1\nhost: {host}\nconnection: keep-alive\nauthorization: Bearer {token}\naccept: */*\n\
               accept-language: *\nsec-fetch-mode: cors\nuser-agent: node\naccept-encoding: gzip, deflate\n\n",
        write: "{method} {path} HTTP/1.1\nhost: {host}\nconnection: keep-alive\nauthorization: Bearer {token}\n\
                content-type: application/json\naccept: */*\naccept-language: *\nsec-fetch-mode: cors\nuser-agent: node\n\
                accept-encoding: gzip, deflate\ncontent-length: {length}\n\n",
        body: Sending::Whole,
    },
    Client {
        name: "Node fetch with a stream",
        read: "{method} {path} HTTP/1.1\nhost: {host}\nconnection: keep-alive\nauthorization: Bearer {token}\naccept: */*\n\
               accept-language: *\nsec-fetch-mode: cors\nuser-agent: node\naccept-encoding: gzip, deflate\n\n",
        write: "{method} {path} HTTP/1.1\nhost: {host}\nconnection: keep-alive\nauthorization: Bearer {token}\n\
                content-type: application/json\naccept: */*\naccept-language: *\nsec-fetch-mode: cors\nuser-agent: node\n\
                accept-encoding: gzip, deflate\ntransfer-encoding: chunked\n\n",
        body: Sending::Chunked,
    },
    Client {
        name: "axios",
        read: "{method} {path} HTTP/1.1\nAccept: application/json, text/plain, */*\nAuthorization: Bearer {token}\n\
               Content-Type: application/json\nUser-Agent: axios/1.7.9\nAccept-Encoding: gzip, compress, deflate, br\n\
               Host: {host}\nConnection: keep-alive\n\n",
        write: "{method} {path} HTTP/1.1\nAccept: application/json, text/plain, */*\nContent-Type: application/json\n\
                Authorization: Bearer {token}\nUser-Agent: axios/1.7.9\nContent-Length: {length}\n\
                Accept-Encoding: gzip, compress, deflate, br\nHost: {host}\nConnection: keep-alive\n\n",
        body: Sending::Whole,
    },
    Client {
        name: "Go net/http",
        read: "{method} {path} HTTP/1.1\nHost: {host}\nUser-Agent: Go-http-client/1.1\nAuthorization: Bearer {token}\n\
               Accept-Encoding: gzip\n\n",
        write: "{method} {path} HTTP/1.1\nHost: {host}\nUser-Agent: Go-http-client/1.1\nContent-Length: {length}\n\
                Authorization: Bearer {token}\nContent-Type: application/json\nAccept-Encoding: gzip\n\n",
        body: Sending::Whole,
    },
    Client {
        name: "Java HttpClient",
        read: "{method} {path} HTTP/1.1\nConnection: Upgrade, HTTP2-Settings\nHost: {host}\n\
               HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\nUpgrade: h2c\nUser-Agent: Java-http-client/21.0.5\n\
               Authorization: Bearer {token}\n\n",
        write: "{method} {path} HTTP/1.1\nConnection: Upgrade, HTTP2-Settings\nContent-Length: {length}\nHost: {host}\n\
                HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\nUpgrade: h2c\nUser-Agent: Java-http-client/21.0.5\n\
                Authorization: Bearer {token}\nContent-Type: application/json\n\n",
        body: Sending::Whole,
    },
    Client {
        name: "OkHttp",
        read: "{method} {path} HTTP/1.1\nAuthorization: Bearer {token}\nHost: {host}\nConnection: Keep-Alive\n\
               Accept-Encoding: gzip\nUser-Agent: okhttp/4.12.0\n\n",
        write: "{method} {path} HTTP/1.1\nAuthorization: Bearer {token}\nContent-Type: application/json; charset=utf-8\n\
                Content-Length: {length}\nHost: {host}\nConnection: Keep-Alive\nAccept-Encoding: gzip\nUser-Agent: okhttp/4.12.0\n\n",
        body: Sending::Whole,
    },
    Client {
        name: "Ruby Net::HTTP",
        read: "{method} {path} HTTP/1.1\nAccept-Encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3\nAccept: */*\nUser-Agent: Ruby\n\
               Authorization: Bearer {token}\nHost: {host}\n\n",
        write: "{method} {path} HTTP/1.1\nAccept-Encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3\nAccept: */*\nUser-Agent: Ruby\n\
                Authorization: Bearer {token}\nContent-Type: application/json\nHost: {host}\nContent-Length: {length}\n\n",
        body: Sending::Whole,
    },
    Client {
        name: ".NET HttpClient",
        read: "{method} {path} HTTP/1.1\nHost: {host}\nAuthorization: Bearer {token}\n\
               traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\n\n",
        write: "{method} {path} HTTP/1.1\nHost: {host}\nAuthorization: Bearer {token}\n\
                traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\nTransfer-Encoding: chunked\n\
                Content-Type: application/json; charset=utf-8\n\n",
        body: Sending::Chunked,
    },
    Client {
        name: "PHP Guzzle",
        read: "{method} {path} HTTP/1.1\nHost: {host}\nUser-Agent: GuzzleHttp/7\nAuthorization: Bearer {token}\n\n",
        write: "{method} {path} HTTP/1.1\nHost: {host}\nContent-Length: {length}\nUser-Agent: GuzzleHttp/7\n\
                Content-Type: application/json\nAuthorization: Bearer {token}\n\n",
        body: Sending::Whole,
    },
];

impl Client {
    async fn call(&self, world: &World, raw: &mut RawConnection, call: (&str, &str, &str)) -> RawReply {
        let (method, path, body) = call;
        let template = if body.is_empty() { self.read } else { self.write };
        let head = template
            .replace('\n', "\r\n")
            .replace("{method}", method)
            .replace("{path}", path)
            .replace("{host}", &world.proxy.address().to_string())
            .replace("{token}", &token("a", 1))
            .replace("{length}", &body.len().to_string());
        if body.is_empty() {
            raw.send(head).await;
            return raw.read().await;
        }
        match self.body {
            Sending::Whole => raw.send(head + body).await,
            Sending::Chunked => raw.send(format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len())).await,
            Sending::AfterContinue => {
                raw.send(head).await;
                assert_eq!(raw.read().await.status(), 100, "{}", self.name);
                raw.send(body).await;
            }
        }
        raw.read().await
    }
}

#[tokio::test]
async fn every_client_is_served_on_one_connection() {
    for client in CLIENTS {
        let world = World::start();
        let mut raw = world.proxy.raw().await;
        let path = label_path(1);
        let first = client.call(&world, &mut raw, ("GET", &path, "")).await.reply();
        assert_eq!(first.status, 200, "{}: {first:?}", client.name);
        first.assert_proof().assert_label("a-1");
        let second = client.call(&world, &mut raw, ("GET", &path, "")).await.reply();
        assert!(second.cache_status().starts_with("hit"), "{}: {second:?}", client.name);
        let body = r#"{"label":"changed"}"#;
        let written = client.call(&world, &mut raw, ("PATCH", &path, body)).await.reply();
        written.assert_label("changed").assert_cache_status("fwd=method");
        assert_eq!(world.upstream.last().text(), body, "{}", client.name);
        client.call(&world, &mut raw, ("GET", &path, "")).await.reply().assert_label("changed");
        let posted = client.call(&world, &mut raw, ("POST", CAMPAIGNS, body)).await.reply();
        posted.assert_status(200).assert_cache_status("fwd=bypass");
        assert_eq!(posted.json()["body"], body, "{}", client.name);
    }
}

#[tokio::test]
async fn an_http_1_0_client_gets_a_body_that_it_can_end() {
    let world = World::start();
    world.proven("a", 1).await;
    for path in [label_path(1), CAMPAIGNS.to_owned()] {
        let mut raw = world.proxy.raw().await;
        let bearer = token("a", 1);
        raw.send(format!("GET {path} HTTP/1.0\r\nHost: a\r\nAuthorization: Bearer {bearer}\r\n\r\n")).await;
        let reply = raw.read().await;
        assert_eq!(reply.status(), 200);
        assert!(reply.head.values("transfer-encoding").is_empty(), "RFC 9112 §6.1");
        raw.assert_closed().await;
    }
}

#[tokio::test]
async fn a_client_of_http_2_is_served_the_same() {
    let world = World::start();
    let caller = world.caller("a", 1).over_http2();
    caller.get(&label_path(1)).send().await.assert_label("a-1").assert_proof();
    caller.get(&label_path(1)).send().await.assert_label("a-1").assert_hit();
    let written = caller.patch(&label_path(1), r#"{"label":"changed"}"#).send().await;
    written.assert_label("changed").assert_cache_status("fwd=method");
    caller.get(&label_path(1)).send().await.assert_label("changed");
    caller.post(CAMPAIGNS, "{}").send().await.assert_status(200).assert_cache_status("fwd=bypass");
    assert_eq!(world.upstream.last().text(), "{}");
}

/// A body without a byte whose end comes in a frame of its own, as httpx sends it behind `Content-Length: 0`.
struct EndsLater;

impl Body for EndsLater {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

#[tokio::test]
async fn a_read_that_announces_no_byte_is_served_before_its_stream_has_ended() {
    let world = World::start();
    world.proven("a", 1).await;
    let stream = TcpStream::connect(world.proxy.address()).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for target in [&label_path(1), CAMPAIGNS] {
        let request = Request::get(format!("http://a{target}"))
            .header("authorization", format!("Bearer {}", token("a", 1)))
            .header("content-length", "0")
            .body(EndsLater)
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200, "{target}");
    }
}

#[tokio::test]
async fn credentials_are_read_whatever_the_case_of_scheme_and_field_names() {
    let world = World::start();
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let mut raw = world.proxy.raw().await;
        let (path, bearer) = (label_path(1), token("a", 1));
        world.upstream.script(|request| {
            let lower = request.field("authorization").is_some_and(|value| !value.starts_with("Bearer "));
            lower.then(|| Answer::json(200, label("a", 1, "a-1")))
        });
        let head = format!("GET {path} HTTP/1.1\r\nHOST: a\r\nAUTHORIZATION: {scheme} {bearer}\r\n\r\n");
        raw.send(&head).await;
        raw.read().await.reply().assert_label("a-1").assert_proof();
        assert_eq!(world.upstream.last().field("authorization"), Some(format!("{scheme} {bearer}").as_str()));
        raw.send(&head).await;
        raw.read().await.reply().assert_label("a-1").assert_hit();
    }
}
