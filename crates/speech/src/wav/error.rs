use taonet_primitives::counted;

/// Why bytes are not a WAV file that can be read, or a sound cannot be written as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WavError {
    /// The file ends within a field.
    #[error("{field}: the file ends here; {} expected, {found} left", counted(.expected, "byte"))]
    Truncated {
        /// The field that is cut off.
        field: &'static str,
        /// Bytes the field takes.
        expected: usize,
        /// Bytes that are left.
        found: usize,
    },
    /// A four-letter mark is another one.
    #[error("{field} is \"{}\", expected \"{}\"", found.escape_ascii(), expected.escape_ascii())]
    Tag {
        /// `RIFF id` or `WAVE id`.
        field: &'static str,
        /// What the file holds.
        found: [u8; 4],
        /// What a WAV file holds.
        expected: [u8; 4],
    },
    /// A number is outside what the field may hold.
    #[error("{field} is {found}, expected {expected}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What was found.
        found: u64,
        /// What is allowed, in words.
        expected: &'static str,
    },
    /// A chunk that every WAV file has is not there.
    #[error("there is no {chunk} chunk")]
    MissingChunk {
        /// The chunk's id.
        chunk: &'static str,
    },
    /// The data chunk claims more bytes than the file has.
    #[error("data length is {}, but the file has only {available} left", counted(.declared, "byte"))]
    DataLength {
        /// Bytes the data chunk claims.
        declared: u64,
        /// Bytes after its head.
        available: u64,
    },
    /// The samples are compressed or of an unknown kind.
    #[error("audio format is 0x{found:04x}, expected 1 (PCM) or 3 (float); convert the file to 16-bit PCM")]
    Encoding {
        /// The format code found.
        found: u16,
    },
    /// The samples have a width that is not read.
    #[error("bits per sample is {found}, expected {expected}; convert the file to 16-bit PCM")]
    Bits {
        /// The width found.
        found: u16,
        /// The widths allowed for this kind of samples.
        expected: &'static str,
    },
}
