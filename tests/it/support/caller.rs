//! [`Caller`]: a well-behaved client with a token, on kept-alive connections.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::patience::patiently;
use super::reply::Reply;
use super::stand_in;

/// A client with one credential. Clones share its connections; concurrent requests over HTTP/1.1 open further ones.
#[derive(Clone, Debug)]
pub struct Caller {
    address: SocketAddr,
    authorization: Option<String>,
    workspace: Option<String>,
    transport: Transport,
}

#[derive(Clone, Debug)]
enum Transport {
    One(Arc<Mutex<Vec<http1::SendRequest<Full<Bytes>>>>>),
    Two(Arc<tokio::sync::Mutex<Option<http2::SendRequest<Full<Bytes>>>>>),
}

impl Caller {
    /// A client of the port at `address`, without a credential.
    pub fn anonymous(address: SocketAddr) -> Self {
        Self { address, authorization: None, workspace: None, transport: Transport::One(Arc::default()) }
    }

    /// The port that it calls.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same with a bearer token, on connections of its own.
    pub fn with_token(&self, token: &str) -> Self {
        Self { authorization: Some(format!("Bearer {token}")), ..Self::anonymous(self.address) }
    }

    /// The same credential acting for another workspace, on the same connections.
    pub fn workspace(&self, workspace: Uuid) -> Self {
        Self { workspace: Some(workspace.to_string()), ..self.clone() }
    }

    /// The same credential on one HTTP/2 connection.
    pub fn over_http2(&self) -> Self {
        Self { transport: Transport::Two(Arc::default()), ..self.clone() }
    }

    /// A GET.
    pub fn get(&self, target: &str) -> Outgoing {
        self.request("GET", target)
    }

    /// A HEAD.
    pub fn head(&self, target: &str) -> Outgoing {
        self.request("HEAD", target)
    }

    /// A POST with a JSON body.
    pub fn post(&self, target: &str, json: &str) -> Outgoing {
        self.request("POST", target).json(json)
    }

    /// A PATCH with a JSON body.
    pub fn patch(&self, target: &str, json: &str) -> Outgoing {
        self.request("PATCH", target).json(json)
    }

    /// A DELETE without a body.
    pub fn delete(&self, target: &str) -> Outgoing {
        self.request("DELETE", target)
    }

    /// Any method.
    pub fn request(&self, method: &str, target: &str) -> Outgoing {
        let mut outgoing = Outgoing {
            caller: self.clone(),
            method: Method::try_from(method).expect("a method"),
            target: stand_in::outward(target),
            fields: Vec::new(),
            body: Bytes::new(),
        };
        if let Some(authorization) = &self.authorization {
            outgoing = outgoing.field("authorization", authorization);
        }
        if let Some(workspace) = &self.workspace {
            outgoing = outgoing.field("x-as-workspace", workspace);
        }
        outgoing
    }

    async fn connect(&self) -> Result<TokioIo<TcpStream>, String> {
        let stream = TcpStream::connect(self.address).await.map_err(|fault| fault.to_string())?;
        stream.set_nodelay(true).map_err(|fault| fault.to_string())?;
        Ok(TokioIo::new(stream))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Reply, String> {
        match &self.transport {
            Transport::One(idle) => {
                let kept = {
                    let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
                    idle.retain(|connection| !connection.is_closed());
                    idle.pop()
                };
                let mut connection = match kept {
                    Some(kept) => kept,
                    None => self.connect_http1().await?,
                };
                connection.ready().await.map_err(|fault| text_of(&fault))?;
                let answer = connection.send_request(request).await.map_err(|fault| text_of(&fault))?;
                let reply = whole(answer).await?;
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
                Ok(reply)
            }
            Transport::Two(shared) => {
                let mut connection = {
                    let mut shared = shared.lock().await;
                    match &*shared {
                        Some(open) => open.clone(),
                        None => shared.insert(self.connect_http2().await?).clone(),
                    }
                };
                whole(connection.send_request(request).await.map_err(|fault| text_of(&fault))?).await
            }
        }
    }

    async fn connect_http1(&self) -> Result<http1::SendRequest<Full<Bytes>>, String> {
        let io = self.connect().await?;
        let (sender, connection) = http1::handshake(io).await.map_err(|fault| text_of(&fault))?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn connect_http2(&self) -> Result<http2::SendRequest<Full<Bytes>>, String> {
        let io = self.connect().await?;
        let handshake = http2::handshake(TokioExecutor::new(), io);
        let (sender, connection) = handshake.await.map_err(|fault| text_of(&fault))?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// A request about to be sent.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Outgoing {
    caller: Caller,
    method: Method,
    target: String,
    fields: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Outgoing {
    /// Adds a field; one of the same name stays.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name).expect("a field name");
        self.fields.push((name, HeaderValue::try_from(value).expect("a field value")));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a JSON body and its media type.
    pub fn json(self, json: &str) -> Self {
        self.field("content-type", "application/json").body(stand_in::outward_text(json.as_bytes()))
    }

    /// Sends it and reads the whole answer; panics if there is none.
    #[track_caller]
    pub fn send(self) -> impl Future<Output = Reply> + Send {
        let what = format!("{} {}", self.method, self.target);
        let answered = self.attempt();
        async move { answered.await.unwrap_or_else(|fault| panic!("{what} got no whole answer: {fault}")) }
    }

    /// Sends it; the reason if there was no whole answer.
    #[track_caller]
    pub fn attempt(self) -> impl Future<Output = Result<Reply, String>> + Send {
        let what = format!("the answer to {} {}", self.method, self.target);
        let two = matches!(self.caller.transport, Transport::Two(_));
        let authority = self.caller.address;
        let target = if two { format!("http://{authority}{}", self.target) } else { self.target };
        let mut request = Request::builder().method(self.method).uri(target);
        if !two {
            request = request.header("host", authority.to_string());
        }
        for (name, value) in self.fields {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(self.body)).expect("a request that can be sent");
        let caller = self.caller;
        let answered = patiently(&what, async move { caller.exchange(request).await });
        Box::pin(answered)
    }

    /// Sends it in a task of its own.
    #[track_caller]
    pub fn spawn(self) -> tokio::task::JoinHandle<Reply> {
        tokio::spawn(self.send())
    }
}

async fn whole(answer: Response<Incoming>) -> Result<Reply, String> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|fault| text_of(&fault))?.to_bytes();
    Ok(Reply { status: head.status.as_u16(), fields: head.headers, body })
}

fn text_of(fault: &dyn std::error::Error) -> String {
    fault.source().map_or_else(|| fault.to_string(), |cause| format!("{fault}: {cause}"))
}
