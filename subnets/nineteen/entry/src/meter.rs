//! Count of an answer's tokens, for the bill.

use std::sync::{Arc, OnceLock};

use taonet_nineteen_query::Chunk;
use tokenizers::Tokenizer;

use crate::usage::TextSize;

/// Maximum number of bytes of text for each log-probability, beyond which the log-probabilities do
/// not cover the text. Tokens of natural languages are shorter.
const MAX_TOKEN_LENGTH: usize = 32;
/// Maximum size of the text that is given to a tokenizer, in bytes. Also limited to
/// [`MAX_TOKEN_LENGTH`] for each requested token: a miner may send more than requested.
const MAX_TEXT_LENGTH: usize = 1 << 20;

/// Counts the tokens of an answer as it is delivered.
///
/// With a tokenizer, it counts the tokens of the text. Without one, each log-probability of a text
/// is a token, but no token is shorter than a byte. The log-probabilities of chunks without text
/// count only as far as they can be the first bytes of the next chunk's characters. A text without
/// log-probabilities, or with too few, is estimated from its length. The count never exceeds the
/// requested maximum.
#[derive(Default)]
pub(crate) struct TokenMeter {
    max_tokens: u64,
    tokenizer: Option<Arc<Tokenizer>>,
    /// Text for the tokenizer.
    text: String,
    /// Number of tokens of `text`, once it is needed; `None` without a tokenizer.
    encoded_tokens: OnceLock<Option<u64>>,
    /// Tokens counted without a tokenizer.
    logprob_tokens: usize,
    /// Size of the texts without log-probabilities.
    estimated_size: TextSize,
    /// Number of log-probabilities in the chunks without text since the last text.
    pending_logprobs: usize,
}

impl TokenMeter {
    pub(crate) fn new(max_tokens: u64, tokenizer: Option<Arc<Tokenizer>>) -> Self {
        Self { max_tokens, tokenizer, ..Self::default() }
    }

    /// Adds a chunk of the answer.
    pub(crate) fn add(&mut self, chunk: &Chunk) {
        let (mut bytes, mut characters) = (0, 0);
        for text in chunk.texts() {
            bytes += text.len();
            characters += text.chars().count();
        }
        if bytes == 0 {
            self.pending_logprobs = self.pending_logprobs.saturating_add(chunk.entries);
            return;
        }
        let pending_logprobs = std::mem::take(&mut self.pending_logprobs);
        if bytes <= chunk.entries.saturating_mul(MAX_TOKEN_LENGTH) {
            let partial_characters = pending_logprobs.min(bytes - characters);
            self.logprob_tokens = self
                .logprob_tokens
                .saturating_add(chunk.entries.saturating_add(partial_characters).min(bytes));
        } else {
            chunk.texts().for_each(|text| self.estimated_size.add(text));
        }
        if self.tokenizer.is_some() {
            for text in chunk.texts() {
                self.push_text(text);
            }
        }
    }

    /// Appends to the text for the tokenizer, up to its maximum size.
    fn push_text(&mut self, text: &str) {
        let max_tokens = usize::try_from(self.max_tokens).unwrap_or(usize::MAX);
        let maximum = MAX_TEXT_LENGTH.min(max_tokens.saturating_mul(MAX_TOKEN_LENGTH));
        let end = text.floor_char_boundary(maximum.saturating_sub(self.text.len()));
        if let Some(text) = text.get(..end).filter(|text| !text.is_empty()) {
            self.text.push_str(text);
            self.encoded_tokens = OnceLock::new();
        }
    }

