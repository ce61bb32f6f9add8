//! Linear resampling. The protocol has two rules: one preserves the end points, the other treats
//! the recording as a half-open interval. Scores depend on the choice of rule.
//!
//! Positions are computed in 64-bit floats in the same order of operations as numpy's `linspace`
//! and `interp`.

use taonet_primitives::SampleRate;

use crate::Pcm;
use crate::wav::sanitize;

/// Resamples audio for the wire, each channel separately. The first and last samples are preserved
/// if the output has at least two frames.
///
/// `n` frames become `max(1, round_half_even(n * rate / pcm.rate))` frames; output frame `j` reads
/// the position `j * (n - 1) / (n' - 1)`. A single frame is repeated. Empty input gives empty
/// output.
pub fn resample_endpoints(pcm: &Pcm, rate: SampleRate) -> Pcm {
    let channels = usize::from(pcm.channels.max(1));
    let frames = pcm.frames();
    let mut samples = Vec::new();
    if frames > 0 {
        let target_frames =
            output_frames(frames as f64 * f64::from(rate.hz()) / f64::from(pcm.rate.hz()));
        let last = frames - 1;
        let step = if target_frames > 1 { last as f64 / (target_frames - 1) as f64 } else { 0.0 };
        samples.reserve_exact(target_frames * channels);
        for j in 0..target_frames {
            let position = if j + 1 == target_frames && target_frames > 1 {
                last as f64
            } else {
                j as f64 * step
            };
            let left = (position as usize).min(last);
            let weight = position - left as f64;
            let (left, right) = (left * channels, (left + 1).min(last) * channels);
            samples.extend((0..channels).map(|channel| {
                interpolate(value_at(pcm, left + channel), value_at(pcm, right + channel), weight)
            }));
        }
    }
    Pcm { samples, channels: pcm.channels, rate }
}

fn value_at(pcm: &Pcm, index: usize) -> f32 {
    pcm.samples.get(index).copied().unwrap_or_default()
}

/// Prepares a recording for a recogniser: mono at 16 kHz in `-1..=1`.
///
/// NaN becomes 0, channels are averaged, the result is clipped. `n` frames become `max(1,
/// round_half_even(n / pcm.rate * 16000))`; output sample `j` of `n'` reads the position `j / n'`
/// among the input positions `i / n`; positions after the last input sample repeat it. Empty input
/// gives empty output.
pub fn resample_for_recognition(pcm: &Pcm) -> Vec<f32> {
    let mono = average_channels(pcm);
    let frames = mono.len();
    let target_frames = output_frames(
        frames as f64 / f64::from(pcm.rate.hz()) * f64::from(SampleRate::HZ_16K.hz()),
    );
    if frames == 0 || frames == target_frames {
        return mono;
    }
    let (input_step, step) = (1.0 / frames as f64, 1.0 / target_frames as f64);
    let last = frames - 1;
    let mut left = 0;
    (0..target_frames)
        .map(|j| {
            let position = j as f64 * step;
            while left < last && (left + 1) as f64 * input_step <= position {
                left += 1;
            }
            let (start, end) = (left as f64 * input_step, (left + 1) as f64 * input_step);
            let a = mono.get(left).copied().unwrap_or_default();
            let b = mono.get(left + 1).copied().unwrap_or(a);
            ((f64::from(b) - f64::from(a)) / (end - start) * (position - start) + f64::from(a))
                as f32
        })
        .collect()
}

fn output_frames(exact: f64) -> usize {
    (exact.round_ties_even() as usize).max(1)
}

fn interpolate(a: f32, b: f32, weight: f64) -> f32 {
    ((f64::from(b) - f64::from(a)) * weight + f64::from(a)) as f32
}

