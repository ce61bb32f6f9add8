//! The weights of a model as plain numbers, for programs that run it by other means, such as a
//! circuit for proofs.

use candle_core::{Device, Tensor};

use crate::gpt2::{self, Gpt2};
use crate::linear::{Linear, Weight};
use crate::network::Network;
use crate::{CausalModel, Llama, LlamaKind, ModelError};

/// A matrix with one row per output.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// Values, row by row.
    pub values: Vec<f32>,
}

/// A linear layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// Weights.
    pub weights: Matrix,
    /// A value for each output.
    pub bias: Option<Vec<f32>>,
}

/// A norm: a layer norm if it has a shift, an RMS norm otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    /// Factors.
    pub scale: Vec<f32>,
    /// Addends.
    pub shift: Option<Vec<f32>>,
}

impl Norm {
    fn layer(norm: &gpt2::Norm) -> Result<Self, ModelError> {
        Ok(Self { scale: floats(&norm.scale)?, shift: Some(floats(&norm.shift)?) })
    }

    fn rms(scale: &Tensor) -> Result<Self, ModelError> {
        Ok(Self { scale: floats(scale)?, shift: None })
    }
}

/// Encoding of positions.
#[derive(Clone, Debug, PartialEq)]
pub enum Positions {
    /// A vector for each position is added to the embedding.
    Learned(Matrix),
    /// Queries and keys are rotated: the first half of a head with the second one.
    Rotary {
        /// For each position, a cosine for each pair of values of a head.
        cos: Vec<f32>,
        /// For each position, a sine for each pair of values of a head.
        sin: Vec<f32>,
    },
}

/// A feed-forward layer.
#[derive(Clone, Debug, PartialEq)]
pub enum FeedForward {
    /// `down(gelu(up(x)))`, with the approximation of GELU by tanh.
    Gelu {
        /// Projection to the inner width.
        up: Projection,
        /// Projection back.
        down: Projection,
    },
    /// `down(silu(gate(x)) * up(x))`.
    Gated {
        /// Projection to the gates.
        gate: Projection,
        /// Projection to the inner width.
        up: Projection,
        /// Projection back.
        down: Projection,
    },
}

/// A layer of a [`Decoder`].
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderLayer {
    /// Norm before the attention.
    pub attention_norm: Norm,
    /// Projections to the queries, keys and values of all heads.
    pub qkv: [Projection; 3],
    /// Norms of each head's queries and keys.
    pub head_norms: Option<[Norm; 2]>,
    /// Projection of the attended values.
    pub output: Projection,
    /// Norm before the feed-forward layer.
    pub feed_forward_norm: Norm,
    /// The feed-forward layer.
    pub feed_forward: FeedForward,
}

/// Weights of a decoder-only language model.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoder {
    /// Vector of each token.
    pub embeddings: Matrix,
    /// Positions of the first tokens.
    pub positions: Positions,
    /// Layers, first to last.
    pub layers: Vec<DecoderLayer>,
    /// Norm after the last layer.
    pub norm: Norm,
    /// Projection to the logits.
    pub head: Projection,
    /// Number of attention heads.
    pub heads: usize,
    /// Number of key-value heads; each is shared by `heads / kv_heads` attention heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_size: usize,
    /// Epsilon of all norms.
    pub norm_eps: f32,
}

impl CausalModel {
    /// Returns the model's weights, with the positions of the first `tokens` tokens. Quantised
    /// weights are dequantised.
    ///
    /// # Errors
    /// [`ModelError::TooLong`] when the tokens exceed the context, [`ModelError::Config`] for Gemma 3.
    pub fn decoder(&self, tokens: usize) -> Result<Decoder, ModelError> {
        match &self.network {
            Network::Gpt2(model) => gpt2_decoder(model, tokens),
            Network::Llama(model) => model.decoder(tokens),
        }
    }
}

impl Llama {
    /// Returns the model's weights, as [`CausalModel::decoder`] does.
    ///
    /// # Errors
    /// See [`CausalModel::decoder`].
    pub fn decoder(&self, tokens: usize) -> Result<Decoder, ModelError> {
        llama_decoder(self, tokens)
    }
}

fn check_context(tokens: usize, context: usize) -> Result<(), ModelError> {
    if tokens > context { Err(ModelError::TooLong { tokens, context }) } else { Ok(()) }
}

