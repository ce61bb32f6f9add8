//! The decoder, batched over windows: each row is one token at one position.
//!
//! A row attends to earlier tokens through a list of cache slots, and to its window through
//! [`EncoderMemory`]. Beams with a common prefix share slots, so beam search never copies keys or
//! values.
#![allow(clippy::indexing_slicing)] // Numeric loops over rows and columns whose bounds are set at load.

use crate::encoder::{Buffers, FeedForward, Norm};
use crate::kernel::{Epilogue, Gemm, Linear, PANEL, Panels, panel_product, softmax};
use crate::load::Loader;
use crate::mel::WINDOW_FRAMES;
use crate::memory::Dimensions;
use crate::{ModelError, TranscribeError};

mod cache;

pub(crate) use cache::{Cache, Slot, slot_bytes};

/// Number of encoder positions of a window of 30 s, to which cross-attention attends.
const POSITIONS: usize = WINDOW_FRAMES / 2;

struct Layer {
    self_norm: Norm,
    self_qkv: Linear,
    self_out: Linear,
    cross_norm: Norm,
    cross_query: Linear,
    cross_memory: Linear,
    cross_out: Linear,
    feed_forward: FeedForward,
}

/// The decoder: embeddings, layers and output projection.
pub(crate) struct Decoder {
    width: usize,
    heads: usize,
    /// Quantised embeddings, `[token][width]`, and the quantisation step of each row.
    embeddings: (Vec<i8>, Vec<f32>),
    position_embeddings: Vec<f32>,
    layers: Vec<Layer>,
    norm: Norm,
    projection: Linear,
}

/// Cross-attention keys and values of one window, for all layers and heads, as f16.
#[derive(Default)]
pub(crate) struct EncoderMemory {
    /// Number of encoder positions.
    positions: usize,
    layers: Vec<Vec<(Panels, Panels)>>,
}

/// A token to decode, with its position and cache slots.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) token: u32,
    pub(crate) position: usize,
    /// Index of the window's memory in the batch.
    pub(crate) memory: usize,
    /// Cache slots of all visible tokens; the row's own slot is last.
    pub(crate) slots: Vec<Slot>,
}

impl EncoderMemory {
    /// Returns the number of encoder positions.
    pub(crate) fn positions(&self) -> usize {
        self.positions
    }
}

/// Captured cross-attention scores of selected heads, before softmax: `[head][row][position]`.
pub(crate) struct AttentionCapture<'a> {
    pub(crate) heads: &'a [(usize, usize)],
    pub(crate) scores: Vec<Vec<f32>>,
}

/// Returns the size of a window's [`EncoderMemory`] in bytes, for a decoder of this many layers and
/// this width.
pub(crate) fn cross_attention_bytes(layers: usize, width: usize) -> usize {
    layers * width * (POSITIONS.next_multiple_of(PANEL) + POSITIONS) * size_of::<u16>()
}

impl Decoder {
    /// Loads and quantises the decoder.
    pub(crate) fn load(
        loader: &mut Loader,
        gemm: &Gemm,
        heads: Option<usize>,
        width: usize,
    ) -> Result<Self, ModelError> {
        let heads = loader.heads("decoder", heads, width)?;
        let tokens = loader.shape("decoder/embeddings/weight")?.first().copied().unwrap_or(0);
        let embeddings = loader.quantized("decoder/embeddings/weight", width, tokens)?;
        let context =
            loader.shape("decoder/position_encodings/encodings")?.first().copied().unwrap_or(0);
        let position_embeddings =
            loader.matrix("decoder/position_encodings/encodings", &[context, width])?;
        let mut layers = Vec::new();
        while loader.has(&format!("decoder/layer_{}/self_attention/linear_0/weight", layers.len()))
        {
            let scope = format!("decoder/layer_{}", layers.len());
            layers.push(Layer {
                self_norm: loader.norm(&format!("{scope}/self_attention/layer_norm"), width)?,
                self_qkv: loader.linear(
                    gemm,
                    &format!("{scope}/self_attention/linear_0"),
                    width,
                    3 * width,
                )?,
                self_out: loader.linear(
                    gemm,
                    &format!("{scope}/self_attention/linear_1"),
                    width,
                    width,
                )?,
                cross_norm: loader.norm(&format!("{scope}/attention/layer_norm"), width)?,
                cross_query: loader.linear(
                    gemm,
                    &format!("{scope}/attention/linear_0"),
                    width,
                    width,
                )?,
                cross_memory: loader.linear(
                    gemm,
                    &format!("{scope}/attention/linear_1"),
                    width,
                    2 * width,
                )?,
                cross_out: loader.linear(
                    gemm,
                    &format!("{scope}/attention/linear_2"),
                    width,
                    width,
                )?,
                feed_forward: loader.feed_forward(gemm, &scope, width)?,
            });
        }
        if layers.is_empty() {
            return Err(ModelError::MissingTensor(
                "decoder/layer_0/self_attention/linear_0/weight".to_owned(),
            ));
        }
        let norm = loader.norm("decoder/layer_norm", width)?;
        let (values, steps) = &embeddings;
        // Whisper ties the output projection to the embeddings.
        let projection = Linear::new(gemm, values, width, steps.clone(), Vec::new());
        Ok(Self { width, heads, embeddings, position_embeddings, layers, norm, projection })
    }

