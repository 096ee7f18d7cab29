//! The keys of `[shared]`: read, judged, and shown again.
//!
//! The section is there if `shared.url` is. Its other keys have their defaults all the same, so that they can be shown; but
//! one that was set to anything else, where there is no URL, is a fleet that somebody believes to have.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::value::Value;

use super::key::Key;
use super::named::{file, pair};
use super::raw::{Raw, Refused};
use super::store_url::{Scheme, Urls, urls, urls_text};
use super::{ClientCertificate, Shared, StoreAddress, StoreMode, StoreSettings, StoreTransport, WhenLost};
use super::{files, parse};

/// A call that takes longer is not worth its wait; a second is more than anybody waits for a look-up.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(1);
/// A beat is sent every quarter of it, and a write waits for one that a dead replica holds.
const LEASE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(10);
/// A beat and one that follows a lost one must come back inside a lease.
const TIMEOUTS_A_LEASE: u32 = 4;
const ALONE_TTL: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);
const LONGEST_NAMESPACE: usize = 64;

/// Reads the section, if it is there.
pub(super) fn resolve(raw: &mut Raw) -> Result<Option<Shared>, Refused> {
    let store = store(raw);
    let allow_plaintext = raw.flag(Key::SharedAllowPlaintext);
    if let (Ok(Some(store)), Ok(false)) = (&store, allow_plaintext)
        && is_exposed(store)
    {
        raw.refuse(
            Key::SharedUrl,
            Some("would send password and proofs in plaintext"),
            "rediss://, or redis:// on a loopback host, or any with shared.allow_plaintext = true",
        );
    }
    let secret_file = file(raw, Key::SharedSecretFile, files::shared_secrets);
    let namespace = raw.text(Key::SharedNamespace, namespace);
    let lease = lease(raw, store.as_ref().ok().and_then(Option::as_ref));
    let alone_ttl = raw.duration(Key::SharedAloneTtl, ALONE_TTL);
    let share_proofs = raw.flag(Key::SharedShareProofs);
    let tell_all_writes = raw.flag(Key::SharedTellAllWrites);
    let when_lost = raw.text(Key::SharedWhenLost, when_lost);
    let required = raw.flag(Key::SharedRequired);
    if let (true, Ok(None)) = (raw.is_set(Key::SharedUrl), &secret_file) {
        return Err(raw.refuse(Key::SharedSecretFile, None, Key::SharedSecretFile.allowed()));
    }
    let (Some(store), Some(secret_file)) = (store?, secret_file?) else { return Ok(None) };
    Ok(Some(Shared {
        store,
        allow_plaintext: allow_plaintext?,
        secret_file,
        namespace: namespace?,
        lease: lease?,
        alone_ttl: alone_ttl?,
        share_proofs: share_proofs?,
        tell_all_writes: tell_all_writes?,
        when_lost: when_lost?,
        required: required?,
    }))
}

fn store(raw: &mut Raw) -> Result<Option<StoreSettings>, Refused> {
    let urls = raw.optional(Key::SharedUrl, urls);
    let mode = mode(raw);
    let username = raw.optional(Key::SharedUsername, visible);
    let password_file = file(raw, Key::SharedPasswordFile, files::password);
    let ca_file = file(raw, Key::SharedCaFile, files::roots);
    let client = pair(raw, Key::SharedClientCertificate, Key::SharedClientKey);
    let timeout = raw.duration(Key::SharedTimeout, TIMEOUT);
    if let (Ok(Some(_)), Ok(None)) = (&username, &password_file) {
        raw.refuse(Key::SharedUsername, Some("has no password"), "only together with shared.password_file");
    }
    let Some(urls) = urls? else {
        return match set_without_url(raw) {
            None => Ok(None),
            Some(key) => Err(raw.refuse(Key::SharedUrl, None, &format!("a URL, since {key} is set"))),
        };
    };
    let mode = mode.and_then(|mode| fitting(raw, mode, &urls));
    let client = client.map(|pair| pair.map(|(certificate, key)| ClientCertificate { certificate, key }));
    let transport = match urls.scheme {
        Scheme::Rediss => StoreTransport::Tls { ca_file: ca_file?, client: client? },
        Scheme::Redis => {
            let unused =
                [(Key::SharedCaFile, ca_file?.is_some()), (Key::SharedClientCertificate, client?.is_some())];
            for (key, _) in unused.into_iter().filter(|(_, set)| *set) {
                raw.refuse(key, Some("has no use with redis://"), "only together with rediss://");
            }
            StoreTransport::Plain
        }
    };
    Ok(Some(StoreSettings {
        mode: mode?,
        addresses: urls.addresses,
        database: urls.database.unwrap_or_default(),
        transport,
        username: username?,
        password_file: password_file?,
        timeout: timeout?,
    }))
}

fn mode(raw: &mut Raw) -> Result<StoreMode, Refused> {
    let name = raw.optional(Key::SharedMasterName, visible);
    let mode = raw.text(Key::SharedMode, mode_of)?;
    match (mode, name?) {
        (StoreMode::Sentinel { .. }, Some(master_name)) => Ok(StoreMode::Sentinel { master_name }),
        (StoreMode::Sentinel { .. }, None) => {
            Err(raw.refuse(Key::SharedMasterName, None, "the name that the Sentinels know the primary by"))
        }
        (_, Some(_)) => Err(raw.refuse(
            Key::SharedMasterName,
            Some("has no use without Sentinels"),
            "only together with shared.mode = \"sentinel\"",
        )),
        (mode, None) => Ok(mode),
    }
}

