//! [`Stage`]: the processes of a world, their clock, and the pipes between them and everybody else.

use std::io::Write as _;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::io::DuplexStream;

use super::super::process::Process;
use super::super::world;
use super::oracle::PER_SECOND;
use super::setting::{Setting, Speaks};
use super::store::Store;
use crate::clock::{Clock, ManualClock, Moment};
use crate::config::{Config, Shared, StoreAddress};
use crate::fleet::store::pipes;
use crate::upstream::pipes::Dialled;

pub(super) struct Stage {
    // First: what it runs goes before what it stands on.
    processes: Vec<Process>,
    config: Config,
    clock: Clock,
    pub(super) hand: ManualClock,
    pub(super) upstream: Dialled,
    /// Connections to the upstream, and who has made them.
    dialled: Vec<(usize, DuplexStream)>,
    pub(super) shared: Option<SharedStore>,
}

/// The store of a fleet, and what all of it know.
pub(super) struct SharedStore {
    pub(super) store: Store,
    dialled: pipes::Dialled,
    _secrets: NamedTempFile,
}

impl Stage {
    pub(super) fn new(setting: &Setting) -> Self {
        let (clock, hand) = Clock::manual();
        let mut config = world::config();
        config.upstream.ca_file = Some(root().to_owned());
        let shared = setting.is_fleet().then(|| {
            let mut secrets = NamedTempFile::new().expect("a file");
            secrets.write_all(b"0123456789abcdef0123456789abcdef\n").expect("a secret");
            config.shield.single_workspace = true;
            config.shield.requests_per_second = NonZeroU32::new(PER_SECOND).expect("not zero");
            let address = StoreAddress::new("127.0.0.1", 9);
            config.shared = Some(Shared::at(address, secrets.path().to_owned()));
            SharedStore { store: Store::new(), dialled: pipes::Dialled::begin(), _secrets: secrets }
        });
        let upstream = Dialled::begin();
        if setting.speaks == Speaks::Http2 {
            upstream.speak_http2();
        }
        let mut stage =
            Self { processes: Vec::new(), config, clock, hand, upstream, dialled: Vec::new(), shared };
        for replica in 0..setting.replicas {
            stage.processes.push(Process::begin(&stage.config, &stage.clock));
            stage.collect(replica);
        }
        stage
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(super) fn process(&self, replica: usize) -> &Process {
        &self.processes[replica]
    }

    /// Until every process waits for somebody else than the store.
    pub(super) fn settle(&mut self) {
        loop {
            for replica in 0..self.processes.len() {
                self.processes[replica].settle();
                self.collect(replica);
            }
            let now = self.clock.now();
            if !self.shared.as_mut().is_some_and(|shared| shared.store.turn(now)) {
                return;
            }
        }
    }

    /// They go on for some turns of their tasks.
    pub(super) fn go_on(&mut self, turns: u32) {
        for replica in 0..self.processes.len() {
            self.processes[replica].go_on(turns);
            self.collect(replica);
        }
    }

    /// Time passes, and everybody does what that brings.
    pub(super) fn pass(&mut self, time: Duration) {
        self.hand.advance(time);
        self.processes.iter().for_each(Process::sweep);
        self.settle();
    }

    /// The connections to the upstream that were made, and by whom.
    pub(super) fn take(&mut self) -> Vec<(usize, DuplexStream)> {
        std::mem::take(&mut self.dialled)
    }

    /// A process is killed, and another one takes its place.
    pub(super) fn restart(&mut self, replica: usize) {
        self.processes[replica] = Process::begin(&self.config, &self.clock);
        self.dialled.retain(|(whose, _)| *whose != replica);
        if let Some(shared) = &mut self.shared {
            shared.store.lose(replica);
        }
        self.collect(replica);
    }

    /// Notes who has made the connections that are new.
    fn collect(&mut self, replica: usize) {
        while let Some(pipe) = self.upstream.take() {
            self.dialled.push((replica, pipe));
        }
        let Some(SharedStore { store, dialled, .. }) = &mut self.shared else { return };
        while let Some(pipe) = dialled.take() {
            store.accept(replica, pipe);
        }
    }
}

/// A root to trust, of which nobody has the key: to read those of the machine takes longer than many a history.
fn root() -> &'static Path {
    static ROOT: OnceLock<NamedTempFile> = OnceLock::new();
    let make = || {
        let root = rcgen::generate_simple_self_signed(["a".to_owned()]).expect("a certificate");
        let mut file = NamedTempFile::new().expect("a file");
        file.write_all(root.cert.pem().as_bytes()).expect("a certificate");
        file
    };
    ROOT.get_or_init(make).path()
}
