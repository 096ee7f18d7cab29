//! [`Identity`]: which service sends a request, told once from what it brings. It says who pays and who waits, and never what
//! may be read: that is the credential's.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use http::Method;
use uuid::Uuid;

use super::caller_key::CallerKey;
use super::figures::Figure;
use super::row::Row;
use super::rules::{CallerRules, Denied, Limit};
use crate::caller::credential::AuthorizationDigest;
use crate::closed_enum::closed_enum;
use crate::config::{CallerSource, Mode, Priority};
use crate::lock::Mutex;
use crate::logging::Who;
use crate::outcome::Outcome;
use crate::semantics::caller_name;
use crate::shield::share::{Share, Urgency};

/// Who sends a request, as it is counted and as it takes turns. It is of one connection.
#[derive(Debug)]
pub struct Identity {
    /// The caller.
    pub caller: Arc<Row>,
    /// Its key.
    pub credential: Arc<Row>,
    /// What it may have.
    pub limit: Arc<Limit>,
    rules: Arc<CallerRules>,
    /// What it said of itself, and was not believed.
    pub(super) ignored: Option<Ignored>,
    /// As lines of the log say it, with the first organization that was known of its key.
    who: OnceLock<Who>,
}

closed_enum! {
    /// Why what a request or a certificate says of its caller does not count.
    pub enum Ignored {
        /// The field came from a network that is not trusted.
        Untrusted = "untrusted",
        /// The field was sent more than once.
        Repeated = "repeated",
        /// The field holds what is no name.
        Malformed = "malformed",
        /// The certificate's name is none, or too long.
        Certificate = "certificate",
    }
}

/// The field that names callers, in one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// It is not there, or nobody asks for it.
    Absent,
    /// It is there once.
    Once(&'a [u8]),
    /// It is there more than once.
    Repeated,
}

/// What a request brings that tells its caller.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Where it comes from.
    pub peer: IpAddr,
    /// The name in its verified certificate.
    pub certificate: Option<&'a str>,
    /// The field that names callers.
    pub field: Field<'a>,
    /// Stands for its key, and the `Authorization` value itself.
    pub key: Option<(AuthorizationDigest, &'a [u8])>,
}

impl Evidence<'_> {
    fn digest(&self) -> Option<AuthorizationDigest> {
        self.key.map(|(digest, _)| digest)
    }
}

/// What of a connection's evidence may change from one plain read to the next.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The field that names callers.
    pub field: Field<'a>,
    /// Stands for its key.
    pub key: AuthorizationDigest,
}

/// Who sent the last request of a connection: nearly always who sends the next.
#[derive(Debug, Default)]
pub struct Memo(Mutex<Option<Known>>);

/// Who sent the last plain read of a connection, beside the connection's own state: neither a lock nor a count of references is in
/// the way of the next. Looked at anew each second, so that an active row counts as seen, and one that has lost its place is
/// given up.
#[derive(Debug, Default)]
pub struct Recent(Option<Box<InSecond>>);

#[derive(Debug)]
struct InSecond {
    known: Known,
    second: u64,
}

#[derive(Debug)]
struct Known {
    identity: Arc<Identity>,
    field: Remembered,
    key: Option<AuthorizationDigest>,
}

/// A field as it was seen.
#[derive(Debug)]
enum Remembered {
    Absent,
    Once(Box<[u8]>),
    Repeated,
    /// No name: what is kept for a connection has bounds.
    TooLong,
}

impl Remembered {
    fn is(&self, field: Field<'_>) -> bool {
        match (self, field) {
            (Self::Absent, Field::Absent) | (Self::Repeated, Field::Repeated) => true,
            (Self::Once(known), Field::Once(value)) => **known == *value,
            _ => false,
        }
    }
}

impl Known {
    fn new(identity: Arc<Identity>, field: Field<'_>, key: Option<AuthorizationDigest>) -> Self {
        let field = match field {
            Field::Absent => Remembered::Absent,
            Field::Once(value) if value.len() <= caller_name::LONGEST => Remembered::Once(value.into()),
            Field::Once(_) => Remembered::TooLong,
            Field::Repeated => Remembered::Repeated,
        };
        Self { identity, field, key }
    }

