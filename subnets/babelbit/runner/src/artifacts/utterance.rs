use serde_json::json;
use taonet_babelbit_core::protocol::{FRAME_RATE_HZ, FRAME_SAMPLES, SAMPLE_BYTES, SAMPLE_RATE_HZ};
use taonet_babelbit_core::records::{METHOD_NOT_SCORED, METHOD_PREDICTION_ERROR, RunLogUtterance};
use taonet_babelbit_core::rounding::round4;

use super::MinerResult;
use crate::files::{predicted_name, source_name};
use crate::ledger::{ResultRow, SourceInfo, UtteranceRow};

impl MinerResult<'_> {
    fn utterance_of(&self, row: &ResultRow) -> Option<&UtteranceRow> {
        self.challenge.utterances.iter().find(|utterance| utterance.index == row.utterance_index)
    }

    pub(super) fn source_of(&self, row: &ResultRow) -> Option<&SourceInfo> {
        self.utterance_of(row)?.source.as_ref().ok()
    }

    /// Builds the run-log record of a row; returns `None` if the challenge lacks the utterance.
    pub(super) fn utterance_record(&self, row: &ResultRow) -> Option<RunLogUtterance> {
        let utterance = self.utterance_of(row)?;
        let index = row.utterance_index;
        let source = utterance.source.as_ref().ok();
        let channels = source.map_or(1, |source| source.channels);
        let reply = &row.reply;
        let wall_ms = reply.wall.total_sec * 1000.0;
        let without_reply = RunLogUtterance {
            challenge_uid: self.challenge.challenge_uid.clone(),
            utterance_index: index,
            utterance_id: utterance.utterance_id.clone(),
            language: utterance.language.clone(),
            miner_uid: self.miner.uid,
            miner_hotkey: self.miner.hotkey,
            miner_session_id: reply.session_id.clone(),
            source_audio_path: source.map(|_| source_name(index)).unwrap_or_default(),
            predicted_audio_path: None,
            sample_rate_hz: source.map_or(0, |source| source.sample_rate_hz),
            channels: source.map_or(0, |source| source.channels),
            sample_width_bytes: source.map_or(0, |source| source.sample_width_bytes),
            dtype: format!("int{}", 8 * source.map_or(2, |source| source.sample_width_bytes)),
            frame_rate_hz: 0.0,
            frame_samples: 0,
            frame_count_in: 0,
            frame_count_out: 0,
            source_num_bytes: source.map_or(0, |source| source.wav_bytes),
            predicted_num_bytes: 0,
            completed: false,
            error: row.outcome.as_ref().err().map(ToString::to_string),
            latency_ms: wall_ms,
            score: 0.0,
            score_is_fallback: false,
            score_method: METHOD_PREDICTION_ERROR.to_owned(),
            accuracy: 0.0,
            source_duration_sec: source.map_or(0.0, |source| round4(source.duration_sec())),
            predicted_duration_sec: 0.0,
            effective_completion_sec: 0.0,
            reference_text: self.reference_texts.get(&index).cloned().unwrap_or_default(),
            transcript_text: String::new(),
            scoring_metadata_source: None,
            score_breakdown: json!({}),
        };
        if let Err(error) = &row.outcome {
            return Some(RunLogUtterance {
                score_breakdown: json!({ "prediction_error": error.to_string() }),
                ..without_reply
            });
        }
        let frame_bytes = (SAMPLE_BYTES as u64) * u64::from(FRAME_SAMPLES) * u64::from(channels);
        let with_reply = RunLogUtterance {
            predicted_audio_path: Some(predicted_name(index)),
            frame_rate_hz: FRAME_RATE_HZ,
            frame_samples: FRAME_SAMPLES,
            frame_count_in: reply.frames_in,
            frame_count_out: reply.timeline.total_bytes() / frame_bytes,
            predicted_num_bytes: reply.wav_bytes,
            completed: true,
            latency_ms: reply.timeline.completion(channels) * 1000.0,
            predicted_duration_sec: round4(reply.frames as f64 / f64::from(SAMPLE_RATE_HZ)),
            score_method: METHOD_NOT_SCORED.to_owned(),
            ..without_reply
        };
        let Some(score) = &row.score else { return Some(with_reply) };
        let score = &score.result;
        let reference_text = if score.gt_text.is_empty() {
            with_reply.reference_text.clone()
        } else {
            score.gt_text.clone()
        };
        Some(RunLogUtterance {
            score: score.score,
            score_method: score.score_method.clone(),
            // `None` if a gate skipped the computation. Readers of the file expect a number; `gate`
            // explains the 0.
            accuracy: score.accuracy.unwrap_or_default(),
            source_duration_sec: score.source_duration_sec,
            predicted_duration_sec: score.predicted_duration_sec,
            effective_completion_sec: score.effective_completion_sec,
            reference_text,
            transcript_text: score.stt_text.clone().unwrap_or_default(),
            scoring_metadata_source: score.scoring_metadata_source.clone(),
            score_breakdown: score.breakdown(),
            ..with_reply
        })
    }
}
