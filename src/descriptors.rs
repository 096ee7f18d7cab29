//! Open files: how many this process may have, and how they are divided.
//!
//! Callers can open connections without end, and descriptors are one pool for them, for connections to the upstream, the admin
//! port, the log and files. So a part is kept from callers: what they do must not keep the proxy from asking the upstream,
//! or a probe from its answer.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What everything takes but callers and their calls upstream: label calls, the admin port, event queues, files.
pub const RESERVE: u64 = 256;

/// Where the limit leaves callers less than this part of it, they get this part all the same.
const LEAST_PART: u64 = 4;

/// The most that this process may ever have open; `None` is no limit.
#[must_use]
pub fn highest() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// Takes all that the process may have: systems give programs little by default for the sake of `select`, which is not used
/// here. Returns what holds then; `None` is no limit.
///
/// # Errors
///
/// If the system refuses; what held before goes on.
pub fn raise() -> io::Result<Option<u64>> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(maximum)
}

/// How many of `wanted` connections callers may really have, where the proxy may have `upstream` connections of its own: by
/// what holds now.
#[must_use]
pub fn for_callers(wanted: usize, upstream: usize) -> usize {
    share(getrlimit(Resource::Nofile).current, wanted, upstream)
}

/// The same under another limit.
#[must_use]
pub fn share(limit: Option<u64>, wanted: usize, upstream: usize) -> usize {
    let Some(limit) = limit else { return wanted };
    let kept = RESERVE.saturating_add(upstream as u64);
    let left = limit.saturating_sub(kept).max(limit / LEAST_PART).max(1);
    usize::try_from(left).map_or(wanted, |left| left.min(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_get_what_they_want_where_it_leaves_enough_for_everything_else() {
        for (limit, wanted, upstream, expected) in [
            (None, 10_000, 512, 10_000),
            (Some(1 << 20), 10_000, 512, 10_000),
            (Some(10_768), 10_000, 512, 10_000),
            (Some(10_767), 10_000, 512, 9_999),
            (Some(1024), 10_000, 512, 256),
            (Some(1025), 10_000, 512, 257),
            (Some(256), 10_000, 512, 64),
            (Some(256), 8, 512, 8),
            (Some(0), 8, 512, 1),
            (Some(u64::MAX), usize::MAX, usize::MAX, (u64::MAX / 4) as usize),
        ] {
            assert_eq!(share(limit, wanted, upstream), expected, "{limit:?} {wanted} {upstream}");
        }
    }
}
