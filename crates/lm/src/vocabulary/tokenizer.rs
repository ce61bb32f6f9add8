//! Vocabularies of trained models: `tokenizer.json`.

use std::collections::HashMap;
use std::path::Path;

use taonet_primitives::bytes_without_bom;
use tokenizers::Tokenizer;

use super::{TokenizerKind, Vocabulary};
use crate::{LoadError, ModelError};

impl Vocabulary {
    /// Loads the vocabulary of a model with `size` tokens from a directory.
    pub(crate) fn open(
        directory: &Path,
        size: usize,
        bos_token: Option<u32>,
        end_tokens: Vec<u32>,
    ) -> Result<Self, LoadError> {
        let path = directory.join("tokenizer.json");
        let bytes = crate::checkpoint::read_limited(&path)?;
        Self::parse(&path, bytes, size, bos_token, end_tokens)
    }

    /// Loads the vocabulary of a model with `size` tokens from a GGUF file: the `tokenizer.json`
    /// beside the file, or else the tokenizer `embedded` in it, or why it has none.
    pub(crate) fn from_gguf(
        path: &Path,
        embedded: Result<serde_json::Value, String>,
        size: usize,
        bos_token: Option<u32>,
        end_tokens: Vec<u32>,
    ) -> Result<Self, LoadError> {
        let directory = path.parent().unwrap_or(Path::new(""));
        if directory.join("tokenizer.json").exists() {
            return Self::open(directory, size, bos_token, end_tokens);
        }
        match embedded {
            Ok(embedded) => Self::parse(path, embedded.to_string(), size, bos_token, end_tokens),
            Err(reason) => {
                let message =
                    format!("{reason}; hint: put the model's tokenizer.json beside the file");
                Err(LoadError::tokenizer(path, message))
            }
        }
    }

    /// Parses the content of a `tokenizer.json` of a model with `size` tokens; `path` is the file
    /// for errors.
    ///
    /// # Errors
    /// [`LoadError::Tokenizer`] when the content is malformed, or belongs to another model.
    pub fn parse(
        path: &Path,
        bytes: impl AsRef<[u8]>,
        size: usize,
        bos_token: Option<u32>,
        end_tokens: Vec<u32>,
    ) -> Result<Self, LoadError> {
        let tokenizer =
            Tokenizer::from_bytes(bytes_without_bom(bytes.as_ref())).map_err(|error| {
                LoadError::tokenizer(path, format!("{error}; hint: download it again"))
            })?;
        let tokens = tokenizer.get_vocab_size(true);
        if tokens > size {
            let message = format!(
                "{tokens} tokens, expected at most {size}: the tokenizer belongs to a different model; hint: use the \
                 model's own"
            );
            return Err(LoadError::tokenizer(path, message));
        }
        if end_tokens.is_empty() {
            let message = "the model names no eos_token_id; hint: add it to the configuration";
            return Err(LoadError::tokenizer(path, message));
        }
        let count =
            u32::try_from(size).map_err(|_| LoadError::tokenizer(path, "too many tokens"))?;
        if let Some(token) = bos_token.iter().chain(&end_tokens).find(|token| **token >= count) {
            let message = format!(
                "bos or eos token {token} is outside the vocabulary; hint: correct it in the configuration"
            );
            return Err(LoadError::tokenizer(path, message));
        }
        let added_tokens = tokenizer.get_added_tokens_decoder();
        let special: Vec<bool> = (0..count)
            .map(|token| {
                added_tokens.get(&token).is_some_and(|token| token.special)
                    || tokenizer.id_to_token(token).is_none()
            })
            .collect();
        // A user's text cannot name a special token.
        let mut plain = tokenizer.clone();
        plain.set_encode_special_tokens(true);
        let pieces: Vec<String> =
            (0..count).map(|token| tokenizer.decode(&[token], false).unwrap_or_default()).collect();
        let mut ids = HashMap::with_capacity(pieces.len());
        for (piece, token) in pieces.iter().zip(0..) {
            ids.entry(piece.clone()).or_insert(token);
        }
        Ok(Self {
            pieces,
            ids,
            special,
            bos_token,
            end_tokens,
            tokenizer_kind: TokenizerKind::Trained {
                plain: Box::new(plain),
                special: Box::new(tokenizer),
            },
        })
    }

    /// Returns the content of the `tokenizer.json`; `None` for the vocabulary of seeded models,
    /// which has none.
    pub fn to_json(&self) -> Option<String> {
        match &self.tokenizer_kind {
            TokenizerKind::LongestMatch(_) => None,
            TokenizerKind::Trained { special, .. } => special.to_string(false).ok(),
        }
    }

    /// Returns whether the vocabulary has role tokens, with which conversations can be encoded
    /// without a chat template.
    pub(crate) const fn has_roles(&self) -> bool {
        matches!(self.tokenizer_kind, TokenizerKind::LongestMatch(_))
    }
}

pub(super) fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, ModelError> {
    let encoded = tokenizer
        .encode_fast(text, false)
        .map_err(|error| ModelError::Tokenizer(error.to_string()))?;
    Ok(encoded.get_ids().to_vec())
}
