//! The Llama architecture: RMS norms, rotary embeddings, grouped-query attention, gated feed-forward layers.

use candle_core::{DType, Device, IndexOp as _, Tensor};
use candle_nn::ops::{rms_norm, silu, softmax_last_dim};
use candle_nn::rotary_emb::rope;

use crate::noise::Noise;

/// Why a model cannot be made or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The dimensions do not fit together.
    #[error("model configuration: {0}")]
    Config(&'static str),
    /// A text is longer than the model's context.
    #[error("{tokens} tokens do not fit into a context of {context}")]
    TooLong {
        /// Tokens of the text.
        tokens: usize,
        /// The model's context, in tokens.
        context: usize,
    },
    /// A token is outside the vocabulary, or there is none.
    #[error("tokens are empty or outside the vocabulary")]
    Tokens,
    /// The tensor library failed.
    #[error("model failed")]
    Tensor(#[from] candle_core::Error),
}

/// Dimensions of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LlamaConfig {
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the feed-forward layers.
    pub intermediate: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Heads of keys and values; each is shared by `heads / kv_heads` heads.
    pub kv_heads: usize,
    /// Longest text, in tokens.
    pub context: usize,
    /// Base of the rotary embeddings.
    pub rope_theta: f64,
    /// Added to the mean square in each norm.
    pub norm_eps: f64,
}

impl LlamaConfig {
    fn head_size(&self) -> usize {
        self.hidden / self.heads
    }

    fn check(&self) -> Result<(), ModelError> {
        let counts =
            [self.vocabulary, self.hidden, self.intermediate, self.layers, self.heads, self.kv_heads, self.context];
        if counts.contains(&0) {
            return Err(ModelError::Config("every dimension must be above 0"));
        }
        if !self.hidden.is_multiple_of(self.heads) || !self.head_size().is_multiple_of(2) {
            return Err(ModelError::Config("hidden must be an even multiple of heads"));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(ModelError::Config("heads must be a multiple of kv_heads"));
        }
        Ok(())
    }
}

/// Keys and values of the tokens that a model has read.
#[derive(Debug, Clone, Default)]
pub struct KvCache {
    layers: Vec<(Tensor, Tensor)>,
    tokens: usize,
}

impl KvCache {
    /// Tokens read so far.
    pub const fn tokens(&self) -> usize {
        self.tokens
    }
}

#[derive(Debug)]
struct Layer {
    attention_norm: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    output: Tensor,
    feed_forward_norm: Tensor,
    gate: Tensor,
    up: Tensor,
    down: Tensor,
}

