use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use taonet_babelbit_core::scoring::ScoreResult;
use tokio::task::spawn_blocking;

use super::ChallengeRun;
use crate::RunError;
use crate::events::RunEvent;
use crate::ledger::{ResultRow, StoredScore};
use crate::reply_scorer::{ReplyScorer, build_candidate};
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_scorer::{Candidate, ScoringConditions, Transcription};

/// Scores utterances in order, each as soon as every miner has replied or failed.
///
/// Queues replies to later utterances without a limit. Their audio stays on disk, and their
/// recognition has already started, except for replies of an earlier run.
pub(super) struct Batches {
    run: Arc<ChallengeRun>,
    miners: HashSet<MinerKey>,
    /// Unscored utterances, in order.
    pending: VecDeque<u32>,
    /// Received rows by utterance index, except those already in `candidates` or `scored_rows`.
    rows: BTreeMap<u32, Vec<ResultRow>>,
    /// Miners that have replied to the next utterance, or failed on it.
    completed_miners: HashSet<MinerKey>,
    candidates: Vec<(MinerKey, Candidate)>,
    /// Rows of the next utterance whose scores come from an earlier run.
    scored_rows: Vec<ResultRow>,
    /// Total scoring time.
    scoring_time: Duration,
}

impl Batches {
    pub(super) fn new(
        run: Arc<ChallengeRun>,
        miners: HashSet<MinerKey>,
        recorded_rows: Vec<ResultRow>,
    ) -> Self {
        let mut rows: BTreeMap<u32, Vec<ResultRow>> = BTreeMap::new();
        for row in recorded_rows {
            rows.entry(row.utterance_index).or_default().push(row);
        }
        let pending = run.indices().collect();
        let (completed_miners, candidates, scored_rows) = (HashSet::new(), Vec::new(), Vec::new());
        Self {
            run,
            miners,
            pending,
            rows,
            completed_miners,
            candidates,
            scored_rows,
            scoring_time: Duration::ZERO,
        }
    }

    /// Adds a miner's result for one utterance, and scores the utterances that are complete.
    pub(super) async fn add(&mut self, row: ResultRow) -> Result<(), RunError> {
        let index = row.utterance_index;
        self.rows.entry(index).or_default().push(row);
        if self.pending.front() == Some(&index) { self.advance().await } else { Ok(()) }
    }

    /// Stops waiting for a dropped miner.
    pub(super) async fn drop_miner(&mut self, miner: MinerKey) -> Result<(), RunError> {
        self.miners.remove(&miner);
        self.advance().await
    }

    /// Scores, in order, all utterances to which every miner has replied or failed.
    pub(super) async fn advance(&mut self) -> Result<(), RunError> {
        while let Some(&index) = self.pending.front() {
            for row in self.rows.remove(&index).unwrap_or_default() {
                self.completed_miners.insert(row.miner);
                if row.awaits_score() {
                    self.prepare(row).await?;
                } else if row.score.is_some() {
                    self.scored_rows.push(row);
                }
            }
            if !self.miners.is_subset(&self.completed_miners) {
                return Ok(());
            }
            let start = Instant::now();
            self.score(index).await?;
            self.scoring_time += start.elapsed();
            self.pending.pop_front();
            self.completed_miners.clear();
        }
        Ok(())
    }

    /// Scores the remaining utterances; returns the total scoring time. Call it after all players
    /// have finished.
    pub(super) async fn finish(mut self) -> Result<Duration, RunError> {
        self.advance().await?;
        Ok(self.scoring_time)
    }

    async fn prepare(&mut self, row: ResultRow) -> Result<(), RunError> {
        let (run, miner) = (Arc::clone(&self.run), row.miner);
        let candidate =
            spawn_blocking(move || run.prepare(&row)).await.map_err(RunError::Task)??;
        self.candidates.extend(candidate.map(|candidate| (miner, candidate)));
        Ok(())
    }

