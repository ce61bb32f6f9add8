use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;

use serde_json::Value;
use taonet_babelbit_core::records::ChallengeType;

use super::files::{shared_source, write_atomic};
use super::ledger::{NewChallenge, UtteranceRow};
use super::settings::RunPaths;
use super::source::read_source;
use crate::engine_client::PrefetchedChallenge;

/// Checks every utterance of a challenge and stores its source; gives what the ledger keeps. Blocks.
///
/// An utterance that cannot be played is kept with the reason: it costs this utterance only. Where the engine gave no
/// reference, `metadata_root` is searched for one.
pub(super) fn import(
    challenge: PrefetchedChallenge,
    challenge_type: ChallengeType,
    paths: &RunPaths,
    metadata_root: Option<&Path>,
    now: &jiff::Zoned,
) -> io::Result<NewChallenge> {
    let PrefetchedChallenge { challenge_uid, utterances, error, reference } = challenge;
    let mut seen = HashSet::new();
    // Files and rows are named after the index. Where the engine's are not distinct, the position serves.
    let distinct = utterances.iter().all(|utterance| seen.insert(utterance.utterance_index));
    let mut rows = Vec::with_capacity(utterances.len());
    for (position, utterance) in (0..).zip(utterances) {
        let index = if distinct { utterance.utterance_index } else { position };
        let source = match read_source(&utterance) {
            Ok((wav, info)) => {
                let path = shared_source(paths, &challenge_uid, challenge_type, index);
                write_atomic(&path, |file| file.write_all(&wav))?;
                Ok(info)
            }
            Err(error) => {
                tracing::warn!(utterance_id = %utterance.utterance_id, %error, "this utterance cannot be played");
                Err(error.to_string())
            }
        };
        rows.push(UtteranceRow { index, utterance_id: utterance.utterance_id, language: utterance.language, source });
    }
    let reference = reference
        .map(|found| (found.document, found.source))
        .or_else(|| stored_reference(metadata_root?, &challenge_uid));
    let (reference, reference_source) = reference.unzip();
    Ok(NewChallenge {
        challenge_uid,
        challenge_type,
        run_timestamp: now.strftime("%Y%m%d_%H%M%S").to_string(),
        started_unix: now.timestamp().as_second(),
        error,
        reference,
        reference_source,
        utterances: rows,
    })
}

/// The reference document of a challenge among files: `{root}/{uid}/challenge.json`, then `{root}/{uid}.json`.
fn stored_reference(root: &Path, challenge_uid: &str) -> Option<(Value, String)> {
    let candidates = [root.join(challenge_uid).join("challenge.json"), root.join(format!("{challenge_uid}.json"))];
    let path = candidates.into_iter().find(|path| path.is_file())?;
    let read = std::fs::read(&path).map_err(|error| error.to_string());
    match read.and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string())) {
        Ok(document) => Some((document, path.display().to_string())),
        Err(error) => {
            tracing::warn!(path = %path.display(), error, "this reference document cannot be used");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_references_are_found_in_order() {
        let root = tempfile::tempdir().unwrap();
        let found = |uid: &str| stored_reference(root.path(), uid).map(|(document, _)| document.to_string());
        assert_eq!(found("c1"), None);
        std::fs::write(root.path().join("c1.json"), r#"{"utterances":[1]}"#).unwrap();
        assert_eq!(found("c1").as_deref(), Some(r#"{"utterances":[1]}"#));
        std::fs::create_dir(root.path().join("c1")).unwrap();
        std::fs::write(root.path().join("c1/challenge.json"), r#"{"utterances":[2]}"#).unwrap();
        assert_eq!(found("c1").as_deref(), Some(r#"{"utterances":[2]}"#));
        std::fs::write(root.path().join("c1/challenge.json"), "not JSON").unwrap();
        assert_eq!(found("c1"), None);
    }
}
