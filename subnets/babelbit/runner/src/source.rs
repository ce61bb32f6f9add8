use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use taonet_babelbit_core::engine_api::UtterancePayload;
use taonet_babelbit_core::protocol::FRAME_SAMPLES;
use taonet_primitives::{SampleRate, UnitError};
use taonet_speech::{SampleFormat, Wav, WavError, resample_endpoints, split_frames};

use super::ledger::SourceInfo;

const SAMPLES_PER_FRAME: NonZeroUsize = NonZeroUsize::new(FRAME_SAMPLES as usize).unwrap();
/// Maximum number of channels of a source.
const MAX_CHANNELS: u16 = 8;

/// Source speech of an utterance, cut into frames and encoded in base64 once for all miners.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Position in the challenge, from 0.
    pub index: u32,
    /// The engine's ID of the utterance.
    pub utterance_id: String,
    /// Language of the source speech.
    pub language: String,
    /// Number of channels, interleaved.
    pub channels: u16,
    /// Base64 of each frame; at least one frame.
    pub frames_b64: Vec<Arc<str>>,
}

impl Source {
    /// Converts a WAV file into frames of 80 ms at 24 kHz with 32-bit floats.
    ///
    /// # Errors
    /// [`WavError`] when the file is not a WAV file.
    pub fn from_wav(
        index: u32,
        utterance_id: String,
        language: String,
        file: &[u8],
    ) -> Result<Self, WavError> {
        let pcm = resample_endpoints(&Wav::decode(file)?.pcm, SampleRate::HZ_24K);
        let frames = split_frames(&pcm.samples, SAMPLES_PER_FRAME, pcm.channels);
        Ok(Self {
            index,
            utterance_id,
            language,
            channels: pcm.channels,
            frames_b64: frames.iter().map(|frame| STANDARD.encode(frame).into()).collect(),
        })
    }
}

