//! [`Mixed`]: a world whose proxy caches every resource, and one that the program does not know; [`Kind`], one of them as a
//! test speaks of it; [`Vendors`], who has them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use instantly_proxy::config::{Config, OptionalResource};
use instantly_proxy::resource::{CAMPAIGN, CUSTOM_TAG, Descriptor, LEAD_LABEL, LEAD_LIST};

use super::answer::Answer;
use super::caller::Caller;
use super::gadget::{GADGET, MIXED};
use super::labels::{LABELS, error, label_id};
use super::proxy::{TestProxy, by_default};
use super::recorded::Recorded;
use super::upstream::TestUpstream;
use super::vendor::Vendor;
use super::workspace::Workspaces;
use super::world::World;

/// What lead labels call something, and what another resource calls it.
type Words = &'static [(&'static str, &'static str)];

/// A [`World`] with other resources beside its labels: the same organizations, keys and ids, with texts of their own.
pub struct Mixed {
    /// Proxy, upstream, and the vendor's labels.
    pub world: World,
    vendors: Vendors,
}

/// Who has labels and some other resources, with the same organizations, keys and ids.
#[derive(Clone)]
pub struct Vendors {
    /// Labels, as [`World::vendor`] has them.
    pub labels: Vendor,
    others: Vec<(Kind, Vendor)>,
    workspaces: Workspaces,
    forbidden: Forbidden,
}

impl Vendors {
    /// Of labels and of these.
    pub fn of(others: &[Kind]) -> Self {
        let others: Vec<_> = others.iter().map(|kind| (*kind, World::vendor())).collect();
        for (kind, vendor) in &others {
            for name in ["a", "b", "admin"] {
                (1..=3).for_each(|n| vendor.put_label(name, n, &kind.text(name, n)));
            }
        }
        Self {
            labels: World::vendor(),
            others,
            workspaces: Workspaces::default(),
            forbidden: Forbidden::default(),
        }
    }

    /// An upstream that answers as they do.
    pub fn upstream(&self) -> TestUpstream {
        let vendors = self.clone();
        TestUpstream::start(move |request| vendors.answer(request))
    }

    fn answer(&self, request: &Recorded) -> Answer {
        let answer = self.forbidden.answer(request);
        let answer = answer.or_else(|| self.workspaces.answer(&self.labels, request));
        let other = || self.others.iter().find_map(|(kind, vendor)| kind.answer(vendor, request));
        answer.or_else(other).unwrap_or_else(|| self.labels.answer(request))
    }

    /// Who has the items of this kind.
    pub fn of_kind(&self, kind: Kind) -> &Vendor {
        self.others.iter().find(|(own, _)| *own == kind).map_or(&self.labels, |(_, vendor)| vendor)
    }

    /// From now on this token is answered so at and below this path.
    pub fn forbid_at(&self, path: &'static str, token: &str, status: u16) {
        let mut forbidden = self.forbidden.0.lock().unwrap_or_else(PoisonError::into_inner);
        forbidden.insert((path, token.to_owned(), status));
    }
}

/// Collections and tokens that may not read them, with the status that says so.
#[derive(Clone, Debug, Default)]
struct Forbidden(Arc<Mutex<HashSet<Forbids>>>);

/// A collection, a token and a status.
type Forbids = (&'static str, String, u16);

impl Forbidden {
    fn answer(&self, request: &Recorded) -> Option<Answer> {
        let forbidden = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let authorization = request.field("authorization")?;
        let (.., status) = forbidden.iter().find(|(collection, token, _)| {
            request.target.starts_with(collection) && authorization.ends_with(token.as_str())
        })?;
        Some(Answer::json(*status, error(*status, "No.")))
    }
}

impl Mixed {
    /// With the defaults of [`World::start`]; all resources but the invented one are kept as long as labels are.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// With everything that is on by default.
    #[track_caller]
    pub fn start_by_default() -> Self {
        Self::start_with(by_default)
    }

    /// With a change of the configuration.
    #[track_caller]
    pub fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::of(|config| {
            change(config);
            let (items, lists) = (config.cache.lead_labels, config.cache.lead_label_lists);
            for optional in optional(config) {
                *optional = OptionalResource { enabled: true, items, lists };
            }
        })
    }

    /// With everything kept for as long as it is by default.
    #[track_caller]
    pub fn start_for_own_times() -> Self {
        Self::of(|config| optional(config).into_iter().for_each(|optional| optional.enabled = true))
    }

    fn of(change: impl FnOnce(&mut Config)) -> Self {
        let vendors = Vendors::of(&KINDS[1..]);
        let upstream = vendors.upstream();
        let proxy = TestProxy::start_for(MIXED, &upstream, change);
        Self { world: World { proxy, upstream, vendor: vendors.labels.clone() }, vendors }
    }

    /// From now on this token is answered so wherever it reads or writes this kind.
    pub fn forbid(&self, kind: Kind, token: &str, status: u16) {
        self.forbid_at(kind.list(), token, status);
    }

    /// From now on this token is answered so at and below this path.
    pub fn forbid_at(&self, path: &'static str, token: &str, status: u16) {
        self.vendors.forbid_at(path, token, status);
    }
}

