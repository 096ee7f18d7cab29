//! [`Raw`]: the merged layers, one value a key, each with where it came from; and the list of faults.
//!
//! figment decides which layer wins and remembers which one did. Nothing here knows a bound: `resolve` asks for
//! each key with the check that it needs, and every refusal is noted, so that all of them are told at once.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::value::{Dict, Map, Value};
use figment::{Error, Figment, Metadata, Profile, Provider, Source};

use super::fault::{Fault, Origin};
use super::key::Key;
use super::parse;

/// The value was refused, and the fault is on the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused;

/// Whether the files that the configuration names are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Values alone.
    Values,
    /// Values, and what the named files hold.
    Files,
}

/// One value of one layer.
pub(super) struct Setting {
    pub(super) key: Key,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

impl Provider for Setting {
    fn metadata(&self) -> Metadata {
        match &self.origin {
            Origin::Default => Metadata::named("default"),
            Origin::File(path) => Metadata::from("file", Source::File(path.clone())),
            Origin::Variable(name) => Metadata::from("variable", Source::Custom(name.clone())),
        }
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let nested = figment::util::nest(self.key.as_str(), self.value.clone());
        let dict = nested.into_dict().expect("every key stands in a section");
        Ok(Profile::Default.collect(dict))
    }
}

/// A value as it was given. Variables hold text alone, so theirs may stand for a number or a flag.
pub(super) struct Given {
    value: Value,
    origin: Origin,
}

impl Given {
    fn text(&self) -> Option<&str> {
        self.value.as_str()
    }

    fn whole_number(&self) -> Option<u64> {
        match &self.value {
            Value::String(_, text) if self.is_variable() => {
                text.parse().ok().or_else(|| whole(text.parse().ok()?))
            }
            Value::Num(_, number) => match number.to_u128().or_else(|| number.to_i128()?.try_into().ok()) {
                Some(number) => number.try_into().ok(),
                None => whole(number.to_f64()?),
            },
            _ => None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "what is too large is refused anyway")]
    fn number(&self) -> Option<f64> {
        match &self.value {
            Value::String(_, text) if self.is_variable() => text.parse().ok(),
            Value::Num(_, number) => {
                let whole = || number.to_i128().map(|whole| whole as f64);
                number.to_f64().or_else(whole).or_else(|| number.to_u128().map(|whole| whole as f64))
            }
            _ => None,
        }
    }

    fn flag(&self) -> Option<bool> {
        match &self.value {
            Value::String(_, text) if self.is_variable() => text.parse().ok(),
            value => value.to_bool(),
        }
    }

    fn is_variable(&self) -> bool {
        matches!(self.origin, Origin::Variable(_))
    }
}

/// A whole number that is written like another one, as templates do: `3.0`, `1e6`. Beyond 2^53 not every one is exact.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole, and in between")]
fn whole(number: f64) -> Option<u64> {
    let is_exact = number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number);
    is_exact.then_some(number as u64)
}

/// The merged layers, and what was found wrong with them.
pub(super) struct Raw {
    layers: Figment,
    /// What the layers come to. figment goes through all of them for each value that it is asked for.
    merged: Option<Value>,
    depth: Depth,
    faults: Vec<Fault>,
}

impl Raw {
    /// Merges `settings`, later ones over earlier ones; `faults` are those that reading the layers found.
    pub(super) fn new(settings: Vec<Setting>, faults: Vec<Fault>, depth: Depth) -> Self {
        let layers = settings.into_iter().fold(Figment::new(), Figment::merge);
        let merged = layers.find_value("").ok();
        Self { layers, merged, depth, faults }
    }

    /// Where the value of `key` came from; the default where it has none.
    pub(super) fn origin(&self, key: Key) -> Origin {
        self.given(key).map_or(Origin::Default, |given| given.origin)
    }

    /// Whether `key` has a value.
    pub(super) fn is_set(&self, key: Key) -> bool {
        self.given(key).is_some()
    }

    /// Whether the URL at `key` has this scheme, in either case (RFC 3986 §3.1), whatever else is wrong with it.
    pub(super) fn has_scheme(&self, key: Key, scheme: &str) -> bool {
        self.given(key).is_some_and(|given| given.text().is_some_and(|text| parse::has_scheme(text, scheme)))
    }

