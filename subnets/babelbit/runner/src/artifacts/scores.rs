use std::path::Path;

use taonet_babelbit_core::records::{
    ChallengeRun, ChallengeRunUtterance, ChallengeScore, ChallengeScoreUtterance, ChallengeSummary,
    RunLog, RunLogUtterance,
};
use taonet_babelbit_core::rounding::{round4, round6};

use super::measured::{MeasuredReply, challenge_metrics};

/// Computes the means over a miner's utterances.
pub(super) fn summarize(log: &RunLog) -> ChallengeSummary {
    let mean = |value: fn(&RunLogUtterance) -> f64| {
        let sum: f64 = log.utterances.iter().map(value).sum();
        if log.utterances.is_empty() { 0.0 } else { sum / log.utterances.len() as f64 }
    };
    ChallengeSummary {
        average_u_best_early: round6(log.score),
        accuracy: round6(mean(|utterance| utterance.accuracy)),
        effective_completion_sec: round4(mean(|utterance| utterance.effective_completion_sec)),
        completed_utterances: log.utterances.iter().filter(|utterance| utterance.completed).count(),
        total_utterances: log.utterances.len(),
    }
}

/// Builds the challenge run: transcripts and scores.
pub(super) fn challenge_run(
    log: &RunLog,
    challenge_summary: ChallengeSummary,
    log_path: &Path,
) -> ChallengeRun {
    let utterances = log.utterances.iter().map(|utterance| ChallengeRunUtterance {
        utterance_uid: utterance.utterance_id.clone(),
        utterance_number: utterance.utterance_index,
        reference_text: utterance.reference_text.clone(),
        transcript: Some(utterance.transcript_text.clone()).filter(|text| !text.trim().is_empty()),
        score: utterance.score,
        accuracy: utterance.accuracy,
        effective_completion_sec: utterance.effective_completion_sec,
        source_duration_sec: utterance.source_duration_sec,
        predicted_duration_sec: utterance.predicted_duration_sec,
        frame_count_in: utterance.frame_count_in,
        frame_count_out: utterance.frame_count_out,
        predicted_num_bytes: utterance.predicted_num_bytes,
        score_breakdown: utterance.score_breakdown.clone(),
        score_is_fallback: utterance.score_is_fallback,
        score_method: utterance.score_method.clone(),
        completed: utterance.completed,
        error: utterance.error.clone(),
    });
    ChallengeRun {
        log_file: log_path.to_string_lossy().into_owned(),
        challenge_uid: log.challenge_uid.clone(),
        challenge_type: log.challenge_type,
        miner_uid: log.miner_uid,
        miner_hotkey: log.miner_hotkey,
        utterances: utterances.collect(),
        challenge_summary,
        protocol: log.protocol.clone(),
        score_is_fallback: log.score_is_fallback,
        score_method: log.score_method.clone(),
        completed: log.completed,
        error: log.error.clone(),
    }
}

/// Builds the challenge score: scores and metrics without transcripts.
pub(super) fn challenge_score(
    log: &RunLog,
    challenge_summary: ChallengeSummary,
    run_path: &Path,
    replies: &[MeasuredReply<'_>],
) -> ChallengeScore {
    let utterances = log.utterances.iter().map(|utterance| ChallengeScoreUtterance {
        utterance_uid: utterance.utterance_id.clone(),
        utterance_score: utterance.score,
        utterance_index: utterance.utterance_index,
        score_is_fallback: utterance.score_is_fallback,
        score_method: utterance.score_method.clone(),
        metrics: replies
            .iter()
            .find(|reply| reply.index == utterance.utterance_index)
            .map(|reply| reply.metrics),
    });
    ChallengeScore {
        run_file: run_path.to_string_lossy().into_owned(),
        challenge_uid: log.challenge_uid.clone(),
        challenge_type: log.challenge_type,
        miner_uid: log.miner_uid,
        miner_hotkey: log.miner_hotkey,
        utterances: utterances.collect(),
        challenge_mean_u: round6(log.score),
        challenge_summary,
        protocol: log.protocol.clone(),
        score_is_fallback: log.score_is_fallback,
        score_method: log.score_method.clone(),
        completed: log.completed,
        metrics: challenge_metrics(replies),
        error: log.error.clone(),
    }
}
