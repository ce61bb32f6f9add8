//! BERT's encoder over concatenated texts.

use std::collections::HashMap;

use candle_core::{D, Device, Result, Tensor, safetensors};
use candle_nn::ops::softmax_last_dim;

use super::kernels::{AddBias, AddBiasGelu, AddNorm};

const LAYERS: usize = 6;
const HEADS: usize = 12;
const WIDTH: usize = 384;

/// The encoder with the weights of all-MiniLM-L6-v2.
#[derive(Debug)]
pub(super) struct Bert {
    word_embeddings: Tensor,
    /// Position embeddings plus the token type embedding: every token has type 0.
    position_embeddings: Tensor,
    norm: AddNorm,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    /// Queries, keys and values in one product; queries are already divided by the square root of
    /// the head size.
    qkv: Product,
    qkv_bias: AddBias,
    context: Product,
    context_norm: AddNorm,
    inner: Product,
    inner_bias: AddBiasGelu,
    outer: Product,
    outer_norm: AddNorm,
}

/// Product of rows with a matrix stored as (out, in).
#[derive(Debug)]
struct Product(Tensor);

impl Product {
    fn apply(&self, rows: &Tensor) -> Result<Tensor> {
        rows.matmul(&self.0.t()?)
    }
}

impl Bert {
    /// Loads the weights from a safetensors file.
    pub(super) fn load(bytes: &[u8]) -> Result<Self> {
        let weights = Weights(safetensors::load_buffer(bytes, &Device::Cpu)?);
        let types = weights.get("embeddings.token_type_embeddings.weight")?;
        let positions = weights.get("embeddings.position_embeddings.weight")?;
        Ok(Self {
            word_embeddings: weights.get("embeddings.word_embeddings.weight")?,
            position_embeddings: positions.broadcast_add(&types.narrow(0, 0, 1)?)?,
            norm: AddNorm::new(vec![0.0; WIDTH], weights.scale_and_shift("embeddings.LayerNorm")?),
            layers: (0..LAYERS).map(|index| Layer::load(&weights, index)).collect::<Result<_>>()?,
        })
    }

    /// Computes one vector of unit length per text. Texts of equal length should be adjacent, so
    /// that they share attention products.
    pub(super) fn embed<'a>(
        &self,
        texts: impl Iterator<Item = &'a [u32]>,
    ) -> Result<Vec<Vec<f32>>> {
        let (mut ids, mut positions, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for text in texts {
            ids.extend_from_slice(text);
            positions.extend(0..text.len() as u32);
            lengths.push(text.len());
        }
        let mut hidden = self.word_embeddings.index_select(&Tensor::new(ids, &Device::Cpu)?, 0)?;
        let positions =
            self.position_embeddings.index_select(&Tensor::new(positions, &Device::Cpu)?, 0)?;
        hidden.inplace_op2(&positions, &self.norm)?;
        let runs = equal_length_runs(&lengths);
        for layer in &self.layers {
            hidden = layer.forward(&hidden, &runs)?;
        }
        let hidden = hidden.flatten_all()?.to_vec1::<f32>()?;
        let mut rows = hidden.chunks_exact(WIDTH);
        Ok(lengths.iter().map(|&length| pool(rows.by_ref().take(length))).collect())
    }
}

impl Layer {
    fn load(weights: &Weights, index: usize) -> Result<Self> {
        let layer = format!("encoder.layer.{index}");
        let scale = 1.0 / ((WIDTH / HEADS) as f64).sqrt();
        let mut matrices = Vec::new();
        let mut biases = Vec::new();
        for (part, factor) in [("query", scale), ("key", 1.0), ("value", 1.0)] {
            let name = format!("{layer}.attention.self.{part}");
            matrices.push((weights.get(&format!("{name}.weight"))? * factor)?);
            biases.push((weights.get(&format!("{name}.bias"))? * factor)?);
        }
        let inner_bias = weights.vector(&format!("{layer}.intermediate.dense.bias"))?;
        Ok(Self {
            qkv: Product(Tensor::cat(&matrices, 0)?),
            qkv_bias: AddBias(Tensor::cat(&biases, 0)?.to_vec1()?),
            context: weights.product(&format!("{layer}.attention.output.dense"))?,
            context_norm: weights.add_norm(&format!("{layer}.attention.output"))?,
            inner: weights.product(&format!("{layer}.intermediate.dense"))?,
            inner_bias: AddBiasGelu(inner_bias),
            outer: weights.product(&format!("{layer}.output.dense"))?,
            outer_norm: weights.add_norm(&format!("{layer}.output"))?,
        })
    }

