use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use taonet_proof_core::Digest;
use taonet_proof_lm::ProofBundle;
use taonet_service::{Access, WriteError, atomic_write};
use thiserror::Error;

use super::Submission;

/// Version of the file format.
const VERSION: u32 = 1;

/// Why users' proofs cannot be stored on disk.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JobFileError {
    /// The directory cannot be created or listed.
    #[error("cannot read or create {}: {source}", path.display())]
    Directory {
        /// Path of the directory.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A request cannot be encoded.
    #[error("cannot encode a request: {0}")]
    Encode(#[from] serde_json::Error),
}

impl JobFileError {
    /// Returns a function that adds the path of the directory to an I/O error.
    fn directory(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Directory { path: path.to_owned(), source }
    }
}

/// A user's request on disk, with its result once the proof has finished.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobFile {
    version: u32,
    /// Name of the API key.
    pub(super) owner: String,
    pub(super) circuit: Digest,
    /// Inputs; empty once the proof is finished, and for a prompt.
    pub(super) inputs: Vec<i64>,
    /// Prompt for a language model; none once the proof is finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) prompt: Option<String>,
    pub(super) ending: Option<JobResult>,
}

/// Result of a request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum JobResult {
    Done(Box<ProofBundle>),
    Failed(String),
}

impl JobFile {
    /// Creates the file of a proof in progress.
    pub(super) fn new(owner: &str, circuit: Digest, submission: Submission) -> Self {
        let (inputs, prompt) = match submission {
            Submission::Inputs(inputs) => (inputs, None),
            Submission::Prompt(prompt) => (Vec::new(), Some(prompt)),
        };
        Self { version: VERSION, owner: owner.to_owned(), circuit, inputs, prompt, ending: None }
    }

    /// Creates the file of a finished proof.
    pub(super) fn finished(owner: &str, circuit: Digest, result: JobResult) -> Self {
        Self { ending: Some(result), ..Self::new(owner, circuit, Submission::Inputs(Vec::new())) }
    }
}

/// Directory with one file for each request.
#[derive(Debug)]
pub(super) struct JobDirectory(PathBuf);

impl JobDirectory {
    /// Opens the directory and reads all requests. Files that cannot be read are skipped with a
    /// warning.
    pub(super) fn open(path: PathBuf) -> Result<(Self, Vec<(Digest, JobFile)>), JobFileError> {
        std::fs::create_dir_all(&path).map_err(JobFileError::directory(&path))?;
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(JobFileError::directory(&path))? {
            let file = entry.map_err(JobFileError::directory(&path))?.path();
            let id = file
                .file_name()
                .and_then(|name| name.to_str()?.strip_suffix(".json")?.parse().ok());
            // Skips temporary files of interrupted writes, whose names are not IDs.
            let Some(id) = id else { continue };
            match read(&file) {
                Ok(job) => files.push((id, job)),
                Err(error) => {
                    tracing::warn!(file = %file.display(), %error, "cannot read a user's proof");
                }
            }
        }
        Ok((Self(path), files))
    }

    /// Writes a request, readable by the owner only: inputs may be confidential. Blocks on disk
    /// I/O.
    pub(super) fn write(&self, id: &Digest, file: &JobFile) -> Result<(), JobFileError> {
        Ok(atomic_write(self.path(id), &serde_json::to_vec(file)?, Access::Owner)?)
    }

    pub(super) fn remove(&self, id: &Digest) {
        match std::fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%id, %error, "cannot remove a user's proof");
            }
            _ => {}
        }
    }

    fn path(&self, id: &Digest) -> PathBuf {
        self.0.join(format!("{id}.json"))
    }
}

fn read(path: &Path) -> io::Result<JobFile> {
    let file: JobFile = serde_json::from_slice(&std::fs::read(path)?)?;
    if file.version == VERSION {
        Ok(file)
    } else {
        Err(io::Error::other("the version is unsupported"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submissions_of_all_versions_are_read_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let (directory, files) = JobDirectory::open(folder.path().to_owned()).unwrap();
        assert!(files.is_empty());
        let (id, circuit) = (|name: &str| Digest::of(name.as_bytes()), Digest::of(b"circuit"));
        let (inputs, prompt) = (vec![1, -2], "The capital of Texas is".to_owned());
        for (name, submission) in [
            ("inputs", Submission::Inputs(inputs.clone())),
            ("prompt", Submission::Prompt(prompt.clone())),
        ] {
            directory.write(&id(name), &JobFile::new("ada", circuit, submission)).unwrap();
        }
        // Versions without prompts.
        let earlier = format!(
            r#"{{"version":1,"owner":"ada","circuit":"{circuit}","inputs":[3],"ending":null}}"#
        );
        std::fs::write(directory.path(&id("earlier")), earlier).unwrap();
        let (_, files) = JobDirectory::open(folder.path().to_owned()).unwrap();
        let mut submissions: Vec<_> =
            files.into_iter().map(|(_, file)| (file.inputs, file.prompt)).collect();
        submissions.sort();
        assert_eq!(submissions, [(vec![], Some(prompt)), (inputs, None), (vec![3], None)]);
    }
}
