//! [`Process`]: the built program as a child, with its log read line by line.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

#[cfg(target_os = "linux")]
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;
use tokio::sync::watch;

use super::caller::Caller;
use super::patience::patiently;

/// A running program; dropped, it is killed.
pub struct Process {
    child: Arc<Mutex<Child>>,
    output: watch::Receiver<Output>,
    errors: watch::Receiver<Output>,
    pid: u32,
}

#[derive(Clone, Debug, Default)]
struct Output {
    lines: Vec<String>,
    ended: bool,
}

/// A [`Process`] that serves, and its two ports.
pub struct Serving {
    /// The program.
    pub process: Process,
    /// Address of the data port.
    pub data: SocketAddr,
    /// Address of the admin port.
    pub admin: SocketAddr,
}

impl Process {
    /// Starts the program with these arguments and this environment alone.
    pub fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_by(&mut Command::new(env!("CARGO_BIN_EXE_instantly-proxy")), arguments, environment)
    }

    /// The same under a soft and a hard limit of open files.
    pub fn start_limited(limits: (u32, u32), arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let (soft, hard) = limits;
        let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_instantly-proxy")]);
        Self::start_by(&mut shell, arguments, environment)
    }

    /// The same with a configuration on standard input, which is a pipe.
    pub fn start_fed(config: &str, environment: &[(&str, &str)]) -> Self {
        let script = format!("exec \"$0\" \"$@\" <<'END'\n{config}\nEND\n");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_instantly-proxy")]);
        Self::start_by(&mut shell, &["--config", "/dev/stdin"], environment)
    }

    fn start_by(command: &mut Command, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = command
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let pid = child.id();
        let output = follow(child.stdout.take().expect("it is piped"));
        let errors = follow(child.stderr.take().expect("it is piped"));
        Self { child: Arc::new(Mutex::new(child)), output, errors, pid }
    }

    /// Waits for a log line that has this message.
    #[track_caller]
    pub fn logged(&self, message: &str) -> impl Future<Output = Value> + use<> {
        let (mut output, wanted) = (self.output.clone(), message.to_owned());
        patiently(&format!("the log line {message:?}"), async move {
            let found = |output: &Output| output.lines.iter().rev().find_map(|line| said(line, &wanted));
            let output = output.wait_for(|output| found(output).is_some() || output.ended).await;
            let output = output.expect("the reader outlives its output");
            found(&output)
                .unwrap_or_else(|| panic!("{wanted:?} was never logged: {}", output.lines.join("\n")))
        })
    }

    /// Everything written to standard output so far.
    pub fn stdout(&self) -> String {
        self.output.borrow().lines.join("\n")
    }

    /// Everything written to standard error so far.
    pub fn stderr(&self) -> String {
        self.errors.borrow().lines.join("\n")
    }

    /// Sends a signal by its name: `TERM`, `INT`, `HUP`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid)]).status();
        assert!(sent.expect("there is a shell").success(), "the process takes no signal");
    }

    /// Waits for the end of the program and of its output; its exit code.
    #[track_caller]
    pub fn ended(&self) -> impl Future<Output = Option<i32>> + use<> {
        let (child, mut output, mut errors) =
            (Arc::clone(&self.child), self.output.clone(), self.errors.clone());
        patiently("the end of the program", async move {
            output.wait_for(|output| output.ended).await.expect("the reader outlives its output");
            errors.wait_for(|errors| errors.ended).await.expect("the reader outlives its output");
            let status: ExitStatus =
                tokio::task::spawn_blocking(move || lock(&child).wait().expect("a child can be waited for"))
                    .await
                    .expect("no panic");
            status.code()
        })
    }

    /// From now on the program may open no descriptor from this number on; `None` is no limit. Returns what held before.
    #[cfg(target_os = "linux")]
    pub fn limit_files(&self, soft: Option<u64>) -> Option<u64> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let maximum = getrlimit(Resource::Nofile).maximum;
        let before = prlimit(pid, Resource::Nofile, Rlimit { current: soft, maximum });
        before.expect("the child is ours").current
    }

    /// The most memory that it has had resident so far, in bytes. The kernel keeps the count in parts, one a thread, so
    /// that a later reading can be a little smaller than an earlier one.
    pub fn peak_memory(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("the child runs on Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        // It may have ended long ago.
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Serving {
    /// Starts the proxy on free ports in front of `upstream`, with more of its environment.
    #[track_caller]
    pub fn start(upstream: &str, environment: &[(&str, &str)]) -> impl Future<Output = Self> + use<> {
        Self::start_with(&[], upstream, environment)
    }

    /// The same with arguments.
    #[track_caller]
    pub fn start_with(
        arguments: &[&str],
        upstream: &str,
        environment: &[(&str, &str)],
    ) -> impl Future<Output = Self> + use<> {
        let mut all = on_free_ports(upstream);
        all.extend_from_slice(environment);
        Self::of(Process::start(arguments, &all))
    }

    /// The same under a soft and a hard limit of open files.
    #[track_caller]
    pub fn start_limited(
        limits: (u32, u32),
        upstream: &str,
        environment: &[(&str, &str)],
    ) -> impl Future<Output = Self> + use<> {
        let mut all = on_free_ports(upstream);
        all.extend_from_slice(environment);
        Self::of(Process::start_limited(limits, &[], &all))
    }

    /// The same with a configuration on standard input.
    #[track_caller]
    pub fn start_fed(config: &str, upstream: &str) -> impl Future<Output = Self> + use<> {
        Self::of(Process::start_fed(config, &on_free_ports(upstream)))
    }

    #[track_caller]
    fn of(process: Process) -> impl Future<Output = Self> + use<> {
        let ready = process.logged("ready");
        async move {
            let ready = ready.await;
            let address =
                |key: &str| ready[key].as_str().and_then(|text| text.parse().ok()).expect("an address");
            let (data, admin) = (address("data"), address("admin"));
            Self { process, data, admin }
        }
    }

    /// A client of the data port with a bearer token.
    pub fn caller(&self, token: &str) -> Caller {
        Caller::anonymous(self.data).with_token(token)
    }

    /// A client of the admin port.
    pub fn operator(&self) -> Caller {
        Caller::anonymous(self.admin)
    }
}

fn on_free_ports(upstream: &str) -> Vec<(&str, &str)> {
    vec![
        ("INSTANTLY_PROXY_UPSTREAM__URL", upstream),
        ("INSTANTLY_PROXY_LISTEN__ADDRESS", "127.0.0.1:0"),
        ("INSTANTLY_PROXY_ADMIN__ADDRESS", "127.0.0.1:0"),
        ("INSTANTLY_PROXY_LISTEN__WORKERS", "2"),
    ]
}

fn lock(child: &Mutex<Child>) -> std::sync::MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The log line as JSON, if it has this message.
fn said(line: &str, message: &str) -> Option<Value> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["message"] == message).then_some(line)
}

fn follow(pipe: impl std::io::Read + Send + 'static) -> watch::Receiver<Output> {
    let (sender, receiver) = watch::channel(Output::default());
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            sender.send_modify(|output| output.lines.push(line));
        }
        sender.send_modify(|output| output.ended = true);
    });
    receiver
}
