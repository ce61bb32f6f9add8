use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::{fmt, io};

use sha2::{Digest, Sha256};
use taonet_babelbit_core::scoring::{ScoreError, Timeline, Timing};
use taonet_primitives::{Seconds, Transcript};
use taonet_speech::{WavError, WavHeader};

/// SHA-256 of a WAV file, header included.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AudioHash([u8; 32]);

impl AudioHash {
    /// Hashes a file's bytes.
    pub fn of(wav: &[u8]) -> Self {
        Self(Sha256::digest(wav).into())
    }

    /// Parses 64 hexadecimal digits; `None` for any other text.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok().map(|()| Self(bytes))
    }
}

impl fmt::Display for AudioHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for AudioHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AudioHash({self})")
    }
}

/// A WAV file in memory or on disk. Cheap to clone; the hash is computed at most once.
#[derive(Debug, Clone)]
pub struct Audio(Arc<AudioSource>);

#[derive(Debug)]
enum AudioSource {
    Memory { bytes: Vec<u8>, hash: OnceLock<AudioHash> },
    Disk { path: PathBuf, hash: AudioHash },
}

impl Audio {
    /// Creates audio from a file with a known hash, without reading the file.
    pub fn on_disk(path: PathBuf, hash: AudioHash) -> Self {
        Self(Arc::new(AudioSource::Disk { path, hash }))
    }

    /// Returns the bytes of audio in memory; `None` for audio on disk.
    pub fn in_memory(&self) -> Option<&[u8]> {
        match &*self.0 {
            AudioSource::Memory { bytes, .. } => Some(bytes),
            AudioSource::Disk { .. } => None,
        }
    }

    /// Returns the bytes of the file, read from disk if necessary.
    ///
    /// # Errors
    /// When the file is unreadable or its hash has changed: a transcript must not be stored under a
    /// wrong hash.
    pub fn read(&self) -> io::Result<Cow<'_, [u8]>> {
        match &*self.0 {
            AudioSource::Memory { bytes, .. } => Ok(bytes.into()),
            AudioSource::Disk { path, hash } => {
                let bytes = std::fs::read(path)?;
                if AudioHash::of(&bytes) == *hash {
                    Ok(bytes.into())
                } else {
                    Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("{} was modified", path.display()),
                    ))
                }
            }
        }
    }

    /// Returns the SHA-256 of the file.
    pub fn hash(&self) -> AudioHash {
        match &*self.0 {
            AudioSource::Memory { bytes, hash } => *hash.get_or_init(|| AudioHash::of(bytes)),
            AudioSource::Disk { hash, .. } => *hash,
        }
    }
}

impl From<Vec<u8>> for Audio {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(AudioSource::Memory { bytes, hash: OnceLock::new() }))
    }
}

/// A miner's reply to an utterance.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The reply as a WAV file; `None` without audio, or if only a transcript is available.
    pub wav: Option<Audio>,
    /// Duration of the reply, required if no WAV file is in memory.
    pub duration: Option<Seconds>,
    /// Arrival times of the reply's chunks.
    pub timeline: Timeline,
    /// Number of channels of the chunks in `timeline`.
    pub channels: u16,
    /// Duration of the source: number of samples divided by the sample rate, without the padding of
    /// the last frame.
    pub source_duration: Seconds,
    /// A known transcript: if present, recognition and the gates before it are skipped.
    pub transcript: Option<Transcript>,
}

impl Candidate {
    /// Returns the timing for the score, and the error of a malformed WAV file.
    pub(super) fn timing(&self) -> (Timing, Option<ScoreError>) {
        let (duration, error) =
            match self.wav.as_ref().and_then(Audio::in_memory).map(WavHeader::read) {
                Some(Ok(header)) => (header.duration(), None),
                Some(Err(error)) => (Seconds::ZERO, Some(wav_error(&error))),
                None => (self.duration.unwrap_or_default(), None),
            };
        (self.timeline.timing(self.channels, duration, self.source_duration), error)
    }
}

/// Converts a WAV error to the error name and text of the reference system's WAV reader.
pub(super) fn wav_error(error: &WavError) -> ScoreError {
    match error {
        // Python's reader has no message for a truncated file.
        WavError::Truncated { .. } => ScoreError::failed("EOFError", &""),
        WavError::Tag { field: "RIFF id", .. } => {
            ScoreError::failed("Error", &"file does not start with RIFF id")
        }
        WavError::Tag { field: "WAVE id", .. } => ScoreError::failed("Error", &"not a WAVE file"),
        WavError::MissingChunk { .. } => {
            ScoreError::failed("Error", &"fmt chunk and/or data chunk missing")
        }
        WavError::Encoding { found } => {
            ScoreError::failed("Error", &format_args!("unknown format: {found}"))
        }
        WavError::Bits { .. } => ScoreError::failed("ValueError", error),
        _ => ScoreError::failed("Error", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(wav: &[u8]) -> String {
        wav_error(&WavHeader::read(wav).unwrap_err()).to_string()
    }

    #[test]
    fn invalid_wav_has_the_error_text_of_the_reference() {
        let format = |code: u8, bits: u8| {
            let mut wav = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0".to_vec();
            wav.extend([code, 0, 1, 0, 0x80, 0x3e, 0, 0, 0, 0x7d, 0, 0, 2, 0, bits, 0]);
            wav
        };
        assert_eq!(error_of(b""), "EOFError:");
        assert_eq!(error_of(b"RI"), "EOFError:");
        assert_eq!(error_of(b"GARBAGE GARBAGE GARBAGE"), "Error:file does not start with RIFF id");
        assert_eq!(error_of(b"RIFF\x04\0\0\0AVI "), "Error:not a WAVE file");
        assert_eq!(error_of(b"RIFF\x04\0\0\0WAVE"), "Error:fmt chunk and/or data chunk missing");
        assert_eq!(error_of(&format(7, 16)), "Error:unknown format: 7");
        assert!(error_of(&format(1, 24)).starts_with("ValueError:bits per sample is 24"));
    }

    #[test]
    fn audio_hashes_round_trip() {
        let hash = AudioHash::of(b"RIFF");
        assert_eq!(AudioHash::from_hex(&hash.to_string()), Some(hash));
        assert_eq!(AudioHash::from_hex("12"), None);
        assert_eq!(AudioHash::from_hex(&"g".repeat(64)), None);
    }
}
