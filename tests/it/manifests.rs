//! The memory limit of every manifest holds the sum of what its configuration lets the process take.

use std::fs;
use std::path::Path;

use instantly_proxy::config::{Config, MaxHeldBytes, load_values};
use instantly_proxy::resource::RESOURCES;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// See the table of docs/KUBERNETES.md; the tables are those of docs/SECURITY.md.
const AT_REST: u64 = 10 * MIB;
const TABLES: u64 = 44 * MIB;
const CONNECTION: u64 = 14 * KIB;
const CREDENTIAL: u64 = 700;
/// More of one, for each resource beside labels.
const RESOURCE: u64 = 210;
/// More tables, where there is a fleet.
const FLEET: u64 = 26 * MIB;
/// Where callers are told apart.
const CALLERS: u64 = 8 * MIB;
/// Where spans are exported.
const TRACES: u64 = 4 * MIB;

fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{name}: {fault}"))
}

fn config(toml: &str) -> Config {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("site.toml");
    // The secrets are mounted where the fleet runs.
    let secret = folder.path().join("secret");
    fs::write(&secret, "0123456789abcdef0123456789abcdef\n").expect("a file");
    let secrets = "/var/run/secrets/instantly-proxy-shared";
    let here = |name: &str| (format!("{secrets}/{name}"), secret.display().to_string());
    let toml = ["secret", "password"]
        .map(here)
        .iter()
        .fold(toml.to_owned(), |toml, (there, here)| toml.replace(there, here));
    fs::write(&file, toml).expect("a file");
    load_values(&[file], std::iter::empty()).expect("a sound configuration").config
}

/// `128Mi`, `512M`, `512m`, `1 GiB`: all of them powers of two where they are read.
fn bytes(quantity: &str) -> u64 {
    let digits: String = quantity.chars().take_while(char::is_ascii_digit).collect();
    let number: u64 = digits.parse().unwrap_or_else(|_| panic!("{quantity}"));
    match quantity[digits.len()..].trim() {
        "Mi" | "M" | "m" | "MiB" => number * MIB,
        "Gi" | "GiB" => number * 1024 * MIB,
        unit => panic!("{quantity}: {unit}"),
    }
}

/// The word behind `name` in the first line that has it, from the first line that has `after` on.
fn value<'a>(text: &'a str, after: &str, name: &str) -> &'a str {
    let from = text.find(after).unwrap_or_else(|| panic!("no {after}"));
    let mut lines = text[from..].lines().map(str::trim);
    lines.find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}")).trim()
}

#[track_caller]
fn assert_fits(name: &str, limit: u64, config: &Config) {
    let held = match config.listen.max_held_bytes {
        MaxHeldBytes::Auto => MaxHeldBytes::under(Some(limit)),
        MaxHeldBytes::Bytes(bytes) => bytes,
    };
    let resources = RESOURCES.enabled(&config.cache).count() as u64;
    let sum = AT_REST
        + TABLES
        + config.cache.max_bytes
        + held
        + config.listen.max_connections as u64 * CONNECTION
        + config.proof.max_credentials.get() as u64 * (CREDENTIAL + (resources - 1) * RESOURCE)
        + if config.shared.is_some() { FLEET } else { 0 }
        + if config.callers.is_some() { CALLERS } else { 0 }
        + if config.telemetry.otlp_endpoint.is_some() { TRACES } else { 0 };
    assert!(sum <= limit, "{name}: {} MiB do not fit into {}", sum / MIB, limit / MIB);
}

#[test]
fn the_tables_of_a_fixed_size_take_what_the_documents_say() {
    let document = text("docs/SECURITY.md");
    let part = document.split("## Tables that callers can grow").nth(1).expect("it is there");
    let mut sums = [0.0, 0.0, 0.0, 0.0];
    for row in part.lines().take_while(|line| !line.starts_with("## ")) {
        let cells: Vec<&str> = row.split('|').collect();
        let (Some(table), Some(bytes)) = (cells.get(1), cells.get(3)) else { continue };
        let Some(size) = bytes.split(" MiB").next().filter(|before| before.len() < bytes.len()) else {
            continue;
        };
        let place = ["`src/fleet/", "`src/callers/", "`src/telemetry"];
        let place = place.iter().position(|start| table.trim().starts_with(start)).unwrap_or(3);
        let size = size.rsplit(' ').next().and_then(|size| size.parse::<f64>().ok());
        sums[place] += size.unwrap_or_else(|| panic!("{row}"));
    }
    for (sum, told) in sums.into_iter().zip([FLEET, CALLERS, TRACES, TABLES]) {
        let told = told as f64 / MIB as f64;
        assert!(told - 1.0 < sum && sum <= told, "{sum} MiB, and not {told}");
    }
    let told = format!(
        "{} MiB, {} more where callers are told apart, {} where spans are exported, and {} in a fleet",
        TABLES / MIB,
        CALLERS / MIB,
        TRACES / MIB,
        FLEET / MIB
    );
    for name in ["docs/SECURITY.md", "docs/KUBERNETES.md"] {
        assert!(text(name).replace('\n', " ").contains(&told), "{name}: {told}");
    }
}

