//! Reloading: the configuration is read again as it was at start, from the same files and variables.
//!
//! A configuration with a fault changes nothing and each fault is logged; of a sound one all that can change changes at
//! once, and what cannot is named. It has a thread of its own: a file system that hangs must not keep a signal to stop
//! from being heard.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use tracing::{info, warn};

use super::setup::Setup;
use crate::config::files::{self, Mark};
use crate::config::{Change, Config, Inputs, Key, Loaded};
use crate::descriptors;
use crate::logging::Log;
use crate::metrics::ReloadResult;
use crate::server::Server;

/// Asks for reloads.
pub(super) struct Reloads(SyncSender<()>);

impl Reloads {
    /// Begins to serve wishes for a reload of `server`, which runs with what was loaded.
    pub(super) fn start(setup: Setup, loaded: Loaded, log: Log, server: Arc<Server>) -> io::Result<Self> {
        // One may be under way and one more wanted; whoever asks then is served by that one.
        let (wish, wishes) = mpsc::sync_channel(1);
        let Loaded { config, inputs, .. } = loaded;
        let read_once = ReadOnce::of(&config);
        let mut running = Running { setup, config, inputs, read_once, log, server };
        thread::Builder::new().name("reload".to_owned()).spawn(move || {
            while wishes.recv().is_ok() {
                running.reload();
            }
        })?;
        Ok(Self(wish))
    }

    /// Asks for one.
    pub(super) fn ask(&self) {
        // Full: it is asked for already.
        let _ = self.0.try_send(());
    }
}

struct Running {
    setup: Setup,
    /// What holds.
    config: Config,
    /// What gave it.
    inputs: Inputs,
    /// What was read at start, and is not again.
    read_once: Vec<ReadOnce>,
    log: Log,
    server: Arc<Server>,
}

/// A file that is read at start alone: another key of a vendor's in it does not hold, and somebody has to say so.
#[derive(PartialEq, Eq)]
struct ReadOnce {
    key: Key,
    file: PathBuf,
    held: Mark,
}

impl ReadOnce {
    /// Those that this configuration names.
    fn of(config: &Config) -> Vec<Self> {
        let telemetry = &config.telemetry;
        let named = [
            (Key::TelemetryHeadersFile, telemetry.headers_file.as_ref()),
            (Key::TelemetryCaFile, telemetry.ca_file.as_ref()),
        ];
        let read = |(key, file): (Key, Option<&PathBuf>)| {
            let file = file?.clone();
            Some(Self { key, held: Mark::of_read(&files::contents(&file)), file })
        };
        named.into_iter().filter_map(read).collect()
    }
}

impl Running {
    fn reload(&mut self) {
        let faults = match self.setup.load_again(&self.inputs) {
            Ok(loaded) => match self.take(&loaded) {
                Ok(()) => return self.server.metrics().config_reload(ReloadResult::Applied),
                Err(fault) => vec![fault],
            },
            Err(faults) => faults.iter().map(ToString::to_string).collect(),
        };
        for fault in &faults {
            warn!(%fault, "configuration not taken");
        }
        warn!(faults = faults.len(), "the configuration has faults: the earlier one goes on");
        self.server.metrics().config_reload(ReloadResult::Refused);
    }

    fn take(&mut self, loaded: &Loaded) -> Result<(), String> {
        let Change { config, taken, waiting } = Change::between(&self.config, &loaded.config);
        self.server.reload(&config).map_err(|error| error.to_string())?;
        // A level that was read is one: it was checked with the rest.
        self.log.set(&config.log)?;
        self.config = config;
        self.inputs.clone_from(&loaded.inputs);
        info!(changed = listed(&taken), "configuration taken");
        let differs = |now: &ReadOnce| {
            self.read_once
                .iter()
                .any(|was| was.key == now.key && was.file == now.file && was.held != now.held)
        };
        let elsewhere = ReadOnce::of(&loaded.config).into_iter().filter(differs).map(|now| now.key);
        for key in waiting.into_iter().chain(elsewhere) {
            warn!(%key, origin = %loaded.origin(key), "changed, and needs a restart");
        }
        for notice in loaded.notices(descriptors::highest()) {
            warn!("{notice}");
        }
        Ok(())
    }
}

fn listed(keys: &[Key]) -> String {
    keys.iter().map(|key| key.as_str()).collect::<Vec<_>>().join(", ")
}
