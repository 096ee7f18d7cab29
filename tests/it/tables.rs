//! The list of tables that callers can grow names every table of the code, with the bound that the code has.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Sources whose tables no caller can grow: keyed by closed enums or by places in the code, or of the simulator and the
/// command line, which serve nobody.
const FIXED: [&str; 9] = [
    "src/admin/callers.rs",
    "src/admin/history.rs",
    "src/admin/status.rs",
    "src/cli",
    "src/clock",
    "src/config",
    "src/metrics",
    "src/shield/breaker.rs",
    "src/simulator",
];
/// Sources of tests alone: the fleet's models and its simulation are some, too.
const TESTS: [&str; 5] = ["/tests", "/simulation/", "/model.rs", "/pipes.rs", "/proving/"];
/// What a table is made of.
const TABLES: [&str; 7] =
    ["LruCache<", "HashMap<", "HashSet<", "BTreeMap<", "BTreeSet<", "VecDeque<", "moka::sync::Cache"];

/// The rows of the list: source, entries, and the whole of it.
fn rows() -> Vec<(String, String, String)> {
    let document = fs::read_to_string(Path::new(ROOT).join("docs/SECURITY.md")).expect("the document");
    let (_, list) = document.split_once("## Tables that callers can grow").expect("the list");
    let list = list.split("\n## ").next().unwrap_or_default();
    let rows = list.lines().filter(|line| line.starts_with("| `src/"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let source = cells[0].split('`').nth(1).expect("a source");
        (source.to_owned(), cells[1].to_owned(), row.to_owned())
    })
    .collect()
}

fn sources(place: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(place).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

/// Fields of structures; what a function makes for itself goes with it.
fn has_table(source: &str) -> bool {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().map(str::trim).any(|line| {
        let is_field = line.ends_with(',') && line.contains(": ") && !line.contains(['=', '|']);
        let is_tuple = line.contains("struct ") && line.contains('(');
        (is_field || is_tuple) && !line.starts_with("//") && TABLES.iter().any(|table| line.contains(table))
    })
}

#[test]
fn every_table_of_the_code_is_in_the_list() {
    let rows = rows();
    let mut found = Vec::new();
    sources(&Path::new(ROOT).join("src"), &mut found);
    let mut tables = 0;
    for file in found {
        let name = file.strip_prefix(ROOT).expect("below the root").to_string_lossy().into_owned();
        let is_test = TESTS.iter().any(|tests| name.contains(tests));
        if is_test || FIXED.iter().any(|fixed| name.starts_with(fixed)) {
            continue;
        }
        if has_table(&fs::read_to_string(&file).expect("a source")) {
            tables += 1;
            assert!(
                rows.iter().any(|(source, _, _)| *source == name),
                "docs/SECURITY.md has no row for {name}"
            );
        }
    }
    assert!(tables >= 15, "the form of a table has changed: {tables}");
}

#[test]
fn every_bound_of_the_list_is_the_one_in_the_code() {
    let rows = rows();
    assert!(rows.len() >= 25, "the form of the list has changed");
    let mut bounds = 0;
    for (source, _, row) in &rows {
        assert!(row.contains(".rs::"), "no test: {row}");
        let code = fs::read_to_string(Path::new(ROOT).join(source)).expect("a source that is there");
        // `NAME` = NUMBER, and perhaps a unit.
        let mut pieces = row.split('`');
        while let (Some(_), Some(name)) = (pieces.next(), pieces.next()) {
            let Some(stated) = pieces.clone().next().and_then(|rest| rest.strip_prefix(" = ")) else {
                continue;
            };
            bounds += 1;
            let number: String = stated.chars().take_while(char::is_ascii_digit).collect();
            let line = code.lines().find(|line| line.contains(&format!("const {name}: ")));
            let line = line.unwrap_or_else(|| panic!("{source} has no {name}")).replace('_', "");
            let value = line.split(" = ").nth(1).unwrap_or_default();
            let first: String =
                value.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
            assert_eq!(first, number, "{source}: {name}");
            let unit = stated[number.len()..].trim_start().starts_with("MiB");
            assert_eq!(value.contains("* 1024 * 1024"), unit, "{source}: {name}");
        }
    }
    assert!(bounds >= 15, "the form of a bound has changed: {bounds}");
}
