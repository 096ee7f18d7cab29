//! [`bounded`]: every table that a caller can grow has a limit.

use std::hash::Hash;
use std::num::NonZeroUsize;

use lru::LruCache;

/// A table of at most `limit` entries that drops the least recently used one; unlike `LruCache::new` it takes no memory
/// for entries that it does not have yet.
pub(crate) fn bounded<K: Hash + Eq, V>(limit: NonZeroUsize) -> LruCache<K, V> {
    let mut table = LruCache::unbounded();
    table.resize(limit);
    table
}
