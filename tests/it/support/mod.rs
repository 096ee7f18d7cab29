//! The harness: a real proxy between a scripted upstream and clients, all in one process, over real sockets.
//!
//! - [`TestUpstream`] answers as a closure says, records every request and counts connections. [`Answer`] builds what it
//!   sends: sound, cut, stalled, raw. A [`Gate`] holds answers back until the test releases them.
//! - [`Vendor`] is a small API to put behind it: organizations, tokens, lead labels, paging. [`labels`] has the fixed
//!   ids and the vendor-shaped JSON.
//! - [`TestProxy`] is the server that `main` runs, on free ports, with a clock that the test moves.
//! - [`Caller`] is a well-behaved client; its [`Reply`] has the asserts. [`RawConnection`] sends any bytes.
//!   [`Streams`] is one HTTP/2 connection, stream by stream; [`frames`] is one of bytes.
//! - [`Process`] is the built program as a child, [`Serving`] one that serves: for signals, memory and what it prints.
//! - [`TestStore`](store::TestStore) is a real Redis or Valkey server.
//! - [`World`] is all of it, set up with two organizations that have the same label ids.
//! - [`Mixed`] is a world whose proxy caches every resource, and one that the program does not know; [`Kind`] is one of them.
//!
//! Nothing sleeps. What a test waits for it awaits ([`TestUpstream::arrived`], [`Gate::held`],
//! [`TestProxy::metric_reaches`]); what takes time moves with [`TestProxy::advance`]. The one real timer is in
//! [`patience`]: a wait that has not ended after 20 s fails with its place and what it waited for.
//!
//! ```ignore
//! let world = World::start();
//! let first = world.proven("a", 1).await;                    // has read label 1, so that its organization is known
//! first.get(&label_path(1)).send().await.assert_hit();
//! let held = world.upstream.hold(|request| request.is("GET", &label_path(2)));
//! let (reply, ()) = tokio::join!(first.get(&label_path(2)).send(), async {
//!     held.held(1).await;
//!     held.release();
//! });
//! reply.assert_miss();
//! ```

#![expect(unreachable_pub, reason = "a test binary exports nothing: what is public is for every promise")]

mod answer;
mod caller;
pub mod fleet;
pub mod frames;
mod gadget;
mod gate;
mod http2_tls;
pub mod labels;
mod mixed;
mod patience;
mod process;
mod proxy;
mod raw;
mod recorded;
mod reply;
mod stand_in;
pub mod store;
mod streams;
mod upstream;
mod vendor;
mod wire;
mod workspace;
mod world;

pub use answer::Answer;
pub use caller::{Caller, Outgoing};
pub use gate::Gate;
pub use http2_tls::{Http2Tls, ListensBehindTls, proxy_before};
pub use mixed::{CAMPAIGN_KIND, GADGET_KIND, Kind, LABEL, LIST, Mixed, TAG};
pub use patience::{patiently, together};
pub use process::{Process, Serving};
pub use proxy::{TestProxy, sum_of_series};
pub use raw::{RawConnection, RawReply};
pub use recorded::Recorded;
pub use reply::Reply;
pub use stand_in::{Peculiar, keep_as_labels};
pub use streams::Streams;
pub use upstream::TestUpstream;
pub use vendor::{Grants, Vendor};
pub use wire::Framing;
pub use workspace::WORKSPACE;
pub use world::{World, is_label_read};
