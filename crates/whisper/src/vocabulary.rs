//! Tokenizer: special tokens, text, and splitting of tokens into words.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use taonet_primitives::{bytes_without_bom, without_bom};
use tokenizers::Tokenizer;

use crate::ModelError;
use crate::config::json;

/// IDs of the special tokens in Whisper's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpecialTokens {
    pub(crate) end_of_text: u32,
    pub(crate) start_of_transcript: u32,
    pub(crate) start_of_previous: u32,
    pub(crate) start_of_lm: Option<u32>,
    pub(crate) transcribe: Option<u32>,
    pub(crate) translate: Option<u32>,
    pub(crate) no_speech: u32,
    pub(crate) no_timestamps: u32,
}

impl SpecialTokens {
    /// Returns the timestamp token of 0.00 s.
    pub(crate) fn timestamp_begin(&self) -> u32 {
        self.no_timestamps + 1
    }

    /// Returns all tokens with their names, except the no-speech token, which has two names.
    fn named_tokens(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let required = [
            ("<|endoftext|>", Some(self.end_of_text)),
            ("<|startoftranscript|>", Some(self.start_of_transcript)),
            ("<|startofprev|>", Some(self.start_of_previous)),
            ("<|notimestamps|>", Some(self.no_timestamps)),
        ];
        let optional = [
            ("<|startoflm|>", self.start_of_lm),
            ("<|transcribe|>", self.transcribe),
            ("<|translate|>", self.translate),
        ];
        required.into_iter().chain(optional).filter_map(|(name, token)| Some((name, token?)))
    }
}

/// The last timestamp token, 30.00 s, relative to that of 0.00 s.
const LAST_TIMESTAMP_STEP: u32 = 1_500;

/// The tokenizer of a model.
pub(crate) struct Vocabulary {
    tokenizer: Tokenizer,
    special: SpecialTokens,
    embeddings: usize,
    is_multilingual: bool,
    suppressed: Vec<u32>,
}

/// Languages written without spaces: words are split at every character.
const LANGUAGES_WITHOUT_SPACES: [&str; 6] = ["zh", "ja", "th", "lo", "my", "yue"];
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
pub(crate) const REPLACEMENT_CHARACTER: char = '\u{fffd}';

impl Vocabulary {
    /// Loads `tokenizer.json`, and checks that every token of Whisper's rules has an embedding, and
    /// that the tokenizer matches the vocabulary file, if present.
    pub(crate) fn load(
        directory: &Path,
        embeddings: usize,
        languages: &[u32],
    ) -> Result<Self, ModelError> {
        let tokenizer = std::fs::read(directory.join("tokenizer.json"))
            .map_err(tokenizers::Error::from)
            .and_then(|bytes| Tokenizer::from_bytes(bytes_without_bom(&bytes)))
            .map_err(|error| ModelError::Tokenizer(error.to_string()))?;
        let vocabulary_tokens = vocabulary_file(directory)?;
        if let Some(tokens) = vocabulary_tokens.as_ref().map(Vec::len)
            && tokens != embeddings
        {
            return Err(ModelError::VocabularySize { tokens, embeddings });
        }
        let special = SpecialTokens {
            end_of_text: required_token(&tokenizer, "<|endoftext|>")?,
            start_of_transcript: required_token(&tokenizer, "<|startoftranscript|>")?,
            start_of_previous: required_token(&tokenizer, "<|startofprev|>")?,
            start_of_lm: tokenizer.token_to_id("<|startoflm|>"),
            transcribe: tokenizer.token_to_id("<|transcribe|>"),
            translate: tokenizer.token_to_id("<|translate|>"),
            no_speech: tokenizer
                .token_to_id("<|nospeech|>")
                .map_or_else(|| required_token(&tokenizer, "<|nocaptions|>"), Ok)?,
            no_timestamps: required_token(&tokenizer, "<|notimestamps|>")?,
        };
        let last_timestamp = special.no_timestamps.saturating_add(1 + LAST_TIMESTAMP_STEP);
        let tokens = special.named_tokens().map(|(name, token)| (name.to_owned(), token));
        let tokens = tokens.chain([("<|nospeech|>".to_owned(), special.no_speech)]);
        let tokens =
            tokens.chain(languages.iter().map(|&token| (format!("language {token}"), token)));
        for (token, id) in tokens.chain([("<|30.00|>".to_owned(), last_timestamp)]) {
            if id as usize >= embeddings {
                return Err(ModelError::TokenRange { token, id, embeddings });
            }
        }
        if let Some(vocabulary_tokens) = &vocabulary_tokens {
            check_tokens(&tokenizer, &special, vocabulary_tokens)?;
        }
        // CTranslate2's test: only the multilingual vocabulary has the empty token.
        let is_multilingual = match vocabulary_tokens {
            Some(tokens) => tokens.iter().any(String::is_empty),
            None => tokenizer.token_to_id("").is_some(),
        };
        let mut vocabulary =
            Self { tokenizer, special, embeddings, is_multilingual, suppressed: Vec::new() };
        vocabulary.suppressed = vocabulary.default_suppressed();
        Ok(vocabulary)
    }

