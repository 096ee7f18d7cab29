//! [`Table`]: a bounded number of rows. Who is new in a full table takes the place of who was seen least recently, and what was
//! counted of that one goes to `other`: sums over all rows stay what they are.
//!
//! A row that has lost its place may still be counted into by requests under way. It is kept until nobody has it any more, and
//! shown as a part of `other` meanwhile.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::figures::Figures;
use super::row::{Row, Shown};
use crate::lock::Mutex;
use crate::semantics::caller_name::OTHER;

/// Never given up: rows of names that the configuration lists.
const PINNED: u64 = u64::MAX;

/// Rows by what they are found by.
#[derive(Debug)]
pub(super) struct Table<K> {
    rows: Mutex<Rows<K>>,
    /// When each was last seen: the second in the upper half, and an order within it in the lower one.
    seen: Box<[AtomicU64]>,
    other: Arc<Row>,
}

#[derive(Debug)]
struct Rows<K> {
    by_key: HashMap<K, Arc<Row>>,
    keys: Vec<K>,
    /// Rows that have lost their places, and that somebody still has.
    retired: Vec<Arc<Row>>,
    /// How many rows were made.
    made: u64,
}

impl<K: Hash + Eq + Clone> Table<K> {
    pub(super) fn new(size: usize) -> Self {
        let rows = Rows { by_key: HashMap::new(), keys: Vec::new(), retired: Vec::new(), made: 0 };
        Self {
            rows: Mutex::new(rows),
            seen: (0..size).map(|_| AtomicU64::new(0)).collect(),
            other: Arc::new(Row::new(0, usize::MAX, OTHER)),
        }
    }

    /// All that are not told apart.
    pub(super) const fn other(&self) -> &Arc<Row> {
        &self.other
    }

    /// Notes that a row was seen in this second.
    pub(super) fn touch(&self, row: &Row, second: u64) {
        let Some(seen) = self.seen.get(row.slot) else { return };
        let before = seen.load(Ordering::Relaxed);
        // Read far more often than written: other threads have it in their caches.
        if before != PINNED && before >> 32 != second {
            seen.store(second << 32, Ordering::Relaxed);
        }
    }

    /// The row of a key; made if it is new.
    pub(super) fn row(&self, key: &K, name: impl FnOnce() -> String, second: u64, step: u64) -> Arc<Row> {
        let mut rows = self.rows.lock();
        if let Some(row) = rows.by_key.get(key) {
            let row = Arc::clone(row);
            drop(rows);
            self.touch(&row, second);
            return row;
        }
        let Some(slot) = self.place(&mut rows, step) else { return Arc::clone(&self.other) };
        let row = rows.put(key, &name(), slot);
        self.seen[slot].store(second << 32 | (rows.made & 0xFFFF_FFFF), Ordering::Relaxed);
        row
    }

    /// A free place, or that of the row that was seen least recently; none where all are pinned.
    fn place(&self, rows: &mut Rows<K>, step: u64) -> Option<usize> {
        if rows.keys.len() < self.seen.len() {
            return Some(rows.keys.len());
        }
        let seen = self.seen.iter().map(|seen| seen.load(Ordering::Relaxed)).enumerate();
        let (slot, _) = seen.filter(|(_, seen)| *seen != PINNED).min_by_key(|(_, seen)| *seen)?;
        if let Some(row) = rows.by_key.remove(&rows.keys[slot]) {
            row.retire();
            rows.retired.push(row);
        }
        self.settle(rows, step);
        Some(slot)
    }

