use serde::{Deserialize, Serialize};
use taonet_primitives::{SampleRate, Seconds};

/// The sample format of a WAV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SampleFormat {
    /// Unsigned 8-bit integers.
    U8,
    /// Signed 16-bit integers, little-endian.
    S16,
    /// Signed 32-bit integers, little-endian.
    S32,
    /// 32-bit floats, little-endian.
    F32,
}

impl SampleFormat {
    /// Returns the size in bytes of one sample of one channel.
    pub const fn width(self) -> u16 {
        match self {
            Self::U8 => 1,
            Self::S16 => 2,
            Self::S32 | Self::F32 => 4,
        }
    }
}

/// Decoded audio: interleaved samples in `-1..=1`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pcm {
    /// Interleaved samples: channel 0 and 1 of the first frame, then of the second, and so on.
    pub samples: Vec<f32>,
    /// The number of channels, at least 1.
    pub channels: u16,
    /// Samples per second and channel.
    pub rate: SampleRate,
}

impl Pcm {
    /// Creates mono audio.
    pub fn mono(samples: Vec<f32>, rate: SampleRate) -> Self {
        Self { samples, channels: 1, rate }
    }

    /// Averages the channels.
    #[must_use]
    pub fn into_mono(self) -> Self {
        if self.channels <= 1 {
            return self;
        }
        let count = f32::from(self.channels);
        let frames = self.samples.chunks_exact(usize::from(self.channels));
        Self::mono(frames.map(|frame| frame.iter().sum::<f32>() / count).collect(), self.rate)
    }

    /// Returns the number of frames, that is, of samples per channel.
    pub fn frames(&self) -> usize {
        self.samples.len() / usize::from(self.channels.max(1))
    }

    /// Returns the duration of the audio.
    pub fn duration(&self) -> Seconds {
        Seconds::of_frames(self.frames(), self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_averaged() {
        let stereo =
            Pcm { samples: vec![0.5, -0.5, 1.0, 0.0], channels: 2, rate: SampleRate::HZ_16K };
        assert_eq!(stereo.into_mono(), Pcm::mono(vec![0.0, 0.5], SampleRate::HZ_16K));
        let single = Pcm::mono(vec![0.1], SampleRate::HZ_24K);
        assert_eq!(single.clone().into_mono(), single);
    }
}
