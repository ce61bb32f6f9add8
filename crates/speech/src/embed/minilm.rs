//! all-MiniLM-L6-v2, computed as in sentence-transformers.
//!
//! Texts are truncated to 256 tokens, regardless of the tokenizer file, as in
//! sentence-transformers. The last layer's token vectors are mean-pooled and scaled to unit length.
//! A batch is the concatenated tokens of its texts without padding, and attention covers each text
//! alone, so no mask is needed and short texts waste no work.

mod bert;
mod kernels;

use std::path::Path;

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use taonet_primitives::bytes_without_bom;
use tokenizers::{Tokenizer, TruncationParams};

use self::bert::Bert;
use crate::models::ALL_MINILM_L6_V2;
use crate::{EmbedError, Embedding, SentenceEmbedder};

/// The maximum number of tokens of a text, including its two special tokens.
const MAX_TOKENS: usize = 256;

/// The maximum number of tokens of a batch. Larger batches would not fit in the processor caches.
const MAX_BATCH_TOKENS: usize = 1024;

/// The sentence embedder all-MiniLM-L6-v2 on 32-bit floats, with 384 dimensions.
///
/// Rayon's threads share the work. Batching with other texts changes a vector by at most 1e-6 per
/// component, through the rounding of differently shaped matrix products.
#[derive(Debug)]
pub struct MiniLm {
    tokenizer: Tokenizer,
    bert: Bert,
    fingerprint: String,
}

impl MiniLm {
    /// Loads `tokenizer.json` and `model.safetensors` from `dir`. Verifies the loaded bytes against
    /// the catalogue's SHA-256, without reading the files a second time.
    ///
    /// # Errors
    /// [`EmbedError::Model`] when a file is missing, unreadable, or differs from the published
    /// hash.
    pub fn load(dir: &Path) -> Result<Self, EmbedError> {
        let (weights, tokenizer) = rayon::join(
            || {
                let bytes = ALL_MINILM_L6_V2.read(dir, "model.safetensors")?;
                Bert::load(&bytes).map_err(engine_error)
            },
            || {
                let bytes = ALL_MINILM_L6_V2.read(dir, "tokenizer.json")?;
                load_tokenizer(&bytes)
            },
        );
        let mut hasher = Sha256::new();
        for file in ALL_MINILM_L6_V2.files {
            hasher.update(file.sha256);
        }
        hasher.update(format!("max{MAX_TOKENS}"));
        let fingerprint = hex::encode(hasher.finalize());
        Ok(Self { tokenizer: tokenizer?, bert: weights?, fingerprint })
    }

    /// Returns the token IDs of a text, including special tokens.
    fn tokens(&self, text: &str) -> Result<Vec<u32>, EmbedError> {
        self.tokenizer
            .encode_fast(text, true)
            .map(|e| e.get_ids().to_vec())
            .map_err(|error| tokenizer_error(&error))
    }
}

impl SentenceEmbedder for MiniLm {
    fn name(&self) -> &str {
        ALL_MINILM_L6_V2.name
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let mut tokens: Vec<(usize, Vec<u32>)> = texts
            .par_iter()
            .enumerate()
            .map(|(index, text)| Ok((index, self.tokens(text)?)))
            .collect::<Result<_, EmbedError>>()?;
        // Sorting makes texts of equal length adjacent, so that they share attention products.
        tokens.sort_by_key(|(_, ids)| ids.len());
        let mut vectors = batches(&tokens)
            .into_par_iter()
            .map(|batch| {
                let vectors = self
                    .bert
                    .embed(batch.iter().map(|(_, ids)| ids.as_slice()))
                    .map_err(engine_error)?;
                Ok(batch.iter().map(|(index, _)| *index).zip(vectors).collect::<Vec<_>>())
            })
            .collect::<Result<Vec<_>, EmbedError>>()?
            .concat();
        vectors.sort_by_key(|(index, _)| *index);
        Ok(vectors.into_iter().map(|(_, vector)| Embedding(vector.into())).collect())
    }
}

/// Splits texts, sorted by length, into batches of about equal size. The number of batches is about
/// a multiple of the number of threads.
fn batches(tokens: &[(usize, Vec<u32>)]) -> Vec<&[(usize, Vec<u32>)]> {
    let total: usize = tokens.iter().map(|(_, ids)| ids.len()).sum();
    let threads = rayon::current_num_threads();
    let limit = total.div_ceil(threads * total.div_ceil(threads * MAX_BATCH_TOKENS).max(1));
    let mut runs = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (end, (_, ids)) in tokens.iter().enumerate() {
        size += ids.len();
        if size >= limit {
            runs.push(start..=end);
            (start, size) = (end + 1, 0);
        }
    }
    if start < tokens.len() {
        runs.push(start..=tokens.len() - 1);
    }
    runs.into_iter().filter_map(|run| tokens.get(run)).collect()
}

/// Loads the tokenizer without its padding and with a limit of 256 tokens: the published file pads
/// and truncates to 128, but sentence-transformers overrides both.
fn load_tokenizer(bytes: &[u8]) -> Result<Tokenizer, EmbedError> {
    let mut tokenizer =
        Tokenizer::from_bytes(bytes_without_bom(bytes)).map_err(|error| tokenizer_error(&error))?;
    let truncation = TruncationParams { max_length: MAX_TOKENS, ..TruncationParams::default() };
    tokenizer
        .with_padding(None)
        .with_truncation(Some(truncation))
        .map_err(|error| tokenizer_error(&error))?;
    Ok(tokenizer)
}

fn tokenizer_error(error: &tokenizers::Error) -> EmbedError {
    EmbedError::Tokenizer(error.to_string())
}

fn engine_error(error: candle_core::Error) -> EmbedError {
    EmbedError::Engine(error.into())
}

#[cfg(test)]
mod tests;
