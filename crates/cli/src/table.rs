//! Tables for people: as wide as the terminal, without a break in a number or a word.
//!
//! A table that does not fit gives way in this order: texts wrap at spaces, addresses are abbreviated, and the least
//! important columns are left out. The line below the table says which; `--wide` shows everything.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::{CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle};
use console::{Term, measure_text_width, truncate_str};

use crate::printable::printable_lines;

mod layout;

pub(crate) use layout::Column;
use layout::{Shown, fit};

/// A line under the header and nothing else.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
/// Whether `--wide` is given.
static WIDE: AtomicBool = AtomicBool::new(false);

/// Shows all columns of all tables in full, however long the lines become.
pub(crate) fn show_all() {
    WIDE.store(true, Ordering::Relaxed);
}

/// Characters of a line; `None` for as many as it takes, as in a file or a pipe.
fn screen() -> Option<usize> {
    if WIDE.load(Ordering::Relaxed) {
        return None;
    }
    let terminal = Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    let variable = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal.or_else(variable).filter(|columns| *columns > 0)
}

/// A table with a header.
pub(crate) fn table(columns: impl Into<Cow<'static, [Column]>>) -> Rows {
    Rows { columns: columns.into(), has_header: true, cells: Vec::new() }
}

/// Names with their values, without a header.
pub(crate) fn facts() -> Rows {
    static FACTS: [Column; 2] = [Column::fixed("name"), Column::text("value")];
    Rows { columns: FACTS.as_slice().into(), has_header: false, cells: Vec::new() }
}

/// Columns side by side, without a header.
pub(crate) fn plain(columns: &'static [Column]) -> Rows {
    Rows { columns: columns.into(), has_header: false, cells: Vec::new() }
}

/// A table whose cells may hold what others wrote: a terminal shows it and does not obey it.
pub(crate) struct Rows {
    columns: Cow<'static, [Column]>,
    has_header: bool,
    cells: Vec<Vec<Cell>>,
}

impl Rows {
    pub(crate) fn add_row(&mut self, cells: impl IntoIterator<Item = impl Into<Cell>>) {
        self.cells.push(cells.into_iter().map(|cell| cell.into().printable()).collect());
    }

    /// The table for lines of so many characters; `None` for as many as it takes.
    pub(crate) fn within(&self, width: Option<usize>) -> String {
        let cells = |index: usize| self.cells.iter().filter_map(move |row| Some(row.get(index)?.text.as_str()));
        let shown: Vec<Shown<'_>> = fit(&self.columns, self.has_header, cells, width);
        let mut table = Table::new();
        table.load_style(if self.has_header { STYLE } else { TableStyle::new() });
        table.set_content_arrangement(ContentArrangement::Disabled);
        if self.has_header {
            table.set_header(shown.iter().map(|column| column.column.name()));
        }
        for row in &self.cells {
            table.add_row(
                shown.iter().map(|column| row.get(column.index).map_or_else(empty, |cell| cell.drawn(column))),
            );
        }
        for (index, column) in shown.iter().enumerate() {
            if let (true, Some(drawn)) = (column.column.is_number(), table.column_mut(index)) {
                drawn.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut text = table.to_string();
        if let Some(note) = layout::note(&self.columns, &shown) {
            for line in layout::wrap(&note, width.map_or(usize::MAX, |width| width.saturating_sub(1))) {
                text.push_str("\n ");
                text.push_str(&line);
            }
        }
        text
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.within(screen()))
    }
}

/// A cell of a table.
#[derive(Debug)]
pub(crate) struct Cell {
    text: String,
    color: Option<Color>,
}

impl Cell {
    fn drawn(&self, column: &Shown<'_>) -> comfy_table::Cell {
        let cell = comfy_table::Cell::new(column.arrange(&self.text));
        match self.color {
            Some(color) => cell.fg(color),
            None => cell,
        }
    }

    fn printable(self) -> Self {
        match printable_lines(&self.text) {
            Cow::Borrowed(_) => self,
            Cow::Owned(text) => Self { text, color: None },
        }
    }
}

impl<T: fmt::Display> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.to_string(), color: None }
    }
}

fn empty() -> comfy_table::Cell {
    comfy_table::Cell::new("")
}

/// A number with a fixed count of decimals, or a dash.
pub(crate) fn decimals(value: Option<f64>, places: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.places$}"))
}

/// An amount in its smallest unit as whole ones with four decimals, rounded down: a table has no room for nine.
pub(crate) fn whole(smallest: u64) -> String {
    format!("{}.{:04}", smallest / 1_000_000_000, smallest / 100_000 % 10_000)
}

/// A cell that stands out as good or bad; plain where there are no colours.
pub(crate) fn judged(text: impl Into<String>, good: bool) -> Cell {
    Cell { text: text.into(), color: Some(if good { Color::Green } else { Color::Red }) }
}

/// A text of at most so many characters on a line, cut where it is longer.
fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if measure_text_width(text) <= width { text.into() } else { truncate_str(text, width, "…") }
}

#[cfg(test)]
mod tests;