    pub(crate) fn special(&self) -> &SpecialTokens {
        &self.special
    }

    pub(crate) fn is_multilingual(&self) -> bool {
        self.is_multilingual
    }

    /// Returns faster-whisper's default list of suppressed tokens, sorted: symbols that are not
    /// spoken, and task tokens.
    pub(crate) fn suppressed(&self) -> &[u32] {
        &self.suppressed
    }

    /// Returns the token of a language code such as `en`.
    pub(crate) fn language_token(&self, code: &str) -> Option<u32> {
        self.tokenizer
            .token_to_id(&format!("<|{code}|>"))
            .filter(|token| (*token as usize) < self.embeddings)
    }

    /// Returns the code of a language token.
    pub(crate) fn language_code(&self, token: u32) -> Option<String> {
        let name = self.tokenizer.id_to_token(token)?;
        Some(name.strip_prefix("<|")?.strip_suffix("|>")?.to_owned())
    }

    /// Decodes the text tokens among `tokens`; skips special tokens and timestamps.
    pub(crate) fn decode(&self, tokens: &[u32]) -> String {
        let text: Vec<u32> =
            tokens.iter().copied().filter(|token| *token < self.special.end_of_text).collect();
        self.decode_text(&text)
    }

    fn decode_text(&self, tokens: &[u32]) -> String {
        self.tokenizer.decode(tokens, true).unwrap_or_default()
    }

    /// Decodes tokens with timestamps as `<|0.00|>`.
    fn decode_with_timestamps(&self, tokens: &[u32]) -> String {
        let begin = self.special.timestamp_begin();
        let mut text = String::new();
        for part in tokens.chunk_by(|a, b| *a < begin && *b < begin) {
            match part {
                [token] if *token >= begin => {
                    // Writing to memory does not fail.
                    let _ = write!(text, "<|{:.2}|>", f64::from(token - begin) * 0.02);
                }
                _ => text += &self.decode_text(part),
            }
        }
        text
    }

    /// Splits tokens into words (or characters, in languages written without spaces), each with its
    /// tokens.
    pub(crate) fn split_words(&self, tokens: &[u32], language: &str) -> Vec<(String, Vec<u32>)> {
        let characters = self.split_characters(tokens);
        if is_written_without_spaces(language) {
            return characters;
        }
        let mut words: Vec<(String, Vec<u32>)> = Vec::new();
        for (text, tokens) in characters {
            let is_special = tokens.first().is_some_and(|token| *token >= self.special.end_of_text);
            let is_punctuation = PUNCTUATION.contains(trim(&text));
            match words.last_mut() {
                Some((word, word_tokens))
                    if !(is_special || text.starts_with(' ') || is_punctuation) =>
                {
                    word.push_str(&text);
                    word_tokens.extend(tokens);
                }
                _ => words.push((text, tokens)),
            }
        }
        words
    }

    /// Splits tokens at boundaries of complete characters.
    fn split_characters(&self, tokens: &[u32]) -> Vec<(String, Vec<u32>)> {
        let full_text: Vec<char> = self.decode_with_timestamps(tokens).chars().collect();
        let mut characters = Vec::new();
        let mut current = Vec::new();
        let mut offset = 0;
        for &token in tokens {
            current.push(token);
            let text = self.decode_with_timestamps(&current);
            let replacement_index =
                text.chars().position(|character| character == REPLACEMENT_CHARACTER);
            if replacement_index
                .is_none_or(|index| full_text.get(offset + index) == Some(&REPLACEMENT_CHARACTER))
            {
                offset += text.chars().count();
                characters.push((text, std::mem::take(&mut current)));
            }
        }
        characters
    }

