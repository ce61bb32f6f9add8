//! File format of n-gram models.
//!
//! ```text
//! "taongram"  8 bytes
//! version     u32, 1
//! lengths     u32, number of tables: contexts of 1 word, of 2 words, …
//! words       u64, size of the vocabulary
//! contexts    u64 for each table
//! words       for each: u16 length in bytes, UTF-8
//! tables      for each: u64 hash of each context, ascending; then u32 continuation of each
//! checksum    32 bytes: SHA-256 of everything before
//! ```
//!
//! Numbers are little-endian. The reader validates everything: each size (against the size of the
//! file, before it allocates memory), the order of the hashes, every word and continuation, and the
//! checksum.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use taonet_service::{Access, WriteError, atomic_write_with};

use super::{MAX_CONTEXT, NgramModel, Table, Vocabulary};

const MAGIC: [u8; 8] = *b"taongram";
const VERSION: u32 = 1;
/// Minimum size of a word in the file, in bytes: its length field and one byte of text.
const MIN_WORD_BYTES: u64 = 3;
/// Size of a context in the file, in bytes: its hash and its continuation.
const CONTEXT_BYTES: u64 = 12;
/// Size of the checksum in bytes.
const CHECKSUM_BYTES: u64 = 32;

/// Why a model file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelFileError {
    /// The file is unreadable.
    #[error("cannot read {}: {source}", file.display())]
    Open {
        /// Path of the model file.
        file: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The content is invalid.
    #[error("{} is not a usable model: {problem}\nhint: bb text train writes a new one", file.display())]
    Content {
        /// Path of the model file.
        file: PathBuf,
        /// The first defect found.
        problem: Problem,
    },
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A defect of a model file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file could not be read to its end.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// The file is not an n-gram model.
    #[error("not an n-gram model")]
    Magic,
    /// The version is unknown.
    #[error("version is {0}, expected {VERSION}")]
    Version(u32),
    /// The number of tables is out of range.
    #[error("the model has contexts of up to {0} words, expected 1 to {MAX_CONTEXT}")]
    Lengths(u32),
    /// A part is larger than the rest of the file.
    #[error("the file ends within the {0}")]
    Truncated(&'static str),
    /// Bytes follow the checksum.
    #[error("data after the checksum (bytes: {0})")]
    Trailing(u64),
    /// A word is empty, contains white space, is not UTF-8, or is a duplicate.
    #[error("word {0} of the vocabulary is invalid")]
    Word(u64),
    /// The contexts are not in ascending order.
    #[error("contexts are out of order")]
    Order,
    /// A continuation is not in the vocabulary.
    #[error("a continuation is not in the vocabulary")]
    Continuation,
    /// The checksum does not match the content.
    #[error("checksum does not match the content")]
    Checksum,
}

impl NgramModel {
    /// Reads and validates a model file.
    ///
    /// # Errors
    /// [`ModelFileError`] naming the file and the defect.
    pub fn load(path: &Path) -> Result<Self, ModelFileError> {
        let opened_file = File::open(path)
            .and_then(|file| file.metadata().map(|metadata| (file, metadata.len())));
        let (file, length) =
            opened_file.map_err(|source| ModelFileError::Open { file: path.to_owned(), source })?;
        Self::read(BufReader::with_capacity(256 << 10, file), length)
            .map_err(|problem| ModelFileError::Content { file: path.to_owned(), problem })
    }

    /// Writes the model file atomically: an existing file remains until the new file is complete.
    ///
    /// # Errors
    /// [`ModelFileError::Write`] when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), ModelFileError> {
        Ok(atomic_write_with(path, Access::Everyone, |file| {
            let mut writer = BufWriter::with_capacity(256 << 10, file);
            self.write(&mut writer)?;
            writer.flush()
        })?)
    }

    /// Reads and validates a model of `length` bytes.
    ///
    /// # Errors
    /// The first [`Problem`] found.
    pub fn read(reader: impl Read, length: u64) -> Result<Self, Problem> {
        let remaining_bytes = length.checked_sub(CHECKSUM_BYTES).ok_or(Problem::Magic)?;
        let mut input = Input { inner: reader, hash: Sha256::new(), remaining_bytes };
        if input.array::<8>("header").map_err(|_| Problem::Magic)? != MAGIC {
            return Err(Problem::Magic);
        }
        let version = input.u32("header")?;
        if version != VERSION {
            return Err(Problem::Version(version));
        }
        let lengths = input.u32("header")?;
        if !usize::try_from(lengths).is_ok_and(|lengths| (1..=MAX_CONTEXT).contains(&lengths)) {
            return Err(Problem::Lengths(lengths));
        }
        let words = input.u64("header")?;
        let contexts = (0..lengths).map(|_| input.u64("header")).collect::<Result<Vec<_>, _>>()?;
        let vocabulary = input.vocabulary(words)?;
        let tables = contexts.into_iter().map(|contexts| input.table(contexts, words));
        let tables = tables.collect::<Result<Vec<_>, _>>()?;
        if input.remaining_bytes > 0 {
            return Err(Problem::Trailing(input.remaining_bytes));
        }
        let mut checksum = [0; CHECKSUM_BYTES as usize];
        input.inner.read_exact(&mut checksum)?;
        if input.hash.finalize()[..] != checksum {
            return Err(Problem::Checksum);
        }
        Ok(Self { vocabulary, tables })
    }

    /// Writes the model in the file format.
    ///
    /// # Errors
    /// The writer's error, or an error for a word longer than 65 535 bytes.
    pub fn write(&self, writer: impl Write) -> io::Result<()> {
        let mut output = Output { inner: writer, hash: Sha256::new() };
        output.put(&MAGIC)?;
        output.put(&VERSION.to_le_bytes())?;
        output.put(&(self.tables.len() as u32).to_le_bytes())?;
        output.put(&(self.vocabulary.words.len() as u64).to_le_bytes())?;
        for table in &self.tables {
            output.put(&(table.contexts.len() as u64).to_le_bytes())?;
        }
        for word in &self.vocabulary.words {
            let length = u16::try_from(word.len()).map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidInput, "a word has more than 65535 bytes")
            })?;
            output.put(&length.to_le_bytes())?;
            output.put(word.as_bytes())?;
        }
        for table in &self.tables {
            for context in &table.contexts {
                output.put(&context.to_le_bytes())?;
            }
            for continuation in &table.continuations {
                output.put(&continuation.to_le_bytes())?;
            }
        }
        let checksum = output.hash.finalize();
        output.inner.write_all(&checksum)
    }
}

