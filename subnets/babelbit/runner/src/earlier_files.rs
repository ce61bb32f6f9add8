//! Result files that a runner finds in its directories, from itself or from another program such as
//! the reference.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use taonet_babelbit_core::records::{ChallengeStatus, ChallengeType, MinerKey};
use taonet_service::read_bounded;

use super::past_scores::{MAX_FILE_BYTES, read_result_key};
use super::settings::RunPaths;

/// The result files in the directories of a runner.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct EarlierFiles {
    /// Challenges with result files, sorted by ID.
    pub challenges: Vec<EarlierChallenge>,
    /// Paths of files that have the name of a result file, but not its content. Runners ignore
    /// them.
    pub unreadable: Vec<PathBuf>,
}

/// The result files of one challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EarlierChallenge {
    /// ID of the challenge.
    pub challenge_uid: String,
    /// Contest of the challenge.
    pub challenge_type: ChallengeType,
    /// Number of miners with a score file. Runners do not call them again in this challenge.
    pub scored_miners: usize,
    /// Number of miners with a run log.
    pub run_logs: usize,
    /// Time of processing in the status file; `None` without one, as for an interrupted challenge.
    pub processed_at: Option<String>,
}

#[derive(Default)]
struct ChallengeFiles {
    scored: HashSet<MinerKey>,
    logged: HashSet<MinerKey>,
    processed_at: Option<String>,
}

#[derive(Default)]
struct CollectedFiles {
    challenges: BTreeMap<(String, ChallengeType), ChallengeFiles>,
    unreadable: Vec<PathBuf>,
}

impl EarlierFiles {
    /// Reads the score files, run logs and status files in a runner's directories; missing
    /// directories count as empty. Blocks the calling thread.
    ///
    /// # Errors
    /// [`io::Error`] when a directory cannot be read.
    pub fn read(paths: &RunPaths) -> io::Result<Self> {
        let mut collected = CollectedFiles::default();
        collected.read_scores(&paths.scores)?;
        collected.read_logs(&paths.logs.join("s2s"))?;
        collected.read_status(&paths.status)?;
        let into_challenge = |((challenge_uid, challenge_type), files): (
            (String, ChallengeType),
            ChallengeFiles,
        )| {
            EarlierChallenge {
                challenge_uid,
                challenge_type,
                scored_miners: files.scored.len(),
                run_logs: files.logged.len(),
                processed_at: files.processed_at,
            }
        };
        Ok(Self {
            challenges: collected.challenges.into_iter().map(into_challenge).collect(),
            unreadable: collected.unreadable,
        })
    }
}

impl CollectedFiles {
    fn read_scores(&mut self, directory: &Path) -> io::Result<()> {
        for path in sorted_entries(directory)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_result = ["challenge_score_", "challenge_run_"]
                .iter()
                .any(|prefix| name.starts_with(prefix));
            if !is_result || !name.ends_with(".json") {
                continue;
            }
            if let Some((files, miner)) = self.register_result(&path) {
                files.scored.insert(miner);
            }
        }
        Ok(())
    }

    /// Reads run logs, which the reference writes to `{challenge_uid}/{miner}/run.json`, without
    /// the contest.
    fn read_logs(&mut self, directory: &Path) -> io::Result<()> {
        for challenge in sorted_entries(directory)? {
            for subdirectory in sorted_entries(&challenge)? {
                for directory in
                    [vec![subdirectory.clone()], sorted_entries(&subdirectory)?].concat()
                {
                    let path = directory.join("run.json");
                    if !path.is_file() {
                        continue;
                    }
                    if let Some((files, miner)) = self.register_result(&path) {
                        files.logged.insert(miner);
                    }
                }
            }
        }
        Ok(())
    }

    fn read_status(&mut self, directory: &Path) -> io::Result<()> {
        for path in sorted_entries(directory)? {
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let bytes = read_bounded(&path, MAX_FILE_BYTES).unwrap_or_default();
            match serde_json::from_slice::<ChallengeStatus>(&bytes) {
                Ok(status) => {
                    let files = self
                        .challenges
                        .entry((status.challenge_uid, status.challenge_type))
                        .or_default();
                    files.processed_at = Some(status.processed_at);
                }
                Err(_) => self.unreadable.push(path),
            }
        }
        Ok(())
    }

    /// Registers the challenge of a result file, or an unreadable file; returns the challenge's
    /// files and the miner.
    fn register_result(&mut self, path: &Path) -> Option<(&mut ChallengeFiles, MinerKey)> {
        let Some((challenge_uid, kind, miner)) = read_result_key(path) else {
            self.unreadable.push(path.to_owned());
            return None;
        };
        Some((self.challenges.entry((challenge_uid, kind)).or_default(), miner))
    }
}

/// Returns the sorted paths in a directory; none for a missing directory, and for a file.
fn sorted_entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use taonet_primitives::Hotkey;

    use super::*;

    #[test]
    fn files_of_both_layouts_are_counted_by_challenge() {
        let directory = tempfile::tempdir().unwrap();
        let paths = RunPaths::in_directory(directory.path());
        let write = |path: PathBuf, content: &Value| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content.to_string()).unwrap();
        };
        let head = |kind: Value, uid: u16| {
            let hotkey = Hotkey::from_bytes([uid as u8; 32]);
            json!({ "challenge_uid": "c", "challenge_type": kind, "miner_uid": uid, "miner_hotkey": hotkey })
        };
        // Run and score of one miner; another one with a run only, and without a type.
        write(
            paths.scores.join("challenge_run_c_type_main_miner_1_run_1.json"),
            &head(json!("main"), 1),
        );
        write(
            paths.scores.join("challenge_score_c_type_main_miner_1_score_1.json"),
            &head(json!("main"), 1),
        );
        write(paths.scores.join("challenge_run_c_miner_2_run_1.json"), &head(Value::Null, 2));
        write(
            paths.scores.join("challenge_score_c_type_arena_miner_3_score_1.json"),
            &head(json!("round2"), 3),
        );
        write(paths.scores.join("challenge_score_broken.json"), &json!([]));
        write(paths.scores.join("notes.json"), &json!({}));
        write(paths.logs.join("s2s/c/miner_1__hk_a/run.json"), &head(json!("main"), 1));
        write(paths.logs.join("s2s/c/main/miner_2__hk_b/run.json"), &head(json!("main"), 2));
        let processed = json!({ "challenge_uid": "c", "challenge_type": "main", "processed_at": "2026-11-01T10:00:00" });
        write(paths.status.join("c__main.json"), &processed);
        let files = EarlierFiles::read(&paths).unwrap();
        let challenge = |challenge_type, scored_miners, run_logs, processed_at: Option<&str>| {
            EarlierChallenge {
                challenge_uid: "c".to_owned(),
                challenge_type,
                scored_miners,
                run_logs,
                processed_at: processed_at.map(str::to_owned),
            }
        };
        let main = challenge(ChallengeType::Main, 2, 2, Some("2026-11-01T10:00:00"));
        assert_eq!(files.challenges, [main, challenge(ChallengeType::Arena, 1, 0, None)]);
        assert_eq!(files.unreadable, [paths.scores.join("challenge_score_broken.json")]);
    }

    #[test]
    fn missing_directories_have_no_files() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(
            EarlierFiles::read(&RunPaths::in_directory(directory.path())).unwrap(),
            EarlierFiles::default()
        );
    }
}
