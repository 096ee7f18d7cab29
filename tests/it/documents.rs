//! The documents name what is there: keys, metrics, values, errors, modules, dependencies, tests.

use std::fs;
use std::path::{Path, PathBuf};

use instantly_proxy::config::{Key, load};
use instantly_proxy::error::ErrorKind;
use instantly_proxy::metrics::{
    AdminPath, EvictionCause, Gauges, InvalidationCause, Metrics, ReloadResult, RetryResult,
};
use instantly_proxy::organization::sharing::Shared;
use instantly_proxy::outcome::{Avoided, BypassReason, Outcome, Route, StaleReason, StatusClass};
use instantly_proxy::proxy::{Conclusion, Proof};
use instantly_proxy::purpose::{Purpose, UpstreamStatus};
use instantly_proxy::reason::{GateReason, ProofResult, RejectionReason};

const DOCUMENTS: [&str; 6] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/ARCHITECTURE.md",
    "docs/OPERATING.md",
    "docs/SECURITY.md",
];

/// Modules that anybody may name.
const LEAVES: [&str; 15] = [
    "body",
    "bounded",
    "clock",
    "closed_enum",
    "error",
    "held",
    "linger",
    "lock",
    "outcome",
    "peer",
    "purpose",
    "reason",
    "received",
    "setup_error",
    "tick",
];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[track_caller]
fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|fault| panic!("{name}: {fault}"))
}

/// What stands between back-quotes, code blocks left out.
fn quoted(document: &str) -> Vec<&str> {
    let mut in_block = false;
    let prose = document.lines().filter(move |line| {
        let fence = line.starts_with("```");
        in_block ^= fence;
        !in_block && !fence
    });
    prose.flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The cells of the table row that begins with this name in back-quotes.
fn row<'a>(document: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let start = format!("| `{name}` |");
    let line = document.lines().find(|line| line.starts_with(&start))?;
    Some(line.trim_matches('|').split(" | ").map(str::trim).collect())
}

#[test]
fn the_readme_holds_every_key_with_its_default() {
    let readme = text("README.md");
    let loaded = load(&[], std::iter::empty()).expect("the defaults are sound");
    let report = loaded.report();
    let mut settings = report.lines().filter(|line| line.contains('=') || line.ends_with(" is not set"));
    for key in Key::ALL {
        let setting = settings.next().expect("the report has a line for each key");
        let default = match setting.split_once(" = ") {
            Some((_, value)) => {
                format!("`{}`", value.split(" # ").next().unwrap_or_default().trim().trim_matches('"'))
            }
            None => "not set".to_owned(),
        };
        let row = row(&readme, key.as_str()).unwrap_or_else(|| panic!("README.md has no row for {key}"));
        assert_eq!(row[1], default, "{key}");
    }
}

#[test]
fn documents_name_no_key_that_is_unknown() {
    for document in DOCUMENTS {
        for name in quoted(&text(document)) {
            let section = name.split('.').next().unwrap_or_default();
            let is_key = Key::ALL.iter().any(|key| key.section().split('.').next() == Some(section))
                && name.contains('.')
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte))
                && !name.ends_with(".rs");
            let name = name.trim_end_matches('.');
            assert!(!is_key || Key::ALL.iter().any(|key| key.as_str() == name), "{document}: {name}");
        }
    }
}

#[test]
fn documents_name_the_metrics_that_there_are() {
    let page = Metrics::default().render(Gauges::default());
    let operating = text("docs/OPERATING.md");
    let mut names = Vec::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a name and a type");
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        names.push(format!("{name}{suffix}"));
    }
    for name in &names {
        assert!(operating.contains(&format!("`{name}`")), "docs/OPERATING.md lacks {name}");
    }
    for document in DOCUMENTS {
        for word in text(document).split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let is_metric = word.starts_with("instantly_proxy_") || word.starts_with("process_");
            let on_linux_alone = word.starts_with("process_") && !cfg!(target_os = "linux");
            assert!(
                !is_metric || on_linux_alone || names.iter().any(|name| name == word),
                "{document}: {word}"
            );
        }
    }
}