    /// Whether a request that brings this is of who it was, under the same rules.
    fn is(&self, rules: &Arc<CallerRules>, field: Field<'_>, key: Option<AuthorizationDigest>) -> bool {
        Arc::ptr_eq(&self.identity.rules, rules) && self.key == key && self.field.is(field)
    }
}

impl Memo {
    /// Who it was, if this request brings what that one brought and the same holds.
    pub(super) fn recall(&self, rules: &Arc<CallerRules>, evidence: &Evidence<'_>) -> Option<Arc<Identity>> {
        let known = self.0.lock();
        let known = known.as_ref()?;
        let identity = &known.identity;
        let same = known.is(rules, evidence.field, evidence.digest())
            && !identity.caller.is_retired()
            && !identity.credential.is_retired();
        same.then(|| Arc::clone(identity))
    }

    pub(super) fn keep(&self, identity: &Arc<Identity>, evidence: &Evidence<'_>) {
        *self.0.lock() = Some(Known::new(Arc::clone(identity), evidence.field, evidence.digest()));
    }
}

impl Recent {
    /// Who it was, if it was in this second of the uptime, and this request brings what that one brought and the same holds; else
    /// whom `told` gives.
    pub fn or(
        &mut self,
        rules: &Arc<CallerRules>,
        claim: Claim<'_>,
        second: u64,
        told: impl FnOnce() -> Arc<Identity>,
    ) -> &Identity {
        let (field, key) = (claim.field, Some(claim.key));
        let same = self.0.take_if(|last| last.second == second && last.known.is(rules, field, key));
        let last =
            same.unwrap_or_else(|| Box::new(InSecond { known: Known::new(told(), field, key), second }));
        &self.0.insert(last).known.identity
    }
}

/// What a caller is found by, and what it said that does not count.
pub(super) fn key_of(rules: &CallerRules, evidence: &Evidence<'_>) -> (CallerKey, Option<Ignored>) {
    let mut ignored = None;
    for source in &rules.sources {
        let name = match source {
            CallerSource::Certificate => {
                evidence.certificate.map(|name| caller_name::of(name.as_bytes()).ok_or(Ignored::Certificate))
            }
            CallerSource::Field => match evidence.field {
                Field::Absent => None,
                _ if !rules.trusts(evidence.peer) => Some(Err(Ignored::Untrusted)),
                Field::Repeated => Some(Err(Ignored::Repeated)),
                Field::Once(value) => Some(caller_name::of(value).ok_or(Ignored::Malformed)),
            },
            CallerSource::Address => rules.name_of(evidence.peer).map(Ok),
            CallerSource::Credential => break,
        };
        match name {
            // Nobody is called so.
            Some(Ok(caller_name::OTHER)) => ignored = ignored.or(Some(Ignored::Malformed)),
            Some(Ok(name)) => return (CallerKey::Named(name.into()), ignored),
            Some(Err(why)) => ignored = ignored.or(Some(why)),
            None => {}
        }
    }
    (CallerKey::Credential(evidence.key.map(|(digest, _)| digest)), ignored)
}

impl Identity {
    pub(super) fn new(
        caller: Arc<Row>,
        credential: Arc<Row>,
        rules: &Arc<CallerRules>,
        ignored: Option<Ignored>,
    ) -> Self {
        let limit = Arc::clone(rules.limit(caller.name()));
        Self { caller, credential, limit, rules: Arc::clone(rules), ignored, who: OnceLock::new() }
    }

    /// Whether nothing of a plain read is forbidden to who it is, whether that holds or not.
    #[must_use]
    pub fn may_read(&self, path: &str) -> bool {
        self.limit.lets_all_be_read || self.denies(&Method::GET, path).is_none()
    }

    /// What is forbidden of a request to who it is, whether that holds or not.
    #[must_use]
    pub fn denies(&self, method: &Method, path: &str) -> Option<Denied> {
        self.limit.denies(method, path)
    }

    /// Counts an answer from memory.
    pub fn note_hit(&self, outcome: Outcome, bytes: u64) {
        for row in [&self.caller, &self.credential] {
            row.counters.request(outcome);
            row.counters.add(Figure::Saved, 1);
            row.counters.add(Figure::Bytes, bytes);
        }
    }

