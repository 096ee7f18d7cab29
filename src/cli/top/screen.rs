//! [`Screen`]: what `top` shows at a moment, what a key changes of it, and how it is drawn.

use std::time::Duration;

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span as Piece, Text};
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table};

use super::bill::{Bill, Row, Rows, Span, Subject};
use super::column::Column;

/// Lines of a screen that are no rows: two above, titles and the sum, the keys below.
const LINES_BESIDES: u16 = 5;
pub(super) const NOT_TOLD_APART: &str =
    "Callers are not told apart: set callers.sources in the proxy's configuration.";

/// What is shown, and how.
#[derive(Debug, Default)]
pub(super) struct Screen {
    pub(super) subject: Subject,
    pub(super) span: Span,
    pub(super) sort: Column,
    pub(super) order: Order,
    /// The first row that is shown.
    top: usize,
    bill: Bill,
    /// Why there is no younger one.
    fault: Option<String>,
    /// As it was drawn last.
    width: u16,
    page: usize,
}

/// From the top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// The largest number, or the first of the alphabet.
    #[default]
    Natural,
    Reversed,
}

/// What is to be done behind a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Draw,
    Quit,
    Nothing,
}

impl Screen {
    /// Nothing is known yet.
    pub(super) fn new(subject: Subject, span: Span, sort: Column) -> Self {
        Self { subject, span, sort, ..Self::default() }
    }

    /// Takes what the proxy has told, or why it has not.
    pub(super) fn told(&mut self, told: Result<Bill, String>) {
        match told {
            Ok(bill) => (self.bill, self.fault) = (bill, None),
            Err(fault) => self.fault = Some(fault),
        }
    }

    /// Rows as they are sorted.
    pub(super) fn rows(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.all().iter().collect();
        // Of those that are alike the busiest first, as they came.
        rows.sort_by(|one, other| self.sort.compare(one, other, self.span));
        if self.order == Order::Reversed {
            rows.reverse();
        }
        rows
    }

    fn all(&self) -> &[Row] {
        self.bill.callers.as_ref().map_or(&[], |rows: &Rows| rows.of(self.subject))
    }

