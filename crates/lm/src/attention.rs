//! Causal attention over the key-value cache of one sequence.

use candle_core::{Device, Tensor};
use candle_nn::ops::softmax_last_dim;
use rayon::prelude::*;

use crate::linear::{dot, with_floats};
use crate::{KvCache, ModelError};

/// Numbers and size of a layer's heads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    pub(crate) query: usize,
    /// Number of key-value heads; each is shared by `query / kv` heads.
    pub(crate) kv: usize,
    /// Values per head.
    pub(crate) size: usize,
    /// Number of tokens that a token attends to, with itself; `None` for all tokens before it.
    pub(crate) window: Option<usize>,
}

impl Heads {
    /// Splits a row per token into heads: (heads, tokens, size).
    pub(crate) fn split(&self, rows: &Tensor) -> Result<Tensor, ModelError> {
        let (tokens, width) = rows.dims2()?;
        Ok(rows.reshape((tokens, width / self.size, self.size))?.transpose(0, 1)?.contiguous()?)
    }

    /// Computes the attention of new tokens over the cache and themselves, and adds them to the
    /// cache. Takes heads as [`split`](Self::split) returns them; returns a row per token.
    pub(crate) fn attend(
        &self,
        layer: usize,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        cache: &mut KvCache,
    ) -> Result<Tensor, ModelError> {
        let cached_tokens = cache.tokens();
        let (keys, values) = cache.append(layer, key, value)?;
        let tokens = query.dim(1)?;
        let first = self.first_attended(cached_tokens);
        let (keys, values) = (
            keys.narrow(1, first, cached_tokens + tokens - first)?,
            values.narrow(1, first, cached_tokens + tokens - first)?,
        );
        if query.device().is_cpu()
            && let Some(output) = self.attend_on_cpu(cached_tokens, query, &keys, &values)?
        {
            return Ok(output);
        }
        self.attend_with_matmul(cached_tokens, query, &keys, &values)
    }