#[test]
fn the_memory_limit_of_every_manifest_holds_the_sum_of_what_the_process_may_take() {
    let overlays = "deploy/kustomize/overlays";
    for (overlay, workload) in [("sidecar", "deployment"), ("sidecar", "job"), ("gateway", "deployment")] {
        let name = format!("{overlays}/{overlay}/{workload}.yaml");
        // The proxy is the first container.
        let limit = bytes(value(&text(&name), "limits:", "memory:"));
        assert_fits(&name, limit, &config(&text(&format!("{overlays}/{overlay}/instantly-proxy.toml"))));
    }
    // What the fleet's overlay changes of the gateway's is not its memory.
    let limit = bytes(value(&text(&format!("{overlays}/gateway/deployment.yaml")), "limits:", "memory:"));
    assert!(!text(&format!("{overlays}/fleet/deployment.yaml")).contains("memory:"));
    let fleet = config(&text(&format!("{overlays}/fleet/instantly-proxy.toml")));
    assert!(fleet.shared.is_some());
    assert_fits("the fleet", limit, &fleet);

    let values = text("deploy/helm/instantly-proxy/values.yaml");
    let block = values.lines().skip_while(|line| *line != "config: |").skip(1);
    let block = block.take_while(|line| line.is_empty() || line.starts_with("  "));
    let toml: String = block.map(|line| format!("{}\n", line.trim_start())).collect();
    assert!(toml.contains("[cache]"), "{toml}");
    assert_fits("values.yaml", bytes(value(&values, "limits:", "memory:")), &config(&toml));

    let compose = text("deploy/compose/compose.yaml");
    let limit = bytes(value(&compose, "\n  proxy:", "mem_limit:"));
    assert_fits("compose.yaml", limit, &config(&text("deploy/compose/instantly-proxy.toml")));

    let unit = text("deploy/systemd/instantly-proxy.service");
    assert_fits(
        "instantly-proxy.service",
        bytes(value(&unit, "[Service]", "MemoryMax=")),
        &Config::default(),
    );
}

#[test]
fn the_sizes_that_are_recommended_fit_too() {
    let document = text("docs/KUBERNETES.md");
    let mut rows = 0;
    for row in document.lines().filter(|line| line.contains("m CPU, ") || line.contains(" CPU, ")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let number = |cell: &str| -> usize {
            let digits: String = cell.chars().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
            digits.replace(',', "").parse().unwrap_or_else(|_| panic!("{row}"))
        };
        let mut config = Config::default();
        config.cache.max_bytes = bytes(cells[3]);
        config.listen.max_connections = number(cells[4]);
        config.proof.max_credentials = number(cells[5]).try_into().expect("not zero");
        assert_fits(row, bytes(cells[2]), &config);
        rows += 1;
    }
    assert_eq!(rows, 3, "the form of the table has changed");
}

#[test]
fn auto_is_a_quarter_of_the_limit_and_never_too_little_for_a_list() {
    for (limit, expected) in [
        (None, 256 * MIB),
        (Some(128 * MIB), 32 * MIB),
        (Some(1), 8 * MIB),
        (Some(32 * MIB), 8 * MIB),
        (Some(64 * 1024 * MIB), 1024 * MIB),
    ] {
        assert_eq!(MaxHeldBytes::under(limit), expected, "{limit:?}");
    }
}

/// What a filter leaves out ends the process where nothing else is said, and a large answer asks for one of these calls.
#[test]
fn the_unit_refuses_a_system_call_and_does_not_end_the_service_for_it() {
    let unit = text("deploy/systemd/instantly-proxy.service");
    assert!(unit.lines().any(|line| line.starts_with("SystemCallFilter=~")), "{unit}");
    assert!(unit.lines().any(|line| line == "SystemCallErrorNumber=EPERM"), "{unit}");
}