fn optional(config: &mut Config) -> [&mut OptionalResource; 4] {
    let cache = &mut config.cache;
    [&mut cache.custom_tags, &mut cache.lead_lists, &mut cache.workspaces, &mut cache.campaigns]
}

/// One of the resources.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// What the proxy knows of it.
    pub resource: &'static Descriptor,
    prefix: &'static str,
    query: Words,
    members: Words,
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.resource == other.resource
    }
}

/// Lead labels.
pub const LABEL: Kind = Kind { resource: &LEAD_LABEL, prefix: "", query: &[], members: &[] };
/// What the program does not know; nothing of it is called as lead labels call it.
pub const GADGET_KIND: Kind = Kind {
    resource: &GADGET,
    prefix: "gadget-",
    query: &[("limit=", "page_size="), ("starting_after=", "cursor="), ("search=", "name_like=")],
    members: &[
        (r#""id":"#, r#""gadget_id":"#),
        (r#""organization_id":"#, r#""workspace":"#),
        (r#""access_grants":"#, r#""shared_with":"#),
        (r#"{"items":"#, r#"{"gadgets":"#),
    ],
};
/// Custom tags.
pub const TAG: Kind = Kind { resource: &CUSTOM_TAG, prefix: "tag-", query: &[], members: &[] };
/// Lead lists.
pub const LIST: Kind = Kind {
    resource: &LEAD_LIST,
    prefix: "list-",
    query: &[],
    members: &[(r#""created_by":"#, r#""owned_by":"#)],
};
/// Campaigns.
pub const CAMPAIGN_KIND: Kind = Kind {
    resource: &CAMPAIGN,
    prefix: "campaign-",
    query: &[],
    members: &[(r#""organization_id":"#, r#""organization":"#)],
};
/// All of them; labels first.
const KINDS: [Kind; 5] = [LABEL, GADGET_KIND, TAG, LIST, CAMPAIGN_KIND];

impl Kind {
    /// What the vendor of it says: what one of labels would, in other words.
    pub fn answer(self, vendor: &Vendor, request: &Recorded) -> Option<Answer> {
        let below = request.target.strip_prefix(self.resource.collection)?;
        let below = self.query.iter().fold(below.to_owned(), |below, (label, own)| below.replace(own, label));
        let asked = Recorded { target: format!("{LABELS}{below}"), ..request.clone() };
        let translated =
            |body: String| self.members.iter().fold(body, |body, (label, own)| body.replace(label, own));
        Some(vendor.answer(&asked).map_text(translated))
    }

    /// The collection.
    pub const fn list(self) -> &'static str {
        self.resource.collection
    }

    /// The largest page from the beginning.
    pub fn whole_list(self) -> String {
        let (parameter, value, _) = self.resource.largest_page;
        format!("{}?{parameter}={value}", self.resource.collection)
    }

    /// The path of item `n`.
    pub fn path(self, n: u32) -> String {
        format!("{}/{}", self.resource.collection, label_id(n))
    }

    /// The text of item `n` of an organization at first.
    pub fn text(self, name: &str, n: u32) -> String {
        format!("{}{name}-{n}", self.prefix)
    }

    /// Who has the items of this kind.
    pub fn vendor(self, mixed: &Mixed) -> &Vendor {
        mixed.vendors.of_kind(self)
    }

    /// Makes or changes item `n` unseen by the proxy.
    pub fn put(self, mixed: &Mixed, name: &str, n: u32, text: &str) {
        self.vendor(mixed).put_label(name, n, text);
    }

    /// A client with key `n` of an organization, proven by a read of item 1 of this kind.
    pub async fn proven(self, mixed: &Mixed, name: &str, n: u32) -> Caller {
        let caller = mixed.world.caller(name, n);
        self.prove(&caller, name).await;
        caller
    }

    /// Proves a client of an organization by a read of item 1 of this kind.
    pub async fn prove(self, caller: &Caller, name: &str) {
        caller.get(&self.path(1)).send().await.assert_label(&self.text(name, 1)).assert_proof();
    }

    /// Whether it reads the largest page.
    pub fn is_whole_list_read(self, request: &Recorded) -> bool {
        request.is("GET", &self.whole_list())
    }

    /// How often the largest page was read upstream.
    pub fn whole_list_reads(self, mixed: &Mixed) -> usize {
        mixed.world.upstream.count_of(|request| self.is_whole_list_read(request))
    }
}
