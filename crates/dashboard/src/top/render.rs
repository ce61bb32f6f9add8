//! Rendering of panels: wrapped lines of figures, and stacked tables.

use std::borrow::Cow;
use std::collections::HashMap;

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Cell, Paragraph, Row, Table, Wrap};

use super::Action;
use crate::format::printable;
use crate::panel::{Column, Content, Panel, PlainTable};

/// Space between two columns of a table, in characters.
const GAP: u16 = 2;
/// Maximum width of a column of text.
const MAX_WIDTH: u16 = 48;
/// Minimum width of a shortened column of text.
const MIN_WIDTH: u16 = 12;
/// Height of a table's borders and header, in lines.
const FRAME: u16 = 3;

/// The selected table and each table's scroll position.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// Index of the selected table among all tables.
    selected: usize,
    /// Index of each table's first visible row.
    scrolled: HashMap<usize, usize>,
    /// Number of tables in the last frame.
    tables: usize,
}

impl Position {
    pub(super) fn apply(&mut self, action: Action) {
        let tables = self.tables.max(1);
        let first = self.scrolled.entry(self.selected).or_default();
        match action {
            Action::NextTable => self.selected = (self.selected + 1) % tables,
            Action::PreviousTable => self.selected = (self.selected + tables - 1) % tables,
            Action::Scroll(rows) => *first = first.saturating_add_signed(rows),
            Action::First => *first = 0,
            // The next frame limits the position to the last page.
            Action::Last => *first = usize::MAX,
            Action::Quit => {}
        }
    }

    /// Returns the index of the first visible row of a table with `rows` rows, of which `visible`
    /// fit on the screen.
    fn first(&mut self, table: usize, rows: usize, visible: usize) -> usize {
        let first = self.scrolled.entry(table).or_default();
        *first = (*first).min(rows.saturating_sub(visible));
        *first
    }
}

/// Draws all panels.
pub(super) fn render(frame: &mut Frame<'_>, panels: &[Panel], position: &mut Position, time: &str) {
    position.tables =
        panels.iter().filter(|panel| matches!(panel.content, Content::Table(_))).count();
    position.selected = position.selected.min(position.tables.saturating_sub(1));
    let heights = panels.iter().map(|panel| height(panel, frame.area().width));
    let areas =
        Layout::vertical([Constraint::Length(1)].into_iter().chain(heights)).split(frame.area());
    let [head, areas @ ..] = &*areas else { return };
    let keys = "q quit  Tab next table  ↑↓ scroll";
    frame.render_widget(
        Line::from(vec![" taonet ".bold().reversed(), Span::raw(format!("  {time}"))]),
        *head,
    );
    frame.render_widget(Line::from(keys).right_aligned().dim(), *head);
    let mut table = 0;
    for (panel, area) in panels.iter().zip(areas) {
        match &panel.content {
            Content::Figures(figures) => draw_figures(frame, *area, panel, figures),
            Content::Table(content) => {
                draw_table(frame, *area, panel, content, table, position);
                table += 1;
            }
        }
    }
}

/// Returns the panel's problem with control characters escaped, wrapped between words to the width
/// inside the borders.
fn problem_lines(panel: &Panel, width: u16) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = Vec::new();
    let width = usize::from(width.saturating_sub(2).max(1));
    let problem = panel.problem.as_deref().map(printable).unwrap_or_default();
    for word in problem.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + Line::from(word).width() <= width => {
                line.push_span(" ");
                line.push_span(word.to_owned());
            }
            _ => lines.push(Line::from(shorten(word, width).into_owned())),
        }
    }
    lines
}

/// Shortens a text to a width in terminal columns.
fn shorten(text: &str, width: usize) -> Cow<'_, str> {
    if Line::from(text).width() <= width {
        return text.into();
    }
    let fits =
        |end: &usize| text.get(..*end).is_some_and(|start| Line::from(start).width() < width);
    let end = text.char_indices().map(|(at, _)| at).take_while(fits).last().unwrap_or_default();
    format!("{}…", text.get(..end).unwrap_or_default()).into()
}

/// Returns the height constraint of a panel: the lines of its figures, or at most the rows of its
/// table.
fn height(panel: &Panel, width: u16) -> Constraint {
    let problem = u16::try_from(problem_lines(panel, width).len()).unwrap_or(u16::MAX);
    match &panel.content {
        Content::Figures(figures) => {
            let lines = u16::try_from(wrap_figures(figures, width).len()).unwrap_or(u16::MAX);
            Constraint::Length(lines.saturating_add(problem).saturating_add(2))
        }
        Content::Table(table) => {
            let rows = u16::try_from(table.rows.len().max(1)).unwrap_or(u16::MAX);
            Constraint::Max(rows.saturating_add(problem).saturating_add(FRAME))
        }
    }
}

