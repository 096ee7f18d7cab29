//! Which server is asked: the one that is configured, the primary that Sentinels name, or the owner of a slot.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::client::Wire;
use super::error::{StoreError, StoreErrorKind};
use super::reply::Reply;
use super::slots::Slots;
use super::way::{As, CONNECT, Way, within};
use crate::config::{StoreAddress, StoreMode};

/// For how long an address may be silent before the next one is asked too.
const SILENCE: Duration = Duration::from_millis(250);
/// For all of them: what is left of [`CONNECT`] is for connecting to the one that was found.
const FIND: Duration = Duration::from_millis(1500);

/// The server that owns the slot of this name.
///
/// # Errors
///
/// If no server could be asked, or the slot is nobody's.
pub(super) async fn owner(way: &Way, name: &[u8]) -> Result<StoreAddress, StoreError> {
    match &way.settings().mode {
        StoreMode::Standalone | StoreMode::Sentinel { .. } => primary(way).await,
        StoreMode::Cluster => slots(way).await?.owner(name).cloned(),
    }
}

/// The primary, where every key lies on one server.
///
/// # Errors
///
/// If no Sentinel could be asked, or they know none.
pub(super) async fn primary(way: &Way) -> Result<StoreAddress, StoreError> {
    let StoreMode::Sentinel { master_name } = &way.settings().mode else {
        return way.settings().addresses.first().cloned().ok_or_else(nowhere);
    };
    let master: Arc<str> = master_name.as_str().into();
    first_answer(way, |way, address| ask_sentinel(way, address, Arc::clone(&master))).await
}

/// Who has which slot, by the first node that says it.
///
/// # Errors
///
/// If no node could be asked.
pub(super) async fn slots(way: &Way) -> Result<Slots, StoreError> {
    first_answer(way, ask_node).await
}

/// What the first address says that says anything. They are asked in order from [`First`](super::First) on, each one a little
/// after the one before it or as soon as that has failed, and none is given up for the next: one that takes connections and
/// says nothing costs that little and not the whole attempt, which would begin with it again, and one that is slow may still be the first. (All at once
/// would be three handshakes for each of a thousand replicas that lose a store together.)
///
/// # Errors
///
/// What the last that failed says; [`StoreErrorKind::Timeout`] if all are silent.
async fn first_answer<T: Send + 'static, F>(
    way: &Way,
    ask: impl Fn(Way, StoreAddress) -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    let (clock, addresses) = (way.clock(), &way.settings().addresses);
    let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let silence = SILENCE.min(FIND / 2 / count);
    let end = clock.now().plus(FIND);
    let mut asked = JoinSet::new();
    let mut failure = None;
    let first = way.first().next(addresses.len());
    let mut addresses = addresses.iter().cycle().skip(first).take(addresses.len());
    loop {
        let until = match addresses.next() {
            Some(address) => {
                asked.spawn(ask(way.clone(), address.clone()));
                clock.now().plus(silence)
            }
            None => end,
        };
        match clock.deadline(until, asked.join_next()).await {
            Ok(Some(Ok(Ok(found)))) => return Ok(found),
            Ok(Some(Ok(Err(error)))) => failure = Some(error),
            // Its task panicked: as a failure.
            Ok(Some(Err(_))) => {}
            Ok(None) => return Err(failure.unwrap_or_else(nowhere)),
            Err(_) if clock.now().reached(end) => {
                return Err(failure.unwrap_or_else(|| StoreError::new(StoreErrorKind::Timeout, "")));
            }
            Err(_) => {}
        }
    }
}

async fn ask_node(way: Way, address: StoreAddress) -> Result<Slots, StoreError> {
    let (wire, _pushes) = way.connect(&address, As::User).await?;
    let reply = in_time(&way, &wire, &[b"CLUSTER", b"SLOTS"]).await?;
    Slots::read(reply, &address)
}

async fn ask_sentinel(way: Way, address: StoreAddress, master: Arc<str>) -> Result<StoreAddress, StoreError> {
    let words: [&[u8]; 3] = [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", master.as_bytes()];
    let mut reply = Err(nowhere());
    for who in [As::Nobody, As::User] {
        reply = match way.connect(&address, who).await {
            Ok((wire, _pushes)) => in_time(&way, &wire, &words).await,
            Err(error) => Err(error),
        };
        let wants_user = |error: &StoreError| {
            matches!(error.kind(), StoreErrorKind::NoAuth | StoreErrorKind::NoPermission)
        };
        if !reply.as_ref().err().is_some_and(wants_user) {
            break;
        }
    }
    match reply? {
        Reply::Nil => {
            let detail = format!("{address}: the Sentinel knows no primary of the name {master}");
            Err(StoreError::new(StoreErrorKind::Other, detail))
        }
        found => {
            let [host, port] = found.exactly()?;
            let port = u16::try_from(port.count()?).map_err(|_| StoreError::unreadable("a port"))?;
            Ok(StoreAddress::new(host.text()?, port))
        }
    }
}

async fn in_time(way: &Way, wire: &Wire, words: &[&[u8]]) -> Result<Reply, StoreError> {
    within(way.clock(), way.clock().now().plus(CONNECT), wire.ask(words)).await
}

fn nowhere() -> StoreError {
    StoreError::new(StoreErrorKind::Other, "no address is set")
}
