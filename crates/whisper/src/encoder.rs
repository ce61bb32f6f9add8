//! The encoder: two convolutions and a stack of self-attention layers over one window of 30 s.
#![allow(clippy::indexing_slicing)] // Numeric loops over rows and columns whose bounds are set at load.

use std::rc::Rc;

use rten_tensor::NdTensorView;

use crate::decoder::EncoderMemory;
use crate::kernel::{
    Attention, Epilogue, FloatLinear, Gemm, Linear, Quantized, Scratch, gelu, layer_norm,
};
use crate::load::Loader;
use crate::mel::WINDOW_FRAMES;
use crate::{ModelError, TranscribeError};

/// Rows per block of a convolution.
const BLOCK_ROWS: usize = 250;
const KERNEL_WIDTH: usize = 3;

/// Gain and offset of a layer normalisation.
pub(crate) struct Norm {
    pub(crate) gamma: Vec<f32>,
    pub(crate) beta: Vec<f32>,
}

impl Norm {
    /// Normalises rows into `to`, which is resized to their length.
    pub(crate) fn apply(&self, from: &[f32], to: &mut Vec<f32>) {
        to.resize(from.len(), 0.0);
        layer_norm(from, &self.gamma, &self.beta, to);
    }
}

/// The two layers of a feed-forward block.
pub(crate) struct FeedForward {
    pub(crate) norm: Norm,
    pub(crate) expand: Linear,
    pub(crate) contract: Linear,
}

impl FeedForward {
    /// Applies the block with its residual: `x += contract(gelu(expand(norm(x))))`.
    pub(crate) fn forward(
        &self,
        gemm: &Gemm,
        buffers: &mut Buffers,
        x: &mut [f32],
    ) -> Result<(), TranscribeError> {
        let width = self.norm.gamma.len();
        let Buffers { scratch, quantized, normed, hidden, .. } = buffers;
        // In blocks of rows, so that the wide hidden layer stays in cache.
        for x in x.chunks_mut(FEED_FORWARD_BLOCK_ROWS * width) {
            self.norm.apply(x, normed);
            quantized.quantize(normed, width);
            hidden.resize(quantized.rows() * self.expand.outputs(), 0.0);
            self.expand.forward(gemm, scratch, quantized, hidden, Epilogue::Gelu)?;
            quantized.quantize(hidden, self.expand.outputs());
            self.contract.forward(gemm, scratch, quantized, x, Epilogue::Add)?;
        }
        Ok(())
    }
}

const FEED_FORWARD_BLOCK_ROWS: usize = 96;

struct Convolution {
    product: FloatLinear,
    /// Distance between the starts of adjacent rows, in values.
    row_stride: usize,
}

impl Convolution {
    /// Loads a convolution with `width` outputs.
    fn load(
        loader: &mut Loader,
        gemm: &Gemm,
        name: &str,
        [width, inputs]: [usize; 2],
        stride: usize,
    ) -> Result<Self, ModelError> {
        let weight =
            loader.matrix(&format!("encoder/{name}/weight"), &[width, inputs, KERNEL_WIDTH])?;
        // From channel-major to tap-major: a row of the product is then a plain slice of the
        // frames.
        let weight = NdTensorView::from_data([width, inputs, KERNEL_WIDTH], weight.as_slice());
        let weight: Vec<f32> = weight.permuted([0, 2, 1]).iter().copied().collect();
        let bias = loader.vector(&format!("encoder/{name}/bias"), width)?;
        let product = FloatLinear::new(gemm, &weight, KERNEL_WIDTH * inputs, bias);
        Ok(Self { product, row_stride: stride * inputs })
    }
}

struct Layer {
    norm: Norm,
    qkv: Linear,
    out: Linear,
    feed_forward: FeedForward,
}

/// The encoder: convolutions, position embeddings and layers.
pub(crate) struct Encoder {
    mels: usize,
    width: usize,
    heads: usize,
    convolutions: [Convolution; 2],
    position_embeddings: Vec<f32>,
    layers: Vec<Layer>,
    norm: Norm,
}

/// Per-thread kernels and scratch buffers of encoder and decoder, reused across calls.
#[derive(Default)]
pub(crate) struct Buffers {
    pub(crate) gemm: Rc<Gemm>,
    pub(crate) scratch: Scratch,
    pub(crate) quantized: Quantized,
    pub(crate) normed: Vec<f32>,
    pub(crate) hidden: Vec<f32>,
    pub(crate) qkv: Vec<f32>,
    pub(crate) context: Vec<f32>,
    /// The result of [`Encoder::forward`]: rows of hidden states, one for two frames.
    pub(crate) encoded: Vec<f32>,
    /// The result of [`Decoder::logits`](crate::decoder::Decoder::logits), `[state][token]`.
    pub(crate) logits: Vec<f32>,
    /// Memory of decoded windows, for the next ones.
    pub(crate) memories: Vec<EncoderMemory>,
    attention: Attention,
}

impl Buffers {
    /// Creates empty buffers with these kernels.
    pub(crate) fn new(gemm: Gemm) -> Self {
        Self { gemm: Rc::new(gemm), ..Self::default() }
    }
}

