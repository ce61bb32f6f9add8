//! The Llama family: RMS norms, rotary embeddings, grouped-query attention, gated feed-forward layers.

use std::ops::Range;

use candle_core::{DType, Device, IndexOp as _, Tensor};
use candle_nn::ops::{rms_norm, silu};
use candle_nn::rotary_emb::rope;

use crate::attention::Heads;
use crate::linear::{Linear, Weight};
use crate::noise::Noise;
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
    pub(crate) feed_forward_norm: Tensor,
    pub(crate) gate: Linear,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
}

/// Weights of the norms of each head's queries and keys: one value per value of a head, for all heads.
#[derive(Debug)]
pub(crate) struct HeadNorms {
    pub(crate) query: Tensor,
    pub(crate) key: Tensor,
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
}

/// Standard deviation of the logits of a model with random weights: high enough that few tokens have most of the
/// probability, as in a trained model.
const LOGIT_SPREAD: f64 = 4.0;

impl Llama {
    /// Creates a model with random weights, which are determined by `seed`.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the dimensions are inconsistent.
    pub fn random(config: LlamaConfig, seed: u64) -> Result<Self, ModelError> {
        config.check()?;
        let LlamaConfig { kind, vocabulary, hidden, intermediate, head_size, .. } = config;
        let (width, kv) = (config.query_width(), config.kv_width());
        let random = |name: &str, rows: usize, columns: usize, spread: f64| -> Result<Tensor, ModelError> {
            let mut noise = Noise::named(seed, name);
            let scale = spread / (columns as f64).sqrt();
            let numbers: Vec<f32> = (0..rows * columns).map(|_| (noise.normal() * scale) as f32).collect();
            Ok(Tensor::from_vec(numbers, (rows, columns), &Device::Cpu)?)
        };
        let ones = || Ok::<_, ModelError>(Tensor::ones(hidden, DType::F32, &Device::Cpu)?);
        let layer = |index: usize| -> Result<Layer, ModelError> {
            let random = |name: &str, rows, columns| random(&format!("layers.{index}.{name}"), rows, columns, 1.0);
            // Numbers with the standard deviation 1 / sqrt(length).
            let vector = |name: &str, length| Ok::<_, ModelError>(random(name, 1, length)?.squeeze(0)?);
            let projection = |name: &str, rows| -> Result<Linear, ModelError> {
                let weight = Weight::Dense(random(name, rows, hidden)?);
                let bias = (kind == LlamaKind::Qwen2).then(|| vector(&format!("{name}.bias"), rows)).transpose()?;
                Ok(Linear { weight, bias })
            };
            let head_norm = |name: &str| Ok::<_, ModelError>((vector(name, head_size)? + 1.0)?);
            let head_norms = if kind == LlamaKind::Qwen3 {
                Some(HeadNorms { query: head_norm("query_norm")?, key: head_norm("key_norm")? })
            } else {
                None
            };
            Ok(Layer {
                attention_norm: ones()?,
                query: projection("query", width)?,
                key: projection("key", kv)?,
                value: projection("value", kv)?,
                head_norms,
                output: random("output", hidden, width)?.into(),
                feed_forward_norm: ones()?,
                gate: random("gate", intermediate, hidden)?.into(),
                up: random("up", intermediate, hidden)?.into(),
                down: random("down", hidden, intermediate)?.into(),
            })
        };
        let weights = Weights {
            embeddings: Weight::Dense(random("embeddings", vocabulary, hidden, (hidden as f64).sqrt())?),
            layers: (0..config.layers).map(layer).collect::<Result<_, _>>()?,
            norm: ones()?,
            head: random("head", vocabulary, hidden, LOGIT_SPREAD)?.into(),
            frequencies: frequencies(&config, &[]),
        };
        Self::new(config, weights)
    }

    /// Creates a model from weights whose shapes match the configuration.
    pub(crate) fn new(config: LlamaConfig, weights: Weights) -> Result<Self, ModelError> {
        config.check()?;
        let Weights { embeddings, layers, norm, head, frequencies } = weights;
        Ok(Self { config, embeddings, layers, norm, head, frequencies })
    }