fn gpt2_decoder(model: &Gpt2, tokens: usize) -> Result<Decoder, ModelError> {
    let config = &model.config;
    check_context(tokens, config.context)?;
    let (hidden, inner) = (config.hidden, config.intermediate);
    let layers = model.layers.iter().map(|layer| {
        Ok(DecoderLayer {
            attention_norm: Norm::layer(&layer.attention_norm)?,
            qkv: split_qkv(projection(&layer.projection, 3 * hidden, hidden)?),
            head_norms: None,
            output: projection(&layer.output, hidden, hidden)?,
            feed_forward_norm: Norm::layer(&layer.feed_forward_norm)?,
            feed_forward: FeedForward::Gelu {
                up: projection(&layer.up, inner, hidden)?,
                down: projection(&layer.down, hidden, inner)?,
            },
        })
    });
    let positions = floats(&model.positions.narrow(0, 0, tokens)?)?;
    Ok(Decoder {
        embeddings: matrix(&model.embeddings, config.vocabulary, hidden)?,
        positions: Positions::Learned(Matrix { rows: tokens, columns: hidden, values: positions }),
        layers: layers.collect::<Result<_, ModelError>>()?,
        norm: Norm::layer(&model.norm)?,
        head: projection(&model.head, config.vocabulary, hidden)?,
        heads: config.heads,
        kv_heads: config.heads,
        head_size: hidden / config.heads,
        norm_eps: config.norm_eps as f32,
    })
}

fn llama_decoder(model: &Llama, tokens: usize) -> Result<Decoder, ModelError> {
    let config = *model.config();
    check_context(tokens, config.context)?;
    if config.kind == LlamaKind::Gemma3 {
        return Err(ModelError::Config(
            "the weights of Gemma 3 cannot be exported: use Llama, Qwen or GPT-2",
        ));
    }
    let (hidden, inner) = (config.hidden, config.intermediate);
    let (query, kv) = (config.query_width(), config.kv_width());
    let layers = model.layers().iter().map(|layer| {
        let head_norms = match &layer.head_norms {
            Some(norms) => Some([Norm::rms(&norms.query)?, Norm::rms(&norms.key)?]),
            None => None,
        };
        Ok(DecoderLayer {
            attention_norm: Norm::rms(&layer.attention_norm)?,
            qkv: [
                projection(&layer.query, query, hidden)?,
                projection(&layer.key, kv, hidden)?,
                projection(&layer.value, kv, hidden)?,
            ],
            head_norms,
            output: projection(&layer.output, hidden, query)?,
            feed_forward_norm: Norm::rms(&layer.feed_forward_norm)?,
            feed_forward: FeedForward::Gated {
                gate: projection(&layer.gate, inner, hidden)?,
                up: projection(&layer.up, inner, hidden)?,
                down: projection(&layer.down, hidden, inner)?,
            },
        })
    });
    let (cos, sin) = model.rotations(0..tokens, false);
    Ok(Decoder {
        embeddings: matrix(model.embeddings(), config.vocabulary, hidden)?,
        positions: Positions::Rotary { cos, sin },
        layers: layers.collect::<Result<_, ModelError>>()?,
        norm: Norm::rms(model.norm())?,
        head: projection(model.head(), config.vocabulary, hidden)?,
        heads: config.heads,
        kv_heads: config.kv_heads,
        head_size: config.head_size,
        norm_eps: config.norm_eps as f32,
    })
}

fn floats(tensor: &Tensor) -> Result<Vec<f32>, ModelError> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

fn matrix(weight: &Weight, rows: usize, columns: usize) -> Result<Matrix, ModelError> {
    let all_rows = Tensor::arange(0, rows as u32, &Device::Cpu)?;
    Ok(Matrix { rows, columns, values: floats(&weight.select(&all_rows)?)? })
}

fn projection(linear: &Linear, outputs: usize, inputs: usize) -> Result<Projection, ModelError> {
    let bias = linear.bias.as_ref().map(floats).transpose()?;
    Ok(Projection { weights: matrix(&linear.weight, outputs, inputs)?, bias })
}

/// Splits a projection to queries, keys and values.
fn split_qkv(fused: Projection) -> [Projection; 3] {
    let Projection { weights: Matrix { rows, columns, values }, bias } = fused;
    let rows = rows / 3;
    [0, 1, 2].map(|index| Projection {
        weights: Matrix { rows, columns, values: nth_part(&values, rows * columns, index) },
        bias: bias.as_ref().map(|bias| nth_part(bias, rows, index)),
    })
}

/// Returns the part of `size` values with this index.
fn nth_part(values: &[f32], size: usize, index: usize) -> Vec<f32> {
    values.iter().skip(index * size).take(size).copied().collect()
}
