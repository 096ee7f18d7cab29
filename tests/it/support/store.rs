//! [`TestStore`]: a real Redis or Valkey server on a free port, as a child that is killed when it is dropped.
//!
//! It stands by itself, so that unit tests use the same file. Everything here blocks: nothing of it is what a test is about.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "two binaries use this, each a part of it"
)]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Another program may take a port between its being found free and the server's start.
const STARTS: usize = 5;
/// A server that says nothing for so long is a failure of the test.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// `redis-server`.
    Redis,
    /// `valkey-server`.
    Valkey,
}

impl Engine {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Redis, Self::Valkey];

    const fn program(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Valkey => "valkey-server",
        }
    }

    const fn install(self) -> &'static str {
        match self {
            Self::Redis => "apt-get install -y redis-server redis-sentinel",
            Self::Valkey => "apt-get install -y -t bookworm-backports valkey-server",
        }
    }
}

/// What the child is started as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Server,
    Sentinel,
}

/// A running server; dropped, it is killed, and what it wrote is gone.
#[derive(Debug)]
pub struct TestStore {
    engine: Engine,
    kind: Kind,
    settings: Vec<String>,
    directory: TempDir,
    port: u16,
    child: Child,
}

impl TestStore {
    /// A server of this engine that writes no file.
    pub fn start(engine: Engine) -> Self {
        Self::start_with(engine, &[])
    }

    /// The same with lines of its configuration file: `maxmemory 8mb`. `DIR` in them is its own directory.
    pub fn start_with(engine: Engine, settings: &[&str]) -> Self {
        Self::start_as(engine, Kind::Server, settings)
    }

    /// A Sentinel with lines of its configuration file.
    pub fn start_sentinel(engine: Engine, settings: &[&str]) -> Self {
        Self::start_as(engine, Kind::Sentinel, settings)
    }

    fn start_as(engine: Engine, kind: Kind, settings: &[&str]) -> Self {
        let directory = TempDir::new().expect("a directory can be made");
        let own = directory.path().display().to_string();
        let settings: Vec<String> = settings.iter().map(|line| line.replace("DIR", &own)).collect();
        for _ in 0..STARTS {
            let port = free_port();
            if let Some(child) = spawn(engine, kind, &settings, directory.path(), port) {
                return Self { engine, kind, settings, directory, port, child };
            }
        }
        panic!("{} did not start in {STARTS} tries", engine.program());
    }

    /// Its plaintext port on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its own directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A file of this name in its directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Stops it where it stands: what it was sent stays unanswered.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills it, as a machine that goes does.
    pub fn kill(&mut self) {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
    }

    /// Kills it if it still runs, and starts it again on its port and in its directory.
    pub fn restart(&mut self) {
        self.kill();
        let child = spawn(self.engine, self.kind, &self.settings, self.directory.path(), self.port);
        self.child = child.expect("the port is still free");
    }

    /// Sends a command on a connection of its own; its answer as text, an error with its leading `-`.
    pub fn ask(&self, words: &[&str]) -> String {
        self.try_ask(words).expect("the server answers")
    }

    /// The same of a server that may be gone, or cut connections because its role changes.
    pub fn try_ask(&self, words: &[&str]) -> std::io::Result<String> {
        Client::of(self.port)?.ask(words)
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a child has an id");
        kill_process(pid, signal).expect("the child is ours");
    }
}

impl Drop for TestStore {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection of the test's own, in the old protocol.
#[derive(Debug)]
pub struct Client(BufReader<TcpStream>);

impl Client {
    /// To this port.
    pub fn of(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a command; its answer as text: lists one element a line, nothing as `(nil)`.
    pub fn ask(&mut self, words: &[&str]) -> std::io::Result<String> {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        self.0.get_mut().write_all(&command)?;
        self.answer()
    }

    fn answer(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        let length = || line[1..].parse::<i64>().expect("a length");
        Ok(match line.as_bytes().first() {
            Some(b'$' | b'*') if length() < 0 => "(nil)".to_owned(),
            Some(b'$') => {
                let mut bytes = vec![0; usize::try_from(length()).expect("not negative") + 2];
                self.0.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Some(b'*') => {
                let elements = (0..length()).map(|_| self.answer());
                elements.collect::<Result<Vec<_>, _>>()?.join("\n")
            }
            Some(b'+' | b':') => line[1..].to_owned(),
            _ => line.to_owned(),
        })
    }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Starts the program, and waits until it says that it serves; `None` if it ended before.
fn spawn(engine: Engine, kind: Kind, settings: &[String], directory: &Path, port: u16) -> Option<Child> {
    let file = directory.join("server.conf");
    // A Sentinel writes what it knows into its file, and a server with a new port needs its own.
    let mut lines = vec![format!("port {port}"), format!("dir {}", directory.display())];
    if kind == Kind::Server {
        lines.push("save \"\"".to_owned());
    }
    lines.push("bind 127.0.0.1".to_owned());
    lines.extend_from_slice(settings);
    std::fs::write(&file, lines.join("\n") + "\n").expect("the directory is ours");
    let mut command = Command::new(engine.program());
    command.arg(&file).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    if kind == Kind::Sentinel {
        command.arg("--sentinel");
    }
    let mut child = command.spawn().unwrap_or_else(|fault| {
        panic!("{} cannot be started ({fault}): install it with `{}`", engine.program(), engine.install())
    });
    let output = child.stdout.take().expect("it is piped");
    if serves(output, kind) {
        return Some(child);
    }
    child.wait().expect("the child is ours");
    None
}

/// Reads what the program says until it serves; goes on reading behind, so that the pipe never fills.
fn serves(output: ChildStdout, kind: Kind) -> bool {
    let ready = match kind {
        Kind::Server => "Ready to accept connections",
        Kind::Sentinel => "Sentinel ID is",
    };
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let found = lines.any(|line| line.contains(ready));
    thread::spawn(move || lines.for_each(drop));
    found
}
