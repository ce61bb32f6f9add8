//! The network: two strided convolutions, residual blocks, a linear head.
//!
//! The layout is always [time, channels]. A convolution over time is one matrix product of the
//! gathered neighbours with the kernel; only these products use candle, the other steps are cheap
//! and in place.

use std::collections::HashMap;

use candle_core::{DType, Device, Error, Result, Tensor};

use super::config::Config;

pub(super) struct Network {
    stem: Vec<Convolution>,
    blocks: Vec<Block>,
    norm: Norm,
    head: Dense,
    labels: usize,
}

struct Block {
    norm: Norm,
    convolution: Convolution,
    projection: Dense,
}

/// `y = x W + b`; `weight` is [inputs, outputs].
struct Dense {
    weight: Tensor,
    bias: Vec<f32>,
    inputs: usize,
}

/// A convolution over time with zero padding of half a kernel; `dense` has [tap, channel] rows.
struct Convolution {
    dense: Dense,
    channels: usize,
    taps: usize,
    stride: usize,
}

struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

/// The weights of a file by name.
struct Weights(HashMap<String, Tensor>);

impl Weights {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = self
            .0
            .remove(name)
            .ok_or_else(|| Error::CannotFindTensor { path: name.into() }.bt())?;
        if tensor.dims() != shape {
            return Err(Error::Msg(format!(
                "weight {name} has shape {:?}, expected {shape:?}",
                tensor.dims()
            )));
        }
        tensor.to_dtype(DType::F32)
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<Vec<f32>> {
        self.take(name, &[length])?.to_vec1()
    }

    fn dense(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Dense> {
        let weight = self.take(&format!("{name}.weight"), &[outputs, inputs])?.t()?.contiguous()?;
        Ok(Dense { weight, bias: self.vector(&format!("{name}.bias"), outputs)?, inputs })
    }

    fn convolution(
        &mut self,
        name: &str,
        channels: usize,
        outputs: usize,
        taps: usize,
        stride: usize,
    ) -> Result<Convolution> {
        let kernel = self.take(&format!("{name}.weight"), &[outputs, channels, taps])?;
        let inputs = taps * channels;
        let weight = kernel.permute((2, 1, 0))?.contiguous()?.reshape((inputs, outputs))?;
        let dense = Dense { weight, bias: self.vector(&format!("{name}.bias"), outputs)?, inputs };
        Ok(Convolution { dense, channels, taps, stride })
    }

    fn norm(&mut self, name: &str, width: usize, epsilon: f32) -> Result<Norm> {
        let weight = self.vector(&format!("{name}.weight"), width)?;
        Ok(Norm { weight, bias: self.vector(&format!("{name}.bias"), width)?, epsilon })
    }
}

impl Network {
    /// Loads the weights of a safetensors file; half precision is converted to single.
    pub(super) fn load(file: &[u8], config: &Config) -> Result<Self> {
        let mut weights = Weights(candle_core::safetensors::load_buffer(file, &Device::Cpu)?);
        let mut channels = config.n_mels;
        let mut stem = Vec::with_capacity(config.stem.len());
        for (i, layer) in config.stem.iter().enumerate() {
            stem.push(weights.convolution(
                &format!("stem{}", i + 1),
                channels,
                layer.out,
                layer.kernel,
                layer.stride,
            )?);
            channels = layer.out;
        }
        let (width, epsilon) = (config.width, config.layer_norm_eps);
        let blocks = (0..config.blocks).map(|i| {
            Ok(Block {
                norm: weights.norm(&format!("blocks.{i}.norm"), width, epsilon)?,
                convolution: weights.convolution(
                    &format!("blocks.{i}.conv"),
                    width,
                    width,
                    config.kernel,
                    1,
                )?,
                projection: weights.dense(&format!("blocks.{i}.proj"), width, width)?,
            })
        });
        let blocks = blocks.collect::<Result<_>>()?;
        let norm = weights.norm("norm", width, epsilon)?;
        let labels = config.vocab.len();
        let head = weights.dense("head", width, labels * config.labels_per_frame)?;
        Ok(Self { stem, blocks, norm, head, labels })
    }

    /// Computes label log-probabilities (natural logarithm), one row per label frame, from rows of
    /// features.
    pub(super) fn forward(&self, features: Vec<f32>) -> Result<Vec<f32>> {
        let mut x = features;
        for (i, layer) in self.stem.iter().enumerate() {
            if i > 0 {
                relu(&mut x);
            }
            x = layer.forward(&x)?;
        }
        for block in &self.blocks {
            let mut y = block.convolution.forward(&block.norm.forward(&x))?;
            relu(&mut y);
            for (x, y) in x.iter_mut().zip(block.projection.forward(y)?) {
                *x += y;
            }
        }
        let mut logits = self.head.forward(self.norm.forward(&x))?;
        logits.chunks_exact_mut(self.labels).for_each(log_softmax);
        Ok(logits)
    }
}

impl Dense {
    fn forward(&self, rows: Vec<f32>) -> Result<Vec<f32>> {
        let count = rows.len() / self.inputs;
        let product =
            Tensor::from_vec(rows, (count, self.inputs), &Device::Cpu)?.matmul(&self.weight)?;
        let mut output: Vec<f32> = product.flatten_all()?.to_vec1()?;
        for row in output.chunks_exact_mut(self.bias.len()) {
            for (value, bias) in row.iter_mut().zip(&self.bias) {
                *value += bias;
            }
        }
        Ok(output)
    }
}

impl Convolution {
    fn forward(&self, x: &[f32]) -> Result<Vec<f32>> {
        let margin = self.taps / 2 * self.channels;
        let mut padded = Vec::with_capacity(x.len() + 2 * margin);
        padded.resize(margin, 0.0);
        padded.extend_from_slice(x);
        padded.resize(x.len() + 2 * margin, 0.0);
        // The taps of one output row are already adjacent.
        let window = self.taps * self.channels;
        let row_stride = self.stride * self.channels;
        let count = padded.len().saturating_sub(window) / row_stride + 1;
        let mut rows = Vec::with_capacity(count * window);
        for row in padded.windows(window).step_by(row_stride) {
            rows.extend_from_slice(row);
        }
        self.dense.forward(rows)
    }
}

impl Norm {
    fn forward(&self, x: &[f32]) -> Vec<f32> {
        let width = self.weight.len();
        let mut output = Vec::with_capacity(x.len());
        for row in x.chunks_exact(width) {
            let mean = row.iter().sum::<f32>() / width as f32;
            let variance =
                row.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>() / width as f32;
            let scale = 1.0 / (variance + self.epsilon).sqrt();
            let scaled = row.iter().zip(&self.weight).zip(&self.bias);
            output.extend(
                scaled.map(|((value, weight), bias)| (value - mean) * scale * weight + bias),
            );
        }
        output
    }
}

fn relu(values: &mut [f32]) {
    for value in values {
        *value = value.max(0.0);
    }
}

fn log_softmax(row: &mut [f32]) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = row.iter().map(|value| (value - max).exp()).sum();
    let log_sum_exp = max + sum.ln();
    for value in row {
        *value -= log_sum_exp;
    }
}