    /// Makes rows for keys that are never given up; those that were so before are given up like others.
    pub(super) fn pin(&self, keys: impl Iterator<Item = (K, String)>, step: u64) {
        for seen in &self.seen {
            let _ = seen.compare_exchange(PINNED, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
        for (key, name) in keys {
            let row = self.row(&key, || name, 0, step);
            if let Some(seen) = self.seen.get(row.slot) {
                seen.store(PINNED, Ordering::Relaxed);
            }
        }
    }

    /// Adds what was counted of rows that nobody has any more to `other`.
    fn settle(&self, rows: &mut Rows<K>, step: u64) {
        rows.retired.retain(|row| {
            if Arc::strong_count(row) > 1 {
                return true;
            }
            let figures = row.counters.figures();
            self.other.history.lock().absorb(&mut row.history.lock(), &figures, step);
            self.other.counters.absorb(&figures);
            false
        });
    }

    /// Notes what was counted until this step.
    pub(super) fn note(&self, step: u64) {
        let mut rows = self.rows.lock();
        self.settle(&mut rows, step);
        let all = rows.by_key.values().chain(&rows.retired).chain([&self.other]);
        all.for_each(|row| row.history.lock().note(&row.counters.figures(), step));
    }

    /// Every row, `other` last.
    pub(super) fn shown(&self, step: u64) -> Vec<Shown> {
        let mut rows = self.rows.lock();
        self.settle(&mut rows, step);
        let mut shown: Vec<_> = rows.by_key.values().map(|row| row.shown(step)).collect();
        let mut other = self.other.shown(step);
        for retired in rows.retired.iter().map(|row| row.shown(step)) {
            other.total.add(&retired.total);
            other.hour.add(&retired.hour);
            other.minute.add(&retired.minute);
        }
        shown.push(other);
        shown
    }

    /// What was counted of each pinned row, and of all others together.
    pub(super) fn pinned(&self) -> (Vec<(Box<str>, Figures)>, Figures) {
        let rows = self.rows.lock();
        let (mut named, mut others) = (Vec::<(Box<str>, Figures)>::new(), self.other.counters.figures());
        for row in rows.by_key.values().chain(&rows.retired) {
            let figures = row.counters.figures();
            let is_pinned =
                || self.seen.get(row.slot).is_some_and(|seen| seen.load(Ordering::Relaxed) == PINNED);
            if !row.is_retired() && is_pinned() {
                named.push((row.name().into(), figures));
            } else {
                others.add(&figures);
            }
        }
        named.sort_by(|(one, _), (other, _)| one.cmp(other));
        (named, others)
    }
}

impl<K: Hash + Eq + Clone> Rows<K> {
    fn put(&mut self, key: &K, name: &str, slot: usize) -> Arc<Row> {
        self.made += 1;
        // Of its key, under a seed of this process: who comes again after it has lost its place is who it was, and its cap with it.
        let id = self.by_key.hasher().hash_one(key);
        let row = Arc::new(Row::new(id, slot, name));
        match self.keys.get_mut(slot) {
            Some(place) => place.clone_from(key),
            None => self.keys.push(key.clone()),
        }
        self.by_key.insert(key.clone(), Arc::clone(&row));
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;

    fn names(table: &Table<u32>) -> Vec<String> {
        let mut names: Vec<_> = table.shown(0).iter().map(|row| row.name.to_string()).collect();
        names.sort();
        names
    }

    fn sum(table: &Table<u32>) -> u64 {
        table.shown(0).iter().map(|row| row.total.requests()).sum()
    }

    #[test]
    fn who_was_seen_least_recently_makes_room_and_its_figures_go_to_other() {
        let table = Table::new(3);
        for (key, second) in [(1, 1), (2, 2), (3, 3), (1, 4)] {
            table.row(&key, || key.to_string(), second, 0).counters.request(Outcome::Hit);
        }
        table.row(&4, || "4".to_owned(), 5, 0).counters.request(Outcome::Miss);
        assert_eq!((names(&table), sum(&table)), (["1", "3", "4", "other"].map(String::from).to_vec(), 5));
        assert_eq!(table.other().counters.figures().requests(), 1);
    }

    #[test]
    fn who_has_lost_its_place_is_the_same_when_it_comes_again() {
        let table = Table::new(2);
        let row = |key: u32| table.row(&key, || key.to_string(), 1, 0);
        let (id, other) = (row(1).id(), row(2).id());
        for key in 3..50 {
            row(key);
        }
        let again = row(1);
        assert_eq!((again.id(), again.counters.figures().requests()), (id, 0));
        assert_ne!(id, other);
    }

    #[test]
    fn what_is_counted_of_a_row_behind_its_end_is_not_lost() {
        let table = Table::new(1);
        let kept = table.row(&1, || "1".to_owned(), 1, 0);
        for key in 2..50 {
            table.row(&key, || key.to_string(), 1, 0);
        }
        assert!(kept.is_retired());
        kept.counters.request(Outcome::Hit);
        assert_eq!((sum(&table), table.rows.lock().retired.len()), (1, 1));
        drop(kept);
        assert_eq!((sum(&table), table.rows.lock().retired.len()), (1, 0));
    }

    #[test]
    fn pinned_rows_stay_whoever_comes() {
        let table = Table::new(2);
        table.pin([(1, "1".to_owned()), (2, "2".to_owned())].into_iter(), 0);
        assert_eq!(table.row(&3, || "3".to_owned(), 9, 0).name(), OTHER);
        table.pin([(2, "2".to_owned())].into_iter(), 0);
        assert_eq!(table.row(&3, || "3".to_owned(), 9, 0).name(), "3");
        assert_eq!(table.pinned().0.len(), 1);
    }

    #[test]
    fn a_hundred_thousand_names_leave_a_thousand_rows_and_equal_sums() {
        let table = Table::new(1000);
        for key in 0..100_000 {
            table
                .row(&key, || key.to_string(), u64::from(key / 1000), 0)
                .counters
                .request(Outcome::Forwarded);
        }
        let shown = table.shown(0);
        assert_eq!((shown.len(), sum(&table)), (1001, 100_000));
        assert!(
            shown
                .iter()
                .filter(|row| &*row.name != OTHER)
                .all(|row| row.name.parse::<u32>().unwrap() >= 99_000)
        );
    }
}
