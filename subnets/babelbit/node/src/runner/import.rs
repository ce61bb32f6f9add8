use std::collections::HashSet;
use std::io::{self, Write};

use taonet_babelbit_core::records::ChallengeType;

use super::files::{shared_source, write_atomic};
use super::ledger::{NewChallenge, UtteranceRow};
use super::settings::RunPaths;
use super::source::read_source;
use crate::engine_client::PrefetchedChallenge;

/// Checks every utterance of a challenge and stores its source; gives what the ledger keeps. Blocks.
///
/// An utterance that cannot be played is kept with the reason: it costs this utterance only.
pub(super) fn import(
    challenge: PrefetchedChallenge,
    challenge_type: ChallengeType,
    paths: &RunPaths,
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
    let (reference, reference_source) = reference.map(|found| (found.document, found.source)).unzip();
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
