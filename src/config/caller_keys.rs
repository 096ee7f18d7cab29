//! The keys of `[callers]`: read, judged, and shown again.
//!
//! Names of callers are an operator's own, so that limits and networks are tables inside one key each. What is wrong in them is
//! told by the whole path, and all of it at once.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use figment::value::{Dict, Value};
use http::{HeaderName, Method};
use ipnet::IpNet;

use super::callers::{CallerLimit, CallerSource, Callers, Cap, Mode, Priority};
use super::key::Key;
use super::named::file;
use super::raw::{Raw, Refused};
use super::{Shield, files, parse};
use crate::classify::fields::Concern;
use crate::guard::fields as guard;
use crate::semantics::caller_name::{self, LONGEST};
use crate::semantics::{fields, request_fields};

const NAME: &str = "a name of 1 to 64 letters, digits and \".\", \"_\", \"-\", \":\", \"/\", \"@\"";
/// What all callers together may be named in a configuration: each is a series in the metrics.
const MOST_NAMES: usize = 200;
const LIMIT_KEYS: &str = "weight, requests_per_minute, part, priority, methods, denied_methods, paths, denied_paths, max_wait, observe";
const DEFAULT_TRUSTED: [&str; 2] = ["127.0.0.0/8", "::1/128"];
/// Parts of names of fields that hold what no log may show: the name of a caller is in every line.
const SECRETS: [&str; 4] = ["key", "token", "secret", "password"];

/// Reads the section, if it is there.
pub(super) fn resolve(raw: &mut Raw, shield: Option<&Shield>) -> Result<Option<Callers>, Refused> {
    let sources = raw.optional(Key::CallersSources, sources);
    let field = raw.text(Key::CallersField, field);
    let trusted = raw.text(Key::CallersTrusted, networks);
    let secret = file(raw, Key::CallersFingerprintSecretFile, files::fingerprint_secret);
    let addresses = addresses(raw);
    let fallback = match raw.table(Key::CallersDefault) {
        Ok(Some(table)) => {
            limit(raw, &At::new(Key::CallersDefault, Key::CallersDefault.as_str()), &table, shield)
        }
        Ok(None) => Ok(CallerLimit::default()),
        Err(refused) => Err(refused),
    };
    let limits = limits(raw, shield);
    let Some(sources) = sources? else {
        let set = [
            Key::CallersAddresses,
            Key::CallersDefault,
            Key::CallersLimits,
            Key::CallersFingerprintSecretFile,
        ];
        return match set.into_iter().find(|key| raw.is_set(*key)) {
            None => Ok(None),
            Some(key) => Err(raw.refuse(Key::CallersSources, None, &format!("a list, since {key} is set"))),
        };
    };
    Ok(Some(Callers {
        sources,
        field: field?,
        trusted: trusted?,
        addresses: addresses?,
        fingerprint_secret_file: secret?,
        fallback: fallback?,
        limits: limits?,
    }))
}

/// Where in a table of tables something stands.
struct At {
    key: Key,
    path: String,
}

impl At {
    fn new(key: Key, path: impl Into<String>) -> Self {
        Self { key, path: path.into() }
    }

    fn below(&self, leaf: &str) -> Self {
        Self { key: self.key, path: format!("{}.{leaf}", self.path) }
    }
}

fn addresses(raw: &mut Raw) -> Result<Vec<(IpNet, String)>, Refused> {
    let Some(table) = raw.table(Key::CallersAddresses)? else { return Ok(Vec::new()) };
    let at = At::new(Key::CallersAddresses, Key::CallersAddresses.as_str());
    let mut found = Ok(Vec::new());
    for (text, value) in &table {
        let at = at.below(&format!("{text:?}"));
        let name = value.as_str().filter(|name| caller_name::is_sound(name.as_bytes()));
        let entry = match (network(text), name) {
            (Some(network), Some(name)) => Ok((network, name.to_owned())),
            (None, _) => Err(raw.refuse_inside(at.key, &at.path, value, "a network such as \"10.1.0.0/16\"")),
            (_, None) => Err(raw.refuse_inside(at.key, &at.path, value, NAME)),
        };
        found = join(found, entry);
    }
    let mut found = found?;
    // The narrowest first: the first that holds an address is the one that counts.
    found.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix_len()));
    Ok(found)
}

fn join<T>(found: Result<Vec<T>, Refused>, one: Result<T, Refused>) -> Result<Vec<T>, Refused> {
    match (found, one) {
        (Ok(mut found), Ok(one)) => {
            found.push(one);
            Ok(found)
        }
        _ => Err(Refused),
    }
}

