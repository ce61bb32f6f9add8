//! Streaming reader of training texts.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use taonet_primitives::bytes_without_bom;

use super::TrainError;

/// Maximum length in bytes of a line, and of a value in a JSON document.
const MAX_LINE: u64 = 1 << 20;
/// Bytes between the values of a JSON document.
const SEPARATORS: &[u8] = b" \t\r\n,:[]{}";
/// Size of the read buffer in bytes.
const BUFFER: usize = 256 << 10;

/// Why training texts could not be used. Every message names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The file is unreadable.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// Path of the training file.
        file: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// A line is not UTF-8.
    #[error("{}: line {line} is not UTF-8; hint: convert the file, for example with iconv", file.display())]
    Encoding {
        /// Path of the training file.
        file: PathBuf,
        /// Number of the line, from 1.
        line: u64,
    },
    /// A line is too long.
    #[error("{}: line {line} is longer than {MAX_LINE} bytes; hint: write one utterance per line", file.display())]
    Line {
        /// Path of the training file.
        file: PathBuf,
        /// Number of the line, from 1.
        line: u64,
    },
    /// A text or number of a JSON document is too long.
    #[error(
        "{}: line {line} has a text or number of more than {MAX_LINE} bytes; hint: split it into utterances, and check \
         that its quotation marks are complete",
        file.display()
    )]
    Value {
        /// Path of the training file.
        file: PathBuf,
        /// Number of the line, from 1.
        line: u64,
    },
    /// The file is not valid JSON with dialogues.
    #[error(
        "{}: {source}; hint: expected {{\"dialogues\": [{{\"utterances\": [texts]}}]}}, a list of these, or one per line",
        file.display()
    )]
    Json {
        /// Path of the training file.
        file: PathBuf,
        /// The error, with its line and column.
        source: serde_json::Error,
    },
    /// A text in a JSON document is not UTF-8.
    #[error("{}: {source}; hint: convert the file to UTF-8, for example with iconv", file.display())]
    JsonEncoding {
        /// Path of the training file.
        file: PathBuf,
        /// The error, with its line and column.
        source: serde_json::Error,
    },
    /// The file ends within a JSON document.
    #[error("{}: the file is truncated: {source}; hint: download or copy it again", file.display())]
    Truncated {
        /// Path of the training file.
        file: PathBuf,
        /// The error, with its line and column.
        source: serde_json::Error,
    },
    /// The file has no utterance.
    #[error("{} has no utterances", file.display())]
    Empty {
        /// Path of the training file.
        file: PathBuf,
    },
    /// The trainer refused an utterance.
    #[error("{}: {source}", file.display())]
    Train {
        /// Path of the training file.
        file: PathBuf,
        /// Why the trainer rejected the utterance.
        source: TrainError,
    },
}

impl InputError {
    /// Returns a function that adds the path of a file to an I/O error.
    fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { file: path.to_owned(), source }
    }
}

/// Calls `utterance` with each utterance of a file: the strings of every `utterances` list in a
/// `.json` or `.jsonl` file, or the lines of any other file. Calls `progress` with the number of
/// bytes read so far. Returns the number of utterances.
///
/// # Errors
/// [`InputError`] when the file is unreadable, malformed or empty, or the trainer rejects an
/// utterance.
pub fn read_utterances(
    path: &Path,
    progress: impl FnMut(u64),
    mut utterance: impl FnMut(&str) -> Result<(), TrainError>,
) -> Result<u64, InputError> {
    let mut inner = File::open(path).map_err(InputError::read(path))?;
    let bytes = skip_bom(&mut inner).map_err(InputError::read(path))?;
    let file = ProgressReader { inner, bytes, progress };
    let is_json =
        path.extension().is_some_and(|extension| extension == "json" || extension == "jsonl");
    let mut count = 0;
    let each = |text: &str| {
        count += 1;
        utterance(text)
    };
    if is_json {
        read_json(path, file, each)?;
    } else {
        read_lines(path, BufReader::with_capacity(BUFFER, file), each)?;
    }
    if count == 0 { Err(InputError::Empty { file: path.to_owned() }) } else { Ok(count) }
}

