//! Convolutions over time, and transposed ones.
//!
//! rten gathers the inputs of each output in a matrix and multiplies. With the 32 to 128 channels
//! of a decoder, gathering takes longer than multiplying. Here each weight multiplies vectors of
//! successive samples, which are adjacent in memory. A transposed convolution with a stride of n is
//! a convolution to n times as many channels, whose samples are interleaved.

#![allow(
    clippy::indexing_slicing,
    reason = "the lengths are checked by `new`, and documented for `run`"
)]
#![allow(
    clippy::inline_always,
    reason = "`SimdOp` compiles for an instruction set only what is inlined into `eval`"
)]

#[cfg(test)]
mod tests;

use std::ops::Range;

use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdOp};

/// Rows (outputs of the convolution before interleaving) whose sums a tile keeps in registers.
const TILE_ROWS: usize = 8;
/// Vectors per row of a tile, with 32 vector registers. 24 hold sums.
const TILE_VECTORS: usize = 3;
/// Minimum lanes of the vectors of instruction sets with 32 registers. Others keep one vector per
/// row.
const MIN_WIDE_LANES: usize = 16;
/// Maximum number of samples of padding on a side, and between the first and the last weight.
/// Published voices have at most 60.
const MAX_SPAN: usize = 4_096;

/// Samples over time in several channels, or a range of such a signal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Signal {
    /// `[channel][time]`.
    pub(crate) values: Vec<f32>,
    /// Samples per channel.
    pub(crate) width: usize,
    /// Position of the first sample.
    pub(crate) start: usize,
}

impl Signal {
    /// Returns the samples of a channel, or none if the signal has fewer channels.
    fn channel(&self, channel: usize) -> &[f32] {
        self.values.get(channel * self.width..(channel + 1) * self.width).unwrap_or_default()
    }
}

/// Scales a value and then applies a leaky ReLU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Activation {
    pub(crate) factor: f32,
    /// Factor of negative values.
    pub(crate) slope: f32,
}

impl Activation {
    pub(crate) const NONE: Self = Self { factor: 1.0, slope: 1.0 };
}

/// Dimensions of a convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Weights per input and output.
    pub(crate) kernel: usize,
    /// Samples between two weights. 1 if transposed.
    pub(crate) dilation: usize,
    /// Outputs per input. 1 unless transposed.
    pub(crate) stride: usize,
    /// Samples added before and after the input; if transposed, removed from the output.
    pub(crate) padding: [usize; 2],
    pub(crate) transposed: bool,
}

/// A convolution, or a transposed one.
pub(crate) struct Convolution {
    shape: Shape,
    /// Weights per input and row.
    taps: usize,
    /// `[group][input][tap][row of the group]`. Row `output * stride + phase` has an output's
    /// samples at positions that are `phase` modulo the stride. The padding of the last group is
    /// zero.
    weights: Vec<[f32; TILE_ROWS]>,
    /// `[group][row of the group]`.
    bias: Vec<[f32; TILE_ROWS]>,
}

impl Convolution {
    /// Creates a convolution from its weights, `[output][input][kernel]`, or
    /// `[input][output][kernel]` if transposed, and from a bias per output.
    ///
    /// Returns `None` if a dimension is 0 or unsupported, or the number of weights or biases does
    /// not match the shape.
    pub(crate) fn new(shape: Shape, weights: &[f32], bias: &[f32]) -> Option<Self> {
        let Shape { inputs, outputs, kernel, stride, transposed, .. } = shape;
        // With a larger stride, a few weights would need any amount of memory.
        let is_supported =
            if transposed { shape.dilation == 1 && stride <= kernel } else { stride == 1 };
        let count = inputs.checked_mul(outputs)?.checked_mul(kernel)?;
        let span = (kernel - kernel.min(1)).checked_mul(shape.dilation)?;
        let is_supported =
            is_supported && shape.padding.into_iter().chain([span]).all(|span| span <= MAX_SPAN);
        if count == 0
            || stride == 0
            || !is_supported
            || weights.len() != count
            || bias.len() != outputs
        {
            return None;
        }
        let taps = kernel.div_ceil(stride);
        let rows = outputs.checked_mul(stride)?;
        let groups = rows.div_ceil(TILE_ROWS);
        let mut packed = vec![[0.0; TILE_ROWS]; groups.checked_mul(inputs)?.checked_mul(taps)?];
        let mut packed_bias = vec![[0.0; TILE_ROWS]; groups];
        for row in 0..rows {
            let (output, phase, group) = (row / stride, row % stride, row / TILE_ROWS);
            packed_bias[group][row % TILE_ROWS] = bias[output];
            for input in 0..inputs {
                for tap in 0..taps {
                    // A transposed convolution reads its inputs backwards.
                    let index = if transposed { phase + (taps - 1 - tap) * stride } else { tap };
                    let first =
                        if transposed { input * outputs + output } else { output * inputs + input }
                            * kernel;
                    if index < kernel {
                        packed[(group * inputs + input) * taps + tap][row % TILE_ROWS] =
                            weights[first + index];
                    }
                }
            }
        }
        Some(Self { shape, taps, weights: packed, bias: packed_bias })
    }

