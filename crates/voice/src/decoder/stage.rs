//! A stage of a decoder: a transposed convolution, and the convolutions at its sample rate.
//!
//! A stage runs piece by piece, so that the signals of a piece stay in the cache, and pieces in
//! parallel. At its ends, a piece needs some samples of the signals of its neighbours, which it
//! computes again.

#![allow(
    clippy::indexing_slicing,
    reason = "`Builder` creates steps that read earlier signals only"
)]

use std::ops::Range;

use rayon::prelude::*;

use super::convolution::{Activation, Convolution, Scratch, Signal};

/// Number of values of a signal in a piece: 128 KiB, so that a few signals fit in an L2 cache.
const PIECE_VALUES: usize = 32_768;
/// Minimum number of samples of a piece: it computes up to about 100 more.
const MIN_PIECE_SAMPLES: usize = 256;

/// A convolution of a signal.
pub(super) struct Step {
    pub(super) convolution: Convolution,
    /// Index of the signal.
    pub(super) input: usize,
    pub(super) activation: Activation,
    /// Indices of the signals that are added to the output.
    pub(super) addends: Vec<usize>,
}

impl Step {
    /// Returns the indices of all signals that the step reads.
    fn reads(&self) -> impl Iterator<Item = &usize> {
        self.addends.iter().chain([&self.input])
    }
}

/// Successive steps. Signal 0 is the input of the stage; signal `i + 1` is the output of step `i`,
/// which reads signals up to `i`. The output of the last step is that of the stage.
pub(super) struct Stage {
    steps: Vec<Step>,
}

/// Returns whether a stage can begin at a step: at a transposed convolution, if neither it nor a
/// later step reads an earlier signal.
fn is_start(steps: &[Step], index: usize) -> bool {
    let (_, later_steps) = steps.split_at(index);
    later_steps.first().is_some_and(|step| step.convolution.is_transposed())
        && later_steps.iter().flat_map(Step::reads).all(|signal| *signal >= index)
}

/// Returns a signal: the input of the stage, or the output of the step before `index`.
fn signal_at<'a>(
    index: usize,
    input: &'a Signal,
    outputs: &'a [Option<Signal>],
) -> Option<&'a Signal> {
    match index.checked_sub(1) {
        None => Some(input),
        Some(step) => outputs.get(step)?.as_ref(),
    }
}

impl Stage {
    /// Splits steps before each transposed convolution, unless later steps read earlier signals.
    pub(super) fn split(mut steps: Vec<Step>) -> Vec<Self> {
        let mut stages = Vec::new();
        while let Some(index) = (1..steps.len()).rev().find(|index| is_start(&steps, *index)) {
            let mut later_steps = steps.split_off(index);
            for step in &mut later_steps {
                step.input -= index;
                step.addends.iter_mut().for_each(|signal| *signal -= index);
            }
            stages.push(Self { steps: later_steps });
        }
        stages.push(Self { steps });
        stages.reverse();
        stages
    }

    /// Returns the output for an input, or `None` if the input is too short, or the dimensions of
    /// added signals differ.
    pub(super) fn run(&self, input: &Signal) -> Option<Signal> {
        let mut widths = vec![input.width];
        for step in &self.steps {
            let width = step.convolution.width(*widths.get(step.input)?)?;
            if step.addends.iter().any(|addend| widths.get(*addend) != Some(&width)) {
                return None;
            }
            widths.push(width);
        }
        let width = *widths.last()?;
        let channels = self.steps.iter().map(|step| step.convolution.outputs()).max()?;
        let samples = (PIECE_VALUES / channels).max(MIN_PIECE_SAMPLES);
        let mut values = vec![0.0; self.steps.last()?.convolution.outputs().checked_mul(width)?];
        let mut pieces: Vec<Vec<&mut [f32]>> =
            (0..width.div_ceil(samples)).map(|_| Vec::new()).collect();
        for channel in values.chunks_exact_mut(width) {
            for (piece, samples) in pieces.iter_mut().zip(channel.chunks_mut(samples)) {
                piece.push(samples);
            }
        }
        pieces.into_par_iter().enumerate().try_for_each_init(
            Scratch::default,
            |scratch, (index, channels)| {
                let start = index * samples;
                let piece =
                    self.run_piece(input, &widths, start..(start + samples).min(width), scratch)?;
                for (to, from) in channels.into_iter().zip(piece.values.chunks_exact(piece.width)) {
                    to.copy_from_slice(from);
                }
                Some(())
            },
        )?;
        Some(Signal { values, width, start: 0 })
    }

    /// Returns a range of the output.
    fn run_piece(
        &self,
        input: &Signal,
        widths: &[usize],
        range: Range<usize>,
        scratch: &mut Scratch,
    ) -> Option<Signal> {
        let ranges = self.ranges(widths, range);
        let mut outputs: Vec<Option<Signal>> = Vec::new();
        for (index, (step, range)) in self.steps.iter().zip(ranges).enumerate() {
            let addends = step
                .addends
                .iter()
                .map(|index| signal_at(*index, input, &outputs))
                .collect::<Option<Vec<_>>>()?;
            let output = step.convolution.run(
                signal_at(step.input, input, &outputs)?,
                step.activation,
                &addends,
                range,
                scratch,
            );
            outputs.push(Some(output));
            let (_, later_steps) = self.steps.split_at(index + 1);
            let is_read_later = |signal: &usize| {
                later_steps.iter().flat_map(Step::reads).any(|read| read == signal)
            };
            for unused_signal in step.reads().filter(|signal| !is_read_later(signal)) {
                if let Some(step) = unused_signal.checked_sub(1) {
                    *outputs.get_mut(step)? = None;
                }
            }
        }
        outputs.pop()?
    }

    /// Returns the range of each step's output that a range of the stage's output depends on.
    fn ranges(&self, widths: &[usize], range: Range<usize>) -> Vec<Range<usize>> {
        let mut ranges = vec![0..0; self.steps.len()];
        if let Some(last) = ranges.last_mut() {
            *last = range;
        }
        for (index, step) in self.steps.iter().enumerate().rev() {
            let outputs = ranges[index].clone();
            if outputs.is_empty() {
                continue;
            }
            let inputs = step.convolution.needed_inputs(&outputs);
            let reads = step
                .addends
                .iter()
                .map(|addend| (addend, &outputs))
                .chain([(&step.input, &inputs)]);
            for (signal, needed) in reads {
                let Some(step) = signal.checked_sub(1) else { continue };
                let clipped = needed.start..needed.end.min(widths[*signal]);
                ranges[step] = union(&ranges[step], &clipped);
            }
        }
        ranges
    }
}

/// Returns the smallest range that contains two ranges.
fn union(one: &Range<usize>, other: &Range<usize>) -> Range<usize> {
    match (one.is_empty(), other.is_empty()) {
        (true, _) => other.clone(),
        (_, true) => one.clone(),
        _ => one.start.min(other.start)..one.end.max(other.end),
    }
}