/// Skips a byte order mark at the beginning of a file, and returns its length. Input that cannot be
/// sought, such as a pipe, is read as it is.
fn skip_bom(file: &mut File) -> io::Result<u64> {
    if file.stream_position().is_err() {
        return Ok(0);
    }
    let mut start = Vec::new();
    file.take(3).read_to_end(&mut start)?;
    let mark_len = start.len() - bytes_without_bom(&start).len();
    file.seek(SeekFrom::Start(mark_len as u64))
}

/// A reader that reports its progress.
struct ProgressReader<R, P> {
    inner: R,
    bytes: u64,
    progress: P,
}

impl<R: Read, P: FnMut(u64)> Read for ProgressReader<R, P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        (self.progress)(self.bytes);
        Ok(read)
    }
}

/// A reader of JSON that fails when a text or number is too long, which the parser would hold in
/// memory.
struct LengthLimitedReader<'a, R> {
    inner: R,
    /// Whether the last byte is inside a text.
    is_text: bool,
    /// Whether the last byte escapes the next one.
    is_escape: bool,
    /// Length of the current text or number in bytes.
    length: u64,
    /// Number of the current line, from 1.
    line: u64,
    /// Number of the line in which the value exceeds the limit.
    excess_line: &'a Cell<Option<u64>>,
}

impl<R: Read> Read for LengthLimitedReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Nothing is read after a failure.
        let read = if self.excess_line.get().is_none() { self.inner.read(buffer)? } else { 0 };
        for byte in buffer.iter().take(read) {
            let is_escaped = std::mem::take(&mut self.is_escape);
            self.length += 1;
            match byte {
                b'\\' if self.is_text && !is_escaped => self.is_escape = true,
                b'"' if !is_escaped => (self.is_text, self.length) = (!self.is_text, 0),
                _ if !self.is_text && SEPARATORS.contains(byte) => self.length = 0,
                _ => {}
            }
            self.line += u64::from(*byte == b'\n');
            if self.length > MAX_LINE {
                self.excess_line.set(Some(self.line));
                return Err(io::Error::from(io::ErrorKind::InvalidData));
            }
        }
        Ok(read)
    }
}

fn read_lines(
    path: &Path,
    mut reader: BufReader<impl Read>,
    mut each: impl FnMut(&str) -> Result<(), TrainError>,
) -> Result<(), InputError> {
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let mut limited = reader.by_ref().take(MAX_LINE + 1);
        limited.read_until(b'\n', &mut bytes).map_err(InputError::read(path))?;
        if bytes.is_empty() {
            break;
        }
        if bytes.len() as u64 > MAX_LINE {
            return Err(InputError::Line { file: path.to_owned(), line });
        }
        let text = std::str::from_utf8(&bytes);
        let text = text.map_err(|_| InputError::Encoding { file: path.to_owned(), line })?.trim();
        if !text.is_empty() {
            each(text).map_err(|source| InputError::Train { file: path.to_owned(), source })?;
        }
    }
    Ok(())
}