    /// Returns the number of output channels.
    pub(crate) fn outputs(&self) -> usize {
        self.shape.outputs
    }

    /// Returns whether this is a transposed convolution.
    pub(crate) fn is_transposed(&self) -> bool {
        self.shape.transposed
    }

    /// Returns the number of outputs per channel, or `None` if the input is too short.
    pub(crate) fn width(&self, inputs: usize) -> Option<usize> {
        let Shape { kernel, dilation, stride, padding: [before, after], transposed, .. } =
            self.shape;
        let span = (kernel - 1).checked_mul(dilation)?;
        let width = if transposed {
            inputs
                .checked_sub(1)?
                .checked_mul(stride)?
                .checked_add(kernel)?
                .checked_sub(before.checked_add(after)?)?
        } else {
            inputs.checked_add(before)?.checked_add(after)?.checked_sub(span)?
        };
        (width > 0).then_some(width)
    }

    /// Returns the range of the inputs that a range of the outputs depends on, before the clipping
    /// to the signal.
    pub(crate) fn needed_inputs(&self, outputs: &Range<usize>) -> Range<usize> {
        let InputPositions { first, count, before, .. } = self.positions(outputs);
        let span = (self.taps - 1) * self.shape.dilation;
        first.saturating_sub(before)..(first + count + span).saturating_sub(before)
    }

    fn positions(&self, outputs: &Range<usize>) -> InputPositions {
        let Shape { stride, padding: [padding, _], transposed, .. } = self.shape;
        let (removed_padding, before) =
            if transposed { (padding, self.taps - 1) } else { (0, padding) };
        let start = outputs.start + removed_padding;
        let (first, end) = (start / stride, (outputs.end + removed_padding).div_ceil(stride));
        InputPositions { first, count: end - first, skipped: start % stride, before }
    }

    /// Returns a range of the outputs: of the convolution of the input after its activation, plus
    /// `addends`, of which each contains the range. The input contains all samples of its signal
    /// that are [needed](Self::needed_inputs).
    pub(crate) fn run(
        &self,
        input: &Signal,
        activation: Activation,
        addends: &[&Signal],
        range: Range<usize>,
        scratch: &mut Scratch,
    ) -> Signal {
        let mut values = vec![0.0; self.shape.outputs * range.len()];
        if !range.is_empty() {
            let out = &mut *values;
            ConvolutionRun {
                convolution: self,
                input,
                activation,
                addends,
                range: range.clone(),
                out,
                scratch,
            }
            .dispatch();
        }
        Signal { values, width: range.len(), start: range.start }
    }
}

/// The positions of the inputs of a range of outputs.
struct InputPositions {
    /// Position of the first output before interleaving.
    first: usize,
    /// Positions before interleaving, of which each has `stride` outputs.
    count: usize,
    /// Outputs of the first position that are before the range.
    skipped: usize,
    /// Inputs before the position of an output that the output depends on.
    before: usize,
}

/// Memory that is reused for all convolutions of a thread.
#[derive(Default)]
pub(crate) struct Scratch {
    /// Activated inputs, between zeros.
    inputs: Vec<f32>,
    /// Sums of a group of rows.
    sums: Vec<f32>,
}

/// The operands of [`Convolution::run`].
struct ConvolutionRun<'a> {
    convolution: &'a Convolution,
    input: &'a Signal,
    activation: Activation,
    addends: &'a [&'a Signal],
    range: Range<usize>,
    /// `[channel][time]`.
    out: &'a mut [f32],
    scratch: &'a mut Scratch,
}

impl SimdOp for ConvolutionRun<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let Self { convolution, input, activation, addends, range, out, scratch } = self;
        let Shape { inputs, dilation, stride, .. } = convolution.shape;
        let taps = convolution.taps;
        let InputPositions { first, count, skipped, before } = convolution.positions(&range);
        let width = count.next_multiple_of(isa.f32().len());
        let pitch = pitch(width + (taps - 1) * dilation);
        scratch.inputs.resize(inputs * pitch, 0.0);
        for (channel, row) in scratch.inputs.chunks_exact_mut(pitch).enumerate() {
            let leading_zeros = (input.start + before).saturating_sub(first);
            let skipped = first.saturating_sub(input.start + before);
            activate(
                row,
                input.channel(channel).get(skipped..).unwrap_or_default(),
                leading_zeros,
                activation,
            );
        }
        scratch.sums.resize(TILE_ROWS * width, 0.0);
        let groups = convolution.weights.chunks_exact(inputs * taps).zip(&convolution.bias);
        for (group, (weights, bias)) in groups.enumerate() {
            let row_group =
                RowGroup { weights, bias, taps, dilation, inputs: &scratch.inputs, pitch };
            row_group.compute_sums(isa, &mut scratch.sums, width);
            for (row, sums) in scratch.sums.chunks_exact(width).enumerate() {
                let row = group * TILE_ROWS + row;
                let Some(out) = out.chunks_exact_mut(range.len()).nth(row / stride) else { break };
                interleave(out, &sums[..count], skipped, row % stride, stride);
            }
        }
        for addend in addends {
            for (channel, out) in out.chunks_exact_mut(range.len()).enumerate() {
                for (out, addend) in
                    out.iter_mut().zip(&addend.channel(channel)[range.start - addend.start..])
                {
                    *out += addend;
                }
            }
        }
    }
}

