//! [`View`]: what is seen of a demonstration while it runs: lines, and on a terminal a panel below them that is drawn anew.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use ratatui::crossterm::terminal;

use super::super::say::say;
use super::figures::Figures;

/// Columns of the panel.
const WIDTH: u16 = 66;
/// Looks that a chart shows.
const CHART: usize = 40;
const BARS: [char; 8] =
    ['\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}', '\u{2588}'];

/// Where it is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A terminal, whose panel is drawn over the one before it.
    Terminal(Colour),
    /// Anything else: lines alone.
    Lines,
    /// Nowhere: a document at the end is all that is wanted.
    Nowhere,
}

/// Whether a terminal gets colours (<https://no-color.org>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colour {
    Yes,
    No,
}

/// How a text is set off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// What is about to be shown.
    Title,
    /// What came of it.
    Good,
    /// What stands beside.
    Quiet,
}

/// See the module.
#[derive(Debug)]
pub(super) struct View {
    kind: Kind,
    /// Lines of the panel that stands there.
    drawn: usize,
}

impl View {
    /// For standard output.
    pub(super) fn of_output() -> Self {
        let has = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        // Lines that are broken by the terminal would not be drawn over.
        let is_wide = terminal::size().is_ok_and(|(columns, _)| columns >= WIDTH);
        let kind = match io::stdout().is_terminal() && !is_dumb && is_wide {
            true if has("NO_COLOR") => Kind::Terminal(Colour::No),
            true => Kind::Terminal(Colour::Yes),
            false => Kind::Lines,
        };
        Self { kind, drawn: 0 }
    }

    /// For whoever wants the document alone.
    pub(super) const fn nowhere() -> Self {
        Self { kind: Kind::Nowhere, drawn: 0 }
    }

    /// Whether there is a panel.
    pub(super) const fn has_panel(&self) -> bool {
        matches!(self.kind, Kind::Terminal(_))
    }

    /// Writes lines that stay.
    pub(super) fn say(&mut self, text: impl Display) {
        if self.kind != Kind::Nowhere {
            self.erase();
            say(text);
        }
    }

    /// Writes a line that stays, set off.
    pub(super) fn say_as(&mut self, style: Style, text: &str) {
        let painted = self.painted(style, text);
        self.say(painted);
    }

    /// Draws the panel, over the one before it.
    pub(super) fn draw(&mut self, panel: &[String]) {
        if !self.has_panel() {
            return;
        }
        self.erase();
        say(panel.join("\n"));
        self.drawn = panel.len();
    }

    fn erase(&mut self) {
        if self.drawn > 0 {
            let mut stdout = io::stdout().lock();
            // Up so many lines, and from there on nothing (ECMA-48: CPL, ED). Whoever closed the pipe has read enough.
            let _ = write!(stdout, "\x1b[{}F\x1b[J", self.drawn).and_then(|()| stdout.flush());
            self.drawn = 0;
        }
    }

    fn painted(&self, style: Style, text: &str) -> String {
        if self.kind != Kind::Terminal(Colour::Yes) {
            return text.to_owned();
        }
        let code = match style {
            Style::Title => "1;36",
            Style::Good => "32",
            Style::Quiet => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// The looks at the figures that the panel shows, a second each.
#[derive(Debug, Default)]
pub(super) struct Panel {
    last: Figures,
    requests: VecDeque<u64>,
    upstream: VecDeque<u64>,
}

impl Panel {
    /// Takes the next look; the line for where there is no panel.
    pub(super) fn look(&mut self, now: Figures) -> String {
        let line = now.line_since(&self.last);
        let second = now.since(&self.last);
        for (looks, value) in
            [(&mut self.requests, second.requests()), (&mut self.upstream, second.upstream())]
        {
            if looks.len() == CHART {
                looks.pop_front();
            }
            looks.push_back(value);
        }
        self.last = now;
        line
    }

    /// Its lines.
    pub(super) fn lines(&self, view: &View) -> Vec<String> {
        let row = |name: &str, value: String, rest: String| {
            format!("{} {value:>8}  {}", view.painted(Style::Quiet, &format!("{name:>14}")), rest)
        };
        let latest = |looks: &VecDeque<u64>| looks.back().copied().unwrap_or_default().to_string();
        vec![
            String::new(),
            row("requests/s", latest(&self.requests), view.painted(Style::Good, &chart(&self.requests))),
            row("API calls/s", latest(&self.upstream), chart(&self.upstream)),
            row("hit ratio", format!("{:.1} %", self.last.hit_ratio()), meter(self.last.hit_ratio())),
            row("errors", self.last.errors().to_string(), String::new()),
        ]
    }
}

/// A column a look, the highest as high as the line.
fn chart(looks: &VecDeque<u64>) -> String {
    let most = looks.iter().copied().max().unwrap_or_default().max(1);
    let column = |value: &u64| {
        let step = value.saturating_mul(7).div_ceil(most);
        BARS[usize::try_from(step).unwrap_or_default().min(7)]
    };
    looks.iter().map(column).collect()
}

/// A part of a hundred, as a bar.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is from 0 to the length of a chart"
)]
fn meter(part: f64) -> String {
    let full = (part.clamp(0.0, 100.0) / 100.0 * CHART as f64).floor() as usize;
    format!("{}{}", "\u{2588}".repeat(full), "\u{2591}".repeat(CHART - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_as_high_as_its_highest_column_and_a_meter_as_long_as_its_part() {
        assert_eq!(chart(&VecDeque::from([0, 1, 50, 100])), "\u{2581}\u{2582}\u{2585}\u{2588}");
        assert_eq!(chart(&VecDeque::from([0, 0])), "\u{2581}\u{2581}");
        assert_eq!(meter(50.0), format!("{}{}", "\u{2588}".repeat(20), "\u{2591}".repeat(20)));
        assert!(meter(99.9).contains('\u{2591}'), "what is not all does not look like it");
    }

    #[test]
    fn colours_are_for_terminals_that_take_them() {
        let of = |kind| View { kind, drawn: 0 }.painted(Style::Good, "a");
        assert_eq!(of(Kind::Terminal(Colour::Yes)), "\x1b[32ma\x1b[0m");
        for kind in [Kind::Terminal(Colour::No), Kind::Lines, Kind::Nowhere] {
            assert_eq!(of(kind), "a");
        }
    }
}
