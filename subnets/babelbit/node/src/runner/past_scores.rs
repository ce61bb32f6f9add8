use std::collections::HashSet;
use std::io;
use std::path::Path;

use taonet_babelbit_core::records::{ChallengeType, ScoreFileHead};

use super::ledger::MinerKey;

/// Larger files are no score files.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Whose scores stand in the scores directory already, written by whatever program.
#[derive(Debug, Default)]
pub(super) struct PastScores(HashSet<(String, ChallengeType, MinerKey)>);

impl PastScores {
    /// Reads every JSON file of a directory once. What is no score file is skipped; a missing directory is empty.
    pub(super) fn read(directory: &Path) -> io::Result<Self> {
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut found = HashSet::new();
        for entry in entries {
            let entry = entry?;
            let is_json = Path::new(&entry.file_name()).extension().is_some_and(|extension| extension == "json");
            if !is_json || entry.metadata().is_ok_and(|file| file.len() > MAX_FILE_BYTES) {
                continue;
            }
            let head = std::fs::read(entry.path()).ok().and_then(|text| ScoreFileHead::parse(&text));
            if let Some(ScoreFileHead { challenge_uid, challenge_type: Some(kind), miner_uid, miner_hotkey }) = head {
                found.insert((challenge_uid, kind, MinerKey { uid: miner_uid, hotkey: miner_hotkey }));
            }
        }
        Ok(Self(found))
    }

    /// Whether a miner's score in a challenge stands there.
    pub(super) fn contains(&self, challenge_uid: &str, kind: ChallengeType, miner: MinerKey) -> bool {
        self.0.contains(&(challenge_uid.to_owned(), kind, miner))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use taonet_primitives::{Hotkey, Uid};

    use super::*;

    #[test]
    fn scores_of_any_age_count() {
        let directory = tempfile::tempdir().unwrap();
        let hotkey = Hotkey::from_bytes([7; 32]);
        let write = |name: &str, text: String| std::fs::write(directory.path().join(name), text).unwrap();
        let file = |kind: serde_json::Value, uid: u16| {
            json!({"challenge_uid": "c", "challenge_type": kind, "miner_uid": uid, "miner_hotkey": hotkey}).to_string()
        };
        write("untyped.json", json!({"challenge_uid": "c", "miner_uid": 1, "miner_hotkey": hotkey}).to_string());
        write("round2.json", file(json!("round2"), 2));
        write("other.txt", file(json!("main"), 3));
        write("broken.json", "{".into());
        write("list.json", "[1]".into());
        let past = PastScores::read(directory.path()).unwrap();
        let has = |kind, uid| past.contains("c", kind, MinerKey { uid: Uid(uid), hotkey });
        assert!(has(ChallengeType::Main, 1) && has(ChallengeType::Arena, 2));
        assert!(!has(ChallengeType::Arena, 1) && !has(ChallengeType::Main, 2) && !has(ChallengeType::Main, 3));
        assert!(!PastScores::read(&directory.path().join("missing")).unwrap().contains(
            "c",
            ChallengeType::Main,
            MinerKey { uid: Uid(1), hotkey }
        ));
    }
}