    /// What the log says of it, where it sends from `peer` as always and its key is of this organization.
    #[must_use]
    #[inline]
    pub fn who(&self, peer: &str, organization: Option<Uuid>) -> Cow<'_, Who> {
        match self.who.get() {
            Some(known) if known.organization() == organization => Cow::Borrowed(known),
            _ => self.who_anew(peer, organization),
        }
    }

    #[cold]
    fn who_anew(&self, peer: &str, organization: Option<Uuid>) -> Cow<'_, Who> {
        let told = || Who::new(peer, self.caller.name(), self.key_name(), organization);
        if organization.is_none() {
            // It may be known a moment later.
            return Cow::Owned(told());
        }
        let known = self.who.get_or_init(told);
        if known.organization() == organization { Cow::Borrowed(known) } else { Cow::Owned(told()) }
    }

    /// The name of its key, in the log and in explanations.
    #[must_use]
    pub fn key_name(&self) -> &str {
        self.credential.name().trim_start_matches('~')
    }

    /// Whether its limits hold.
    #[must_use]
    pub fn is_enforced(&self) -> bool {
        self.limit.mode == Mode::Enforce
    }

    /// How it takes turns.
    #[must_use]
    pub fn share(&self) -> Share {
        let Limit { weight, cap, priority, mode, .. } = *self.limit;
        let urgency = match priority {
            Priority::Interactive => Urgency::Turns,
            Priority::Background => Urgency::Spare,
        };
        match mode {
            Mode::Enforce => Share { caller: Some(self.caller.id()), weight, cap, urgency, mode },
            Mode::Observe => Share { caller: Some(self.caller.id()), cap, mode, ..Share::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Callers, Config};

    fn rules(sources: &[CallerSource]) -> Arc<CallerRules> {
        let callers = Callers {
            sources: sources.to_vec(),
            trusted: vec!["10.0.0.0/8".parse().unwrap()],
            addresses: vec![
                ("10.1.0.0/16".parse().unwrap(), "narrow".to_owned()),
                ("10.0.0.0/8".parse().unwrap(), "wide".to_owned()),
            ],
            ..Callers::default()
        };
        CallerRules::new(&Config { callers: Some(callers), ..Config::default() }).unwrap()
    }

    fn told(peer: &str, certificate: Option<&str>, field: Field<'_>) -> (CallerKey, Option<Ignored>) {
        let all = [CallerSource::Certificate, CallerSource::Field, CallerSource::Address];
        key_of(&rules(&all), &Evidence { peer: peer.parse().unwrap(), certificate, field, key: None })
    }

    fn named(name: &str) -> CallerKey {
        CallerKey::Named(name.into())
    }

    #[test]
    fn the_first_source_that_says_something_wins() {
        let field = Field::Once(b"by-field");
        assert_eq!(told("10.1.2.3", Some("spiffe://a/b"), field), (named("spiffe://a/b"), None));
        assert_eq!(told("10.1.2.3", None, field), (named("by-field"), None));
        assert_eq!(told("10.1.2.3", None, Field::Absent), (named("narrow"), None));
        assert_eq!(told("::ffff:10.2.2.3", None, Field::Absent), (named("wide"), None));
        assert_eq!(told("192.0.2.1", None, Field::Absent), (CallerKey::Credential(None), None));
    }

    #[test]
    fn a_field_from_a_network_that_is_not_trusted_says_nothing() {
        let spoofed = told("192.0.2.1", None, Field::Once(b"billing"));
        assert_eq!(spoofed, (CallerKey::Credential(None), Some(Ignored::Untrusted)));
    }

    #[test]
    fn a_doubled_field_says_nothing() {
        assert_eq!(told("10.1.2.3", None, Field::Repeated), (named("narrow"), Some(Ignored::Repeated)));
    }

    #[test]
    fn a_field_with_odd_bytes_says_nothing() {
        for odd in [&b"a b"[..], b"", b"\xff", b"other", &[b'n'; 65]] {
            assert_eq!(told("10.1.2.3", None, Field::Once(odd)), (named("narrow"), Some(Ignored::Malformed)));
        }
    }

    #[test]
    fn a_certificate_with_a_name_that_is_none_leaves_the_others_to_speak() {
        let name = "spiffe://a/".to_owned() + &"b".repeat(80);
        let ignored = told("10.1.2.3", Some(&name), Field::Once(b"by-field"));
        assert_eq!(ignored, (named("by-field"), Some(Ignored::Certificate)));
    }
}
