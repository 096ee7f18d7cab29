//! Files import each other in one direction: a circle of files can only be read, changed and tested as a whole.
//!
//! How files are counted: a file of `src` is one module; tests are none. It imports the file of each path that begins with
//! `crate`, `super`, `self` or a module that it declares, be it in a `use` or in the code. A name that the module of its
//! path only passes on by `pub use` counts for the file that it comes from. So a parent that declares its children and
//! passes their names on imports nothing, unless its own code uses such a name. `lib.rs` and `main.rs` are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Circles of two files that may be: two halves of one idea.
const PAIRS: usize = 2;

/// A path without `crate`: the segments of a module, or of a name in it.
type Name = Vec<String>;

#[derive(Default)]
struct Module {
    /// What the file uses, by whatever path.
    used: Vec<Name>,
    /// Names that it passes on, and what they stand for.
    passed_on: BTreeMap<String, Name>,
}

#[test]
fn files_import_each_other_in_one_direction() {
    let circles = circles(&imports(&modules()));
    let across: Vec<_> = circles.iter().filter(|circle| folders(circle).len() > 1).collect();
    assert!(across.is_empty(), "circles of more than one folder: {across:#?}");
    let (pairs, larger): (Vec<_>, Vec<_>) = circles.iter().partition(|circle| circle.len() == 2);
    assert!(larger.is_empty(), "circles of more than two files: {larger:#?}");
    assert!(pairs.len() <= PAIRS, "more than {PAIRS} circles of two files: {pairs:#?}");
}

#[test]
fn a_circle_is_found_through_names_that_are_passed_on() {
    let sources = [
        ("a", "pub mod inner;\nmod thing;\npub use inner::{Thing, thing};"),
        ("a::inner", "use crate::b::{self, Other as Renamed};\npub struct Thing;"),
        ("b", "fn other() -> crate::a::Thing {}"),
        ("c", "mod child;\nuse child::Part;"),
        ("c::child", "use super::super::a::Thing; // super::Nothing"),
    ];
    let names: Vec<Name> = sources.iter().map(|(name, _)| segments(name)).collect();
    let modules = sources.iter().map(|(name, code)| (segments(name), module(&segments(name), code, &names)));
    let found = circles(&imports(&modules.collect()));
    assert_eq!(found, [BTreeSet::from([segments("a::inner"), segments("b")])]);
}

fn folders(circle: &BTreeSet<Name>) -> BTreeSet<&str> {
    circle.iter().map(|file| file[0].as_str()).collect()
}

fn modules() -> BTreeMap<Name, Module> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let read = files.iter().map(|file| {
        let place = file.strip_prefix(&root).expect("below src").with_extension("");
        let mut name: Name = place.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        name.pop_if(|last| last == "mod");
        (name, fs::read_to_string(file).expect("a source"))
    });
    let read: Vec<(Name, String)> = read.collect();
    let tests: BTreeSet<Name> = read.iter().flat_map(|(name, code)| test_modules(name, code)).collect();
    let names: Vec<Name> = read.iter().map(|(name, _)| name.clone()).collect();
    let sources =
        read.iter().filter(|(name, _)| !(1..=name.len()).any(|depth| tests.contains(&name[..depth])));
    sources.map(|(name, code)| (name.clone(), module(name, code, &names))).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            collect(&entry, files);
        } else if !entry.ends_with("src/lib.rs") && !entry.ends_with("src/main.rs") {
            files.push(entry);
        }
    }
}

