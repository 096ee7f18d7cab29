//! [`Column`]: what is shown of a caller: title, width, order and text of each number.

use std::cmp::{Ordering, Reverse};

use clap::ValueEnum;

use super::bill::{Row, Span};

/// One column. In the order in which they stand from left to right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Column {
    /// Name of the caller, or of the key
    Name,
    /// Answered requests
    #[default]
    Requests,
    /// Hits of a hundred label reads
    Hits,
    /// Label reads that were passed through
    Bypassed,
    /// Calls sent to the API
    Calls,
    /// Calls that were not needed
    Saved,
    /// How long its calls waited for their turns
    Waited,
    /// 429s of the proxy's own
    Limited,
    /// 401, 402, 403 and 429 of the API
    Refused,
    /// 401s of the API
    #[value(name = "401")]
    Unauthorized,
    /// 402s of the API
    #[value(name = "402")]
    PaymentRequired,
    /// 403s of the API
    #[value(name = "403")]
    Forbidden,
    /// 429s of the API
    #[value(name = "429")]
    TooMany,
    /// Bytes of answers
    Bytes,
    /// Requests that its limits forbid
    Denied,
    /// Requests and calls that would have waited or been refused, where limits are observed alone
    Observed,
    /// The API's last refusal of the key
    Last,
}

impl Column {
    /// What matters most first: where the screen is narrow, the last of these are not there.
    const BY_WEIGHT: [Self; 16] = [
        Self::Requests,
        Self::Calls,
        Self::Limited,
        Self::Refused,
        Self::Hits,
        Self::Waited,
        Self::Saved,
        Self::Bytes,
        Self::Last,
        Self::Bypassed,
        Self::Denied,
        Self::TooMany,
        Self::Unauthorized,
        Self::Forbidden,
        Self::PaymentRequired,
        Self::Observed,
    ];
    /// The least room for names: the longest that are usual fit in it.
    const NAME: u16 = 20;
    /// The most: names have no more characters, but for the mark of a key.
    pub(super) const LONGEST_NAME: u16 = 65;

    /// Those that fit so many characters beside a name, in their order.
    pub(super) fn that_fit(width: u16) -> Vec<Self> {
        let mut left = width.saturating_sub(Self::NAME);
        let mut fit = vec![Self::Name];
        for column in Self::BY_WEIGHT {
            let Some(rest) = left.checked_sub(column.width() + 1) else { continue };
            left = rest;
            fit.push(column);
        }
        fit.sort_by_key(|column| *column as usize);
        fit
    }

    /// In characters; that of the name is what the others leave.
    pub(super) const fn width(self) -> u16 {
        match self {
            Self::Name => Self::NAME,
            Self::Requests | Self::Bytes | Self::Waited => 7,
            Self::Calls | Self::Saved => 6,
            Self::Hits => 5,
            Self::Limited | Self::Refused => 7,
            Self::Unauthorized | Self::PaymentRequired | Self::Forbidden | Self::TooMany => 5,
            Self::Bypassed | Self::Denied | Self::Observed => 8,
            Self::Last => 40,
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Name => "NAME",
            Self::Requests => "REQS",
            Self::Hits => "HIT%",
            Self::Bypassed => "BYPASS",
            Self::Calls => "CALLS",
            Self::Saved => "SAVED",
            Self::Waited => "WAITED",
            Self::Limited => "OUR429",
            Self::Refused => "API4XX",
            Self::Unauthorized => "401",
            Self::PaymentRequired => "402",
            Self::Forbidden => "403",
            Self::TooMany => "429",
            Self::Bytes => "BYTES",
            Self::Denied => "DENIED",
            Self::Observed => "WOULD",
            Self::Last => "LAST REFUSAL",
        }
    }

    /// Whether text stands on the left, and numbers on the right.
    pub(super) const fn is_text(self) -> bool {
        matches!(self, Self::Name | Self::Last)
    }

    /// What it says of a row.
    pub(super) fn text(self, row: &Row, span: Span) -> String {
        let number = self.number(row, span);
        match self {
            Self::Name => row.name.clone(),
            Self::Last => row.refused.as_ref().map_or_else(String::new, |refused| {
                format!("{} {} by {}", refused.status, refused.route, refused.caller)
            }),
            Self::Hits if self.reads(row, span) == 0 => "-".to_owned(),
            Self::Waited => waited(number),
            Self::Bytes => short(number, 1024),
            _ => short(number, 1000),
        }
    }

