//! `config.json` of a model directory, in CTranslate2's or Hugging Face's format.

use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use taonet_primitives::bytes_without_bom;

use crate::ModelError;

/// Decoding parameters that are not part of the weights.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Config {
    /// Tokens suppressed at the first step, e.g. the blank and the end of text.
    pub(crate) suppress_at_begin: Vec<u32>,
    /// Language tokens, in ascending order.
    pub(crate) languages: Vec<u32>,
    /// Alignment heads as pairs of layer and head; empty if the file does not list them.
    pub(crate) alignment_heads: Vec<(usize, usize)>,
    /// Numbers of encoder and decoder heads, if the file states them.
    pub(crate) heads: Option<(usize, usize)>,
}

#[derive(Deserialize)]
struct File {
    suppress_ids_begin: Option<Vec<u32>>,
    begin_suppress_tokens: Option<Vec<u32>>,
    lang_ids: Option<Vec<u32>>,
    alignment_heads: Option<Vec<(usize, usize)>>,
    encoder_attention_heads: Option<usize>,
    decoder_attention_heads: Option<usize>,
}

#[derive(Deserialize)]
struct Generation {
    begin_suppress_tokens: Option<Vec<u32>>,
    lang_to_id: Option<std::collections::BTreeMap<String, u32>>,
    alignment_heads: Option<Vec<(usize, usize)>>,
}

impl Config {
    /// Reads `config.json`, and `generation_config.json` if present, as in Hugging Face
    /// checkpoints.
    pub(crate) fn read(directory: &Path) -> Result<Self, ModelError> {
        let file: File = json(&directory.join("config.json")).map_err(|error| match error {
            ModelError::Io { ref source, .. }
                if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                ModelError::NoConfig(directory.to_owned())
            }
            other => other,
        })?;
        let generation_path = directory.join("generation_config.json");
        let generation: Option<Generation> =
            if generation_path.is_file() { Some(json(&generation_path)?) } else { None };
        let generation = generation.as_ref();
        let mut languages = file
            .lang_ids
            .or_else(|| Some(generation?.lang_to_id.as_ref()?.values().copied().collect()))
            .unwrap_or_default();
        languages.sort_unstable();
        Ok(Self {
            suppress_at_begin: file
                .suppress_ids_begin
                .or_else(|| generation?.begin_suppress_tokens.clone())
                .or(file.begin_suppress_tokens)
                .unwrap_or_default(),
            languages,
            alignment_heads: file
                .alignment_heads
                .or_else(|| generation?.alignment_heads.clone())
                .unwrap_or_default(),
            heads: file.encoder_attention_heads.zip(file.decoder_attention_heads),
        })
    }
}

/// Reads a JSON file.
pub(crate) fn json<T: DeserializeOwned>(path: &Path) -> Result<T, ModelError> {
    let bytes =
        std::fs::read(path).map_err(|source| ModelError::Io { path: path.to_owned(), source })?;
    serde_json::from_slice(bytes_without_bom(&bytes))
        .map_err(|source| ModelError::Json { path: path.to_owned(), source })
}
