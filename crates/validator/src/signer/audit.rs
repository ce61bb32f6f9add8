use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::WeightsRequest;

/// Size in bytes at which the log is rotated.
const MAX_BYTES: u64 = 64 << 20;

/// Audit log of key operations, written before each one: one JSON object per line, readable by its
/// owner only (mode 0600). Rotation keeps one old log, with the suffix `.1`.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    open: Mutex<OpenLog>,
}

#[derive(Debug)]
struct OpenLog {
    file: File,
    bytes: u64,
}

impl AuditLog {
    /// Opens the log at `path`, or creates it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), open: Mutex::new(OpenLog::at(path)?) })
    }

    /// Appends a request to set weights; `peer` is the address of the caller, if it is another
    /// process.
    pub(crate) fn record_weights(
        &self,
        peer: Option<IpAddr>,
        request: &WeightsRequest,
    ) -> io::Result<()> {
        let WeightsRequest { netuid, uids, weights, .. } = request;
        self.record(&[json!({
            "time": Timestamp::now().to_string(), "peer": peer, "action": "set_weights", "netuid": netuid,
            "uids": uids, "weights": weights,
        })])
    }

    /// Appends one line per entry. On an error, some lines may be missing.
    pub(super) fn record(&self, entries: &[Value]) -> io::Result<()> {
        let mut lines = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut lines, entry)?;
            lines.push(b'\n');
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.bytes >= MAX_BYTES {
            let mut rotated_path = self.path.clone().into_os_string();
            rotated_path.push(".1");
            match std::fs::rename(&self.path, rotated_path) {
                // An earlier rotation moved the log but could not open a new one.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed?,
            }
            *open = OpenLog::at(&self.path)?;
        }
        open.file.write_all(&lines)?;
        open.bytes = open.bytes.saturating_add(lines.len() as u64);
        Ok(())
    }
}

impl OpenLog {
    fn at(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { file, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_appended_and_a_large_log_is_rotated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        AuditLog::open(&path)
            .unwrap()
            .record(&[json!({ "a": 1 }), json!({ "b": "x\ny" })])
            .unwrap();
        let log = AuditLog::open(&path).unwrap();
        log.record(&[json!(2)]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"b\":\"x\\ny\"}\n2\n");
        log.open.lock().unwrap().bytes = MAX_BYTES;
        log.record(&[json!(3)]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "3\n");
        assert!(
            std::fs::read_to_string(folder.path().join("audit.jsonl.1")).unwrap().ends_with("2\n")
        );
    }

    #[test]
    fn log_is_recreated_after_a_failed_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("audit.jsonl"), folder.path().join("audit.jsonl.1"));
        let log = AuditLog::open(&path).unwrap();
        log.record(&[json!(1)]).unwrap();
        // Same state as after a rotation on a full disk.
        log.open.lock().unwrap().bytes = MAX_BYTES;
        std::fs::rename(&path, &old).unwrap();
        log.record(&[json!(2)]).unwrap();
        log.record(&[json!(3)]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "2\n3\n");
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "1\n");
    }

    #[cfg(unix)]
    #[test]
    fn log_is_readable_by_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        AuditLog::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(AuditLog::open(folder.path()).is_err(), "a directory");
    }
}
