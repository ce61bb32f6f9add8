//! Column layout: which columns fit, and their widths.

use std::borrow::Cow;
use std::ops::Range;

use console::measure_text_width;

use super::truncate_text;

/// Padding between columns, in characters.
const PADDING: usize = 3;
/// Minimum width of an abbreviated address, such as `5GrwvaEF…`.
const MIN_ADDRESS_WIDTH: usize = 9;
/// Minimum width of a text column; longer words widen it.
const MIN_TEXT_WIDTH: usize = 24;

/// A table column with its kind and rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    name: Cow<'static, str>,
    kind: Kind,
    rank: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Right-aligned, never wrapped or truncated.
    Number,
    /// Never wrapped or truncated.
    Fixed,
    /// Abbreviated if necessary.
    Address,
    /// Wrapped between words if necessary.
    Text,
}

impl Column {
    /// Creates a column of numbers: right-aligned, never wrapped or truncated.
    pub const fn number(name: &'static str) -> Self {
        Self::new(Cow::Borrowed(name), Kind::Number)
    }

    /// Creates a column of numbers whose name is built at run time.
    pub(crate) const fn number_of(name: String) -> Self {
        Self::new(Cow::Owned(name), Kind::Number)
    }

    /// Creates a column of names: never wrapped or truncated.
    pub(crate) const fn fixed(name: &'static str) -> Self {
        Self::new(Cow::Borrowed(name), Kind::Fixed)
    }

    /// Creates a column of addresses or hashes: abbreviated if necessary.
    pub const fn address(name: &'static str) -> Self {
        Self::new(Cow::Borrowed(name), Kind::Address)
    }

    /// Creates a column of text: wrapped between words if necessary.
    pub const fn text(name: &'static str) -> Self {
        Self::new(Cow::Borrowed(name), Kind::Text)
    }

    const fn new(name: Cow<'static, str>, kind: Kind) -> Self {
        Self { name, kind, rank: 0 }
    }

    /// Makes the column optional. Columns with the highest rank are omitted first, on a tie the
    /// last one; columns without a rank are never omitted.
    pub const fn rank(mut self, rank: u8) -> Self {
        self.rank = rank;
        self
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_number(&self) -> bool {
        self.kind == Kind::Number
    }

    /// Returns the minimum width of the column, at most its natural width.
    fn min_width<'a>(
        &self,
        natural_width: usize,
        header_width: usize,
        cells: impl Iterator<Item = &'a str>,
    ) -> usize {
        match self.kind {
            Kind::Number | Kind::Fixed => natural_width,
            Kind::Address => natural_width.min(MIN_ADDRESS_WIDTH.max(header_width)),
            Kind::Text => {
                let longest = cells
                    .flat_map(str::split_whitespace)
                    .map(measure_text_width)
                    .max()
                    .unwrap_or(0);
                natural_width.min(longest.min(MIN_TEXT_WIDTH).max(header_width))
            }
        }
    }
}

/// A visible column.
pub(super) struct VisibleColumn<'a> {
    pub(super) column: &'a Column,
    /// Index among all columns.
    pub(super) index: usize,
    width: usize,
    natural_width: usize,
    min_width: usize,
    is_shortened: bool,
}

impl VisibleColumn<'_> {
    /// Formats a cell for the column's width.
    pub(super) fn arrange(&self, text: &str) -> String {
        match self.column.kind {
            Kind::Text => {
                text.lines().flat_map(|line| wrap(line, self.width)).collect::<Vec<_>>().join("\n")
            }
            Kind::Address => truncate_text(text, self.width).into_owned(),
            Kind::Number | Kind::Fixed => text.to_owned(),
        }
    }
}

/// Returns all columns at their natural widths.
fn measure_columns<'a, 'c, C: Iterator<Item = &'c str>>(
    columns: &'a [Column],
    has_header: bool,
    cells: impl Fn(usize) -> C,
) -> Vec<VisibleColumn<'a>> {
    let visible = columns.iter().enumerate().map(|(index, column)| {
        let header_width = if has_header { measure_text_width(&column.name) } else { 0 };
        let lines = cells(index).flat_map(str::lines).map(measure_text_width);
        let natural_width = lines.max().unwrap_or(0).max(header_width);
        let min_width = column.min_width(natural_width, header_width, cells(index));
        VisibleColumn {
            column,
            index,
            width: natural_width,
            natural_width,
            min_width,
            is_shortened: false,
        }
    });
    visible.collect()
}

