//! Plain-text parts of the overview, for a terminal.

/// A plain-text part of the overview. Untrusted text in the title and the content must pass through
/// [`printable`](crate::printable) first.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Title of the panel.
    pub title: String,
    /// Why data is missing or outdated, if it is. Control characters are escaped when it is drawn.
    pub problem: Option<String>,
    /// Data of the panel.
    pub content: Content,
}

/// The data of a [`Panel`].
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Labels with their values.
    Figures(Vec<(&'static str, String)>),
    /// A table of text cells.
    Table(PlainTable),
}

/// A table of text cells without markup.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PlainTable {
    /// Columns, the most important first: a narrow terminal omits the last ones.
    pub columns: Vec<Column>,
    /// Cells of each row, in the order of the columns.
    pub rows: Vec<Vec<String>>,
    /// Text shown if the table has no rows.
    pub empty: &'static str,
}

/// A column of a [`PlainTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Header of the column.
    pub label: &'static str,
    /// Whether values are aligned to the right.
    pub is_number: bool,
}

impl Column {
    /// Creates a left-aligned column of text.
    pub const fn text(label: &'static str) -> Self {
        Self { label, is_number: false }
    }

    /// Creates a right-aligned column of numbers.
    pub const fn number(label: &'static str) -> Self {
        Self { label, is_number: true }
    }
}
