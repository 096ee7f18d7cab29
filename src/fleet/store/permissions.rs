//! Whether the store's user may do what a fleet does, asked command by command.
//!
//! `ACL DRYRUN` would tell, and is one more permission that newer servers alone have. So each command is sent in a form that
//! changes nothing: servers judge whether a user may before they look at what it is for.

use super::client::{Subscribe, Wire};
use super::error::{StoreError, StoreErrorKind};
use super::way::{CONNECT, within};
use crate::clock::Clock;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// What every fleet needs.
    Plain,
    /// With the channels of a slot.
    WithSlotChannels,
}

/// Something that the user may not do, or that does not work.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) found: String,
    pub(super) needed: String,
}

/// A string that ends by itself; where it is not, commands that would make a key are not sent.
const KEY: &str = "KEY";
/// A key that is never there.
const NONE: &str = "NONE";
const CHANNEL: &str = "CHANNEL";

/// Each command that a fleet sends, or runs in scripts: in a form that changes nothing. `INFO`, `ROLE` and `SUBSCRIBE` have
/// been sent, or will be.
const COMMANDS: &[&[&str]] = &[
    &["PING"],
    &["INFO", "server"],
    &["ROLE"],
    &["EVALSHA", "0000000000000000000000000000000000000000", "0"],
    &["EVAL", "return 1", "0"],
    &["TIME"],
    &["GET", NONE],
    &["PEXPIRE", NONE, "1"],
    &["ZADD", NONE, "XX", "1", "m"],
    &["ZREM", NONE, "m"],
    &["ZCARD", NONE],
    &["ZCOUNT", NONE, "0", "1"],
    &["ZSCORE", NONE, "m"],
    &["ZRANGE", NONE, "0", "0"],
    &["ZRANGEBYSCORE", NONE, "0", "1"],
    &["ZREMRANGEBYRANK", NONE, "0", "0"],
    &["LINDEX", NONE, "0"],
    &["LTRIM", NONE, "0", "0"],
    &["HGET", NONE, "f"],
    &["PUBLISH", CHANNEL, ""],
    // Of another type than what is there: refused after it was allowed.
    &["LPUSH", KEY, "v"],
    &["HSET", KEY, "f", "v"],
    &["DEL", KEY],
];
const SLOT_CHANNELS: &[&[&str]] = &[&["SPUBLISH", CHANNEL, ""]];

/// Every command that the user may not send.
///
/// # Errors
///
/// If the server does not answer.
pub(super) async fn missing(
    wire: &Wire,
    clock: &Clock,
    namespace: &str,
    asked: Asked,
) -> Result<Vec<Missing>, StoreError> {
    let mut trial = Trial {
        wire,
        clock,
        key: format!("{namespace}:{{{namespace}.probe}}:{:016x}", fastrand::u64(..)),
        namespace,
        missing: Vec::new(),
    };
    let made = trial.make_key().await?;
    let more = if asked == Asked::WithSlotChannels { SLOT_CHANNELS } else { &[] };
    for command in more.iter().chain(COMMANDS) {
        match made {
            Made::NotAllowed if command.contains(&KEY) => {
                let found = format!("{} could not be tried without SET", command[0]);
                trial.note(found, format!("+set and +{}", command[0].to_ascii_lowercase()));
            }
            Made::NotTaken if command.contains(&KEY) => {}
            _ => trial.send(command).await?,
        }
    }
    trial.subscribe(Subscribe::Everywhere).await?;
    if asked == Asked::WithSlotChannels {
        trial.subscribe(Subscribe::InSlot).await?;
    }
    Ok(trial.missing)
}

/// What became of the one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    /// It is there, or on another node of the Cluster, where what would make it is sent on as well.
    There,
    /// The user may not make it.
    NotAllowed,
    /// The server takes no write: what is wrong with that is to be mended first.
    NotTaken,
}

struct Trial<'a> {
    wire: &'a Wire,
    clock: &'a Clock,
    key: String,
    namespace: &'a str,
    missing: Vec<Missing>,
}

