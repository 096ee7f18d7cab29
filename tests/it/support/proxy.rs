//! [`TestProxy`]: the server that `main` runs, in this process, on free ports, with a clock that stands still.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use http::Uri;
use instantly_proxy::clock::{Clock, ManualClock};
use instantly_proxy::config::{Burst, Change, Config, MaxHeldBytes};
use instantly_proxy::resource::{RESOURCES, Resources};
use instantly_proxy::server::{Server, Shutdown};

use super::caller::{Caller, Outgoing};
use super::labels::CAMPAIGNS;
use super::patience::patiently;
use super::raw::RawConnection;
use super::stand_in;
use super::upstream::{Passage, TestUpstream};

/// A step of the clock, so small that a time-out takes a thousand passes of every thread: the proxy has long done what it
/// could do without one.
const STEP: Duration = Duration::from_millis(10);

/// Connections that a pass of the workers takes. A new one goes to the worker with the fewest: so many reach both, unless a
/// test has three more on one of them than on the other.
const PASSING: usize = 4;

/// How long calls wait where a test says nothing of it: less than by default, so that the clock has to move less.
const SHORT_WAIT: Duration = Duration::from_secs(2);

/// How long a stop may take before the test fails.
const STOP: Duration = Duration::from_secs(20);

/// A running proxy; dropped, it is cut and awaited.
pub struct TestProxy {
    server: Option<Server>,
    config: Mutex<Config>,
    clock: ManualClock,
    data: SocketAddr,
    admin: Caller,
    upstream: Passage,
}

impl TestProxy {
    /// With the defaults, in front of `upstream`.
    #[track_caller]
    pub fn start(upstream: &TestUpstream) -> Self {
        Self::start_with(upstream, |_| {})
    }

    /// The same with a change of the configuration.
    ///
    /// Three things differ from the defaults besides ports and upstream: a fixed account of memory, two workers, so that what is shared between
    /// them is tested on any machine, and connections that outlive hours of the test's clock.
    #[track_caller]
    pub fn start_with(upstream: &TestUpstream, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_for(RESOURCES, upstream, change)
    }

    /// The same, with other resources to cache.
    #[track_caller]
    pub fn start_for(
        resources: Resources,
        upstream: &TestUpstream,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut config = Config::default();
        config.listen.address = free;
        config.listen.workers = NonZeroUsize::new(2);
        // Not what the machine under the test has.
        config.listen.max_held_bytes = MaxHeldBytes::Bytes(256 << 20);
        config.listen.header_timeout = Duration::from_secs(86_400);
        config.listen.idle_timeout = Duration::from_secs(86_400);
        config.admin.address = free;
        config.admin.header_timeout = Duration::from_secs(86_400);
        config.upstream.url = format!("http://{}", upstream.address()).parse::<Uri>().expect("an address");
        // Their time goes on by leaps, in which a thread that has no core connects nowhere.
        config.upstream.connect_timeout = Duration::from_secs(3600);
        config.log.level = "off".to_owned();
        lower_the_shield(&mut config);
        change(&mut config);
        stand_in::configure(&mut config);
        let (clock, hand) = Clock::manual();
        let server =
            Server::start_for(resources, config.clone(), clock).expect("a proxy on free ports starts");
        let (data, admin) = (server.data_address(), Caller::anonymous(server.admin_address()));
        let (config, upstream) = (Mutex::new(config), upstream.passage());
        Self { server: Some(server), config, clock: hand, data, admin, upstream }
    }

    /// As [`Self::start_with`], with everything that is on by default.
    #[track_caller]
    pub fn start_by_default(upstream: &TestUpstream, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_with(upstream, |config| {
            by_default(config);
            change(config);
        })
    }

    /// The same but for lists that the proxy reads by itself: the calls that a test counts are those that it asked for.
    #[track_caller]
    pub fn start_shielded(upstream: &TestUpstream, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_by_default(upstream, |config| {
            config.cache.list_fill = false;
            change(config);
        })
    }

    /// Moves the proxy's time on.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Moves the proxy's time on until what is spent of a second's budget now has left it.
    pub fn advance_window(&self) {
        self.advance(Duration::from_millis(1005));
    }

    /// Moves the proxy's time on by whole seconds.
    pub fn advance_seconds(&self, seconds: u64) {
        self.advance(Duration::from_secs(seconds));
    }