    fn forward(&self, hidden: &Tensor, runs: &[TextRun]) -> Result<Tensor> {
        let qkv = self.qkv.apply(hidden)?;
        qkv.inplace_op1(&self.qkv_bias)?;
        let contexts = runs.iter().map(|run| run.attend(&qkv)).collect::<Result<Vec<_>>>()?;
        let attended = self.context.apply(&Tensor::cat(&contexts, 0)?)?;
        attended.inplace_op2(hidden, &self.context_norm)?;
        let inner = self.inner.apply(&attended)?;
        inner.inplace_op1(&self.inner_bias)?;
        let outer = self.outer.apply(&inner)?;
        outer.inplace_op2(&attended, &self.outer_norm)?;
        Ok(outer)
    }
}

/// A run of neighbouring texts of equal length.
struct TextRun {
    first_row: usize,
    texts: usize,
    length: usize,
}

impl TextRun {
    /// Computes self-attention within each text of the run, from rows of queries, keys and values
    /// to rows of contexts.
    fn attend(&self, qkv: &Tensor) -> Result<Tensor> {
        let (texts, length) = (self.texts, self.length);
        let heads = qkv
            .narrow(0, self.first_row, texts * length)?
            .reshape((texts, length, 3, HEADS, WIDTH / HEADS))?
            .permute((2, 0, 3, 1, 4))?
            .contiguous()?
            .reshape((3, texts * HEADS, length, WIDTH / HEADS))?;
        let (queries, keys, values) = (heads.get(0)?, heads.get(1)?, heads.get(2)?);
        let weights = softmax_last_dim(&queries.matmul(&keys.transpose(D::Minus1, D::Minus2)?)?)?;
        weights
            .matmul(&values)?
            .reshape((texts, HEADS, length, WIDTH / HEADS))?
            .transpose(1, 2)?
            .reshape((texts * length, WIDTH))
    }
}

fn equal_length_runs(lengths: &[usize]) -> Vec<TextRun> {
    let mut first_row = 0;
    lengths
        .chunk_by(|a, b| a == b)
        .map(|run| {
            let length = run.first().copied().unwrap_or_default();
            let run = TextRun { first_row, texts: run.len(), length };
            first_row += run.texts * length;
            run
        })
        .collect()
}

/// Computes the normalised mean of the token vectors.
fn pool<'a>(rows: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
    let mut sum = vec![0.0; WIDTH];
    for row in rows {
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += value;
        }
    }
    let norm = sum.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    sum.into_iter().map(|value| value / norm).collect()
}

struct Weights(HashMap<String, Tensor>);

impl Weights {
    fn get(&self, name: &str) -> Result<Tensor> {
        self.0
            .get(name)
            .cloned()
            .ok_or_else(|| candle_core::Error::CannotFindTensor { path: name.to_owned() })
    }

    fn vector(&self, name: &str) -> Result<Vec<f32>> {
        self.get(name)?.to_vec1()
    }

    /// Loads the weight and bias of a layer norm.
    fn scale_and_shift(&self, name: &str) -> Result<(Vec<f32>, Vec<f32>)> {
        Ok((self.vector(&format!("{name}.weight"))?, self.vector(&format!("{name}.bias"))?))
    }

    fn product(&self, name: &str) -> Result<Product> {
        self.get(&format!("{name}.weight")).map(Product)
    }

    /// Loads a layer norm with the bias of the dense layer before it.
    fn add_norm(&self, name: &str) -> Result<AddNorm> {
        let pair = self.scale_and_shift(&format!("{name}.LayerNorm"))?;
        Ok(AddNorm::new(self.vector(&format!("{name}.dense.bias"))?, pair))
    }
}
