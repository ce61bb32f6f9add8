//! The log file of the replay cache.
//!
//! A header line, then records of [`RECORD_BYTES`] bytes: sender, process, nonce, CRC-32. The files
//! rotate: after the lifetime of a record the file becomes `<path>.old` and a new one begins, whose
//! header marks it as the continuation of the old one, so that the two files together hold every
//! request that can still be replayed.
//!
//! A record is written before the response, but not synced to disk, which would cost milliseconds
//! for each request: the file survives a killed process. After a reboot, or with a truncated or
//! missing log (as at the first start), requests that were signed before the start are refused
//! instead.
//!
//! The checksums detect accidents, not tampering: a file truncated by whole records looks complete.
//! Without tampering only a crash of the machine causes that, and the boot ID in the header reveals
//! it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use taonet_primitives::Hotkey;

use super::lock::Lock;
use crate::clock::nanoseconds;

const RECORD_BYTES: usize = 32 + 16 + 8 + 4;
const TITLE: &str = "taonet replay log 2";
/// Header word of a file that contains the complete cache.
const KIND_COMPLETE: &str = "whole";
/// Header word of a file that continues `<path>.old`.
const KIND_CONTINUATION: &str = "follows";

/// Why a replay log is unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayLogError {
    /// Another process has locked the log; two processes would each accept requests that the other
    /// has accepted.
    #[error("another process is using the replay log {0}; hint: use one log per process")]
    InUse(PathBuf),
    /// A file operation failed.
    #[error(
        "cannot read or write the replay log {path}; hint: check the owner of its directory and the free disk space"
    )]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

impl ReplayLogError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

/// An accepted request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReplayEntry {
    pub(super) sender: Hotkey,
    pub(super) process_id: u128,
    pub(super) nonce: u64,
}

impl ReplayEntry {
    fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        let (content, crc) = bytes.split_at_mut(RECORD_BYTES - 4);
        let parts = self.sender.as_bytes().iter().copied();
        let parts = parts.chain(self.process_id.to_be_bytes()).chain(self.nonce.to_be_bytes());
        content.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
        crc.copy_from_slice(&crc32fast::hash(content).to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let (content, crc) = bytes.split_last_chunk::<4>()?;
        let (sender, remaining) = content.split_first_chunk::<32>()?;
        let (process_id, nonce) = remaining.split_first_chunk::<16>()?;
        (crc32fast::hash(content) == u32::from_be_bytes(*crc)).then_some(Self {
            sender: Hotkey::from_bytes(*sender),
            process_id: u128::from_be_bytes(*process_id),
            nonce: u64::from_be_bytes(*nonce.first_chunk()?),
        })
    }
}

/// The state left by an earlier process.
pub(super) struct RecoveredLog {
    path: PathBuf,
    boot: String,
    pub(super) lock: Lock,
    pub(super) entries: Vec<ReplayEntry>,
    pub(super) floor: u64,
    /// Whether the log is known to be complete.
    pub(super) is_complete: bool,
    /// Whether there is no log file.
    pub(super) is_missing: bool,
}

/// Returns the ID of the machine's current boot.
pub(super) fn boot_id() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
}

/// Locks the log and reads its records. A missing file may have been deleted: it counts as
/// incomplete.
pub(super) fn recover(path: &Path, boot: Option<&str>) -> Result<RecoveredLog, ReplayLogError> {
    let lock = Lock::open(path)?;
    let boot_text = boot.unwrap_or("unknown").to_owned();
    let mut recovered = RecoveredLog {
        path: path.to_owned(),
        boot: boot_text,
        lock,
        entries: Vec::new(),
        floor: 0,
        is_complete: true,
        is_missing: false,
    };
    let continues_old = read_optional(path)?.map(|bytes| recovered.add_file(&bytes, boot));
    let old =
        read_optional(&sibling_path(path, ".old"))?.map(|bytes| recovered.add_file(&bytes, boot));
    recovered.is_missing = continues_old.is_none() && old.is_none();
    recovered.is_complete &=
        continues_old.is_some_and(|continues_old| !continues_old || old.is_some());
    Ok(recovered)
}

fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, ReplayLogError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ReplayLogError::io(path, error)),
    }
}

impl RecoveredLog {
    /// Adds the records of a file and returns whether it depends on the previous file.
    fn add_file(&mut self, bytes: &[u8], boot: Option<&str>) -> bool {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let Some((head, [_, records @ ..])) = end.and_then(|end| bytes.split_at_checked(end))
        else {
            self.is_complete = false;
            return false;
        };
        let mut continues_old = false;
        match std::str::from_utf8(head).ok().and_then(parse_header) {
            Some(header) => {
                self.floor = self.floor.max(header.floor);
                self.is_complete &= Some(header.boot) == boot;
                continues_old = header.kind == KIND_CONTINUATION;
            }
            None => self.is_complete = false,
        }
        let (records, incomplete) = records.as_chunks();
        self.is_complete &= incomplete.is_empty();
        for record in records {
            match ReplayEntry::from_bytes(record) {
                Some(entry) => self.entries.push(entry),
                None => self.is_complete = false,
            }
        }
        continues_old
    }

