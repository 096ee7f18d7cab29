//! Who calls: told once, at the head of a request. What its limits forbid is `Ledger::check`'s to say.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::Proxy;
use super::exchange::Identified;
use super::fast_path::Client;
use super::fast_path::head::PlainRead;
use crate::caller::credential::AuthorizationDigest;
use crate::caller::identity::Caller;
use crate::callers::fingerprint::Fingerprints;
use crate::callers::{Bill, CallerRules, Claim, Evidence, Field, Identity, Limit};
use crate::clock::Moment;
use crate::config::{self, files};
use crate::outcome::Outcome;
use crate::peer::Peer;
use crate::rules::Rules;
use crate::setup_error::SetupError;
use crate::survey::Survey;

impl Proxy {
    /// Who sends a request.
    pub(super) fn identify(
        &self,
        head: &Parts,
        survey: &Survey<'_>,
        peer: &Peer,
        rules: &Rules,
    ) -> Identified {
        let caller = self.digester.caller_of(survey.authorization, survey.workspace);
        // Where callers are not told apart this is all that it costs.
        let identity =
            rules.callers.as_ref().map(|callers| self.service(callers, peer, &head.headers, &caller));
        Identified { caller, identity }
    }

    /// Which service sends a request with these fields.
    fn service(
        &self,
        rules: &Arc<CallerRules>,
        peer: &Peer,
        fields: &HeaderMap,
        caller: &Caller,
    ) -> Arc<Identity> {
        let field = rules.field().map_or(Field::Absent, |name| {
            let mut values = fields.get_all(name).iter();
            match (values.next(), values.next()) {
                (None, _) => Field::Absent,
                (Some(value), None) => Field::Once(value.as_bytes()),
                (Some(_), Some(_)) => Field::Repeated,
            }
        });
        let digest = caller.as_ref().authorization();
        let value = || fields.get(AUTHORIZATION).map(http::HeaderValue::as_bytes).unwrap_or_default();
        let evidence = Evidence {
            peer: peer.ip(),
            certificate: peer.certificate(),
            field,
            key: digest.map(|digest| (digest, value())),
        };
        let identity = self.callers.identify(rules, peer.memo(), &evidence, self.clock.now().uptime());
        self.callers.note_claim(&identity);
        identity
    }

    /// Which service sends a plain read, of whom the connection's last one is known; nothing where its limits say anything of such
    /// a read.
    pub(super) fn identify_plain<'r>(
        &self,
        rules: &Arc<CallerRules>,
        client: Client<'r>,
        read: &PlainRead<'_>,
        key: AuthorizationDigest,
        now: Moment,
    ) -> Option<&'r Identity> {
        let Client { peer, recent } = client;
        let field = read.caller.map_or(Field::Absent, Field::Once);
        let identity = recent.or(rules, Claim { field, key }, now.uptime().as_secs(), || {
            let evidence = Evidence {
                peer: peer.ip(),
                certificate: peer.certificate(),
                field,
                key: Some((key, read.authorization)),
            };
            self.callers.identify(rules, peer.memo(), &evidence, now.uptime())
        });
        identity.may_read(read.path).then_some(identity)
    }

    /// The name that log and status have for the key of a request, where callers are told apart: it makes no row.
    pub(super) fn key_name(&self, rules: &Rules, head: &Parts) -> Option<String> {
        let value = head.headers.get(AUTHORIZATION).filter(|_| rules.callers.is_some())?;
        Some(self.callers.name_of_key(value.as_bytes()))
    }

    /// Counts a request of which nobody knows who sent it.
    pub(super) fn note_unknown_request(&self, outcome: Outcome) {
        let (caller, credential) = self.callers.unknown();
        caller.counters.request(outcome);
        credential.counters.request(outcome);
    }

    /// From now on callers are told apart so.
    pub(super) fn set_callers(&self, callers: Option<&config::Callers>) -> Result<(), SetupError> {
        let fingerprints = fingerprints(callers)?;
        if let Some(rules) = &self.rulebook.current().callers {
            self.callers.set_rules(rules, fingerprints, self.clock.now().uptime());
        }
        Ok(())
    }

    /// Everything that is counted of callers and keys, where they are told apart.
    #[must_use]
    pub fn bill(&self) -> Option<Bill> {
        let told_apart = self.rulebook.current().callers.is_some();
        told_apart.then(|| self.callers.bill(self.clock.now().uptime()))
    }

    /// What each name that the configuration lists may have, and how many replicas divide its cap.
    #[must_use]
    pub fn caller_limits(&self) -> (Vec<(String, Arc<Limit>)>, u32) {
        let rules = self.rulebook.current();
        let named = rules.callers.as_deref().into_iter().flat_map(|callers| {
            callers.names().map(|name| (name.to_owned(), Arc::clone(callers.limit(name))))
        });
        (named.collect(), self.origin.shield().budget.replicas_seen())
    }
}

/// Names for keys under the secret that is configured, if one is.
///
/// # Errors
///
/// If its file cannot be used.
pub(super) fn fingerprints(callers: Option<&config::Callers>) -> Result<Option<Fingerprints>, SetupError> {
    let Some(file) = callers.and_then(|callers| callers.fingerprint_secret_file.as_deref()) else {
        return Ok(None);
    };
    let secret = files::fingerprint_secret(file).map_err(|fault| {
        SetupError(format!("callers.fingerprint_secret_file: {} {fault}", file.display()))
    })?;
    Ok(Some(Fingerprints::from(&secret)))
}
