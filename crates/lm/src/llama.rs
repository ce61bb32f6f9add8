//! The Llama family: RMS norms, rotary embeddings, grouped-query attention, gated feed-forward
//! layers.

mod random;

use std::ops::Range;

use candle_core::{IndexOp as _, Tensor};
use candle_nn::ops::{rms_norm, silu};
use candle_nn::rotary_emb::rope;

use self::random::RandomWeights;
use crate::attention::Heads;
use crate::linear::{Linear, Weight};
use crate::{KvCache, LlamaConfig, LlamaKind, ModelError};

#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) attention_norm: Tensor,
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
    /// Norms of each head's queries and keys.
    pub(crate) head_norms: Option<HeadNorms>,
    pub(crate) output: Linear,
    /// Norms of the outputs of the attention and of the feed-forward layer.
    pub(crate) output_norms: Option<OutputNorms>,
    pub(crate) feed_forward_norm: Tensor,
    pub(crate) gate: Linear,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
}

/// Weights of the norms of each head's queries and keys: one value per value of a head, for all
/// heads.
#[derive(Debug)]
pub(crate) struct HeadNorms {
    pub(crate) query: Tensor,
    pub(crate) key: Tensor,
}

/// Weights of the norms of the outputs of a layer's two parts.
#[derive(Debug)]
pub(crate) struct OutputNorms {
    pub(crate) attention: Tensor,
    pub(crate) feed_forward: Tensor,
}

/// The tensors of a model.
pub(crate) struct Weights {
    pub(crate) embeddings: Weight,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Tensor,
    pub(crate) head: Linear,
    /// Frequencies of the rotary embeddings in radians per token, one per rotated pair of a head.
    pub(crate) frequencies: Vec<f32>,
}

/// Queries, keys and values of some tokens in one layer before rotation, one row per token.
pub(crate) struct Projected {
    pub(crate) query: Tensor,
    pub(crate) key: Tensor,
    pub(crate) value: Tensor,
}

/// A model of the Llama family. Activations are 32-bit floats.
#[derive(Debug)]
pub struct Llama {
    config: LlamaConfig,
    embeddings: Weight,
    layers: Vec<Layer>,
    norm: Tensor,
    head: Linear,
    frequencies: Vec<f32>,
    /// Frequencies of the rotary embeddings of local layers; empty without such layers.
    local_frequencies: Vec<f32>,
}

impl Llama {
    /// Creates a model with random weights, which are determined by `seed`.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the dimensions are inconsistent.
    pub fn random(config: LlamaConfig, seed: u64) -> Result<Self, ModelError> {
        config.check()?;
        Self::new(config, RandomWeights(seed).model(&config)?)
    }

    /// Creates a model from weights whose shapes match the configuration.
    pub(crate) fn new(config: LlamaConfig, weights: Weights) -> Result<Self, ModelError> {
        config.check()?;
        let Weights { embeddings, layers, norm, head, frequencies } = weights;
        let local = config.local.map(|local| LlamaConfig {
            rope_theta: local.rope_theta,
            rope_scaling: None,
            ..config
        });
        let local_frequencies =
            local.map_or_else(Vec::new, |config| self::frequencies(&config, &[]));
        Ok(Self { config, embeddings, layers, norm, head, frequencies, local_frequencies })
    }

