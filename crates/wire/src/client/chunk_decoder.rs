use std::io;

/// Maximum size of the extensions and trailers of a body together, in bytes.
const MAX_SKIPPED_BYTES: usize = 16 * 1024;
/// Maximum number of chunks that are joined.
const MAX_JOINED_CHUNKS: u32 = 64;

/// Incremental decoder of a body in chunks (RFC 9112, section 7.1). Joins the chunks that have
/// arrived; skips extensions and trailers.
#[derive(Debug, Default)]
pub(super) struct ChunkDecoder {
    state: State,
    /// Size of the current chunk; within its data, the number of remaining bytes.
    size: usize,
    /// Number of bytes of extensions and trailers so far.
    skipped: usize,
}

/// The part of a body that the decoder expects next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// The first digit of a chunk's size.
    #[default]
    SizeStart,
    /// A further digit, or the end of the size.
    Size,
    /// Further spaces after a chunk's size, an extension, or the end of the line.
    SizeSpace,
    /// An extension of a chunk.
    Extension,
    /// The line feed after a chunk's size.
    SizeLineFeed,
    /// The data of a chunk.
    Data,
    /// The carriage return after the data.
    DataReturn,
    /// The line feed after the data.
    DataLineFeed,
    /// The start of a line after the last chunk.
    LineStart,
    /// A trailer.
    Trailer,
    /// The line feed after a trailer.
    TrailerLineFeed,
    /// The last line feed of the body.
    EndLineFeed,
    /// Nothing: the body has ended.
    End,
}

/// What [`ChunkDecoder::decode`] has decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DecodeProgress {
    /// Number of used bytes.
    pub(super) consumed: usize,
    /// Number of chunks that are complete.
    pub(super) chunks: u32,
}

impl ChunkDecoder {
    /// Returns whether the body has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.state == State::End
    }

    /// Decodes the next bytes and appends the data to `body`. Stops at the end of the body, after
    /// [`MAX_JOINED_CHUNKS`] chunks, and, if there is data, before an invalid byte.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] at an invalid byte.
    pub(super) fn decode(
        &mut self,
        bytes: &[u8],
        body: &mut Vec<u8>,
    ) -> io::Result<DecodeProgress> {
        let (mut remaining, mut chunks) = (bytes, 0);
        while chunks < MAX_JOINED_CHUNKS && !self.has_ended() {
            if self.state == State::Data {
                let length = self.size.min(remaining.len());
                let Some((data, after)) = remaining.split_at_checked(length) else { break };
                body.extend_from_slice(data);
                (self.size, remaining) = (self.size - length, after);
                if self.size > 0 {
                    break;
                }
                self.state = State::DataReturn;
            }
            let Some((byte, after)) = remaining.split_first() else { break };
            let Some(next_state) = self.next_state(*byte) else {
                if body.is_empty() {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                break;
            };
            chunks += u32::from(self.state == State::DataLineFeed);
            (self.state, remaining) = (next_state, after);
        }
        Ok(DecodeProgress { consumed: bytes.len() - remaining.len(), chunks })
    }

    /// Returns the state after a byte outside the data; `None` if the byte is invalid.
    fn next_state(&mut self, byte: u8) -> Option<State> {
        if matches!(self.state, State::SizeSpace | State::Extension | State::Trailer) {
            self.skipped += 1;
        }
        Some(match (self.state, byte) {
            (State::SizeStart | State::Size, byte) if byte.is_ascii_hexdigit() => {
                let digit = usize::try_from(char::from(byte).to_digit(16)?).ok()?;
                self.size = self.size.checked_mul(16)?.checked_add(digit)?;
                State::Size
            }
            (State::Size | State::SizeSpace | State::Extension, b'\r') => State::SizeLineFeed,
            (State::Size | State::SizeSpace, b';') => State::Extension,
            (State::Size, b' ' | b'\t') => State::SizeSpace,
            (State::SizeSpace, b' ' | b'\t') if self.skipped <= MAX_SKIPPED_BYTES => {
                State::SizeSpace
            }
            (State::Extension, byte) if byte != b'\n' && self.skipped <= MAX_SKIPPED_BYTES => {
                State::Extension
            }
            (State::SizeLineFeed, b'\n') if self.size > 0 => State::Data,
            (State::SizeLineFeed | State::TrailerLineFeed, b'\n') => State::LineStart,
            (State::DataReturn, b'\r') => State::DataLineFeed,
            (State::DataLineFeed, b'\n') => State::SizeStart,
            (State::LineStart, b'\r') => State::EndLineFeed,
            (State::Trailer, b'\r') => State::TrailerLineFeed,
            (State::LineStart | State::Trailer, _) if self.skipped <= MAX_SKIPPED_BYTES => {
                State::Trailer
            }
            (State::EndLineFeed, b'\n') => State::End,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use taonet_http::testing::split_at;

    use super::*;

    const BODY: &str =
        "5\r\nfirst\r\n1 \t ;a=b\r\n \r\n00C \r\nand\r\nsecond\n\r\n0\r\nx: y\r\nz\r\n\r\nnext";

    /// Decodes the pieces of a body; returns the data, and the bytes after the end.
    fn decode(pieces: &[&[u8]]) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let (mut decoder, mut body, mut unread) = (ChunkDecoder::default(), Vec::new(), Vec::new());
        for piece in pieces {
            unread.extend_from_slice(piece);
            while !unread.is_empty() && !decoder.has_ended() {
                let mut data = Vec::new();
                let decoded = decoder.decode(&unread, &mut data)?;
                unread.drain(..decoded.consumed);
                body.extend(data);
            }
        }
        assert!(decoder.has_ended());
        Ok((body, unread))
    }

    #[test]
    fn malformed_body_is_refused() {
        for body in [
            "\r\n",
            "x\r\n",
            ";\r\n",
            "1\n",
            "1\r \n",
            "1 2\r\n",
            "1 x\r\n",
            "1\r\nab",
            "1\r\na\n",
            "1\r\na\r\r",
            "1;\n",
            "10000000000000000\r\n",
            "0\r\n\r\r",
            "0\r\na\r\r",
        ] {
            assert!(decode(&[body.as_bytes()]).is_err(), "{body:?}");
        }
        for (start, byte) in [("1;", "x"), ("1", " "), ("0\r\n", "x")] {
            let endless = format!("{start}{}", byte.repeat(MAX_SKIPPED_BYTES + 3));
            assert!(decode(&[endless.as_bytes()]).is_err());
        }
    }

    #[test]
    fn number_of_joined_chunks_is_limited() {
        let (mut decoder, mut body) = (ChunkDecoder::default(), Vec::new());
        let chunks = "1\r\na\r\n".repeat(100);
        let decoded = decoder.decode(chunks.as_bytes(), &mut body).unwrap();
        assert_eq!(decoded, DecodeProgress { consumed: 64 * 6, chunks: 64 });
        let decoded = decoder.decode(b"2\r\nab", &mut body).unwrap();
        assert_eq!((decoded, body.len()), (DecodeProgress { consumed: 5, chunks: 0 }, 66));
    }

    proptest! {
        #[test]
        fn packet_boundaries_do_not_change_the_body(
            cuts in prop::collection::vec(0..BODY.len(), 0..6)
        ) {
            let expected = (b"first and\r\nsecond\n".to_vec(), b"next".to_vec());
            prop_assert_eq!(decode(&split_at(BODY, cuts)).unwrap(), expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = ChunkDecoder::default().decode(&bytes, &mut Vec::new());
        }
    }
}