    /// Returns the vocabulary size.
    pub(crate) fn tokens(&self) -> usize {
        self.projection.outputs()
    }

    /// Returns the maximum sequence length in tokens.
    pub(crate) fn context(&self) -> usize {
        self.position_embeddings.len() / self.width
    }

    /// Returns the number of layers.
    pub(crate) fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Returns the number of attention heads per layer.
    pub(crate) fn heads(&self) -> usize {
        self.heads
    }

    /// Creates an empty key-value cache for this decoder.
    pub(crate) fn cache(&self) -> Cache {
        Cache::new(self.layers.len(), self.width)
    }

    /// Returns the dimensions that determine the memory of an engine.
    pub(crate) fn dimensions(&self) -> Dimensions {
        Dimensions { layers: self.layers.len(), width: self.width, tokens: self.tokens() }
    }

    /// Computes a window's cross-attention keys and values from [`Buffers::encoded`], in the memory
    /// of an earlier window if there is one.
    pub(crate) fn memory(
        &self,
        gemm: &Gemm,
        buffers: &mut Buffers,
    ) -> Result<EncoderMemory, TranscribeError> {
        let (width, head_width) = (self.width, self.width / self.heads);
        let Buffers { scratch, quantized, qkv, encoded, memories, .. } = buffers;
        let mut memory = memories.pop().unwrap_or_default();
        let positions = encoded.len() / width;
        memory.positions = positions;
        memory.layers.resize_with(self.layers.len(), Vec::new);
        quantized.quantize(encoded, width);
        qkv.resize(2 * encoded.len(), 0.0);
        for (layer, panels) in self.layers.iter().zip(&mut memory.layers) {
            layer.cross_memory.forward(gemm, scratch, quantized, qkv, Epilogue::Store)?;
            let head_slice = |position: usize, column: usize| {
                &qkv[position * 2 * width + column..][..head_width]
            };
            panels.resize_with(self.heads, Default::default);
            for (h, (keys, values)) in panels.iter_mut().enumerate() {
                keys.pack_columns(head_width, positions, |position| {
                    head_slice(position, h * head_width)
                });
                values.pack_rows(positions, head_width, |position| {
                    head_slice(position, width + h * head_width)
                });
            }
        }
        Ok(memory)
    }

    /// Runs rows through the layers and returns their normalised states, `[row][width]`. Rows of
    /// the same window must be adjacent. With `capture`, records the cross-attention scores of its
    /// heads.
    pub(crate) fn forward(
        &self,
        gemm: &Gemm,
        buffers: &mut Buffers,
        cache: &mut Cache,
        memories: &[&EncoderMemory],
        rows: &[Row],
        mut capture: Option<&mut AttentionCapture>,
    ) -> Result<Vec<f32>, TranscribeError> {
        let width = self.width;
        let mut x = vec![0.0; rows.len() * width];
        for (row, x) in rows.iter().zip(x.chunks_exact_mut(width)) {
            self.embed(row, x);
        }
        for (index, layer) in self.layers.iter().enumerate() {
            self.self_attention(index, layer, gemm, buffers, cache, rows, &mut x)?;
            let Buffers { scratch, quantized, normed, qkv, context, .. } = &mut *buffers;
            layer.cross_norm.apply(&x, normed);
            quantized.quantize(normed, width);
            qkv.resize(x.len(), 0.0);
            layer.cross_query.forward(gemm, scratch, quantized, qkv, Epilogue::Store)?;
            context.resize(x.len(), 0.0);
            self.cross_attention(index, memories, rows, qkv, context, capture.as_deref_mut());
            quantized.quantize(context, width);
            layer.cross_out.forward(gemm, scratch, quantized, &mut x, Epilogue::Add)?;
            layer.feed_forward.forward(gemm, buffers, &mut x)?;
        }
        let mut states = Vec::new();
        self.norm.apply(&x, &mut states);
        Ok(states)
    }

