//! Outside text on a terminal.
//!
//! A terminal obeys what it is sent: control characters in a peer's words could clear the screen, set the window's title
//! or show something else than what was said. Here they become visible.

use std::borrow::Cow;

/// The text with its control characters escaped (`\n`, `\u{1b}`): for one line or one cell.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, is_control)
}

/// As [`printable`], for text of many lines: line ends and tabs stay.
pub(crate) fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| is_control(character) && !matches!(character, '\n' | '\t'))
}

/// Characters that terminals obey: the controls of ASCII and Latin-1, and what turns the direction of writing or breaks
/// lines.
fn is_control(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(text: &str, escapes: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&escapes) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if escapes(character) { shown.extend(character.escape_default()) } else { shown.push(character) }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_terminals_obey_is_shown_instead() {
        for (text, line, lines) in [
            ("ein Wort τ 語 🦀 \\ \"x\"", "ein Wort τ 語 🦀 \\ \"x\"", "ein Wort τ 語 🦀 \\ \"x\""),
            ("a\tb\nc\r\n", "a\\tb\\nc\\r\\n", "a\tb\nc\\r\n"),
            ("\u{1b}[2J\u{7}\0", "\\u{1b}[2J\\u{7}\\u{0}", "\\u{1b}[2J\\u{7}\\u{0}"),
            ("\u{7f}\u{9b}31m", "\\u{7f}\\u{9b}31m", "\\u{7f}\\u{9b}31m"),
            ("\u{202e}txt.\u{2066}", "\\u{202e}txt.\\u{2066}", "\\u{202e}txt.\\u{2066}"),
        ] {
            assert_eq!(printable(text), line);
            assert_eq!(printable_lines(text), lines);
        }
        assert!(matches!(printable("nothing to do"), Cow::Borrowed(_)));
    }
}
