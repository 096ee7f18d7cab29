//! Which server is asked: the one that is configured, the primary that Sentinels name, or the owner of a slot.

use super::client::Wire;
use super::error::{StoreError, StoreErrorKind};
use super::reply::Reply;
use super::slots::Slots;
use super::way::{As, CONNECT, Way, within};
use crate::config::{StoreAddress, StoreMode};

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
    let addresses = &way.settings().addresses;
    let StoreMode::Sentinel { master_name } = &way.settings().mode else {
        return addresses.first().cloned().ok_or_else(nowhere);
    };
    let mut last = nowhere();
    for address in addresses {
        match ask_sentinel(way, address, master_name).await {
            Ok(found) => return Ok(found),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Who has which slot, by the first node that says it.
///
/// # Errors
///
/// If no node could be asked.
pub(super) async fn slots(way: &Way) -> Result<Slots, StoreError> {
    let mut last = nowhere();
    for address in &way.settings().addresses {
        match ask_node(way, address).await {
            Ok(slots) => return Ok(slots),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn ask_node(way: &Way, address: &StoreAddress) -> Result<Slots, StoreError> {
    let (wire, _pushes) = way.connect(address, As::User).await?;
    let reply = in_time(way, &wire, &[b"CLUSTER", b"SLOTS"]).await?;
    Slots::read(reply, address)
}

async fn ask_sentinel(way: &Way, address: &StoreAddress, master: &str) -> Result<StoreAddress, StoreError> {
    let words: [&[u8]; 3] = [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", master.as_bytes()];
    let mut reply = Err(nowhere());
    for who in [As::Nobody, As::User] {
        reply = match way.connect(address, who).await {
            Ok((wire, _pushes)) => in_time(way, &wire, &words).await,
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
