//! Random weights, which are determined by a seed.

use candle_core::{DType, Device, Tensor};

use super::{HeadNorms, Layer, OutputNorms, Weights, frequencies};
use crate::linear::{Linear, Weight};
use crate::noise::Noise;
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
        let named = |name: &str| format!("layers.{index}.{name}");
        let matrix = |name: &str, rows, columns| self.matrix(&named(name), rows, columns, 1.0);
        let projection = |name: &str, rows| -> Result<Linear, ModelError> {
            let weight = Weight::Dense(matrix(name, rows, hidden)?);
            let has_bias = kind == LlamaKind::Qwen2;
            let bias =
                has_bias.then(|| self.vector(&named(&format!("{name}.bias")), rows)).transpose()?;
            Ok(Linear { weight, bias })
        };
        // Around 1, as in a trained model.
        let norm =
            |name: &str, length| Ok::<_, ModelError>((self.vector(&named(name), length)? + 1.0)?);
        let head_norms = if kind.has_head_norms() {
            Some(HeadNorms {
                query: norm("query_norm", head_size)?,
                key: norm("key_norm", head_size)?,
            })
        } else {
            None
        };
        let output_norms = if kind == LlamaKind::Gemma3 {
            let attention = norm("attention_output_norm", hidden)?;
            Some(OutputNorms { attention, feed_forward: norm("feed_forward_output_norm", hidden)? })
        } else {
            None
        };
        Ok(Layer {
            attention_norm: ones(hidden)?,
            query: projection("query", width)?,
            key: projection("key", kv)?,
            value: projection("value", kv)?,
            head_norms,
            output: matrix("output", hidden, width)?.into(),
            output_norms,
            feed_forward_norm: ones(hidden)?,
            gate: matrix("gate", intermediate, hidden)?.into(),
            up: matrix("up", intermediate, hidden)?.into(),
            down: matrix("down", hidden, intermediate)?.into(),
        })
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
        let mut noise = Noise::named(self.0, name);
        let scale = spread / (columns as f64).sqrt();
        let numbers: Vec<f32> =
            (0..rows * columns).map(|_| (noise.normal() * scale) as f32).collect();
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