fn read_json(
    path: &Path,
    file: impl Read,
    each: impl FnMut(&str) -> Result<(), TrainError>,
) -> Result<(), InputError> {
    let excess_line = Cell::new(None);
    let limited = LengthLimitedReader {
        inner: file,
        is_text: false,
        is_escape: false,
        length: 0,
        line: 1,
        excess_line: &excess_line,
    };
    let reader = BufReader::with_capacity(BUFFER, limited);
    let mut deserializer = serde_json::Deserializer::from_reader(reader);
    let (each, refused) = (RefCell::new(each), Cell::new(None));
    let node = JsonNode { each: &each, refused: &refused };
    // Several documents may follow each other, with or without line ends between them.
    while deserializer.end().is_err() {
        node.deserialize(&mut deserializer).map_err(|source| {
            match (refused.take(), excess_line.get()) {
                (Some(refused), _) => InputError::Train { file: path.to_owned(), source: refused },
                (None, Some(line)) => InputError::Value { file: path.to_owned(), line },
                (None, None) if source.is_io() => {
                    InputError::Read { file: path.to_owned(), source: source.into() }
                }
                (None, None) if source.is_eof() => {
                    InputError::Truncated { file: path.to_owned(), source }
                }
                (None, None) if is_encoding(&source) => {
                    InputError::JsonEncoding { file: path.to_owned(), source }
                }
                (None, None) => InputError::Json { file: path.to_owned(), source },
            }
        })?;
    }
    Ok(())
}

/// Returns whether a text is not UTF-8. The error has no other sign of that than its message.
fn is_encoding(error: &serde_json::Error) -> bool {
    error.is_syntax() && error.to_string().starts_with("invalid unicode code point")
}

/// Deserializer of a document, a dialogue, or a list of them.
struct JsonNode<'a, F> {
    each: &'a RefCell<F>,
    /// The trainer's error, which a deserialisation error cannot carry.
    refused: &'a Cell<Option<TrainError>>,
}

impl<F> Clone for JsonNode<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for JsonNode<'_, F> {}

impl<'de, F: FnMut(&str) -> Result<(), TrainError>> DeserializeSeed<'de> for JsonNode<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(&str) -> Result<(), TrainError>> Visitor<'de> for JsonNode<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `dialogues` or `utterances`, or a list of such objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(key) = object.next_key::<String>()? {
            match key.as_str() {
                "dialogues" => object.next_value_seed(self)?,
                "utterances" => object.next_value_seed(Texts(self))?,
                _ => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Deserializer of a list of utterances.
struct Texts<'a, F>(JsonNode<'a, F>);

impl<'de, F: FnMut(&str) -> Result<(), TrainError>> DeserializeSeed<'de> for Texts<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(&str) -> Result<(), TrainError>> Visitor<'de> for Texts<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`utterances`: a list of texts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Text(self.0))?.is_some() {}
        Ok(())
    }
}

/// Deserializer of an utterance.
struct Text<'a, F>(JsonNode<'a, F>);

