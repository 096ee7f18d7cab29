//! Configurations: a file, and behind a line `---` the variables of an environment.

use std::fs;
use std::time::Duration;

use crate::config::load_values;

/// Reads bytes as a file and an environment. Files that they name are not opened: that would be any file of the machine.
pub(super) fn load(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (file, variables) = text.split_once("\n---\n").unwrap_or((&text, ""));
    let environment = variables.lines().filter_map(|line| line.split_once('='));
    let environment = environment.map(|(name, value)| (format!("INSTANTLY_PROXY_{name}"), value.to_owned()));
    let path = std::env::temp_dir().join(format!("instantly-proxy-fuzz-{}.toml", std::process::id()));
    fs::write(&path, file).expect("the machine has room for a file");
    let loaded = load_values(std::slice::from_ref(&path), environment);
    let _ = fs::remove_file(&path);
    match loaded {
        Err(faults) => {
            assert!(!faults.is_empty(), "refused for no reason");
            assert!(faults.iter().all(|fault| !fault.to_string().trim().is_empty()));
        }
        Ok(loaded) => {
            let (config, report) = (&loaded.config, loaded.report());
            assert!(!report.is_empty());
            let ceiling = Duration::from_secs(300);
            assert!(config.proof.max_age <= config.proof.outage_max_age, "an outage shortens no proof");
            assert!(config.proof.outage_max_age <= ceiling, "proofs that last too long");
            let is_plain = config.upstream.url.scheme_str() == Some("http");
            let host = config.upstream.url.host().unwrap_or_default();
            let near = host == "localhost" || host.starts_with("127.") || host == "[::1]";
            assert!(!is_plain || near || config.upstream.allow_plaintext, "plaintext off loopback");
            let exposed = !config.listen.address.ip().is_loopback() && config.listen.tls.is_none();
            assert!(!exposed || config.listen.allow_plaintext, "a plaintext port off loopback");
        }
    }
}
