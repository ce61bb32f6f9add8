//! The tokenizer in a GGUF file, converted to the content of a `tokenizer.json`.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use super::Gguf;
use super::pre_tokenizers::PreTokenizer;
use crate::LoadError;
use crate::template::TemplateSource;

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";
const MERGES: &str = "tokenizer.ggml.merges";
const SCORES: &str = "tokenizer.ggml.scores";
/// Types of tokens in `tokenizer.ggml.token_type`.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
/// Control tokens that end an answer, whatever the file says: files name one or two of them only.
#[rustfmt::skip]
const END_TOKENS: [&str; 9] = [
    "<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "<EOT>", "_<EOT>",
];
/// Maximum number of bytes of a piece of SentencePiece that is merged from smaller ones. Its own
/// limit is 16 characters by default; longer pieces, such as runs of spaces, are defined by the
/// user.
const MAX_MERGED_BYTES: usize = 256;

impl Gguf {
    /// Returns the tokenizer: byte-level BPE, or SentencePiece's BPE. The inner error names what is
    /// not supported.
    pub(in crate::checkpoint) fn tokenizer(&self) -> Result<Result<Value, String>, LoadError> {
        let Some(tokens) = self.texts(TOKENS) else {
            return Ok(Err("the file has no tokenizer".to_owned()));
        };
        match self.text(MODEL) {
            Some("gpt2") => {
                // llama.cpp treats files without a name as `default`, whose words are not those of
                // GPT-2.
                let default_name = if self.text("general.architecture") == Some("gpt2") {
                    "gpt-2"
                } else {
                    "default"
                };
                let name = self.text(PRE).unwrap_or(default_name);
                let Some(rule) = PreTokenizer::from_name(name) else {
                    return Ok(Err(format!("{PRE} {name:?} is not supported")));
                };
                self.byte_level(tokens, rule).map(Ok)
            }
            Some("llama") => self.sentence_pieces(tokens).map(Ok),
            Some(model) => {
                Ok(Err(format!("{MODEL} {model:?} is not supported, only \"gpt2\" and \"llama\"")))
            }
            None => Ok(Err(format!("{MODEL} is missing"))),
        }
    }

    /// Returns the chat template, if the file has one.
    pub(in crate::checkpoint) fn template(&self) -> Result<Option<TemplateSource>, LoadError> {
        let Some(source) = self.text("tokenizer.chat_template") else { return Ok(None) };
        let bos_text = self.token_text("tokenizer.ggml.bos_token_id")?;
        let eos_text = self.token_text("tokenizer.ggml.eos_token_id")?;
        Ok(Some(TemplateSource { source: source.to_owned(), bos_text, eos_text }))
    }

    /// Returns the text of the token whose ID is in a field; empty if the file names none.
    fn token_text(&self, field: &str) -> Result<String, LoadError> {
        let id = self.token(field)?.and_then(|id| usize::try_from(id).ok());
        let token = id.zip(self.texts(TOKENS)).and_then(|(id, tokens)| tokens.get(id));
        Ok(token.cloned().unwrap_or_default())
    }

    /// Returns the tokens that end an answer by their text, unless they are normal texts.
    pub(in crate::checkpoint) fn end_tokens(&self) -> BTreeSet<u32> {
        let (tokens, kinds) = (self.texts(TOKENS), self.integers("tokenizer.ggml.token_type"));
        let kinds = kinds.unwrap_or_default().iter();
        let all_tokens = (0..).zip(tokens.unwrap_or_default().iter().zip(kinds));
        let end_tokens = all_tokens.filter(|(_, (text, kind))| {
            [CONTROL, USER_DEFINED].contains(*kind) && END_TOKENS.contains(&text.as_str())
        });
        end_tokens.map(|(id, _)| id).collect()
    }

