//! A real server on a socket of its own, spoken to in its own words.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

#[derive(Clone, Copy, Debug)]
pub(super) enum Engine {
    Redis,
    Valkey,
}

/// A server that ends with the test.
pub(super) struct Server {
    process: Child,
    connection: BufReader<UnixStream>,
    folder: PathBuf,
}

impl Server {
    /// Starts a server; it must be installed.
    pub(super) fn start(engine: Engine) -> Self {
        let program = match engine {
            Engine::Redis => "redis-server",
            Engine::Valkey => "valkey-server",
        };
        let folder = std::env::temp_dir().join(format!(
            "account-{}-{program}-{}",
            std::process::id(),
            fastrand::u32(..)
        ));
        std::fs::create_dir(&folder).unwrap();
        let socket = folder.join("socket");
        let mut process = Command::new(program)
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .arg(&socket)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} does not start: {error}; apt-get install {program}"));
        let log = BufReader::new(process.stdout.take().unwrap());
        let ready = log.lines().map_while(Result::ok).any(|line| line.contains("accept connections"));
        assert!(ready, "{program} ended");
        let connection = BufReader::new(UnixStream::connect(socket).unwrap());
        Self { process, connection, folder }
    }

    /// Runs a script whose answer is a list of numbers, or nothing.
    pub(super) fn eval(&mut self, script: &str, keys: &[String], args: &[String]) -> Vec<u64> {
        let count = keys.len().to_string();
        let words = ["EVAL", script, &count].into_iter();
        let words: Vec<&str> = words.chain(keys.iter().chain(args).map(String::as_str)).collect();
        self.ask(&words)
    }

    /// A list of numbers.
    pub(super) fn list(&mut self, key: &str) -> Vec<u64> {
        self.ask(&["LRANGE", key, "0", "-1"])
    }

    /// Asks, and reads the numbers of the answer.
    pub(super) fn ask(&mut self, words: &[&str]) -> Vec<u64> {
        let mut message = format!("*{}\r\n", words.len());
        for word in words {
            message.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.connection.get_mut().write_all(message.as_bytes()).unwrap();
        self.read()
    }

    fn read(&mut self) -> Vec<u64> {
        let mut line = String::new();
        self.connection.read_line(&mut line).unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        match kind {
            ":" => vec![rest.parse().unwrap()],
            "+" => vec![],
            "$" if rest == "-1" => vec![],
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.connection.read_exact(&mut bytes).unwrap();
                let text = String::from_utf8(bytes).unwrap();
                text.trim_end().parse().into_iter().collect()
            }
            "*" => (0..rest.parse::<usize>().unwrap()).flat_map(|_| self.read()).collect(),
            _ => panic!("{line}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
