//! [`World`]: vendor, upstream and proxy, set up as most tests need them.

use instantly_proxy::config::Config;

use super::caller::Caller;
use super::labels::{CAMPAIGNS, LABELS, label_path, organization, token};
use super::patience::patiently;
use super::proxy::{TestProxy, sum_of_series};
use super::recorded::Recorded;
use super::upstream::TestUpstream;
use super::vendor::Vendor;

/// Organizations `a` and `b` with labels 1 to 3 under the same ids (texts `a-1` … `b-3`) and keys 1 to 3 each;
/// organization `empty` without labels and with key 1; key 1 of `admin`, which has labels too, may act for `a` and `b`.
pub struct World {
    /// The proxy; first, so that it stops first.
    pub proxy: TestProxy,
    /// What it talks to.
    pub upstream: TestUpstream,
    /// What answers there.
    pub vendor: Vendor,
}

impl World {
    /// With the defaults.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// With a change of the configuration.
    #[track_caller]
    pub fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let vendor = Self::vendor();
        let upstream = TestUpstream::of(&vendor);
        let proxy = TestProxy::start_with(&upstream, change);
        Self { proxy, upstream, vendor }
    }

    /// With everything that is on by default.
    #[track_caller]
    pub fn start_by_default() -> Self {
        Self::start_by_default_with(|_| {})
    }

    /// With everything that is on by default, and a change of the configuration.
    #[track_caller]
    pub fn start_by_default_with(change: impl FnOnce(&mut Config)) -> Self {
        let vendor = Self::vendor();
        let upstream = TestUpstream::of(&vendor);
        let proxy = TestProxy::start_by_default(&upstream, change);
        Self { proxy, upstream, vendor }
    }

    /// With everything that is on by default but lists that the proxy reads by itself.
    #[track_caller]
    pub fn start_shielded() -> Self {
        Self::start_shielded_with(|_| {})
    }

    /// The same with a change of the configuration.
    #[track_caller]
    pub fn start_shielded_with(change: impl FnOnce(&mut Config)) -> Self {
        let vendor = Self::vendor();
        let upstream = TestUpstream::of(&vendor);
        let proxy = TestProxy::start_shielded(&upstream, change);
        Self { proxy, upstream, vendor }
    }

    /// The vendor of this world alone.
    pub fn vendor() -> Vendor {
        let vendor = Vendor::new();
        for name in ["a", "b", "admin"] {
            for n in 1..=3 {
                vendor.put_label(name, n, &format!("{name}-{n}"));
                vendor.admit(&token(name, n), name);
            }
        }
        vendor.admit(&token("empty", 1), "empty");
        vendor.let_administer(&token("admin", 1), "a");
        vendor.let_administer(&token("admin", 1), "b");
        vendor
    }

    /// A client with key `n` of the organization with this name.
    pub fn caller(&self, name: &str, n: u32) -> Caller {
        self.proxy.caller(&token(name, n))
    }

    /// The same, proven by a read of label 1, which is stored by that.
    pub async fn proven(&self, name: &str, n: u32) -> Caller {
        let caller = self.caller(name, n);
        caller.get(&label_path(1)).send().await.assert_label(&format!("{name}-1")).assert_proof();
        caller
    }

    /// The admin organization's key 1, acting for the organization with this name.
    pub fn acting_for(&self, name: &str) -> Caller {
        self.caller("admin", 1).workspace(organization(name))
    }

    /// A call that goes upstream and comes back: whatever the proxy was told before, it has begun with by then.
    pub async fn round_trip(&self, caller: &Caller) {
        let reply = caller.get(CAMPAIGNS).send().await;
        assert!(reply.status < 500, "{reply:?}");
    }

    /// Waits until every call that was let go has arrived upstream and has been answered.
    pub async fn quiet(&self) {
        // What goes on behind an answer has been handed over before it, to the thread that answers this.
        for _ in 0..3 {
            self.proxy.admin_get("/livez").send().await.assert_status(200);
        }
        patiently("what goes on behind the answers to end", async {
            loop {
                let text = self.proxy.metrics_text().await;
                let of = |name| sum_of_series(&text, name, &[]) as usize;
                let let_go = of("instantly_proxy_shield_wait_seconds_count");
                let answered = of("instantly_proxy_upstream_requests_total");
                if let_go == answered && answered == self.upstream.count() {
                    return;
                }
            }
        })
        .await;
    }

    /// How many label reads have arrived upstream.
    pub fn label_reads(&self) -> usize {
        self.upstream.count_of(is_label_read)
    }
}

/// Whether it is a read at or below the collection.
pub fn is_label_read(request: &Recorded) -> bool {
    request.method == "GET" && request.target.starts_with(LABELS)
}
