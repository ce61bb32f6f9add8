//! Audio frames in wire format: little-endian 32-bit floats.

use std::num::NonZeroUsize;
use taonet_primitives::counted;

/// Number of bytes of one sample on the wire.
const SAMPLE_BYTES: usize = size_of::<f32>();

/// Why received bytes are not audio samples.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The last sample is incomplete.
    #[error("a length of {} is not a multiple of 4 (32-bit samples)", counted(.bytes, "byte"))]
    PartialSample {
        /// The number of bytes received.
        bytes: usize,
    },
}

/// Encodes samples as little-endian 32-bit floats, bit for bit.
pub fn samples_to_bytes(samples: &[f32]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// Decodes little-endian 32-bit floats, bit for bit. NaN and values beyond ±1 are preserved;
/// encoding as a WAV file replaces them.
///
/// # Errors
/// [`FrameError::PartialSample`] when the number of bytes is not a multiple of 4.
pub fn bytes_to_samples(bytes: &[u8]) -> Result<Vec<f32>, FrameError> {
    match bytes.as_chunks::<SAMPLE_BYTES>() {
        (samples, []) => Ok(samples.iter().map(|&sample| f32::from_le_bytes(sample)).collect()),
        _ => Err(FrameError::PartialSample { bytes: bytes.len() }),
    }
}

/// Splits interleaved samples into frames of `frame_samples` samples per channel, encoded as
/// little-endian 32-bit floats.
///
/// All frames have `frame_samples * channels * 4` bytes: the last one is zero-padded, and empty
/// input gives one frame of zeros.
pub fn split_frames(samples: &[f32], frame_samples: NonZeroUsize, channels: u16) -> Vec<Vec<u8>> {
    let samples_per_frame = frame_samples.get().saturating_mul(usize::from(channels.max(1)));
    if samples.is_empty() {
        return vec![frame(&[], samples_per_frame)];
    }
    samples.chunks(samples_per_frame).map(|part| frame(part, samples_per_frame)).collect()
}

/// Encodes samples, padded with zeros to `samples_per_frame` samples.
fn frame(samples: &[f32], samples_per_frame: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(samples_per_frame * SAMPLE_BYTES);
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    bytes.resize(samples_per_frame * SAMPLE_BYTES, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: NonZeroUsize = NonZeroUsize::new(1920).unwrap();

    #[test]
    fn number_of_frames_is_rounded_up() {
        for (samples, channels, frames) in
            [(0, 1, 1), (1, 1, 1), (1920, 1, 1), (1921, 1, 2), (3840, 1, 2), (3842, 2, 2)]
        {
            let split = split_frames(&vec![0.5; samples], FRAME, channels);
            assert_eq!(split.len(), frames, "{samples} samples");
            assert!(split.iter().all(|frame| frame.len() == 7680 * usize::from(channels)));
        }
    }

    #[test]
    fn last_frame_is_zero_padded() {
        let split = split_frames(&[0.25; 1921], FRAME, 1);
        let last = bytes_to_samples(&split[1]).unwrap();
        assert!(
            last[0].to_bits() == 0.25_f32.to_bits() && last[1..].iter().all(|x| x.to_bits() == 0)
        );
        assert_eq!(split_frames(&[], FRAME, 1), [vec![0; 7680]]);
    }

    #[test]
    fn partial_samples_are_refused() {
        for bytes in [1, 2, 3, 5, 7681] {
            assert_eq!(bytes_to_samples(&vec![0; bytes]), Err(FrameError::PartialSample { bytes }));
        }
        assert_eq!(bytes_to_samples(&[]), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn samples_round_trip_bit_for_bit(bits in prop::collection::vec(any::<u32>(), 0..100), size in 1_usize..40) {
            let samples: Vec<f32> = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
            let restored = bytes_to_samples(&samples_to_bytes(&samples)).unwrap();
            prop_assert_eq!(restored.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), bits.clone());
            let concatenated = split_frames(&samples, NonZeroUsize::new(size).unwrap(), 1).concat();
            prop_assert_eq!(&concatenated[..samples.len() * 4], samples_to_bytes(&samples));
        }
    }
}
