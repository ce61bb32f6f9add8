//! The GPT-2 architecture: layer norms, learned positions, multi-head attention, feed-forward
//! layers with GELU.

use candle_core::{Device, IndexOp as _, Tensor};
use candle_nn::ops::layer_norm;

use crate::attention::Heads;
use crate::linear::{Linear, Weight};
use crate::{KvCache, ModelError};

/// Dimensions of a GPT-2 model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Gpt2Config {
    /// Number of tokens in the vocabulary.
    pub(crate) vocabulary: usize,
    /// Width of the residual stream.
    pub(crate) hidden: usize,
    /// Width of the feed-forward layers.
    pub(crate) intermediate: usize,
    /// Number of layers.
    pub(crate) layers: usize,
    /// Number of attention heads.
    pub(crate) heads: usize,
    /// Maximum context length, in tokens.
    pub(crate) context: usize,
    /// Epsilon added to the variance in each norm.
    pub(crate) norm_eps: f64,
}

impl Gpt2Config {
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let counts = [
            self.vocabulary,
            self.hidden,
            self.intermediate,
            self.layers,
            self.heads,
            self.context,
        ];
        if counts.contains(&0) {
            return Err(ModelError::Config("every dimension must be above 0"));
        }
        if !self.hidden.is_multiple_of(self.heads) {
            return Err(ModelError::Config("hidden must be a multiple of heads"));
        }
        Ok(())
    }
}

/// Scale and shift of a layer norm.
#[derive(Debug)]
pub(crate) struct Norm {
    pub(crate) scale: Tensor,
    pub(crate) shift: Tensor,
}

#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) attention_norm: Norm,
    /// Queries, keys and values of all heads, one after the other.
    pub(crate) projection: Linear,
    pub(crate) output: Linear,
    pub(crate) feed_forward_norm: Norm,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
}

/// A GPT-2 model. Activations are 32-bit floats.
#[derive(Debug)]
pub(crate) struct Gpt2 {
    pub(crate) config: Gpt2Config,
    pub(crate) embeddings: Weight,
    pub(crate) positions: Tensor,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Norm,
    pub(crate) head: Linear,
}

/// Splits a third of a projection by heads: that of the queries, keys or values.
fn split_third(heads: &Heads, projected: &Tensor, number: usize) -> Result<Tensor, ModelError> {
    let width = projected.dim(1)? / 3;
    heads.split(&projected.narrow(1, number * width, width)?.contiguous()?)
}

impl Gpt2 {
    /// Processes tokens that follow those in the cache, and returns the logits after the last one.
    ///
    /// # Errors
    /// [`ModelError::TooLong`] when the tokens exceed the context, [`ModelError::Tokens`] when
    /// there are none or one is outside the vocabulary.
    pub(crate) fn next(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Vec<f32>, ModelError> {
        let hidden = self.hidden_states(tokens, cache)?;
        let last = hidden.narrow(0, tokens.len() - 1, 1)?;
        Ok(self.head.forward(&self.apply_norm(&last, &self.norm)?)?.i(0)?.to_vec1()?)
    }

    fn hidden_states(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Tensor, ModelError> {
        cache.check(tokens, self.config.context, self.config.vocabulary)?;
        let ids = Tensor::new(tokens, self.device())?;
        let positions = self.positions.narrow(0, cache.tokens(), tokens.len())?;
        let mut hidden = (self.embeddings.select(&ids)? + positions)?;
        let heads = Heads {
            query: self.config.heads,
            kv: self.config.heads,
            size: self.config.hidden / self.config.heads,
            window: None,
        };
        for (index, layer) in self.layers.iter().enumerate() {
            let projected =
                layer.projection.forward(&self.apply_norm(&hidden, &layer.attention_norm)?)?;
            let query = split_third(&heads, &projected, 0)?;
            let key = split_third(&heads, &projected, 1)?;
            let value = split_third(&heads, &projected, 2)?;
            let attended = heads.attend(index, &query, &key, &value, cache)?;
            hidden = (hidden + layer.output.forward(&attended)?)?;
            let expanded =
                layer.up.forward(&self.apply_norm(&hidden, &layer.feed_forward_norm)?)?;
            // candle's `gelu` is the approximation with tanh, with which GPT-2 was trained.
            hidden = (hidden + layer.down.forward(&expanded.gelu()?)?)?;
        }
        // Last, so that a failed call leaves the cache unchanged.
        cache.advance(tokens.len());
        Ok(hidden)
    }

    fn apply_norm(&self, hidden: &Tensor, norm: &Norm) -> Result<Tensor, ModelError> {
        Ok(layer_norm(
            &hidden.contiguous()?,
            &norm.scale,
            &norm.shift,
            self.config.norm_eps as f32,
        )?)
    }

    fn device(&self) -> &Device {
        self.positions.device()
    }

    /// Calls `change` with each matrix, for tests.
    #[cfg(test)]
    pub(crate) fn change_weights(&mut self, mut change: impl FnMut(&mut Weight)) {
        change(&mut self.embeddings);
        change(&mut self.head.weight);
        for Layer { projection, output, up, down, .. } in &mut self.layers {
            for linear in [projection, output, up, down] {
                change(&mut linear.weight);
            }
        }
    }
}