/// A mode, if the URLs are what it needs.
fn fitting(raw: &mut Raw, mode: StoreMode, urls: &Urls) -> Result<StoreMode, Refused> {
    let problem = match mode {
        StoreMode::Standalone if urls.addresses.len() > 1 => {
            Some(("names several servers", "one URL, or shared.mode = \"sentinel\" or \"cluster\""))
        }
        StoreMode::Cluster if urls.database.is_some_and(|database| database > 0) => {
            Some(("names a database", "URLs without one: a Cluster has none but 0"))
        }
        _ => None,
    };
    match problem {
        Some((problem, allowed)) => Err(raw.refuse(Key::SharedUrl, Some(problem), allowed)),
        None => Ok(mode),
    }
}

fn lease(raw: &mut Raw, store: Option<&StoreSettings>) -> Result<Duration, Refused> {
    let lease = raw.duration(Key::SharedLease, LEASE)?;
    match store {
        Some(store) if lease < store.timeout.saturating_mul(TIMEOUTS_A_LEASE) => {
            let timeout = parse::duration_text(store.timeout);
            let allowed = format!("at least {TIMEOUTS_A_LEASE} times shared.timeout, which is \"{timeout}\"");
            Err(raw.refuse(Key::SharedLease, None, &allowed))
        }
        _ => Ok(lease),
    }
}

/// A key that was set to anything but its default, and has no effect without a URL.
fn set_without_url(raw: &Raw) -> Option<Key> {
    let mut keys = Key::ALL.iter().copied().filter(|key| key.section() == "shared");
    keys.find(|key| raw.differs(*key, value(None, *key).as_ref()))
}

fn is_exposed(store: &StoreSettings) -> bool {
    store.transport == StoreTransport::Plain
        && !store.addresses.iter().all(|address| parse::is_loopback_host(&address.host))
}

fn visible(text: &str) -> Option<String> {
    let sound = (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    sound.then(|| text.to_owned())
}

/// What means nothing to patterns and hash tags.
fn namespace(text: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let sound = (1..=LONGEST_NAMESPACE).contains(&text.len()) && text.bytes().all(is_plain);
    sound.then(|| text.to_owned())
}

/// The kind of a mode; the name is another key's.
fn mode_of(text: &str) -> Option<StoreMode> {
    match text {
        "standalone" => Some(StoreMode::Standalone),
        "sentinel" => Some(StoreMode::Sentinel { master_name: String::new() }),
        "cluster" => Some(StoreMode::Cluster),
        _ => None,
    }
}

const fn mode_text(mode: &StoreMode) -> &'static str {
    match mode {
        StoreMode::Standalone => "standalone",
        StoreMode::Sentinel { .. } => "sentinel",
        StoreMode::Cluster => "cluster",
    }
}

fn when_lost(text: &str) -> Option<WhenLost> {
    [WhenLost::Alone, WhenLost::RefuseWrites].into_iter().find(|what| when_lost_text(*what) == text)
}

const fn when_lost_text(what: WhenLost) -> &'static str {
    match what {
        WhenLost::Alone => "alone",
        WhenLost::RefuseWrites => "refuse_writes",
    }
}

/// The value of a key of the section as a file would give it: the default where the section is absent.
pub(super) fn value(shared: Option<&Shared>, key: Key) -> Option<Value> {
    let defaults = Shared::at(StoreAddress::new("", 0), PathBuf::new());
    let shown = shared.unwrap_or(&defaults);
    let store = shared.map(|shared| &shared.store);
    let tls = store.and_then(|store| match &store.transport {
        StoreTransport::Plain => None,
        StoreTransport::Tls { ca_file, client } => Some((ca_file.as_deref(), client.as_ref())),
    });
    let client = || tls.and_then(|(_, client)| client);
    Some(match key {
        Key::SharedUrl => urls_text(store?).into(),
        Key::SharedMode => mode_text(&shown.store.mode).into(),
        Key::SharedMasterName => match &store?.mode {
            StoreMode::Sentinel { master_name } => master_name.clone().into(),
            StoreMode::Standalone | StoreMode::Cluster => return None,
        },
        Key::SharedUsername => store?.username.clone()?.into(),
        Key::SharedPasswordFile => path(store?.password_file.as_deref()?),
        Key::SharedCaFile => path(tls?.0?),
        Key::SharedClientCertificate => path(&client()?.certificate),
        Key::SharedClientKey => path(&client()?.key),
        Key::SharedAllowPlaintext => shown.allow_plaintext.into(),
        Key::SharedSecretFile => path(&shared?.secret_file),
        Key::SharedNamespace => shown.namespace.clone().into(),
        Key::SharedTimeout => parse::duration_text(shown.store.timeout).into(),
        Key::SharedLease => parse::duration_text(shown.lease).into(),
        Key::SharedAloneTtl => parse::duration_text(shown.alone_ttl).into(),
        Key::SharedShareProofs => shown.share_proofs.into(),
        Key::SharedTellAllWrites => shown.tell_all_writes.into(),
        Key::SharedWhenLost => when_lost_text(shown.when_lost).into(),
        Key::SharedRequired => shown.required.into(),
        _ => return None,
    })
}

fn path(path: &Path) -> Value {
    path.display().to_string().into()
}