fn average_channels(pcm: &Pcm) -> Vec<f32> {
    if pcm.channels <= 1 {
        return pcm.samples.iter().map(|&sample| sanitize(sample)).collect();
    }
    let count = f32::from(pcm.channels);
    pcm.samples
        .chunks_exact(usize::from(pcm.channels))
        .map(|frame| {
            sanitize(
                frame.iter().map(|&sample| if sample.is_nan() { 0.0 } else { sample }).sum::<f32>()
                    / count,
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOUND: [f32; 11] =
        [0.61, 0.616, 0.031, -0.428, -0.892, -0.233, -0.183, -0.909, -0.902, 0.998, 0.305];

    fn mono(samples: &[f32], hz: u32) -> Pcm {
        Pcm::mono(samples.to_vec(), SampleRate::new(hz).unwrap())
    }

    fn assert_close(actual: &[f32], expected: &[f32]) {
        assert_eq!(actual.len(), expected.len());
        for (a, b) in actual.iter().zip(expected) {
            assert!((a - b).abs() < 1e-7, "{actual:?}\n{expected:?}");
        }
    }

    /// The expected tables come from numpy: `interp(linspace(0, n - 1, m), arange(n), x)`.
    #[test]
    fn endpoint_resampling_equals_numpy() {
        #[rustfmt::skip]
        let table: [(u32, &[f32]); 4] = [
            (22_050, &[0.61, 0.615_454_55, 0.137_363_64, -0.302_818_18, -0.723_272_74, -0.532_545_45, -0.210_272_73,
                -0.447, -0.907_090_9, -0.556_545_44, 0.935, 0.305]),
            (16_000, &[0.61, 0.614, 0.421, 0.031, -0.275, -0.582_666_7, -0.892, -0.452_666_67, -0.216_333_33, -0.183,
                -0.667, -0.906_666_64, -0.902, 0.364_666_67, 0.767, 0.305]),
            (44_100, &[0.61, 0.031, -0.892, -0.183, -0.902, 0.305]),
            (8_000, &[0.61, 0.611_875, 0.613_75, 0.615_625, 0.469_75, 0.286_937_5, 0.104_125, -0.055_062_503, -0.1985,
                -0.341_937_5, -0.486, -0.631, -0.776, -0.850_812_5, -0.644_875, -0.438_937_52, -0.233, -0.217_375,
                -0.201_75, -0.186_125, -0.3645, -0.591_375, -0.818_25, -0.907_687_5, -0.9055, -0.903_312_5, -0.6645,
                -0.070_75, 0.523, 0.954_687_54, 0.738_125, 0.521_562_5, 0.305]),
        ];
        for (hz, expected) in table {
            assert_close(
                &resample_endpoints(&mono(&SOUND, hz), SampleRate::HZ_24K).samples,
                expected,
            );
        }
    }

    /// The expected tables come from numpy:
    /// `interp(linspace(0, 1, m, endpoint=False), linspace(0, 1, n, endpoint=False), x)`.
    #[test]
    fn recognition_resampling_equals_numpy() {
        #[rustfmt::skip]
        let table: [(u32, &[f32]); 4] = [
            (22_050, &[0.61, 0.396_625, -0.313_25, -0.809_625, -0.208, -0.818_25, -0.427_000_02, 0.564_875]),
            (24_000, &[0.61, 0.281_714_3, -0.494_285_73, -0.421_285_72, -0.390_428_57, -0.903, 0.701_000_03]),
            (44_100, &[0.61, -0.313_25, -0.208, -0.427_000_02]),
            (8_000, &[0.61, 0.613_000_04, 0.616, 0.3235, 0.031, -0.1985, -0.428, -0.66, -0.892, -0.5625, -0.233, -0.208,
                -0.183, -0.546, -0.909, -0.9055, -0.902, 0.048_000_008, 0.998, 0.651_500_05, 0.305, 0.305]),
        ];
        for (hz, expected) in table {
            assert_close(&resample_for_recognition(&mono(&SOUND, hz)), expected);
        }
    }

    #[test]
    fn recognition_and_wire_resampling_differ() {
        let ramp = [0.0, 0.1, 0.2, 0.3];
        assert_close(
            &resample_for_recognition(&mono(&ramp, 8000)),
            &[0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.3],
        );
        let wire = resample_endpoints(&mono(&ramp, 12_000), SampleRate::HZ_24K).samples;
        assert_close(
            &wire,
            &[0.0, 0.3 / 7.0, 0.6 / 7.0, 0.9 / 7.0, 1.2 / 7.0, 1.5 / 7.0, 1.8 / 7.0, 0.3],
        );
    }

    #[test]
    fn lengths_round_half_to_even() {
        let wire = |frames, hz| {
            resample_endpoints(&mono(&vec![0.5; frames], hz), SampleRate::HZ_24K).frames()
        };
        assert_eq!(
            [wire(5, 48_000), wire(7, 48_000), wire(1, 48_000), wire(3, 16_000)],
            [2, 4, 1, 4]
        );
        let recognition =
            |frames, hz| resample_for_recognition(&mono(&vec![0.5; frames], hz)).len();
        assert_eq!(
            [recognition(5, 32_000), recognition(7, 32_000), recognition(1, 44_100)],
            [2, 4, 1]
        );
    }

    #[test]
    fn resampling_repeats_a_single_sample_and_keeps_empty_audio() {
        assert_eq!(resample_endpoints(&mono(&[0.5], 8000), SampleRate::HZ_24K).samples, [0.5; 3]);
        assert_eq!(resample_for_recognition(&mono(&[0.5], 8000)), [0.5; 2]);
        assert!(resample_endpoints(&mono(&[], 8000), SampleRate::HZ_24K).samples.is_empty());
        assert!(resample_for_recognition(&mono(&[], 8000)).is_empty());
    }

    #[test]
    fn wire_keeps_channels_and_recognition_averages_them() {
        let stereo =
            Pcm { samples: vec![0.0, 1.0, 0.5, 0.0], channels: 2, rate: SampleRate::HZ_16K };
        let wire = resample_endpoints(&stereo, SampleRate::HZ_24K);
        assert_eq!((wire.samples, wire.channels), (vec![0.0, 1.0, 0.25, 0.5, 0.5, 0.0], 2));
        assert_eq!(resample_for_recognition(&stereo), [0.5, 0.25]);
        let with_nan = Pcm { samples: vec![f32::NAN, 1.0, 5.0, f32::INFINITY], ..stereo };
        assert_eq!(resample_for_recognition(&with_nan), [0.5, 1.0]);
    }

    proptest! {
        #[test]
        fn resampled_values_stay_in_the_range_of_the_source(samples in prop::collection::vec(-1.0_f32..=1.0, 1..300), hz in 4000_u32..50_000) {
            let low = samples.iter().copied().fold(f32::INFINITY, f32::min);
            let high = samples.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let pcm = mono(&samples, hz);
            let wire = resample_endpoints(&pcm, SampleRate::HZ_24K).samples;
            for x in wire.iter().chain(&resample_for_recognition(&pcm)) {
                prop_assert!((low - 1e-6..=high + 1e-6).contains(x));
            }
            prop_assert_eq!(wire[0].to_bits(), samples[0].to_bits());
            if wire.len() > 1 {
                prop_assert_eq!(wire[wire.len() - 1].to_bits(), samples[samples.len() - 1].to_bits());
            }
        }

        #[test]
        fn resampling_to_equal_rate_is_exact(samples in prop::collection::vec(-1.0_f32..=1.0, 1..300)) {
            prop_assert_eq!(&resample_endpoints(&mono(&samples, 24_000), SampleRate::HZ_24K).samples, &samples);
            prop_assert_eq!(&resample_for_recognition(&mono(&samples, 16_000)), &samples);
        }
    }
}
