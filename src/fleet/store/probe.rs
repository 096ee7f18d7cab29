//! [`probe`]: whether the store has what a fleet needs, asked before the fleet does.
//!
//! Everything that is missing is told at once, each with what is needed. Nothing is left behind: the one key that is written
//! ends by itself even where it may not be deleted, and every command that could make another is given one that it
//! changes nothing of.

use std::fmt;
use std::time::Duration;

use super::client::Wire;
use super::error::{StoreError, StoreErrorKind};
use super::find;
use super::permissions::{self, Asked};
use super::reply::Reply;
use super::server::{Server, field};
use super::way::{As, CONNECT, Way, within};
use crate::clock::Clock;
use crate::config::{StoreAddress, StoreMode, StoreSettings};

/// Clocks that are further apart make ages that nobody can trust: no shared times are used then.
const CLOCKS_APART: Duration = Duration::from_secs(2);

/// One thing that the store lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// Which server, where it could be told.
    pub server: Option<StoreAddress>,
    /// What was found.
    pub found: String,
    /// What is needed, and why.
    pub needed: String,
    /// What becomes of a fleet there.
    pub gravity: Gravity,
}

/// What becomes of a fleet on a store that lacks something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gravity {
    /// None can be: every replica would stay alone.
    Unusable,
    /// It works, and does not keep all that is promised of it.
    Unsound,
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Some(server) => write!(f, "store {server}: {}; needed: {}", self.found, self.needed),
            None => write!(f, "store: {}; needed: {}", self.found, self.needed),
        }
    }
}

/// Connects as a fleet of this namespace would, and tells everything that is missing: nothing where all is well. It takes a
/// few seconds at most where a server does not answer.
pub async fn probe(settings: &StoreSettings, namespace: &str, clock: &Clock) -> Vec<Shortfall> {
    let way = Way::new(settings.clone(), clock.clone());
    let servers = match servers(&way).await {
        Ok(servers) => servers,
        Err(error) => return vec![unreachable(None, &error)],
    };
    let mut all = Vec::new();
    for server in servers {
        let mut examination = Examination { way: &way, server, namespace, shortfalls: Vec::new() };
        if let Err(error) = examination.examine().await {
            let gone = unreachable(Some(examination.server.clone()), &error);
            examination.shortfalls.push(gone);
        }
        all.append(&mut examination.shortfalls);
    }
    all
}

/// Every server that a fleet would write to.
async fn servers(way: &Way) -> Result<Vec<StoreAddress>, StoreError> {
    if way.settings().mode != StoreMode::Cluster {
        return Ok(vec![find::primary(way).await?]);
    }
    let slots = find::slots(way).await?;
    let mut servers: Vec<StoreAddress> = Vec::new();
    for owner in slots.owners() {
        if !servers.contains(owner) {
            servers.push(owner.clone());
        }
    }
    match servers.is_empty() {
        true => Err(StoreError::new(StoreErrorKind::Moved, "no node of the Cluster owns any slot")),
        false => Ok(servers),
    }
}

/// A connection that could not be made or used, as a shortfall.
fn unreachable(server: Option<StoreAddress>, error: &StoreError) -> Shortfall {
    let needed = match error.kind() {
        StoreErrorKind::NoAuth => {
            "shared.username and the password of shared.password_file as the server has them"
        }
        StoreErrorKind::NoPermission if error.to_string().contains("'select'") => {
            "+select for the user, or database 0 in shared.url"
        }
        StoreErrorKind::NoPermission => "+cluster|slots for the user of a Cluster",
        StoreErrorKind::TooOld => "Redis 6.2 or Valkey 7.2, which speak RESP3",
        StoreErrorKind::Tls => {
            "a certificate that names the host, of an authority that is trusted, and one of ours if asked for"
        }
        StoreErrorKind::Loading => "a server that has read its file",
        _ => "a server that answers",
    };
    let gravity = Gravity::Unusable;
    Shortfall { server, found: error.to_string(), needed: needed.to_owned(), gravity }
}

/// What is found of one server.
struct Examination<'a> {
    way: &'a Way,
    server: StoreAddress,
    namespace: &'a str,
    shortfalls: Vec<Shortfall>,
}