    /// Computes the logits of decoder states into [`Buffers::logits`].
    pub(crate) fn logits(
        &self,
        gemm: &Gemm,
        buffers: &mut Buffers,
        states: &[f32],
    ) -> Result<(), TranscribeError> {
        let Buffers { scratch, quantized, logits, .. } = buffers;
        quantized.quantize(states, self.width);
        logits.resize(quantized.rows() * self.tokens(), 0.0);
        self.projection.forward(gemm, scratch, quantized, logits, Epilogue::Store)
    }

    /// Returns the width of the hidden states.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    fn embed(&self, row: &Row, x: &mut [f32]) {
        let token = row.token as usize;
        let (values, steps) = &self.embeddings;
        let values = &values[token * self.width..][..self.width];
        let positions = &self.position_embeddings[row.position * self.width..][..self.width];
        for ((x, value), position) in x.iter_mut().zip(values).zip(positions) {
            *x = f32::from(*value) * steps[token] + position;
        }
    }

    #[allow(clippy::too_many_arguments)] // The arguments are the state of one layer's step.
    fn self_attention(
        &self,
        index: usize,
        layer: &Layer,
        gemm: &Gemm,
        buffers: &mut Buffers,
        cache: &mut Cache,
        rows: &[Row],
        x: &mut [f32],
    ) -> Result<(), TranscribeError> {
        let width = self.width;
        let Buffers { scratch, quantized, normed, qkv, context, hidden, .. } = buffers;
        layer.self_norm.apply(x, normed);
        quantized.quantize(normed, width);
        qkv.resize(3 * x.len(), 0.0);
        layer.self_qkv.forward(gemm, scratch, quantized, qkv, Epilogue::Store)?;
        for (row, qkv) in rows.iter().zip(qkv.chunks_exact(3 * width)) {
            if let Some(slot) = row.slots.last() {
                cache.store(index, *slot, &qkv[width..2 * width], &qkv[2 * width..]);
            }
        }
        context.resize(x.len(), 0.0);
        let rows =
            rows.iter().zip(qkv.chunks_exact(3 * width)).zip(context.chunks_exact_mut(width));
        for ((row, qkv), context) in rows {
            cache.attend(index, &row.slots, &qkv[..width], self.heads, hidden, context);
        }
        quantized.quantize(context, width);
        layer.self_out.forward(gemm, scratch, quantized, x, Epilogue::Add)
    }

    fn cross_attention(
        &self,
        index: usize,
        memories: &[&EncoderMemory],
        rows: &[Row],
        queries: &mut [f32],
        context: &mut [f32],
        mut capture: Option<&mut AttentionCapture>,
    ) {
        let (width, head_width) = (self.width, self.width / self.heads);
        let scale = 1.0 / (head_width as f32).sqrt();
        for query in queries.iter_mut() {
            *query *= scale;
        }
        let mut scores = Vec::new();
        let mut first = 0;
        for group in rows.chunk_by(|a, b| a.memory == b.memory) {
            let count = group.len();
            let last = (first + count - 1) * width;
            let memory = memories[group[0].memory];
            let stride = memory.positions.next_multiple_of(PANEL);
            scores.resize(count * stride, 0.0);
            for (h, (keys, values)) in memory.layers[index].iter().enumerate() {
                let column = h * head_width;
                let queries = &queries[first * width + column..last + column + head_width];
                panel_product(queries, width, keys, &mut scores, stride);
                if let Some(capture) = capture.as_deref_mut()
                    && let Some(index_in_capture) =
                        capture.heads.iter().position(|&(l, head)| (l, head) == (index, h))
                {
                    capture.scores[index_in_capture].extend(
                        scores.chunks_exact(stride).flat_map(|row| &row[..memory.positions]),
                    );
                }
                for row in scores.chunks_exact_mut(stride) {
                    softmax(&mut row[..memory.positions]);
                }
                let context = &mut context[first * width + column..last + column + head_width];
                panel_product(&scores, stride, values, context, width);
            }
            first += count;
        }
    }
}
