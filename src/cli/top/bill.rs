//! [`Bill`]: callers and keys as `/api/status` tells them, of this version or of another: what is not told is zero.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::Value;

/// What `top` shows of a status.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Bill {
    pub(super) version: String,
    pub(super) uptime_seconds: u64,
    pub(super) shield: Shield,
    /// Nothing where callers are not told apart.
    pub(super) callers: Option<Rows>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Shield {
    pub(super) queued: u64,
    pub(super) breaker_open: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Rows {
    callers: Vec<Row>,
    credentials: Vec<Row>,
}

/// One caller or one key.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Row {
    pub(super) name: String,
    total: Numbers,
    hour: Numbers,
    minute: Numbers,
    pub(super) refused: Option<Refusal>,
}

/// The last refusal of a key by the API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) route: String,
    pub(super) caller: String,
}

/// What was counted over some time.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Numbers {
    pub(super) requests: u64,
    pub(super) upstream_calls: u64,
    pub(super) outcomes: BTreeMap<String, u64>,
    pub(super) bypasses: BTreeMap<String, u64>,
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

/// Whose rows are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Subject {
    /// One row a caller.
    #[default]
    Callers,
    /// One row a key, by its name.
    Credentials,
}

/// Over which time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Span {
    /// The last minute.
    #[default]
    Minute,
    /// The last hour.
    Hour,
    /// Since each was first seen.
    Total,
}

impl Bill {
    /// What a status tells.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub(super) fn read(status: Value) -> Result<Self, String> {
        serde_json::from_value(status).map_err(|fault| format!("the status is not understood: {fault}"))
    }
}

impl Subject {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Callers => "callers",
            Self::Credentials => "credentials",
        }
    }

    pub(super) const fn next(self) -> Self {
        match self {
            Self::Callers => Self::Credentials,
            Self::Credentials => Self::Callers,
        }
    }
}

impl Span {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "the last minute",
            Self::Hour => "the last hour",
            Self::Total => "since the start",
        }
    }

    pub(super) const fn next(self) -> Self {
        match self {
            Self::Minute => Self::Hour,
            Self::Hour => Self::Total,
            Self::Total => Self::Minute,
        }
    }
}

impl Rows {
    pub(super) fn of(&self, subject: Subject) -> &[Row] {
        match subject {
            Subject::Callers => &self.callers,
            Subject::Credentials => &self.credentials,
        }
    }
}

impl Row {
    pub(super) const fn over(&self, span: Span) -> &Numbers {
        match span {
            Span::Minute => &self.minute,
            Span::Hour => &self.hour,
            Span::Total => &self.total,
        }
    }

    /// What is counted of all of them together: what metrics say.
    pub(super) fn sum(rows: &[Self]) -> Self {
        let mut sum = Self { name: "all".to_owned(), ..Self::default() };
        for row in rows {
            sum.total.add(&row.total);
            sum.hour.add(&row.hour);
            sum.minute.add(&row.minute);
        }
        sum
    }
}

impl Numbers {
    /// A number by its name in the status.
    pub(super) fn of(&self, name: &str) -> u64 {
        self.more.get(name).and_then(Value::as_u64).unwrap_or(0)
    }

    /// Answered requests of one of these outcomes.
    pub(super) fn with(&self, outcomes: &[&str]) -> u64 {
        outcomes
            .iter()
            .filter_map(|outcome| self.outcomes.get(*outcome))
            .copied()
            .fold(0, u64::saturating_add)
    }

    fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.upstream_calls = self.upstream_calls.saturating_add(other.upstream_calls);
        for (sum, more) in [(&mut self.outcomes, &other.outcomes), (&mut self.bypasses, &other.bypasses)] {
            for (name, more) in more {
                let sum = sum.entry(name.clone()).or_default();
                *sum = sum.saturating_add(*more);
            }
        }
        for name in other.more.keys() {
            let sum = self.of(name).saturating_add(other.of(name));
            self.more.insert(name.clone(), sum.into());
        }
    }
}