struct Output<W> {
    inner: W,
    hash: Sha256,
}

impl<W: Write> Output<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.inner.write_all(bytes)
    }
}

/// A reader that hashes its input and tracks the number of bytes left before the checksum.
struct Input<R> {
    inner: R,
    hash: Sha256,
    remaining_bytes: u64,
}

impl<R: Read> Input<R> {
    fn fill(&mut self, bytes: &mut [u8], part: &'static str) -> Result<(), Problem> {
        self.remaining_bytes =
            self.remaining_bytes.checked_sub(bytes.len() as u64).ok_or(Problem::Truncated(part))?;
        self.inner.read_exact(bytes)?;
        self.hash.update(&*bytes);
        Ok(())
    }

    fn array<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N], Problem> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, part)?;
        Ok(bytes)
    }

    fn u32(&mut self, part: &'static str) -> Result<u32, Problem> {
        Ok(u32::from_le_bytes(self.array(part)?))
    }

    fn u64(&mut self, part: &'static str) -> Result<u64, Problem> {
        Ok(u64::from_le_bytes(self.array(part)?))
    }

    /// Returns `count` as a capacity, if the rest of the file can hold that many items.
    fn capacity(&self, count: u64, item_bytes: u64, part: &'static str) -> Result<usize, Problem> {
        let has_enough_bytes =
            count.checked_mul(item_bytes).is_some_and(|bytes| bytes <= self.remaining_bytes);
        usize::try_from(count).ok().filter(|_| has_enough_bytes).ok_or(Problem::Truncated(part))
    }

    fn vocabulary(&mut self, words: u64) -> Result<Vocabulary, Problem> {
        let capacity = self.capacity(words, MIN_WORD_BYTES, "vocabulary")?;
        let mut vocabulary =
            Vocabulary { words: Vec::with_capacity(capacity), ..Vocabulary::default() };
        vocabulary.ids.reserve(capacity);
        for number in 1..=words {
            let length = u16::from_le_bytes(self.array("vocabulary")?);
            let mut bytes = vec![0; usize::from(length)];
            self.fill(&mut bytes, "vocabulary")?;
            let word = String::from_utf8(bytes).map_err(|_| Problem::Word(number))?;
            if word.is_empty() || word.contains(char::is_whitespace) {
                return Err(Problem::Word(number));
            }
            let word = Arc::<str>::from(word);
            let id = u32::try_from(number)
                .ok()
                .filter(|id| *id < super::UNKNOWN)
                .ok_or(Problem::Word(number))?;
            if vocabulary.ids.insert(Arc::clone(&word), id).is_some() {
                return Err(Problem::Word(number));
            }
            vocabulary.words.push(word);
        }
        Ok(vocabulary)
    }

    fn table(&mut self, contexts: u64, words: u64) -> Result<Table, Problem> {
        const PART: &str = "contexts";
        let capacity = self.capacity(contexts, CONTEXT_BYTES, PART)?;
        let mut table = Table {
            contexts: Vec::with_capacity(capacity),
            continuations: Vec::with_capacity(capacity),
        };
        for _ in 0..contexts {
            let context = self.u64(PART)?;
            if table.contexts.last().is_some_and(|last| *last >= context) {
                return Err(Problem::Order);
            }
            table.contexts.push(context);
        }
        for _ in 0..contexts {
            let continuation = self.u32(PART)?;
            if u64::from(continuation) > words {
                return Err(Problem::Continuation);
            }
            table.continuations.push(continuation);
        }
        Ok(table)
    }
}