/// A Llama model on the processor, in 32-bit floats.
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
    /// A model whose weights are made from a seed.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the dimensions do not fit together.
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
        let (cos, sin) = rotations(&config)?;
        Ok(Self {
            embeddings: random("embeddings", vocabulary, hidden, (hidden as f64).sqrt())?,
            layers: (0..config.layers).map(layer).collect::<Result<_, _>>()?,
            norm: ones()?,
            head: random("head", vocabulary, hidden, LOGIT_SPREAD)?,
            cos,
            sin,
            config,
        })
    }

    /// The model's dimensions.
    pub const fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// Reads tokens after those in the cache, and gives the logits after each of them.
    ///
    /// # Errors
    /// [`ModelError::TooLong`] beyond the context, [`ModelError::Tokens`] for tokens outside the vocabulary.
    pub fn forward(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Vec<Vec<f32>>, ModelError> {
        Ok(self.logits(&self.hidden(tokens, cache)?)?.to_vec2()?)
    }

    /// As [`Self::forward`], only after the last token.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn next(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Vec<f32>, ModelError> {
        let hidden = self.hidden(tokens, cache)?;
        let last = hidden.narrow(0, tokens.len() - 1, 1)?;
        Ok(self.logits(&last)?.i(0)?.to_vec1()?)
    }

    fn logits(&self, hidden: &Tensor) -> Result<Tensor, ModelError> {
        let hidden = rms_norm(&hidden.contiguous()?, &self.norm, self.config.norm_eps as f32)?;
        Ok(hidden.matmul(&self.head.t()?)?)
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
        let ids = Tensor::new(tokens, &Device::Cpu)?;
        let mut hidden = self.embeddings.index_select(&ids, 0)?;
        let cos = self.cos.narrow(0, read, tokens.len())?;
        let sin = self.sin.narrow(0, read, tokens.len())?;
        let mask = mask(tokens.len(), read)?;
        let mut layers = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            let past = cache.layers.get(index);
            let (attended, present) = self.attend(layer, &hidden, past, (&cos, &sin), mask.as_ref())?;
            layers.push(present);
            hidden = (hidden + attended)?;
            hidden = (&hidden + self.feed_forward(layer, &hidden)?)?;
        }
        // Only now: a failed call leaves the cache as it was.
        *cache = KvCache { layers, tokens: end };
        Ok(hidden)
    }

    fn attend(
        &self,
        layer: &Layer,
        hidden: &Tensor,
        past: Option<&(Tensor, Tensor)>,
        (cos, sin): (&Tensor, &Tensor),
        mask: Option<&Tensor>,
    ) -> Result<(Tensor, (Tensor, Tensor)), ModelError> {
        let (tokens, width) = hidden.dims2()?;
        let size = self.config.head_size();
        let normed = rms_norm(hidden, &layer.attention_norm, self.config.norm_eps as f32)?;
        // (1, heads, tokens, size)
        let split = |weight: &Tensor, heads: usize| -> Result<Tensor, ModelError> {
            let projected = normed.matmul(&weight.t()?)?;
            Ok(projected.reshape((1, tokens, heads, size))?.transpose(1, 2)?.contiguous()?)
        };
        let query = rope(&split(&layer.query, self.config.heads)?, cos, sin)?;
        let key = rope(&split(&layer.key, self.config.kv_heads)?, cos, sin)?;
        let value = split(&layer.value, self.config.kv_heads)?;
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
        let mixed = mixed.transpose(1, 2)?.reshape((tokens, width))?;
        Ok((mixed.matmul(&layer.output.t()?)?, (key, value)))
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

/// Cosines and sines of the rotary embeddings: one row for each position.
fn rotations(config: &LlamaConfig) -> Result<(Tensor, Tensor), ModelError> {
    let size = config.head_size();
    let frequencies: Vec<f32> =
        (0..size / 2).map(|pair| (1.0 / config.rope_theta.powf(2.0 * pair as f64 / size as f64)) as f32).collect();
    let frequencies = Tensor::from_vec(frequencies, (1, size / 2), &Device::Cpu)?;
    let positions: Vec<f32> = (0..config.context).map(|position| position as f32).collect();
    let angles = Tensor::from_vec(positions, (config.context, 1), &Device::Cpu)?.matmul(&frequencies)?;
    Ok((angles.cos()?, angles.sin()?))
}

/// What hides later tokens from earlier ones; none is needed for a single token.
fn mask(tokens: usize, read: usize) -> Result<Option<Tensor>, ModelError> {
    if tokens == 1 {
        return Ok(None);
    }
    let hidden =
        |row: usize| (0..read + tokens).map(move |column| if column > read + row { f32::NEG_INFINITY } else { 0.0 });
    let mask: Vec<f32> = (0..tokens).flat_map(hidden).collect();
    Ok(Some(Tensor::from_vec(mask, (1, 1, tokens, read + tokens), &Device::Cpu)?))
}

/// The weights by name as plain numbers, for the test's own implementation.
#[cfg(test)]
impl Llama {
    fn rows(tensor: &Tensor) -> Vec<Vec<f64>> {
        let rows: Vec<Vec<f32>> = tensor.to_vec2().unwrap();
        rows.into_iter().map(|row| row.into_iter().map(f64::from).collect()).collect()
    }
}

#[cfg(test)]
mod tests;
