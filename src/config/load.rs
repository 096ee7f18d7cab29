//! Loading: defaults, then files, then the environment, with every fault of all of them at once.

use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};
use figment::{Profile, Provider};

use super::fault::{Fault, Origin};
use super::input::Inputs;
use super::key::{self, Key, PREFIX};
use super::raw::{Depth, Raw, Setting};
use super::report::{self, Loaded};
use super::{Config, resolve, standard};

/// Reads the configuration: built-in defaults, over them `files` in order, over them the variables of `environment`
/// that are named `INSTANTLY_PROXY_<SECTION>__<KEY>`. The files that it names (certificates, token) are read too.
///
/// # Errors
///
/// Every fault there is: unknown keys, values out of bounds, dangerous combinations, unreadable files.
pub fn load(
    files: &[PathBuf],
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, Vec<Fault>> {
    assemble(files, environment, Depth::Files, &Inputs::default())
}

/// The same while `earlier` holds: what a file of those gave must be there to be read again. A pipe that was read, and a
/// file that is empty all at once, say nothing, and nothing would be all defaults.
///
/// # Errors
///
/// As [`load()`], and where an input has gone.
pub fn load_again(
    files: &[PathBuf],
    environment: impl Iterator<Item = (String, String)>,
    earlier: &Inputs,
) -> Result<Loaded, Vec<Fault>> {
    assemble(files, environment, Depth::Files, earlier)
}

/// The same without opening the files that the configuration names: for a command that talks to a running proxy, which
/// must not fail while a certificate is being exchanged.
///
/// # Errors
///
/// As [`load()`], but for the named files.
pub fn load_values(
    files: &[PathBuf],
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, Vec<Fault>> {
    assemble(files, environment, Depth::Values, &Inputs::default())
}

/// The process's environment. Bytes that are no UTF-8 become replacement characters, which no value may hold.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

fn assemble(
    files: &[PathBuf],
    environment: impl Iterator<Item = (String, String)>,
    depth: Depth,
    earlier: &Inputs,
) -> Result<Loaded, Vec<Fault>> {
    let mut layers = Layers::default();
    layers.add_defaults();
    let environment: Vec<_> = environment.collect();
    layers.settings.extend(standard::settings(&environment));
    let passed_over = standard::passed_over(&environment);
    for file in files {
        layers.add_file(file, earlier);
    }
    for (name, value) in environment {
        layers.add_variable(&name, value);
    }
    let Layers { mut settings, faults, ignored, inputs } = layers;
    standard::drop_idle(&mut settings);
    let mut raw = Raw::new(settings, faults, depth);
    let config = resolve::config(&mut raw);
    let origins = Key::ALL.iter().map(|key| raw.origin(*key)).collect();
    match (config, raw.into_faults()) {
        (Ok(config), faults) if faults.is_empty() => {
            let loaded = Loaded::new(config, origins, ignored, inputs);
            let is_asked = loaded.config.upstream.proxy.is_some()
                && standard::is_of_others(loaded.origin(Key::UpstreamNoProxy));
            Ok(if is_asked { loaded.passing_over(passed_over) } else { loaded })
        }
        (_, faults) => Err(faults),
    }
}

/// What the layers hold, lowest first, and what in them is no setting.
#[derive(Default)]
struct Layers {
    settings: Vec<Setting>,
    faults: Vec<Fault>,
    ignored: Vec<String>,
    inputs: Inputs,
}

impl Layers {
    fn add_defaults(&mut self) {
        let defaults = Config::default();
        self.settings.extend(Key::ALL.iter().filter_map(|key| {
            report::value(&defaults, *key).map(|value| Setting { key: *key, value, origin: Origin::Default })
        }));
    }

    fn add_file(&mut self, path: &Path, earlier: &Inputs) {
        let origin = Origin::File(path.to_owned());
        let table = earlier.read(path).and_then(|text| {
            self.inputs.note(path, &text);
            table_of(&text)
        });
        match table {
            Ok(table) => self.add_table("", table, &origin),
            Err(given) => self.faults.push(Fault {
                key: String::new(),
                origin,
                given,
                allowed: "a readable file in TOML".to_owned(),
            }),
        }
    }

    fn add_table(&mut self, section: &str, table: Dict, origin: &Origin) {
        for (leaf, value) in table {
            let name = match section {
                "" => quoted(&leaf),
                _ => format!("{section}.{}", quoted(&leaf)),
            };
            match (Key::named(&name), value) {
                (Some(key), value) => self.settings.push(Setting { key, value, origin: origin.clone() }),
                (None, Value::Dict(_, table)) if key::is_section(&name) => {
                    self.add_table(&name, table, origin)
                }
                (None, _) if key::is_section(&name) => self.faults.push(Fault {
                    given: "a value where a table is wanted".to_owned(),
                    allowed: format!("a table [{name}] of {}", keys_of(&name)),
                    key: name,
                    origin: origin.clone(),
                }),
                (None, Value::Dict(..)) => self.faults.push(unknown_table(name, origin.clone())),
                (None, _) => self.faults.push(unknown(name, origin.clone())),
            }
        }
    }

    fn add_variable(&mut self, name: &str, value: String) {
        let Some(rest) = name.strip_prefix(PREFIX) else { return };
        let origin = Origin::Variable(name.to_owned());
        match Key::of_variable(name) {
            // That is how compose files and the like leave something out.
            Some(key) if value.is_empty() && report::value(&Config::default(), key).is_none() => {}
            Some(key) => self.settings.push(Setting { key, value: value.into(), origin }),
            None if is_service_link(rest, &value) => {}
            None if rest.contains("__") => {
                self.faults.push(unknown(rest.replace("__", ".").to_ascii_lowercase(), origin));
            }
            None => match Key::run_together(name) {
                Some(key) => self.faults.push(Fault {
                    key: key.to_string(),
                    origin,
                    given: "one underscore where two stand between a section and its key".to_owned(),
                    allowed: key.variable(),
                }),
                None => self.ignored.push(name.to_owned()),
            },
        }
    }
}

/// A file's text as TOML, or what is wrong with it.
fn table_of(text: &str) -> Result<Dict, String> {
    match Toml::string(text).data() {
        Ok(mut profiles) => Ok(profiles.remove(&Profile::Default).unwrap_or_default()),
        Err(fault) => Err(match fault.kind {
            figment::error::Kind::Message(message) => without_excerpt(&message),
            kind => kind.to_string(),
        }),
    }
}

/// A parser's message without the lines that quote the file: a token's file given by mistake must not be shown.
fn without_excerpt(message: &str) -> String {
    let quotes = |line: &str| {
        line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().starts_with('|')
    };
    let lines: Vec<_> =
        message.lines().map(str::trim).filter(|line| !line.is_empty() && !quotes(line)).collect();
    lines.join("; ")
}

fn unknown(name: String, origin: Origin) -> Fault {
    let spelling = |key: Key| match origin {
        Origin::Variable(_) => key.variable(),
        _ => key.to_string(),
    };
    let hint = Key::near(&name).map(spelling).or_else(|| in_brackets(key::section_near(&name)?));
    Fault { given: "unknown key".to_owned(), allowed: known(&name) + &meant(hint), key: name, origin }
}

fn unknown_table(name: String, origin: Origin) -> Fault {
    let hint = key::section_near(&name).and_then(in_brackets);
    Fault { given: "unknown table".to_owned(), allowed: known(&name) + &meant(hint), key: name, origin }
}

fn in_brackets(section: &str) -> Option<String> {
    Some(format!("[{section}]"))
}

fn meant(hint: Option<String>) -> String {
    hint.map_or_else(String::new, |hint| format!("; did you mean {hint}?"))
}

/// What stands where an unknown name does.
fn known(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((section, _)) if key::is_section(section) => format!("in [{section}], {}", keys_of(section)),
        _ => {
            let sections: Vec<_> = key::sections().map(|section| format!("[{section}]")).collect();
            format!("the keys of {}", sections.join(", "))
        }
    }
}

/// The keys and tables of keys right below a section.
fn keys_of(section: &str) -> String {
    let below = |key: &Key| key.as_str().strip_prefix(section)?.strip_prefix('.')?.split('.').next();
    let mut names: Vec<_> = Key::ALL.iter().filter_map(below).collect();
    names.dedup();
    names.join(", ")
}

/// A TOML key as it must be written: one with a dot in it is not a path.
fn quoted(leaf: &str) -> String {
    let bare =
        !leaf.is_empty() && leaf.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if bare { leaf.to_owned() } else { format!("{leaf:?}") }
}

/// Whether a variable is one of those that Kubernetes sets for every service of a namespace: here for services whose
/// names begin with `instantly-proxy`. A name may have two dashes in a row, which look like the end of a section.
fn is_service_link(rest: &str, value: &str) -> bool {
    let parts: Vec<_> = rest.split('_').collect();
    let protocol = |part: &str| matches!(part, "TCP" | "UDP" | "SCTP");
    let port = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    // With two underscores it may as well be a key that does not exist, such as LISTEN__PORT.
    (parts.last() == Some(&"PORT") && (!rest.contains("__") || value.contains("://")))
        || parts.windows(2).any(|pair| matches!(pair, ["SERVICE", "HOST" | "PORT"]))
        || parts.windows(3).any(|three| three[0] == "PORT" && port(three[1]) && protocol(three[2]))
}
