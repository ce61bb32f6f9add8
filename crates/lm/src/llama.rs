//! The Llama architecture: RMS norms, rotary embeddings, grouped-query attention, gated feed-forward layers.

use candle_core::{DType, Device, IndexOp as _, Tensor};
use candle_nn::ops::{rms_norm, silu, softmax_last_dim};
use candle_nn::rotary_emb::rope;

use crate::noise::Noise;
use crate::{LlamaConfig, ModelError};

/// Keys and values of the tokens read so far.
#[derive(Debug, Clone, Default)]
pub struct KvCache {
    layers: Vec<(Tensor, Tensor)>,
    tokens: usize,
}

impl KvCache {
    /// Returns the number of tokens read so far.
    pub const fn tokens(&self) -> usize {
        self.tokens
    }
}

#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) attention_norm: Tensor,
    pub(crate) query: Tensor,
    pub(crate) key: Tensor,
    pub(crate) value: Tensor,
    pub(crate) output: Tensor,
    pub(crate) feed_forward_norm: Tensor,
    pub(crate) gate: Tensor,
    pub(crate) up: Tensor,
    pub(crate) down: Tensor,
}

/// The tensors of a model.
pub(crate) struct Weights {
    pub(crate) embeddings: Tensor,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Tensor,
    pub(crate) head: Tensor,
}

/// Queries, keys and values of some tokens in one layer, a row for each token, not rotated yet.
pub(crate) struct Projected {
    pub(crate) query: Tensor,
    pub(crate) key: Tensor,
    pub(crate) value: Tensor,
}

/// A Llama model on the CPU, in 32-bit floats.
#[derive(Debug)]
pub struct Llama {
    config: LlamaConfig,
    embeddings: Tensor,
    layers: Vec<Layer>,
    norm: Tensor,
    head: Tensor,
    cos: Tensor,
    sin: Tensor,
}

/// Standard deviation of the logits of a model with random weights: high enough that few tokens have most of the
/// probability, as in a trained model.
const LOGIT_SPREAD: f64 = 4.0;

impl Llama {
    /// Creates a model with weights from a seed.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the dimensions are inconsistent.
    pub fn random(config: LlamaConfig, seed: u64) -> Result<Self, ModelError> {
        config.check()?;
        let LlamaConfig { vocabulary, hidden, intermediate, .. } = config;
        let kv = config.kv_heads * config.head_size();
        let random = |name: &str, rows: usize, columns: usize, spread: f64| -> Result<Tensor, ModelError> {
            let mut noise = Noise::named(seed, name);
            let scale = spread / (columns as f64).sqrt();
            let numbers: Vec<f32> = (0..rows * columns).map(|_| (noise.normal() * scale) as f32).collect();
            Ok(Tensor::from_vec(numbers, (rows, columns), &Device::Cpu)?)
        };
        let ones = || Ok::<_, ModelError>(Tensor::ones(hidden, DType::F32, &Device::Cpu)?);
        let layer = |index: usize| -> Result<Layer, ModelError> {
            let random = |name: &str, rows, columns| random(&format!("layers.{index}.{name}"), rows, columns, 1.0);
            Ok(Layer {
                attention_norm: ones()?,
                query: random("query", hidden, hidden)?,
                key: random("key", kv, hidden)?,
                value: random("value", kv, hidden)?,
                output: random("output", hidden, hidden)?,
                feed_forward_norm: ones()?,
                gate: random("gate", intermediate, hidden)?,
                up: random("up", intermediate, hidden)?,
                down: random("down", hidden, intermediate)?,
            })
        };
        let weights = Weights {
            embeddings: random("embeddings", vocabulary, hidden, (hidden as f64).sqrt())?,
            layers: (0..config.layers).map(layer).collect::<Result<_, _>>()?,
            norm: ones()?,
            head: random("head", vocabulary, hidden, LOGIT_SPREAD)?,
        };
        Self::new(config, weights)
    }

