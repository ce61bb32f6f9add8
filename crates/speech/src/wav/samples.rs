//! Conversion between stored samples and floats.

use taonet_primitives::SampleRate;

use super::WavError;
use crate::{Pcm, SampleFormat};

/// Decodes headerless interleaved little-endian samples.
///
/// Integers are scaled to [-1, 1): `(x - 128) / 128`, `x / 32768` and `x / 2^31`; floats are
/// clipped to [-1, 1] and NaN becomes 0.
///
/// # Errors
/// [`WavError::Field`] when `channels` is 0 or the last frame is incomplete.
pub(super) fn decode_pcm(
    bytes: &[u8],
    format: SampleFormat,
    channels: u16,
    rate: SampleRate,
) -> Result<Pcm, WavError> {
    let frame_bytes = usize::from(channels) * usize::from(format.width());
    if frame_bytes == 0 {
        return Err(WavError::Field { field: "channels", found: 0, expected: "at least 1" });
    }
    if !bytes.len().is_multiple_of(frame_bytes) {
        let found = bytes.len() as u64;
        return Err(WavError::Field {
            field: "data length",
            found,
            expected: "a multiple of the frame size",
        });
    }
    let samples = match format {
        SampleFormat::U8 => bytes.iter().map(|&byte| (f32::from(byte) - 128.0) / 128.0).collect(),
        SampleFormat::S16 => bytes
            .as_chunks()
            .0
            .iter()
            .map(|&sample| f32::from(i16::from_le_bytes(sample)) / 32_768.0)
            .collect(),
        SampleFormat::S32 => bytes
            .as_chunks()
            .0
            .iter()
            .map(|&sample| i32::from_le_bytes(sample) as f32 / 2_147_483_648.0)
            .collect(),
        SampleFormat::F32 => {
            bytes.as_chunks().0.iter().map(|&sample| sanitize(f32::from_le_bytes(sample))).collect()
        }
    };
    Ok(Pcm { samples, channels, rate })
}

/// Encodes samples as headerless little-endian bytes.
///
/// NaN becomes 0 and all values are clipped to [-1, 1]. Floats are then stored unchanged. For
/// integers, negative values are scaled by 2^(bits - 1), others by 2^(bits - 1) - 1, and the result
/// is truncated toward zero: -1, -0.5, 0, 0.5, 1 become -32768, -16384, 0, 16383, 32767 in 16 bits.
pub fn encode_pcm(samples: &[f32], format: SampleFormat) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(samples.len() * usize::from(format.width()));
    append_samples(&mut bytes, samples, format);
    bytes
}

pub(super) fn append_samples(bytes: &mut Vec<u8>, samples: &[f32], format: SampleFormat) {
    match format {
        SampleFormat::U8 => bytes.extend(samples.iter().map(|&sample| {
            let sample = sanitize(sample);
            ((sample * if sample < 0.0 { 128.0 } else { 127.0 }) as i16 + 128) as u8
        })),
        SampleFormat::S16 => bytes.extend(samples.iter().flat_map(|&sample| {
            let sample = sanitize(sample);
            ((sample * if sample < 0.0 { 32_768.0 } else { 32_767.0 }) as i16).to_le_bytes()
        })),
        SampleFormat::S32 => bytes.extend(samples.iter().flat_map(|&sample| {
            let sample = f64::from(sanitize(sample));
            ((sample * if sample < 0.0 { 2_147_483_648.0 } else { 2_147_483_647.0 }) as i32)
                .to_le_bytes()
        })),
        SampleFormat::F32 => {
            bytes.extend(samples.iter().flat_map(|&sample| sanitize(sample).to_le_bytes()));
        }
    }
}

/// Returns the position of the first sample that is NaN or infinite.
pub(super) fn first_non_finite(bytes: &[u8], format: SampleFormat) -> Option<usize> {
    if format != SampleFormat::F32 {
        return None;
    }
    bytes.as_chunks().0.iter().position(|&sample| !f32::from_le_bytes(sample).is_finite())
}

/// Replaces NaN with 0 and clips to [-1, 1].
pub(crate) fn sanitize(sample: f32) -> f32 {
    if sample.is_nan() { 0.0 } else { sample.clamp(-1.0, 1.0) }
}
