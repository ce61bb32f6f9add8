//! Snapshot files: a complete chain in one file.
//!
//! Layout: eight magic bytes, the format version (u32), and the tables in a fixed order, each with
//! its row count (u64) and for each row the lengths (u32) and bytes of key and value; finally the
//! BLAKE2b-256 hash of all preceding bytes. Integers are little-endian.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use redb::{
    Database, Key, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition, Value,
};

use super::nodes::{NODES, RECENT};
use super::{
    BODIES, FILE_NAME, FORMAT, HEADERS, META, NUMBERS, OBSOLETE_NODES, Store, StoreError, builder,
};

const MAGIC: [u8; 8] = *b"TAOCHAIN";
/// Maximum length of a key or value, in bytes.
const MAX_LENGTH: u32 = 64 << 20;
/// Number of rows that are loaded per transaction.
const ROWS_PER_TRANSACTION: u64 = 50_000;

/// Why a snapshot could not be saved, loaded, taken, found or reverted to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A file operation failed.
    #[error("cannot read or write the snapshot {path}: {source}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file already exists.
    #[error("the snapshot {0} already exists; hint: choose another name, or remove the file")]
    Exists(PathBuf),
    /// The directory already contains a chain.
    #[error("there is already a chain in {0}; hint: reset it first, or choose another directory")]
    ChainExists(PathBuf),
    /// The file is not a snapshot of this format version.
    #[error(
        "{0} is not a snapshot of this version; hint: load it with the version of tao that saved it"
    )]
    Format(PathBuf),
    /// The file is truncated or corrupt.
    #[error("the snapshot {0} is truncated or corrupt; hint: get another copy")]
    Damaged(PathBuf),
    /// The name of a named snapshot is malformed.
    #[error("{0:?} is not a name of a snapshot; hint: use 1 to 64 bytes of text on one line")]
    Name(String),
    /// A named snapshot has this name.
    #[error("the snapshot {0} already exists; hint: choose another name, or drop it first")]
    Taken(String),
    /// No named snapshot has this name.
    #[error("there is no snapshot {0}; hint: list the snapshots with tao localnet snapshot list")]
    Unknown(String),
    /// The block of a named snapshot was pruned by a version of the node without named snapshots.
    #[error("the block of snapshot {0} was pruned; hint: drop the snapshot")]
    Pruned(String),
    /// The node follows the node at this URL, and has no snapshots of its own.
    #[error(
        "this node follows {0} and has no snapshots of its own; hint: take and drop snapshots on that node"
    )]
    Following(String),
    /// A database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SnapshotError {
    fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }
}

struct HashingStream<T> {
    inner: T,
    hash: Blake2b<U32>,
}

impl<T> HashingStream<T> {
    fn new(inner: T) -> Self {
        Self { inner, hash: Blake2b::new() }
    }
}

impl<T: Write> HashingStream<T> {
    fn write_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.inner.write_all(bytes)
    }

    fn write_sized(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.write_bytes(&length.to_le_bytes())?;
        self.write_bytes(bytes)
    }
}