    /// Computes the attention of new tokens on any device. `cached_tokens` tokens precede the new
    /// ones; keys and values begin with those of the first token that the first new one attends to.
    fn attend_with_matmul(
        &self,
        cached_tokens: usize,
        query: &Tensor,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<Tensor, ModelError> {
        let (tokens, first) = (query.dim(1)?, self.first_attended(cached_tokens));
        // The heads that share keys and values are the rows of one product, so that the cache is
        // not copied.
        let (rows, total) = (self.heads_per_kv_head() * tokens, keys.dim(1)?);
        let query =
            (query.reshape((self.kv, rows, self.size))? * (1.0 / (self.size as f64).sqrt()))?;
        let mut scores =
            query.matmul(&keys.transpose(1, 2)?)?.reshape((self.query, tokens, total))?;
        if tokens > 1 {
            scores = scores.broadcast_add(&self.mask(
                tokens,
                cached_tokens - first,
                query.device(),
            )?)?;
        }
        let weights = softmax_last_dim(&scores)?.reshape((self.kv, rows, total))?;
        let output = weights.matmul(values)?.reshape((self.query, tokens, self.size))?;
        Ok(output.transpose(0, 1)?.reshape((tokens, self.query * self.size))?)
    }

    /// Returns the causal mask: a row per new token, a column per token up to the last one.
    /// `cached_tokens` tokens precede the new ones.
    fn mask(
        &self,
        tokens: usize,
        cached_tokens: usize,
        device: &Device,
    ) -> Result<Tensor, ModelError> {
        let mask: Vec<f32> =
            (0..tokens)
                .flat_map(|row| (0..cached_tokens + tokens).map(move |column| (row, column)))
                .map(|(row, column)| {
                    if self.is_hidden(cached_tokens + row, column) {
                        f32::NEG_INFINITY
                    } else {
                        0.0
                    }
                })
                .collect();
        Ok(Tensor::from_vec(mask, (1, tokens, cached_tokens + tokens), device)?)
    }

    /// Returns whether the token at `position` does not attend to the token at `other`.
    fn is_hidden(&self, position: usize, other: usize) -> bool {
        // A file can state any window: the sum of a position and a window may overflow.
        other > position
            || self.window.is_some_and(|window| other.saturating_add(window) <= position)
    }

    /// Returns the first token that the token at `position` attends to.
    fn first_attended(&self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }

    /// Does the same as [`Self::attend_with_matmul`] on the CPU, without a copy of the cache;
    /// `None` if the memory of the tensors is not contiguous.
    ///
    /// Each token's additions have the same order in any batch, as in
    /// [`PagedCache`](crate::paged::PagedCache). Products with quantised weights round their input,
    /// which can turn the smallest difference into one of a quantisation step.
    fn attend_on_cpu(
        &self,
        cached_tokens: usize,
        query: &Tensor,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<Option<Tensor>, ModelError> {
        let tokens = query.dim(1)?;
        let mut output = vec![0.0; tokens * self.query * self.size];
        for kv in 0..self.kv {
            // A head's rows are contiguous, the heads are not: there is room between them.
            let (keys, values) = (keys.narrow(0, kv, 1)?, values.narrow(0, kv, 1)?);
            let query = query.narrow(0, kv * self.heads_per_kv_head(), self.heads_per_kv_head())?;
            let result = with_floats(&query, |query| {
                with_floats(&keys, |keys| {
                    with_floats(&values, |values| {
                        let shared = SharedHeads { kv, query, keys, values };
                        self.attend_tokens(cached_tokens, shared, &mut output)
                    })
                })
            });
            if result.flatten().flatten().flatten().is_none() {
                return Ok(None);
            }
        }
        Ok(Some(Tensor::from_vec(output, (tokens, self.query * self.size), &Device::Cpu)?))
    }

    /// Returns the number of heads that share keys and values.
    const fn heads_per_kv_head(&self) -> usize {
        self.query / self.kv
    }

    /// Computes the attention of new tokens in the heads that share some keys and values. `output`
    /// has a row with all heads for each new token.
    fn attend_tokens(
        &self,
        cached_tokens: usize,
        shared: SharedHeads<'_>,
        output: &mut [f32],
    ) -> Option<()> {
        let width = self.query * self.size;
        // For one token, waking another thread would take longer.
        if output.len() == width {
            return self.attend_token(cached_tokens, 0, shared, output);
        }
        let tokens = output.par_chunks_mut(width).enumerate();
        tokens
            .try_for_each(|(token, output)| self.attend_token(cached_tokens, token, shared, output))
    }

    /// Computes the attention of one of the new tokens. `output` has a row for each head.
    fn attend_token(
        &self,
        cached_tokens: usize,
        token: usize,
        SharedHeads { kv, query, keys, values }: SharedHeads<'_>,
        output: &mut [f32],
    ) -> Option<()> {
        let first = self.first_attended(cached_tokens);
        let (start, end) =
            (self.first_attended(cached_tokens + token) - first, cached_tokens + token + 1 - first);
        let range = start * self.size..end * self.size;
        let (keys, values) = (keys.get(range.clone())?, values.get(range)?);
        let tokens = query.len() / self.size / self.heads_per_kv_head();
        let query = query.chunks_exact(self.size).skip(token).step_by(tokens);
        let heads = output.chunks_exact_mut(self.size).skip(kv * self.heads_per_kv_head());
        for (query, output) in query.zip(heads) {
            attend_head(query, keys, values, output);
        }
        Some(())
    }
}

/// The heads that share keys and values.
#[derive(Clone, Copy)]
struct SharedHeads<'a> {
    /// Index of the keys and values.
    kv: usize,
    /// For each head, a row per new token.
    query: &'a [f32],
    /// A row for each token from the first one that the first new token attends to.
    keys: &'a [f32],
    values: &'a [f32],
}

/// Adds the values, weighted by the softmax of the scores of their keys, to `output`.
fn attend_head(query: &[f32], keys: &[f32], values: &[f32], output: &mut [f32]) {
    let size = query.len();
    let scale = 1.0 / (size as f32).sqrt();
    let mut weights: Vec<f32> =
        keys.chunks_exact(size).map(|key| dot(query, key) * scale).collect();
    softmax(&mut weights);
    for (weight, value) in weights.into_iter().zip(values.chunks_exact(size)) {
        add_weighted(weight, value, output);
    }
}

/// Replaces the scores of all tokens that a token attends to by their softmax.
pub(crate) fn softmax(scores: &mut [f32]) {
    let max_score = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - max_score).exp();
        sum += *score;
    }
    for score in scores {
        *score /= sum;
    }
}

/// Adds a token's value, times its attention weight, to `output`.
pub(crate) fn add_weighted(weight: f32, value: &[f32], output: &mut [f32]) {
    for (output, value) in output.iter_mut().zip(value) {
        *output += weight * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::tests::{largest_difference, random};

    /// The matrix products are the GPU's code path, and CI has no GPU.
    #[test]
    fn cpu_attention_equals_matrix_products() {
        let (query, kv, size) = (6, 2, 16);
        // Columns: window · tokens before the new ones · new tokens
        for (window, cached_tokens, tokens) in
            [(None, 0, 9), (None, 30, 5), (None, 30, 1), (Some(4), 0, 9), (Some(4), 30, 5)]
        {
            let heads = Heads { query, kv, size, window };
            let total = cached_tokens + tokens - heads.first_attended(cached_tokens);
            let shapes = [("q", query, tokens), ("k", kv, total), ("v", kv, total)];
            let [query, keys, values] = shapes.map(|(name, heads, tokens)| {
                random(heads * tokens, size, name).reshape((heads, tokens, size)).unwrap()
            });
            let expected = heads.attend_with_matmul(cached_tokens, &query, &keys, &values).unwrap();
            let actual =
                heads.attend_on_cpu(cached_tokens, &query, &keys, &values).unwrap().unwrap();
            let difference = largest_difference(&actual, &expected);
            assert!(difference < 1e-5, "{window:?}, {cached_tokens}, {tokens}: {difference}");
        }
    }
}
