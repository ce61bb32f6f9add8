//! Vocabularies of seeded and of trained models: tokens and their texts.

mod tokenizer;

use std::collections::HashMap;

use tokenizers::Tokenizer;

use crate::ModelError;

/// Special tokens, which control a model and never appear in a text.
const SPECIAL_TOKENS: [&str; 6] =
    ["<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"];
const BOS: u32 = 0;
const EOS: u32 = 1;
/// Replacement for characters outside the vocabulary.
const UNKNOWN_CHARACTER: char = '?';

/// Vocabulary of a model.
#[derive(Debug)]
pub struct Vocabulary {
    /// Text of each token, or the name of a special token.
    pieces: Vec<String>,
    ids: HashMap<String, u32>,
    special: Vec<bool>,
    bos_token: Option<u32>,
    end_tokens: Vec<u32>,
    tokenizer_kind: TokenizerKind,
}

/// Tokenisation algorithm of a vocabulary.
#[derive(Debug)]
enum TokenizerKind {
    /// Greedy match of the longest piece; the value is the maximum length of a piece in bytes.
    LongestMatch(usize),
    /// The model's own tokenizer, without and with special tokens.
    Trained { plain: Box<Tokenizer>, special: Box<Tokenizer> },
}

impl Default for Vocabulary {
    /// Creates the vocabulary of seeded models: a few special tokens, the printable characters of
    /// ASCII, and syllables with and without a leading space. All pieces are plain text, so that
    /// every answer is valid UTF-8.
    fn default() -> Self {
        let mut pieces: Vec<String> = SPECIAL_TOKENS.map(str::to_owned).to_vec();
        pieces.extend((b' '..=b'~').chain([b'\n']).map(|byte| char::from(byte).to_string()));
        for onset in [
            "b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "st", "tr",
            "ch",
        ] {
            for rhyme in ["a", "e", "i", "o", "u", "an", "er", "in", "on", "at", "al"] {
                pieces.push(format!("{onset}{rhyme}"));
                pieces.push(format!(" {onset}{rhyme}"));
            }
        }
        let ids = pieces.iter().zip(0..).map(|(piece, id)| (piece.clone(), id)).collect();
        let max_piece_bytes =
            pieces.iter().skip(SPECIAL_TOKENS.len()).map(String::len).max().unwrap_or(1);
        let special = (0..pieces.len()).map(|index| index < SPECIAL_TOKENS.len()).collect();
        Self {
            pieces,
            ids,
            special,
            bos_token: Some(BOS),
            end_tokens: vec![EOS],
            tokenizer_kind: TokenizerKind::LongestMatch(max_piece_bytes),
        }
    }
}

impl Vocabulary {
    /// Returns the number of tokens.
    pub const fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Returns whether the vocabulary is empty.
    pub const fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Returns the token that begins every prompt, if there is one.
    pub const fn bos_token(&self) -> Option<u32> {
        self.bos_token
    }

    /// Returns the token that ends a turn.
    pub fn end_token(&self) -> u32 {
        self.end_tokens.first().copied().unwrap_or(EOS)
    }

    /// Returns all tokens that end an answer.
    pub fn end_tokens(&self) -> &[u32] {
        &self.end_tokens
    }

    /// Returns whether a token is special: it controls the model and has no text.
    pub(crate) fn is_special(&self, token: u32) -> bool {
        self.special.get(token as usize).copied().unwrap_or(true)
    }

    /// Masks the logits of special tokens other than EOS, because a seeded model was not trained to
    /// avoid them. Those of trained models keep their probabilities, as in other servers.
    pub fn mask_unused(&self, logits: &mut [f32]) {
        if matches!(self.tokenizer_kind, TokenizerKind::Trained { .. }) {
            return;
        }
        for (token, logit) in (0..).zip(logits.iter_mut()).take(SPECIAL_TOKENS.len()) {
            if token != EOS {
                *logit = f32::NEG_INFINITY;
            }
        }
    }

    /// Returns the token that opens a turn of this role, in models without a chat template. Unknown
    /// roles are treated as `user`.
    pub fn role(&self, role: &str) -> u32 {
        self.ids
            .get(&format!("<|{role}|>"))
            .or_else(|| self.ids.get("<|user|>"))
            .copied()
            .unwrap_or(BOS)
    }

    /// Returns the token whose text is exactly `text`.
    pub fn token(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied().filter(|token| !self.is_special(*token))
    }

    /// Returns the text of a token; empty for special tokens.
    pub fn text(&self, token: u32) -> &str {
        let piece = self.pieces.get(token as usize).filter(|_| !self.is_special(token));
        piece.map(String::as_str).unwrap_or_default()
    }

