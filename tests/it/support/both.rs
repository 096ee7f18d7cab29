//! [`Both`]: a world whose proxy caches two resources, and [`Kind`], one of them as a test speaks of it.

use instantly_proxy::config::Config;
use instantly_proxy::resource::{Descriptor, LEAD_LABEL};

use super::answer::Answer;
use super::caller::Caller;
use super::custom_tag::{BOTH, CUSTOM_TAG};
use super::labels::{LABELS, label_id};
use super::proxy::{TestProxy, by_default};
use super::recorded::Recorded;
use super::upstream::TestUpstream;
use super::vendor::Vendor;
use super::world::World;

/// What lead labels call something, and what tags call it: in queries and in bodies.
const QUERY: [(&str, &str); 3] =
    [("limit=", "page_size="), ("starting_after=", "cursor="), ("search=", "name_like=")];
const MEMBERS: [(&str, &str); 4] = [
    (r#""id":"#, r#""tag_id":"#),
    (r#""organization_id":"#, r#""workspace":"#),
    (r#""access_grants":"#, r#""shared_with":"#),
    (r#"{"items":"#, r#"{"tags":"#),
];

/// A [`World`] with tags beside its labels: the same organizations, keys and ids, with texts of their own.
pub struct Both {
    /// Proxy, upstream, and the vendor's labels.
    pub world: World,
    /// The vendor's tags.
    pub tags: Vendor,
}

impl Both {
    /// With the defaults of [`World::start`].
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
        let (labels, tags) = (World::vendor(), World::vendor());
        let upstream = TestUpstream::start({
            let (labels, tags) = (labels.clone(), tags.clone());
            move |request| match request.target.strip_prefix(CUSTOM_TAG.collection) {
                Some(below) => tag_answer(&tags, request, below),
                None => labels.answer(request),
            }
        });
        let proxy = TestProxy::start_for(BOTH, &upstream, change);
        let both = Self { world: World { proxy, upstream, vendor: labels }, tags };
        for name in ["a", "b", "admin"] {
            (1..=3).for_each(|n| TAG.put(&both, name, n, &TAG.text(name, n)));
        }
        both
    }
}

/// What the vendor of tags says: what one of labels would, in other words.
fn tag_answer(tags: &Vendor, request: &Recorded, below: &str) -> Answer {
    let below = QUERY.iter().fold(below.to_owned(), |below, (label, tag)| below.replace(tag, label));
    let asked = Recorded { target: format!("{LABELS}{below}"), ..request.clone() };
    let translated = |body: String| MEMBERS.iter().fold(body, |body, (label, tag)| body.replace(label, tag));
    tags.answer(&asked).map_text(translated)
}

/// One of the two resources.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// What the proxy knows of it.
    pub resource: &'static Descriptor,
    prefix: &'static str,
}

/// Lead labels.
pub const LABEL: Kind = Kind { resource: &LEAD_LABEL, prefix: "" };
/// Tags.
pub const TAG: Kind = Kind { resource: &CUSTOM_TAG, prefix: "tag-" };

impl Kind {
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
    pub fn vendor(self, both: &Both) -> &Vendor {
        if self.resource == &CUSTOM_TAG { &both.tags } else { &both.world.vendor }
    }

    /// Makes or changes item `n` unseen by the proxy.
    pub fn put(self, both: &Both, name: &str, n: u32, text: &str) {
        self.vendor(both).put_label(name, n, text);
    }

    /// A client with key `n` of an organization, proven by a read of item 1 of this kind.
    pub async fn proven(self, both: &Both, name: &str, n: u32) -> Caller {
        let caller = both.world.caller(name, n);
        caller.get(&self.path(1)).send().await.assert_label(&self.text(name, 1)).assert_proof();
        caller
    }

    /// Whether it reads the largest page.
    pub fn is_whole_list_read(self, request: &Recorded) -> bool {
        request.is("GET", &self.whole_list())
    }

    /// How often the largest page was read upstream.
    pub fn whole_list_reads(self, both: &Both) -> usize {
        both.world.upstream.count_of(|request| self.is_whole_list_read(request))
    }
}
