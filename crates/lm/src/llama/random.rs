//! Random weights, which are determined by a seed.

use candle_core::{DType, Device, Tensor};

use super::{HeadNorms, Layer, OutputNorms, Weights, frequencies};
use crate::linear::{Linear, Weight};
use crate::splitmix::SplitMix64;
use crate::{LlamaConfig, LlamaKind, ModelError};

/// Standard deviation of the logits of a model with random weights: high enough that few tokens
/// have most of the probability, as in a trained model.
const LOGIT_SPREAD: f64 = 4.0;

/// Source of random weights. The seed and a tensor's name determine its values.
pub(super) struct RandomWeights(pub(super) u64);

impl RandomWeights {
    /// Returns the weights of a model.
    pub(super) fn model(&self, config: &LlamaConfig) -> Result<Weights, ModelError> {
        let LlamaConfig { vocabulary, hidden, .. } = *config;
        Ok(Weights {
            embeddings: Weight::Dense(self.matrix(
                "embeddings",
                vocabulary,
                hidden,
                (hidden as f64).sqrt(),
            )?),
            layers: (0..config.layers)
                .map(|index| self.layer(config, index))
                .collect::<Result<_, _>>()?,
            norm: ones(hidden)?,
            head: self.matrix("head", vocabulary, hidden, LOGIT_SPREAD)?.into(),
            frequencies: frequencies(config, &[]),
        })
    }

    fn layer(&self, config: &LlamaConfig, index: usize) -> Result<Layer, ModelError> {
        let LlamaConfig { kind, hidden, intermediate, head_size, .. } = *config;
        let (width, kv) = (config.query_width(), config.kv_width());
        let [query, key, value, output, gate, up, down] =
            ["query", "key", "value", "output", "gate", "up", "down"]
                .map(|name| format!("layers.{index}.{name}"));
        let head_norms = if kind.has_head_norms() {
            Some(HeadNorms {
                query: self.norm(&format!("layers.{index}.query_norm"), head_size)?,
                key: self.norm(&format!("layers.{index}.key_norm"), head_size)?,
            })
        } else {
            None
        };
        let output_norms = if kind == LlamaKind::Gemma3 {
            Some(OutputNorms {
                attention: self.norm(&format!("layers.{index}.attention_output_norm"), hidden)?,
                feed_forward: self
                    .norm(&format!("layers.{index}.feed_forward_output_norm"), hidden)?,
            })
        } else {
            None
        };
        Ok(Layer {
            attention_norm: ones(hidden)?,
            query: self.projection(&query, config, width)?,
            key: self.projection(&key, config, kv)?,
            value: self.projection(&value, config, kv)?,
            head_norms,
            output: self.matrix(&output, hidden, width, 1.0)?.into(),
            output_norms,
            feed_forward_norm: ones(hidden)?,
            gate: self.matrix(&gate, intermediate, hidden, 1.0)?.into(),
            up: self.matrix(&up, intermediate, hidden, 1.0)?.into(),
            down: self.matrix(&down, hidden, intermediate, 1.0)?.into(),
        })
    }

    fn projection(
        &self,
        name: &str,
        config: &LlamaConfig,
        rows: usize,
    ) -> Result<Linear, ModelError> {
        let weight = Weight::Dense(self.matrix(name, rows, config.hidden, 1.0)?);
        let has_bias = config.kind == LlamaKind::Qwen2;
        let bias = has_bias.then(|| self.vector(&format!("{name}.bias"), rows)).transpose()?;
        Ok(Linear { weight, bias })
    }

    /// Returns factors around 1, as in a trained model.
    fn norm(&self, name: &str, length: usize) -> Result<Tensor, ModelError> {
        Ok((self.vector(name, length)? + 1.0)?)
    }

    /// Returns a matrix whose products with inputs of the variance 1 have the standard deviation
    /// `spread`.
    fn matrix(
        &self,
        name: &str,
        rows: usize,
        columns: usize,
        spread: f64,
    ) -> Result<Tensor, ModelError> {
        let mut generator = SplitMix64::with_name(self.0, name);
        let scale = spread / (columns as f64).sqrt();
        let numbers: Vec<f32> =
            (0..rows * columns).map(|_| (generator.normal() * scale) as f32).collect();
        Ok(Tensor::from_vec(numbers, (rows, columns), &Device::Cpu)?)
    }

    /// Returns numbers with the standard deviation 1 / sqrt(length).
    fn vector(&self, name: &str, length: usize) -> Result<Tensor, ModelError> {
        Ok(self.matrix(name, 1, length, 1.0)?.squeeze(0)?)
    }
}

fn ones(length: usize) -> Result<Tensor, ModelError> {
    Ok(Tensor::ones(length, DType::F32, &Device::Cpu)?)
}