    /// Encodes a text. Names of special tokens in the text are encoded as plain text.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`] when the tokenizer rejects the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        match &self.tokenizer_kind {
            TokenizerKind::LongestMatch(max_piece_bytes) => {
                Ok(self.encode_longest_matches(text, *max_piece_bytes))
            }
            TokenizerKind::Trained { plain, .. } => tokenizer::encode(plain, text),
        }
    }

    /// Encodes a text; returns each token with the text that it adds to the stream. The text of a
    /// character that is spread over several tokens belongs to the last of them.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`] when the tokenizer rejects the text.
    pub fn split(&self, text: &str) -> Result<Vec<(u32, String)>, ModelError> {
        let mut stream = TextStream::default();
        Ok(self.encode(text)?.into_iter().map(|token| (token, stream.push(self, token))).collect())
    }

    /// Encodes a text, converting names of special tokens to these tokens, as chat templates
    /// require.
    pub(crate) fn encode_with_special_tokens(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        match &self.tokenizer_kind {
            TokenizerKind::LongestMatch(max_piece_bytes) => {
                Ok(self.encode_longest_matches(text, *max_piece_bytes))
            }
            TokenizerKind::Trained { special, .. } => tokenizer::encode(special, text),
        }
    }

    /// Decodes tokens to text. Invalid UTF-8 is replaced with U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        match &self.tokenizer_kind {
            TokenizerKind::LongestMatch(_) => {
                tokens.iter().map(|token| self.text(*token)).collect()
            }
            TokenizerKind::Trained { plain, .. } => plain.decode(tokens, true).unwrap_or_default(),
        }
    }

    fn encode_longest_matches(&self, text: &str, max_piece_bytes: usize) -> Vec<u32> {
        let mut tokens = Vec::new();
        let mut remaining = text;
        while let Some(first) = remaining.chars().next() {
            let longest_match =
                (1..=max_piece_bytes.min(remaining.len())).rev().find_map(|length| {
                    let piece = remaining.get(..length)?;
                    self.token(piece).map(|token| (token, length))
                });
            let (token, length) = longest_match.unwrap_or_else(|| {
                (self.token(&UNKNOWN_CHARACTER.to_string()).unwrap_or(EOS), first.len_utf8())
            });
            tokens.push(token);
            remaining = remaining.get(length..).unwrap_or_default();
        }
        tokens
    }
}

/// Incremental decoder of tokens. A character whose bytes are spread over several tokens is
/// returned with the last of these tokens.
#[derive(Debug, Default)]
pub struct TextStream {
    tokens: Vec<u32>,
    /// Number of tokens whose text was returned.
    returned_tokens: usize,
}

impl TextStream {
    /// Adds a token, and returns the text that is now complete.
    pub fn push(&mut self, vocabulary: &Vocabulary, token: u32) -> String {
        self.tokens.push(token);
        let text = vocabulary.decode(&self.tokens);
        if text.ends_with(char::REPLACEMENT_CHARACTER)
            && self.tokens.len() - self.returned_tokens < MAX_CHARACTER_TOKENS
        {
            return String::new();
        }
        let returned_text =
            vocabulary.decode(self.tokens.get(..self.returned_tokens).unwrap_or_default());
        // Keep these tokens as context of the next tokens: a tokenizer may treat the beginning of a
        // text differently.
        self.tokens.drain(..self.returned_tokens);
        self.returned_tokens = self.tokens.len();
        text.get(returned_text.len()..).unwrap_or_default().to_owned()
    }

    /// Returns the remaining text at the end of the stream.
    pub fn finish(&mut self, vocabulary: &Vocabulary) -> String {
        let (text, returned_text) = (
            vocabulary.decode(&self.tokens),
            vocabulary.decode(self.tokens.get(..self.returned_tokens).unwrap_or_default()),
        );
        self.returned_tokens = self.tokens.len();
        text.get(returned_text.len()..).unwrap_or_default().to_owned()
    }
}

/// Maximum number of tokens per character, with one token per UTF-8 byte.
const MAX_CHARACTER_TOKENS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_text_decodes_to_itself() {
        let vocabulary = Vocabulary::default();
        let decode_stream = |text: &str| {
            vocabulary
                .encode(text)
                .unwrap()
                .into_iter()
                .map(|token| vocabulary.text(token))
                .collect::<String>()
        };
        for text in ["", "a", " trastonin the banana.\n\"{}\"", "  x  "] {
            assert_eq!(decode_stream(text), text);
        }
        assert_eq!(decode_stream("h\u{e9} \u{2603}"), "h? ?");
        assert_eq!(vocabulary.encode(" stan").unwrap(), [vocabulary.token(" stan").unwrap()]);
    }

    #[test]
    fn text_never_encodes_to_control_tokens() {
        let vocabulary = Vocabulary::default();
        assert!(
            vocabulary
                .encode("<|end|>")
                .unwrap()
                .into_iter()
                .all(|token| !vocabulary.is_special(token))
        );
        assert_eq!(vocabulary.token("<|end|>"), None);
        assert_eq!(vocabulary.text(vocabulary.end_token()), "");
        assert_ne!(vocabulary.role("assistant"), vocabulary.role("user"));
        assert_eq!(vocabulary.role("nobody"), vocabulary.role("user"));
    }

    #[test]
    fn vocabulary_tokens_are_unique() {
        let vocabulary = Vocabulary::default();
        assert_eq!(vocabulary.ids.len(), vocabulary.len());
    }
}
