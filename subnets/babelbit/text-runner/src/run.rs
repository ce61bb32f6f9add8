//! A run of the text contest: plays a challenge, scores it, and writes the files.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use taonet_babelbit_core::Rules;
use taonet_babelbit_core::engine_api::TextToken;
use taonet_babelbit_core::records::{ChallengeType, MinerKey};
use taonet_babelbit_core::text::{DialogueScore, Event, VectorOptions};
use taonet_babelbit_engine::client::EngineClient;
use taonet_babelbit_runner::{
    Ledger, LedgerError, RunPaths, TextChallenge, TextFile, file_name_part,
};
use taonet_primitives::{Hotkey, Uid};
use taonet_speech::SentenceEmbedder;

use super::files::{Files, timestamp};
use super::play::{PlayedChallenge, PlayedDialogue, play};
use super::score::{events, score_logs};
use super::{BlockSteps, OmittedUtterance, PlayError, PlayOptions, ScoringError, TextMiner};

/// Outcome of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TextOutcome {
    /// The run played the complete challenge.
    Finished,
    /// The session ended early, because no miner was active or the engine sent too many tokens;
    /// only the words revealed until then are scored.
    EndedEarly,
    /// An earlier run has scored the challenge; its files are in the outbox until they are
    /// submitted.
    AlreadyDone,
    /// The engine has no current challenge.
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
    /// Number of dialogues played.
    pub dialogues: usize,
    /// Number of utterances played.
    pub utterances: usize,
    /// Utterances that were left out because they are too long.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub omitted: Vec<OmittedUtterance>,
    /// Dialogues that could not be scored; the miners' scores are means over the others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unscored: Vec<UnscoredDialogue>,
    /// Wall-clock time of the run in seconds.
    pub wall_sec: f64,
    /// Results of each miner, in the order in which the run received the miners.
    pub miners: Vec<TextMinerReport>,
    /// Files that the run has written.
    #[serde(skip)]
    pub files: Vec<TextFile>,
}

/// A dialogue that could not be scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnscoredDialogue {
    /// ID of the dialogue.
    pub dialogue_uid: String,
    /// Why it could not be scored.
    pub error: String,
}

/// Results of one miner in a text run.
#[derive(Debug, Clone, Serialize)]
pub struct TextMinerReport {
    /// Uid of the miner.
    pub uid: Uid,
    /// Hotkey of the miner.
    pub hotkey: Hotkey,
    /// Display name.
    pub name: Option<String>,
    /// Mean score over the dialogues; `None` for a miner that predicted nothing or whose mean could
    /// not be written.
    pub score: Option<f64>,
    /// The miner's score in each dialogue that was scored and written, in the order of the
    /// challenge.
    pub dialogue_scores: Vec<f64>,
    /// Number of failed predictions.
    pub errors: u32,
    /// The first error of writing the miner's files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unwritten: Option<String>,
}