fn limits(raw: &mut Raw, shield: Option<&Shield>) -> Result<BTreeMap<String, CallerLimit>, Refused> {
    let Some(table) = raw.table(Key::CallersLimits)? else { return Ok(BTreeMap::new()) };
    let all = At::new(Key::CallersLimits, Key::CallersLimits.as_str());
    let mut found = Ok(Vec::new());
    for (name, value) in &table {
        let at = all.below(name);
        let sound = caller_name::is_sound(name.as_bytes()) && name != caller_name::OTHER;
        let entry = match value.as_dict() {
            _ if !sound => {
                let allowed = format!("{NAME}; \"other\" stands for all that are not told apart");
                Err(raw.refuse_inside(at.key, &at.path, value, &allowed))
            }
            None => Err(raw.refuse_inside(at.key, &at.path, value, &format!("a table of {LIMIT_KEYS}"))),
            Some(table) => limit(raw, &at, table, shield).map(|limit| (name.clone(), limit)),
        };
        found = join(found, entry);
    }
    if table.len() > MOST_NAMES {
        return Err(raw.refuse(Key::CallersLimits, None, &format!("at most {MOST_NAMES} names")));
    }
    Ok(found?.into_iter().collect())
}

/// What a table says of one caller.
fn limit(raw: &mut Raw, at: &At, table: &Dict, shield: Option<&Shield>) -> Result<CallerLimit, Refused> {
    let (mut limit, mut sound) = (CallerLimit::default(), true);
    for (leaf, value) in table {
        if let Err(allowed) = member(&mut limit, leaf, value) {
            let at = at.below(leaf);
            raw.refuse_inside(at.key, &at.path, value, allowed);
            sound = false;
        }
    }
    if let (Some(calls), Some(value), Some(shield)) = (limit.cap, table.get("requests_per_minute"), shield)
        && calls.of(shield.requests_per_minute) > shield.requests_per_minute
    {
        let at = at.below("requests_per_minute");
        let most = format!("at most shield.requests_per_minute, which is {}", shield.requests_per_minute);
        raw.refuse_inside(at.key, &at.path, value, &most);
        sound = false;
    }
    if let (Some(value), true) = (table.get("part"), table.contains_key("requests_per_minute")) {
        let at = at.below("part");
        raw.refuse_inside(at.key, &at.path, value, "either this or requests_per_minute");
        sound = false;
    }
    if sound { Ok(limit) } else { Err(Refused) }
}

fn member(limit: &mut CallerLimit, leaf: &str, value: &Value) -> Result<(), &'static str> {
    const WEIGHT: &str = "a whole number from 1 to 1000";
    const METHODS: &str = "a list of methods, such as [\"GET\", \"HEAD\"]";
    const PATHS: &str = "a list of paths that begin with \"/\", without query, escapes or dot segments";
    match leaf {
        "weight" => limit.weight = number(value, 1000).ok_or(WEIGHT)?,
        "requests_per_minute" => {
            limit.cap = Some(Cap::Calls(number(value, 1_000_000).ok_or("a whole number from 1 to 1000000")?));
        }
        "part" => limit.cap = Some(percent(value).ok_or("a part of the limit from \"1%\" to \"100%\"")?),
        "priority" => {
            limit.priority =
                named(Priority::ALL, Priority::as_str, value).ok_or("\"interactive\" or \"background\"")?;
        }
        "methods" => limit.methods = list(value, method).ok_or(METHODS)?,
        "denied_methods" => limit.denied_methods = list(value, method).ok_or(METHODS)?,
        "paths" => limit.paths = list(value, path).ok_or(PATHS)?,
        "denied_paths" => limit.denied_paths = list(value, path).ok_or(PATHS)?,
        "max_wait" => {
            let wait = value.as_str().and_then(parse::duration);
            let wait = wait.filter(|wait| *wait <= Duration::from_secs(60));
            limit.max_wait = Some(wait.ok_or("a duration from 0s (never wait) to 60s, such as \"2s\"")?);
        }
        "observe" => {
            let observes = value.to_bool().ok_or("true or false")?;
            limit.mode = if observes { Mode::Observe } else { Mode::Enforce };
        }
        _ => return Err(LIMIT_KEYS),
    }
    Ok(())
}

fn number(value: &Value, most: u32) -> Option<NonZeroU32> {
    let Value::Num(_, number) = value else { return None };
    let number = number.to_u128().or_else(|| number.to_i128()?.try_into().ok())?;
    NonZeroU32::new(number.try_into().ok()?).filter(|number| number.get() <= most)
}

fn percent(value: &Value) -> Option<Cap> {
    let number: NonZeroU32 = value.as_str()?.strip_suffix('%')?.parse().ok()?;
    (number.get() <= 100).then_some(Cap::Percent(number))
}

fn named<T: Copy>(all: &[T], text: fn(T) -> &'static str, value: &Value) -> Option<T> {
    let given = value.as_str()?;
    all.iter().copied().find(|one| text(*one) == given)
}

/// An array of texts, none of them twice.
fn list<T>(value: &Value, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let Value::Array(_, values) = value else { return None };
    if values.is_empty() {
        return None;
    }
    values.iter().map(|value| value.as_str().and_then(&parse)).collect()
}

fn method(text: &str) -> Option<Method> {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].contains(&text).then(|| text.parse().ok()).flatten()
}

