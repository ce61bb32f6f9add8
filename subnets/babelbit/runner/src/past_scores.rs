use std::collections::HashSet;
use std::io;
use std::path::Path;

use taonet_babelbit_core::records::{ChallengeType, MinerKey, ScoreFileHead};
use taonet_service::read_bounded;

/// Maximum size of a score file in bytes.
pub(super) const MAX_FILE_BYTES: u64 = 16 << 20;

/// Scores that already exist in the scores directory, from any program.
#[derive(Debug, Default)]
pub(super) struct PastScores(HashSet<(String, ChallengeType, MinerKey)>);

impl PastScores {
    /// Reads the files of one challenge: `challenge_score_{uid}_….json` and
    /// `challenge_run_{uid}_….json`. Other files are skipped; a missing directory counts as empty.
    pub(super) fn read(directory: &Path, challenge_uid: &str) -> io::Result<Self> {
        let prefixes = ["score", "run"].map(|kind| format!("challenge_{kind}_{challenge_uid}_"));
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut scored = HashSet::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if !name.ends_with(".json") || !prefixes.iter().any(|prefix| name.starts_with(prefix)) {
                continue;
            }
            scored.extend(read_result_key(&entry.path()));
        }
        Ok(Self(scored))
    }

    /// Whether the directory has a miner's score in a challenge.
    pub(super) fn contains(
        &self,
        challenge_uid: &str,
        kind: ChallengeType,
        miner: MinerKey,
    ) -> bool {
        self.0.contains(&(challenge_uid.to_owned(), kind, miner))
    }
}

/// Reads challenge, contest and miner of a result file; `None` if the file is unreadable or lacks
/// one of them.
pub(super) fn read_result_key(path: &Path) -> Option<(String, ChallengeType, MinerKey)> {
    let head = ScoreFileHead::parse(&read_bounded(path, MAX_FILE_BYTES).ok()?)?;
    let miner = MinerKey { uid: head.miner_uid, hotkey: head.miner_hotkey };
    Some((head.challenge_uid, head.challenge_type?, miner))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use taonet_primitives::{Hotkey, Uid};

    use super::*;

    #[test]
    fn past_scores_are_read_from_valid_score_files_only() {
        let directory = tempfile::tempdir().unwrap();
        let hotkey = Hotkey::from_bytes([7; 32]);
        let write =
            |name: &str, text: String| std::fs::write(directory.path().join(name), text).unwrap();
        let file = |kind: serde_json::Value, uid: u16| {
            json!({"challenge_uid": "c", "challenge_type": kind, "miner_uid": uid, "miner_hotkey": hotkey}).to_string()
        };
        write(
            "challenge_run_c_untyped.json",
            json!({"challenge_uid": "c", "miner_uid": 1, "miner_hotkey": hotkey}).to_string(),
        );
        write("challenge_score_c_round2.json", file(json!("round2"), 2));
        write("challenge_score_c_3.txt", file(json!("main"), 3));
        write("challenge_score_d_4.json", file(json!("main"), 4));
        write("other.json", file(json!("main"), 5));
        write("challenge_score_c_broken.json", "{".into());
        write("challenge_score_c_list.json", "[1]".into());
        let large_file = file(json!("main"), 6) + &" ".repeat(MAX_FILE_BYTES as usize);
        write("challenge_score_c_large.json", large_file);
        let past = PastScores::read(directory.path(), "c").unwrap();
        let has_score = |kind, uid| past.contains("c", kind, MinerKey { uid: Uid(uid), hotkey });
        assert!(has_score(ChallengeType::Main, 1) && has_score(ChallengeType::Arena, 2));
        assert!(!has_score(ChallengeType::Arena, 1) && !has_score(ChallengeType::Main, 2));
        assert!((3..=6).all(|uid| !has_score(ChallengeType::Main, uid)));
        assert!(!PastScores::read(&directory.path().join("missing"), "c").unwrap().contains(
            "c",
            ChallengeType::Main,
            MinerKey { uid: Uid(1), hotkey }
        ));
    }
}
