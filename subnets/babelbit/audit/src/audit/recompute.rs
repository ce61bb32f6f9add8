use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;

use serde_json::{Value, json};
use taonet_babelbit_core::scoring::ScoreOptions;
use taonet_primitives::{SampleRate, Seconds, Transcript};
use taonet_speech::{Recognizer, SentenceEmbedder};

use super::compare::differences;
use super::{AuditError, ChallengeRecord, Mismatch, MismatchLocation, StoredReplies};
use taonet_babelbit_runner::References;
use taonet_babelbit_runner::{ResultRow, SourceInfo, StoredScore};
use taonet_babelbit_scorer::{
    Audio, AudioHash, BatchScorer, Candidate, EngineIdentity, ScorerSettings, ScoringConditions,
    TranscriptCache, Transcription,
};

/// Local engines for recomputing scores.
#[derive(Clone)]
pub struct Engines {
    /// Speech recogniser.
    pub recognizer: Arc<dyn Recognizer>,
    /// Sentence embedder.
    pub embedder: Arc<dyn SentenceEmbedder>,
    /// Local options. Recorded options take precedence; a difference is reported.
    pub options: ScoreOptions,
}

impl Engines {
    /// Returns the scoring conditions of this machine.
    pub fn conditions(&self) -> ScoringConditions {
        let recognizer = EngineIdentity::for_recognizer(&*self.recognizer);
        let embedder = EngineIdentity::for_embedder(&*self.embedder);
        ScoringConditions::of_this_machine(recognizer, embedder, self.options.clone(), true)
    }

    /// Creates a scorer with an empty transcript cache.
    fn scorer(
        &self,
        options: &ScoreOptions,
        gates: bool,
        replies: usize,
    ) -> Result<BatchScorer, AuditError> {
        let capacity = NonZeroUsize::MIN.saturating_add(replies);
        let cache = TranscriptCache::in_memory(&*self.recognizer, capacity);
        let settings = ScorerSettings { gates, ..ScorerSettings::default() };
        let (recognizer, embedder) = (Arc::clone(&self.recognizer), Arc::clone(&self.embedder));
        Ok(BatchScorer::new(recognizer, embedder, cache, options.clone().checked()?, settings)?)
    }
}

/// Result of recomputing a challenge's scores.
pub(crate) struct Recomputed {
    /// Rows with their expected scores. A row with a changed reply keeps its recorded score.
    pub(crate) rows: Vec<ResultRow>,
    /// Number of compared scores.
    pub(crate) replies: usize,
    pub(crate) mismatches: Vec<Mismatch>,
}

/// Scores every unchanged reply again and compares it with its row.
pub(crate) fn recompute(
    record: &ChallengeRecord,
    replies: &StoredReplies,
    engines: &Engines,
) -> Result<Recomputed, AuditError> {
    let mut recomputation = Recomputation { record, replies, scorers: HashMap::new() };
    for row in record.rows.iter().filter(|row| row.score.is_some()) {
        recomputation.prepare(row, engines)?;
    }
    let mut recomputed = Recomputed {
        rows: record.rows.clone(),
        replies: 0,
        mismatches: recomputation.reply_mismatches(),
    };
    let keys = record.rows.iter().map(|row| (row.miner, row.utterance_index));
    let row_indices: HashMap<_, usize> = keys.zip(0..).collect();
    for utterance in &record.challenge.utterances {
        let Ok(source) = &utterance.source else { continue };
        let scored =
            |row: &&ResultRow| row.utterance_index == utterance.index && row.score.is_some();
        let mut rows: Vec<&ResultRow> = record.rows.iter().filter(scored).collect();
        // Sort as the runner does, since scores must not depend on the order of arrival.
        rows.sort_by_key(|row| row.miner);
        let batches: BTreeSet<u32> = rows.iter().map(|row| batch(row)).collect();
        for number in batches {
            let batch_rows: Vec<&ResultRow> =
                rows.iter().copied().filter(|row| batch(row) <= number).collect();
            for (row, score) in
                recomputation.score(&batch_rows, number, source, &utterance.utterance_id)?
            {
                recomputed.replies += 1;
                recomputed.mismatches.extend(recomputation.compare(row, &score));
                let row = row_indices
                    .get(&(row.miner, row.utterance_index))
                    .and_then(|index| recomputed.rows.get_mut(*index));
                if let Some(row) = row {
                    row.score = Some(score);
                }
            }
        }
    }
    Ok(recomputed)
}

