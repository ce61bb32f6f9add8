//! A run: play, score, write.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use taonet_babelbit_core::engine_api::TextToken;
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_engine::client::EngineClient;
use taonet_babelbit_runner::RunPaths;
use taonet_primitives::{Hotkey, Uid};
use taonet_speech::SentenceEmbedder;

use super::files::Files;
use super::play::{Played, play};
use super::score::{events, score};
use super::{PlayError, PlayOptions, ScoringError, TextMiner, WrittenFile};

/// Outcome of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TextOutcome {
    /// The whole challenge was played.
    Finished,
    /// No miner was active any more; the words until then count.
    EndedEarly,
    /// An earlier run has scored the challenge.
    AlreadyDone,
    /// The engine has no challenge.
    NoChallenge,
}

/// Report of a run.
#[derive(Debug, Clone, Serialize)]
pub struct TextReport {
    /// ID of the challenge.
    pub challenge_uid: Option<String>,
    /// Contest of the challenge.
    pub challenge_type: ChallengeType,
    /// Outcome of the run.
    pub outcome: TextOutcome,
    /// Number of dialogues.
    pub dialogues: usize,
    /// Number of utterances.
    pub utterances: usize,
    /// Wall time in seconds.
    pub wall_sec: f64,
    /// Results by miner, in the order of the miners.
    pub miners: Vec<TextMinerReport>,
    /// Written files, in the order of submission.
    #[serde(skip)]
    pub files: Vec<WrittenFile>,
}

/// A miner's results.
#[derive(Debug, Clone, Serialize)]
pub struct TextMinerReport {
    /// Uid of the miner.
    pub uid: Uid,
    /// Hotkey of the miner.
    pub hotkey: Hotkey,
    /// Name, for display.
    pub name: Option<String>,
    /// Mean over the dialogues; `None` for a miner that predicted nothing.
    pub score: Option<f64>,
    /// Scores of the dialogues, in order.
    pub dialogue_scores: Vec<f64>,
    /// Number of failed predictions.
    pub errors: u32,
}

/// Why a run failed. Nothing of it counts, and the next one plays the challenge again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextRunError {
    /// The session could not be played.
    #[error(transparent)]
    Play(#[from] PlayError),
    /// The predictions could not be scored.
    #[error(transparent)]
    Score(#[from] ScoringError),
    /// A file could not be written.
    #[error("cannot write the result files: {0}")]
    Files(#[from] io::Error),
    /// The scoring was aborted.
    #[error("the scoring was aborted")]
    Aborted,
}

/// A runner of the text contest.
#[derive(Clone)]
pub struct TextRunner {
    /// Directories of the files.
    pub paths: RunPaths,
    /// Contest to play.
    pub challenge_type: ChallengeType,
    /// How sessions are played.
    pub options: PlayOptions,
    /// Embedder of the sentences.
    pub embedder: Arc<dyn SentenceEmbedder>,
}

impl std::fmt::Debug for TextRunner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextRunner").field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl TextRunner {
    /// Plays the engine's current challenge, scores it and writes the files. `observe` is called with each token.
    ///
    /// # Errors
    /// [`TextRunError`] when the engine, the embedder or the disk fails.
    pub async fn run_once(
        &self,
        engine: &EngineClient,
        miners: &[TextMiner],
        observe: impl FnMut(&TextToken),
    ) -> Result<TextReport, TextRunError> {
        let began = Instant::now();
        let first = engine.start_text(self.options.stream).await.map_err(PlayError::from)?;
        let challenge_uid = first.challenge_uid.clone().filter(|uid| !uid.is_empty());
        let now = jiff::Zoned::now();
        let report = |outcome| TextReport {
            challenge_uid: challenge_uid.clone(),
            challenge_type: self.challenge_type,
            outcome,
            dialogues: 0,
            utterances: 0,
            wall_sec: began.elapsed().as_secs_f64(),
            miners: Vec::new(),
            files: Vec::new(),
        };
        if first.done {
            return Ok(report(TextOutcome::NoChallenge));
        }
        if Files::new(&self.paths, challenge_uid.as_deref(), self.challenge_type, &now).is_done()? {
            return Ok(report(TextOutcome::AlreadyDone));
        }
        let played = play(engine, first, miners, &self.options, observe).await?;
        let (runner, miners) = (self.clone(), miners.to_vec());
        let finish = tokio::task::spawn_blocking(move || runner.finish(&played, &miners, &now));
        let mut report = finish.await.map_err(|_| TextRunError::Aborted)??;
        report.wall_sec = began.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Scores a played challenge and writes its files. Blocks.
    fn finish(&self, played: &Played, miners: &[TextMiner], now: &jiff::Zoned) -> Result<TextReport, TextRunError> {
        let files = Files::new(&self.paths, played.challenge_uid.as_deref(), self.challenge_type, now);
        let mut written = Vec::new();
        let mut scores: Vec<Vec<(String, u32, f64)>> = vec![Vec::new(); miners.len()];
        // A miner without any prediction is not scored.
        let speaks: Vec<bool> = (0..miners.len()).map(|miner| played.has_prediction(miner)).collect();
        for dialogue in &played.dialogues {
            let logs: Vec<_> = (0..miners.len()).map(|miner| events(dialogue, miner)).collect();
            let scored = score(&dialogue.uid, &logs, &self.embedder)?;
            let scored = scored.iter().zip(&speaks).zip(&mut scores);
            for ((miner, log), ((score, speaks), of_miner)) in miners.iter().zip(&logs).zip(scored) {
                let log = files.log(miner.key, &dialogue.uid, log)?;
                if *speaks {
                    written.push(files.score(miner.key, &dialogue.uid, &log, score)?);
                    of_miner.push((dialogue.uid.clone(), dialogue.index, score.dialogue_summary.average_best));
                }
                written.push(log);
            }
        }
        let mut reports = Vec::with_capacity(miners.len());
        for ((miner, dialogues), errors) in miners.iter().zip(&scores).zip(&played.errors) {
            let dialogue_scores: Vec<f64> = dialogues.iter().map(|(.., score)| *score).collect();
            let mean = dialogue_scores.iter().sum::<f64>() / dialogue_scores.len().max(1) as f64;
            let score = (!dialogue_scores.is_empty()).then_some(mean);
            if score.is_some() {
                written.push(files.run(miner.key, dialogues, mean)?);
            }
            let (uid, hotkey) = (miner.key.uid, miner.key.hotkey);
            reports.push(TextMinerReport {
                uid,
                hotkey,
                name: miner.name.clone(),
                score,
                dialogue_scores,
                errors: *errors,
            });
        }
        Ok(TextReport {
            challenge_uid: played.challenge_uid.clone(),
            challenge_type: self.challenge_type,
            outcome: if played.ended_early { TextOutcome::EndedEarly } else { TextOutcome::Finished },
            dialogues: played.dialogues.len(),
            utterances: played.dialogues.iter().map(|dialogue| dialogue.utterances.len()).sum(),
            wall_sec: 0.0,
            miners: reports,
            files: written,
        })
    }
}
