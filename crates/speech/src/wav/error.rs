use taonet_primitives::counted;

/// Why a WAV file could not be decoded or encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WavError {
    /// The file ends within a field.
    #[error("{field}: unexpected end of file: expected {}, found {found}", counted(.expected, "byte"))]
    Truncated {
        /// Name of the truncated field.
        field: &'static str,
        /// The size of the field in bytes.
        expected: usize,
        /// The number of bytes remaining in the file.
        found: usize,
    },
    /// A four-letter tag is wrong.
    #[error("{field} is \"{}\", expected \"{}\"", found.escape_ascii(), expected.escape_ascii())]
    Tag {
        /// `RIFF id` or `WAVE id`.
        field: &'static str,
        /// The tag in the file.
        found: [u8; 4],
        /// The tag required by the format.
        expected: [u8; 4],
    },
    /// A field has an invalid value.
    #[error("{field} is {found}, expected {expected}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// The invalid value of the field.
        found: u64,
        /// The allowed values, in words.
        expected: &'static str,
    },
    /// A required chunk is missing.
    #[error("missing {chunk} chunk")]
    MissingChunk {
        /// ID of the chunk.
        chunk: &'static str,
    },
    /// The encoding of the samples is unsupported.
    #[error(
        "audio format is 0x{found:04x}, expected 1 (PCM) or 3 (float); hint: convert the file to 16-bit PCM"
    )]
    Encoding {
        /// The format code in the file.
        found: u16,
    },
    /// The sample width is unsupported.
    #[error(
        "bits per sample is {found}, expected {expected}; hint: convert the file to 16-bit PCM"
    )]
    Bits {
        /// The sample width in bits.
        found: u16,
        /// The supported widths for this encoding.
        expected: &'static str,
    },
    /// A floating-point sample is NaN or infinite.
    #[error("sample {frame} is NaN or infinite; hint: export the audio again, as 16-bit PCM")]
    NonFinite {
        /// The position of the first such sample in its channel, from 0.
        frame: usize,
    },
}
