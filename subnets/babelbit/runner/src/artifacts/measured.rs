use taonet_babelbit_core::field_metrics::{
    ChallengeMetrics, Milliseconds, Playback, TextPair, UtteranceMetrics,
};

use super::MinerResult;
use crate::ledger::ResultRow;

/// A transcribed reply with its metrics.
pub(crate) struct MeasuredReply<'a> {
    pub(crate) index: u32,
    pub(crate) texts: TextPair<'a>,
    pub(crate) metrics: UtteranceMetrics,
}

impl MinerResult<'_> {
    /// Computes the metrics of all transcribed replies with a reference.
    pub(crate) fn measured_replies(&self) -> Vec<MeasuredReply<'_>> {
        self.rows.iter().filter_map(|row| self.measure(row)).collect()
    }

    fn measure<'a>(&'a self, row: &'a ResultRow) -> Option<MeasuredReply<'a>> {
        let score = row.score.as_ref()?;
        let transcript = &score.transcription.as_ref()?.transcript;
        let source = self.source_of(row)?;
        let reference = match score.result.gt_text.as_str() {
            "" => self.reference_texts.get(&row.utterance_index)?.as_str(),
            text => text,
        };
        let duration = Milliseconds::new(1000.0 * source.duration_sec())?;
        let playback = Playback::for_reply(&row.reply.timeline, source.channels, duration);
        Some(MeasuredReply {
            index: row.utterance_index,
            texts: TextPair { hypothesis: &transcript.text, reference },
            metrics: UtteranceMetrics::of(transcript, reference, &playback, duration),
        })
    }
}

/// Combines the metrics of a challenge's replies.
pub(crate) fn challenge_metrics(replies: &[MeasuredReply<'_>]) -> Option<ChallengeMetrics> {
    let replies: Vec<_> = replies.iter().map(|reply| (reply.texts, reply.metrics)).collect();
    ChallengeMetrics::of(&replies)
}