    /// Whether the value of `key` reads otherwise than this one. A variable holds text, whatever stands for.
    pub(super) fn differs(&self, key: Key, other: Option<&Value>) -> bool {
        let text = |value: &Value| show(key, value).trim_matches('"').to_owned();
        self.given(key).map(|given| text(&given.value)) != other.map(text)
    }

    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    /// The value of `key` as `parse` reads its text.
    pub(super) fn text<T>(&mut self, key: Key, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Refused> {
        self.read(key, |given| given.text().and_then(parse))
    }

    pub(super) fn duration(
        &mut self,
        key: Key,
        allowed: RangeInclusive<Duration>,
    ) -> Result<Duration, Refused> {
        self.text(key, |text| parse::duration(text).filter(|duration| allowed.contains(duration)))
    }

    pub(super) fn count(&mut self, key: Key, allowed: RangeInclusive<usize>) -> Result<usize, Refused> {
        self.read(key, |given| {
            given.whole_number()?.try_into().ok().filter(|number| allowed.contains(number))
        })
    }

    /// A whole number from 1 to `most`.
    pub(super) fn positive(&mut self, key: Key, most: u32) -> Result<NonZeroU32, Refused> {
        self.read(key, |given| {
            let number = given.whole_number()?.try_into().ok()?;
            NonZeroU32::new(number).filter(|number| number.get() <= most)
        })
    }

    pub(super) fn flag(&mut self, key: Key) -> Result<bool, Refused> {
        self.read(key, Given::flag)
    }

    /// A number from 0 to 1.
    pub(super) fn part(&mut self, key: Key) -> Result<f64, Refused> {
        self.read(key, |given| given.number().filter(|number| (0.0..=1.0).contains(number)))
    }

    /// The path at `key`, if one is set.
    pub(super) fn path(&mut self, key: Key) -> Result<Option<PathBuf>, Refused> {
        if self.given(key).is_none() {
            return Ok(None);
        }
        self.text(key, |text| (!text.is_empty()).then(|| PathBuf::from(text))).map(Some)
    }

    /// What is at `key`, if anything is set.
    pub(super) fn optional<T>(
        &mut self,
        key: Key,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Refused> {
        if self.given(key).is_none() {
            return Ok(None);
        }
        self.text(key, parse).map(Some)
    }

    /// Opens the file at `key` with `read`; `None` where files are not opened.
    pub(super) fn open<T>(
        &mut self,
        key: Key,
        path: &Path,
        read: impl FnOnce(&Path) -> Result<T, String>,
    ) -> Result<Option<T>, Refused> {
        match self.depth {
            Depth::Values => Ok(None),
            Depth::Files => match read(path) {
                Ok(content) => Ok(Some(content)),
                Err(problem) => Err(self.refuse(key, Some(&problem), key.allowed())),
            },
        }
    }

    /// The table at `key`, if one is set.
    pub(super) fn table(&mut self, key: Key) -> Result<Option<Dict>, Refused> {
        match self.given(key).map(|given| given.value) {
            None => Ok(None),
            Some(Value::Dict(_, table)) => Ok(Some(table)),
            Some(_) => Err(self.refuse(key, None, key.allowed())),
        }
    }

    /// Notes that a value inside the table at `key` is refused, which stands at this path.
    pub(super) fn refuse_inside(&mut self, key: Key, path: &str, value: &Value, allowed: &str) -> Refused {
        let origin = self.layers.get_metadata(value.tag()).and_then(|metadata| metadata.source.clone());
        self.faults.push(Fault {
            key: path.to_owned(),
            origin: origin_of(origin),
            given: show(key, value),
            allowed: allowed.to_owned(),
        });
        Refused
    }

    /// Notes that the value of `key` is refused: because of `problem`, where the value itself does not show why.
    pub(super) fn refuse(&mut self, key: Key, problem: Option<&str>, allowed: &str) -> Refused {
        let given = self.given(key);
        let shown = given.as_ref().map_or_else(|| "nothing".to_owned(), |given| show(key, &given.value));
        self.faults.push(Fault {
            key: key.as_str().to_owned(),
            origin: given.map_or(Origin::Default, |given| given.origin),
            given: problem.map_or_else(|| shown.clone(), |problem| format!("{shown} {problem}")),
            allowed: allowed.to_owned(),
        });
        Refused
    }

    fn read<T>(&mut self, key: Key, read: impl FnOnce(&Given) -> Option<T>) -> Result<T, Refused> {
        let value = self.given(key).as_ref().and_then(read);
        value.ok_or_else(|| self.refuse(key, None, key.allowed()))
    }

    fn given(&self, key: Key) -> Option<Given> {
        let value = self.merged.as_ref()?.find_ref(key.as_str())?.clone();
        let source = self.layers.get_metadata(value.tag()).and_then(|metadata| metadata.source.clone());
        Some(Given { value, origin: origin_of(source) })
    }
}

fn origin_of(source: Option<Source>) -> Origin {
    match source {
        Some(Source::File(path)) => Origin::File(path),
        Some(Source::Custom(name)) => Origin::Variable(name),
        _ => Origin::Default,
    }
}

/// A value in the words of a fault or of the report; secrets as `***`.
pub(super) fn show(key: Key, value: &Value) -> String {
    match value {
        _ if key.is_secret() => "***".to_owned(),
        // A URL with user information or a query is refused, and either may hold a secret.
        Value::String(_, text)
            if matches!(
                key,
                Key::UpstreamUrl | Key::UpstreamProxy | Key::TelemetryOtlpEndpoint | Key::SharedUrl
            ) && text.contains(['@', '?']) =>
        {
            "***".to_owned()
        }
        Value::String(_, text) => serde_json::Value::from(text.as_str()).to_string(),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) => match (number.to_u128(), number.to_i128(), number.to_f64()) {
            (Some(number), _, _) => number.to_string(),
            (_, Some(number), _) => number.to_string(),
            (_, _, number) => number.map_or_else(|| "a number".to_owned(), |number| number.to_string()),
        },
        Value::Dict(_, table) if is_table(key) => inline_table(key, table),
        Value::Array(_, values) if is_table(key) => {
            format!("[{}]", values.iter().map(|value| show(key, value)).collect::<Vec<_>>().join(", "))
        }
        Value::Dict(..) => "a table".to_owned(),
        Value::Array(..) => "an array".to_owned(),
        Value::Char(..) | Value::Empty(..) => "nothing".to_owned(),
    }
}

/// Whether the value of a key is a table whose names are the operator's own.
fn is_table(key: Key) -> bool {
    matches!(key, Key::CallersAddresses | Key::CallersDefault | Key::CallersLimits)
}

fn inline_table(key: Key, table: &Dict) -> String {
    let bare = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let name = |name: &str| if bare(name) { name.to_owned() } else { format!("{name:?}") };
    let rows = table.iter().map(|(leaf, value)| format!("{} = {}", name(leaf), show(key, value)));
    format!("{{ {} }}", rows.collect::<Vec<_>>().join(", "))
}
