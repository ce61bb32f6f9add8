//! Recordings of the benchmarks: synthetic replies like those of the reference, and WAV files.

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use taonet_primitives::SampleRate;
use taonet_speech::{Pcm, SampleFormat, Wav};

/// Kind of a synthetic recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum AudioKind {
    /// Digital silence
    Silence,
    /// White noise
    Noise,
    /// Sine wave
    Tone,
    /// Rising sine sweep
    Chirp,
    /// Rising sine sweep and white noise
    Mixed,
}

impl AudioKind {
    /// Returns the name in options and reports.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::Noise => "noise",
            Self::Tone => "tone",
            Self::Chirp => "chirp",
            Self::Mixed => "mixed",
        }
    }

    /// Generates a mono recording, whose frequencies and noise depend on `seed`.
    pub(super) fn samples(self, seed: u64, seconds: f64, rate: SampleRate) -> Vec<f32> {
        let hertz = f64::from(rate.hz());
        // No overflow: arguments limit a length to 600 s.
        let count = (seconds * hertz).round() as usize;
        match self {
            Self::Silence => vec![0.0; count],
            Self::Tone => sine(count, 0.2, |_| (220 + seed % 400) as f64 / hertz),
            Self::Chirp => {
                let (low, high) = ((180 + seed % 100) as f64, (900 + seed % 300) as f64);
                sine(count, 0.18, |index| {
                    (low + (high - low) * (index as f64 / count.max(1) as f64)) / hertz
                })
            }
            Self::Noise => {
                let mut random = StdRng::seed_from_u64(seed);
                (0..count).map(|_| random.random_range(-0.18..=0.18)).collect()
            }
            Self::Mixed => {
                let chirp = Self::Chirp.samples(seed, seconds, rate);
                let noise = Self::Noise.samples(seed + 100_000, seconds, rate);
                chirp.iter().zip(noise).map(|(chirp, noise)| chirp + 0.35 * noise).collect()
            }
        }
    }
}

/// Generates a sine with the frequency `cycles(index)` at each sample, in cycles per sample.
pub(super) fn sine(count: usize, amplitude: f64, cycles: impl Fn(usize) -> f64) -> Vec<f32> {
    let mut phase = 0.0_f64;
    let samples = (0..count).map(|index| {
        let sample = amplitude * (TAU * phase).sin();
        phase = (phase + cycles(index)).fract();
        sample as f32
    });
    samples.collect()
}

/// Encodes samples as a WAV file with 16 bits per sample.
pub(super) fn encode_wav(samples: Vec<f32>, rate: SampleRate) -> anyhow::Result<Vec<u8>> {
    Ok(Wav::encode(&Pcm::mono(samples, rate), SampleFormat::S16)?)
}

/// Lists the WAV files in a directory, sorted by name.
///
/// # Errors
/// If the directory is unreadable or contains no WAV file.
pub(super) fn wav_paths(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let paths = std::fs::read_dir(directory).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>()
    });
    let mut paths = paths.with_context(|| format!("cannot read {}", directory.display()))?;
    paths.retain(|path| {
        path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("wav"))
    });
    paths.sort();
    if paths.is_empty() {
        bail!("{} contains no WAV file", directory.display());
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_sounds_have_requested_length_loudness_and_pitch() {
        let rate = SampleRate::HZ_16K;
        for (kind, peak) in [
            (AudioKind::Silence, 0.0),
            (AudioKind::Tone, 0.2),
            (AudioKind::Chirp, 0.18),
            (AudioKind::Noise, 0.18),
            (AudioKind::Mixed, 0.18 + 0.35 * 0.18),
        ] {
            let samples = kind.samples(10_003, 2.0, rate);
            let loudest = samples.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
            assert_eq!(samples.len(), 32_000);
            assert!(
                (loudest - peak).abs() <= peak * 0.1 && loudest <= peak + 1e-6,
                "{}: {loudest}",
                kind.name()
            );
            assert_eq!(kind.samples(10_003, 2.0, rate), samples);
        }
        // A tone of 223 Hz crosses zero upwards 223 times per second, for 2 s.
        let tone = AudioKind::Tone.samples(10_003, 2.0, rate);
        let crossings = tone.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
        assert!((445..=446).contains(&crossings), "{crossings}");
    }
}
