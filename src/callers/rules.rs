//! [`CallerRules`]: what the configuration says of callers, ready to be asked by each request.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};
use ipnet::IpNet;

use crate::closed_enum::closed_enum;
use crate::config::{CallerLimit, CallerSource, Callers, Config, Mode, Priority};
use crate::resource;

/// What holds of callers.
#[derive(Debug, PartialEq, Eq)]
pub struct CallerRules {
    pub(super) sources: Vec<CallerSource>,
    field: HeaderName,
    trusted: Vec<IpNet>,
    addresses: Vec<(IpNet, String)>,
    limits: BTreeMap<String, Arc<Limit>>,
    fallback: Arc<Limit>,
}

/// What one caller may have.
#[derive(Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its part of the turns.
    pub weight: NonZeroU32,
    /// Calls that are sent for it in any minute, by all replicas.
    pub cap: Option<NonZeroU32>,
    /// How urgent its calls are.
    pub priority: Priority,
    /// How long its calls wait, in place of `shield.max_wait`.
    pub max_wait: Option<Duration>,
    /// Whether this holds.
    pub mode: Mode,
    /// Whether nothing below forbids a `GET`, whatever its path is: asked by every plain read.
    pub(super) lets_all_be_read: bool,
    methods: Vec<Method>,
    denied_methods: Vec<Method>,
    paths: Vec<String>,
    denied_paths: Vec<String>,
}

closed_enum! {
    /// What of a request a caller's limits forbid.
    pub enum Denied {
        /// Its method.
        Method = "caller_method",
        /// Its path.
        Path = "caller_path",
    }
}

impl CallerRules {
    /// Those of a configuration, if it tells callers apart.
    #[must_use]
    pub fn new(config: &Config) -> Option<Arc<Self>> {
        let Callers { sources, field, trusted, addresses, fallback, limits, .. } = config.callers.as_ref()?;
        let limit = |limit| Arc::new(Limit::new(limit, config.shield.requests_per_minute));
        Some(Arc::new(Self {
            sources: sources.clone(),
            field: field.clone(),
            trusted: trusted.clone(),
            addresses: addresses.clone(),
            limits: limits.iter().map(|(name, of)| (name.clone(), limit(of))).collect(),
            fallback: limit(fallback),
        }))
    }

    /// The field that names callers, if one does.
    #[must_use]
    pub fn field(&self) -> Option<&HeaderName> {
        self.sources.contains(&CallerSource::Field).then_some(&self.field)
    }

    /// Names that have limits of their own.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.limits.keys().map(String::as_str)
    }

    /// What a caller of this name may have.
    #[must_use]
    pub fn limit(&self, name: &str) -> &Arc<Limit> {
        self.limits.get(name).unwrap_or(&self.fallback)
    }

    /// Whether a field from this address is believed.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// The name of the network that an address is in.
    pub(super) fn name_of(&self, address: IpAddr) -> Option<&str> {
        let address = address.to_canonical();
        let found = self.addresses.iter().find(|(network, _)| network.contains(&address));
        found.map(|(_, name)| name.as_str())
    }
}

impl Limit {
    fn new(limit: &CallerLimit, requests_per_minute: NonZeroU32) -> Self {
        let made = Self {
            lets_all_be_read: false,
            weight: limit.weight,
            cap: limit.cap.map(|cap| cap.of(requests_per_minute)),
            priority: limit.priority,
            max_wait: limit.max_wait,
            mode: limit.mode,
            methods: limit.methods.clone(),
            denied_methods: limit.denied_methods.clone(),
            paths: limit.paths.clone(),
            denied_paths: limit.denied_paths.clone(),
        };
        let says_nothing_of_paths = made.paths.is_empty() && made.denied_paths.is_empty();
        Self { lets_all_be_read: says_nothing_of_paths && made.denies(&Method::GET, "/").is_none(), ..made }
    }