impl Examination<'_> {
    async fn examine(&mut self) -> Result<(), StoreError> {
        let (wire, _pushes) = self.way.connect(&self.server, As::User).await?;
        let server = self.version(&wire).await?;
        self.role(&wire).await?;
        self.permissions(&wire, server.as_ref()).await?;
        self.memory(&wire).await?;
        self.replicas(&wire).await?;
        self.clock(&wire).await
    }

    fn lacks(&mut self, gravity: Gravity, found: impl Into<String>, needed: impl Into<String>) {
        let server = Some(self.server.clone());
        self.shortfalls.push(Shortfall { server, found: found.into(), needed: needed.into(), gravity });
    }

    /// A reply, or nothing where the server refuses, which the permissions tell of.
    async fn ask(&self, wire: &Wire, words: &[&[u8]]) -> Result<Option<Reply>, StoreError> {
        let clock = self.way.clock();
        match within(clock, clock.now().plus(CONNECT), wire.ask(words)).await {
            Ok(reply) => Ok(Some(reply)),
            Err(error) if matches!(error.kind(), StoreErrorKind::Timeout | StoreErrorKind::Lost) => {
                Err(error)
            }
            Err(_) => Ok(None),
        }
    }

    async fn info(&self, wire: &Wire, section: &str) -> Result<Option<String>, StoreError> {
        self.ask(wire, &[b"INFO", section.as_bytes()]).await?.map(Reply::text).transpose()
    }

    async fn version(&mut self, wire: &Wire) -> Result<Option<Server>, StoreError> {
        let Some(info) = self.info(wire, "server").await? else { return Ok(None) };
        let server = Server::read(&info)?;
        if server.is_too_old() {
            self.lacks(
                Gravity::Unusable,
                format!("it is {}", server.version()),
                "Redis 6.2 or Valkey 7.2, or later",
            );
        }
        Ok(Some(server))
    }

    async fn role(&mut self, wire: &Wire) -> Result<(), StoreError> {
        let Some(reply) = self.ask(wire, &[b"ROLE"]).await? else { return Ok(()) };
        let role = reply.list()?.into_iter().next().unwrap_or(Reply::Nil).text()?;
        if role != "master" {
            let needed = "a primary: with replicas, shared.mode = \"sentinel\" or \"cluster\" finds it";
            self.lacks(Gravity::Unusable, format!("its role is {role}"), needed);
        }
        Ok(())
    }

    async fn permissions(&mut self, wire: &Wire, server: Option<&Server>) -> Result<(), StoreError> {
        let in_cluster = self.way.settings().mode == StoreMode::Cluster;
        let asked = match server {
            Some(server) if in_cluster && server.knows_slot_channels() => Asked::WithSlotChannels,
            _ => Asked::Plain,
        };
        let clock = self.way.clock();
        for missing in permissions::missing(wire, clock, self.namespace, asked).await? {
            self.lacks(Gravity::Unusable, missing.found, missing.needed);
        }
        Ok(())
    }

    async fn memory(&mut self, wire: &Wire) -> Result<(), StoreError> {
        let Some(info) = self.info(wire, "memory").await? else { return Ok(()) };
        let policy = field(&info, "maxmemory_policy").unwrap_or("unknown");
        if let Some(why) = fault_of(policy) {
            let needed = format!("volatile-lru: {why}");
            self.lacks(Gravity::Unsound, format!("maxmemory-policy is {policy}"), needed);
        }
        Ok(())
    }

    async fn replicas(&mut self, wire: &Wire) -> Result<(), StoreError> {
        let Some(info) = self.info(wire, "replication").await? else { return Ok(()) };
        let count: u32 = field(&info, "connected_slaves").and_then(|count| count.parse().ok()).unwrap_or(0);
        // The field is there where the setting is above 0, and its lag as well.
        if count > 0 && field(&info, "min_slaves_good_slaves").is_none() {
            let needed = "min-replicas-to-write 1, and min-replicas-max-lag below the time after which another server takes \
                          over: a primary that was cut off would go on taking writes beside the new one";
            self.lacks(
                Gravity::Unsound,
                format!("it has {count} replicas and takes writes without any"),
                needed,
            );
        }
        Ok(())
    }

    async fn clock(&mut self, wire: &Wire) -> Result<(), StoreError> {
        let before = self.way.clock().now().unix();
        let Some(reply) = self.ask(wire, &[b"TIME"]).await? else { return Ok(()) };
        let after = self.way.clock().now().unix();
        let [seconds, micros] = reply.exactly()?;
        let theirs = Duration::from_secs(seconds.count()?) + Duration::from_micros(micros.count()?);
        let (ahead, behind) = (theirs.saturating_sub(after), before.saturating_sub(theirs));
        let (apart, way) = if ahead > behind { (ahead, "ahead of") } else { (behind, "behind") };
        if apart > CLOCKS_APART {
            let found = format!("its clock is {:.1} s {way} this machine's", apart.as_secs_f64());
            self.lacks(
                Gravity::Unsound,
                found,
                "clocks at most 2 s apart, else no shared times are used: NTP on both",
            );
        }
        Ok(())
    }
}

/// Why a policy is not the one; nothing of the one that is.
fn fault_of(policy: &str) -> Option<&'static str> {
    Some(match policy {
        "volatile-lru" => return None,
        "noeviction" => "without eviction beats fail once stored responses have filled the memory",
        "volatile-ttl" => "what ends soonest goes first, and that is budgets and locks",
        policy if policy.starts_with("allkeys-") => {
            "the log goes as well, and with it everything that is stored"
        }
        _ => "budgets and locks go before what nobody reads any more",
    })
}
