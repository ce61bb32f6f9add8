//! Wire format of frames: base64 of 32-bit little-endian floats.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use taonet_babelbit_core::protocol::{FRAME_SAMPLES, SAMPLE_BYTES};
use taonet_speech::{bytes_to_samples, samples_to_bytes};

use super::Refusal;

/// Maximum number of source channels.
pub(super) const MAX_CHANNELS: u16 = 2;

/// Decodes the interleaved samples of one frame; NaN becomes 0. An empty string yields no samples.
///
/// # Errors
/// [`Refusal`] when the frame is too long, is not base64 or ends within a sample.
pub(super) fn decode(audio_b64: &str, channels: u16) -> Result<Vec<f32>, Refusal> {
    let unit = SAMPLE_BYTES * usize::from(channels);
    let max_bytes = unit * FRAME_SAMPLES as usize;
    // Four characters encode three bytes: longer texts are refused before allocation.
    if audio_b64.len() > max_bytes.div_ceil(3) * 4 {
        return Err(Refusal::FrameTooLong);
    }
    let bytes = STANDARD.decode(audio_b64).map_err(Refusal::Base64)?;
    if bytes.len() > max_bytes {
        return Err(Refusal::FrameTooLong);
    }
    let partial_sample_error = Refusal::PartialSample { bytes: bytes.len(), unit };
    if !bytes.len().is_multiple_of(unit) {
        return Err(partial_sample_error);
    }
    let samples = bytes_to_samples(&bytes).map_err(|_| partial_sample_error)?;
    Ok(samples.into_iter().map(|sample| if sample.is_nan() { 0.0 } else { sample }).collect())
}

/// Encodes interleaved samples in the wire format.
pub(super) fn encode(samples: &[f32]) -> String {
    STANDARD.encode(samples_to_bytes(samples))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn invalid_samples_are_reported() {
        assert!(matches!(decode("@@@@", 1), Err(Refusal::Base64(_))));
        assert!(matches!(decode("AAAA", 1), Err(Refusal::PartialSample { bytes: 3, unit: 4 })));
        assert!(matches!(
            decode(&encode(&[0.5]), 2),
            Err(Refusal::PartialSample { bytes: 4, unit: 8 })
        ));
        assert!(matches!(decode(&encode(&[0.0; 1921]), 1), Err(Refusal::FrameTooLong)));
        assert!(matches!(decode(&"A".repeat(1_000_000), 1), Err(Refusal::FrameTooLong)));
        assert!(decode("", 1).unwrap().is_empty());
        assert_eq!(decode(&encode(&[0.25; 3840]), 2).unwrap().len(), 3840);
    }

    #[test]
    fn nan_becomes_silence() {
        assert_eq!(
            decode(&encode(&[0.5, f32::NAN, f32::INFINITY]), 1).unwrap(),
            [0.5, 0.0, f32::INFINITY]
        );
    }

    proptest! {
        #[test]
        fn samples_round_trip(samples in prop::collection::vec(-2.0_f32..2.0, 0..1920)) {
            prop_assert_eq!(decode(&encode(&samples), 1).unwrap(), samples);
        }

        #[test]
        fn decoding_arbitrary_text_never_panics(text in ".{0,200}", channels in 1_u16..=2) {
            let _ = decode(&text, channels);
        }
    }
}
