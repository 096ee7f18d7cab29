//! A real server of a test, and as much of its protocol as a test needs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use super::super::Reply;

/// A server with nothing in it, which ends with its test.
pub(super) struct RealServer {
    child: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

/// The engines that the fleet runs on.
pub(super) const ENGINES: [&str; 2] = ["redis-server", "valkey-server"];

impl RealServer {
    /// Starts an engine on a free port of loopback.
    pub(super) fn start(engine: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new(engine)
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &port.to_string()])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{engine}: {e}: apt-get install {engine}"));
        // It says when it listens; what it says later is of no interest, but must go somewhere.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.by_ref().map_while(Result::ok).any(|line| line.contains("Ready to accept"));
        assert!(ready, "{engine} did not start");
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, port, _directory: directory }
    }

    pub(super) fn connect(&self) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection(BufReader::new(stream))
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(super) fn ask(&mut self, command: &[&[u8]]) -> Result<Reply, String> {
        self.send(command);
        self.read()
    }

    pub(super) fn send(&mut self, command: &[&[u8]]) {
        let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
        for word in command {
            bytes.extend(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend([*word, b"\r\n"].concat());
        }
        self.0.get_mut().write_all(&bytes).unwrap();
    }

    pub(super) fn read(&mut self) -> Result<Reply, String> {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let (kind, rest) = line.trim_end().split_at_checked(1).expect("a reply");
        match kind {
            "+" => Ok(Reply::Bytes(rest.as_bytes().to_vec())),
            ":" => Ok(Reply::Int(rest.parse().unwrap())),
            "$" if rest == "-1" => Ok(Reply::Nil),
            "*" if rest == "-1" => Ok(Reply::Nil),
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.0.read_exact(&mut bytes).unwrap();
                bytes.truncate(bytes.len() - 2);
                Ok(Reply::Bytes(bytes))
            }
            "*" => (0..rest.parse().unwrap()).map(|_| self.read()).collect::<Result<_, _>>().map(Reply::List),
            _ => Err(rest.to_owned()),
        }
    }
}
