//! The prompt of a language model, which is the dialogue with one utterance per line, and the line
//! that completes it.

use std::ops::ControlFlow;

use taonet_babelbit_core::text_api::CONTEXT_SEPARATOR;

use crate::model::MAX_ADDED_WORDS;

/// Maximum length in bytes of the earlier utterances in the prompt, about 500 tokens: small models
/// have contexts of 1 024 tokens, and long prompts are slow.
const MAX_CONTEXT: usize = 2_000;
/// Maximum length of a completion in bytes: its words may be of any length, and validators refuse
/// long predictions.
pub(crate) const MAX_BYTES: usize = 4 << 10;

/// Returns the prompt: the last utterances of the dialogue and the revealed words, one line each.
pub(crate) fn prompt(prefix: &str, context: &str) -> String {
    let mut lines = vec![prefix];
    let mut remaining_bytes = MAX_CONTEXT;
    for utterance in non_empty(context.rsplit(CONTEXT_SEPARATOR)) {
        let Some(remaining) = remaining_bytes.checked_sub(utterance.len() + 1) else { break };
        remaining_bytes = remaining;
        lines.push(utterance);
    }
    lines.reverse();
    let text = lines.join("\n");
    // Servers reject an empty prompt.
    if text.is_empty() { "\n".to_owned() } else { text }
}

/// Like [`prompt`], but its beginning rarely changes while the dialogue grows, so that a cache of
/// the prompt stays valid: earlier utterances are dropped in pieces of half the maximum length.
pub(crate) fn stable_prompt(prefix: &str, context: &str) -> String {
    let length: usize =
        non_empty(context.split(CONTEXT_SEPARATOR)).map(|utterance| utterance.len() + 1).sum();
    let piece = MAX_CONTEXT / 2;
    let dropped_bytes = length.saturating_sub(MAX_CONTEXT).div_ceil(piece) * piece;
    let mut start = 0;
    let recent_utterances = non_empty(context.split(CONTEXT_SEPARATOR)).filter(|utterance| {
        let position = start;
        start += utterance.len() + 1;
        position >= dropped_bytes
    });
    recent_utterances.chain([prefix]).collect::<Vec<_>>().join("\n")
}

/// Returns the utterances without surrounding white space and without empty ones.
fn non_empty<'a>(utterances: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    utterances.map(str::trim).filter(|text| !text.is_empty())
}

/// The rest of the utterance, as received so far.
#[derive(Debug, Default)]
pub(crate) struct Line {
    text: String,
}

impl Line {
    /// Returns whether no word was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Returns the number of words.
    pub(crate) fn words(&self) -> usize {
        self.text.split_whitespace().count()
    }

    /// Adds a piece of the completion; breaks at the end of the line and at the maximum number of
    /// words or bytes.
    pub(crate) fn add(&mut self, piece: &str) -> ControlFlow<()> {
        let (line, is_last) =
            piece.split_once('\n').map_or((piece, false), |(line, _)| (line, true));
        self.text.push_str(line);
        let is_full = self.text.len() >= MAX_BYTES;
        self.text.truncate(self.text.floor_char_boundary(MAX_BYTES));
        let is_too_long = is_full || self.text.split_whitespace().nth(MAX_ADDED_WORDS).is_some();
        if is_last || is_too_long { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Removes the last word, which may be incomplete, unless white space follows it.
    pub(crate) fn drop_last_word(&mut self) {
        let end = self.text.rfind(char::is_whitespace).unwrap_or_default();
        self.text.truncate(end);
    }

    /// Returns the prefix with the words of the complete line after it, or with the fallback if the
    /// line is empty.
    pub(crate) fn complete(&self, prefix: &str, fallback: Option<&str>) -> String {
        match fallback.filter(|_| self.is_empty()) {
            Some(text) => Self { text: text.to_owned() }.with_prefix(prefix),
            None => self.with_prefix(prefix),
        }
    }

    /// Returns the prefix with the words of the line after it. Revealed words are complete: a
    /// letter or digit starts a new word, even without white space before it.
    pub(crate) fn with_prefix(&self, prefix: &str) -> String {
        let mut text = prefix.to_owned();
        for (number, word) in self.text.split_whitespace().take(MAX_ADDED_WORDS).enumerate() {
            let continues_number = number == 0
                && self.text.starts_with(|character: char| {
                    !character.is_whitespace() && !character.is_alphanumeric()
                });
            if !continues_number && !text.is_empty() && !text.ends_with(char::is_whitespace) {
                text.push(' ');
            }
            text.push_str(word);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: prefix, context, prompt.
    #[test]
    fn long_context_is_truncated_at_its_start() {
        let long = "x".repeat(MAX_CONTEXT - 5);
        let table = [
            ("", String::new(), "\n".to_owned()),
            ("I", String::new(), "I".to_owned()),
            ("I", " EOF One. EOF  EOF Two.".to_owned(), "One.\nTwo.\nI".to_owned()),
            ("I", format!("One. EOF {long}"), format!("{long}\nI")),
            ("I", format!("{long} EOF One. EOF Two."), "One.\nTwo.\nI".to_owned()),
        ];
        for (prefix, context, expected) in table {
            assert_eq!(prompt(prefix, &context), expected, "{context:.30}");
        }
    }

    /// Columns: line, fallback, prediction.
    #[test]
    fn fallback_completes_texts_without_a_model_prediction() {
        for (text, fallback, expected) in [
            (" you?", Some("..."), "How are you?"),
            (" ", Some("..."), "How are..."),
            ("", Some("you all"), "How are you all"),
            ("", None, "How are"),
        ] {
            let line = Line { text: text.to_owned() };
            assert_eq!(line.complete("How are", fallback), expected, "{text:?} {fallback:?}");
        }
    }

    #[test]
    fn truncated_prompt_rarely_changes_its_start() {
        assert_eq!(stable_prompt("It", "Hello. EOF  Hi.  EOF "), "Hello.\nHi.\nIt");
        assert_eq!(stable_prompt("It", ""), "It");
        let (mut context, mut last, mut changes) = (String::new(), String::new(), 0);
        for number in 0..200 {
            context = format!("{context} EOF This is the utterance number {number}.");
            let prompt = stable_prompt("", &context);
            assert!(
                prompt.len() <= MAX_CONTEXT && prompt.ends_with(&format!("number {number}.\n")),
                "{prompt}"
            );
            assert!(number < 60 || prompt.len() >= MAX_CONTEXT / 2 - 50, "{}", prompt.len());
            changes += usize::from(!prompt.starts_with(last.trim_end_matches('\n')));
            last = prompt;
        }
        // The 200 utterances have about 6 400 bytes; the oldest are dropped in pieces of 1 000.
        assert!((4..=6).contains(&changes), "{changes}");
    }
}