/// Why a run failed. Its results are discarded, and the next run plays the challenge again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextRunError {
    /// The session could not be played.
    #[error(transparent)]
    Play(#[from] PlayError),
    /// No dialogue could be scored.
    #[error(transparent)]
    Score(#[from] ScoringError),
    /// The ledger could not be read, or the challenge could not be recorded in it.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The scoring task panicked or was cancelled.
    #[error("scoring was aborted")]
    Aborted,
}

/// Opens the text contest's ledger below `paths.state`, apart from the speech contest's, so that
/// runners of both contests can share their directories.
///
/// # Errors
/// [`LedgerError`] when another runner of the text contest uses the directory, or the ledger cannot
/// be opened.
pub async fn open_ledger(paths: &RunPaths) -> Result<Arc<Ledger>, LedgerError> {
    Ledger::open(&paths.state.join("text")).await.map(Arc::new)
}

/// A runner of the text contest.
#[derive(Clone)]
pub struct TextRunner {
    /// Directories of the result files.
    pub paths: RunPaths,
    /// Ledger of the played challenges and of the files to submit; see [`open_ledger`].
    pub ledger: Arc<Ledger>,
    /// Whether the run queues its files in the ledger, from which an
    /// [`Outbox`](taonet_babelbit_runner::submission::Outbox) submits them.
    pub submit: bool,
    /// Contest to play.
    pub challenge_type: ChallengeType,
    /// ID of the main challenge that a solo challenge accompanies.
    pub main_challenge_uid: Option<String>,
    /// Settings of the sessions.
    pub options: PlayOptions,
    /// Blocks at which the steps of a session begin and end; `None` reveals each word as soon as
    /// all miners have responded to the one before.
    pub steps: Option<BlockSteps>,
    /// Sentence embedder for the scores.
    pub embedder: Arc<dyn SentenceEmbedder>,
    /// Options of the semantic similarity.
    pub vectors: VectorOptions,
    /// Rules of logs and scores: the reference's leave out the steps of a miner that has dropped
    /// out of the round, the strict ones count them as empty predictions.
    pub rules: Rules,
}

impl std::fmt::Debug for TextRunner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextRunner").field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl TextRunner {
    /// Plays the engine's current challenge, scores it and writes the files. Calls `observe` with
    /// each token.
    ///
    /// # Errors
    /// [`TextRunError`] when the engine or the ledger fails, or the embedder fails for every
    /// dialogue. Dialogues that cannot be scored are in [`TextReport::unscored`]. If a file of a
    /// miner cannot be written, its report has [`TextMinerReport::unwritten`], and the other
    /// dialogues and miners are still scored.
    pub async fn run_once(
        &self,
        engine: &EngineClient,
        miners: &[TextMiner],
        observe: impl FnMut(&TextToken),
    ) -> Result<TextReport, TextRunError> {
        let start = Instant::now();
        let first = engine.start_text(self.options.stream).await.map_err(PlayError::from)?;
        let challenge_uid = first.challenge_uid.clone().filter(|uid| !uid.is_empty());
        let now = jiff::Zoned::now();
        let report = |outcome| TextReport {
            challenge_uid: challenge_uid.clone(),
            challenge_type: self.challenge_type,
            outcome,
            dialogues: 0,
            utterances: 0,
            omitted: Vec::new(),
            unscored: Vec::new(),
            wall_sec: start.elapsed().as_secs_f64(),
            miners: Vec::new(),
            files: Vec::new(),
        };
        if first.done {
            return Ok(report(TextOutcome::NoChallenge));
        }
        if let Some(uid) = &challenge_uid
            && self.ledger.is_played(uid, self.challenge_type).await?
        {
            return Ok(report(TextOutcome::AlreadyDone));
        }
        let mut played =
            play(engine, first, miners, &self.options, self.steps.as_ref(), observe).await?;
        make_uids_unique(&mut played.dialogues);
        let (runner, miners, run_time) = (self.clone(), miners.to_vec(), now.clone());
        let finish =
            tokio::task::spawn_blocking(move || runner.finish(&played, &miners, &run_time));
        let mut report = finish.await.map_err(|_| TextRunError::Aborted)??;
        self.record(&report, &now).await?;
        report.wall_sec = start.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Records a scored challenge, so that no later run plays it again, and queues its files. A run
    /// in which no miner has a score is not recorded.
    async fn record(&self, report: &TextReport, now: &jiff::Zoned) -> Result<(), LedgerError> {
        if report.miners.iter().all(|miner| miner.score.is_none()) {
            return Ok(());
        }
        let challenge = TextChallenge {
            challenge_uid: report.challenge_uid.as_deref().unwrap_or("unknown"),
            challenge_type: self.challenge_type,
            run_timestamp: &timestamp(now),
            started_unix: now.timestamp().as_second(),
            main_challenge_uid: self.main_challenge_uid.as_deref(),
        };
        self.ledger.record_text(challenge, if self.submit { &report.files } else { &[] }).await
    }

    /// Scores a played challenge and writes its files. Blocks the calling thread.
    fn finish(
        &self,
        played: &PlayedChallenge,
        miners: &[TextMiner],
        now: &jiff::Zoned,
    ) -> Result<TextReport, ScoringError> {
        let files =
            Files::new(&self.paths, played.challenge_uid.as_deref(), self.challenge_type, now);
        let result = |(position, miner): (usize, &TextMiner)| MinerResults {
            key: miner.key,
            speaks: played.has_prediction(position),
            written: Vec::new(),
            dialogues: Vec::new(),
            unwritten: None,
        };
        let mut results: Vec<MinerResults> = miners.iter().enumerate().map(result).collect();
        let (mut written, mut unscored) = (Vec::new(), Vec::new());
        for dialogue in &played.dialogues {
            let logs: Vec<_> =
                (0..miners.len()).map(|miner| events(dialogue, miner, self.rules)).collect();
            let scored: Vec<Option<DialogueScore>> = match score_logs(
                &dialogue.uid,
                &logs,
                &*self.embedder,
                self.vectors,
                self.rules,
            ) {
                Ok(scored) => scored.into_iter().map(Some).collect(),
                Err(error) if unscored.len() + 1 == played.dialogues.len() => return Err(error),
                Err(error) => {
                    tracing::warn!(dialogue_uid = dialogue.uid, %error, "cannot score a dialogue");
                    let dialogue_uid = dialogue.uid.clone();
                    unscored.push(UnscoredDialogue { dialogue_uid, error: error.to_string() });
                    vec![None; miners.len()]
                }
            };
            for ((results, log), score) in results.iter_mut().zip(&logs).zip(&scored) {
                results.attempt(|results| results.add(&files, dialogue, log, score.as_ref()));
                written.append(&mut results.written);
            }
        }
        let mut reports = Vec::with_capacity(miners.len());
        for ((miner, mut results), errors) in miners.iter().zip(results).zip(&played.errors) {
            let dialogue_scores: Vec<f64> =
                results.dialogues.iter().map(|(.., score)| *score).collect();
            let mean = dialogue_scores.iter().sum::<f64>() / dialogue_scores.len().max(1) as f64;
            let is_scored =
                !dialogue_scores.is_empty() && results.attempt(|results| results.end(&files, mean));
            written.append(&mut results.written);
            reports.push(TextMinerReport {
                uid: miner.key.uid,
                hotkey: miner.key.hotkey,
                name: miner.name.clone(),
                score: is_scored.then_some(mean),
                dialogue_scores,
                errors: *errors,
                unwritten: results.unwritten.map(|error| error.to_string()),
            });
        }
        Ok(TextReport {
            challenge_uid: played.challenge_uid.clone(),
            challenge_type: self.challenge_type,
            outcome: if played.ended_early {
                TextOutcome::EndedEarly
            } else {
                TextOutcome::Finished
            },
            dialogues: played.dialogues.len(),
            utterances: played.dialogues.iter().map(|dialogue| dialogue.utterances.len()).sum(),
            omitted: played.omitted.clone(),
            unscored,
            wall_sec: 0.0,
            miners: reports,
            files: written,
        })
    }
}

/// Gives dialogues whose files would have the same names different uids.
fn make_uids_unique(dialogues: &mut [PlayedDialogue]) {
    let mut used_names = HashSet::new();
    for dialogue in dialogues {
        let (uid, mut number) = (dialogue.uid.clone(), dialogue.index);
        while !used_names.insert(file_name_part(&dialogue.uid)) {
            dialogue.uid = format!("{uid}-{number}");
            number = number.wrapping_add(1);
        }
    }
}

/// A miner's results during the write phase.
struct MinerResults {
    key: MinerKey,
    /// Whether the miner has predicted any text. A miner without predictions is not scored.
    speaks: bool,
    /// Recently written files, not yet in the report.
    written: Vec<TextFile>,
    /// Uid, position in the challenge and score of each dialogue.
    dialogues: Vec<(String, u32, f64)>,
    /// The first error of writing a file.
    unwritten: Option<io::Error>,
}

impl MinerResults {
    /// Calls `write`, keeps the first error in `unwritten`, and returns whether the call succeeded.
    fn attempt(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) -> bool {
        let Err(error) = write(self) else { return true };
        tracing::warn!(uid = %self.key.uid, %error, "cannot write a miner's files");
        self.unwritten.get_or_insert(error);
        false
    }

    /// Writes the log of a dialogue, and its scores if there are any.
    fn add(
        &mut self,
        files: &Files<'_>,
        dialogue: &PlayedDialogue,
        log: &[Event],
        score: Option<&DialogueScore>,
    ) -> io::Result<()> {
        let log = files.log(self.key, &dialogue.uid, log)?;
        if let Some(score) = score.filter(|_| self.speaks) {
            self.written.push(files.score(self.key, &dialogue.uid, &log, score)?);
            self.dialogues.push((
                dialogue.uid.clone(),
                dialogue.index,
                score.dialogue_summary.average_best,
            ));
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
