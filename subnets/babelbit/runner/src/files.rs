use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::submission_api::ResultFile;
use taonet_service::{Access, atomic_write_with};

use super::ledger::{ChallengeRow, MinerKey};
use super::settings::RunPaths;

/// Where the files of one challenge stand.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    paths: RunPaths,
    challenge_uid: String,
    challenge_type: ChallengeType,
    run_timestamp: String,
}

impl Layout {
    pub(crate) fn new(paths: &RunPaths, challenge: &ChallengeRow) -> Self {
        Self::of(paths, &challenge.challenge_uid, challenge.challenge_type, &challenge.run_timestamp)
    }

    /// As [`Layout::new`], of a challenge of which no more than this is at hand.
    pub(crate) fn of(paths: &RunPaths, challenge_uid: &str, kind: ChallengeType, run_timestamp: &str) -> Self {
        Self {
            paths: paths.clone(),
            challenge_uid: challenge_uid.to_owned(),
            challenge_type: kind,
            run_timestamp: run_timestamp.to_owned(),
        }
    }

    /// Where a result file of a miner stands.
    pub(crate) fn result_file(&self, file: ResultFile, miner: MinerKey) -> PathBuf {
        match file {
            ResultFile::RunLog => self.run_log(miner),
            ResultFile::Audio => self.bundle(miner),
            ResultFile::ChallengeRun => self.challenge_run(miner),
            ResultFile::ChallengeScore => self.challenge_score(miner),
        }
    }

    pub(crate) fn paths(&self) -> &RunPaths {
        &self.paths
    }

    /// Sources that all miners share. The miners' own directories link to them.
    pub(crate) fn shared_source(&self, index: u32) -> PathBuf {
        shared_source(&self.paths, &self.challenge_uid, self.challenge_type, index)
    }

    pub(crate) fn miner(&self, miner: MinerKey) -> PathBuf {
        challenge_directory(&self.paths, &self.challenge_uid, self.challenge_type).join(miner_name(miner))
    }

    pub(crate) fn predicted(&self, miner: MinerKey, index: u32) -> PathBuf {
        self.miner(miner).join(predicted_name(index))
    }

    pub(crate) fn run_log(&self, miner: MinerKey) -> PathBuf {
        self.miner(miner).join("run.json")
    }

    /// The miner's audio in one file.
    pub(crate) fn bundle(&self, miner: MinerKey) -> PathBuf {
        self.miner(miner).join("audio.tar")
    }

    pub(crate) fn challenge_run(&self, miner: MinerKey) -> PathBuf {
        self.score_file("run", miner)
    }

    pub(crate) fn challenge_score(&self, miner: MinerKey) -> PathBuf {
        self.score_file("score", miner)
    }

    fn score_file(&self, kind: &str, miner: MinerKey) -> PathBuf {
        let Self { challenge_uid, challenge_type, run_timestamp, .. } = self;
        let uid = miner.uid;
        self.paths.scores.join(format!(
            "challenge_{kind}_{challenge_uid}_type_{challenge_type}_miner_{uid}_{kind}_{run_timestamp}.json"
        ))
    }

    pub(crate) fn status(&self) -> PathBuf {
        self.paths.status.join(format!("{}__{}.json", self.challenge_uid, self.challenge_type))
    }
}

fn challenge_directory(paths: &RunPaths, challenge_uid: &str, kind: ChallengeType) -> PathBuf {
    paths.logs.join("s2s").join(challenge_uid).join(kind.as_str())
}

/// As [`Layout::shared_source`], before the challenge is in the ledger.
pub(super) fn shared_source(paths: &RunPaths, challenge_uid: &str, kind: ChallengeType, index: u32) -> PathBuf {
    challenge_directory(paths, challenge_uid, kind).join(source_name(index))
}

/// The name of a miner's directory.
pub(crate) fn miner_name(miner: MinerKey) -> String {
    format!("miner_{}__hk_{}", miner.uid, miner.hotkey)
}

/// A source's name below a miner's directory.
pub(crate) fn source_name(index: u32) -> String {
    format!("source/utt_{index:04}.wav")
}

/// A reply's name below a miner's directory.
pub(crate) fn predicted_name(index: u32) -> String {
    format!("predicted/utt_{index:04}.wav")
}

/// Whether a name from outside may become a part of a path.
pub(crate) fn is_safe_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Replaces a file as a whole, and makes its directory where that is missing.
pub(super) fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    atomic_write_with(path, Access::Everyone, write).map_err(|error| error.source)
}

/// Writes a JSON file with an indent of 2.
pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(value)?;
    replace(path, |file| file.write_all(&text))
}

/// Gives `target` the content of `source`: by a hard link where the file system has them, else by a copy.
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
    fn names_that_could_leave_the_directory_are_unsafe() {
        for name in ["challenge-1781174402-d4bb9c06", "a", "a.b_c"] {
            assert!(is_safe_name(name), "{name}");
        }
        for name in ["", ".", "..", "../x", "a/b", "a\\b", "a\0", "é", " ", &"a".repeat(129)] {
            assert!(!is_safe_name(name), "{name}");
        }
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
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
    fn links_may_exist() {
        let directory = tempfile::tempdir().unwrap();
        let (source, target) = (directory.path().join("a"), directory.path().join("b/c"));
        fs::write(&source, "sound").unwrap();
        link(&source, &target).unwrap();
        link(&source, &target).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "sound");
    }
}
