//! Tables for people.

use std::borrow::Cow;
use std::fmt;

use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle};

use crate::printable::printable_lines;

/// A line under the header and nothing else.
pub(crate) const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
/// Columns of text where the terminal's width is not known.
const WIDTH: u16 = 120;

/// A table with a header; columns numbered in `right` are aligned to the right.
pub(crate) fn table(header: &[&str], right: &[usize]) -> Rows {
    let Rows(mut table) = plain();
    table.load_style(STYLE).set_header(header.iter().copied());
    for index in right {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    Rows(table)
}

/// Columns side by side, without lines.
pub(crate) fn plain() -> Rows {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_content_arrangement(ContentArrangement::Dynamic);
    if !table.is_tty() {
        table.set_width(WIDTH);
    }
    Rows(table)
}

/// A table whose cells may hold what others wrote: a terminal shows it and does not obey it.
pub(crate) struct Rows(Table);

impl Rows {
    pub(crate) fn add_row(&mut self, cells: impl IntoIterator<Item = impl Into<Cell>>) {
        self.0.add_row(cells.into_iter().map(|cell| {
            let cell = cell.into();
            match printable_lines(&cell.content()) {
                Cow::Borrowed(_) => cell,
                Cow::Owned(shown) => Cell::new(shown),
            }
        }));
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number with a fixed count of decimals, or a dash.
pub(crate) fn decimals(value: Option<f64>, places: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.places$}"))
}

/// An amount in its smallest unit as whole ones with four decimals, rounded down: a table has no room for nine.
pub(crate) fn whole(smallest: u64) -> String {
    format!("{}.{:04}", smallest / 1_000_000_000, smallest / 100_000 % 10_000)
}

/// The beginning of an address: enough to recognise one's own.
pub(crate) fn short(address: impl fmt::Display) -> String {
    address.to_string().chars().take(8).chain(std::iter::once('…')).collect()
}

/// A cell that stands out as good or bad; plain where there are no colours.
pub(crate) fn judged(text: String, good: bool) -> Cell {
    Cell::new(text).fg(if good { Color::Green } else { Color::Red })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_rounded_down() {
        for (smallest, shown) in
            [(0, "0.0000"), (99_999, "0.0000"), (1_999_999_999, "1.9999"), (u64::MAX, "18446744073.7095")]
        {
            assert_eq!(whole(smallest), shown);
        }
    }

    #[test]
    fn text_of_others_does_not_steer_the_terminal() {
        let mut rows = plain();
        rows.add_row(["two\nlines", "\u{1b}[31mred"]);
        let shown = rows.to_string();
        assert_eq!(shown.lines().count(), 2);
        assert!(shown.contains("\\u{1b}[31mred") && !shown.contains('\u{1b}'), "{shown:?}");
    }
}
