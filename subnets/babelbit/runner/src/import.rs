use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;

use serde_json::Value;
use taonet_babelbit_core::reference::ReferenceDocument;
use taonet_primitives::bytes_without_bom;

use super::files::{replace, shared_source};
use super::ledger::{ChallengeRow, NewChallenge, UtteranceRow};
use super::settings::RunnerSettings;
use super::source::read_source;
use taonet_babelbit_engine::client::PrefetchedChallenge;
use taonet_service::read_bounded;

/// Maximum size of a reference document in bytes.
const MAX_REFERENCE_BYTES: u64 = 16 << 20;

/// Validates every utterance of a challenge and stores its source; returns the rows for the ledger.
/// Blocks the calling thread.
///
/// `recorded` is the existing row of the challenge, whose sources and references stay unchanged.
/// The row of an unplayable utterance contains the reason; other utterances are not affected.
/// Without a reference from the engine, the function searches the settings' `metadata_root`.
pub(super) fn import(
    challenge: PrefetchedChallenge,
    recorded: Option<&ChallengeRow>,
    settings: &RunnerSettings,
    now: &jiff::Zoned,
) -> io::Result<NewChallenge> {
    let RunnerSettings { challenge_type, paths, main_challenge_uid, .. } = settings;
    let challenge_type = *challenge_type;
    let PrefetchedChallenge { challenge_uid, title, utterances, error, reference } = challenge;
    let mut seen_indices = HashSet::new();
    // The index identifies files and rows. If the engine's indices are not unique, positions
    // replace them.
    let are_indices_unique =
        utterances.iter().all(|utterance| seen_indices.insert(utterance.utterance_index));
    let mut rows = Vec::with_capacity(utterances.len());
    for (position, utterance) in (0..).zip(utterances) {
        let index = if are_indices_unique { utterance.utterance_index } else { position };
        let source = match read_source(&utterance, settings.play.max_source) {
            Ok((wav, info)) => {
                let path = shared_source(paths, &challenge_uid, challenge_type, index);
                if may_write(recorded, index, &info.wav_sha256) {
                    replace(&path, |file| file.write_all(&wav))?;
                }
                Ok(info)
            }
            Err(error) => {
                tracing::warn!(utterance_id = %utterance.utterance_id, %error, "invalid utterance");
                Err(error.to_string())
            }
        };
        rows.push(UtteranceRow {
            index,
            utterance_id: utterance.utterance_id,
            language: utterance.language,
            source,
        });
    }
    let recorded_reference = recorded.and_then(|recorded| {
        Some((recorded.reference.clone()?, recorded.reference_source.clone()))
    });
    let (reference, reference_source) = match (recorded_reference, reference) {
        (Some((recorded, source)), Some(published)) => {
            (Some(complete_reference(recorded, published.document, &rows)), source)
        }
        (Some((recorded, source)), None) => (Some(recorded), source),
        (None, Some(published)) => (Some(published.document), Some(published.source)),
        (None, None) => stored_reference(settings.metadata_root.as_deref(), &challenge_uid),
    };
    Ok(NewChallenge {
        challenge_uid,
        title,
        challenge_type,
        run_timestamp: now.strftime("%Y%m%d_%H%M%S").to_string(),
        started_unix: now.timestamp().as_second(),
        error,
        main_challenge_uid: main_challenge_uid.clone(),
        reference,
        reference_source,
        utterances: rows,
    })
}

/// Whether the import may write a source file: false if the ledger has different audio under this
/// index, since replies to that audio may exist.
fn may_write(recorded: Option<&ChallengeRow>, index: u32, wav_sha256: &str) -> bool {
    let utterances = recorded.map_or(&[][..], |challenge| &challenge.utterances);
    match utterances
        .iter()
        .find(|utterance| utterance.index == index)
        .map(|utterance| &utterance.source)
    {
        Some(Ok(source)) => source.wav_sha256 == wav_sha256,
        // The ledger records why the utterance is unplayable.
        Some(Err(_)) => false,
        None => true,
    }
}