    /// Returns the name of the architecture.
    pub const fn architecture(&self) -> &'static str {
        self.config.kind.as_str()
    }

    /// Returns the model's dimensions.
    pub const fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// Processes tokens that follow those in the cache, and returns the logits after each of them.
    ///
    /// # Errors
    /// [`ModelError::TooLong`] when the tokens exceed the context, [`ModelError::Tokens`] when there are none or one is
    /// outside the vocabulary.
    pub fn forward(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Vec<Vec<f32>>, ModelError> {
        Ok(self.logits(&self.hidden(tokens, cache)?)?.to_vec2()?)
    }

    /// Processes tokens that follow those in the cache, and returns the logits after the last one.
    ///
    /// # Errors
    /// See [`Self::forward`].
    pub fn next(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Vec<f32>, ModelError> {
        let hidden = self.hidden(tokens, cache)?;
        let last = hidden.narrow(0, tokens.len() - 1, 1)?;
        Ok(self.logits(&last)?.i(0)?.to_vec1()?)
    }

    /// Returns the mean of the tokens' last hidden states, after the final norm.
    ///
    /// # Errors
    /// See [`Self::forward`].
    pub(crate) fn mean_state(&self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        let hidden = self.hidden(tokens, &mut KvCache::default())?;
        Ok(self.normed(&hidden)?.mean(0)?.to_vec1()?)
    }

    fn normed(&self, hidden: &Tensor) -> Result<Tensor, ModelError> {
        Ok(rms_norm(&hidden.contiguous()?, &self.norm, self.config.norm_eps as f32)?)
    }

    pub(crate) fn logits(&self, hidden: &Tensor) -> Result<Tensor, ModelError> {
        self.head.forward(&self.normed(hidden)?)
    }

    /// Computes the cosines and sines of the rotary embeddings at some positions: for each position, a row of half the
    /// head size. Nothing is computed in advance for the whole context, whose length is only a number in a file.
    pub(crate) fn rotations(&self, positions: Range<usize>) -> (Vec<f32>, Vec<f32>) {
        let angles = positions.flat_map(|position| self.frequencies.iter().map(move |step| position as f32 * step));
        angles.map(|angle| (angle.cos(), angle.sin())).unzip()
    }

    fn hidden(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Tensor, ModelError> {
        cache.check(tokens, self.config.context, self.config.vocabulary)?;
        let (cos, sin) = self.rotations(cache.tokens()..cache.tokens() + tokens.len());
        let shape = (tokens.len(), self.config.head_size / 2);
        let table = |values| Tensor::from_vec(values, shape, self.norm.device());
        let (cos, sin) = (table(cos)?, table(sin)?);
        let heads = Heads { query: self.config.heads, kv: self.config.kv_heads, size: self.config.head_size };
        let hidden = self.run(tokens, |layer, projected| {
            // (1, heads, tokens, size) for the rotation
            let rotated = |rows| Ok::<_, ModelError>(rope(&heads.split(rows)?.unsqueeze(0)?, &cos, &sin)?.squeeze(0)?);
            let (query, key) = (rotated(&projected.query)?, rotated(&projected.key)?);
            heads.attend(layer, &query, &key, &heads.split(&projected.value)?, cache)
        })?;
        // Last, so that a failed call leaves the cache unchanged.
        cache.advance(tokens.len());
        Ok(hidden)
    }

    /// Runs all layers over some tokens, and returns the hidden states, one row per token. `attend` computes the
    /// attention of a layer.
    pub(crate) fn run(
        &self,
        tokens: &[u32],
        mut attend: impl FnMut(usize, Projected) -> Result<Tensor, ModelError>,
    ) -> Result<Tensor, ModelError> {
        let ids = Tensor::new(tokens, self.norm.device())?;
        let mut hidden = self.embeddings.select(&ids)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let normed = rms_norm(&hidden, &layer.attention_norm, self.config.norm_eps as f32)?;
            let mut projected = Projected {
                query: layer.query.forward(&normed)?,
                key: layer.key.forward(&normed)?,
                value: layer.value.forward(&normed)?,
            };
            if let Some(HeadNorms { query, key }) = &layer.head_norms {
                projected.query = self.with_normed_heads(&projected.query, query)?;
                projected.key = self.with_normed_heads(&projected.key, key)?;
            }
            let attended = attend(index, projected)?;
            hidden = (hidden + layer.output.forward(&attended)?)?;
            hidden = (&hidden + self.feed_forward(layer, &hidden)?)?;
        }
        Ok(hidden)
    }

    /// Applies an RMS norm to each head of each row.
    fn with_normed_heads(&self, rows: &Tensor, norm: &Tensor) -> Result<Tensor, ModelError> {
        let (tokens, width) = rows.dims2()?;
        let size = self.config.head_size;
        let heads = rows.reshape((tokens * (width / size), size))?;
        let normed = rms_norm(&heads.contiguous()?, norm, self.config.norm_eps as f32)?;
        Ok(normed.reshape((tokens, width))?)
    }

    fn feed_forward(&self, layer: &Layer, hidden: &Tensor) -> Result<Tensor, ModelError> {
        let normed = rms_norm(hidden, &layer.feed_forward_norm, self.config.norm_eps as f32)?;
        let gated = (silu(&layer.gate.forward(&normed)?)? * layer.up.forward(&normed)?)?;
        layer.down.forward(&gated)
    }
}

/// Computes the frequencies of the rotary embeddings. `divisors` divide them, one each, as in GGUF files; empty for none.
pub(crate) fn frequencies(config: &LlamaConfig, divisors: &[f32]) -> Vec<f32> {
    let size = config.head_size;
    let frequency = |pair: usize| {
        let frequency = 1.0 / config.rope_theta.powf(2.0 * pair as f64 / size as f64);
        let divisor = divisors.get(pair).copied().unwrap_or(1.0);
        config.rope_scaling.map_or(frequency, |scaling| scaling.apply(frequency)) as f32 / divisor
    };
    (0..size / 2).map(frequency).collect()
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