/// Returns the figures, wrapped to the width.
fn wrap_figures<'a>(figures: &'a [(&str, String)], width: u16) -> Vec<Line<'a>> {
    let limit = usize::from(width.saturating_sub(2));
    let mut lines = vec![Line::default()];
    for (label, value) in figures {
        let value = shorten(value, limit.saturating_sub(label.chars().count() + 2));
        let next = Line::from(vec![format!(" {label} ").dim(), value.bold(), Span::raw("  ")]);
        match lines.last_mut() {
            Some(line) if line.width() == 0 || line.width() + next.width() <= limit => {
                line.spans.extend(next.spans);
            }
            _ => lines.push(next),
        }
    }
    lines
}

fn block(panel: &Panel) -> Block<'_> {
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(Style::new().dim())
        .title(panel.title.as_str().bold())
}

/// Draws the problem, if any, and returns the area below it.
fn draw_problem(frame: &mut Frame<'_>, area: Rect, panel: &Panel) -> Rect {
    let lines = problem_lines(panel, area.width.saturating_add(2));
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let [above, below] =
        Layout::vertical([Constraint::Length(height), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Paragraph::new(lines).fg(Color::Red), above);
    below
}

fn draw_figures(frame: &mut Frame<'_>, area: Rect, panel: &Panel, figures: &[(&str, String)]) {
    let block = block(panel);
    let inner = draw_problem(frame, block.inner(area), panel);
    frame.render_widget(block, area);
    frame.render_widget(Paragraph::new(wrap_figures(figures, area.width)), inner);
}

fn draw_table(
    frame: &mut Frame<'_>,
    area: Rect,
    panel: &Panel,
    table: &PlainTable,
    index: usize,
    position: &mut Position,
) {
    let mut block = block(panel);
    if index == position.selected && position.tables > 1 {
        block = block.border_style(Style::new().fg(Color::Cyan));
    }
    let inner = block.inner(area);
    let widths = visible_columns(table, inner.width);
    let visible = usize::from(inner.height.saturating_sub(1))
        .saturating_sub(problem_lines(panel, area.width).len());
    let first = position.first(index, table.rows.len(), visible);
    let mut notes = Vec::new();
    if table.rows.len() > visible {
        notes.push(format!(
            "{}–{} of {}",
            first + 1,
            (first + visible).min(table.rows.len()),
            table.rows.len()
        ));
    }
    let hidden: Vec<_> =
        table.columns.iter().skip(widths.len()).map(|column| column.label).collect();
    if !hidden.is_empty() && !table.rows.is_empty() {
        notes.push(format!("not shown: {}", hidden.join(", ")));
    }
    let shortened_columns = table.columns.iter().zip(&widths).filter(|(_, width)| width.is_cut);
    let shortened_columns: Vec<_> = shortened_columns.map(|(column, _)| column.label).collect();
    if !shortened_columns.is_empty() {
        notes.push(format!("shortened: {}", shortened_columns.join(", ")));
    }
    let notes = notes.join(" · ");
    block = block.title_bottom(Line::from(shorten(&notes, inner.width.into())).right_aligned());
    frame.render_widget(block, area);
    let below = draw_problem(frame, inner, panel);
    if table.rows.is_empty() {
        frame.render_widget(Paragraph::new(table.empty).wrap(Wrap { trim: true }).dim(), below);
        return;
    }
    let rows = table
        .rows
        .iter()
        .skip(first)
        .map(|row| aligned_row(row.iter().map(String::as_str), &table.columns, &widths));
    let labels = table.columns.iter().map(|column| column.label);
    let header = aligned_row(labels, &table.columns, &widths).style(Modifier::DIM);
    let widget = Table::new(rows, widths.iter().map(|width| Constraint::Length(width.visible)));
    frame.render_widget(widget.header(header).column_spacing(GAP), below);
}

/// Returns a row of cells that are shortened to the columns' widths.
fn aligned_row<'a>(
    texts: impl Iterator<Item = &'a str>,
    columns: &[Column],
    widths: &[Width],
) -> Row<'static> {
    Row::new(texts.zip(columns.iter().zip(widths)).map(|(text, (column, width))| {
        let alignment = if column.is_number { Alignment::Right } else { Alignment::Left };
        Cell::new(Line::from(shorten(text, width.visible.into()).into_owned()).alignment(alignment))
    }))
}

/// Width of a visible column.
struct Width {
    visible: u16,
    /// Whether some cell is wider than the column.
    is_cut: bool,
}