impl<'de, F: FnMut(&str) -> Result<(), TrainError>> DeserializeSeed<'de> for Text<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<F: FnMut(&str) -> Result<(), TrainError>> Visitor<'_> for Text<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an utterance: a text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        (self.0.each.borrow_mut())(text).map_err(|error| {
            self.0.refused.set(Some(error));
            E::custom(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, content: &[u8]) -> Result<Vec<String>, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        let (mut texts, mut last) = (Vec::new(), 0);
        let outcome = read_utterances(
            &path,
            |bytes| last = bytes,
            |text| {
                texts.push(text.to_owned());
                Ok(())
            },
        );
        let message =
            |error: InputError| error.to_string().replace(&path.display().to_string(), "FILE");
        outcome.map_err(message)?;
        assert_eq!(last, content.len() as u64);
        Ok(texts)
    }

    #[test]
    fn each_line_is_an_utterance() {
        assert_eq!(
            read("a.txt", b"one two\r\n\n  three \nfour"),
            Ok(vec!["one two".into(), "three".into(), "four".into()])
        );
        assert_eq!(read("a.txt", "\u{feff}one two".as_bytes()), Ok(vec!["one two".into()]));
        assert_eq!(read("a.txt", b"\n \n"), Err("FILE has no utterances".to_owned()));
        let error = read("a.txt", b"good\nb\xffd\n").unwrap_err();
        assert_eq!(
            error,
            "FILE: line 2 is not UTF-8; hint: convert the file, for example with iconv"
        );
        let error = read("a.txt", &vec![b'a'; (1 << 20) + 1]).unwrap_err();
        assert!(error.starts_with("FILE: line 1 is longer than"), "{error}");
    }

    #[test]
    fn json_of_dialogues_is_read_in_every_form() {
        let one = r#"{"challenge_uid": "c", "dialogues": [{"dialogue_uid": "d", "utterances": ["a b", "c"]}], "x": [1]}"#;
        for content in [
            one.to_owned(),
            format!("[{one}]"),
            format!("{one}\n"),
            format!("\u{feff}{one}"),
            r#"{"utterances": ["a b"]}{"utterances": ["c"]}"#.to_owned(),
        ] {
            assert_eq!(
                read("a.json", content.as_bytes()),
                Ok(vec!["a b".into(), "c".into()]),
                "{content}"
            );
        }
    }

    #[test]
    fn malformed_json_is_refused_with_its_position() {
        #[rustfmt::skip]
        let table = [
            (&br#"{"dialogues": [{"utterances": ["a b", "c"#[..],
                "FILE: the file is truncated: EOF while parsing a string at line 1 column"),
            (br#"{"utterances": ["a"]}{"utterances": ["#, "FILE: the file is truncated: EOF while parsing a list"),
            (br#"{"utterances": [7]}"#, "invalid type: integer `7`, expected an utterance: a text"),
            (br#"{"utterances": "a"}"#, "expected `utterances`: a list of texts"),
            (b"7", "expected an object with `dialogues` or `utterances`"),
            (b"{\"utterances\": [\"\xff\"]}", "hint: convert the file to UTF-8"),
            (b"{}", "FILE has no utterances"),
            (b"", "FILE has no utterances"),
        ];
        for (content, expected) in table {
            let error = read("a.json", content).unwrap_err();
            assert!(error.contains(expected), "{}: {error}", String::from_utf8_lossy(content));
            // Only the error for a truncated file has this hint.
            let is_truncated = expected.contains("truncated");
            assert_eq!(
                error.ends_with("; hint: download or copy it again"),
                is_truncated,
                "{error}"
            );
        }
        let deeply_nested = "[".repeat(100_000);
        assert!(read("a.json", deeply_nested.as_bytes()).unwrap_err().contains("recursion limit"));
    }

    #[test]
    fn overlong_json_value_is_refused_with_its_line() {
        let maximum = MAX_LINE as usize;
        let document = |value: &str| format!("{{\"utterances\": [\"a\",\n\"b\", {value}");
        #[rustfmt::skip]
        let table = [
            format!("\"{}", "x".repeat(maximum + 1)),
            format!("\"{}", "\\\"".repeat(maximum)),
            "1".repeat(maximum + 1),
        ];
        for value in table {
            let error = read("a.json", document(&value).as_bytes()).unwrap_err();
            let expected =
                "FILE: line 2 has a text or number of more than 1048576 bytes; hint: split it";
            assert!(error.starts_with(expected), "{value:.5}: {error}");
        }
        let longest = "x".repeat(maximum);
        let texts = read("a.json", document(&format!("\"{longest}\"]}}")).as_bytes()).unwrap();
        assert_eq!(texts, ["a", "b", longest.as_str()]);
        // Many short values in one line.
        let texts = read(
            "a.json",
            document(&format!("{}\"c\"]}}", r#""say \"it\" \\", "#.repeat(100_000))).as_bytes(),
        );
        let texts = texts.unwrap();
        assert_eq!((texts.len(), texts[2].as_str()), (100_003, r#"say "it" \"#));
    }

    #[test]
    fn training_error_stops_reading() {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in [("a.json", r#"{"utterances": ["a"]}"#), ("a.txt", "a")] {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            let error =
                read_utterances(&path, |_| (), |_| Err(TrainError::TooManyWords)).unwrap_err();
            assert!(
                matches!(error, InputError::Train { source: TrainError::TooManyWords, .. }),
                "{error}"
            );
        }
    }
}
