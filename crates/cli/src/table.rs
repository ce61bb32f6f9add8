//! Tables for people.

use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle};

/// A line under the header and nothing else.
pub(crate) const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
/// Columns of text where the terminal's width is not known.
const WIDTH: u16 = 120;

/// A table with a header; columns numbered in `right` are aligned to the right.
pub(crate) fn table(header: &[&str], right: &[usize]) -> Table {
    let mut table = plain();
    table.load_style(STYLE).set_header(header.iter().copied());
    for index in right {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Columns side by side, without lines.
pub(crate) fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_content_arrangement(ContentArrangement::Dynamic);
    if !table.is_tty() {
        table.set_width(WIDTH);
    }
    table
}

/// A number with a fixed count of decimals, or a dash.
pub(crate) fn decimals(value: Option<f64>, places: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.places$}"))
}

/// A cell that stands out as good or bad; plain where there are no colours.
pub(crate) fn judged(text: String, good: bool) -> Cell {
    Cell::new(text).fg(if good { Color::Green } else { Color::Red })
}