    /// What of a request is forbidden, if anything is. A path is forbidden if any reader may take it for one that is, and
    /// allowed only if every reader takes it for one that is.
    #[must_use]
    pub fn denies(&self, method: &Method, path: &str) -> Option<Denied> {
        let other = |methods: &[Method]| !methods.is_empty() && !methods.contains(method);
        if other(&self.methods) || self.denied_methods.contains(method) {
            return Some(Denied::Method);
        }
        let outside =
            !self.paths.is_empty() && !self.paths.iter().any(|below| resource::surely_leads_to(path, below));
        let forbidden = self.denied_paths.iter().any(|below| resource::may_lead_to(path, below));
        (outside || forbidden).then_some(Denied::Path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(of: &CallerLimit) -> Limit {
        Limit::new(of, NonZeroU32::new(5400).unwrap())
    }

    #[test]
    fn a_limit_that_lets_all_be_read_forbids_no_read() {
        let only_posts = CallerLimit { methods: vec![Method::POST], ..CallerLimit::default() };
        let no_gets = CallerLimit { denied_methods: vec![Method::GET], ..CallerLimit::default() };
        let some = CallerLimit { paths: vec!["/api/v2/leads".into()], ..CallerLimit::default() };
        let others = CallerLimit { denied_paths: vec!["/api/v2/leads".into()], ..CallerLimit::default() };
        let gets = CallerLimit {
            methods: vec![Method::GET],
            denied_methods: vec![Method::POST],
            ..only_posts.clone()
        };
        for (of, lets_all) in [
            (&CallerLimit::default(), true),
            (&gets, true),
            (&only_posts, false),
            (&no_gets, false),
            (&some, false),
            (&others, false),
        ] {
            let limit = limit(of);
            assert_eq!(limit.lets_all_be_read, lets_all, "{of:?}");
            let forbids = |path| limit.denies(&Method::GET, path).is_some();
            assert_eq!(forbids("/api/v2/leads") || forbids("/api/v2/emails"), !lets_all, "{of:?}");
        }
    }

    #[test]
    fn a_forbidden_path_is_forbidden_in_every_spelling() {
        let limit =
            limit(&CallerLimit { denied_paths: vec!["/api/v2/leads".into()], ..CallerLimit::default() });
        for path in [
            "/api/v2/leads",
            "/api/v2/leads/",
            "/api/v2/leads/1",
            "/API/v2/Leads",
            "/api//v2/leads",
            "/api/v2/%6ceads",
            "/api/v2/%256ceads",
            "/api/v2/x/../leads",
            "/api/v2/./leads/list",
            "/api\\v2\\leads",
            "/api/v2/leads;x=1",
            "//host/api/v2/leads",
        ] {
            assert_eq!(limit.denies(&Method::GET, path), Some(Denied::Path), "{path}");
        }
        for path in ["/api/v2/lead-labels", "/api/v2/leads-lists", "/api/v2", "/"] {
            assert_eq!(limit.denies(&Method::GET, path), None, "{path}");
        }
    }

    #[test]
    fn the_root_stands_for_every_path() {
        // As the configuration has it: without the slash at its end.
        let of = |paths: &[&str], denied_paths: &[&str]| {
            let texts = |of: &[&str]| of.iter().map(ToString::to_string).collect();
            let (paths, denied_paths) = (texts(paths), texts(denied_paths));
            limit(&CallerLimit { paths, denied_paths, ..CallerLimit::default() })
        };
        for path in ["/", "/api/v2/leads", "//", "/..", "/a/../b", "/%2e%2e/x", "\\", "/\u{E9}"] {
            assert_eq!(of(&[], &[""]).denies(&Method::GET, path), Some(Denied::Path), "{path}");
            assert_eq!(of(&[""], &[]).denies(&Method::GET, path), None, "{path}");
            assert_eq!(of(&["", "/x"], &["", "/x"]).denies(&Method::GET, path), Some(Denied::Path), "{path}");
        }
    }

    #[test]
    fn nothing_but_the_allowed_paths_is_allowed() {
        let limit = limit(&CallerLimit { paths: vec!["/api/v2/leads".into()], ..CallerLimit::default() });
        for path in ["/api/v2/leads", "/api/v2/leads/1", "/api/v2/leads/a%40b"] {
            assert_eq!(limit.denies(&Method::POST, path), None, "{path}");
        }
        for path in [
            "/api/v2/leads-lists",
            "/api/v2",
            "/api/v2/leads/../emails",
            "/api/v2/leads/%2e%2e/emails",
            "/api/v2/leads/..%2Femails",
            "/api/v2/leads/%252e%252e/emails",
            "/api/v2/leads\\..\\emails",
            "/api/v2/leads/.%2e;x/emails",
        ] {
            assert_eq!(limit.denies(&Method::POST, path), Some(Denied::Path), "{path}");
        }
    }

    #[test]
    fn methods_are_allowed_by_one_list_and_forbidden_by_the_other() {
        let reader =
            limit(&CallerLimit { methods: vec![Method::GET, Method::HEAD], ..CallerLimit::default() });
        assert_eq!(reader.denies(&Method::GET, "/"), None);
        assert_eq!(reader.denies(&Method::DELETE, "/"), Some(Denied::Method));
        let careful = limit(&CallerLimit { denied_methods: vec![Method::DELETE], ..CallerLimit::default() });
        assert_eq!(careful.denies(&Method::PATCH, "/"), None);
        assert_eq!(careful.denies(&Method::DELETE, "/"), Some(Denied::Method));
    }
}