#[test]
fn every_value_of_a_closed_label_is_explained() {
    let operating = text("docs/OPERATING.md");
    let mut values: Vec<&str> = Vec::new();
    values.extend(AdminPath::ALL.iter().map(|value| value.as_str()));
    values.extend(Avoided::ALL.iter().map(|value| value.as_str()));
    values.extend(BypassReason::ALL.iter().map(|value| value.as_str()));
    values.extend(Conclusion::ALL.iter().map(|value| value.as_str()));
    values.extend(EvictionCause::ALL.iter().map(|value| value.as_str()));
    values.extend(GateReason::ALL.iter().map(|value| value.as_str()));
    values.extend(InvalidationCause::ALL.iter().map(|value| value.as_str()));
    values.extend(Outcome::ALL.iter().map(|value| value.as_str()));
    values.extend(Proof::ALL.iter().map(|value| value.as_str()));
    values.extend(ProofResult::ALL.iter().map(|value| value.as_str()));
    values.extend(Purpose::ALL.iter().map(|value| value.as_str()));
    values.extend(ReloadResult::ALL.iter().map(|value| value.as_str()));
    values.extend(RejectionReason::ALL.iter().map(|value| value.as_str()));
    values.extend(Shared::ALL.iter().map(|value| value.as_str()));
    values.extend(RetryResult::ALL.iter().map(|value| value.as_str()));
    values.extend(Route::ALL.iter().map(|value| value.as_str()));
    values.extend(StaleReason::ALL.iter().map(|value| value.as_str()));
    values.extend(StatusClass::ALL.iter().map(|value| value.as_str()));
    values.extend(UpstreamStatus::ALL.iter().map(|value| value.as_str()));
    for value in values {
        assert!(operating.contains(&format!("`{value}`")), "docs/OPERATING.md lacks {value}");
    }
}

#[test]
fn the_examples_for_clients_are_the_ones_that_are_run() {
    let document = text("docs/clients.md");
    for name in ["curl.sh", "instantlyai_client.py", "httpx_client.py", "fetch.mjs", "rust/src/main.rs"] {
        let example = text(&format!("tests/clients/{name}"));
        assert!(document.contains(&format!("\n{example}```")), "docs/clients.md shows another {name}");
    }
}

/// Messages of the log that somebody may have to act on.
#[test]
fn every_warning_of_the_log_is_explained() {
    let logging = text("docs/LOGGING.md");
    for source in sources(&path("src")) {
        let source = source.split("#[cfg(test)]").next().unwrap_or_default();
        for call in source.split("warn!(").skip(1).chain(source.split("error!(").skip(1)) {
            let call = call.split(");").next().unwrap_or_default();
            let message = call.rsplit('"').nth(1).unwrap_or_default();
            let is_sentence = message.contains(' ') && !message.contains(['{', '\\']);
            assert!(
                !is_sentence || logging.contains(&format!("`{message}`")),
                "docs/LOGGING.md lacks {message:?}"
            );
        }
    }
}

#[test]
fn every_error_is_listed_with_its_status_and_sentence() {
    let operating = text("docs/OPERATING.md");
    for kind in ErrorKind::ALL {
        let row = row(&operating, kind.as_str()).unwrap_or_else(|| panic!("no row for {kind}"));
        assert_eq!(row[1], kind.status().as_str(), "{kind}");
        assert_eq!(row[2], kind.message(), "{kind}");
    }
}

