//! Paths of a challenge's result files, and atomic writes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::submission_api::ResultFile;
use taonet_service::{Access, atomic_write_with};

use super::ledger::ChallengeRow;
use super::settings::RunPaths;
use taonet_babelbit_core::records::MinerKey;

/// File layout of one challenge.
#[derive(Debug, Clone)]
pub struct Layout {
    paths: RunPaths,
    challenge_uid: String,
    challenge_type: ChallengeType,
    run_timestamp: String,
}

impl Layout {
    /// Creates the layout of a challenge in the ledger.
    pub fn new(paths: &RunPaths, challenge: &ChallengeRow) -> Self {
        Self::of(
            paths,
            &challenge.challenge_uid,
            challenge.challenge_type,
            &challenge.run_timestamp,
        )
    }

    /// Creates the layout of a challenge from its uid, contest and start time.
    pub fn of(
        paths: &RunPaths,
        challenge_uid: &str,
        kind: ChallengeType,
        run_timestamp: &str,
    ) -> Self {
        Self {
            paths: paths.clone(),
            challenge_uid: challenge_uid.to_owned(),
            challenge_type: kind,
            run_timestamp: run_timestamp.to_owned(),
        }
    }

    /// Returns the path of a miner's result file in the speech contest.
    pub(crate) fn result_file(&self, file: ResultFile, miner: MinerKey) -> PathBuf {
        match file {
            ResultFile::RunLog => self.run_log(miner),
            ResultFile::Audio => self.bundle(miner),
            ResultFile::ChallengeRun | ResultFile::DialogueScore => self.challenge_run(miner),
            ResultFile::ChallengeScore => self.challenge_score(miner),
        }
    }

    /// Returns the directories of the run.
    pub fn paths(&self) -> &RunPaths {
        &self.paths
    }

    /// Returns the path of an utterance's source file, shared by all miners; each miner's directory
    /// contains a link to this file, or a copy.
    pub fn shared_source(&self, index: u32) -> PathBuf {
        shared_source(&self.paths, &self.challenge_uid, self.challenge_type, index)
    }

    /// Returns the path of a miner's directory.
    pub fn miner(&self, miner: MinerKey) -> PathBuf {
        challenge_directory(&self.paths, &self.challenge_uid, self.challenge_type)
            .join(miner.directory())
    }

    /// Returns the path of a miner's reply to an utterance.
    pub fn predicted(&self, miner: MinerKey, index: u32) -> PathBuf {
        self.miner(miner).join(predicted_name(index))
    }

    /// Returns the path of a miner's run log.
    pub fn run_log(&self, miner: MinerKey) -> PathBuf {
        self.miner(miner).join("run.json")
    }

    /// Returns the path of a miner's audio bundle.
    pub fn bundle(&self, miner: MinerKey) -> PathBuf {
        self.miner(miner).join("audio.tar")
    }

    /// Returns the path of a miner's challenge run: transcripts and scores.
    pub fn challenge_run(&self, miner: MinerKey) -> PathBuf {
        self.score_file("run", miner)
    }

    /// Returns the path of a miner's challenge score: scores and metrics without transcripts.
    pub fn challenge_score(&self, miner: MinerKey) -> PathBuf {
        self.score_file("score", miner)
    }

    fn score_file(&self, kind: &str, miner: MinerKey) -> PathBuf {
        let Self { challenge_uid, challenge_type, run_timestamp, .. } = self;
        let uid = miner.uid;
        self.paths.scores.join(format!(
            "challenge_{kind}_{challenge_uid}_type_{challenge_type}_miner_{uid}_{kind}_{run_timestamp}.json"
        ))
    }

    /// Returns the path of the challenge's status file.
    pub fn status(&self) -> PathBuf {
        self.paths.status.join(format!("{}__{}.json", self.challenge_uid, self.challenge_type))
    }
}

fn challenge_directory(paths: &RunPaths, challenge_uid: &str, kind: ChallengeType) -> PathBuf {
    paths.logs.join("s2s").join(challenge_uid).join(kind.as_str())
}

/// Returns the path of an utterance's shared source file, for a challenge that may not be in the
/// ledger yet.
pub(super) fn shared_source(
    paths: &RunPaths,
    challenge_uid: &str,
    kind: ChallengeType,
    index: u32,
) -> PathBuf {
    challenge_directory(paths, challenge_uid, kind).join(source_name(index))
}

/// Returns the path of a source's WAV file, relative to a miner's directory.
pub fn source_name(index: u32) -> String {
    format!("source/utt_{index:04}.wav")
}

/// Returns the path of a reply's WAV file, relative to a miner's directory.
pub fn predicted_name(index: u32) -> String {
    format!("predicted/utt_{index:04}.wav")
}

/// Replaces a file atomically, and creates its directory if missing.
pub(super) fn replace(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    atomic_write_with(path, Access::Everyone, write).map_err(|error| error.source)
}

/// Writes a JSON file, indented by 2 spaces.
pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(value)?;
    replace(path, |file| file.write_all(&text))
}

/// Creates `target` as a hard link to `source`, or as a copy if the file system does not support
/// hard links. An existing `target` stays unchanged.
pub(super) fn link(source: &Path, target: &Path) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::hard_link(source, target) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(_) => {
            let bytes = fs::read(source)?;
            replace(target, |file| file.write_all(&bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_replacement_leaves_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/file.json");
        write_json(&path, &[1]).unwrap();
        replace(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        })
        .unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[\n  1\n]");
        write_json(&path, &[2]).unwrap();
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn existing_link_is_not_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let (source, target) = (directory.path().join("a"), directory.path().join("b/c"));
        fs::write(&source, "sound").unwrap();
        link(&source, &target).unwrap();
        link(&source, &target).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "sound");
    }
}
