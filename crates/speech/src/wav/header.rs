//! The chunk structure of a WAV file.

use taonet_primitives::SampleRate;

use super::{WavError, WavHeader};
use crate::SampleFormat;

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const EXTENSIBLE: u16 = 0xfffe;
/// The minimum sample rate in Hz. No speech is recorded at lower rates, and resampling from them
/// would exhaust the memory.
const MIN_RATE: u32 = 1000;
/// The minimum data length that is the placeholder of a program that writes to a pipe, such as
/// `0x7ffff000` or `0xffffffff`, if the file is shorter.
const MIN_PLACEHOLDER: u32 = 0x7000_0000;
/// The bytes after the format code in the sub-format ID of an extensible file.
const SUBFORMAT_TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];

/// A parsed header and the bytes of the data chunk, truncated to complete frames.
#[derive(Clone, Copy)]
pub(super) struct ParsedWav<'a> {
    pub(super) header: WavHeader,
    pub(super) data: &'a [u8],
}

/// Reads fields from the front of a byte slice.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, field: &'static str, length: usize) -> Result<&'a [u8], WavError> {
        let (bytes, remaining) = self.0.split_at_checked(length).ok_or(WavError::Truncated {
            field,
            expected: length,
            found: self.0.len(),
        })?;
        self.0 = remaining;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], WavError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(field, N)?);
        Ok(bytes)
    }

    fn u16(&mut self, field: &'static str) -> Result<u16, WavError> {
        self.array(field).map(u16::from_le_bytes)
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, WavError> {
        self.array(field).map(u32::from_le_bytes)
    }

    fn tag(&mut self, field: &'static str, expected: [u8; 4]) -> Result<(), WavError> {
        let found = self.array(field)?;
        if found == expected { Ok(()) } else { Err(WavError::Tag { field, found, expected }) }
    }
}

struct FmtChunk {
    format: SampleFormat,
    channels: u16,
    rate: SampleRate,
}

/// Parses a file, whose data chunk may be incomplete.
pub(super) fn parse(file: &[u8]) -> Result<ParsedWav<'_>, WavError> {
    let mut reader = Reader(file);
    reader.tag("RIFF id", *b"RIFF")?;
    let riff_length = reader.u32("RIFF length")?;
    reader.tag("WAVE id", *b"WAVE")?;
    let mut fmt = None;
    loop {
        if reader.0.is_empty() {
            return Err(WavError::MissingChunk {
                chunk: if fmt.is_some() { "data" } else { "fmt" },
            });
        }
        let id: [u8; 4] = reader.array("chunk id")?;
        let length = reader.u32("chunk length")?;
        match &id {
            b"fmt " => {
                let length = length as usize;
                if length < 16 {
                    let found = length as u64;
                    return Err(WavError::Field {
                        field: "fmt chunk size",
                        found,
                        expected: "at least 16",
                    });
                }
                fmt = Some(parse_format(reader.take("fmt chunk", length)?)?);
                skip_padding(&mut reader, length);
            }
            b"data" => {
                let fmt = fmt.ok_or(WavError::MissingChunk { chunk: "fmt" })?;
                let start = file.len() - reader.0.len();
                let is_streamed = (riff_length as usize).saturating_add(8) <= start;
                let data = data_bytes(reader.0, length, is_streamed);
                let mut parsed = truncate_to_frames(data, &fmt);
                if length < MIN_PLACEHOLDER {
                    parsed.header.missing_bytes = (length as usize).saturating_sub(data.len());
                }
                return Ok(parsed);
            }
            _ => {
                let length = length as usize;
                reader.take("skipped chunk", length)?;
                skip_padding(&mut reader, length);
            }
        }
    }
}

/// Skips to the next even offset, where chunks start; a missing padding byte at the end is
/// tolerated.
fn skip_padding(reader: &mut Reader<'_>, length: usize) {
    if length % 2 == 1 {
        reader.0 = reader.0.get(1..).unwrap_or_default();
    }
}

/// Returns the bytes of the data chunk: those in the file, if it declares more. `is_streamed` means
/// that the RIFF length covers only the header, so a data length of 0 is a placeholder.
fn data_bytes(remaining: &[u8], declared: u32, is_streamed: bool) -> &[u8] {
    if declared == 0 && is_streamed {
        return remaining;
    }
    remaining.get(..declared as usize).unwrap_or(remaining)
}

fn truncate_to_frames<'a>(data: &'a [u8], fmt: &FmtChunk) -> ParsedWav<'a> {
    let frame_bytes = usize::from(fmt.channels) * usize::from(fmt.format.width());
    let frames = data.len() / frame_bytes;
    let data = data.get(..frames * frame_bytes).unwrap_or_default();
    ParsedWav {
        header: WavHeader {
            format: fmt.format,
            channels: fmt.channels,
            rate: fmt.rate,
            frames,
            missing_bytes: 0,
        },
        data,
    }
}