    /// Returns the tokens of a text.
    pub(crate) fn encode(&self, text: &str) -> Vec<u32> {
        self.tokenizer
            .encode(text, false)
            .map(|encoding| encoding.get_ids().to_vec())
            .unwrap_or_default()
    }

    fn default_suppressed(&self) -> Vec<u32> {
        let symbols = "\" # ( ) * + / : ; < = > @ [ \\ ] ^ _ ` { | } ~ 「 」 『 』 \
                       << >> <<< >>> -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪";
        let note_symbols = "♩ ♪ ♫ ♬ ♭ ♮ ♯";
        let special = &self.special;
        let mut tokens = BTreeSet::from([
            special.start_of_transcript,
            special.start_of_previous,
            special.no_speech,
        ]);
        tokens.extend(
            [special.start_of_lm, special.transcribe, special.translate].into_iter().flatten(),
        );
        // Hyphens and apostrophes are suppressed at the start of a word, but allowed within words.
        for text in [" -", " '"] {
            tokens.extend(self.encode(text).first());
        }
        for symbol in symbols.split(' ').chain(note_symbols.split(' ')) {
            for encoded in [self.encode(symbol), self.encode(&format!(" {symbol}"))] {
                if encoded.len() == 1 || note_symbols.contains(symbol) {
                    tokens.extend(encoded.first());
                }
            }
        }
        tokens.into_iter().collect()
    }
}

/// Returns whether a language is written without spaces, so that its words are split at every
/// character.
pub(crate) fn is_written_without_spaces(language: &str) -> bool {
    LANGUAGES_WITHOUT_SPACES.contains(&language)
}

/// Removes the white space that Python's `strip` removes.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|character: char| {
        character.is_whitespace() || ('\x1c'..='\x1f').contains(&character)
    })
}

fn required_token(tokenizer: &Tokenizer, name: &'static str) -> Result<u32, ModelError> {
    tokenizer.token_to_id(name).ok_or(ModelError::MissingToken(name))
}

fn token_mismatch(id: u32, tokenizer: &str, vocabulary: &str) -> ModelError {
    ModelError::TokenMismatch {
        id,
        tokenizer: tokenizer.to_owned(),
        vocabulary: vocabulary.to_owned(),
    }
}

/// Compares the text tokens and the named special tokens of the tokenizer with the vocabulary file.
/// Other special tokens may differ: their names depend on the version of the converter.
fn check_tokens(
    tokenizer: &Tokenizer,
    special: &SpecialTokens,
    vocabulary_tokens: &[String],
) -> Result<(), ModelError> {
    for (id, vocabulary) in (0..special.end_of_text).zip(vocabulary_tokens) {
        let token = tokenizer.id_to_token(id);
        if token.as_ref() != Some(vocabulary) {
            return Err(token_mismatch(id, &token.unwrap_or_default(), vocabulary));
        }
    }
    for (name, id) in special.named_tokens() {
        if let Some(vocabulary) = vocabulary_tokens.get(id as usize)
            && vocabulary != name
        {
            return Err(token_mismatch(id, name, vocabulary));
        }
    }
    Ok(())
}

/// Reads the vocabulary file of a CTranslate2 model, if present.
fn vocabulary_file(directory: &Path) -> Result<Option<Vec<String>>, ModelError> {
    let path = directory.join("vocabulary.json");
    if path.is_file() {
        return json(&path).map(Some);
    }
    let path = directory.join("vocabulary.txt");
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).map_err(|source| ModelError::Io { path, source })?;
    let text = without_bom(&text);
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(Some(text.split('\n').map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_mark_of_vocabulary_is_ignored() {
        for (name, contents) in [("vocabulary.json", r#"["a", "b"]"#), ("vocabulary.txt", "a\nb\n")]
        {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(name), format!("\u{feff}{contents}")).unwrap();
            assert_eq!(vocabulary_file(folder.path()).unwrap().unwrap(), ["a", "b"], "{name}");
        }
    }
}