    /// Begins a new file with the live records.
    pub(super) fn start(
        self,
        now_ns: u64,
        lifetime: Duration,
        keeps_all_records: bool,
        live_entries: &mut dyn Iterator<Item = ReplayEntry>,
        floor: u64,
    ) -> Result<ReplayLog, ReplayLogError> {
        let Self { path, boot, lock, .. } = self;
        let file = write_new(&path, &header(&boot, floor, KIND_COMPLETE), live_entries)
            .map_err(|source| ReplayLogError::io(&path, source))?;
        match std::fs::remove_file(sibling_path(&path, ".old")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ReplayLogError::io(&path, error));
            }
            _ => {}
        }
        let rotate_at = now_ns.saturating_add(nanoseconds(lifetime));
        Ok(ReplayLog {
            path,
            boot,
            file,
            lock,
            lifetime,
            keeps_all_records,
            has_partial_record: false,
            rotate_at,
        })
    }
}

/// A log open for writing.
#[derive(Debug)]
pub(super) struct ReplayLog {
    path: PathBuf,
    boot: String,
    pub(super) file: File,
    /// The lock, held for the lifetime of the log, with the bound on accepted nonces.
    lock: Lock,
    lifetime: Duration,
    /// Whether the next file starts with all live records.
    keeps_all_records: bool,
    /// Whether the last record may be incomplete.
    has_partial_record: bool,
    rotate_at: u64,
}

impl ReplayLog {
    /// Writes one record, in one system call. `lead` is how far the nonce is ahead of the clock, in
    /// nanoseconds.
    pub(super) fn append(
        &mut self,
        entry: &ReplayEntry,
        lead: u64,
        now_ns: u64,
        live_entries: &mut dyn Iterator<Item = ReplayEntry>,
        floor: u64,
    ) -> io::Result<()> {
        if self.has_partial_record || now_ns >= self.rotate_at {
            self.rotate(now_ns, live_entries, floor)?;
        }
        self.lock.raise_lead(lead)?;
        let result = self.file.write_all(&entry.to_bytes());
        self.has_partial_record = result.is_err();
        result
    }

    fn rotate(
        &mut self,
        now_ns: u64,
        live_entries: &mut dyn Iterator<Item = ReplayEntry>,
        floor: u64,
    ) -> io::Result<()> {
        self.file = if self.keeps_all_records || self.has_partial_record {
            // Writes the whole cache to one file. A torn file must not become the old one: the
            // current old file may hold live records.
            write_new(&self.path, &header(&self.boot, floor, KIND_COMPLETE), live_entries)?
        } else {
            match std::fs::rename(&self.path, sibling_path(&self.path, ".old")) {
                // `NotFound`: an earlier attempt has already renamed the file.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            write_new(
                &self.path,
                &header(&self.boot, floor, KIND_CONTINUATION),
                &mut std::iter::empty(),
            )?
        };
        self.has_partial_record = false;
        self.rotate_at = now_ns.saturating_add(nanoseconds(self.lifetime));
        Ok(())
    }
}

/// Writes a file atomically: under a temporary name, then renamed.
fn write_new(
    path: &Path,
    header: &str,
    entries: &mut dyn Iterator<Item = ReplayEntry>,
) -> io::Result<File> {
    let draft = sibling_path(path, ".new");
    let mut file = BufWriter::new(File::create(&draft)?);
    file.write_all(header.as_bytes())?;
    for entry in entries {
        file.write_all(&entry.to_bytes())?;
    }
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    std::fs::rename(&draft, path)?;
    Ok(file)
}

fn header(boot: &str, floor: u64, kind: &str) -> String {
    let content = format!("{TITLE} {boot} {floor} {kind}");
    format!("{content} {:08x}\n", crc32fast::hash(content.as_bytes()))
}

struct Header<'a> {
    /// The boot ID under which the file was written.
    boot: &'a str,
    floor: u64,
    /// The header word: [`KIND_COMPLETE`] or [`KIND_CONTINUATION`].
    kind: &'a str,
}

fn parse_header(line: &str) -> Option<Header<'_>> {
    let (content, crc) = line.rsplit_once(' ')?;
    let has_valid_checksum =
        u32::from_str_radix(crc, 16) == Ok(crc32fast::hash(content.as_bytes()));
    let (boot, remaining) = content.strip_prefix(TITLE)?.trim_start().split_once(' ')?;
    let (floor, kind) = remaining.split_once(' ')?;
    Some(Header { boot, floor: floor.parse().ok()?, kind }).filter(|_| has_valid_checksum)
}

pub(super) fn sibling_path(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
