//! [`Wire`]: one connection to one server. The only file that names the `redis` crate.
//!
//! It is the crate's bare multiplexed connection over a stream of ours. None of its time-outs, reconnects or TLS is used: a
//! call ends by its caller's deadline, and a connection that broke stays broken. Calls of any thread share it; replies come
//! in the order of the calls, so that a call whose caller left takes its own reply with it.

use std::fmt;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ErrorKind, ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, RedisError,
    ServerError, Value, cmd,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::error::{StoreError, StoreErrorKind};
use super::reply::Reply;

/// Messages of channels that have come and are not read yet; further ones are dropped, which a bell allows.
const PUSHES: usize = 1024;

/// Who connects.
pub(super) struct Login {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: u16,
}

/// What kind of channel it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subscribe {
    /// One of the whole deployment.
    Everywhere,
    /// One of a slot of a Cluster, on the server that owns it.
    InSlot,
}

/// A connection; the last clone that is dropped ends it.
#[derive(Clone)]
pub(super) struct Wire {
    connection: MultiplexedConnection,
    driver: Arc<Driver>,
}

/// The task that reads and writes the stream.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl Wire {
    /// Speaks RESP3 over a fresh stream, as this user. The receiver has what channels bring, and ends with the connection.
    /// Needs a runtime, and lives on it.
    pub(super) async fn open<S>(
        stream: S,
        login: &Login,
    ) -> Result<(Self, mpsc::Receiver<Vec<u8>>), StoreError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut info = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(i64::from(login.database))
            .set_skip_set_lib_name();
        if let Some(password) = &login.password {
            info = info.set_password(password).set_username(login.username.as_deref().unwrap_or("default"));
        }
        let (sender, pushes) = mpsc::channel(PUSHES);
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_push_sender(move |push: PushInfo| hand_on(&sender, push));
        let (connection, driver) =
            MultiplexedConnection::new_with_config(&info, stream, config).await.map_err(|e| failed(&e))?;
        let driver = Arc::new(Driver(tokio::spawn(driver).abort_handle()));
        Ok((Self { connection, driver }, pushes))
    }

    /// Sends a command of these words and waits for its reply, for as long as it takes.
    pub(super) async fn ask(&self, words: &[&[u8]]) -> Result<Reply, StoreError> {
        let (name, rest) = words.split_first().ok_or_else(|| StoreError::unreadable("of any command"))?;
        let mut command = cmd(&String::from_utf8_lossy(name));
        for word in rest {
            command.arg(*word);
        }
        let value = self.connection.clone().send_packed_command(&command).await.map_err(|e| failed(&e))?;
        reply(value)
    }

    /// From now on the receiver has what this channel brings.
    pub(super) async fn subscribe(&self, how: Subscribe, channel: &[u8]) -> Result<(), StoreError> {
        let command = match how {
            Subscribe::Everywhere => cmd("SUBSCRIBE"),
            Subscribe::InSlot => cmd("SSUBSCRIBE"),
        };
        let command = command.to_owned().arg(channel).to_owned();
        let value = self.connection.clone().send_packed_command(&command).await.map_err(|e| failed(&e))?;
        match value {
            // What confirms it is a push, which the receiver is not told of.
            Value::Push { .. } => Ok(()),
            value => reply(value).map(drop),
        }
    }

    /// Whether this is that connection.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.driver, &other.driver)
    }

    /// Ends the connection for everybody.
    pub(super) fn end(&self) {
        self.driver.0.abort();
    }

    /// Whether the connection is over.
    pub(super) fn is_over(&self) -> bool {
        self.driver.0.is_finished()
    }
}

/// The payload of a message; what confirms a subscription, and everything unknown, is nobody's concern.
fn hand_on(sender: &mpsc::Sender<Vec<u8>>, push: PushInfo) -> Result<(), ()> {
    if matches!(push.kind, PushKind::Message | PushKind::SMessage)
        && let Some(Value::BulkString(payload)) = push.data.into_iter().nth(1)
    {
        sender.try_send(payload).map_err(drop)?;
    }
    Ok(())
}

fn reply(value: Value) -> Result<Reply, StoreError> {
    Ok(match value {
        Value::Nil => Reply::Nil,
        Value::Int(int) => Reply::Int(int),
        Value::Boolean(truth) => Reply::Int(i64::from(truth)),
        Value::BulkString(bytes) => Reply::Bytes(bytes),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Reply::Bytes(text.into_bytes()),
        Value::Okay => Reply::Bytes(b"OK".to_vec()),
        Value::Double(number) => Reply::Bytes(number.to_string().into_bytes()),
        Value::Array(values) | Value::Set(values) => {
            Reply::List(values.into_iter().map(reply).collect::<Result<_, _>>()?)
        }
        Value::Map(pairs) => {
            let values = pairs.into_iter().flat_map(|(key, value)| [key, value]);
            Reply::List(values.map(reply).collect::<Result<_, _>>()?)
        }
        Value::Attribute { data, .. } => reply(*data)?,
        Value::ServerError(error) => return Err(refused(&error)),
        _ => return Err(StoreError::unreadable("of a kind that is known here")),
    })
}

fn refused(error: &ServerError) -> StoreError {
    StoreError::of_server(error.code(), error.details().unwrap_or_default())
}

fn failed(error: &RedisError) -> StoreError {
    match error.kind() {
        ErrorKind::RESP3NotSupported => StoreError::new(StoreErrorKind::TooOld, error.to_string()),
        ErrorKind::AuthenticationFailed => StoreError::new(StoreErrorKind::NoAuth, error.to_string()),
        ErrorKind::Io => StoreError::new(StoreErrorKind::Lost, error.to_string()),
        _ => match error.code() {
            Some(code) => StoreError::of_server(code, error.detail().unwrap_or_default()),
            None => StoreError::of_client(&error.to_string()),
        },
    }
}
