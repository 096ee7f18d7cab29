//! [`LocalStore`]: a Redis or Valkey server of the demonstration's own, on loopback.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use uuid::Uuid;

use crate::clock::Clock;
use crate::config::{Shared, StoreAddress};

/// Looked for on PATH, in this order.
const PROGRAMS: [&str; 2] = ["valkey-server", "redis-server"];
/// Another program may take a port between its being found free and the server's start.
const STARTS: usize = 5;
/// It starts in some milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at whether it serves.
const LOOK: Duration = Duration::from_millis(20);
const MISSING: &str = "neither valkey-server nor redis-server is on PATH, and the replicas need one of them to meet in: \
                       install Valkey 7.2 or later, or Redis 6.2 or later (Debian: apt-get install redis-server)";

/// A running server. Dropped, it is killed, and its files are gone.
pub(super) struct LocalStore {
    /// First, so that it is over before its files go.
    _server: Guarded,
    port: u16,
    program: &'static str,
    directory: Directory,
}

/// A process that is killed and awaited when this is dropped: from its start on, for who waits until it serves may be
/// dropped as well.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What came of starting a program.
enum Start {
    Runs(Guarded),
    /// It ended by itself: its port was taken, as a rule.
    Ended,
}

impl LocalStore {
    /// Starts whichever there is, and waits until it serves.
    pub(super) async fn start(clock: &Clock) -> Result<Self, String> {
        Self::start_one_of(&PROGRAMS, clock).await
    }

    async fn start_one_of(programs: &[&'static str], clock: &Clock) -> Result<Self, String> {
        for program in programs {
            match Self::start_as(program, clock).await {
                Ok(store) => return Ok(store),
                Err(fault) if fault.kind() == ErrorKind::NotFound => {}
                Err(fault) => return Err(format!("{program} cannot be started: {fault}")),
            }
        }
        Err(MISSING.to_owned())
    }

    async fn start_as(program: &'static str, clock: &Clock) -> io::Result<Self> {
        let directory = Directory::new()?;
        let secret = || format!("{}{}\n", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let password = secret();
        fs::write(directory.file("password"), &password)?;
        fs::write(directory.file("secret"), secret())?;
        for _ in 0..STARTS {
            let port = free_port()?;
            fs::write(directory.file("server.conf"), settings(port, password.trim()))?;
            if let Start::Runs(server) = spawn(program, &directory, clock).await? {
                return Ok(Self { _server: server, port, program, directory });
            }
        }
        let log = fs::read_to_string(directory.file("log")).unwrap_or_default();
        let last = log.lines().last().unwrap_or_default();
        Err(io::Error::other(format!("it ended at once, {STARTS} times: {last}")))
    }

    /// Which program it is.
    pub(super) const fn program(&self) -> &'static str {
        self.program
    }

    /// Its port on 127.0.0.1.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// `[shared]` of every replica.
    pub(super) fn shared(&self) -> Shared {
        let address = StoreAddress::new(Ipv4Addr::LOCALHOST.to_string(), self.port);
        let mut shared = Shared::at(address, self.directory.file("secret"));
        shared.store.password_file = Some(self.directory.file("password"));
        // Replicas and store share a machine: one that stands still for half a second is no store that is slow.
        (shared.store.timeout, shared.lease) = (Duration::from_millis(500), Duration::from_secs(2));
        shared
    }
}

/// What docs/FLEET.md says of the server, as far as it holds for one that nobody else uses and that forgets.
fn settings(port: u16, password: &str) -> String {
    format!(
        "port {port}\nbind 127.0.0.1\nrequirepass {password}\nlogfile log\nsave \"\"\nappendonly no\n\
         maxmemory 64mb\nmaxmemory-policy volatile-lru\n"
    )
}

async fn spawn(program: &str, directory: &Directory, clock: &Clock) -> io::Result<Start> {
    let server = Command::new(program)
        .arg("server.conf")
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C is for the demonstration, which ends with a summary of what the store still carries.
        .process_group(0)
        .spawn()?;
    let mut server = Guarded(server);
    let begun = clock.now();
    while clock.now().since(begun) < PATIENCE {
        clock.sleep(LOOK).await;
        if server.0.try_wait()?.is_some() {
            return Ok(Start::Ended);
        }
        let log = fs::read_to_string(directory.file("log")).unwrap_or_default();
        if log.contains("Ready to accept connections") {
            return Ok(Start::Runs(server));
        }
    }
    Err(io::Error::other(format!("it did not serve within {} s", PATIENCE.as_secs())))
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A directory of this user's alone; dropped, it is gone.
struct Directory(PathBuf);

impl Directory {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("instantly-proxy-demo-{}", Uuid::new_v4().simple()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left of it is in the folder for such things.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_store_serves_from_its_start_to_its_end_and_leaves_nothing_behind() {
        let store = LocalStore::start(&Clock::system()).await.expect("a server is installed");
        let (directory, port) = (store.directory.path().to_owned(), store.port());
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        drop(store);
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
        assert!(!directory.exists());
    }

    /// Whether a process has this folder as its own.
    fn has_process(directory: &Path) -> bool {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let mut folders = processes.filter_map(|process| fs::read_link(process.path().join("cwd")).ok());
        folders.any(|folder| folder == directory)
    }

    #[tokio::test]
    async fn a_store_that_is_still_starting_ends_with_whoever_waits_for_it() {
        let clock = Clock::system();
        let programs = PROGRAMS
            .into_iter()
            .filter(|program| Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok());
        for program in programs {
            let directory = Directory::new().unwrap();
            fs::write(directory.file("server.conf"), settings(free_port().unwrap(), "secret")).unwrap();
            tokio::select! {
                biased;
                _ = spawn(program, &directory, &clock) => panic!("{program} cannot serve at once"),
                () = async { assert!(has_process(directory.path())) } => {}
            }
            assert!(!has_process(directory.path()), "{program} goes on");
        }
    }

    #[tokio::test]
    async fn without_a_server_it_is_said_what_to_install() {
        let started = LocalStore::start_one_of(&["no-such-server"], &Clock::system()).await;
        let Err(reason) = started else { panic!("nothing can have started") };
        assert!(reason.contains("valkey-server") && reason.contains("redis-server"), "{reason}");
        assert!(reason.contains("install"), "{reason}");
    }
}