/// Adds missing utterances to a reference document from a second one: inline references cover only
/// the fetched utterances. Existing entries stay unchanged, since scores may depend on them.
fn complete_reference(mut recorded: Value, published: Value, utterances: &[UtteranceRow]) -> Value {
    let (Ok(recorded_document), Ok(published_document)) =
        (ReferenceDocument::parse(recorded.clone()), ReferenceDocument::parse(published))
    else {
        return recorded;
    };
    let Some(entries) = recorded.get_mut("utterances").and_then(Value::as_array_mut) else {
        return recorded;
    };
    for UtteranceRow { utterance_id, .. } in utterances {
        if let (None, Some(entry)) =
            (recorded_document.entry(utterance_id), published_document.entry(utterance_id))
        {
            let mut entry = entry.clone();
            // The entry's ID may depend on its position, which differs in the completed document.
            entry.insert("utterance_id".to_owned(), utterance_id.clone().into());
            entries.push(entry.into());
        }
    }
    recorded
}

/// Loads a challenge's reference document from `{root}/{uid}/challenge.json` or
/// `{root}/{uid}.json`; returns the document with its path, or only the path of an unusable file.
fn stored_reference(root: Option<&Path>, challenge_uid: &str) -> (Option<Value>, Option<String>) {
    let Some(root) = root else { return (None, None) };
    let candidates = [
        root.join(challenge_uid).join("challenge.json"),
        root.join(format!("{challenge_uid}.json")),
    ];
    let Some(path) = candidates.into_iter().find(|path| path.is_file()) else {
        return (None, None);
    };
    let document = read_reference(&path).inspect_err(
        |error| tracing::warn!(path = %path.display(), %error, "invalid reference document"),
    );
    (document.ok(), Some(path.display().to_string()))
}

fn read_reference(path: &Path) -> io::Result<Value> {
    let bytes = read_bounded(path, MAX_REFERENCE_BYTES)?;
    Ok(serde_json::from_slice(bytes_without_bom(&bytes))?)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use serde_json::json;

    use super::*;

    #[test]
    fn missing_references_are_added_without_replacing_others() {
        let row = |index: u32| UtteranceRow {
            index,
            utterance_id: format!("c1:{index}"),
            language: "fr".into(),
            source: Err(String::new()),
        };
        let rows = [row(0), row(1), row(2)];
        let stored =
            json!({ "utterances": [{ "utterance_id": "c1:0", "reference_text": "first" }] });
        let published = json!({ "utterances": [{ "reference_text": "other" }, { "reference_text": "second" }] });
        let completed = json!({ "utterances": [
            { "utterance_id": "c1:0", "reference_text": "first" },
            { "utterance_id": "c1:1", "reference_text": "second" },
        ] });
        assert_eq!(complete_reference(stored.clone(), published, &rows), completed);
        assert_eq!(complete_reference(stored.clone(), json!([]), &rows), stored);
        let without_utterances = json!({ "reference_text": "alone" });
        assert_eq!(
            complete_reference(without_utterances.clone(), stored, &rows),
            without_utterances
        );
    }

    #[test]
    fn stored_reference_in_challenge_folder_takes_precedence() {
        let root = tempfile::tempdir().unwrap();
        let stored = || stored_reference(Some(root.path()), "c1");
        let file = |name: &str| Some(root.path().join(name).display().to_string());
        assert_eq!(stored(), (None, None));
        std::fs::write(root.path().join("c1.json"), "[1]").unwrap();
        assert_eq!(stored(), (Some(json!([1])), file("c1.json")));
        std::fs::create_dir(root.path().join("c1")).unwrap();
        let first_file = root.path().join("c1/challenge.json");
        std::fs::write(&first_file, "[2]").unwrap();
        assert_eq!(stored(), (Some(json!([2])), file("c1/challenge.json")));
        std::fs::write(&first_file, "not JSON").unwrap();
        assert_eq!(stored(), (None, file("c1/challenge.json")));
        File::create(&first_file).unwrap().set_len(MAX_REFERENCE_BYTES + 1).unwrap();
        assert_eq!(stored(), (None, file("c1/challenge.json")));
        assert_eq!(stored_reference(None, "c1"), (None, None));
    }
}