    /// The largest first; names by the alphabet.
    pub(super) fn compare(self, one: &Row, other: &Row, span: Span) -> Ordering {
        match self {
            Self::Name => one.name.cmp(&other.name),
            Self::Last => {
                let refused = |row: &Row| row.refused.as_ref().map(|refused| refused.status);
                refused(other).cmp(&refused(one))
            }
            _ => Reverse(self.number(one, span)).cmp(&Reverse(self.number(other, span))),
        }
    }

    fn reads(self, row: &Row, span: Span) -> u64 {
        row.over(span).with(&["hit", "stale", "collapsed", "miss", "bypass"])
    }

    fn number(self, row: &Row, span: Span) -> u64 {
        let numbers = row.over(span);
        match self {
            Self::Name | Self::Last => 0,
            Self::Requests => numbers.requests,
            Self::Hits => numbers.with(&["hit", "stale"]).saturating_mul(100) / self.reads(row, span).max(1),
            Self::Bypassed => numbers.bypasses.values().copied().fold(0, u64::saturating_add),
            Self::Calls => numbers.upstream_calls,
            Self::Saved => numbers.of("saved"),
            Self::Waited => numbers.of("waited_us"),
            Self::Limited => numbers.of("own_429"),
            Self::Refused => {
                let names = ["api_401", "api_402", "api_403", "api_429"];
                names.map(|name| numbers.of(name)).into_iter().fold(0, u64::saturating_add)
            }
            Self::Unauthorized => numbers.of("api_401"),
            Self::PaymentRequired => numbers.of("api_402"),
            Self::Forbidden => numbers.of("api_403"),
            Self::TooMany => numbers.of("api_429"),
            Self::Bytes => numbers.of("bytes"),
            Self::Denied => numbers.of("denied"),
            Self::Observed => numbers.of("would_wait").saturating_add(numbers.of("would_refuse")),
        }
    }
}

/// A number in at most five characters: `12345`, then `123k`, `1.2M`.
fn short(number: u64, thousand: u64) -> String {
    if number < 100_000 && thousand == 1000 || number < thousand {
        return number.to_string();
    }
    let mut unit = thousand;
    for name in ["k", "M", "G", "T"] {
        let tenths = u128::from(number) * 10 / u128::from(unit);
        if tenths < 100 {
            return format!("{}.{}{name}", tenths / 10, tenths % 10);
        }
        if tenths < u128::from(thousand) * 10 {
            return format!("{}{name}", tenths / 10);
        }
        unit = unit.saturating_mul(thousand);
    }
    format!("{}P", number / unit.max(1))
}

/// Microseconds, in the unit that says most.
fn waited(micros: u64) -> String {
    match micros {
        0 => "0".to_owned(),
        1..1_000 => "<1ms".to_owned(),
        1_000..10_000_000 => format!("{}ms", micros / 1_000),
        10_000_000..600_000_000 => format!("{}s", micros / 1_000_000),
        _ => format!("{}min", micros / 60_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_columns() {
        for (number, thousand, expected) in [
            (0, 1000, "0"),
            (99_999, 1000, "99999"),
            (100_000, 1000, "100k"),
            (1_250_000, 1000, "1.2M"),
            (1023, 1024, "1023"),
            (1024, 1024, "1.0k"),
            (15 * 1024 * 1024, 1024, "15M"),
            (999_999_999, 1000, "999M"),
        ] {
            assert_eq!(short(number, thousand), expected);
        }
        assert!(short(u64::MAX, 1000).len() <= 6 && short(u64::MAX, 1024).len() <= 6);
        for (micros, expected) in
            [(0, "0"), (7, "<1ms"), (9_999_999, "9999ms"), (12_000_000, "12s"), (3_600_000_000, "60min")]
        {
            assert_eq!(waited(micros), expected);
        }
    }

    #[test]
    fn what_matters_most_fits_the_narrowest_screen() {
        let narrow = Column::that_fit(80);
        for column in [Column::Name, Column::Requests, Column::Calls, Column::Limited, Column::Refused] {
            assert!(narrow.contains(&column), "{narrow:?}");
        }
        assert!(!narrow.contains(&Column::Last));
        assert_eq!(Column::that_fit(200).len(), 17, "all of them");
        assert_eq!(Column::that_fit(10), [Column::Name]);
    }
}
