//! WAV files: decoding with errors that name the field, encoding with the protocol's exact
//! conversion.

// Why not the crate hound (3.5.1):
//
// - It refuses files that other programs write and accept: with a data chunk of length 0xffffffff,
//   the placeholder of programs that write to a pipe; with bytes past the last complete frame; with
//   32-bit integers in a `fmt` chunk of 18 bytes; with a byte rate that does not follow from the
//   other fields.
// - It skips no padding after a chunk of odd length, and so reads the next chunk at a wrong offset.
// - The samples of an interrupted recording end with an I/O error.
// - Its errors are texts without the field's value; miners get the field, the value and what is
//   expected.
// - Samples are read one by one, and the conversion to the protocol's floats and back would be ours
//   anyway.

use serde::{Deserialize, Serialize};
use taonet_primitives::{SampleRate, Seconds};

use crate::{Pcm, SampleFormat};

mod error;
mod header;
mod samples;

pub use error::WavError;
use samples::decode_pcm;
pub use samples::encode_pcm;
pub(crate) use samples::sanitize;

/// The header of a WAV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WavHeader {
    /// The sample format of the file.
    pub format: SampleFormat,
    /// The number of channels, at least 1.
    pub channels: u16,
    /// Samples per second and channel.
    pub rate: SampleRate,
    /// The number of samples per channel present in the file.
    pub frames: usize,
    /// The number of bytes of audio that a truncated file lacks; 0 if the data chunk declares the
    /// placeholder of a program that writes to a pipe.
    pub missing_bytes: usize,
}

impl WavHeader {
    /// Parses the header of a WAV file without converting its samples.
    ///
    /// # Errors
    /// [`WavError`] naming the first invalid field.
    pub fn read(file: &[u8]) -> Result<Self, WavError> {
        header::parse(file).map(|parsed| parsed.header)
    }

    /// Returns the duration of the audio.
    pub fn duration(&self) -> Seconds {
        Seconds::of_frames(self.frames, self.rate)
    }
}

/// A decoded WAV file: its audio and its sample format.
#[derive(Debug, Clone, PartialEq)]
pub struct Wav {
    /// Interleaved samples in `-1..=1`.
    pub pcm: Pcm,
    /// The sample format of the file.
    pub format: SampleFormat,
}

impl Wav {
    /// Decodes a RIFF/WAVE file: PCM of 8, 16 or 32 bits or 32-bit floats, plain or extensible.
    ///
    /// Unknown chunks are skipped. Bytes past the last complete frame are ignored. Integers are
    /// scaled to [-1, 1): `(x - 128) / 128`, `x / 32768` and `x / 2^31`; floats are clipped to [-1,
    /// 1] and NaN becomes 0.
    ///
    /// If the data chunk declares more bytes than the file has, it extends to the end of the file,
    /// as in other programs: the recording was interrupted, or a program that writes to a pipe left
    /// a placeholder, such as `0xffffffff`. So does a data chunk with the length 0, if the RIFF
    /// chunk ends with the header.
    ///
    /// # Errors
    /// [`WavError`] naming the first invalid field. A file without samples is valid.
    pub fn decode(file: &[u8]) -> Result<Self, WavError> {
        Self::decode_parsed(header::parse(file)?)
    }

    /// Decodes a file of the user: like [`Wav::decode`], which is for files of peers, but NaN and
    /// infinity are errors.
    ///
    /// # Errors
    /// [`WavError`] naming the first invalid field, or the first sample that is not finite.
    pub fn decode_finite(file: &[u8]) -> Result<Self, WavError> {
        let parsed = header::parse(file)?;
        if let Some(position) = samples::first_non_finite(parsed.data, parsed.header.format) {
            let frame = position / usize::from(parsed.header.channels);
            return Err(WavError::NonFinite { frame });
        }
        Self::decode_parsed(parsed)
    }

    fn decode_parsed(
        header::ParsedWav { header, data }: header::ParsedWav<'_>,
    ) -> Result<Self, WavError> {
        let pcm = decode_pcm(data, header.format, header.channels, header.rate)?;
        Ok(Self { pcm, format: header.format })
    }

    /// Encodes audio as a WAV file; see [`encode_pcm`] for the conversion of samples.
    ///
    /// # Errors
    /// [`WavError`] when the channel count is 0, the last frame is incomplete or the audio exceeds
    /// the 4 GiB of a WAV file.
    pub fn encode(pcm: &Pcm, format: SampleFormat) -> Result<Vec<u8>, WavError> {
        let channels = usize::from(pcm.channels);
        if channels == 0 {
            return Err(WavError::Field { field: "channels", found: 0, expected: "at least 1" });
        }
        if !pcm.samples.len().is_multiple_of(channels) {
            let found = pcm.samples.len() as u64;
            return Err(WavError::Field {
                field: "samples",
                found,
                expected: "a multiple of the channel count",
            });
        }
        header::write(pcm.samples.len(), pcm.channels, pcm.rate, format, |file| {
            samples::append_samples(file, &pcm.samples, format);
        })
    }

    /// Wraps encoded samples, as produced by [`encode_pcm`], in a WAV file.
    ///
    /// # Errors
    /// [`WavError`] when the channel count is 0, the last frame is incomplete, or the bytes exceed
    /// the 4 GiB of a WAV file.
    pub fn wrap(
        bytes: &[u8],
        format: SampleFormat,
        channels: u16,
        rate: SampleRate,
    ) -> Result<Vec<u8>, WavError> {
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
        header::write(bytes.len() / usize::from(format.width()), channels, rate, format, |file| {
            file.extend_from_slice(bytes);
        })
    }
}

#[cfg(test)]
mod tests;
