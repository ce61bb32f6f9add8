//! The file behind a replay memory.
//!
//! A header line, then records of [`RECORD`] bytes: sender, process, nonce, CRC-32. Files are replaced by generations:
//! after the lifetime of a record the file becomes `<path>.old` and a new one begins, so that whatever can still be
//! replayed stands in one of the two.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use taonet_primitives::Hotkey;

use crate::clock::nanoseconds;

const RECORD: usize = 32 + 16 + 8 + 4;
const TITLE: &str = "taonet replay log 1";

/// Why a replay log cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayLogError {
    /// Two processes cannot share a log: each would accept what the other has seen.
    #[error("replay log {0} is used by another process; give each its own")]
    InUse(PathBuf),
    /// The file system said no.
    #[error("replay log {path} cannot be read or written; check its folder's owner and free space")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// One accepted request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) sender: Hotkey,
    pub(super) process: u128,
    pub(super) nonce: u64,
}

impl Entry {
    fn to_bytes(self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        let (content, crc) = bytes.split_at_mut(RECORD - 4);
        let parts = self.sender.as_bytes().iter().copied();
        let parts = parts.chain(self.process.to_be_bytes()).chain(self.nonce.to_be_bytes());
        content.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
        crc.copy_from_slice(&crc32fast::hash(content).to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; RECORD]) -> Option<Self> {
        let (content, crc) = bytes.split_last_chunk::<4>()?;
        let (sender, rest) = content.split_first_chunk::<32>()?;
        let (process, nonce) = rest.split_first_chunk::<16>()?;
        (crc32fast::hash(content) == u32::from_be_bytes(*crc)).then_some(Self {
            sender: Hotkey::from_bytes(*sender),
            process: u128::from_be_bytes(*process),
            nonce: u64::from_be_bytes(*nonce.first_chunk()?),
        })
    }
}

/// What an earlier process left.
pub(super) struct Found {
    path: PathBuf,
    boot: String,
    lock: File,
    pub(super) entries: Vec<Entry>,
    pub(super) floor: u64,
    /// Whether nothing can be missing.
    pub(super) complete: bool,
}

/// Names the time since the machine was started.
pub(super) fn boot_id() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
}

/// Locks the log and reads what stands in it. Without any file nothing was ever accepted.
pub(super) fn read(path: &Path, boot: Option<&str>) -> Result<Found, ReplayLogError> {
    let lock_path = beside(path, ".lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(|source| ReplayLogError::Io { path: lock_path.clone(), source })?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => ReplayLogError::InUse(path.to_owned()),
        TryLockError::Error(source) => ReplayLogError::Io { path: lock_path.clone(), source },
    })?;
    let boot_text = boot.unwrap_or("unknown").to_owned();
    let mut found =
        Found { path: path.to_owned(), boot: boot_text, lock, entries: Vec::new(), floor: 0, complete: true };
    for path in [path.to_owned(), beside(path, ".old")] {
        match std::fs::read(&path) {
            Ok(bytes) => found.take(&bytes, boot),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ReplayLogError::Io { path, source }),
        }
    }
    Ok(found)
}

impl Found {
    fn take(&mut self, bytes: &[u8], boot: Option<&str>) {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let Some((head, [_, records @ ..])) = end.and_then(|end| bytes.split_at_checked(end)) else {
            self.complete = false;
            return;
        };
        match std::str::from_utf8(head).ok().and_then(parse_header) {
            Some((written_under, floor)) => {
                self.floor = self.floor.max(floor);
                self.complete &= Some(written_under) == boot;
            }
            None => self.complete = false,
        }
        let (records, rest) = records.as_chunks();
        self.complete &= rest.is_empty();
        for record in records {
            match Entry::from_bytes(record) {
                Some(entry) => self.entries.push(entry),
                None => self.complete = false,
            }
        }
    }

    /// Begins a new file with what is still remembered.
    pub(super) fn start(
        self,
        now_ns: u64,
        lifetime: Duration,
        carry: bool,
        live: &mut dyn Iterator<Item = Entry>,
        floor: u64,
    ) -> Result<ReplayLog, ReplayLogError> {
        let Self { path, boot, lock, .. } = self;
        let fail = |source| ReplayLogError::Io { path: path.clone(), source };
        let file = write_new(&path, &boot, floor, live).map_err(fail)?;
        match std::fs::remove_file(beside(&path, ".old")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
        let rotate_at = now_ns.saturating_add(nanoseconds(lifetime));
        Ok(ReplayLog { path, boot, file, _lock: lock, lifetime, carry, rotate_at })
    }
}

/// A log that is being written.
#[derive(Debug)]
pub(super) struct ReplayLog {
    path: PathBuf,
    boot: String,
    file: File,
    /// Held as long as the log is.
    _lock: File,
    lifetime: Duration,
    /// Whether a new generation begins with everything that is remembered.
    carry: bool,
    rotate_at: u64,
}

impl ReplayLog {
    /// Writes one record, in one call of the system.
    pub(super) fn append(
        &mut self,
        entry: &Entry,
        now_ns: u64,
        live: &mut dyn Iterator<Item = Entry>,
        floor: u64,
    ) -> io::Result<()> {
        if now_ns >= self.rotate_at {
            self.rotate(now_ns, live, floor)?;
        }
        let written = self.file.write_all(&entry.to_bytes());
        if written.is_err() {
            // The record may be torn: go on in another file. Read again, the torn one counts as incomplete.
            self.rotate_at = 0;
        }
        written
    }

    fn rotate(&mut self, now_ns: u64, live: &mut dyn Iterator<Item = Entry>, floor: u64) -> io::Result<()> {
        let live: &mut dyn Iterator<Item = Entry> = if self.carry { live } else { &mut std::iter::empty() };
        match std::fs::rename(&self.path, beside(&self.path, ".old")) {
            // An earlier try got this far.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.file = write_new(&self.path, &self.boot, floor, live)?;
        self.rotate_at = now_ns.saturating_add(nanoseconds(self.lifetime));
        Ok(())
    }
}

/// Writes a file under another name and puts it in place, so that no half-written one is ever found.
fn write_new(path: &Path, boot: &str, floor: u64, entries: &mut dyn Iterator<Item = Entry>) -> io::Result<File> {
    let draft = beside(path, ".new");
    let mut file = BufWriter::new(File::create(&draft)?);
    file.write_all(header(boot, floor).as_bytes())?;
    for entry in entries {
        file.write_all(&entry.to_bytes())?;
    }
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    std::fs::rename(&draft, path)?;
    Ok(file)
}

fn header(boot: &str, floor: u64) -> String {
    let content = format!("{TITLE} {boot} {floor}");
    format!("{content} {:08x}\n", crc32fast::hash(content.as_bytes()))
}

/// The boot under which the file was written, and its floor.
fn parse_header(line: &str) -> Option<(&str, u64)> {
    let (content, crc) = line.rsplit_once(' ')?;
    let whole = u32::from_str_radix(crc, 16) == Ok(crc32fast::hash(content.as_bytes()));
    let (boot, floor) = content.strip_prefix(TITLE)?.trim_start().split_once(' ')?;
    Some((boot, floor.parse().ok()?)).filter(|_| whole)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
