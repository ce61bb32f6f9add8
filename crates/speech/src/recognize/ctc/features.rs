//! Log-mel features: the front end of Whisper without its padding to 30 s.
#![allow(
    clippy::indexing_slicing,
    reason = "indices follow from the frame and band counts computed here"
)]

use std::f64::consts::PI;
use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};

pub(super) const SAMPLE_RATE: u32 = 16_000;
pub(super) const WINDOW: usize = 400;
pub(super) const HOP: usize = 160;
pub(super) const BANDS: usize = 80;
const BINS: usize = WINDOW / 2 + 1;

/// A triangular filter of the mel filter bank: its weights from bin `first` on.
struct Band {
    first: usize,
    weights: Vec<f32>,
}

/// The feature extractor, with its window, FFT and filter bank.
pub(super) struct LogMel {
    transform: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    bands: Vec<Band>,
}

impl LogMel {
    pub(super) fn new() -> Self {
        Self {
            transform: RealFftPlanner::new().plan_fft_forward(WINDOW),
            window: (0..WINDOW)
                .map(|i| (0.5 - 0.5 * (2.0 * PI * i as f64 / WINDOW as f64).cos()) as f32)
                .collect(),
            bands: mel_bands(),
        }
    }

    /// Computes features of 16 kHz samples as rows of 80 values, one row per 160 samples; row `i`
    /// is centred on sample `160 * i`.
    ///
    /// Recordings shorter than one window are padded with silence: mirroring the edges needs more
    /// than half a window.
    pub(super) fn compute(&self, samples: &[f32]) -> Result<Vec<f32>, realfft::FftError> {
        let length = samples.len().max(WINDOW);
        let mut padded = Vec::with_capacity(length + WINDOW);
        padded.resize(WINDOW / 2, 0.0);
        padded.extend(samples.iter().map(|&sample| crate::wav::sanitize(sample)));
        padded.resize(WINDOW / 2 + length, 0.0);
        for i in 0..WINDOW / 2 {
            padded[i] = padded[WINDOW - i];
            padded.push(padded[WINDOW / 2 + length - 2 - i]);
        }

        let frames = length / HOP;
        let mut features = Vec::with_capacity(frames * BANDS);
        let mut windowed = self.transform.make_input_vec();
        let mut spectrum = self.transform.make_output_vec();
        let mut scratch = self.transform.make_scratch_vec();
        let mut power = [0.0; BINS];
        for frame in padded.windows(WINDOW).step_by(HOP).take(frames) {
            for ((out, sample), weight) in windowed.iter_mut().zip(frame).zip(&self.window) {
                *out = sample * weight;
            }
            self.transform.process_with_scratch(&mut windowed, &mut spectrum, &mut scratch)?;
            for (power, value) in power.iter_mut().zip(&spectrum) {
                *power = value.norm_sqr();
            }
            features.extend(self.bands.iter().map(|band| {
                let energy: f32 =
                    band.weights.iter().zip(&power[band.first..]).map(|(w, p)| w * p).sum();
                energy.max(1e-10).log10()
            }));
        }
        let floor = features.iter().copied().fold(f32::NEG_INFINITY, f32::max) - 8.0;
        for value in &mut features {
            *value = (value.max(floor) + 4.0) / 4.0;
        }
        Ok(features)
    }
}

/// Converts mel to Hz on Slaney's scale: linear below 1 kHz, logarithmic above.
fn hz(mel: f64) -> f64 {
    if mel >= 15.0 {
        1000.0 * ((mel - 15.0) * 6.4_f64.ln() / 27.0).exp()
    } else {
        mel * 200.0 / 3.0
    }
}

fn mel(hz: f64) -> f64 {
    if hz >= 1000.0 { 15.0 + (hz / 1000.0).ln() * 27.0 / 6.4_f64.ln() } else { hz * 3.0 / 200.0 }
}

/// Creates triangular filters of equal area between points evenly spaced on the mel scale up to 8
/// kHz.
fn mel_bands() -> Vec<Band> {
    let nyquist = f64::from(SAMPLE_RATE) / 2.0;
    (0..BANDS)
        .map(|band| {
            let edges = [band, band + 1, band + 2]
                .map(|i| hz(mel(nyquist) * i as f64 / (BANDS + 1) as f64));
            let first = (0..BINS).find(|&bin| filter_weight(edges, bin) > 0.0).unwrap_or(0);
            let weights = (first..BINS).map(|bin| filter_weight(edges, bin));
            Band { first, weights: weights.take_while(|&weight| weight > 0.0).collect() }
        })
        .collect()
}

/// Returns the weight of a frequency bin in the triangular filter with these edges, in Hz.
fn filter_weight([low, centre, high]: [f64; 3], bin: usize) -> f32 {
    let frequency = bin as f64 * f64::from(SAMPLE_RATE) / WINDOW as f64;
    let triangle = ((frequency - low) / (centre - low)).min((high - frequency) / (high - centre));
    (triangle.max(0.0) * 2.0 / (high - low)) as f32
}
