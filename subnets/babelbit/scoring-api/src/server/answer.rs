use std::collections::BTreeMap;

use taonet_babelbit_core::aggregation::stake_weighted_median;
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::scoring_api::{ScoreRow, ScoresResponse};
use taonet_primitives::Hotkey;

use super::record::ValidatorScore;

/// Builds one row per miner and contest, best first. `stake` weights a validator's scores; `None`
/// excludes them.
pub(super) fn answer(
    challenge_uid: &str,
    scores: Vec<ValidatorScore>,
    stake: impl Fn(&Hotkey) -> Option<u64>,
) -> ScoresResponse {
    let mut miners: BTreeMap<(ChallengeType, String), Vec<(ValidatorScore, u64)>> = BTreeMap::new();
    for score in scores {
        // Solo challenges differ by validator, so their scores are not aggregated.
        if score.challenge_type != ChallengeType::Solo
            && let Some(stake) = stake(&score.validator)
        {
            miners
                .entry((score.challenge_type, score.miner_hotkey.clone()))
                .or_default()
                .push((score, stake));
        }
    }
    let row = |((challenge_type, miner_hotkey), scores): (
        (ChallengeType, String),
        Vec<(ValidatorScore, u64)>,
    )| {
        let median =
            stake_weighted_median(scores.iter().map(|(score, stake)| (score.score, *stake)))?;
        // If the uid of a miner has changed, use the uid of the latest submission.
        let newest = scores.iter().max_by_key(|(score, _)| (score.signed_unix, score.miner_uid));
        Some(ScoreRow {
            miner_hotkey,
            miner_uid: newest.map(|(score, _)| score.miner_uid),
            challenge_uid: challenge_uid.to_owned(),
            challenge_type,
            challenge_mean_score: median,
        })
    };
    let mut rows: Vec<ScoreRow> = miners.into_iter().filter_map(row).collect();
    rows.sort_by(|a, b| {
        let by_score = b.challenge_mean_score.total_cmp(&a.challenge_mean_score);
        a.challenge_type
            .cmp(&b.challenge_type)
            .then(by_score)
            .then_with(|| a.miner_hotkey.cmp(&b.miner_hotkey))
    });
    ScoresResponse { scores: rows }
}
