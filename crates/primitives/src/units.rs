use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a number is not a valid quantity.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// The number of seconds is NaN or infinite.
    #[error("{0} is not a finite number of seconds")]
    Seconds(f64),
    /// The sample rate is outside 1 Hz to 768 kHz.
    #[error("{0} Hz is not a sample rate (1 to 768000)")]
    SampleRate(u32),
}

/// A duration, or a position in a recording, in seconds. Always finite.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Seconds(f64);

impl Seconds {
    /// Zero duration.
    pub const ZERO: Self = Self(0.0);

    /// Creates a duration from a number of seconds.
    ///
    /// # Errors
    /// [`UnitError::Seconds`] when the number is NaN or infinite.
    pub fn new(seconds: f64) -> Result<Self, UnitError> {
        if seconds.is_finite() { Ok(Self(seconds)) } else { Err(UnitError::Seconds(seconds)) }
    }

    /// Returns the duration of `frames` samples (per channel) at `rate`.
    pub fn of_frames(frames: usize, rate: SampleRate) -> Self {
        Self(frames as f64 / f64::from(rate.hz()))
    }

    /// Returns the number of seconds as a float.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Seconds {
    type Error = UnitError;

    fn try_from(seconds: f64) -> Result<Self, UnitError> {
        Self::new(seconds)
    }
}

impl From<Seconds> for f64 {
    fn from(seconds: Seconds) -> Self {
        seconds.0
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0)
    }
}

/// A sample rate: samples per second in each channel, always from 1 Hz to 768 kHz.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct SampleRate(u32);

impl SampleRate {
    /// 16 kHz, the input rate of speech recognisers.
    pub const HZ_16K: Self = Self(16_000);
    /// 22.05 kHz, the output rate of espeak-ng.
    pub const HZ_22K: Self = Self(22_050);
    /// 24 kHz, the rate of audio between miners and validators.
    pub const HZ_24K: Self = Self(24_000);

    /// Creates a sample rate from a number of Hz.
    ///
    /// # Errors
    /// [`UnitError::SampleRate`] when it is 0 or above 768 000.
    pub fn new(hz: u32) -> Result<Self, UnitError> {
        if (1..=768_000).contains(&hz) { Ok(Self(hz)) } else { Err(UnitError::SampleRate(hz)) }
    }

    /// Returns the sample rate in Hz.
    pub const fn hz(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for SampleRate {
    type Error = UnitError;

    fn try_from(hz: u32) -> Result<Self, UnitError> {
        Self::new(hz)
    }
}

impl From<SampleRate> for u32 {
    fn from(rate: SampleRate) -> Self {
        rate.0
    }
}

impl fmt::Display for SampleRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.0)
    }
}