    /// Loads replies that already have a score, so that later duplicates get the duplication
    /// penalty. The existing scores stay unchanged. Skips replies without stored audio.
    async fn load_scored_candidates(
        &mut self,
        index: u32,
    ) -> Result<Vec<(MinerKey, Candidate)>, RunError> {
        let rows = std::mem::take(&mut self.scored_rows);
        let Some((source_sec, channels)) = self.run.source(index).filter(|_| !rows.is_empty())
        else {
            return Ok(Vec::new());
        };
        let layout = self.run.layout.clone();
        let load_all = move || {
            let load = |row: ResultRow| {
                let path = layout.predicted(row.miner, row.utterance_index);
                build_candidate(&row, path.clone(), source_sec, channels)
                    .inspect_err(|error| {
                        tracing::warn!(
                            path = %path.display(), %error,
                            "the file of a scored reply is missing"
                        );
                    })
                    .ok()
                    .map(|candidate| (row.miner, candidate))
            };
            rows.into_iter().filter_map(load).collect()
        };
        spawn_blocking(load_all).await.map_err(RunError::Task)
    }

    async fn score(&mut self, index: u32) -> Result<(), RunError> {
        let mut replies = std::mem::take(&mut self.candidates);
        if replies.is_empty() {
            self.scored_rows.clear();
            return Ok(());
        }
        let new_miners: HashSet<_> = replies.iter().map(|(miner, _)| *miner).collect();
        let last_batch = self
            .scored_rows
            .iter()
            .filter_map(|row| row.score.as_ref())
            .map(|score| score.batch)
            .max();
        let batch = last_batch.unwrap_or_default().saturating_add(1);
        replies.extend(self.load_scored_candidates(index).await?);
        // Scores must not depend on the order of arrival.
        replies.sort_by_key(|(miner, _)| *miner);
        let (miners, candidates): (Vec<_>, Vec<_>) = replies.into_iter().unzip();
        let utterance =
            self.run.challenge.utterances.iter().find(|utterance| utterance.index == index);
        let utterance_id =
            utterance.map(|utterance| utterance.utterance_id.clone()).unwrap_or_default();
        let run = Arc::clone(&self.run);
        let score = move || {
            let reference = run.references.find(&utterance_id);
            let results = run.scorer.score(reference.as_ref(), &candidates);
            let transcriptions = candidates
                .iter()
                .map(|candidate| cached_transcript(&*run.scorer, candidate))
                .collect();
            (results, transcriptions, run.scorer.conditions())
        };
        let (results, transcriptions, conditions): (
            Vec<ScoreResult>,
            Vec<Option<Transcription>>,
            Option<ScoringConditions>,
        ) = spawn_blocking(score).await.map_err(RunError::Task)?;
        if results.len() != miners.len() {
            return Err(RunError::ScoreCount { expected: miners.len(), got: results.len() });
        }
        let conditions_sha256 = conditions.as_ref().map(ScoringConditions::sha256);
        let scores = miners.into_iter().zip(results.into_iter().zip(transcriptions));
        let scores: Vec<_> = scores
            .filter(|(miner, _)| new_miners.contains(miner))
            .map(|(miner, (result, transcription))| {
                // The scorer may have a transcript of identical audio in another reply although it
                // skipped recognition of this reply.
                let transcription = transcription.filter(|_| result.stt_text.is_some());
                (
                    miner,
                    StoredScore {
                        transcription,
                        conditions: conditions_sha256.clone(),
                        batch,
                        ..StoredScore::from(result)
                    },
                )
            })
            .collect();
        self.run.ledger.score(&self.run.challenge, index, &scores, conditions.as_ref()).await?;
        let scores = scores.iter().map(|(miner, score)| (miner.uid, score.result.score)).collect();
        self.run.observer.observe(RunEvent::Scored { utterance_index: index, scores });
        Ok(())
    }
}

/// Returns the scorer's transcript of a reply.
fn cached_transcript(scorer: &dyn ReplyScorer, candidate: &Candidate) -> Option<Transcription> {
    let audio = candidate.wav.as_ref()?.hash();
    scorer.cached_transcript(audio).map(|transcript| Transcription::clone(&transcript))
}
