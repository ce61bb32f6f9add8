//! Text tables that fit the terminal and never wrap within a number or word.
//!
//! If a table is too wide, texts wrap at spaces first, then addresses are abbreviated, then the
//! least important columns are omitted. A line below the table lists the omitted and abbreviated
//! columns; `--wide` shows everything. A matrix is never truncated: it continues in further tables
//! below.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::{CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle};
use console::{Term, measure_text_width, truncate_str};

use crate::printable::printable_lines;

mod layout;

pub(crate) use layout::Column;
use layout::{VisibleColumn, fit_columns, split_columns};

/// Table style: a line under the header, no borders.
const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
/// Whether `--wide` is set.
static WIDE: AtomicBool = AtomicBool::new(false);

/// Disables the width limit of all tables (`--wide`).
pub fn disable_width_limit() {
    WIDE.store(true, Ordering::Relaxed);
}

/// Returns the line width in characters; `None` for no limit, as in a file or a pipe.
fn line_width() -> Option<usize> {
    if WIDE.load(Ordering::Relaxed) {
        return None;
    }
    let terminal = Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    let columns = terminal.or_else(|| std::env::var("COLUMNS").ok()?.parse().ok());
    columns.filter(|columns| *columns > 0)
}

/// Creates a table with a header.
pub fn table(columns: impl Into<Cow<'static, [Column]>>) -> Rows {
    Rows { columns: columns.into(), layout: TableLayout::Table, cells: Vec::new() }
}

/// Creates a table with a header. If the table is too wide, it is split between columns; each part
/// repeats the first column.
pub fn matrix(columns: impl Into<Cow<'static, [Column]>>) -> Rows {
    Rows { columns: columns.into(), layout: TableLayout::Matrix, cells: Vec::new() }
}

/// Creates a table of names and values, without a header.
pub fn key_values() -> Rows {
    static NAME_AND_VALUE: [Column; 2] = [Column::fixed("name"), Column::text("value")];
    Rows {
        columns: NAME_AND_VALUE.as_slice().into(),
        layout: TableLayout::Plain,
        cells: Vec::new(),
    }
}

/// Creates a table without a header.
pub fn headerless_table(columns: impl Into<Cow<'static, [Column]>>) -> Rows {
    Rows { columns: columns.into(), layout: TableLayout::Plain, cells: Vec::new() }
}

/// A table. Control characters in cells are escaped, since they can contain a peer's text.
pub struct Rows {
    columns: Cow<'static, [Column]>,
    layout: TableLayout,
    cells: Vec<Vec<Cell>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TableLayout {
    /// Table with a header, from which columns are omitted if necessary.
    Table,
    /// Table with a header, split between columns if necessary.
    Matrix,
    /// Without a header.
    Plain,
}

impl Rows {
    /// Adds a row; control characters in its cells are escaped.
    pub fn add_row(&mut self, cells: impl IntoIterator<Item = impl Into<Cell>>) {
        self.cells.push(cells.into_iter().map(|cell| cell.into().printable()).collect());
    }

    /// Renders the table for a line width; `None` for no limit.
    pub(crate) fn render(&self, width: Option<usize>) -> String {
        let Some(limit) = width.filter(|_| self.layout == TableLayout::Matrix) else {
            return self.render_complete(width);
        };
        let parts = split_columns(&self.columns, |index| self.texts(index), limit);
        let parts = parts.into_iter().map(|part| self.part(&part).render_complete(width));
        parts.collect::<Vec<_>>().join("\n\n")
    }

    /// Returns a table of the first column and the columns of a range.
    fn part(&self, range: &Range<usize>) -> Self {
        fn select<T: Clone>(all: &[T], range: &Range<usize>) -> Vec<T> {
            all.iter().take(1).chain(all.get(range.clone()).unwrap_or_default()).cloned().collect()
        }
        let cells = self.cells.iter().map(|row| select(row, range)).collect();
        Self { columns: select(&self.columns, range).into(), layout: TableLayout::Table, cells }
    }

    /// Returns the texts of a column.
    fn texts(&self, index: usize) -> impl Iterator<Item = &str> {
        self.cells.iter().filter_map(move |row| Some(row.get(index)?.text.as_str()))
    }

    fn render_complete(&self, width: Option<usize>) -> String {
        let has_header = self.layout != TableLayout::Plain;
        let columns: Vec<VisibleColumn<'_>> =
            fit_columns(&self.columns, has_header, |index| self.texts(index), width);
        let mut table = Table::new();
        table.load_style(if has_header { STYLE } else { TableStyle::new() });
        table.set_content_arrangement(ContentArrangement::Disabled);
        if has_header {
            table.set_header(columns.iter().map(|column| column.column.name()));
        }
        for row in &self.cells {
            table.add_row(columns.iter().map(|column| {
                row.get(column.index).map_or_else(empty_cell, |cell| cell.render_cell(column))
            }));
        }
        for (index, column) in columns.iter().enumerate() {
            if let (true, Some(table_column)) = (column.column.is_number(), table.column_mut(index))
            {
                table_column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut text = table.to_string();
        if let Some(note) = layout::omission_note(&self.columns, &columns) {
            for line in
                layout::wrap(&note, width.map_or(usize::MAX, |width| width.saturating_sub(1)))
            {
                text.push_str("\n ");
                text.push_str(&line);
            }
        }
        text
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(line_width()))
    }
}

/// A cell of a table: its text and colour.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    color: Option<Color>,
}

impl Cell {
    fn render_cell(&self, column: &VisibleColumn<'_>) -> comfy_table::Cell {
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

fn empty_cell() -> comfy_table::Cell {
    comfy_table::Cell::new("")
}

/// Formats a number with fixed decimals, or a dash for `None`.
pub fn decimals(value: Option<f64>, places: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.places$}"))
}

/// Formats rao as TAO with four decimals, rounded down.
pub fn tao_decimals(rao: u64) -> String {
    format!("{}.{:04}", rao / 1_000_000_000, rao / 100_000 % 10_000)
}

/// Creates a cell, green if `is_good`, else red.
pub fn status_cell(text: impl Into<String>, is_good: bool) -> Cell {
    Cell { text: text.into(), color: Some(if is_good { Color::Green } else { Color::Red }) }
}

/// Creates a yellow cell.
pub fn warning_cell(text: impl Into<String>) -> Cell {
    Cell { text: text.into(), color: Some(Color::Yellow) }
}

/// Wraps a text between words to the line width.
pub fn wrap_text(text: &str) -> String {
    match line_width() {
        Some(width) => layout::wrap(text, width).join("\n"),
        None => text.to_owned(),
    }
}

/// Truncates a text to a width.
fn truncate_text(text: &str, width: usize) -> Cow<'_, str> {
    if measure_text_width(text) <= width { text.into() } else { truncate_str(text, width, "…") }
}

#[cfg(test)]
mod tests;
