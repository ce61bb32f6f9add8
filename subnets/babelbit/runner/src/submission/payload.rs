use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use taonet_babelbit_core::protocol::PROTOCOL;
use taonet_babelbit_core::records::is_safe_name;
use taonet_babelbit_core::submission_api::ResultFile;

use super::SubmitError;
use crate::files::Layout;
use crate::{OutboxEntry, RunPaths};
use taonet_objects::ObjectStorage;

/// Content type of the audio bundle.
pub(super) const TAR_CONTENT_TYPE: &str = "application/x-tar";

/// A result file on local disk.
pub(super) struct LocalFile {
    path: PathBuf,
}

impl LocalFile {
    pub(super) fn of(entry: &OutboxEntry, paths: &RunPaths) -> Self {
        if let Some(named) = &entry.named {
            let directory =
                if entry.file == ResultFile::RunLog { &paths.logs } else { &paths.scores };
            return Self { path: directory.join(&named.name) };
        }
        let layout =
            Layout::of(paths, &entry.challenge_uid, entry.challenge_type, &entry.run_timestamp);
        Self { path: layout.result_file(entry.file, entry.miner) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Returns the key of the file in a bucket.
    pub(super) fn object_key(&self, entry: &OutboxEntry, storage: &ObjectStorage) -> String {
        let kind = entry.challenge_type.as_str();
        // File names of the text contest include the miner.
        let miner = entry.named.is_none().then(|| entry.miner.directory());
        object_key(
            storage.log_dir(),
            entry.file,
            &entry.challenge_uid,
            kind,
            miner.as_deref(),
            &self.name(),
        )
    }

    pub(super) async fn exists(&self) -> Result<bool, SubmitError> {
        tokio::fs::try_exists(&self.path).await.map_err(|source| self.read_error(source))
    }

    /// Reads the file; returns `None` for a missing file, which is submitted without content. A
    /// missing score is an error instead: the scoring API would accept the submission, and the
    /// miner would have no score.
    pub(super) async fn text(&self, file: ResultFile) -> Result<Option<String>, SubmitError> {
        match tokio::fs::read(&self.path).await {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && file != ResultFile::ChallengeScore =>
            {
                Ok(None)
            }
            Err(error) => Err(self.read_error(error)),
        }
    }

    /// Opens the file; returns it with its size.
    pub(super) async fn open(&self) -> Result<(tokio::fs::File, u64), SubmitError> {
        let file =
            tokio::fs::File::open(&self.path).await.map_err(|error| self.read_error(error))?;
        let size = file.metadata().await.map_err(|source| self.read_error(source))?.len();
        Ok((file, size))
    }

    fn read_error(&self, source: io::Error) -> SubmitError {
        let path = self.path.clone();
        match source.kind() {
            io::ErrorKind::NotFound => SubmitError::NoFile(path),
            _ => SubmitError::File { path, source },
        }
    }
}

/// Builds the field `data` of a text file's submission.
pub(super) fn text_data(
    entry: &OutboxEntry,
    name: &str,
    text: Option<&str>,
    s3_path: Option<&str>,
) -> Value {
    let mut data = common_fields(entry, name, text.map(|text| text.len() as u64), s3_path);
    let dialogue_uid = entry.named.as_ref().and_then(|named| named.dialogue_uid.clone());
    data.insert("dialogue_uid".to_owned(), dialogue_uid.into());
    if let Some(text) = text {
        data.insert("content".to_owned(), text.into());
    }
    data.into()
}

/// Builds the field `data` of an artifact's submission.
pub(super) fn artifact_data(
    entry: &OutboxEntry,
    name: &str,
    size: u64,
    s3_path: Option<&str>,
) -> Value {
    let mut data = common_fields(entry, name, Some(size), s3_path);
    data.insert("content_type".to_owned(), TAR_CONTENT_TYPE.into());
    data.into()
}

fn common_fields(
    entry: &OutboxEntry,
    name: &str,
    size: Option<u64>,
    s3_path: Option<&str>,
) -> Map<String, Value> {
    let data = json!({
        "file_type": entry.file.file_type(), "file_name": name, "challenge_uid": entry.challenge_uid,
        "main_challenge_uid": entry.main_challenge_uid, "miner_uid": entry.miner.uid,
        "miner_hotkey": entry.miner.hotkey, "s3_path": s3_path, "file_size": size,
        "challenge_type": entry.challenge_type,
    });
    let Value::Object(mut fields) = data else { return Map::new() };
    if entry.named.is_none() {
        fields.insert("protocol".to_owned(), PROTOCOL.into());
        fields.insert("score_is_fallback".to_owned(), false.into());
        fields.insert("score_method".to_owned(), entry.score_method.as_str().into());
    }
    fields
}

/// Whether a file is submitted as an artifact.
pub(super) const fn is_artifact(file: ResultFile) -> bool {
    file.kind().is_artifact()
}

/// Builds a unique object key below the reference system's folders.
fn object_key(
    log_dir: &str,
    file: ResultFile,
    challenge_uid: &str,
    kind: &str,
    miner: Option<&str>,
    name: &str,
) -> String {
    let folder = match (file, log_dir) {
        (ResultFile::RunLog, "") => "logs".to_owned(),
        (ResultFile::RunLog, log_dir) => format!("{log_dir}/logs"),
        _ => "submissions".to_owned(),
    };
    // An engine may name challenges of the text contest freely.
    let challenge_uid = if is_safe_name(challenge_uid) { challenge_uid } else { "unknown" };
    let parts = [Some(folder.as_str()), Some(challenge_uid), Some(kind), miner, Some(name)];
    parts.into_iter().flatten().collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_keys_of_results_are_unique() {
        let log_key = |file, kind, miner| object_key("logs", file, "c", kind, Some(miner), "x");
        assert_eq!(
            log_key(ResultFile::RunLog, "main", "miner_1__hk_5A"),
            "logs/logs/c/main/miner_1__hk_5A/x"
        );
        assert_eq!(
            log_key(ResultFile::Audio, "arena", "miner_1__hk_5A"),
            "submissions/c/arena/miner_1__hk_5A/x"
        );
        assert_ne!(
            log_key(ResultFile::Audio, "main", "m"),
            log_key(ResultFile::Audio, "main", "n")
        );
        assert_eq!(object_key("", ResultFile::RunLog, "c", "main", None, "x_m"), "logs/c/main/x_m");
        assert_eq!(
            object_key("", ResultFile::RunLog, "../c", "main", None, "x_m"),
            "logs/unknown/main/x_m"
        );
    }
}