/// The modules that a file declares for tests alone.
fn test_modules(name: &Name, code: &str) -> Vec<Name> {
    let mut in_tests = false;
    let mut found = Vec::new();
    for line in code.lines() {
        // However far its tests are let see it.
        let declared = ["pub(crate) ", "pub(super) ", "pub "].iter().find_map(|seen| line.strip_prefix(seen));
        let declared = declared.unwrap_or(line);
        if let (true, Some(child)) =
            (in_tests, declared.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')))
        {
            found.push(below(name, child));
        }
        in_tests = line == "#[cfg(test)]" || (in_tests && line.starts_with("#["));
    }
    found
}

/// Reads one file, tests and comments left out.
fn module(name: &Name, code: &str, names: &[Name]) -> Module {
    let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: String =
        code.lines().flat_map(|line| [line.split("//").next().unwrap_or_default(), "\n"]).collect();
    let (mut module, mut body) = (Module::default(), String::new());
    for statement in code.split_inclusive(';').filter(|statement| !declares_module(statement)) {
        let Some((before, tree)) = split_use(statement) else {
            body.push_str(statement);
            continue;
        };
        body.push_str(
            before.trim_end_matches("pub").trim_end_matches("pub(super)").trim_end_matches("pub(crate)"),
        );
        for (path, alias) in leaves(tree.trim_end_matches(';'), &[]) {
            let Some(path) = absolute(name, &path, names) else { continue };
            if before.ends_with("pub") || before.ends_with(')') {
                module.passed_on.insert(alias, path);
            } else {
                module.used.push(path);
            }
        }
    }
    let words: BTreeSet<&str> = body.split(|c: char| !is_word(c)).collect();
    let own = module.passed_on.iter().filter(|(alias, _)| words.contains(alias.as_str()));
    let own: Vec<Name> = own.map(|(_, path)| path.clone()).collect();
    let paths = body.split(|c: char| !is_word(c) && c != ':').map(|token| token.trim_matches(':'));
    let paths = paths.filter(|token| token.contains("::")).map(segments);
    module.used.extend(paths.filter_map(|path| absolute(name, &path, names)));
    module.used.extend(own);
    module
}

/// Whether a statement is `mod name;`, which uses no name.
fn declares_module(statement: &str) -> bool {
    let line = statement.trim_end_matches(';').rsplit('\n').next().unwrap_or_default().trim();
    matches!(line.split_whitespace().collect::<Vec<_>>()[..], ["mod", _] | [_, "mod", _])
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// What stands before `use` in a statement, visibility included, and the tree behind it.
fn split_use(statement: &str) -> Option<(&str, &str)> {
    let place = statement.rfind("use ").filter(|place| {
        let line = statement[..*place].rsplit('\n').next().unwrap_or_default().trim();
        line.is_empty() || line.starts_with("pub")
    })?;
    Some((statement[..place].trim_end(), &statement[place + "use ".len()..]))
}

/// The paths of a tree of `use`, each with the name that it brings.
fn leaves(tree: &str, prefix: &[String]) -> Vec<(Name, String)> {
    let mut found = Vec::new();
    let (mut depth, mut begin) = (0, 0);
    for (place, c) in tree.char_indices().chain([(tree.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.extend(leaf(tree[begin..place].trim(), prefix));
                begin = (place + 1).min(tree.len());
            }
            _ => {}
        }
    }
    found
}

fn leaf(branch: &str, prefix: &[String]) -> Vec<(Name, String)> {
    if branch.is_empty() {
        return Vec::new();
    }
    if let Some((head, rest)) = branch.split_once('{') {
        let prefix = [prefix, &segments(head.trim_end_matches("::"))].concat();
        return leaves(rest.trim_end().trim_end_matches('}'), &prefix);
    }
    let (path, alias) = branch.split_once(" as ").unwrap_or((branch, ""));
    let mut path = [prefix, &segments(path.trim())].concat();
    path.pop_if(|last| (last == "self" && !prefix.is_empty()) || last == "*");
    let alias = if alias.is_empty() { path.last().cloned().unwrap_or_default() } else { alias.to_owned() };
    vec![(path, alias)]
}

fn segments(path: &str) -> Name {
    path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn below(name: &[String], child: &str) -> Name {
    [name, &[child.to_owned()]].concat()
}

/// A path as seen from the root; nothing for another crate's.
fn absolute(name: &Name, path: &[String], names: &[Name]) -> Option<Name> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([name, rest].concat()),
        "super" => {
            let ups = path.iter().take_while(|part| *part == "super").count();
            Some([&name[..name.len().checked_sub(ups)?], &path[ups..]].concat())
        }
        child => names.contains(&below(name, child)).then(|| [name, path].concat()),
    }
}

/// The file that a path leads to, through names that are passed on.
fn file_of(path: &[String], modules: &BTreeMap<Name, Module>) -> Option<Name> {
    let depth = (1..=path.len()).rev().find(|depth| modules.contains_key(&path[..*depth]))?;
    let (place, rest) = path.split_at(depth);
    match rest.first().and_then(|name| modules[place].passed_on.get(name)) {
        Some(origin) => file_of(&[origin, &rest[1..]].concat(), modules),
        None => Some(place.to_vec()),
    }
}

fn imports(modules: &BTreeMap<Name, Module>) -> BTreeMap<Name, BTreeSet<Name>> {
    let of = |name: &Name, module: &Module| {
        let files = module.used.iter().filter_map(|path| file_of(path, modules));
        files.filter(|file| file != name).collect()
    };
    modules.iter().map(|(name, module)| (name.clone(), of(name, module))).collect()
}

/// The sets of files each of which leads to all others of its set.
fn circles(imports: &BTreeMap<Name, BTreeSet<Name>>) -> Vec<BTreeSet<Name>> {
    let reached: BTreeMap<&Name, BTreeSet<&Name>> =
        imports.keys().map(|file| (file, reach(file, imports))).collect();
    let mut found: Vec<BTreeSet<Name>> = Vec::new();
    for (file, others) in &reached {
        let circle: BTreeSet<Name> = others
            .iter()
            .filter(|other| reached[**other].contains(*file))
            .map(|other| (*other).clone())
            .collect();
        if circle.len() > 1 && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

fn reach<'a>(file: &'a Name, imports: &'a BTreeMap<Name, BTreeSet<Name>>) -> BTreeSet<&'a Name> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![file]);
    while let Some(file) = next.pop() {
        next.extend(imports[file].iter().filter(|other| reached.insert(*other)));
    }
    reached
}
