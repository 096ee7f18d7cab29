//! The bill as plain lines, for pipes and files: every column, nothing cut.

use std::fmt::Write;

use clap::ValueEnum;

use super::bill::Row;
use super::column::Column;
use super::screen::Screen;

/// Titles, the sum, and one line a row.
pub(super) fn text(screen: &Screen) -> String {
    let rows = screen.rows();
    let sum = Row::sum(&rows.iter().map(|row| (*row).clone()).collect::<Vec<_>>());
    let columns = Column::value_variants();
    let cells: Vec<Vec<String>> = std::iter::once(&sum)
        .chain(rows)
        .map(|row| columns.iter().map(|column| column.text(row, screen.span)).collect())
        .collect();
    let width = |nth: usize, column: &Column| {
        let texts = cells.iter().map(|cells| cells[nth].chars().count());
        texts.max().unwrap_or(0).max(column.title().len())
    };
    let widths: Vec<usize> = columns.iter().enumerate().map(|(nth, column)| width(nth, column)).collect();
    let titles = columns.iter().map(|column| column.title().to_owned()).collect();
    let mut text = String::new();
    for line in std::iter::once(&titles).chain(&cells) {
        let mut whole = String::new();
        for ((cell, column), width) in line.iter().zip(columns).zip(&widths) {
            // A string takes everything.
            let _ = if column.is_text() {
                write!(whole, "{cell:<width$} ")
            } else {
                write!(whole, "{cell:>width$} ")
            };
        }
        text.push_str(whole.trim_end());
        text.push('\n');
    }
    text
}