/// Returns the widths of the columns that fit; the first column is always included. Texts are
/// shortened, numbers never.
fn visible_columns(table: &PlainTable, available: u16) -> Vec<Width> {
    let mut widths = Vec::new();
    let mut used_width: u16 = 0;
    for (index, column) in table.columns.iter().enumerate() {
        let cells = table.rows.iter().filter_map(|row| row.get(index)).map(String::as_str);
        let widest = cells
            .chain([column.label])
            .map(|text| Line::from(text).width())
            .max()
            .unwrap_or_default();
        let widest = u16::try_from(widest).unwrap_or(u16::MAX);
        used_width = if index == 0 { 0 } else { used_width.saturating_add(GAP) };
        let remaining = available.saturating_sub(used_width);
        let visible_width = if column.is_number {
            widest
        } else if remaining >= MIN_WIDTH {
            widest.min(MAX_WIDTH).min(remaining)
        } else {
            widest.min(MAX_WIDTH)
        };
        if index > 0 && visible_width > remaining {
            break;
        }
        used_width = used_width.saturating_add(visible_width);
        widths.push(Width { visible: visible_width, is_cut: widest > visible_width });
    }
    widths
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Cell;

    use super::*;

    fn panels() -> Vec<Panel> {
        let columns = vec![
            Column::number("#"),
            Column::text("Miner"),
            Column::number("Score"),
            Column::text("Lost points"),
        ];
        let row = |rank: usize| {
            let lost = if rank == 2 { "accuracy 3 of 3" } else { "" };
            vec![rank.to_string(), format!("Miner {rank}"), format!("0.{rank}00"), lost.to_owned()]
        };
        let table =
            PlainTable { columns, rows: (1..=4).map(row).collect(), empty: "No replies yet." };
        let figures =
            vec![("Challenges", "12 (1 in progress)".to_owned()), ("Miners", "4".to_owned())];
        vec![
            Panel { title: "Babelbit".into(), problem: None, content: Content::Figures(figures) },
            Panel { title: "Leaderboard".into(), problem: None, content: Content::Table(table) },
            Panel {
                title: "Chain".into(),
                problem: Some("connection refused; hint: check the node".into()),
                content: Content::Table(PlainTable {
                    empty: "The subnet has not been read yet.",
                    ..Default::default()
                }),
            },
        ]
    }

    fn draw_text(width: u16, height: u16, position: &mut Position) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal
            .draw(|frame| render(frame, &panels(), position, "2026-01-01 00:00:00 UTC"))
            .unwrap();
        let buffer = terminal.backend().buffer();
        let lines = buffer.content().chunks(width.into());
        lines
            .map(|line| {
                line.iter().map(Cell::symbol).collect::<String>().trim_end().to_owned() + "\n"
            })
            .collect()
    }

    #[test]
    fn all_panels_are_drawn_without_omitted_columns() {
        let text = draw_text(64, 18, &mut Position::default());
        for part in [
            "Challenges 12 (1 in progress)",
            "Miners 4",
            "accuracy 3 of 3",
            "connection refused",
            "not been read",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        assert!(!text.contains("not shown"), "{text}");
    }

    #[test]
    fn narrow_terminal_lists_omitted_columns() {
        let text = draw_text(26, 18, &mut Position::default());
        assert!(text.contains("0.200") && text.contains("not shown: Lost points"), "{text}");
    }

    #[test]
    fn cells_that_do_not_fit_are_shortened_with_a_note() {
        let text = draw_text(35, 18, &mut Position::default());
        assert!(
            text.contains("accuracy 3 of…") && text.contains("shortened: Lost points"),
            "{text}"
        );
        for (width, expected) in
            [(11, "speech 日本"), (10, "speech 日…"), (9, "speech …"), (1, "…"), (0, "…")]
        {
            assert_eq!(shorten("speech 日本", width), expected, "{width}");
        }
    }

    #[test]
    fn problems_are_wrapped_between_words() {
        let text = draw_text(30, 18, &mut Position::default());
        assert!(
            text.contains("connection refused; hint:") && text.contains("check the node"),
            "{text}"
        );
    }

    #[test]
    fn control_characters_of_problems_are_escaped() {
        let mut panels = panels();
        panels[2].problem = Some("refused: \u{202e}txt.exe \u{1b}[2J".into());
        let mut terminal = Terminal::new(TestBackend::new(64, 18)).unwrap();
        terminal.draw(|frame| render(frame, &panels, &mut Position::default(), "")).unwrap();
        let text = terminal.backend().to_string();
        assert!(text.contains("refused: \\u{202e}txt.exe \\u{1b}[2J"), "{text}");
    }

    #[test]
    fn small_terminal_scrolls() {
        let mut position = Position::default();
        let before = draw_text(64, 12, &mut position);
        assert!(before.contains("Miner 1") && before.contains("of 4"), "{before}");
        position.apply(Action::Last);
        let after = draw_text(64, 12, &mut position);
        assert!(!after.contains("Miner 1") && after.contains("Miner 4"), "{after}");
        position.apply(Action::First);
        assert_eq!(draw_text(64, 12, &mut position), before);
    }

    #[test]
    fn smallest_terminal_does_not_panic() {
        for (width, height) in [(1, 1), (3, 2), (10, 3), (200, 1)] {
            draw_text(width, height, &mut Position::default());
        }
    }
}
