//! Escapes untrusted text for the terminal. Control characters in a peer's text could clear the
//! screen, change the window title or fake other output. Such characters are shown as escapes
//! instead.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};

use taonet_primitives::take_complete_text;

/// Escapes control characters (`\n`, `\u{1b}`), for a single line or table cell.
pub fn printable(text: &str) -> Cow<'_, str> {
    escape_if(text, is_control, |out, character| out.extend(character.escape_default()))
}

/// Escapes control characters in multi-line text, except line breaks and tabs.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escape_if(text, is_control_in_line, |out, character| out.extend(character.escape_default()))
}

/// Escapes the control characters that JSON allows unescaped; the value is unchanged.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    escape_if(json, is_control_in_line, |out, character| {
        // Four digits suffice: all of these characters are below U+10000.
        let _ = write!(out, "\\u{:04x}", u32::from(character));
    })
}

/// Returns a writer for a peer's bytes to standard output, which escapes them like
/// [`printable_lines`] on a terminal and leaves them unchanged elsewhere.
pub fn stdout() -> Box<dyn Write> {
    let stdout = io::stdout().lock();
    if stdout.is_terminal() { Box::new(PrintableWriter::new(stdout)) } else { Box::new(stdout) }
}

/// Streaming form of [`printable_lines`]; chunks can split characters.
struct PrintableWriter<W> {
    inner: W,
    /// Incomplete UTF-8 sequence at the end of the last chunk.
    incomplete: Vec<u8>,
}

impl<W> PrintableWriter<W> {
    const fn new(inner: W) -> Self {
        Self { inner, incomplete: Vec::new() }
    }
}

impl<W: Write> Write for PrintableWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.incomplete.extend_from_slice(bytes);
        let complete = take_complete_text(&mut self.incomplete);
        self.inner.write_all(printable_lines(&complete).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Returns whether a character is a control character, a bidirectional control or a line separator.
fn is_control(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_control_in_line(character: char) -> bool {
    is_control(character) && !matches!(character, '\n' | '\t')
}

fn escape_if(
    text: &str,
    is_escaped: fn(char) -> bool,
    escape: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_escaped(character) { escape(&mut out, character) } else { out.push(character) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
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

    #[test]
    fn escaped_json_is_the_same_value() {
        let value = serde_json::json!({ "a\u{9b}": "\u{1b}[2J\u{7f}\u{202e}\n τ" });
        let text = serde_json::to_string_pretty(&value).unwrap();
        let escaped = printable_json(&text);
        assert_eq!(escaped, "{\n  \"a\\u009b\": \"\\u001b[2J\\u007f\\u202e\\n τ\"\n}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
    }

    #[test]
    fn chunks_are_escaped_like_the_whole_text() {
        for bytes in ["a 語 \u{1b}[2J\u{9b} 🦀\r\n".as_bytes(), b"\xff\xc2\x9b\xe8\xaa\n\xf0\x9f\n"]
        {
            for size in 1..=bytes.len() {
                let mut writer = PrintableWriter::new(Vec::new());
                for piece in bytes.chunks(size) {
                    writer.write_all(piece).unwrap();
                }
                let text = String::from_utf8_lossy(bytes);
                assert_eq!(
                    String::from_utf8(writer.inner).unwrap(),
                    printable_lines(&text),
                    "{size}"
                );
            }
        }
    }
}