    /// The hand that moves the proxy's time, for odder moves.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Awaits `future` while the proxy's time goes on in small steps: for what the proxy does after a time of its own that
    /// began at a moment which the test cannot see.
    ///
    /// Between two steps every thread is passed, in the order in which a call meets them. So a thread that has no core for a
    /// while costs no more than two steps, and an answer that is on its way comes before a time-out.
    #[track_caller]
    pub fn advancing<'a, F: Future + 'a>(
        &'a self,
        what: &str,
        future: F,
    ) -> impl Future<Output = F::Output> + 'a {
        self.advancing_over(PASSING, what, future)
    }

    /// The same without connections of its own, for whoever waits for the end of all that there are: time goes on while a
    /// worker has no core.
    #[track_caller]
    pub fn advancing_unconnected<'a, F: Future + 'a>(
        &'a self,
        what: &str,
        future: F,
    ) -> impl Future<Output = F::Output> + 'a {
        self.advancing_over(0, what, future)
    }

    #[track_caller]
    fn advancing_over<'a, F: Future + 'a>(
        &'a self,
        connections: usize,
        what: &str,
        future: F,
    ) -> impl Future<Output = F::Output> + 'a {
        patiently(what, async move {
            let passing = self.connections(connections);
            let mut future = std::pin::pin!(future);
            loop {
                tokio::select! {
                    biased;
                    output = future.as_mut() => return output,
                    () = self.pass(&passing) => self.advance(STEP),
                }
            }
        })
    }

    /// Moves the proxy's time on in such steps: what is timed may begin a moment behind what the test saw of it.
    pub async fn advance_in_steps(&self, by: Duration) {
        let passing = self.connections(PASSING);
        let mut passed = Duration::ZERO;
        while passed < by {
            self.pass(&passing).await;
            self.advance(STEP);
            passed += STEP;
        }
    }

    fn connections(&self, count: usize) -> Vec<Caller> {
        (0..count).map(|_| self.anonymous()).collect()
    }

    /// Waits until each thread has seen what was there for it before.
    async fn pass(&self, passing: &[Caller]) {
        for connection in passing {
            // Refused by the worker itself, with nothing spent. One that was just closed is opened again.
            let _ = connection.request("OPTIONS", CAMPAIGNS).attempt().await;
        }
        self.admin_get("/livez").send().await.assert_status(200);
        self.upstream.pass().await;
    }

    /// Asks it to stop in this way; it is awaited when it is dropped.
    pub fn shutdown(&self, how: Shutdown) {
        self.server.as_ref().expect("it is there until it is dropped").shutdown(how);
    }

    /// Reloads its configuration with a change, as SIGHUP does.
    #[track_caller]
    pub fn reload(&self, change: impl FnOnce(&mut Config)) {
        let mut held = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = held.clone();
        change(&mut new);
        stand_in::configure(&mut new);
        let Change { config, waiting, .. } = Change::between(&held, &new);
        assert_eq!(waiting, [], "all of it can change");
        let server = self.server.as_ref().expect("it is there until it is dropped");
        server.reload(&config).expect("the files can be used");
        *held = config;
    }

    /// Address of the data port.
    pub fn address(&self) -> SocketAddr {
        self.data
    }

    /// A client of the data port without a credential.
    pub fn anonymous(&self) -> Caller {
        Caller::anonymous(self.data)
    }

    /// A client of the data port with a bearer token.
    pub fn caller(&self, token: &str) -> Caller {
        self.anonymous().with_token(token)
    }

    /// A connection to the data port for any bytes.
    #[track_caller]
    pub fn raw(&self) -> impl Future<Output = RawConnection> + use<> {
        RawConnection::open(self.data)
    }

    /// A client of the admin port.
    pub const fn operator(&self) -> &Caller {
        &self.admin
    }

    /// A GET of the admin port.
    pub fn admin_get(&self, target: &str) -> Outgoing {
        self.admin.get(target)
    }

    /// A POST of JSON to the admin port.
    pub fn admin_post(&self, target: &str, json: &str) -> Outgoing {
        self.admin.post(target, json)
    }

    /// What `/metrics` says.
    #[track_caller]
    pub fn metrics_text(&self) -> impl Future<Output = String> + use<> {
        let scrape = self.admin_get("/metrics").send();
        async move { scrape.await.assert_status(200).text() }
    }

    /// Sum of the series of this name that have all of these labels; 0 without one.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> impl Future<Output = f64> + use<> {
        let (text, name) = (self.metrics_text(), name.to_owned());
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        async move { sum_of_series(&text.await, &name, &labels) }
    }

    /// Waits until a metric is at least `value`: for what the proxy does behind an answer.
    #[track_caller]
    pub fn metric_reaches<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
        value: f64,
    ) -> impl Future<Output = ()> + 'a {
        let what = format!("{name} {labels:?} to reach {value}");
        patiently(&what, async move { while self.metric(name, labels).await < value {} })
    }
}

impl Drop for TestProxy {
    fn drop(&mut self) {
        let Some(server) = self.server.take() else { return };
        server.shutdown(Shutdown::Now);
        let (done, stopped) = mpsc::channel();
        let waiter = thread::spawn(move || {
            let _ = server.wait();
            let _ = done.send(());
        });
        let stopped = stopped.recv_timeout(STOP);
        if !thread::panicking() {
            assert!(stopped.is_ok() && waiter.join().is_ok(), "the proxy did not stop");
        }
    }
}

/// Sum of the samples of `name` whose label set holds every one of `labels`, in the text format of Prometheus.
pub fn sum_of_series(text: &str, name: &str, labels: &[String]) -> f64 {
    let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (series_name, series_labels) = series.split_once('{').unwrap_or((series, ""));
        let wanted = series_name == name && labels.iter().all(|label| series_labels.contains(label));
        wanted.then(|| value.parse::<f64>().ok()).flatten()
    });
    samples.sum()
}

/// Switches on what is on by default.
pub fn by_default(config: &mut Config) {
    let Config { cache, shield, .. } = Config::default();
    (config.cache, config.shield) = (cache, shield);
    // A second's calls that are spent at one moment: its time stands still.
    config.shield.burst = Burst::Whole;
    config.shield.max_wait = SHORT_WAIT;
}

/// Switches off what saves calls by itself, so that a test of a promise sees each call that its requests ask for, and
/// lifts the limits: time stands still, and with it a second's budget.
pub fn lower_the_shield(config: &mut Config) {
    config.shield.max_wait = SHORT_WAIT;
    config.cache.list_fill = false;
    config.cache.write_through = false;
    for rules in [&mut config.cache.lead_labels, &mut config.cache.lead_label_lists] {
        rules.stale_while_revalidate = Duration::ZERO;
        rules.stale_if_error = Duration::ZERO;
    }
    let unlimited = NonZeroU32::new(1_000_000).expect("not zero");
    (config.shield.requests_per_second, config.shield.requests_per_minute) = (unlimited, unlimited);
    config.shield.burst = Burst::Whole;
}