impl<T: Read> HashingStream<T> {
    fn read_array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        self.hash.update(bytes);
        Ok(bytes)
    }

    fn read_sized(&mut self) -> io::Result<Vec<u8>> {
        let length = u32::from_le_bytes(self.read_array()?);
        if length > MAX_LENGTH {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = Vec::new();
        (&mut self.inner).take(u64::from(length)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != u64::from(length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.hash.update(&bytes);
        Ok(bytes)
    }
}

/// An error of the snapshot file or of the store, before the file's path is added.
enum Failure {
    File(io::Error),
    Store(StoreError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

macro_rules! from_redb {
    ($target:ty: $($error:ty),+) => {$(
        impl From<$error> for $target {
            fn from(error: $error) -> Self {
                Self::Store(error.into())
            }
        }
    )+};
}
from_redb!(
    Failure: redb::CommitError,
    redb::DatabaseError,
    redb::StorageError,
    redb::TableError,
    redb::TransactionError
);
from_redb!(SnapshotError: redb::CommitError, redb::StorageError, redb::TableError, redb::TransactionError);

impl Store {
    /// Saves the chain to a new file while the node keeps running.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub(crate) fn save(&self, path: &Path) -> Result<(), SnapshotError> {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let file = file.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => SnapshotError::Exists(path.to_owned()),
            _ => SnapshotError::file(path, source),
        })?;
        let result = self.dump(BufWriter::new(file));
        result.map_err(|failure| {
            // A partial snapshot is of no use; the first error is the one to report.
            let _ = fs::remove_file(path);
            match failure {
                Failure::File(source) => SnapshotError::file(path, source),
                Failure::Store(error) => error.into(),
            }
        })
    }

    fn dump(&self, out: BufWriter<File>) -> Result<(), Failure> {
        let read = self.database.begin_read()?;
        let mut out = HashingStream::new(out);
        out.write_bytes(&MAGIC)?;
        out.write_bytes(&(FORMAT as u32).to_le_bytes())?;
        dump_table(&read, META, &mut out)?;
        dump_table(&read, HEADERS, &mut out)?;
        dump_table(&read, BODIES, &mut out)?;
        dump_table(&read, NUMBERS, &mut out)?;
        dump_table(&read, OBSOLETE_NODES, &mut out)?;
        dump_table(&read, NODES, &mut out)?;
        dump_table(&read, RECENT, &mut out)?;
        let hash = out.hash.finalize();
        out.inner.write_all(&hash)?;
        out.inner.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(())
    }
}

fn dump_table<K: Key, V: Value>(
    read: &ReadTransaction,
    table: TableDefinition<'static, K, V>,
    out: &mut HashingStream<BufWriter<File>>,
) -> Result<(), Failure> {
    let table = read.open_table(table)?;
    out.write_bytes(&table.len()?.to_le_bytes())?;
    for row in table.iter()? {
        let (key, value) = row?;
        out.write_sized(K::as_bytes(&key.value()).as_ref())?;
        out.write_sized(V::as_bytes(&value.value()).as_ref())?;
    }
    Ok(())
}

/// Creates a chain in `directory` from a snapshot; removes partial files on failure.
///
/// # Errors
/// [`SnapshotError`].
pub fn load_snapshot(file: &Path, directory: &Path) -> Result<(), SnapshotError> {
    let target = directory.join(FILE_NAME);
    if target.exists() {
        return Err(SnapshotError::ChainExists(directory.to_owned()));
    }
    let input = File::open(file).map_err(|source| SnapshotError::file(file, source))?;
    fs::create_dir_all(directory).map_err(|source| SnapshotError::file(file, source))?;
    let partial = directory.join(format!("{FILE_NAME}.loading"));
    // Files left by an interrupted load would be mixed with this chain.
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(SnapshotError::file(file, error));
        }
        _ => {}
    }
    let result = load_into(&partial, BufReader::new(input), file);
    if result.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&partial);
    }
    result?;
    fs::rename(&partial, &target).map_err(|source| SnapshotError::file(file, source))
}

/// Returns the error for a snapshot that cannot be read.
fn read_error(file: &Path, failure: Failure) -> SnapshotError {
    match failure {
        Failure::File(source) => match source.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                SnapshotError::Damaged(file.to_owned())
            }
            _ => SnapshotError::file(file, source),
        },
        Failure::Store(error) => error.into(),
    }
}

fn load_into(partial: &Path, input: BufReader<File>, file: &Path) -> Result<(), SnapshotError> {
    let mut input = HashingStream::new(input);
    let header = (|| Ok((input.read_array::<8>()?, input.read_array::<4>()?)))();
    let (magic, format) = header.map_err(|failure| read_error(file, failure))?;
    if magic != MAGIC || u64::from(u32::from_le_bytes(format)) != FORMAT {
        return Err(SnapshotError::Format(file.to_owned()));
    }
    let result = (|| {
        let database = builder().create(partial)?;
        load_table(&database, META, &mut input)?;
        load_table(&database, HEADERS, &mut input)?;
        load_table(&database, BODIES, &mut input)?;
        load_table(&database, NUMBERS, &mut input)?;
        load_table(&database, OBSOLETE_NODES, &mut input)?;
        load_table(&database, NODES, &mut input)?;
        load_table(&database, RECENT, &mut input)?;
        let mut stored_hash = Vec::new();
        (&mut input.inner).take(33).read_to_end(&mut stored_hash)?;
        Ok(stored_hash)
    })();
    let stored_hash = result.map_err(|failure| read_error(file, failure))?;
    let hash = input.hash.finalize();
    if stored_hash.as_slice() == hash.as_slice() {
        Ok(())
    } else {
        Err(SnapshotError::Damaged(file.to_owned()))
    }
}

fn load_table<K: Key, V: Value>(
    database: &Database,
    table: TableDefinition<'static, K, V>,
    input: &mut HashingStream<BufReader<File>>,
) -> Result<(), Failure> {
    let mut rows = u64::from_le_bytes(input.read_array()?);
    loop {
        let write = database.begin_write()?;
        {
            let mut table = write.open_table(table)?;
            for _ in 0..rows.min(ROWS_PER_TRANSACTION) {
                let (key, value) = (input.read_sized()?, input.read_sized()?);
                if !has_width(&key, K::fixed_width()) || !has_width(&value, V::fixed_width()) {
                    return Err(io::Error::from(io::ErrorKind::InvalidData).into());
                }
                table.insert(K::from_bytes(&key), V::from_bytes(&value))?;
            }
        }
        write.commit()?;
        rows = rows.saturating_sub(ROWS_PER_TRANSACTION);
        if rows == 0 {
            return Ok(());
        }
    }
}

/// Returns whether bytes have this length; any length if it is `None`.
fn has_width(bytes: &[u8], width: Option<usize>) -> bool {
    width.is_none_or(|width| width == bytes.len())
}
