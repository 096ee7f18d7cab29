//! [`Server`]: what a server says that it is.

use super::client::Wire;
use super::error::{StoreError, StoreErrorKind};

/// What a server says that it is, read once a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    engine: Engine,
    version: String,
    run_id: String,
}

/// Whose code it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    Redis,
    Valkey,
}

impl Server {
    /// Asks a primary: `ROLE` and `INFO server`.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::ReadOnly`] of a replica, [`StoreErrorKind::TooOld`] below Redis 6.2 and Valkey 7.2.
    pub(super) async fn ask(wire: &Wire) -> Result<Self, StoreError> {
        let role = wire.ask(&[b"ROLE"]).await?.list()?.into_iter().next();
        let role = role.ok_or_else(|| StoreError::unreadable("a role"))?.text()?;
        if role != "master" {
            return Err(StoreError::new(StoreErrorKind::ReadOnly, format!("the server's role is {role}")));
        }
        let server = Self::read(&wire.ask(&[b"INFO", b"server"]).await?.text()?)?;
        match server.is_too_old() {
            true => Err(StoreError::new(StoreErrorKind::TooOld, server.version())),
            false => Ok(server),
        }
    }

    /// Reads the section `server` of `INFO`.
    pub(super) fn read(info: &str) -> Result<Self, StoreError> {
        let field = |name| field(info, name);
        let run_id = field("run_id").filter(|run_id| !run_id.is_empty());
        let (engine, version) = match (field("valkey_version"), field("redis_version")) {
            (Some(version), _) => (Engine::Valkey, version),
            (None, Some(version)) => (Engine::Redis, version),
            (None, None) => return Err(StoreError::unreadable("INFO with a version")),
        };
        let run_id = run_id.ok_or_else(|| StoreError::unreadable("INFO with a run_id"))?;
        Ok(Self { engine, version: version.to_owned(), run_id: run_id.to_owned() })
    }

    pub(super) fn run_id(&self) -> &str {
        &self.run_id
    }

    pub(super) fn version(&self) -> String {
        match self.engine {
            Engine::Redis => format!("Redis {}", self.version),
            Engine::Valkey => format!("Valkey {}", self.version),
        }
    }

    /// Whether it lacks what the fleet needs: Redis 6.2 and Valkey 7.2 have it. A version that cannot be read is not held
    /// against it; what is really missing shows when it is used.
    pub(super) fn is_too_old(&self) -> bool {
        let least = match self.engine {
            Engine::Redis => [6, 2],
            Engine::Valkey => [7, 2],
        };
        self.numbers().is_some_and(|numbers| numbers < least)
    }

    /// Whether it knows `#!lua` lines with flags at the head of a script. One whose version cannot be read is new.
    pub(super) fn knows_script_flags(&self) -> bool {
        self.numbers().is_none_or(|numbers| numbers >= [7, 0])
    }

    /// Whether it knows channels of a slot (`SPUBLISH`), which came at the same time.
    pub(super) fn knows_slot_channels(&self) -> bool {
        self.knows_script_flags()
    }

    fn numbers(&self) -> Option<[u32; 2]> {
        let mut parts = self.version.split('.').map(|part| part.parse().ok());
        Some([parts.next()??, parts.next()??])
    }
}

/// The value of a field of `INFO`.
pub(super) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(fields: &str) -> Server {
        Server::read(&format!("# Server\r\n{fields}\r\nrun_id:0123abcd\r\n")).unwrap()
    }

    #[test]
    fn a_server_says_what_it_is_and_whether_that_is_enough() {
        for (fields, version, too_old) in [
            ("redis_version:7.0.15", "Redis 7.0.15", false),
            ("redis_version:6.2.0", "Redis 6.2.0", false),
            ("redis_version:6.0.20", "Redis 6.0.20", true),
            ("redis_version:5.0.14", "Redis 5.0.14", true),
            ("redis_version:255.255.255", "Redis 255.255.255", false),
            ("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1", "Valkey 8.0.1", false),
            ("redis_version:unstable", "Redis unstable", false),
        ] {
            let server = server(fields);
            assert_eq!((server.version().as_str(), server.is_too_old()), (version, too_old));
            assert_eq!(server.run_id(), "0123abcd");
            let is_six = version.starts_with("Redis 6.") || version.starts_with("Redis 5.");
            assert_eq!(server.knows_script_flags(), !is_six, "{version}");
        }
    }

    #[test]
    fn what_says_no_version_or_run_is_no_server() {
        assert!(Server::read("# Server\r\nrun_id:0123\r\n").is_err());
        assert!(Server::read("redis_version:7.0.15\r\n").is_err());
    }
}
