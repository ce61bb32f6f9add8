#![allow(clippy::float_cmp)] // Silence and clipped values are exact.

use super::*;

fn sine(hertz: f32, amplitude: f32, count: usize) -> Vec<f32> {
    (0..count)
        .map(|i| amplitude * (std::f32::consts::TAU * hertz * i as f32 / 16_000.0).sin())
        .collect()
}

fn feature_at(features: &Features, band: usize, frame: usize) -> f32 {
    features.values()[band * features.frames() + frame]
}

#[test]
fn features_match_faster_whisper() {
    // utt00 of vectors/speech; values printed by faster-whisper 1.2.1.
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/speech/utt00.wav");
    let bytes = std::fs::read(path).unwrap();
    let samples: Vec<f32> = bytes[44..]
        .as_chunks::<2>()
        .0
        .iter()
        .map(|s| f32::from(i16::from_le_bytes(*s)) / 32768.0)
        .collect();
    let cases = [
        (
            80,
            [
                (0, 0, -0.77709),
                (1, 10, 0.856_448),
                (5, 57, 0.724_491),
                (17, 100, 1.045_928),
                (33, 141, 0.339_349),
            ],
            [
                (40, 3, -0.062_301),
                (60, 200, 0.597_79),
                (79, 120, 0.129_847),
                (40, 378, -0.648_877),
                (3, 377, 0.722_185),
            ],
        ),
        (
            128,
            [
                (0, 0, -0.728_02),
                (1, 10, 0.583_751),
                (5, 57, 0.491_675),
                (17, 100, 0.753_178),
                (33, 141, 0.557_357),
            ],
            [
                (40, 3, 0.192_272),
                (60, 200, 0.830_059),
                (127, 120, 0.052_241),
                (64, 378, -0.680_588),
                (3, 377, 0.517_289),
            ],
        ),
    ];
    for (bands, first, second) in cases {
        let features = LogMel::new(bands).features(&samples);
        assert_eq!(features.frames(), 379);
        for (band, frame, expected) in first.into_iter().chain(second) {
            let actual = feature_at(&features, band, frame);
            assert!(
                (actual - expected).abs() < 1e-5,
                "{bands} bands, band {band}, frame {frame}: {actual} {expected}"
            );
        }
    }
}

#[test]
fn tones_are_loudest_in_their_band() {
    for (bands, tones) in [
        (80, [(100.0, 2), (1000.0, 26), (4000.0, 62)]),
        (128, [(100.0, 4), (1000.0, 42), (4000.0, 99)]),
    ] {
        for (hertz, expected) in tones {
            let features = LogMel::new(bands).features(&sine(hertz, 1.0, 16_000));
            let loudest = (0..bands)
                .max_by(|&a, &b| {
                    feature_at(&features, a, 50).total_cmp(&feature_at(&features, b, 50))
                })
                .unwrap();
            assert_eq!(loudest, expected, "{hertz} Hz in {bands} bands");
        }
    }
}

#[test]
fn ten_times_the_amplitude_is_half_a_unit_louder() {
    let log_mel = LogMel::new(80);
    let (quiet, loud) =
        (log_mel.features(&sine(700.0, 0.01, 8000)), log_mel.features(&sine(700.0, 0.1, 8000)));
    for (quiet, loud) in quiet.values().iter().zip(loud.values()) {
        assert!((loud - quiet - 0.5).abs() < 1e-3, "{quiet} {loud}");
    }
}

#[test]
fn log_mel_values_lie_within_two_units_of_the_loudest() {
    let mut samples = sine(440.0, 0.9, 16_000);
    samples.extend(vec![0.0; 16_000]);
    let features = LogMel::new(80).features(&samples);
    let loudest = features.values().iter().copied().fold(f32::MIN, f32::max);
    let quietest = features.values().iter().copied().fold(f32::MAX, f32::min);
    assert!((loudest - 2.0 - quietest).abs() < 1e-6, "{loudest} {quietest}");
}

#[test]
fn silent_and_non_finite_samples_have_the_lowest_value() {
    let silence = LogMel::new(80).features(&[0.0; 1600]);
    assert_eq!(silence.frames(), 11);
    assert!(silence.values().iter().all(|value| *value == -1.5));
    for non_finite in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(LogMel::new(80).features(&[non_finite; 1600]), silence);
    }
    // Loud samples do not yield infinite features.
    let loud = LogMel::new(80).features(&[f32::MAX; 1600]);
    assert!(loud.values().iter().all(|value| value.is_finite()));
    // An invalid sample does not affect the others.
    let mut samples = sine(440.0, 0.5, 1600);
    samples[800] = f32::NAN;
    let non_finite = LogMel::new(80).features(&samples);
    samples[800] = 0.0;
    assert_eq!(non_finite, LogMel::new(80).features(&samples));
}

#[test]
fn features_have_one_frame_per_10_ms_and_one_more() {
    for (samples, frames) in [(0, 1), (1, 1), (159, 1), (160, 2), (480_000, 3001)] {
        assert_eq!(
            LogMel::new(80).features(&vec![0.1; samples]).frames(),
            frames,
            "{samples} samples"
        );
    }
}

#[test]
fn reflect_padding_omits_end_samples() {
    let position = |at, length| reflected_index(at, length);
    assert_eq!([0, 1, 199, 200, 201, 359].map(|at| position(at, 160)), [118, 119, 1, 0, 1, 159]);
    assert_eq!([360, 361, 518, 519].map(|at| position(at, 160)), [158, 157, 0, 1]);
    assert_eq!([0, 200, 1200].map(|at| position(at, 1000)), [200, 0, 998]);
}

#[test]
fn mel_windows_are_padded_with_zeros() {
    let features = LogMel::new(80).features(&sine(300.0, 0.5, 16_000));
    let window = features.window(90, 5);
    assert_eq!(window.len(), 80 * WINDOW_FRAMES);
    for band in [0, 7, 79] {
        let row = &window[band * WINDOW_FRAMES..][..WINDOW_FRAMES];
        assert_eq!(
            row[..5],
            (90..95).map(|frame| feature_at(&features, band, frame)).collect::<Vec<_>>()
        );
        assert!(row[5..].iter().all(|value| *value == 0.0));
    }
    // A window has at most the remaining frames.
    let window = features.window(100, 3000);
    assert_eq!(window[0], feature_at(&features, 0, 100));
    assert!(window[1..WINDOW_FRAMES].iter().all(|value| *value == 0.0));
    assert!(features.window(101, 10).iter().all(|value| *value == 0.0));
}