    /// What a key does.
    pub(super) fn key(&mut self, key: KeyEvent) -> Then {
        if key.kind == KeyEventKind::Release {
            return Then::Nothing;
        }
        let columns = Column::that_fit(self.width);
        let place = columns.iter().position(|column| *column == self.sort);
        let last = columns.len().saturating_sub(1);
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Then::Quit,
            KeyCode::Char('q') | KeyCode::Esc => return Then::Quit,
            KeyCode::Left | KeyCode::Char('<') => {
                self.sort = columns[place.map_or(last, |place| place.checked_sub(1).unwrap_or(last))];
            }
            KeyCode::Right | KeyCode::Char('>') => {
                self.sort = columns[place.map_or(0, |place| if place == last { 0 } else { place + 1 })];
            }
            KeyCode::Char(digit @ '1'..='9') => {
                let nth = digit as usize - '1' as usize;
                let Some(column) = columns.get(nth) else { return Then::Nothing };
                self.sort = *column;
            }
            KeyCode::Char('r') => {
                self.order = if self.order == Order::Natural { Order::Reversed } else { Order::Natural };
            }
            KeyCode::Char('k') | KeyCode::Tab => (self.subject, self.top) = (self.subject.next(), 0),
            KeyCode::Char('w') => self.span = self.span.next(),
            KeyCode::Up => self.top = self.top.saturating_sub(1),
            KeyCode::Down => self.top += 1,
            KeyCode::PageUp => self.top = self.top.saturating_sub(self.page),
            KeyCode::PageDown => self.top += self.page,
            KeyCode::Home => self.top = 0,
            KeyCode::End => self.top = usize::MAX,
            _ => return Then::Nothing,
        }
        Then::Draw
    }

    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let area = frame.area();
        (self.width, self.page) = (area.width, usize::from(area.height.saturating_sub(LINES_BESIDES)));
        self.top = self.top.min(self.all().len().saturating_sub(self.page));
        let [head, told, table, keys] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(1),
        ])
        .areas(area);
        frame.render_widget(self.head(), head);
        frame.render_widget(self.shown(), told);
        if self.bill.callers.is_some() {
            self.table(frame, table);
        } else if self.fault.is_none() {
            frame.render_widget(Paragraph::new(NOT_TOLD_APART).yellow(), table);
        }
        frame.render_widget(self.foot(), keys);
    }

    fn head(&self) -> Line<'_> {
        let Bill { version, uptime_seconds, shield, .. } = &self.bill;
        if version.is_empty() {
            return Line::from("instantly-proxy".bold());
        }
        // Whole minutes are enough once there are any.
        let shown = if *uptime_seconds < 60 { *uptime_seconds } else { uptime_seconds / 60 * 60 };
        let uptime = humantime::format_duration(Duration::from_secs(shown));
        let mut pieces = vec![
            "instantly-proxy ".bold(),
            Piece::raw(format!("{version}, up for {uptime}, {} calls wait", shield.queued)),
        ];
        if shield.breaker_open {
            pieces.push(", the API cannot be reached".red().bold());
        }
        Line::from(pieces)
    }

    fn shown(&self) -> Line<'_> {
        let rows = self.all().len();
        let (from, to) = (self.top + 1, (self.top + self.page).min(rows));
        let which = if rows > self.page { format!("{from} to {to} of {rows}") } else { rows.to_string() };
        Line::from(format!("{which} {}, {}", self.subject.as_str(), self.span.as_str()))
    }

    fn foot(&self) -> Line<'_> {
        match &self.fault {
            Some(fault) => Line::from(fault.as_str()).red(),
            None => Line::from(
                "q quit  \u{2190}\u{2192} sort  r reverse  w minute/hour/total  k keys/callers  \u{2191}\u{2193} scroll",
            )
            .dim(),
        }
    }

    fn table(&self, frame: &mut Frame<'_>, area: Rect) {
        let columns = Column::that_fit(area.width);
        let others: u16 = columns.iter().skip(1).map(|column| column.width() + 1).sum();
        let name = area.width.saturating_sub(others).min(Column::LONGEST_NAME);
        let width = |column: &Column| if *column == Column::Name { name } else { column.width() };
        let titles = columns.iter().map(|column| {
            let mark = match (*column == self.sort, self.order) {
                (false, _) => "",
                (true, Order::Natural) => "\u{25bc}",
                (true, Order::Reversed) => "\u{25b2}",
            };
            let title = cell(*column, format!("{}{mark}", column.title()), width(column));
            if *column == self.sort { title.bold() } else { title }
        });
        let sum = Row::sum(self.all());
        let line = |row: &Row| -> Vec<Cell<'static>> {
            columns.iter().map(|column| self.cell(*column, row, width(column))).collect()
        };
        let rows = self.rows().into_iter().skip(self.top).take(self.page).map(|row| TableRow::new(line(row)));
        let all = std::iter::once(TableRow::new(line(&sum)).bold());
        let header = TableRow::new(titles).style(Style::new().reversed());
        let table =
            Table::new(all.chain(rows), columns.iter().map(|column| Constraint::Length(width(column))))
                .header(header)
                .column_spacing(1);
        frame.render_widget(table, area);
    }

    fn cell(&self, column: Column, row: &Row, width: u16) -> Cell<'static> {
        let text = column.text(row, self.span);
        let is_nothing = matches!(text.as_str(), "0" | "-");
        let cell = cell(column, text, width);
        match column {
            _ if is_nothing => cell.dim(),
            Column::Limited | Column::Waited => cell.fg(Color::Yellow),
            Column::Refused | Column::Last | Column::Denied => cell.fg(Color::Red),
            Column::Unauthorized | Column::PaymentRequired | Column::Forbidden | Column::TooMany => {
                cell.fg(Color::Red)
            }
            _ => cell,
        }
    }
}

fn cell(column: Column, text: String, width: u16) -> Cell<'static> {
    let (text, alignment) =
        if column.is_text() { (cut(text, width), Alignment::Left) } else { (text, Alignment::Right) };
    Cell::from(Text::from(text).alignment(alignment))
}

/// Of a name that is too long the end is what tells it from others.
fn cut(text: String, width: u16) -> String {
    let (length, width) = (text.chars().count(), usize::from(width));
    if length <= width {
        return text;
    }
    let kept = text.chars().skip(length + 1 - width.max(1));
    std::iter::once('\u{2026}').chain(kept).collect()
}