fn batch(row: &ResultRow) -> u32 {
    row.score.as_ref().map_or(0, |score| score.batch)
}

/// Key of a scorer: SHA-256 of its conditions, `None` if unknown.
type ConditionsHash = Option<String>;

struct Recomputation<'a> {
    record: &'a ChallengeRecord,
    replies: &'a StoredReplies,
    scorers: HashMap<ConditionsHash, BatchScorer>,
}

impl Recomputation<'_> {
    /// Returns the key of the conditions under which a row was scored.
    fn conditions_hash(&self, row: &ResultRow) -> ConditionsHash {
        self.record.conditions_of(row)?;
        row.score.as_ref()?.conditions.clone()
    }

    fn is_intact(&self, row: &ResultRow) -> bool {
        self.replies
            .get(&(row.miner, row.utterance_index))
            .is_some_and(super::StoredReply::is_intact)
    }

    /// Returns the mismatches of changed replies.
    fn reply_mismatches(&self) -> Vec<Mismatch> {
        let rows = self.record.rows.iter();
        let replies = rows
            .filter_map(|row| Some((row, self.replies.get(&(row.miner, row.utterance_index))?)));
        let mismatches = replies.flat_map(|(row, reply)| {
            reply.differences.iter().map(|(field, recorded, actual)| {
                let mismatch = Mismatch::new(
                    MismatchLocation::Reply,
                    *field,
                    recorded.clone(),
                    actual.clone(),
                );
                mismatch.with_miner(row.miner).with_utterance(self.record, row.utterance_index)
            })
        });
        mismatches.collect()
    }

    /// Starts the recognition of a reply, with the scorer for its conditions.
    fn prepare(&mut self, row: &ResultRow, engines: &Engines) -> Result<(), AuditError> {
        let hash = self.conditions_hash(row);
        if !self.scorers.contains_key(&hash) {
            let recorded = self.record.conditions_of(row);
            let (options, gates) = recorded.map_or((&engines.options, true), |conditions| {
                (&conditions.options, conditions.gates)
            });
            self.scorers
                .insert(hash.clone(), engines.scorer(options, gates, self.record.rows.len())?);
        }
        let source = self
            .record
            .challenge
            .utterances
            .iter()
            .find(|utterance| utterance.index == row.utterance_index);
        let source = source.and_then(|utterance| utterance.source.as_ref().ok());
        if let (Some(scorer), Some(source)) = (self.scorers.get(&hash), source) {
            scorer.prepare(&self.candidate(row, source));
        }
        Ok(())
    }

    /// Creates the scorer's input for a recorded reply.
    fn candidate(&self, row: &ResultRow, source: &SourceInfo) -> Candidate {
        let reply = self.replies.get(&(row.miner, row.utterance_index));
        let hash = row.outcome.as_deref().ok().and_then(AudioHash::from_hex);
        let score = row.score.as_ref();
        // A reply whose recognition was skipped is skipped again, regardless of its file.
        let was_skipped = score.is_some_and(|score| score.result.gate.is_some());
        let is_recognized = was_skipped || self.is_intact(row);
        let audio = reply.zip(hash).map(|(reply, hash)| Audio::on_disk(reply.path.clone(), hash));
        let recorded = || {
            score
                .and_then(|score| score.transcription.clone())
                .map(|transcription| transcription.transcript)
                .unwrap_or_default()
        };
        let frames = usize::try_from(row.reply.frames).unwrap_or(usize::MAX);
        Candidate {
            wav: audio.filter(|_| is_recognized),
            duration: Some(Seconds::of_frames(frames, SampleRate::HZ_24K)),
            timeline: row.reply.timeline.clone(),
            channels: source.channels,
            source_duration: Seconds::new(source.duration_sec()).unwrap_or_default(),
            transcript: (!is_recognized).then(|| -> Transcript { recorded() }),
        }
    }

    /// Scores `batch_rows`, all replies to an utterance up to batch `number`; returns the scores of
    /// the unchanged replies in batch `number`.
    fn score<'r>(
        &self,
        batch_rows: &[&'r ResultRow],
        number: u32,
        source: &SourceInfo,
        utterance_id: &str,
    ) -> Result<Vec<(&'r ResultRow, StoredScore)>, AuditError> {
        let first = batch_rows.iter().find(|row| batch(row) == number);
        let Some(scorer) = first.and_then(|row| self.scorers.get(&self.conditions_hash(row)))
        else {
            return Ok(Vec::new());
        };
        let references =
            References::of(&self.record.challenge, &scorer.options().target_language, None);
        let reference = references.find(utterance_id);
        let candidates: Vec<Candidate> =
            batch_rows.iter().map(|row| self.candidate(row, source)).collect();
        let results = scorer.score(reference.as_ref(), &candidates);
        if results.len() != batch_rows.len() {
            return Err(AuditError::ScoreCount { expected: batch_rows.len(), got: results.len() });
        }
        let scored = batch_rows.iter().zip(&candidates).zip(results);
        let scored = scored.filter(|((row, _), _)| batch(row) == number && self.is_intact(row));
        let stored_scores = scored.map(|((row, candidate), result)| {
            let audio = candidate.wav.as_ref().filter(|_| result.stt_text.is_some());
            let transcription = audio
                .and_then(|audio| scorer.cached_transcript(audio.hash()))
                .map(|transcription| Transcription::clone(&transcription));
            let conditions = row.score.as_ref().and_then(|score| score.conditions.clone());
            (*row, StoredScore { transcription, conditions, batch: number, ..result.into() })
        });
        Ok(stored_scores.collect())
    }

    fn compare(&self, row: &ResultRow, recomputed: &StoredScore) -> Vec<Mismatch> {
        let Some(recorded) = &row.score else { return Vec::new() };
        // A ledger of an older version has no transcripts.
        let transcription = recomputed
            .transcription
            .as_ref()
            .filter(|_| recorded.transcription.is_some() || recorded.conditions.is_some());
        let recorded_score = document(recorded, recorded.transcription.as_ref());
        let recomputed_score = document(recomputed, transcription);
        let score_differences = differences(&recorded_score, &recomputed_score, &[]);
        let score_differences = score_differences.into_iter().filter(|difference| {
            // The path of a missing reference depends on the machine.
            let is_missing = |value: &Value| {
                value.as_str().is_some_and(|text| text.starts_with("FileNotFoundError:"))
            };
            !(difference.path == "score_error"
                && is_missing(&difference.recorded)
                && is_missing(&difference.actual))
        });
        score_differences
            .map(|difference| {
                Mismatch::new(
                    MismatchLocation::Ledger,
                    difference.path,
                    difference.recorded,
                    difference.actual,
                )
            })
            .map(|mismatch| {
                mismatch.with_miner(row.miner).with_utterance(self.record, row.utterance_index)
            })
            .collect()
    }
}

/// Returns all compared fields of a score.
fn document(score: &StoredScore, transcription: Option<&Transcription>) -> Value {
    let mut document = serde_json::to_value(&score.result).unwrap_or_default();
    if let Value::Object(fields) = &mut document {
        fields.insert("failed_gates".to_owned(), json!(score.failed_gates));
        fields.insert("heard".to_owned(), json!(transcription));
    }
    document
}

/// Returns the expected translation of each utterance, as in result files.
pub(super) fn reference_texts(
    record: &ChallengeRecord,
    target_language: &str,
) -> BTreeMap<u32, String> {
    let references = References::of(&record.challenge, target_language, None);
    let utterances = record.challenge.utterances.iter();
    utterances
        .map(|utterance| (utterance.index, references.text(&utterance.utterance_id)))
        .collect()
}
