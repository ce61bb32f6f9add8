use super::*;

const ADDRESS: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

fn rows(columns: Vec<Column>, cells: &[&[&str]]) -> Rows {
    let mut rows = table(columns);
    for row in cells {
        rows.add_row(row.iter().copied());
    }
    rows
}

fn columns() -> Vec<Column> {
    vec![
        Column::number("uid"),
        Column::number("stake").rank(1),
        Column::fixed("axon").rank(2),
        Column::address("hotkey"),
        Column::text("why"),
    ]
}

fn neurons() -> Rows {
    let reason = "its answers came too late for the whole of the challenge";
    rows(
        columns(),
        &[
            &["7", "1234567.8901", "192.0.2.17:8091", ADDRESS, reason],
            &["8", "0.0000", "–", ADDRESS, "–"],
        ],
    )
}

#[test]
fn table_lines_fit_width_without_splitting_words() {
    let complete = neurons().render(None);
    let words: Vec<_> = complete.split_whitespace().map(str::to_owned).collect();
    for width in 20..160 {
        let text = neurons().render(Some(width));
        // Three columns are never omitted; the note below the table is separate.
        let longest = text.lines().map(measure_text_width).max().unwrap();
        assert!(longest <= width.max(34), "{width}: {longest}\n{text}");
        let table = ["\n left out:", "\n shortened:"].iter().fold(text.as_str(), |table, note| {
            table.split_once(note).map_or(table, |(before, _)| before)
        });
        for word in table.split_whitespace() {
            let is_known = words.iter().any(|expected| expected == word)
                || word.ends_with('…')
                || word.starts_with('─');
            assert!(is_known, "{width}: {word}\n{text}");
        }
    }
}

#[test]
fn table_note_lists_omitted_and_shortened_columns() {
    for (width, note) in [
        (Some(200), None),
        (None, None),
        (Some(110), None),
        (Some(100), Some(" shortened: hotkey; --wide shows all")),
        (Some(61), Some(" left out: axon; shortened: hotkey; --wide shows all")),
        (Some(43), Some(" left out: stake, axon; shortened: hotkey; --wide shows all")),
    ] {
        let text = neurons().render(width);
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words.contains("--wide"), note.is_some(), "{width:?}\n{text}");
        assert!(words.ends_with(note.unwrap_or_default()), "{width:?}\n{text}");
    }
}

#[test]
fn amounts_are_rounded_down() {
    for (smallest, expected) in [
        (0, "0.0000"),
        (99_999, "0.0000"),
        (1_999_999_999, "1.9999"),
        (u64::MAX, "18446744073.7095"),
    ] {
        assert_eq!(tao_decimals(smallest), expected);
    }
}

#[test]
fn control_characters_in_cells_are_escaped() {
    let mut rows = key_values();
    rows.add_row(["two\nlines", "\u{1b}[31mred"]);
    let text = rows.to_string();
    assert_eq!(text.lines().count(), 2);
    assert!(text.contains("\\u{1b}[31mred") && !text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn wide_characters_take_two_columns() {
    let columns = vec![Column::text("text"), Column::number("n")];
    let text = rows(columns, &[&["通訳 通訳 通訳 通訳 通訳 通訳", "1"]]).render(Some(24));
    assert!(text.lines().all(|line| measure_text_width(line) <= 24), "{text}");
}
