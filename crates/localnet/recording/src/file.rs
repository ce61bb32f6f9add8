//! The file format: lines of JSON.
//!
//! The first line names the format, the chain, the block and the subnets, and lists the omitted
//! items. Each item has a line with its name, its encoding, the common prefix of its keys and the
//! number of its entries, followed by a line `[key, value]` for each entry, ordered by key and
//! without the prefix. The last line has the number of all entries and the BLAKE2b-256 hash of all
//! preceding bytes. Bytes are in hexadecimal digits.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{OmittedItem, Origin, RecordedItem, Recording, RecordingError};

/// Name of the format, in the first line.
const FORMAT: &str = "taonet-recording";
/// Version of the format.
const VERSION: u64 = 1;
/// Maximum length of a line, in bytes.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// The fields of the first line that all versions have.
#[derive(Deserialize)]
struct FormatLine {
    format: String,
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u64,
    origin: Origin,
    netuids: Vec<u16>,
    left_out: Vec<OmittedItem>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemLine {
    item: String,
    encoding: String,
    prefix: String,
    entries: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    entries: usize,
    blake2_256: String,
}

/// A line after the first one that is not an entry.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Item(ItemLine),
    End(EndLine),
}

struct HashingWriter<W> {
    inner: W,
    hash: Blake2b<U32>,
}

impl<W: Write> HashingWriter<W> {
    fn write_line(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.hash.update(&bytes);
        self.inner.write_all(&bytes)
    }
}

impl Recording {
    /// Writes the recording. Equal recordings give equal bytes.
    ///
    /// # Errors
    /// The errors of the writer.
    pub fn write(&self, writer: impl Write) -> io::Result<()> {
        let mut writer = HashingWriter { inner: writer, hash: Blake2b::new() };
        writer.write_line(&Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            origin: self.origin.clone(),
            netuids: self.netuids.clone(),
            left_out: self.omitted_items.clone(),
        })?;
        for (item, recorded) in &self.items {
            writer.write_line(&ItemLine {
                item: item.clone(),
                encoding: recorded.encoding.clone(),
                prefix: hex::encode(&recorded.prefix),
                entries: recorded.entries.len(),
            })?;
            for (key, value) in &recorded.entries {
                writer.write_line(&(hex::encode(key), hex::encode(value)))?;
            }
        }
        let blake2_256 = hex::encode(writer.hash.clone().finalize());
        writer.write_line(&EndLine { entries: self.len(), blake2_256 })?;
        writer.inner.flush()
    }

    /// Reads a recording from a file.
    ///
    /// # Errors
    /// [`RecordingError`].
    pub fn read(path: &Path) -> Result<Self, RecordingError> {
        let file = File::open(path)
            .map_err(|source| RecordingError::File { path: path.to_owned(), source })?;
        Self::read_from(BufReader::new(file), path)
    }

    pub(super) fn read_from(input: impl BufRead, path: &Path) -> Result<Self, RecordingError> {
        let mut reader =
            LineReader { input, path, number: 0, line: Vec::new(), hash: Blake2b::new() };
        reader.read_next()?;
        let format_line = serde_json::from_slice(&reader.line)
            .ok()
            .filter(|format_line: &FormatLine| format_line.format == FORMAT);
        let format_line = format_line.ok_or_else(|| RecordingError::Format(path.to_owned()))?;
        if format_line.version != VERSION {
            return Err(RecordingError::Version {
                path: path.to_owned(),
                actual: format_line.version,
                expected: VERSION,
            });
        }
        let Header { origin, netuids, left_out, .. } = reader.parse()?;
        let mut recording =
            Self { origin, netuids, omitted_items: left_out, items: BTreeMap::new() };
        loop {
            let preceding_hash = reader.hash.clone().finalize();
            reader.read_next()?;
            match reader.parse()? {
                Line::Item(line) => {
                    let ItemLine { item, encoding, prefix, entries } = line;
                    let prefix = reader.decode_hex(&prefix)?;
                    let mut recorded = RecordedItem { encoding, prefix, ..RecordedItem::default() };
                    for _ in 0..entries {
                        reader.read_next()?;
                        let (key, value): (String, String) = reader.parse()?;
                        let (key, value) = (reader.decode_hex(&key)?, reader.decode_hex(&value)?);
                        if recorded.entries.insert(key, value).is_some() {
                            return Err(reader.damaged_line("the key occurs twice"));
                        }
                    }
                    if recording.items.insert(item, recorded).is_some() {
                        return Err(reader.damaged_line("the item occurs twice"));
                    }
                }
                Line::End(EndLine { entries, blake2_256 }) => {
                    if entries != recording.len() || blake2_256 != hex::encode(preceding_hash) {
                        return Err(reader.damaged_line(
                            "the number of entries or the hash of the lines before is wrong",
                        ));
                    }
                    return if reader.is_at_end()? {
                        Ok(recording)
                    } else {
                        Err(reader.damaged_line("it is not the last"))
                    };
                }
            }
        }
    }
}

/// The lines of a file, with the hash of those read.
struct LineReader<'a, R> {
    input: R,
    path: &'a Path,
    number: usize,
    line: Vec<u8>,
    hash: Blake2b<U32>,
}

impl<R: BufRead> LineReader<'_, R> {
    /// Reads the next line.
    fn read_next(&mut self) -> Result<(), RecordingError> {
        self.line.clear();
        self.number = self.number.saturating_add(1);
        let read = (&mut self.input).take(MAX_LINE_BYTES).read_until(b'\n', &mut self.line);
        read.map_err(|source| RecordingError::File { path: self.path.to_owned(), source })?;
        self.hash.update(&self.line);
        if self.number > 1 && self.line.last() != Some(&b'\n') {
            return Err(self.damaged_line("it is incomplete"));
        }
        Ok(())
    }

    fn is_at_end(&mut self) -> Result<bool, RecordingError> {
        let buffered = self.input.fill_buf();
        Ok(buffered
            .map_err(|source| RecordingError::File { path: self.path.to_owned(), source })?
            .is_empty())
    }

    fn parse<T: DeserializeOwned>(&self) -> Result<T, RecordingError> {
        serde_json::from_slice(&self.line).map_err(|error| self.damaged_line(&error.to_string()))
    }

    fn decode_hex(&self, text: &str) -> Result<Vec<u8>, RecordingError> {
        hex::decode(text).map_err(|error| self.damaged_line(&error.to_string()))
    }

    fn damaged_line(&self, reason: &str) -> RecordingError {
        RecordingError::Damaged {
            path: self.path.to_owned(),
            line: self.number,
            reason: reason.to_owned(),
        }
    }
}
