//! The log file of a process, in addition to its log on standard error.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::{EnvFilter, fmt, reload};

/// Filter of a log file. It excludes the debug events of the HTTP server, since most of them
/// concern the connections of clients that read the log.
const DIRECTIVES: &str = "warn,taonet=debug,tao=debug,bb=debug,taonet_http=info";
/// Maximum size of a log file in bytes; beyond it, a new file begins.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

static FILE: Mutex<Option<LogFile>> = Mutex::new(None);
/// Filter of the layer that writes to [`FILE`]; it admits nothing until [`record_log`].
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts to record the process's events in a file, one JSON object per line: debug events of
/// taonet's crates (info events of `taonet-http`), and warnings of all others, regardless of the
/// filter for standard error. Appends to an existing file. Before the file exceeds 16 MiB, it is
/// renamed to end in `.1`, replacing an earlier file of that name, and a new file begins.
///
/// Does nothing if [`init_tracing`](crate::init_tracing) was not called before.
///
/// # Errors
/// When the file cannot be opened.
pub fn record_log(path: &Path) -> io::Result<()> {
    let Some(filter_handle) = FILTER.get() else { return Ok(()) };
    *file() = Some(LogFile::open(path, MAX_BYTES)?);
    // Fails only if the subscriber no longer exists.
    let _ = filter_handle.reload(EnvFilter::new(DIRECTIVES));
    Ok(())
}

/// Returns the layer that writes to the log file.
pub(crate) fn layer() -> impl Layer<Registry> + Send + Sync {
    let (filter, handle) = reload::Layer::new(EnvFilter::new("off"));
    let _ = FILTER.set(handle);
    // Write errors are not reported: on a full disk, every event would print one to standard error.
    fmt::layer().json().log_internal_errors(false).with_writer(Recorder).with_filter(filter)
}

fn file() -> MutexGuard<'static, Option<LogFile>> {
    FILE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writer of the layer: each write is a complete line.
struct Recorder;

impl Write for Recorder {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(file) = file().as_mut() {
            file.append(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Recorder {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

/// An append-only file of limited size.
struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: u64,
}

impl LogFile {
    fn open(path: &Path, max_bytes: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, bytes, max_bytes })
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.bytes.saturating_add(line.len() as u64) > self.max_bytes {
            let mut previous = self.path.clone().into_os_string();
            previous.push(".1");
            fs::rename(&self.path, previous)?;
            *self = Self::open(&self.path, self.max_bytes)?;
        }
        self.bytes = self.bytes.saturating_add(line.len() as u64);
        // One call, so that lines of several processes are not mixed.
        self.file.write_all(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_file_is_rotated_at_its_size_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let previous = folder.path().join("log.jsonl.1");
        let mut file = LogFile::open(&path, 10).unwrap();
        file.append(b"12345\n").unwrap();
        drop(file);
        let mut file = LogFile::open(&path, 10).unwrap();
        file.append(b"abc\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"12345\nabc\n");
        for line in [b"x\n".as_slice(), b"longer than the limit\n", b"y\n"] {
            file.append(line).unwrap();
        }
        assert_eq!(fs::read(&previous).unwrap(), b"longer than the limit\n");
        assert_eq!(fs::read(&path).unwrap(), b"y\n");
    }
}
