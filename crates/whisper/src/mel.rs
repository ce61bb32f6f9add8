//! The log-mel spectrogram of faster-whisper's feature extractor.
#![allow(clippy::indexing_slicing)] // Numeric loops over frames and bands of fixed sizes.

use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};

/// Sample rate of all recordings, in Hz.
pub const SAMPLE_RATE: usize = 16_000;
/// Samples per Fourier transform: 25 ms.
const FFT_SIZE: usize = 400;
/// Samples between frames: 10 ms.
const HOP: usize = 160;
/// Frequency bins per transform.
const BINS: usize = FFT_SIZE / 2 + 1;
/// Frames per second.
pub(crate) const FRAMES_PER_SECOND: usize = SAMPLE_RATE / HOP;
/// Frames per window of 30 s.
pub(crate) const WINDOW_FRAMES: usize = 3_000;

/// Log-mel features of a recording, `[mel][frame]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Features {
    values: Vec<f32>,
    frames: usize,
}

impl Features {
    /// Returns the number of frames; the last frame is padding after the recording.
    pub(crate) fn frames(&self) -> usize {
        self.frames
    }

    /// Returns the features of all frames, `[mel][frame]`.
    #[cfg(test)]
    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// Returns at most `length` frames from `start` on, padded with zeros to 3 000 frames.
    pub(crate) fn window(&self, start: usize, length: usize) -> Vec<f32> {
        self.padded_window(start, length, WINDOW_FRAMES)
    }

    /// Returns at most `length` frames from `start` on, padded with zeros to `total_frames` frames.
    pub(crate) fn padded_window(
        &self,
        start: usize,
        length: usize,
        total_frames: usize,
    ) -> Vec<f32> {
        let length = length.min(total_frames).min(self.frames.saturating_sub(start));
        let bands = self.values.len() / self.frames.max(1);
        let mut window = vec![0.0; bands * total_frames];
        for (to, from) in
            window.chunks_exact_mut(total_frames).zip(self.values.chunks_exact(self.frames))
        {
            to[..length].copy_from_slice(&from[start..start + length]);
        }
        window
    }
}

/// Log-mel front end: Fourier transform and mel filters.
pub(crate) struct LogMel {
    /// Fourier transform in f64, as in numpy: f32 rounding errors would be visible in quiet bands.
    transform: Arc<dyn RealToComplex<f64>>,
    window: Vec<f32>,
    /// First bin of each band, and the weights from that bin on.
    bands: Vec<(usize, Vec<f32>)>,
}

impl LogMel {
    /// Creates the filters for 80 or 128 mel bands.
    pub(crate) fn new(bands: usize) -> Self {
        let hann = (0..FFT_SIZE).map(|i| {
            let angle = std::f64::consts::TAU * i as f64 / FFT_SIZE as f64;
            (0.5 - 0.5 * angle.cos()) as f32
        });
        Self {
            transform: RealFftPlanner::new().plan_fft_forward(FFT_SIZE),
            window: hann.collect(),
            bands: mel_filters(bands),
        }
    }

    /// Computes the features of samples at 16 kHz in [-1, 1]; NaN and infinite values count as 0.
    pub(crate) fn features(&self, samples: &[f32]) -> Features {
        // One hop of silence follows the recording; half a transform is mirrored at both ends.
        let length = samples.len() + HOP;
        let frames = length / HOP;
        let mut values = vec![0.0; self.bands.len() * frames];
        let mut input = self.transform.make_input_vec();
        let mut spectrum = self.transform.make_output_vec();
        let mut scratch = self.transform.make_scratch_vec();
        let mut powers = [0.0f32; BINS];
        for frame in 0..frames {
            for (i, (value, weight)) in input.iter_mut().zip(&self.window).enumerate() {
                let index = reflected_index(frame * HOP + i, length);
                let sample = samples.get(index).copied().unwrap_or(0.0);
                *value = if sample.is_finite() { f64::from(sample * weight) } else { 0.0 };
            }
            if self.transform.process_with_scratch(&mut input, &mut spectrum, &mut scratch).is_err()
            {
                continue; // Fails only for wrong buffer lengths.
            }
            for (power, bin) in powers.iter_mut().zip(&spectrum) {
                *power = (bin.re * bin.re + bin.im * bin.im).min(f64::from(f32::MAX)) as f32;
            }
            for (band, (first, weights)) in self.bands.iter().enumerate() {
                let power: f32 = weights
                    .iter()
                    .zip(&powers[*first..])
                    .map(|(weight, power)| weight * power)
                    .sum();
                values[band * frames + frame] = power.max(1e-10).log10();
            }
        }
        let floor = values.iter().copied().fold(f32::NEG_INFINITY, f32::max) - 8.0;
        for value in &mut values {
            *value = (value.max(floor) + 4.0) / 4.0;
        }
        Features { values, frames }
    }
}

/// Returns the index of the sample at a padded position, as in numpy's `reflect` mode, which does
/// not repeat the ends.
fn reflected_index(position: usize, length: usize) -> usize {
    let period = 2 * (length - 1);
    let index = (position + period * FFT_SIZE.div_ceil(period) - FFT_SIZE / 2) % period;
    index.min(period - index)
}

/// Converts a frequency on Slaney's mel scale to Hz.
fn mel_to_hertz(mel: f64) -> f64 {
    const HERTZ_PER_MEL: f64 = 200.0 / 3.0;
    let step = 6.4f64.ln() / 27.0;
    if mel >= 15.0 { 1000.0 * (step * (mel - 15.0)).exp() } else { HERTZ_PER_MEL * mel }
}

/// Returns the weight of a frequency bin in the triangular filter with these three edges.
fn filter_weight(edges: &[f64], bin: usize) -> f32 {
    let frequency = (bin * SAMPLE_RATE) as f64 / FFT_SIZE as f64;
    let rise = (frequency - edges[0]) / (edges[1] - edges[0]);
    let fall = (edges[2] - frequency) / (edges[2] - edges[1]);
    (rise.min(fall).max(0.0) * 2.0 / (edges[2] - edges[0])) as f32
}

/// Creates Slaney's triangular mel filters between 0 and 8 kHz, all of equal area.
fn mel_filters(bands: usize) -> Vec<(usize, Vec<f32>)> {
    const MAX_MEL: f64 = 45.245_640_471_924_965; // 8 kHz in mel
    let edges: Vec<f64> =
        (0..bands + 2).map(|i| mel_to_hertz(MAX_MEL * i as f64 / (bands + 1) as f64)).collect();
    edges
        .windows(3)
        .map(|edges| {
            let weights: Vec<f32> = (0..BINS).map(|bin| filter_weight(edges, bin)).collect();
            let first = weights.iter().position(|weight| *weight > 0.0).unwrap_or(0);
            let end =
                weights.iter().rposition(|weight| *weight > 0.0).map_or(first, |last| last + 1);
            (first, weights[first..end].to_vec())
        })
        .collect()
}

#[cfg(test)]
mod tests;
