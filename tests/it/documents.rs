//! The documents name what is there: keys, metrics, values, errors, modules, dependencies, tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use instantly_proxy::config::{Key, load};
use instantly_proxy::metrics::{CertificateOf, Gauges, Metrics};
use instantly_proxy::resource::RESOURCES;

const DOCUMENTS: [&str; 12] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/ARCHITECTURE.md",
    "docs/CONFIGURATION.md",
    "docs/FLEET.md",
    "docs/GLOSSARY.md",
    "docs/OPERATING.md",
    "docs/REFERENCE.md",
    "docs/SECURITY.md",
    "docs/TESTING.md",
    "docs/UPGRADING.md",
];

/// Modules that anybody may name.
const LEAVES: [&str; 17] = [
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
    "race",
    "reason",
    "received",
    "setup_error",
    "tick",
    "told",
];

pub(super) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[track_caller]
pub(super) fn text(name: &str) -> String {
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
fn the_page_of_the_configuration_holds_every_key_with_its_default_and_what_it_may_be() {
    let page = text("docs/CONFIGURATION.md");
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
        let allowed = key.allowed();
        let row = row(&page, key.as_str()).unwrap_or_else(|| {
            panic!("docs/CONFIGURATION.md has no row\n| `{key}` | {default} | {allowed} | … |")
        });
        assert_eq!((row[1], row[2]), (default.as_str(), allowed), "{key}");
        assert!(row.len() == 4 && row[3].len() > 3, "{key} is not explained");
    }
    let rows = page.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, Key::ALL.len(), "docs/CONFIGURATION.md has a row too many");
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
    let metrics = Metrics::default();
    // A family without a certificate is not shown.
    metrics.certificate(CertificateOf::Listen, Duration::ZERO);
    let page = metrics.render(Gauges::default());
    let reference = text("docs/REFERENCE.md");
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
        assert!(reference.contains(&format!("`{name}`")), "docs/REFERENCE.md lacks {name}");
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
    for (_, source) in sources(&path("src")) {
        let source = source.split("#[cfg(test)]").next().unwrap_or_default();
        for call in source.split("warn!(").skip(1).chain(source.split("error!(").skip(1)) {
            let call = call.split(");").next().unwrap_or_default();
            let message = call.rsplit('"').nth(1).unwrap_or_default();
            for resource in RESOURCES.iter() {
                let message = message.replace("{items}", resource.sentences.items);
                let is_sentence = message.contains(' ') && !message.contains(['{', '\\']);
                assert!(
                    !is_sentence || logging.contains(&format!("`{message}`")),
                    "docs/LOGGING.md lacks {message:?}"
                );
            }
        }
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

/// What GitHub makes of a heading: the end of a link to it.
pub(super) fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn has_heading(document: &str, sought: &str) -> bool {
    let mut in_block = false;
    let prose = document.lines().filter(move |line| {
        in_block ^= line.starts_with("```");
        !in_block
    });
    prose
        .filter(|line| line.starts_with('#'))
        .any(|line| anchor(line.trim_start_matches('#').trim()) == sought)
}

/// Every document, wherever it lies.
fn documents() -> Vec<(PathBuf, String)> {
    let root = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].into_iter();
    let below = ["docs", "deploy", "benches"].into_iter();
    let all = root.chain(below).flat_map(|place| sources(&path(place)));
    all.filter(|(file, _)| file.extension().is_some_and(|extension| extension == "md")).collect()
}

#[test]
fn every_link_leads_to_a_file() {
    for (document, content) in documents() {
        for link in content.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if !link.starts_with("https://") && !file.is_empty() {
                let folder = document.parent().expect("a file has a folder");
                assert!(folder.join(file).exists(), "{}: {link}", document.display());
            }
        }
    }
}