    /// Returns the number of tokens.
    pub(crate) fn tokens(&self) -> u64 {
        // The end of an answer needs the number twice, for the buyer and for the bill. A long text
        // takes milliseconds.
        let encoded_tokens = self.encoded_tokens.get_or_init(|| {
            let encoding = self.tokenizer.as_ref()?.encode_fast(self.text.as_str(), false).ok()?;
            Some(u64::try_from(encoding.len()).unwrap_or(u64::MAX))
        });
        let counted_or_estimated = || {
            u64::try_from(self.logprob_tokens)
                .unwrap_or(u64::MAX)
                .saturating_add(self.estimated_size.tokens())
        };
        let tokens = encoded_tokens.unwrap_or_else(counted_or_estimated);
        tokens.min(self.max_tokens)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use taonet_nineteen_query::ChunkBody;

    use super::*;

    fn chunk(delta: &Value, logprob_count: usize) -> Chunk {
        let body = ChunkBody::Object(json!({"choices": [{"delta": delta}]}));
        Chunk { body, characters: 0, entries: logprob_count, is_content: true }
    }

    fn text(text: &str, logprob_count: usize) -> Chunk {
        chunk(&json!({ "content": text }), logprob_count)
    }

    fn count_tokens(chunks: &[Chunk], max_tokens: u64) -> u64 {
        let mut meter = TokenMeter::new(max_tokens, None);
        for chunk in chunks {
            meter.add(chunk);
        }
        meter.tokens()
    }

    #[test]
    fn tokens_are_counted_by_log_probabilities() {
        let call = |function: Value| json!({"tool_calls": [{"index": 0, "function": function}]});
        let fox = "\u{1f98a}";
        let long = "four".repeat(100);
        for (chunks, expected) in [
            (vec![text("one", 1), text(" two", 1)], 2),
            (vec![text("one two three", 3)], 3),
            // An empty chunk is not a token, but the parts of a character are.
            (vec![text("", 1), text("one", 1), text("", 1), text("", 1)], 1),
            (vec![text("", 1), text("", 1), text(fox, 1)], 3),
            (vec![text("", 1), text("", 1), text(" \u{1f98a}", 1)], 3),
            (vec![text("", 900), text("one", 1)], 1),
            (vec![text("", 900), text(fox, 1)], 4),
            (vec![text("one", 900)], 3),
            // A text without log-probabilities, or with too few, is estimated.
            (vec![text("one", 0), text(" two", 0), text(" three", 0)], 4),
            (vec![text("one", 1), text(" three", 0)], 3),
            (vec![text(&long, 0)], 100),
            (vec![text(&long, 1)], 100),
            (vec![chunk(&json!({"reasoning_content": "hm"}), 1), text("one", 1)], 2),
            (vec![chunk(&call(json!({"name": "f", "arguments": ""})), 0)], 1),
            (vec![chunk(&call(json!({"arguments": "{\"city\":\"Paris\"}"})), 0)], 4),
            (vec![chunk(&call(json!({"arguments": ""})), 1)], 0),
            (vec![], 0),
        ] {
            assert_eq!(count_tokens(&chunks, 1_000), expected, "{chunks:?}");
            assert_eq!(
                count_tokens(&chunks, 2),
                expected.min(2),
                "never more than the requested maximum"
            );
        }
    }

    #[test]
    fn tokens_are_counted_by_the_tokenizer() {
        let tokenizer =
            Tokenizer::from_bytes(crate::tokenizer::word_tokenizer_json().to_string()).unwrap();
        let mut meter = TokenMeter::new(4, Some(Arc::new(tokenizer)));
        // The log-probabilities would be nine tokens.
        meter.add(&text("one tw", 5));
        meter.add(&text("o", 4));
        assert_eq!(meter.tokens(), 2);
        meter.add(&text(" one two one", 0));
        assert_eq!(meter.tokens(), 4, "the requested maximum");
    }

    /// A miner that sends much more than requested must not cost the gateway much time.
    #[test]
    fn excessive_text_is_not_encoded() {
        let tokenizer =
            Tokenizer::from_bytes(crate::tokenizer::word_tokenizer_json().to_string()).unwrap();
        let mut meter = TokenMeter::new(4, Some(Arc::new(tokenizer)));
        // The limit is within a character of the second text.
        for excess_text in ["one ".repeat(10), format!(" two!{}", "\u{1f98a}".repeat(1_000))] {
            meter.add(&text(&excess_text, 0));
        }
        assert_eq!((meter.text.len(), meter.tokens()), (125, 4));
    }
}
