//! The book of an organization's lead labels: the truth, and what reads see of it while a write is being replicated.
//!
//! It holds every label with its JSON, so that a read copies a handle and writes nothing anew. What a request may ask
//! for, and in which words it is refused, is left to the endpoints.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::closed_enum::closed_enum;

/// A lead label: the vendor's nine members in the vendor's order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Label {
    /// UUID of version 7.
    pub id: Uuid,
    /// When it was made; no member tells when it was changed.
    pub timestamp_created: Timestamp,
    /// The user who made it; nobody where a key did.
    pub created_by: Option<Uuid>,
    /// Whose it is.
    pub organization_id: Uuid,
    /// The text that people see.
    pub label: String,
    /// The category.
    pub interest_status_label: Interest,
    /// The number that leads carry; chosen by the API.
    pub interest_status: i32,
    /// When to use it.
    pub description: Option<String>,
    /// Whether the vendor's reply agent may use it.
    pub use_with_ai: Option<bool>,
}

closed_enum! {
    /// `interest_status_label`: the category of a lead label.
    pub enum Interest {
        /// The lead wants more.
        Positive = "positive",
        /// The lead wants nothing.
        Negative = "negative",
        /// Neither.
        Neutral = "neutral",
    }
}

impl Interest {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|interest| interest.as_str() == text)
    }
}

impl Serialize for Interest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Milliseconds since 1970, written `2026-01-05T08:00:00.000Z` (RFC 3339).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This moment moved on by `by`, to the millisecond.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(self.0)).fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Timestamp {
    type Err = humantime::TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let since = humantime::parse_rfc3339(text)?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// A label that was deleted, and what its request said about the leads that had it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deletion {
    /// The label.
    pub id: Uuid,
    /// `reassigned_status` of the request's body, if it had one.
    pub reassigned_status: Option<f64>,
}

/// What a page of the list is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) limit: usize,
    pub(super) starting_after: Option<Timestamp>,
    pub(super) search: Option<String>,
    pub(super) interest: Option<Interest>,
}

/// When a change happens, by the clock's uptime, and how long reads go on seeing what was before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct When {
    pub(super) now: Duration,
    pub(super) lag: Duration,
}

pub(super) struct Book {
    labels: Vec<Arc<Written>>,
    before: VecDeque<Before>,
    deletions: VecDeque<Deletion>,
}

pub(super) struct Written {
    pub(super) label: Label,
    pub(super) json: Bytes,
}

/// What reads see until `until`.
struct Before {
    until: Duration,
    labels: Vec<Arc<Written>>,
}

const REMEMBERED_DELETIONS: usize = 1000;

impl Book {
    /// `labels` in the order in which they were made.
    pub(super) fn new(labels: Vec<Label>) -> Self {
        Self {
            labels: labels.into_iter().map(Written::new).collect(),
            before: VecDeque::new(),
            deletions: VecDeque::new(),
        }
    }

    pub(super) fn read(&mut self, id: Uuid, now: Duration) -> Option<Bytes> {
        self.seen(now).iter().find(|written| written.label.id == id).map(|written| written.json.clone())
    }

    /// The newest first of those that the reader `sees`, as far as the page reaches.
    pub(super) fn page(
        &mut self,
        page: &Page,
        sees: impl Fn(Uuid) -> bool,
        now: Duration,
    ) -> Vec<Arc<Written>> {
        let search = page.search.as_deref().map(str::to_lowercase);
        self.seen(now)
            .iter()
            .rev()
            .filter(|written| sees(written.label.id))
            .filter(|written| page.starting_after.is_none_or(|after| written.label.timestamp_created < after))
            .filter(|written| page.interest.is_none_or(|i| written.label.interest_status_label == i))
            .filter(|written| {
                search.as_deref().is_none_or(|text| written.label.label.to_lowercase().contains(text))
            })
            .take(page.limit)
            .cloned()
            .collect()
    }

    /// Adds a label; moves its time stamp on to the first that no older label has, for cursors are time stamps.
    pub(super) fn create(&mut self, mut label: Label, when: When) -> Bytes {
        self.keep_before(when);
        if let Some(newest) = self.labels.last() {
            label.timestamp_created =
                label.timestamp_created.max(newest.label.timestamp_created.plus(Duration::from_millis(1)));
        }
        let written = Written::new(label);
        let json = written.json.clone();
        self.labels.push(written);
        json
    }

    pub(super) fn edit(&mut self, id: Uuid, when: When, edit: impl FnOnce(&mut Label)) -> Option<Bytes> {
        let at = self.position(id)?;
        self.keep_before(when);
        let mut label = self.labels[at].label.clone();
        edit(&mut label);
        self.labels[at] = Written::new(label);
        Some(self.labels[at].json.clone())
    }