    fn byte_level(&self, tokens: &[String], rule: &PreTokenizer) -> Result<Value, LoadError> {
        let Some(merges) = self.texts(MERGES) else {
            return Err(self.field_error(MERGES, "is missing"));
        };
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
        let splits = rule.patterns.iter().map(|pattern| {
            json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated",
                "invert": false})
        });
        let steps: Vec<Value> = splits.chain([bytes.clone()]).collect();
        Ok(json!({
            "version": "1.0", "added_tokens": self.added_tokens(tokens),
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}, "decoder": bytes,
            "model": {"type": "BPE", "vocab": self.vocabulary(tokens)?, "merges": merges,
                "ignore_merges": rule.ignores_merges},
        }))
    }

    /// Spaces become U+2581, and the two neighbouring pieces whose union has the highest score are
    /// merged first.
    fn sentence_pieces(&self, tokens: &[String]) -> Result<Value, LoadError> {
        let Some(scores) = self.floats(SCORES) else {
            return Err(self.field_error(SCORES, "is missing"));
        };
        if scores.len() != tokens.len() {
            return Err(self.field_error(
                SCORES,
                format!("{} scores for {} tokens", scores.len(), tokens.len()),
            ));
        }
        if scores.iter().any(|score| score.is_nan()) {
            return Err(self.field_error(SCORES, "a score is not a number"));
        }
        let kinds = self.integers("tokenizer.ggml.token_type").unwrap_or_default();
        let has_prefix = self.flag("tokenizer.ggml.add_space_prefix").unwrap_or(true);
        let unknown =
            tokens.iter().zip(kinds).find(|(_, kind)| **kind == UNKNOWN).map(|(token, _)| token);
        let prefix = has_prefix.then(|| json!({"type": "Prepend", "prepend": "\u{2581}"}));
        let space = json!({"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"});
        let normalizers: Vec<Value> = prefix.into_iter().chain([space]).collect();
        let strip =
            has_prefix.then(|| json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        let decoders = [
            json!({"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        let decoders: Vec<Value> = decoders.into_iter().chain(strip).collect();
        Ok(json!({
            "version": "1.0", "added_tokens": self.added_tokens(tokens),
            "normalizer": {"type": "Sequence", "normalizers": normalizers},
            "decoder": {"type": "Sequence", "decoders": decoders},
            "model": {"type": "BPE", "vocab": self.vocabulary(tokens)?, "merges": merges(tokens, scores, kinds),
                "unk_token": unknown, "fuse_unk": true, "byte_fallback": true},
        }))
    }

    /// Tokens that a text is split at before all other steps: those without text, and those that
    /// the user defines.
    fn added_tokens(&self, tokens: &[String]) -> Vec<Value> {
        let kinds = self.integers("tokenizer.ggml.token_type").unwrap_or_default();
        let added_tokens = tokens.iter().zip(kinds).enumerate().filter(|(_, (text, kind))| {
            matches!(**kind, UNKNOWN | CONTROL | USER_DEFINED) && !text.is_empty()
        });
        added_tokens
            .map(|(id, (text, kind))| {
                json!({"id": id, "content": text, "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": *kind != USER_DEFINED})
            })
            .collect()
    }

    fn vocabulary(&self, tokens: &[String]) -> Result<serde_json::Map<String, Value>, LoadError> {
        let vocabulary: serde_json::Map<String, Value> =
            tokens.iter().enumerate().map(|(id, token)| (token.clone(), id.into())).collect();
        if vocabulary.len() < tokens.len() {
            return Err(self.field_error(TOKENS, "has a token twice"));
        }
        Ok(vocabulary)
    }
}

/// Returns the merges that give the pieces of SentencePiece, in the order of their scores.
fn merges(tokens: &[String], scores: &[f32], kinds: &[i32]) -> Vec<[String; 2]> {
    let normal_tokens = tokens.iter().zip(scores).enumerate();
    let normal_tokens: HashMap<&str, f32> = normal_tokens
        .filter(|(id, _)| kinds.get(*id).is_none_or(|kind| *kind == NORMAL))
        .map(|(_, (token, score))| (token.as_str(), *score))
        .collect();
    let mut merges: Vec<(f32, &str, &str)> = Vec::new();
    for (piece, score) in normal_tokens.iter().filter(|(piece, _)| piece.len() <= MAX_MERGED_BYTES)
    {
        let splits = piece.char_indices().skip(1).map(|(index, _)| piece.split_at(index));
        let normal_splits = splits.filter(|(left, right)| {
            normal_tokens.contains_key(left) && normal_tokens.contains_key(right)
        });
        merges.extend(normal_splits.map(|(left, right)| (*score, left, right)));
    }
    // Lengths and texts only make the order of equal scores definite.
    merges.sort_unstable_by(|(score, left, right), (other_score, other_left, other_right)| {
        let key = (left.len(), right.len(), left, right);
        let other_key = (other_left.len(), other_right.len(), other_left, other_right);
        other_score.total_cmp(score).then_with(|| other_key.cmp(&key))
    });
    merges.into_iter().map(|(_, left, right)| [left.to_owned(), right.to_owned()]).collect()
}