/// Why an utterance's audio is unplayable. Other utterances are unaffected.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The text is not standard base64 with padding.
    #[error("ValueError:source audio is not base64: {0}")]
    Base64(base64::DecodeError),
    /// The WAV file is malformed.
    #[error("ValueError:source audio: {0}")]
    Wav(#[from] WavError),
    /// The declared sample rate is invalid.
    #[error("ValueError:source audio: {0}")]
    Rate(#[from] UnitError),
    /// A field of the utterance has an unsupported value.
    #[error("ValueError:source audio has {field} {got}, expected {expected}")]
    Unsupported {
        /// Name of the field.
        field: &'static str,
        /// The unsupported value.
        got: u64,
        /// Supported values.
        expected: &'static str,
    },
    /// The audio exceeds the maximum duration.
    #[error("ValueError:source audio is too long: {channels} channel(s) of {seconds:.1} s, limit {} s in total", limit.as_secs_f64())]
    TooLong {
        /// Duration of the audio in seconds.
        seconds: f64,
        /// Number of channels.
        channels: u16,
        /// The limit, summed over the channels.
        limit: Duration,
    },
    /// The audio does not match the utterance's declared properties.
    #[error("ValueError:source audio {field} mismatch: declared {declared}, got {actual}")]
    Mismatch {
        /// Name of the property.
        field: &'static str,
        /// The declared value.
        declared: u64,
        /// The value found in the audio.
        actual: u64,
    },
}

/// Decodes an utterance's audio, validates it against the declared properties, and returns a WAV
/// file with its metadata. Audio that already is a WAV file stays unchanged. `limit` is the maximum
/// duration, summed over the channels.
///
/// # Errors
/// [`SourceError`] when the audio is malformed, unsupported, too long or different from the
/// declared properties.
pub fn read_source(
    utterance: &UtterancePayload,
    limit: Duration,
) -> Result<(Vec<u8>, SourceInfo), SourceError> {
    let UtterancePayload { sample_rate_hz, channels, sample_width_bytes, utterance_frames, .. } =
        *utterance;
    if !(1..=MAX_CHANNELS).contains(&channels) {
        let got = channels.into();
        return Err(SourceError::Unsupported { field: "channels", got, expected: "1 to 8" });
    }
    let rate = SampleRate::new(sample_rate_hz)?;
    let format = match sample_width_bytes {
        1 => SampleFormat::U8,
        2 => SampleFormat::S16,
        4 => SampleFormat::S32,
        width => {
            let got = width.into();
            return Err(SourceError::Unsupported {
                field: "sample_width_bytes",
                got,
                expected: "1, 2 or 4",
            });
        }
    };
    let bytes = STANDARD.decode(&utterance.audio_b64).map_err(SourceError::Base64)?;
    let check_equal = |field, declared: u64, actual: u64| {
        if declared == actual {
            Ok(())
        } else {
            Err(SourceError::Mismatch { field, declared, actual })
        }
    };
    let wav = if bytes.starts_with(b"RIFF") {
        let header = taonet_speech::WavHeader::read(&bytes)?;
        check_equal("sample_rate_hz", sample_rate_hz.into(), header.rate.hz().into())?;
        check_equal("channels", channels.into(), header.channels.into())?;
        check_equal("sample_width_bytes", sample_width_bytes.into(), header.format.width().into())?;
        check_equal("utterance_frames", utterance_frames, header.frames as u64)?;
        bytes
    } else {
        let sample_frame_bytes = u64::from(channels) * u64::from(sample_width_bytes);
        check_equal(
            "length",
            utterance_frames.saturating_mul(sample_frame_bytes),
            bytes.len() as u64,
        )?;
        Wav::wrap(&bytes, format, channels, rate)?
    };
    // Headerless samples are subject to the WAV format's limits.
    taonet_speech::WavHeader::read(&wav)?;
    let seconds = utterance_frames as f64 / f64::from(rate.hz());
    if seconds * f64::from(channels) > limit.as_secs_f64() {
        return Err(SourceError::TooLong { seconds, channels, limit });
    }
    let info = SourceInfo {
        sample_rate_hz,
        channels,
        sample_width_bytes,
        frames: utterance_frames,
        wav_bytes: wav.len() as u64,
        wav_sha256: sha256(&wav),
    };
    Ok((wav, info))
}

/// Computes a SHA-256 as lowercase hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const TEN_MINUTES: Duration = Duration::from_mins(10);

    fn payload(audio: &[u8], change: impl FnOnce(&mut UtterancePayload)) -> UtterancePayload {
        let mut payload = serde_json::from_value(json!({
            "challenge_uid": "c", "session_id": "s", "utterance_id": "c:0", "language": "fr", "utterance_index": 0,
            "sample_rate_hz": 12_000, "channels": 1, "sample_width_bytes": 2, "utterance_frames": 1_920,
            "audio_b64": Value::String(STANDARD.encode(audio)),
        }))
        .unwrap();
        change(&mut payload);
        payload
    }

    fn source(samples: usize, hz: u32) -> Source {
        let rate = SampleRate::new(hz).unwrap();
        let wav = Wav::wrap(&vec![1; samples * 2], SampleFormat::S16, 1, rate).unwrap();
        Source::from_wav(0, "c:0".into(), "fr".into(), &wav).unwrap()
    }

    #[test]
    fn source_is_split_into_frames() {
        for (samples, hz, frames) in [
            (1_920, 12_000, 2),
            (5_760, 24_000, 3),
            (1_921, 24_000, 2),
            (0, 24_000, 1),
            (342_000, 24_000, 179),
        ] {
            let source = source(samples, hz);
            assert_eq!(source.frames_b64.len(), frames, "{samples} samples at {hz} Hz");
            assert!(
                source
                    .frames_b64
                    .iter()
                    .all(|frame| STANDARD.decode(&**frame).unwrap().len() == 7_680)
            );
        }
    }

    #[test]
    fn raw_samples_and_wav_file_are_equal_sources() {
        let samples = vec![7; 3_840];
        let rate = SampleRate::new(12_000).unwrap();
        let wav = Wav::wrap(&samples, SampleFormat::S16, 1, rate).unwrap();
        let (from_samples, info) = read_source(&payload(&samples, |_| {}), TEN_MINUTES).unwrap();
        assert_eq!(from_samples, wav);
        assert_eq!(
            read_source(&payload(&wav, |_| {}), TEN_MINUTES).unwrap(),
            (from_samples, info.clone())
        );
        assert_eq!((info.wav_bytes, info.duration_sec()), (3_884, 0.16));
    }

    #[test]
    fn inconsistent_source_is_reported() {
        let rate = SampleRate::new(12_000).unwrap();
        let wav = Wav::wrap(&[7; 3_840], SampleFormat::S16, 1, rate).unwrap();
        let error = |audio: &[u8], change: fn(&mut UtterancePayload)| {
            read_source(&payload(audio, change), TEN_MINUTES).unwrap_err().to_string()
        };
        for (change, message) in [
            (
                (|p| p.sample_rate_hz = 24_000) as fn(&mut UtterancePayload),
                "ValueError:source audio sample_rate_hz mismatch: declared 24000, got 12000",
            ),
            (|p| p.channels = 2, "ValueError:source audio channels mismatch: declared 2, got 1"),
            (
                |p| p.sample_width_bytes = 4,
                "ValueError:source audio sample_width_bytes mismatch: declared 4, got 2",
            ),
            (
                |p| p.utterance_frames = 1,
                "ValueError:source audio utterance_frames mismatch: declared 1, got 1920",
            ),
            (
                |p| p.sample_rate_hz = 0,
                "ValueError:source audio: 0 Hz is not a sample rate (1 to 768000)",
            ),
            (|p| p.channels = 0, "ValueError:source audio has channels 0, expected 1 to 8"),
            (
                |p| p.sample_width_bytes = 3,
                "ValueError:source audio has sample_width_bytes 3, expected 1, 2 or 4",
            ),
        ] {
            assert_eq!(error(&wav, change), message);
        }
        assert_eq!(
            error(&[0; 9], |_| {}),
            "ValueError:source audio length mismatch: declared 3840, got 9"
        );
        assert_eq!(
            error(&[0; 9], |p| p.utterance_frames = u64::MAX),
            "ValueError:source audio length mismatch: declared 18446744073709551615, got 9"
        );
        assert!(
            error(b"", |p| p.audio_b64 = "?".into())
                .starts_with("ValueError:source audio is not base64")
        );
        assert!(error(b"RIFF", |_| {}).starts_with("ValueError:source audio: "));
    }
    /// Columns: samples · Hz · channels · limit in seconds · error
    #[test]
    fn source_length_and_sample_rate_have_bounds() {
        for (samples, hz, channels, limit, expected) in [
            (24_000, 12_000, 1, 2, ""),
            (
                24_000,
                12_000,
                2,
                2,
                "ValueError:source audio is too long: 2 channel(s) of 2.0 s, limit 2 s in total",
            ),
            (
                24_001,
                12_000,
                1,
                2,
                "ValueError:source audio is too long: 1 channel(s) of 2.0 s, limit 2 s in total",
            ),
            (1_000, 1_000, 1, 2, ""),
            (
                999,
                999,
                1,
                2,
                "ValueError:source audio: sample rate is 999, expected 1000 to 768000",
            ),
        ] {
            let payload = payload(&vec![7; samples * 2 * usize::from(channels)], |payload| {
                (payload.sample_rate_hz, payload.channels) = (hz, channels);
                payload.utterance_frames = samples as u64;
            });
            let actual = read_source(&payload, Duration::from_secs(limit));
            assert_eq!(actual.err().map(|error| error.to_string()).unwrap_or_default(), expected);
        }
    }
}