/// Splits the columns after the first into ranges, each of which fits a line width together with
/// the first column.
pub(super) fn split_columns<'c, C: Iterator<Item = &'c str>>(
    columns: &[Column],
    cells: impl Fn(usize) -> C,
    width: usize,
) -> Vec<Range<usize>> {
    let measured = measure_columns(columns, true, cells);
    let [first, others @ ..] = measured.as_slice() else { return Vec::new() };
    let first = first.natural_width.min(MIN_TEXT_WIDTH.max(first.min_width));
    let mut parts: Vec<Range<usize>> = Vec::new();
    let mut used_width = 0;
    for column in others {
        let end = column.index + 1;
        used_width += column.min_width + PADDING;
        match parts.last_mut() {
            Some(part) if used_width <= width => part.end = end,
            _ => {
                used_width = first + PADDING + column.min_width + PADDING - 1;
                parts.push(column.index..end);
            }
        }
    }
    parts
}

/// Selects the visible columns and their widths for a line width.
pub(super) fn fit_columns<'a, 'c, C: Iterator<Item = &'c str>>(
    columns: &'a [Column],
    has_header: bool,
    cells: impl Fn(usize) -> C,
    width: Option<usize>,
) -> Vec<VisibleColumn<'a>> {
    let mut visible = measure_columns(columns, has_header, &cells);
    let Some(width) = width else { return visible };
    while line_width(visible.iter().map(|column| column.min_width)) > width {
        let last = visible
            .iter()
            .enumerate()
            .filter(|(_, column)| column.column.rank > 0)
            .max_by_key(|(_, column)| column.column.rank);
        let Some((index, _)) = last else { break };
        visible.remove(index);
    }
    let mut excess =
        line_width(visible.iter().map(|column| column.natural_width)).saturating_sub(width);
    // Text columns shrink first, since wrapping loses no content.
    for kind in [Kind::Text, Kind::Address] {
        while excess > 0 {
            let widest = visible
                .iter_mut()
                .filter(|column| column.column.kind == kind && column.width > column.min_width);
            let Some(widest) = widest.max_by_key(|column| column.width) else { break };
            widest.width -= 1;
            excess -= 1;
        }
    }
    for column in &mut visible {
        column.is_shortened = match column.column.kind {
            Kind::Number | Kind::Fixed => false,
            Kind::Address => column.width < column.natural_width,
            Kind::Text => cells(column.index)
                .flat_map(str::split_whitespace)
                .any(|word| measure_text_width(word) > column.width),
        };
    }
    visible
}

/// Returns the width of a line with columns of these widths.
fn line_width(columns: impl Iterator<Item = usize>) -> usize {
    columns.map(|width| width + PADDING).sum::<usize>().saturating_sub(1)
}

/// Returns the note on omitted and abbreviated columns.
pub(super) fn omission_note(columns: &[Column], visible: &[VisibleColumn<'_>]) -> Option<String> {
    let omitted =
        (0..).zip(columns).filter(|(index, _)| visible.iter().all(|column| column.index != *index));
    let omitted: Vec<_> = omitted.map(|(_, column)| column.name()).collect();
    let shortened: Vec<_> = visible
        .iter()
        .filter(|column| column.is_shortened)
        .map(|column| column.column.name())
        .collect();
    let parts: Vec<_> = [("left out", omitted), ("shortened", shortened)]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(change, names)| format!("{change}: {}", names.join(", ")))
        .collect();
    (!parts.is_empty()).then(|| format!("{}; --wide shows all", parts.join("; ")))
}

/// Wraps a text to a width; longer words are truncated.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    if measure_text_width(text) <= width {
        return vec![text.to_owned()];
    }
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace().map(|word| truncate_text(word, width)) {
        match lines.last_mut() {
            Some(line) if measure_text_width(line) + 1 + measure_text_width(&word) <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word.into_owned()),
        }
    }
    lines
}