    /// Creates a model from weights whose shapes match the configuration.
    pub(crate) fn new(config: LlamaConfig, weights: Weights) -> Result<Self, ModelError> {
        config.check()?;
        let (cos, sin) = rotations(&config)?;
        let Weights { embeddings, layers, norm, head } = weights;
        Ok(Self { config, embeddings, layers, norm, head, cos, sin })
    }

    /// Returns the model's dimensions.
    pub const fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// Reads tokens after those in the cache and returns the logits after each of them.
    ///
    /// # Errors
    /// [`ModelError::TooLong`] beyond the context, [`ModelError::Tokens`] for tokens outside the vocabulary.
    pub fn forward(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Vec<Vec<f32>>, ModelError> {
        Ok(self.logits(&self.hidden(tokens, cache)?)?.to_vec2()?)
    }

    /// Reads tokens after those in the cache and returns the logits after the last one.
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
    pub fn mean_state(&self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        let hidden = self.hidden(tokens, &mut KvCache::default())?;
        Ok(self.normed(&hidden)?.mean(0)?.to_vec1()?)
    }

    fn normed(&self, hidden: &Tensor) -> Result<Tensor, ModelError> {
        Ok(rms_norm(&hidden.contiguous()?, &self.norm, self.config.norm_eps as f32)?)
    }

    pub(crate) fn logits(&self, hidden: &Tensor) -> Result<Tensor, ModelError> {
        Ok(self.normed(hidden)?.matmul(&self.head.t()?)?)
    }

    /// Returns the cosines and sines of the rotary embeddings: a row of half a head for each position.
    pub(crate) const fn rotations(&self) -> (&Tensor, &Tensor) {
        (&self.cos, &self.sin)
    }

    fn hidden(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Tensor, ModelError> {
        let read = cache.tokens;
        let end = read + tokens.len();
        if end > self.config.context {
            return Err(ModelError::TooLong { tokens: end, context: self.config.context });
        }
        if tokens.is_empty() || tokens.iter().any(|token| *token as usize >= self.config.vocabulary) {
            return Err(ModelError::Tokens);
        }
        let cos = self.cos.narrow(0, read, tokens.len())?;
        let sin = self.sin.narrow(0, read, tokens.len())?;
        let mask = mask(tokens.len(), read)?;
        let mut layers = Vec::with_capacity(self.layers.len());
        let hidden = self.run(tokens, |index, projected| {
            let past = cache.layers.get(index);
            let (attended, present) = self.attend(&projected, past, (&cos, &sin), mask.as_ref())?;
            layers.push(present);
            Ok(attended)
        })?;
        // Last, so that a failed call leaves the cache unchanged.
        *cache = KvCache { layers, tokens: end };
        Ok(hidden)
    }

    /// Runs all layers over some tokens, a row for each token. `attend` computes the attention of a layer.
    pub(crate) fn run(
        &self,
        tokens: &[u32],
        mut attend: impl FnMut(usize, Projected) -> Result<Tensor, ModelError>,
    ) -> Result<Tensor, ModelError> {
        let ids = Tensor::new(tokens, &Device::Cpu)?;
        let mut hidden = self.embeddings.index_select(&ids, 0)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let normed = rms_norm(&hidden, &layer.attention_norm, self.config.norm_eps as f32)?;
            let project = |weight: &Tensor| normed.matmul(&weight.t()?);
            let projected =
                Projected { query: project(&layer.query)?, key: project(&layer.key)?, value: project(&layer.value)? };
            let attended = attend(index, projected)?;
            hidden = (hidden + attended.matmul(&layer.output.t()?)?)?;
            hidden = (&hidden + self.feed_forward(layer, &hidden)?)?;
        }
        Ok(hidden)
    }

    fn attend(
        &self,
        projected: &Projected,
        past: Option<&(Tensor, Tensor)>,
        (cos, sin): (&Tensor, &Tensor),
        mask: Option<&Tensor>,
    ) -> Result<(Tensor, (Tensor, Tensor)), ModelError> {
        let (tokens, width) = projected.query.dims2()?;
        let size = self.config.head_size();
        // (1, heads, tokens, size)
        let split = |projected: &Tensor, heads: usize| -> Result<Tensor, ModelError> {
            Ok(projected.reshape((1, tokens, heads, size))?.transpose(1, 2)?.contiguous()?)
        };
        let query = rope(&split(&projected.query, self.config.heads)?, cos, sin)?;
        let key = rope(&split(&projected.key, self.config.kv_heads)?, cos, sin)?;
        let value = split(&projected.value, self.config.kv_heads)?;
        let (key, value) = match past {
            Some((keys, values)) => (Tensor::cat(&[keys, &key], 2)?, Tensor::cat(&[values, &value], 2)?),
            None => (key, value),
        };
        let scale = 1.0 / (size as f64).sqrt();
        let mut scores = (query.matmul(&self.shared(&key)?.transpose(2, 3)?)? * scale)?;
        if let Some(mask) = mask {
            scores = scores.broadcast_add(mask)?;
        }
        let mixed = softmax_last_dim(&scores)?.matmul(&self.shared(&value)?)?;
        Ok((mixed.transpose(1, 2)?.reshape((tokens, width))?, (key, value)))
    }

    /// Repeats each head of keys or values for the heads that share it.
    fn shared(&self, heads: &Tensor) -> Result<Tensor, ModelError> {
        let times = self.config.heads / self.config.kv_heads;
        let (batch, kv_heads, tokens, size) = heads.dims4()?;
        let repeated = heads.unsqueeze(2)?.expand((batch, kv_heads, times, tokens, size))?;
        Ok(repeated.reshape((batch, kv_heads * times, tokens, size))?.contiguous()?)
    }

    fn feed_forward(&self, layer: &Layer, hidden: &Tensor) -> Result<Tensor, ModelError> {
        let normed = rms_norm(hidden, &layer.feed_forward_norm, self.config.norm_eps as f32)?;
        let gated = (silu(&normed.matmul(&layer.gate.t()?)?)? * normed.matmul(&layer.up.t()?)?)?;
        Ok(gated.matmul(&layer.down.t()?)?)
    }
}

/// Computes the cosines and sines of the rotary embeddings: a row for each position.
fn rotations(config: &LlamaConfig) -> Result<(Tensor, Tensor), ModelError> {
    let size = config.head_size();
    let frequency = |pair: usize| {
        let frequency = 1.0 / config.rope_theta.powf(2.0 * pair as f64 / size as f64);
        config.rope_scaling.map_or(frequency, |scaling| scaling.apply(frequency)) as f32
    };
    let frequencies: Vec<f32> = (0..size / 2).map(frequency).collect();
    let frequencies = Tensor::from_vec(frequencies, (1, size / 2), &Device::Cpu)?;
    let positions: Vec<f32> = (0..config.context).map(|position| position as f32).collect();
    let angles = Tensor::from_vec(positions, (config.context, 1), &Device::Cpu)?.matmul(&frequencies)?;
    Ok((angles.cos()?, angles.sin()?))
}

/// Returns the causal mask; `None` for a single token, which needs none.
fn mask(tokens: usize, read: usize) -> Result<Option<Tensor>, ModelError> {
    if tokens == 1 {
        return Ok(None);
    }
    let hidden =
        |row: usize| (0..read + tokens).map(move |column| if column > read + row { f32::NEG_INFINITY } else { 0.0 });
    let mask: Vec<f32> = (0..tokens).flat_map(hidden).collect();
    Ok(Some(Tensor::from_vec(mask, (1, 1, tokens, read + tokens), &Device::Cpu)?))
}

/// Weights as plain numbers, for the tests' own implementation.
#[cfg(test)]
impl Llama {
    fn rows(tensor: &Tensor) -> Vec<Vec<f64>> {
        let rows: Vec<Vec<f32>> = tensor.to_vec2().unwrap();
        rows.into_iter().map(|row| row.into_iter().map(f64::from).collect()).collect()
    }
}

#[cfg(test)]
mod tests;
