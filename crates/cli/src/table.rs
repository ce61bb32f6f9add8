//! Tables for people.

use std::fmt;

use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle};

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
            let content = cell.content();
            let harmless = printable_lines(&content);
            if harmless == content { cell } else { Cell::new(harmless) }
        }));
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Text of others in one line: characters that a terminal would obey are spelled out, e.g. `\u{1b}`.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if obeyed(character) { shown.extend(character.escape_default()) } else { shown.push(character) }
    }
    shown
}

/// As [`printable`], with the lines as they are.
pub(crate) fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// Control characters, and those that turn the direction of text.
fn obeyed(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A number with a fixed count of decimals, or a dash.
pub(crate) fn decimals(value: Option<f64>, places: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.places$}"))
}

/// A cell that stands out as good or bad; plain where there are no colours.
pub(crate) fn judged(text: String, good: bool) -> Cell {
    Cell::new(text).fg(if good { Color::Green } else { Color::Red })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_does_not_steer_the_terminal() {
        for (text, expected) in [
            ("τao – plain", "τao – plain"),
            ("\u{1b}[2J\u{7}", "\\u{1b}[2J\\u{7}"),
            ("a\r\nb\u{9b}", "a\\r\\nb\\u{9b}"),
            ("\u{202e}oat", "\\u{202e}oat"),
        ] {
            assert_eq!(printable(text), expected);
        }
        let mut rows = plain();
        rows.add_row(["two\nlines", "\u{1b}[31mred"]);
        let shown = rows.to_string();
        assert_eq!(shown.lines().count(), 2);
        assert!(shown.contains("\\u{1b}[31mred") && !shown.contains('\u{1b}'), "{shown:?}");
    }
}