#[test]
fn every_link_to_a_section_leads_to_its_heading() {
    let mut links = 0;
    for (document, content) in documents() {
        for link in content.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let Some((file, sought)) = link.split_once('#').filter(|_| !link.starts_with("https://")) else {
                continue;
            };
            links += 1;
            let file = if file.is_empty() {
                document.clone()
            } else {
                document.parent().expect("a folder").join(file)
            };
            let target = fs::read_to_string(&file).unwrap_or_else(|fault| panic!("{link}: {fault}"));
            assert!(has_heading(&target, sought), "{}: {link}", document.display());
        }
    }
    assert!(links > 20, "the form of a link has changed: {links}");
}

/// Comments, manifests and alerts name a document by its path, and a section of it behind a `#`.
#[test]
fn every_document_that_is_named_elsewhere_exists() {
    let mut named = 0;
    for (file, content) in
        ["src", "tests", "deploy", "config", "benches"].into_iter().flat_map(|place| sources(&path(place)))
    {
        for rest in content.split("docs/").skip(1) {
            let is_part = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            let Some((name, rest)) = rest.split_once(".md").filter(|(name, _)| name.chars().all(is_part))
            else {
                continue;
            };
            named += 1;
            let document = text(&format!("docs/{name}.md"));
            let sought = rest.strip_prefix('#').and_then(|rest| rest.split(|c| !is_part(c)).next());
            let sought = sought.filter(|sought| !sought.is_empty());
            assert!(
                sought.is_none_or(|sought| has_heading(&document, sought)),
                "{}: docs/{name}.md#{}",
                file.display(),
                sought.unwrap_or_default()
            );
        }
    }
    assert!(named > 20, "the form in which documents are named has changed: {named}");
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

#[test]
fn what_is_to_be_opened_for_a_change_is_there() {
    let architecture = text("docs/ARCHITECTURE.md");
    let (_, table) = architecture.split_once("\n### To change X, open Y").expect("the section");
    let (table, _) = table.split_once("\n## ").expect("the next section");
    let mut rows = 0;
    for row in table.lines().filter(|line| line.contains("`src/")) {
        let named = quoted(row);
        let [.., file, item] = &named[..] else { panic!("no item: {row}") };
        assert!(text(file).contains(item), "{file} has no {item}");
        rows += 1;
    }
    assert!(rows >= 15, "the form of the table has changed: {rows}");
}

#[test]
fn what_bears_a_word_of_the_glossary_is_there() {
    let glossary = text("docs/GLOSSARY.md");
    let mut words = Vec::new();
    for row in glossary.lines().filter(|line| line.contains("| `src/")) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let named = quoted(cells[2]);
        let [file, item] = &named[..] else { panic!("no item: {row}") };
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        assert!(text(file).split(|c| !is_part(c)).any(|word| word == *item), "{file} has no {item}");
        words.push(cells[0]);
    }
    assert!(words.len() >= 60, "the form of the table has changed: {}", words.len());
    assert!(words.is_sorted_by(|one, next| one < next), "{words:?}");
}

#[test]
fn nothing_below_the_proxy_names_it() {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    for room in
        ["cache", "caller", "classify", "fetch", "guard", "organization", "origin", "semantics", "shield"]
    {
        for (_, source) in sources(&path(&format!("src/{room}"))) {
            let mut code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
            let named = code.find(|line| line.split(|c| !is_part(c)).any(|word| word == "Proxy"));
            assert_eq!(named, None, "in src/{room}");
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
    let code: String = sources(&path("src")).into_iter().map(|(_, source)| source).collect();
    for name in dependencies.iter().filter(|name| code.contains(&format!("{}::", name.replace('-', "_")))) {
        assert!(row(table, name).is_some(), "{name} has no row");
    }
    for name in table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()) {
        assert!(dependencies.contains(&name), "{name} is no dependency");
    }
}

/// The files below `place` with what they hold.
pub(super) fn sources(place: &Path) -> Vec<(PathBuf, String)> {
    if place.is_dir() {
        let entries = fs::read_dir(place).expect("a folder").map(|entry| entry.expect("an entry").path());
        return entries.flat_map(|entry| sources(&entry)).collect();
    }
    let bytes = fs::read(place).expect("a file");
    // A picture is no text.
    String::from_utf8(bytes).map_or_else(|_| Vec::new(), |text| vec![(place.to_owned(), text)])
}