impl Encoder {
    /// Loads and quantises the encoder.
    pub(crate) fn load(
        loader: &mut Loader,
        gemm: &Gemm,
        heads: Option<usize>,
    ) -> Result<Self, ModelError> {
        let shape = loader.shape("encoder/conv1/weight")?;
        let &[width, mels @ 1..=usize::MAX, KERNEL_WIDTH] = shape.as_slice() else {
            return Err(ModelError::Shape {
                name: "encoder/conv1/weight".into(),
                actual: shape,
                expected: vec![0, 80, 3],
            });
        };
        let heads = loader.heads("encoder", heads, width)?;
        let convolutions = [
            Convolution::load(loader, gemm, "conv1", [width, mels], 1)?,
            Convolution::load(loader, gemm, "conv2", [width, width], 2)?,
        ];
        let position_embeddings =
            loader.matrix("encoder/position_encodings/encodings", &[WINDOW_FRAMES / 2, width])?;
        let mut layers = Vec::new();
        while loader.has(&format!("encoder/layer_{}/self_attention/linear_0/weight", layers.len()))
        {
            let scope = format!("encoder/layer_{}", layers.len());
            layers.push(Layer {
                norm: loader.norm(&format!("{scope}/self_attention/layer_norm"), width)?,
                qkv: loader.linear(
                    gemm,
                    &format!("{scope}/self_attention/linear_0"),
                    width,
                    3 * width,
                )?,
                out: loader.linear(
                    gemm,
                    &format!("{scope}/self_attention/linear_1"),
                    width,
                    width,
                )?,
                feed_forward: loader.feed_forward(gemm, &scope, width)?,
            });
        }
        if layers.is_empty() {
            return Err(ModelError::MissingTensor(
                "encoder/layer_0/self_attention/linear_0/weight".to_owned(),
            ));
        }
        let norm = loader.norm("encoder/layer_norm", width)?;
        Ok(Self { mels, width, heads, convolutions, position_embeddings, layers, norm })
    }

    /// Returns the number of mel bands of the input.
    pub(crate) fn mels(&self) -> usize {
        self.mels
    }

    /// Returns the width of the hidden states.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Encodes one window of features, `[mel][frame]` with an even number of at most 3 000 frames,
    /// into [`Buffers::encoded`].
    pub(crate) fn forward(
        &self,
        gemm: &Gemm,
        buffers: &mut Buffers,
        features: &[f32],
    ) -> Result<(), TranscribeError> {
        let [first_convolution, second_convolution] = &self.convolutions;
        let count = features.len() / self.mels;
        let mut x = std::mem::take(&mut buffers.encoded);
        // The layers, which come later, use these buffers for other values.
        let Buffers { qkv: frames, hidden, .. } = buffers;
        // Rows of frames, with a row of zeros before and after: the convolutions' padding.
        frames.clear();
        frames.resize((count + 2) * self.mels, 0.0);
        for (band, features) in features.chunks_exact(count).enumerate() {
            for (frame, value) in features.iter().enumerate() {
                frames[(frame + 1) * self.mels + band] = *value;
            }
        }
        hidden.clear();
        hidden.resize((count + 2) * self.width, 0.0);
        let unpadded_rows = self.width..(count + 1) * self.width;
        first_convolution.forward(gemm, frames, &mut hidden[unpadded_rows])?;
        x.resize(count / 2 * self.width, 0.0);
        second_convolution.forward(gemm, hidden, &mut x)?;
        crate::kernel::add(&mut x, &self.position_embeddings[..count / 2 * self.width]);
        for layer in &self.layers {
            self.apply_layer(layer, gemm, buffers, &mut x)?;
        }
        self.norm.apply(&x, &mut buffers.normed);
        std::mem::swap(&mut x, &mut buffers.normed);
        buffers.encoded = x;
        Ok(())
    }

    fn apply_layer(
        &self,
        layer: &Layer,
        gemm: &Gemm,
        buffers: &mut Buffers,
        x: &mut [f32],
    ) -> Result<(), TranscribeError> {
        let Buffers { scratch, quantized, normed, qkv, context, attention, .. } = buffers;
        layer.norm.apply(x, normed);
        quantized.quantize(normed, self.width);
        qkv.resize(3 * x.len(), 0.0);
        layer.qkv.forward(gemm, scratch, quantized, qkv, Epilogue::Store)?;
        context.resize(x.len(), 0.0);
        attention.forward(gemm, qkv, self.width, self.heads, context)?;
        quantized.quantize(context, self.width);
        layer.out.forward(gemm, scratch, quantized, x, Epilogue::Add)?;
        layer.feed_forward.forward(gemm, buffers, x)
    }
}

impl Convolution {
    /// Convolves padded rows `[frame][channel]` and applies GELU.
    fn forward(&self, gemm: &Gemm, frames: &[f32], out: &mut [f32]) -> Result<(), TranscribeError> {
        let width = self.product.outputs();
        for (block, out) in out.chunks_mut(BLOCK_ROWS * width).enumerate() {
            let rows = out.len() / width;
            // Rows overlap: each contains its own frame and the two adjacent ones.
            let frames = &frames[block * BLOCK_ROWS * self.row_stride..]
                [..(rows - 1) * self.row_stride + self.product.inputs()];
            self.product.forward(gemm, frames, self.row_stride, out)?;
            gelu(out);
        }
        Ok(())
    }
}
