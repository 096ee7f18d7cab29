//! A real server of a test, and as much of its protocol as a test needs.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

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
        let mut connection = Connection { stream, buffer: Vec::new() };
        connection.ask(&[b"HELLO", b"3"]).unwrap();
        connection
    }
}

impl RealServer {
    /// The processor time that it has used.
    pub(super) fn processor_time(&self) -> Duration {
        let mut connection = self.connect();
        let Ok(Reply::Bytes(info)) = connection.ask(&[b"INFO", b"cpu"]) else { panic!("no INFO") };
        let info = String::from_utf8(info).unwrap();
        let of = |name: &str| {
            let value = info.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            Duration::from_secs_f64(value.trim().parse().unwrap())
        };
        of("used_cpu_sys:") + of("used_cpu_user:")
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that speaks RESP3, so that the bell comes by it as well.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What a server sends.
#[derive(Debug)]
pub(super) enum Sent {
    Reply(Result<Reply, String>),
    /// Without being asked.
    Push(Vec<Reply>),
}

impl Connection {
    pub(super) fn ask(&mut self, command: &[&[u8]]) -> Result<Reply, String> {
        self.send(command);
        match self.read() {
            Sent::Reply(reply) => reply,
            Sent::Push(push) => panic!("a push in place of a reply: {push:?}"),
        }
    }

    pub(super) fn send(&mut self, command: &[&[u8]]) {
        let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
        for word in command {
            bytes.extend(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend([*word, b"\r\n"].concat());
        }
        self.stream.write_all(&bytes).unwrap();
    }

    /// Waits for what comes next.
    pub(super) fn read(&mut self) -> Sent {
        loop {
            if let Some(sent) = self.read_if_any() {
                return sent;
            }
        }
    }

    /// From now on [`Self::read_if_any`] returns at once.
    pub(super) fn never_wait(&self) {
        self.stream.set_nonblocking(true).unwrap();
    }

    /// What has come, or comes with the next bytes.
    pub(super) fn read_if_any(&mut self) -> Option<Sent> {
        if let Some(sent) = self.parse() {
            return Some(sent);
        }
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => panic!("the server closed the connection"),
            Ok(read) => self.buffer.extend(&bytes[..read]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return None,
            Err(e) => panic!("{e}"),
        }
        self.parse()
    }

    fn parse(&mut self) -> Option<Sent> {
        let mut rest = &self.buffer[..];
        let sent = parse(&mut rest)?;
        let consumed = self.buffer.len() - rest.len();
        self.buffer.drain(..consumed);
        Some(sent)
    }
}

fn parse(bytes: &mut &[u8]) -> Option<Sent> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    let line = std::str::from_utf8(&bytes[..end]).expect("heads are text");
    let (kind, text) = line.split_at_checked(1).expect("a kind");
    *bytes = &bytes[end + 2..];
    let count = || text.parse::<usize>().expect("a count");
    Some(match kind {
        "+" | "," => Sent::Reply(Ok(Reply::Bytes(text.as_bytes().to_vec()))),
        ":" => Sent::Reply(Ok(Reply::Int(text.parse().expect("a whole number")))),
        "_" => Sent::Reply(Ok(Reply::Nil)),
        "$" | "*" if text == "-1" => Sent::Reply(Ok(Reply::Nil)),
        "$" | "=" => {
            let text = bytes.get(..count())?;
            *bytes = bytes.get(count() + 2..)?;
            Sent::Reply(Ok(Reply::Bytes(text.to_vec())))
        }
        "*" => Sent::Reply(parse_all(bytes, count())?.map(Reply::List)),
        "%" => Sent::Reply(parse_all(bytes, 2 * count())?.map(Reply::List)),
        ">" => Sent::Push(parse_all(bytes, count())?.expect("no error is pushed")),
        _ => Sent::Reply(Err(line.to_owned())),
    })
}

fn parse_all(bytes: &mut &[u8], count: usize) -> Option<Result<Vec<Reply>, String>> {
    let mut all = Vec::new();
    for _ in 0..count {
        match parse(bytes)? {
            Sent::Reply(Ok(reply)) => all.push(reply),
            Sent::Reply(Err(error)) => return Some(Err(error)),
            Sent::Push(push) => panic!("a push within a reply: {push:?}"),
        }
    }
    Some(Ok(all))
}
