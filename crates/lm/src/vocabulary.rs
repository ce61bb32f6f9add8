//! The vocabulary of a model that is made from a seed: plain text only, so that every answer is valid UTF-8.

use std::collections::HashMap;

/// Tokens that steer a model, and never appear in a text.
const STEERING: [&str; 6] = ["<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"];
const BEGIN: u32 = 0;
const END: u32 = 1;
/// What stands for characters that the vocabulary lacks.
const REPLACEMENT: char = '?';

/// Tokens: a few that steer, the printable characters of ASCII, and syllables with and without a space before them.
#[derive(Debug)]
pub struct Vocabulary {
    pieces: Vec<String>,
    ids: HashMap<String, u32>,
    longest: usize,
}

impl Default for Vocabulary {
    fn default() -> Self {
        let mut pieces: Vec<String> = STEERING.map(str::to_owned).to_vec();
        pieces.extend((b' '..=b'~').chain([b'\n']).map(|byte| char::from(byte).to_string()));
        for onset in ["b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "st", "tr", "ch"] {
            for rhyme in ["a", "e", "i", "o", "u", "an", "er", "in", "on", "at", "al"] {
                pieces.push(format!("{onset}{rhyme}"));
                pieces.push(format!(" {onset}{rhyme}"));
            }
        }
        let ids = pieces.iter().zip(0..).map(|(piece, id)| (piece.clone(), id)).collect();
        let longest = pieces.iter().skip(STEERING.len()).map(String::len).max().unwrap_or(1);
        Self { pieces, ids, longest }
    }
}

impl Vocabulary {
    /// Number of tokens.
    pub const fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there are no tokens.
    pub const fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The token that begins every prompt.
    pub const fn begin(&self) -> u32 {
        BEGIN
    }

    /// The token that ends a turn.
    pub const fn end(&self) -> u32 {
        END
    }

    /// Whether a token steers the model, and is no text.
    pub fn is_steering(&self, token: u32) -> bool {
        (token as usize) < STEERING.len()
    }

    /// Makes tokens impossible that no answer has: all that steer, but the end.
    pub fn silence(&self, logits: &mut [f32]) {
        for (token, logit) in (0..).zip(logits.iter_mut()).take(STEERING.len()) {
            if token != END {
                *logit = f32::NEG_INFINITY;
            }
        }
    }

    /// The token that opens a turn of this role. Unknown roles count as `user`.
    pub fn role(&self, role: &str) -> u32 {
        self.ids.get(&format!("<|{role}|>")).or_else(|| self.ids.get("<|user|>")).copied().unwrap_or(BEGIN)
    }

    /// The token of exactly this text.
    pub fn token(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied().filter(|token| !self.is_steering(*token))
    }

    /// The text of a token; empty for those that steer.
    pub fn text(&self, token: u32) -> &str {
        let piece = self.pieces.get(token as usize).filter(|_| !self.is_steering(token));
        piece.map(String::as_str).unwrap_or_default()
    }

    /// The tokens of a text: the longest piece that fits, again and again.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let fits = (1..=self.longest.min(rest.len())).rev().find_map(|length| {
                let piece = rest.get(..length)?;
                self.token(piece).map(|token| (token, length))
            });
            let (token, length) =
                fits.unwrap_or_else(|| (self.token(&REPLACEMENT.to_string()).unwrap_or(END), first.len_utf8()));
            tokens.push(token);
            rest = rest.get(length..).unwrap_or_default();
        }
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_taken_apart_and_put_together() {
        let vocabulary = Vocabulary::default();
        let together =
            |text: &str| vocabulary.encode(text).into_iter().map(|token| vocabulary.text(token)).collect::<String>();
        for text in ["", "a", " trastonin the banana.\n\"{}\"", "  x  "] {
            assert_eq!(together(text), text);
        }
        assert_eq!(together("h\u{e9} \u{2603}"), "h? ?");
        assert_eq!(vocabulary.encode(" stan"), [vocabulary.token(" stan").unwrap()]);
    }

    #[test]
    fn texts_cannot_steer() {
        let vocabulary = Vocabulary::default();
        assert!(vocabulary.encode("<|end|>").into_iter().all(|token| !vocabulary.is_steering(token)));
        assert_eq!(vocabulary.token("<|end|>"), None);
        assert_eq!(vocabulary.text(vocabulary.end()), "");
        assert_ne!(vocabulary.role("assistant"), vocabulary.role("user"));
        assert_eq!(vocabulary.role("nobody"), vocabulary.role("user"));
    }

    #[test]
    fn pieces_stand_once() {
        let vocabulary = Vocabulary::default();
        assert_eq!(vocabulary.ids.len(), vocabulary.len());
    }
}