/// `file::name`, where `it/` stands for `tests/it/`.
#[test]
fn every_test_that_is_named_exists() {
    let mut named = 0;
    for document in DOCUMENTS {
        let document = text(document);
        let tests = quoted(&document).into_iter().filter_map(|name| name.split_once(".rs::"));
        for (file, test) in tests {
            named += 1;
            let file =
                if file.starts_with("it/") { format!("tests/{file}.rs") } else { format!("{file}.rs") };
            let source = text(&file);
            let lines: Vec<_> = source.lines().map(str::trim).collect();
            let at = lines.iter().position(|line| {
                line.trim_start_matches("async ").strip_prefix("fn ").is_some_and(|rest| {
                    rest.strip_prefix(test).is_some_and(|rest| rest.starts_with(['(', '<']))
                })
            });
            let at = at.unwrap_or_else(|| panic!("there is no {file}::{test}"));
            let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
            assert!(
                attributes.into_iter().any(|line| line.contains("test")),
                "{file}::{test} is no test that runs"
            );
        }
    }
    assert!(named > 50, "the form in which tests are named has changed");
}

#[test]
fn every_link_leads_to_a_file() {
    for document in DOCUMENTS {
        let content = text(document);
        for link in content.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if !link.starts_with("https://") && !file.is_empty() {
                let folder = path(document).parent().expect("a file has a folder").to_owned();
                assert!(folder.join(file).exists(), "{document}: {link}");
            }
        }
    }
}

/// A module uses no other than those that its row names.
#[test]
fn modules_depend_on_each_other_as_drawn() {
    let architecture = text("docs/ARCHITECTURE.md");
    for entry in fs::read_dir(path("src")).expect("sources").map(|entry| entry.expect("an entry").path()) {
        let module = entry.file_stem().expect("a name").to_string_lossy().into_owned();
        if ["lib", "main"].contains(&&*module) || LEAVES.contains(&&*module) {
            continue;
        }
        let row = row(&architecture, &module).unwrap_or_else(|| panic!("{module} has no row"));
        let allowed = quoted(row.last().expect("cells"));
        for (file, used) in uses(&entry) {
            let known = used == module || LEAVES.contains(&&*used) || allowed.contains(&&*used);
            assert!(known, "{} uses {used}, which its row does not say", file.display());
        }
    }
}

/// What the sources below `place` name of other modules, tests left out.
fn uses(place: &Path) -> Vec<(PathBuf, String)> {
    if place.is_dir() {
        let entries = fs::read_dir(place).expect("a folder").map(|entry| entry.expect("an entry").path());
        let code = entries
            .filter(|entry| entry.file_stem().is_none_or(|name| name != "tests" && name != "spellings"));
        return code.flat_map(|entry| uses(&entry)).collect();
    }
    let source = fs::read_to_string(place).expect("a source");
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let names = code.flat_map(|line| line.split("crate::").skip(1)).map(|rest| {
        rest.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap_or_default().to_owned()
    });
    names.filter(|name| !name.is_empty()).map(|name| (place.to_owned(), name)).collect()
}

#[test]
fn every_crate_that_the_code_names_has_its_reason() {
    let (manifest, architecture) = (text("Cargo.toml"), text("docs/ARCHITECTURE.md"));
    let (_, table) = architecture.split_once("\n## Dependencies").expect("the section");
    let mut in_dependencies = false;
    let mut dependencies = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
        } else if let (true, Some((name, _))) = (in_dependencies, line.split_once(" = ")) {
            dependencies.push(name);
        }
    }
    let code = sources(&path("src")).concat();
    for name in dependencies.iter().filter(|name| code.contains(&format!("{}::", name.replace('-', "_")))) {
        assert!(row(table, name).is_some(), "{name} has no row");
    }
    for name in table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()) {
        assert!(dependencies.contains(&name), "{name} is no dependency");
    }
}

fn sources(place: &Path) -> Vec<String> {
    if place.is_dir() {
        let entries = fs::read_dir(place).expect("a folder").map(|entry| entry.expect("an entry").path());
        return entries.flat_map(|entry| sources(&entry)).collect();
    }
    vec![fs::read_to_string(place).expect("a source")]
}
