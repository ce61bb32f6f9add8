//! Parser for the server-sent events (`data: …` lines) that miners and inference servers send.

use memchr::memchr;

/// Maximum length of a line of a stream, in bytes.
pub const LONGEST_LINE: usize = 1 << 20;

/// A line exceeds [`LONGEST_LINE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line of the stream is longer than {LONGEST_LINE} bytes")]
pub struct LineTooLong;

/// Parser that splits a stream into the data of its events: the trimmed value of each `data:` line. Skips comments and
/// other fields.
#[derive(Debug, Default)]
pub struct DataLines {
    /// Start of a line whose end has not arrived.
    line: Vec<u8>,
}

impl DataLines {
    /// Adds the next bytes, and calls `take` with the data of each complete `data:` line.
    ///
    /// # Errors
    /// [`LineTooLong`] when a line exceeds the maximum, or an error of `take`. The parser is unusable after an error.
    pub fn push<E: From<LineTooLong>>(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = bytes;
        while let Some(end) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            if self.line.is_empty() && line.len() <= LONGEST_LINE {
                // Most lines arrive in one piece, and are not copied.
                data(line).map_or(Ok(()), &mut take)?;
            } else {
                self.append(line)?;
                self.finish(&mut take)?;
            }
            rest = after.get(1..).unwrap_or_default();
        }
        Ok(self.append(rest)?)
    }

    /// Ends the stream: calls `take` with the data of an unterminated last line.
    ///
    /// # Errors
    /// An error of `take`.
    pub fn finish<E>(&mut self, take: impl FnOnce(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let line = std::mem::take(&mut self.line);
        data(&line).map_or(Ok(()), take)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), LineTooLong> {
        if self.line.len() + bytes.len() > LONGEST_LINE {
            return Err(LineTooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }
}

/// Returns the trimmed value of a `data:` line.
fn data(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b"data:").map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::split_at;

    const STREAM: &str = ": ping\r\n\r\nevent: x\ndata: {\"a\":\"h\u{e9}\"}\r\n\r\ndata:b\n\ndata\ndata: [DONE]";

    fn through(pieces: &[&[u8]]) -> Result<Vec<String>, LineTooLong> {
        let (mut found, mut lines) = (Vec::new(), DataLines::default());
        let mut take = |data: &[u8]| {
            found.push(String::from_utf8_lossy(data).into_owned());
            Ok(())
        };
        for piece in pieces {
            lines.push(piece, &mut take)?;
        }
        lines.finish(&mut take)?;
        Ok(found)
    }

    #[test]
    fn endless_lines_are_refused() {
        assert_eq!(through(&[&vec![b'x'; LONGEST_LINE + 1]]), Err(LineTooLong));
        let half = vec![b'x'; LONGEST_LINE / 2 + 1];
        assert_eq!(through(&[&half, &half]), Err(LineTooLong));
        assert_eq!(through(&[&half, b"\n", &half]), Ok(Vec::new()));
    }

    proptest! {
        /// The stream may be split anywhere, even within a character.
        #[test]
        fn cuts_change_nothing(cuts in prop::collection::vec(0..STREAM.len(), 0..6)) {
            let expected = ["{\"a\":\"h\u{e9}\"}", "b", "[DONE]"].map(str::to_owned).to_vec();
            prop_assert_eq!(through(&split_at(STREAM, cuts)), Ok(expected));
        }
    }
}
