//! A run: play, score, write.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use taonet_babelbit_core::engine_api::TextToken;
use taonet_babelbit_core::records::{ChallengeType, MinerKey};
use taonet_babelbit_core::text::{DialogueScore, Event};
use taonet_babelbit_engine::client::EngineClient;
use taonet_babelbit_runner::RunPaths;
use taonet_primitives::{Hotkey, Uid};
use taonet_speech::SentenceEmbedder;

use super::files::Files;
use super::play::{Played, PlayedDialogue, play};
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
    /// An earlier run has scored the challenge; [`TextRunner::unsubmitted`] has its files.
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
    /// Files that this run has written, in the order of submission.
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
    /// Mean over the dialogues; `None` for a miner that predicted nothing or whose files could not be written.
    pub score: Option<f64>,
    /// Scores of the dialogues, in order.
    pub dialogue_scores: Vec<f64>,
    /// Number of failed predictions.
    pub errors: u32,
    /// Why a file of the miner could not be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unwritten: Option<String>,
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
    /// The file that means that the challenge is done could not be read or written.
    #[error("cannot record the played challenge: {0}")]
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
    /// [`TextRunError`] when the engine, the embedder or the disk fails. If only some miners' files cannot be written, these
    /// have [`TextMinerReport::unwritten`], and the others count.
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

    /// The files of a report's challenge, unless all of them are submitted: of this run, or of the one that played it.
    ///
    /// # Errors
    /// The I/O error.
    pub fn unsubmitted(&self, report: &TextReport) -> io::Result<Vec<WrittenFile>> {
        if report.outcome == TextOutcome::AlreadyDone {
            self.files_of(report).unsubmitted()
        } else {
            Ok(report.files.clone())
        }
    }

    /// Records that all files of a report's challenge are submitted.
    ///
    /// # Errors
    /// The I/O error.
    pub fn record_submission(&self, report: &TextReport) -> io::Result<()> {
        self.files_of(report).write_submitted()
    }

    fn files_of<'a>(&'a self, report: &'a TextReport) -> Files<'a> {
        Files::new(&self.paths, report.challenge_uid.as_deref(), report.challenge_type, &jiff::Zoned::now())
    }

    /// Scores a played challenge and writes its files. Blocks.
    fn finish(&self, played: &Played, miners: &[TextMiner], now: &jiff::Zoned) -> Result<TextReport, TextRunError> {
        let files = Files::new(&self.paths, played.challenge_uid.as_deref(), self.challenge_type, now);
        let result = |(position, miner): (usize, &TextMiner)| Results {
            key: miner.key,
            speaks: played.has_prediction(position),
            written: Vec::new(),
            dialogues: Vec::new(),
            unwritten: None,
        };
        let mut results: Vec<Results> = miners.iter().enumerate().map(result).collect();
        let mut written = Vec::new();
        for dialogue in &played.dialogues {
            let logs: Vec<_> = (0..miners.len()).map(|miner| events(dialogue, miner)).collect();
            let scored = score(&dialogue.uid, &logs, &self.embedder)?;
            for ((results, log), score) in results.iter_mut().zip(&logs).zip(&scored) {
                results.attempt(|results| results.add(&files, dialogue, log, score));
                written.append(&mut results.written);
            }
        }
        let mut reports = Vec::with_capacity(miners.len());
        for ((miner, mut results), errors) in miners.iter().zip(results).zip(&played.errors) {
            let dialogue_scores: Vec<f64> = results.dialogues.iter().map(|(.., score)| *score).collect();
            let mean = dialogue_scores.iter().sum::<f64>() / dialogue_scores.len().max(1) as f64;
            if !dialogue_scores.is_empty() {
                results.attempt(|results| results.end(&files, mean));
                written.append(&mut results.written);
            }
            reports.push(TextMinerReport {
                uid: miner.key.uid,
                hotkey: miner.key.hotkey,
                name: miner.name.clone(),
                score: (!dialogue_scores.is_empty() && results.unwritten.is_none()).then_some(mean),
                dialogue_scores,
                errors: *errors,
                unwritten: results.unwritten.map(|error| error.to_string()),
            });
        }
        if reports.iter().any(|report| report.score.is_some()) {
            files.write_done(&written)?;
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

/// A miner's results while they are written.
struct Results {
    key: MinerKey,
    /// Whether it has predicted anything. A miner without any prediction is not scored.
    speaks: bool,
    /// Files written last.
    written: Vec<WrittenFile>,
    /// Uid, position in the challenge and score of the dialogues.
    dialogues: Vec<(String, u32, f64)>,
    /// Why a file could not be written. Nothing is written after that: the mean would not be of all dialogues.
    unwritten: Option<io::Error>,
}

impl Results {
    /// Writes unless an earlier write has failed.
    fn attempt(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) {
        if self.unwritten.is_some() {
            return;
        }
        if let Err(error) = write(self) {
            tracing::warn!(uid = %self.key.uid, %error, "a miner's files cannot be written");
            self.unwritten = Some(error);
        }
    }

    /// Writes the log of a dialogue and its scores.
    fn add(
        &mut self,
        files: &Files<'_>,
        dialogue: &PlayedDialogue,
        log: &[Event],
        score: &DialogueScore,
    ) -> io::Result<()> {
        let log = files.log(self.key, &dialogue.uid, log)?;
        if self.speaks {
            self.written.push(files.score(self.key, &dialogue.uid, &log, score)?);
            self.dialogues.push((dialogue.uid.clone(), dialogue.index, score.dialogue_summary.average_best));
        }
        self.written.push(log);
        Ok(())
    }

    /// Writes the mean over the dialogues.
    fn end(&mut self, files: &Files<'_>, mean: f64) -> io::Result<()> {
        self.written.push(files.run(self.key, &self.dialogues, mean)?);
        Ok(())
    }
}