    pub(super) fn delete(&mut self, id: Uuid, when: When, reassigned_status: Option<f64>) -> Option<Bytes> {
        let at = self.position(id)?;
        self.keep_before(when);
        let written = self.labels.remove(at);
        if self.deletions.len() == REMEMBERED_DELETIONS {
            self.deletions.pop_front();
        }
        self.deletions.push_back(Deletion { id, reassigned_status });
        Some(written.json.clone())
    }

    /// The truth, oldest first; replication lag does not hide anything here.
    pub(super) fn labels(&self) -> impl DoubleEndedIterator<Item = &Label> + ExactSizeIterator {
        self.labels.iter().map(|written| &written.label)
    }

    pub(super) fn deletions(&self) -> Vec<Deletion> {
        self.deletions.iter().copied().collect()
    }

    fn position(&self, id: Uuid) -> Option<usize> {
        self.labels.iter().position(|written| written.label.id == id)
    }

    fn keep_before(&mut self, when: When) {
        if !when.lag.is_zero() {
            let until = when.now.saturating_add(when.lag);
            self.before.push_back(Before { until, labels: self.labels.clone() });
        }
    }

    fn seen(&mut self, now: Duration) -> &[Arc<Written>] {
        while self.before.front().is_some_and(|before| before.until <= now) {
            self.before.pop_front();
        }
        self.before.front().map_or(&self.labels, |before| &before.labels)
    }
}

impl Written {
    fn new(label: Label) -> Arc<Self> {
        let json = serde_json::to_vec(&label).expect("a label has no map keys and no floats").into();
        Arc::new(Self { label, json })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn label(number: u64, interest: Interest) -> Label {
        Label {
            id: Uuid::from_u128(number.into()),
            timestamp_created: Timestamp(number * 1000),
            created_by: Some(Uuid::nil()),
            organization_id: Uuid::nil(),
            label: format!("Label {number}"),
            interest_status_label: interest,
            interest_status: 7,
            description: None,
            use_with_ai: None,
        }
    }

    fn book() -> Book {
        Book::new(
            (1..=5).map(|n| label(n, if n == 2 { Interest::Negative } else { Interest::Neutral })).collect(),
        )
    }

    fn at(now: Duration, lag: Duration) -> When {
        When { now, lag }
    }

    fn texts(book: &mut Book, page: &Page) -> Vec<String> {
        book.page(page, |_| true, SECOND).iter().map(|written| written.label.label.clone()).collect()
    }

    #[test]
    fn a_page_holds_the_newest_labels_that_fit_its_filters() {
        let all = Page { limit: 100, starting_after: None, search: None, interest: None };
        for (page, expected) in [
            (Page { limit: 2, ..all.clone() }, vec!["Label 5", "Label 4"]),
            (Page { starting_after: Some(Timestamp(3000)), ..all.clone() }, vec!["Label 2", "Label 1"]),
            (Page { search: Some("LABEL 3".to_owned()), ..all.clone() }, vec!["Label 3"]),
            (Page { interest: Some(Interest::Negative), ..all.clone() }, vec!["Label 2"]),
            (Page { starting_after: Some(Timestamp(1000)), ..all }, vec![]),
        ] {
            assert_eq!(texts(&mut book(), &page), expected, "{page:?}");
        }
    }

    #[test]
    fn reads_see_the_value_from_before_a_write_until_the_lag_is_over() {
        let mut book = book();
        let id = Uuid::from_u128(1);
        book.edit(id, at(SECOND, SECOND * 3), |label| label.label = "new".to_owned());
        book.delete(id, at(SECOND * 2, SECOND * 3), None);
        let text = |json: Option<Bytes>| json.map(|json| String::from_utf8_lossy(&json).into_owned());
        assert!(text(book.read(id, SECOND * 3)).unwrap().contains("Label 1"));
        assert!(text(book.read(id, SECOND * 4)).unwrap().contains("new"));
        assert_eq!(text(book.read(id, SECOND * 5)), None);
        assert_eq!(book.labels().len(), 4);
    }

    #[test]
    fn no_two_labels_share_a_time_stamp() {
        let mut book = book();
        book.create(label(5, Interest::Neutral), at(SECOND, Duration::ZERO));
        assert_eq!(book.labels().last().unwrap().timestamp_created, Timestamp(5001));
    }

    #[test]
    fn a_time_stamp_is_written_in_milliseconds_and_read_back() {
        let stamp: Timestamp = "2026-01-05T08:00:00.007Z".parse().unwrap();
        assert_eq!(stamp.to_string(), "2026-01-05T08:00:00.007Z");
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn a_label_has_nine_members_in_the_documented_order() {
        let json = serde_json::to_string(&label(1, Interest::Positive)).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"id":"00000000-0000-0000-0000-000000000001","timestamp_created":"1970-01-01T00:00:01.000Z","#,
                r#""created_by":"00000000-0000-0000-0000-000000000000","#,
                r#""organization_id":"00000000-0000-0000-0000-000000000000","label":"Label 1","#,
                r#""interest_status_label":"positive","interest_status":7,"description":null,"use_with_ai":null}"#
            )
        );
    }
}