/// Returns the distance of rows with at least `width` values: not a multiple of a large power of
/// two, because such rows would share few sets of a cache.
fn pitch(width: usize) -> usize {
    width.div_ceil(MIN_WIDE_LANES).next_multiple_of(2) * MIN_WIDE_LANES + MIN_WIDE_LANES
}

/// Fills a row with zeros, the activated inputs, and zeros.
#[inline(always)]
fn activate(
    row: &mut [f32],
    inputs: &[f32],
    leading_zeros: usize,
    Activation { factor, slope }: Activation,
) {
    let (start, row) = row.split_at_mut(leading_zeros.min(row.len()));
    let (row, end) = row.split_at_mut(inputs.len().min(row.len()));
    start.fill(0.0);
    end.fill(0.0);
    for (to, input) in row.iter_mut().zip(inputs) {
        let value = input * factor;
        *to = if value < 0.0 { value * slope } else { value };
    }
}

/// Writes the sums of a phase to every `stride`-th output. Output 0 has the phase `skipped` of the
/// first sum.
#[inline(always)]
fn interleave(outputs: &mut [f32], sums: &[f32], skipped: usize, phase: usize, stride: usize) {
    if stride == 1 {
        outputs.copy_from_slice(sums);
        return;
    }
    let (first, sums) = match phase.checked_sub(skipped) {
        Some(first) => (first, sums),
        None => (phase + stride - skipped, &sums[1..]),
    };
    for (output, sum) in outputs.iter_mut().skip(first).step_by(stride).zip(sums) {
        *output = *sum;
    }
}

/// The operands of a group of rows.
#[derive(Clone, Copy)]
struct RowGroup<'a> {
    /// `[input][tap][row]`.
    weights: &'a [[f32; TILE_ROWS]],
    bias: &'a [f32; TILE_ROWS],
    taps: usize,
    dilation: usize,
    /// `[input][position]`, in rows of `pitch` values.
    inputs: &'a [f32],
    pitch: usize,
}

impl RowGroup<'_> {
    /// Computes `width` sums per row, a multiple of the number of lanes.
    #[inline(always)]
    fn compute_sums<I: Isa>(self, isa: I, sums: &mut [f32], width: usize) {
        let lanes = isa.f32().len();
        let mut position = 0;
        if lanes >= MIN_WIDE_LANES {
            while position + TILE_VECTORS * lanes <= width {
                self.compute_tile::<I, TILE_VECTORS>(isa, sums, width, position);
                position += TILE_VECTORS * lanes;
            }
        }
        while position < width {
            self.compute_tile::<I, 1>(isa, sums, width, position);
            position += lanes;
        }
    }

    /// Computes the sums of `N` vectors per row.
    #[allow(
        clippy::needless_range_loop,
        reason = "with iterators, LLVM writes all sums to the stack each time"
    )]
    #[inline(always)]
    fn compute_tile<I: Isa, const N: usize>(
        self,
        isa: I,
        sums: &mut [f32],
        width: usize,
        position: usize,
    ) {
        let ops = isa.f32();
        let mut rows = self.bias.map(|bias| [ops.splat(bias); N]);
        let inputs = self.inputs[position..].chunks(self.pitch);
        for (weights, inputs) in self.weights.chunks_exact(self.taps).zip(inputs) {
            for (tap, weights) in weights.iter().enumerate() {
                let inputs = ops.load_many::<N>(&inputs[tap * self.dilation..]);
                for row in 0..TILE_ROWS {
                    let weight = ops.splat(weights[row]);
                    for vector in 0..N {
                        rows[row][vector] = ops.mul_add(inputs[vector], weight, rows[row][vector]);
                    }
                }
            }
        }
        for (row, sums) in rows.iter().zip(sums.chunks_exact_mut(width)) {
            for (sum, out) in row.iter().zip(sums[position..].chunks_exact_mut(ops.len())) {
                ops.store(*sum, out);
            }
        }
    }
}