fn parse_format(chunk: &[u8]) -> Result<FmtChunk, WavError> {
    let mut reader = Reader(chunk);
    let code = reader.u16("audio format")?;
    let channels = reader.u16("channels")?;
    let hz = reader.u32("sample rate")?;
    let _bytes_per_second = reader.u32("byte rate")?;
    let block_align = reader.u16("block align")?;
    let bits = reader.u16("bits per sample")?;
    let code = if code == EXTENSIBLE { parse_subformat(&mut reader)? } else { code };

    if channels == 0 {
        return Err(WavError::Field { field: "channels", found: 0, expected: "at least 1" });
    }
    let rate = SampleRate::new(hz).ok().filter(|_| hz >= MIN_RATE).ok_or(WavError::Field {
        field: "sample rate",
        found: u64::from(hz),
        expected: "1000 to 768000",
    })?;
    let format = match (code, bits) {
        (PCM, 8) => SampleFormat::U8,
        (PCM, 16) => SampleFormat::S16,
        (PCM, 32) => SampleFormat::S32,
        (FLOAT, 32) => SampleFormat::F32,
        (PCM, found) => return Err(WavError::Bits { found, expected: "8, 16 or 32 for PCM" }),
        (FLOAT, found) => return Err(WavError::Bits { found, expected: "32 for floats" }),
        (found, _) => return Err(WavError::Encoding { found }),
    };
    if u32::from(block_align) != u32::from(channels) * u32::from(format.width()) {
        let found = u64::from(block_align);
        return Err(WavError::Field {
            field: "block align",
            found,
            expected: "channels times bytes per sample",
        });
    }
    Ok(FmtChunk { format, channels, rate })
}

fn parse_subformat(reader: &mut Reader<'_>) -> Result<u16, WavError> {
    let extension = reader.u16("fmt extension size")?;
    if extension < 22 {
        let found = u64::from(extension);
        return Err(WavError::Field {
            field: "fmt extension size",
            found,
            expected: "at least 22",
        });
    }
    let _valid_bits = reader.u16("valid bits per sample")?;
    let _speakers = reader.u32("channel mask")?;
    let code = reader.u16("sub-format")?;
    let tail: [u8; 14] = reader.array("sub-format")?;
    // Only IDs with this tail contain a plain format code; other IDs are vendor-specific.
    Ok(if tail == SUBFORMAT_TAIL { code } else { EXTENSIBLE })
}

/// Writes a complete WAV file. `encode` appends the samples; `count` is their number over all
/// channels.
pub(super) fn write(
    count: usize,
    channels: u16,
    rate: SampleRate,
    format: SampleFormat,
    encode: impl FnOnce(&mut Vec<u8>),
) -> Result<Vec<u8>, WavError> {
    let width = u32::from(format.width());
    let frames = u32::try_from(count / usize::from(channels.max(1))).ok();
    let length = u32::try_from(count).ok().and_then(|count| count.checked_mul(width));
    let block_align = channels.checked_mul(format.width());
    let too_long_error = WavError::Field {
        field: "data length",
        found: count as u64 * u64::from(width),
        expected: "less than 4 GiB",
    };
    let is_float = format == SampleFormat::F32;
    // Formats other than PCM have an (empty) extension and a chunk with the number of frames.
    let (code, format_length, header_length) =
        if is_float { (FLOAT, 18_u32, 50_u32) } else { (PCM, 16, 36) };
    let padding = length.map(|length| length % 2);
    let riff_length = length
        .zip(padding)
        .and_then(|(length, padding)| length.checked_add(header_length + padding));
    let (Some(frames), Some(length), Some(riff_length)) = (frames, length, riff_length) else {
        return Err(too_long_error);
    };
    let Some(block_align) = block_align else {
        let found = u64::from(channels);
        return Err(WavError::Field {
            field: "channels",
            found,
            expected: "a block of less than 64 KiB",
        });
    };

    let mut file = Vec::with_capacity(riff_length as usize + 8);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&riff_length.to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&format_length.to_le_bytes());
    file.extend_from_slice(&code.to_le_bytes());
    file.extend_from_slice(&channels.to_le_bytes());
    file.extend_from_slice(&rate.hz().to_le_bytes());
    file.extend_from_slice(&rate.hz().saturating_mul(u32::from(block_align)).to_le_bytes());
    file.extend_from_slice(&block_align.to_le_bytes());
    file.extend_from_slice(&(format.width() * 8).to_le_bytes());
    if is_float {
        file.extend_from_slice(&[0, 0]);
        file.extend_from_slice(b"fact");
        file.extend_from_slice(&4_u32.to_le_bytes());
        file.extend_from_slice(&frames.to_le_bytes());
    }
    file.extend_from_slice(b"data");
    file.extend_from_slice(&length.to_le_bytes());
    encode(&mut file);
    if length % 2 == 1 {
        file.push(0);
    }
    Ok(file)
}
