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

use super::nodes::{NODES, RECENT_NODES};
use super::{
    BODIES, FILE_NAME, FORMAT_VERSION, HEADERS, META, NUMBERS, OBSOLETE_NODES, Store, StoreError,
    database_builder,
};

const MAGIC: [u8; 8] = *b"TAOCHAIN";
/// Maximum length of a key or value, in bytes.
const MAX_FIELD_BYTES: u32 = 64 << 20;
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
    FileExists(PathBuf),
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
    InvalidName(String),
    /// A named snapshot has this name.
    #[error("the snapshot {0} already exists; hint: choose another name, or drop it first")]
    NameTaken(String),
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
        if length > MAX_FIELD_BYTES {
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
enum PathlessError {
    File(io::Error),
    Store(StoreError),
}

impl From<io::Error> for PathlessError {
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
    PathlessError: redb::CommitError,
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
            io::ErrorKind::AlreadyExists => SnapshotError::FileExists(path.to_owned()),
            _ => SnapshotError::file(path, source),
        })?;
        let result = self.write_tables(BufWriter::new(file));
        result.map_err(|failure| {
            // A partial snapshot is of no use; the first error is the one to report.
            let _ = fs::remove_file(path);
            match failure {
                PathlessError::File(source) => SnapshotError::file(path, source),
                PathlessError::Store(error) => error.into(),
            }
        })
    }

    fn write_tables(&self, writer: BufWriter<File>) -> Result<(), PathlessError> {
        let read_txn = self.database.begin_read()?;
        let mut writer = HashingStream::new(writer);
        writer.write_bytes(&MAGIC)?;
        writer.write_bytes(&(FORMAT_VERSION as u32).to_le_bytes())?;
        write_table(&read_txn, META, &mut writer)?;
        write_table(&read_txn, HEADERS, &mut writer)?;
        write_table(&read_txn, BODIES, &mut writer)?;
        write_table(&read_txn, NUMBERS, &mut writer)?;
        write_table(&read_txn, OBSOLETE_NODES, &mut writer)?;
        write_table(&read_txn, NODES, &mut writer)?;
        write_table(&read_txn, RECENT_NODES, &mut writer)?;
        let hash = writer.hash.finalize();
        writer.inner.write_all(&hash)?;
        writer.inner.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(())
    }
}

fn write_table<K: Key, V: Value>(
    read_txn: &ReadTransaction,
    table: TableDefinition<'static, K, V>,
    writer: &mut HashingStream<BufWriter<File>>,
) -> Result<(), PathlessError> {
    let table = read_txn.open_table(table)?;
    writer.write_bytes(&table.len()?.to_le_bytes())?;
    for row in table.iter()? {
        let (key, value) = row?;
        writer.write_sized(K::as_bytes(&key.value()).as_ref())?;
        writer.write_sized(V::as_bytes(&value.value()).as_ref())?;
    }
    Ok(())
}

/// Creates a chain in `directory` from a snapshot; removes partial files on failure.
///
/// # Errors
/// [`SnapshotError`].
pub fn load_snapshot(file: &Path, directory: &Path) -> Result<(), SnapshotError> {
    let target_path = directory.join(FILE_NAME);
    if target_path.exists() {
        return Err(SnapshotError::ChainExists(directory.to_owned()));
    }
    let reader = File::open(file).map_err(|source| SnapshotError::file(file, source))?;
    fs::create_dir_all(directory).map_err(|source| SnapshotError::file(file, source))?;
    let partial_path = directory.join(format!("{FILE_NAME}.loading"));
    // Files left by an interrupted load would be mixed with this chain.
    match fs::remove_file(&partial_path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(SnapshotError::file(file, error));
        }
        _ => {}
    }
    let result = load_into(&partial_path, BufReader::new(reader), file);
    if result.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&partial_path);
    }
    result?;
    fs::rename(&partial_path, &target_path).map_err(|source| SnapshotError::file(file, source))
}

/// Returns the error for a snapshot that cannot be read.
fn read_error(file: &Path, failure: PathlessError) -> SnapshotError {
    match failure {
        PathlessError::File(source) => match source.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                SnapshotError::Damaged(file.to_owned())
            }
            _ => SnapshotError::file(file, source),
        },
        PathlessError::Store(error) => error.into(),
    }
}

fn load_into(
    partial_path: &Path,
    reader: BufReader<File>,
    file: &Path,
) -> Result<(), SnapshotError> {
    let mut reader = HashingStream::new(reader);
    let header = (|| Ok((reader.read_array::<8>()?, reader.read_array::<4>()?)))();
    let (magic, format) = header.map_err(|failure| read_error(file, failure))?;
    if magic != MAGIC || u64::from(u32::from_le_bytes(format)) != FORMAT_VERSION {
        return Err(SnapshotError::Format(file.to_owned()));
    }
    let result = (|| {
        let database = database_builder().create(partial_path)?;
        load_table(&database, META, &mut reader)?;
        load_table(&database, HEADERS, &mut reader)?;
        load_table(&database, BODIES, &mut reader)?;
        load_table(&database, NUMBERS, &mut reader)?;
        load_table(&database, OBSOLETE_NODES, &mut reader)?;
        load_table(&database, NODES, &mut reader)?;
        load_table(&database, RECENT_NODES, &mut reader)?;
        let mut stored_hash = Vec::new();
        (&mut reader.inner).take(33).read_to_end(&mut stored_hash)?;
        Ok(stored_hash)
    })();
    let stored_hash = result.map_err(|failure| read_error(file, failure))?;
    let hash = reader.hash.finalize();
    if stored_hash.as_slice() == hash.as_slice() {
        Ok(())
    } else {
        Err(SnapshotError::Damaged(file.to_owned()))
    }
}

fn load_table<K: Key, V: Value>(
    database: &Database,
    table: TableDefinition<'static, K, V>,
    reader: &mut HashingStream<BufReader<File>>,
) -> Result<(), PathlessError> {
    let mut remaining_rows = u64::from_le_bytes(reader.read_array()?);
    loop {
        let write_txn = database.begin_write()?;
        {
            let mut table = write_txn.open_table(table)?;
            for _ in 0..remaining_rows.min(ROWS_PER_TRANSACTION) {
                let (key, value) = (reader.read_sized()?, reader.read_sized()?);
                if !has_width(&key, K::fixed_width()) || !has_width(&value, V::fixed_width()) {
                    return Err(io::Error::from(io::ErrorKind::InvalidData).into());
                }
                table.insert(K::from_bytes(&key), V::from_bytes(&value))?;
            }
        }
        write_txn.commit()?;
        remaining_rows = remaining_rows.saturating_sub(ROWS_PER_TRANSACTION);
        if remaining_rows == 0 {
            return Ok(());
        }
    }
}

/// Returns whether bytes have this length; any length if it is `None`.
fn has_width(bytes: &[u8], width: Option<usize>) -> bool {
    width.is_none_or(|width| width == bytes.len())
}