    /// Returns the name of the architecture.
    pub const fn architecture(&self) -> &'static str {
        self.config.kind.as_str()
    }

    /// Returns the model's dimensions.
    pub const fn config(&self) -> &LlamaConfig {
        &self.config
    }

    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    pub(crate) const fn embeddings(&self) -> &Weight {
        &self.embeddings
    }

    pub(crate) const fn norm(&self) -> &Tensor {
        &self.norm
    }

    pub(crate) const fn head(&self) -> &Linear {
        &self.head
    }

    /// Processes tokens that follow those in the cache, and returns the logits after each of them.
    ///
    /// # Errors
    /// [`ModelError::TooLong`] when the tokens exceed the context, [`ModelError::Tokens`] when
    /// there are none or one is outside the vocabulary.
    pub fn forward(
        &self,
        tokens: &[u32],
        cache: &mut KvCache,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        Ok(self.logits(&self.hidden_states(tokens, cache)?)?.to_vec2()?)
    }

    /// Processes tokens that follow those in the cache, and returns the logits after the last one.
    ///
    /// # Errors
    /// See [`Self::forward`].
    pub fn next(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Vec<f32>, ModelError> {
        let hidden = self.hidden_states(tokens, cache)?;
        let last = hidden.narrow(0, tokens.len() - 1, 1)?;
        Ok(self.logits(&last)?.i(0)?.to_vec1()?)
    }

    /// Returns the mean of the tokens' last hidden states, after the final norm.
    ///
    /// # Errors
    /// See [`Self::forward`].
    pub(crate) fn mean_state(&self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        let hidden = self.hidden_states(tokens, &mut KvCache::default())?;
        Ok(self.apply_norm(&hidden)?.mean(0)?.to_vec1()?)
    }

    fn apply_norm(&self, hidden: &Tensor) -> Result<Tensor, ModelError> {
        Ok(rms_norm(&hidden.contiguous()?, &self.norm, self.config.norm_eps as f32)?)
    }

    pub(crate) fn logits(&self, hidden: &Tensor) -> Result<Tensor, ModelError> {
        self.head.forward(&self.apply_norm(hidden)?)
    }

    /// Computes the cosines and sines of the rotary embeddings at some positions: for each
    /// position, a row of half the head size; without rows for local layers that the model lacks.
    /// Nothing is computed in advance for the whole context, whose length is only a number in a
    /// file.
    pub(crate) fn rotations(
        &self,
        positions: Range<usize>,
        are_local: bool,
    ) -> (Vec<f32>, Vec<f32>) {
        let frequencies = if are_local { &self.local_frequencies } else { &self.frequencies };
        let angles = positions
            .flat_map(|position| frequencies.iter().map(move |step| position as f32 * step));
        angles.map(|angle| (angle.cos(), angle.sin())).unzip()
    }

    /// Returns the rotations of some positions as tensors.
    fn rotation_tables(
        &self,
        positions: Range<usize>,
        are_local: bool,
    ) -> Result<(Tensor, Tensor), ModelError> {
        let shape = (positions.len(), self.config.head_size / 2);
        let (cos, sin) = self.rotations(positions, are_local);
        let device = self.norm.device();
        Ok((Tensor::from_vec(cos, shape, device)?, Tensor::from_vec(sin, shape, device)?))
    }

    fn hidden_states(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Tensor, ModelError> {
        cache.check(tokens, self.config.context, self.config.vocabulary)?;
        let positions = cache.tokens()..cache.tokens() + tokens.len();
        let global_tables = self.rotation_tables(positions.clone(), false)?;
        let local_tables =
            self.config.local.map(|_| self.rotation_tables(positions, true)).transpose()?;
        let (query, kv, size) = (self.config.heads, self.config.kv_heads, self.config.head_size);
        let hidden = self.run_layers(tokens, |layer, projected| {
            let local = self.config.local_layer(layer);
            let heads = Heads { query, kv, size, window: local.map(|local| local.window) };
            let (cos, sin) =
                local_tables.as_ref().filter(|_| local.is_some()).unwrap_or(&global_tables);
            let query = rotate(&heads, &projected.query, cos, sin)?;
            let key = rotate(&heads, &projected.key, cos, sin)?;
            heads.attend(layer, &query, &key, &heads.split(&projected.value)?, cache)
        })?;
        // Last, so that a failed call leaves the cache unchanged.
        cache.advance(tokens.len());
        Ok(hidden)
    }

    /// Runs all layers over some tokens, and returns the hidden states, one row per token. `attend`
    /// computes the attention of a layer.
    pub(crate) fn run_layers(
        &self,
        tokens: &[u32],
        mut attend: impl FnMut(usize, Projected) -> Result<Tensor, ModelError>,
    ) -> Result<Tensor, ModelError> {
        let ids = Tensor::new(tokens, self.norm.device())?;
        let mut hidden = self.embeddings.select(&ids)?;
        if self.config.kind == LlamaKind::Gemma3 {
            hidden = (hidden * (self.config.hidden as f64).sqrt())?;
        }
        for (index, layer) in self.layers.iter().enumerate() {
            let normalized = rms_norm(&hidden, &layer.attention_norm, self.config.norm_eps as f32)?;
            let mut projected = Projected {
                query: layer.query.forward(&normalized)?,
                key: layer.key.forward(&normalized)?,
                value: layer.value.forward(&normalized)?,
            };
            if let Some(HeadNorms { query, key }) = &layer.head_norms {
                projected.query = self.norm_heads(&projected.query, query)?;
                projected.key = self.norm_heads(&projected.key, key)?;
            }
            let output_norms = layer.output_norms.as_ref();
            let attended = layer.output.forward(&attend(index, projected)?)?;
            hidden = (hidden
                + self.norm_output(attended, output_norms.map(|norms| &norms.attention))?)?;
            let feed_forward_output = self.feed_forward(layer, &hidden)?;
            hidden = (hidden
                + self.norm_output(
                    feed_forward_output,
                    output_norms.map(|norms| &norms.feed_forward),
                )?)?;
        }
        Ok(hidden)
    }

    /// Applies an RMS norm to each head of each row.
    fn norm_heads(&self, rows: &Tensor, norm: &Tensor) -> Result<Tensor, ModelError> {
        let (tokens, width) = rows.dims2()?;
        let size = self.config.head_size;
        let heads = rows.reshape((tokens * (width / size), size))?;
        let normalized = rms_norm(&heads.contiguous()?, norm, self.config.norm_eps as f32)?;
        Ok(normalized.reshape((tokens, width))?)
    }

    /// Applies the norm of an output, if there is one.
    fn norm_output(&self, output: Tensor, norm: Option<&Tensor>) -> Result<Tensor, ModelError> {
        match norm {
            Some(norm) => Ok(rms_norm(&output.contiguous()?, norm, self.config.norm_eps as f32)?),
            None => Ok(output),
        }
    }

    fn feed_forward(&self, layer: &Layer, hidden: &Tensor) -> Result<Tensor, ModelError> {
        let normalized = rms_norm(hidden, &layer.feed_forward_norm, self.config.norm_eps as f32)?;
        let gate = layer.gate.forward(&normalized)?;
        // candle's `gelu` is the approximation with tanh, with which Gemma was trained.
        let gate = if self.config.kind == LlamaKind::Gemma3 { gate.gelu()? } else { silu(&gate)? };
        let gated = (gate * layer.up.forward(&normalized)?)?;
        layer.down.forward(&gated)
    }
}

/// Computes the frequencies of the rotary embeddings. `divisors` divide them, one each, as in GGUF
/// files; empty for none.
pub(crate) fn frequencies(config: &LlamaConfig, divisors: &[f32]) -> Vec<f32> {
    let size = config.head_size;
    (0..size / 2)
        .map(|pair| {
            let frequency = 1.0 / config.rope_theta.powf(2.0 * pair as f64 / size as f64);
            let divisor = divisors.get(pair).copied().unwrap_or(1.0);
            config.rope_scaling.map_or(frequency, |scaling| scaling.apply(frequency)) as f32
                / divisor
        })
        .collect()
}

/// Splits rows into heads, and rotates them.
fn rotate(heads: &Heads, rows: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor, ModelError> {
    // (1, heads, tokens, size) for the rotation
    Ok(rope(&heads.split(rows)?.unsqueeze(0)?, cos, sin)?.squeeze(0)?)
}

/// Access to the weights for tests.
#[cfg(test)]
impl Llama {
    fn rows(weight: &Weight) -> Vec<Vec<f64>> {
        let rows: Vec<Vec<f32>> = weight.dense().to_vec2().unwrap();
        rows.into_iter().map(|row| row.into_iter().map(f64::from).collect()).collect()
    }

    /// Calls `change` with each matrix.
    pub(crate) fn change_weights(&mut self, mut change: impl FnMut(&mut Weight)) {
        change(&mut self.embeddings);
        change(&mut self.head.weight);
        for Layer { query, key, value, output, gate, up, down, .. } in &mut self.layers {
            for linear in [query, key, value, output, gate, up, down] {
                change(&mut linear.weight);
            }
        }
    }
}

#[cfg(test)]
mod tests;