impl Trial<'_> {
    /// Makes the one key, for two seconds.
    async fn make_key(&mut self) -> Result<Made, StoreError> {
        let Err(error) = self.ask(&["SET", KEY, "1", "PX", "2000"]).await? else { return Ok(Made::There) };
        Ok(match error.kind() {
            StoreErrorKind::Moved => Made::There,
            StoreErrorKind::NoPermission => {
                self.refused("SET", &error);
                Made::NotAllowed
            }
            _ => {
                self.note(format!("it takes no write: {error}"), "a primary that takes writes".to_owned());
                Made::NotTaken
            }
        })
    }

    async fn send(&mut self, command: &[&str]) -> Result<(), StoreError> {
        if let Err(error) = self.ask(command).await? {
            match error.kind() {
                StoreErrorKind::NoPermission => self.refused(command[0], &error),
                StoreErrorKind::Other if command[0] == "EVAL" => {
                    self.note(format!("it runs no scripts: {error}"), "Lua scripts by EVAL".to_owned());
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn subscribe(&mut self, how: Subscribe) -> Result<(), StoreError> {
        let channel = self.key.clone();
        let subscribed = self.wire.subscribe(how, channel.as_bytes());
        match within(self.clock, self.clock.now().plus(CONNECT), subscribed).await {
            Err(error) if error.kind() == StoreErrorKind::NoPermission => {
                let name = if how == Subscribe::Everywhere { "SUBSCRIBE" } else { "SSUBSCRIBE" };
                self.refused(name, &error);
                Ok(())
            }
            Err(error) if is_gone(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// What a server says to a command; the outer error is that it says nothing.
    async fn ask(&self, command: &[&str]) -> Result<Result<(), StoreError>, StoreError> {
        let none = format!("{}:none", self.key);
        let words: Vec<&[u8]> = command
            .iter()
            .map(|word| match *word {
                KEY | CHANNEL => self.key.as_bytes(),
                NONE => none.as_bytes(),
                word => word.as_bytes(),
            })
            .collect();
        match within(self.clock, self.clock.now().plus(CONNECT), self.wire.ask(&words)).await {
            Err(error) if is_gone(&error) => Err(error),
            answer => Ok(answer.map(drop)),
        }
    }

    /// Keys and channels are refused with every command, and told once.
    fn refused(&mut self, command: &str, error: &StoreError) {
        let words = error.to_string();
        let (found, needed) = if words.contains("channel") {
            ("the user may not use its channels".to_owned(), format!("&{}:*", self.namespace))
        } else if words.contains("access") && words.contains("key") {
            ("the user may not touch its keys".to_owned(), format!("~{}:*", self.namespace))
        } else {
            let name = command.to_ascii_lowercase();
            (format!("the user may not send {command}"), format!("+{name}"))
        };
        self.note(found, needed);
    }

    fn note(&mut self, found: String, needed: String) {
        let missing = Missing { found, needed };
        if !self.missing.contains(&missing) {
            self.missing.push(missing);
        }
    }
}

fn is_gone(error: &StoreError) -> bool {
    matches!(error.kind(), StoreErrorKind::Timeout | StoreErrorKind::Lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documented user's permissions, in which each command has its place.
    const USER: &str = include_str!("acl.txt");

    #[test]
    fn each_command_of_the_documented_user_is_tried() {
        let given = USER.split_whitespace().filter_map(|word| word.strip_prefix('+'));
        let mut given: Vec<_> = given.map(str::to_owned).collect();
        let mut tried: Vec<_> =
            COMMANDS.iter().chain(SLOT_CHANNELS).map(|command| command[0].to_ascii_lowercase()).collect();
        tried.extend(["set", "subscribe", "ssubscribe"].map(str::to_owned));
        given.sort();
        tried.sort();
        assert_eq!(given, tried);
    }

    #[test]
    fn the_document_gives_this_user() {
        let document = include_str!("../../../docs/FLEET.md");
        assert!(document.contains(USER.trim()), "docs/FLEET.md gives other permissions than {USER}");
    }

    #[test]
    fn scripts_use_no_command_that_the_documented_user_may_not_send() {
        let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/fleet")];
        let mut called = std::collections::BTreeSet::new();
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "lua") {
                    let script = std::fs::read_to_string(path).unwrap();
                    let names = script.split("call('").skip(1).filter_map(|rest| rest.split('\'').next());
                    called.extend(names.map(str::to_ascii_lowercase));
                }
            }
        }
        assert!(called.len() > 10, "{called:?}");
        for name in called {
            assert!(USER.split_whitespace().any(|word| word == format!("+{name}")), "{name}");
        }
    }
}
