//! [`bounded`]: every table that a caller can grow has a limit; [`sweep`]: and what it holds goes by time.

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

/// Lets go of the oldest entries of a table for as long as they are over. It looks at one more than it drops: a table whose
/// entries are moved by nothing but being put is in the order of time.
pub(crate) fn sweep<K: Hash + Eq, V>(table: &mut LruCache<K, V>, is_over: impl Fn(&V) -> bool) {
    while table.peek_lru().is_some_and(|(_, oldest)| is_over(oldest)) {
        table.pop_lru();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_drops_what_is_over_and_nothing_else() {
        let mut table = bounded(NonZeroUsize::new(3).unwrap());
        for number in 0..5 {
            table.put(number, number);
        }
        sweep(&mut table, |number| *number < 4);
        assert_eq!(table.iter().collect::<Vec<_>>(), [(&4, &4)]);
        sweep(&mut table, |_| true);
        assert!(table.is_empty());
    }
}