fn path(text: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    let segments = text.strip_prefix('/')?.split('/');
    let sound = text.bytes().all(plain) && text.len() <= 256 && !text.contains("//");
    let dots = segments.into_iter().any(|segment| segment == "." || segment == "..");
    // A slash at the end says nothing: what is below is meant in any case.
    (sound && !dots).then(|| text.trim_end_matches('/').to_owned())
}

fn sources(text: &str) -> Option<Vec<CallerSource>> {
    let mut found = Vec::new();
    for name in text.split(',') {
        let source = CallerSource::ALL.iter().copied().find(|source| source.as_str() == name.trim())?;
        if found.contains(&source) {
            return None;
        }
        found.push(source);
    }
    Some(found)
}

fn field(text: &str) -> Option<HeaderName> {
    let lower = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    // What it means to anybody here is told by their own tables, so that no name can be forgotten. None of them is removed from
    // requests, and none that may choose whose data comes back is believed to say something else.
    let free = !request_fields::is_known(text)
        && guard::Rule::of(text).is_none()
        && Concern::of(text).is_none()
        && fields::goes_upstream(text)
        && !text.split('-').any(|part| SECRETS.contains(&part));
    let name = HeaderName::from_bytes(text.as_bytes()).ok()?;
    (lower && free && text.len() <= LONGEST).then_some(name)
}

fn network(text: &str) -> Option<IpNet> {
    let network: IpNet = text.parse().ok()?;
    // 10.1.2.3/16 is a mistake in one of its halves.
    (network.trunc() == network).then_some(network)
}

/// Networks with commas between them, or `none`.
fn networks(text: &str) -> Option<Vec<IpNet>> {
    if text == "none" {
        return Some(Vec::new());
    }
    text.split(',').map(|text| network(text.trim())).collect()
}

fn networks_text(networks: &[IpNet]) -> String {
    if networks.is_empty() {
        return "none".to_owned();
    }
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The value of a key of the section as a file would give it.
pub(super) fn value(callers: Option<&Callers>, key: Key) -> Option<Value> {
    let field = || callers.map_or("x-caller", |callers| callers.field.as_str());
    Some(match key {
        Key::CallersSources => {
            let names: Vec<_> = callers?.sources.iter().map(|source| source.as_str()).collect();
            names.join(", ").into()
        }
        Key::CallersField => field().into(),
        Key::CallersTrusted => match callers {
            Some(callers) => networks_text(&callers.trusted).into(),
            None => DEFAULT_TRUSTED.join(", ").into(),
        },
        Key::CallersFingerprintSecretFile => {
            callers?.fingerprint_secret_file.as_ref()?.display().to_string().into()
        }
        Key::CallersAddresses => {
            let addresses = &callers.filter(|callers| !callers.addresses.is_empty())?.addresses;
            let rows =
                addresses.iter().map(|(network, name)| (network.to_string(), Value::from(name.clone())));
            Value::from(rows.collect::<Dict>())
        }
        Key::CallersDefault => Value::from(limit_value(
            &callers.filter(|callers| callers.fallback != CallerLimit::default())?.fallback,
        )),
        Key::CallersLimits => {
            let limits = &callers.filter(|callers| !callers.limits.is_empty())?.limits;
            let rows = limits.iter().map(|(name, limit)| (name.clone(), Value::from(limit_value(limit))));
            Value::from(rows.collect::<Dict>())
        }
        _ => return None,
    })
}

fn limit_value(limit: &CallerLimit) -> Dict {
    let texts = |texts: Vec<String>| Value::from(texts);
    let methods = |methods: &[Method]| texts(methods.iter().map(ToString::to_string).collect());
    let mut table = Dict::new();
    table.insert("weight".to_owned(), limit.weight.get().into());
    match limit.cap {
        None => {}
        Some(Cap::Calls(calls)) => {
            table.insert("requests_per_minute".to_owned(), calls.get().into());
        }
        Some(Cap::Percent(percent)) => {
            table.insert("part".to_owned(), format!("{percent}%").into());
        }
    }
    table.insert("priority".to_owned(), limit.priority.as_str().into());
    for (leaf, list) in [("methods", &limit.methods), ("denied_methods", &limit.denied_methods)] {
        if !list.is_empty() {
            table.insert(leaf.to_owned(), methods(list));
        }
    }
    // The root is kept without its slash, as every path is.
    let given = |path: &String| if path.is_empty() { "/".to_owned() } else { path.clone() };
    for (leaf, list) in [("paths", &limit.paths), ("denied_paths", &limit.denied_paths)] {
        if !list.is_empty() {
            table.insert(leaf.to_owned(), texts(list.iter().map(given).collect()));
        }
    }
    if let Some(wait) = limit.max_wait {
        table.insert("max_wait".to_owned(), parse::duration_text(wait).into());
    }
    if limit.mode == Mode::Observe {
        table.insert("observe".to_owned(), true.into());
    }
    table
}
