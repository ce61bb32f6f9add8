use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use taonet_babelbit_core::engine_api::UtterancePayload;
use taonet_babelbit_core::records::ChallengeType;
use taonet_primitives::{Uid, with_causes};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::artifacts::{MinerResult, write_status};
use super::challenge_run::{ChallengeRun, MAX_CONCURRENT_ENCODERS, group_by_miner};
use super::connection::MinerConnection;
use super::error::RunError;
use super::events::{RunEvent, RunObserver};
use super::files::Layout;
use super::import::import;
use super::ledger::{ChallengeRow, ChallengeState, Ledger, NewChallenge, ResultRow};
use super::names::{names_of, store_names};
use super::past_scores::PastScores;
use super::reply_scorer::{References, ReplyScorer};
use super::report::{MinerReport, RunOutcome, RunProfile, RunReport};
use super::settings::RunnerSettings;
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_core::records::is_safe_name;
use taonet_babelbit_engine::client::{ChallengeKind, EngineClient, PrefetchedChallenge};

/// Maximum number of resumes of an unfinished challenge that is no longer current; further attempts
/// would only delay later rounds.
pub(super) const MAX_RESUMES: u32 = 10;

/// A miner that takes part in a run.
#[derive(Clone)]
pub struct Miner {
    /// Uid and hotkey of the miner.
    pub key: MinerKey,
    /// Display name.
    pub name: Option<String>,
    /// Connection to the miner.
    pub connection: Arc<dyn MinerConnection>,
}

/// Plays challenges to miners and scores the replies. A runner and its clones hold the lock on the
/// state directory.
#[derive(Clone)]
pub struct Runner {
    settings: RunnerSettings,
    target_language: String,
    ledger: Arc<Ledger>,
    scorer: Arc<dyn ReplyScorer>,
}

impl Runner {
    /// Opens the ledger in the settings' state directory and creates a runner. `target_language`
    /// (ISO 639-1) is the expected language of replies.
    ///
    /// # Errors
    /// [`RunError::Ledger`] when another runner uses the directory, or the ledger cannot be opened.
    pub async fn open(
        settings: RunnerSettings,
        target_language: &str,
        scorer: Arc<dyn ReplyScorer>,
    ) -> Result<Self, RunError> {
        let ledger = Arc::new(Ledger::open(&settings.paths.state).await?);
        Ok(Self { settings, target_language: target_language.to_owned(), ledger, scorer })
    }

    /// Returns a runner with these settings and the same ledger, which stays in its state
    /// directory.
    #[must_use]
    pub fn with_settings(&self, settings: RunnerSettings) -> Self {
        Self { settings, ..self.clone() }
    }

    /// Returns the settings of the runner.
    pub const fn settings(&self) -> &RunnerSettings {
        &self.settings
    }

    /// Returns the ledger of played and scored utterances, and of queued submissions.
    pub const fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Plays one round: the engine's current challenge, to all miners without a score in it, then
    /// unfinished earlier challenges. Resumes interrupted runs. Errors of earlier challenges are
    /// only logged.
    ///
    /// `miners` is in order of preference, which matters if there are more than
    /// [`RunnerSettings::max_miners`]. Dropping the future cancels the run immediately; the next
    /// run resumes it.
    ///
    /// # Errors
    /// [`RunError`] when the engine's challenge cannot be fetched, or a file or ledger operation
    /// fails. Errors of a single miner or utterance are part of the report.
    pub async fn run_once(
        &self,
        engine: &EngineClient,
        miners: &[Miner],
        observer: Arc<dyn RunObserver>,
    ) -> Result<RunReport, RunError> {
        let is_solo = self.settings.challenge_type == ChallengeType::Solo;
        let kind = if is_solo { ChallengeKind::Solo } else { ChallengeKind::Main };
        let (current, outcome) = match self.start_session(engine, kind).await {
            Ok(first_utterance) => {
                let uid = first_utterance.challenge_uid.clone();
                (
                    Some(uid),
                    self.play_started(engine, kind, first_utterance, miners, Arc::clone(&observer))
                        .await,
                )
            }
            // Earlier challenges are completely in the ledger, so they can resume without the
            // engine.
            Err(error) => (None, Err(error)),
        };
        self.resume_unfinished(current.as_deref(), miners, observer).await;
        outcome
    }

    /// Opens a session of the engine's current challenge; returns its first utterance.
    async fn start_session(
        &self,
        engine: &EngineClient,
        kind: ChallengeKind,
    ) -> Result<UtterancePayload, RunError> {
        engine.authenticate_with_retry().await?;
        Ok(engine.start_with_retry(kind).await?)
    }

    /// Plays the challenge that starts with `first_utterance` to all miners without a score in it.
    async fn play_started(
        &self,
        engine: &EngineClient,
        kind: ChallengeKind,
        first_utterance: UtterancePayload,
        miners: &[Miner],
        observer: Arc<dyn RunObserver>,
    ) -> Result<RunReport, RunError> {
        let started_at = Instant::now();
        match self.ledger.find(&first_utterance.challenge_uid, self.settings.challenge_type).await?
        {
            Some(challenge) if challenge.state != ChallengeState::Partial => {
                self.resume_challenge(challenge, true, miners, observer, started_at).await
            }
            _ => {
                self.play(engine.prefetch_from(kind, first_utterance).await, miners, observer).await
            }
        }
    }

    /// Resumes unfinished challenges other than `current`, each once, oldest first.
    async fn resume_unfinished(
        &self,
        current: Option<&str>,
        miners: &[Miner],
        observer: Arc<dyn RunObserver>,
    ) {
        let contest = self.settings.challenge_type;
        let since = jiff::Timestamp::now()
            .as_second()
            .saturating_sub_unsigned(self.settings.resume_within.as_secs());
        let unfinished =
            self.ledger.unfinished(contest, since, MAX_RESUMES).await.unwrap_or_else(|error| {
                tracing::warn!(%contest, %error, "cannot look up unfinished challenges");
                Vec::new()
            });
        for challenge in unfinished
            .into_iter()
            .filter(|challenge| Some(challenge.challenge_uid.as_str()) != current)
        {
            let challenge_uid = challenge.challenge_uid.clone();
            // Count the attempt first: the limit must also stop a challenge that crashes the
            // process each time.
            let attempt = match self.ledger.record_resume(&challenge).await {
                Ok(attempt) => attempt,
                Err(error) => {
                    tracing::warn!(%contest, challenge_uid, %error, "cannot resume an earlier challenge");
                    continue;
                }
            };
            tracing::info!(%contest, challenge_uid, attempt, "resuming an earlier challenge");
            let result = self
                .resume_challenge(challenge, true, miners, Arc::clone(&observer), Instant::now())
                .await;
            let Err(error) = result else { continue };
            let error = with_causes(&error);
            if attempt < MAX_RESUMES {
                tracing::warn!(
                    %contest, challenge_uid, attempt, attempts = MAX_RESUMES, error,
                    "cannot finish an earlier challenge, retrying in a later round"
                );
            } else {
                tracing::error!(
                    %contest, challenge_uid, attempt, error,
                    "cannot finish an earlier challenge, giving up; existing results remain"
                );
            }
        }
    }

    /// Plays a prefetched challenge.
    ///
    /// # Errors
    /// [`RunError`] when a file or ledger operation fails.
    pub async fn play(
        &self,
        challenge: PrefetchedChallenge,
        miners: &[Miner],
        observer: Arc<dyn RunObserver>,
    ) -> Result<RunReport, RunError> {
        let started_at = Instant::now();
        if challenge.challenge_uid.is_empty() || challenge.utterances.is_empty() {
            return Ok(RunReport {
                outcome: RunOutcome::NoChallenge,
                challenge_uid: challenge.challenge_uid,
                title: challenge.title,
                challenge_type: self.settings.challenge_type,
                resumed: false,
                utterances: 0,
                error: challenge.error,
                miners: Vec::new(),
                scored_elsewhere: Vec::new(),
                wall_sec: started_at.elapsed().as_secs_f64(),
                profile: RunProfile::default(),
            });
        }
        if !is_safe_name(&challenge.challenge_uid) {
            return Err(RunError::ChallengeUid(
                challenge.challenge_uid.chars().take(200).collect(),
            ));
        }
        let settings = self.settings.clone();
        let old_row = self.ledger.find(&challenge.challenge_uid, settings.challenge_type).await?;
        let resumed = old_row.is_some();
        let import_challenge =
            move || (import(challenge, old_row.as_ref(), &settings, &jiff::Zoned::now()), old_row);
        let (imported, old_row) = spawn_blocking(import_challenge).await.map_err(RunError::Task)?;
        let new_challenge = imported
            .map_err(|source| RunError::File { path: self.settings.paths.logs.clone(), source })?;
        if let Some(old_row) = old_row {
            // This step precedes `begin`, which marks the challenge as complete: if the process is
            // killed in between, the next run repeats the step.
            self.clear_scores_without_reference(&old_row, &new_challenge).await?;
        }
        let challenge = self.ledger.begin(&new_challenge).await?;
        // File names contain the row's timestamp: the row must be durable before the files exist.
        self.ledger.sync().await?;
        self.resume_challenge(challenge, resumed, miners, observer, started_at).await
    }

    /// Clears the scores of utterances whose reference was missing and has become available.
    async fn clear_scores_without_reference(
        &self,
        old_row: &ChallengeRow,
        new_challenge: &NewChallenge,
    ) -> Result<(), RunError> {
        let root = self.settings.metadata_root.as_deref();
        let old_references = References::of(old_row, &self.target_language, root);
        let NewChallenge { challenge_uid, reference, reference_source: source, .. } = new_challenge;
        let (reference, source) = (reference.as_ref(), source.as_deref());
        let new_references =
            References::new(challenge_uid, reference, source, &self.target_language, root);
        for utterance in &old_row.utterances {
            if old_references.find(&utterance.utterance_id).is_err()
                && new_references.find(&utterance.utterance_id).is_ok()
            {
                self.ledger.clear_scores(old_row, utterance.index).await?;
            }
        }
        Ok(())
    }

    /// Plays a challenge that is in the ledger.
    async fn resume_challenge(
        &self,
        challenge: ChallengeRow,
        resumed: bool,
        miners: &[Miner],
        observer: Arc<dyn RunObserver>,
        started_at: Instant,
    ) -> Result<RunReport, RunError> {
        self.store_names(miners).await;
        let finished = self.ledger.finished_miners(&challenge).await?;
        let played = self.ledger.played_miners(&challenge).await?;
        let externally_scored = self.scored_elsewhere(&challenge, miners, &played).await?;
        let miners =
            self.select_participants(&challenge, miners, &played, &externally_scored).await?;
        let (pending, skipped_miners): (Vec<_>, Vec<_>) =
            miners.iter().cloned().partition(|miner| {
                !finished.contains(&miner.key) && !externally_scored.contains(&miner.key)
            });
        for miner in &skipped_miners {
            observer.observe(RunEvent::AlreadyDone { miner: miner.key.uid });
        }
        let challenge = Arc::new(challenge);
        let metadata_root = self.settings.metadata_root.as_deref();
        let run = Arc::new(ChallengeRun {
            layout: Layout::new(&self.settings.paths, &challenge),
            references: Arc::new(References::of(&challenge, &self.target_language, metadata_root)),
            challenge: Arc::clone(&challenge),
            ledger: Arc::clone(&self.ledger),
            scorer: Arc::clone(&self.scorer),
            observer: Arc::clone(&observer),
            play: self.settings.play.clone(),
            spool: self.settings.paths.state.clone(),
            encoder_permits: Semaphore::new(MAX_CONCURRENT_ENCODERS),
        });
        if !pending.is_empty() {
            let sources = || {
                challenge.utterances.iter().filter_map(|utterance| utterance.source.as_ref().ok())
            };
            observer.observe(RunEvent::Challenge {
                challenge_uid: challenge.challenge_uid.clone(),
                title: challenge.title.clone(),
                challenge_type: challenge.challenge_type,
                utterances: challenge.utterances.len(),
                source_sec: sources().map(super::SourceInfo::duration_sec).sum(),
                miners: pending.len(),
                resumed,
            });
        }
        // Replies of miners that have left the list since the interrupted run are scored, too.
        let mut profile = RunProfile::default();
        if !pending.is_empty() || !played.is_subset(&finished) {
            profile = Arc::clone(&run).run(&pending).await?;
        }
        let write_start = Instant::now();
        let mut reports = self.write_files(&run, &finished).await?;
        profile.persistence_sec = write_start.elapsed().as_secs_f64();
        let name_of = |key: MinerKey| {
            miners.iter().find(|miner| miner.key == key).and_then(|miner| miner.name.clone())
        };
        for report in &mut reports {
            report.name = name_of(MinerKey { uid: report.uid, hotkey: report.hotkey });
        }
        let outcome = match (pending.is_empty(), &challenge.error) {
            (_, Some(_)) => RunOutcome::Partial,
            (true, None) => RunOutcome::AlreadyDone,
            (false, None) => RunOutcome::Finished,
        };
        let mut scored_elsewhere: Vec<Uid> =
            externally_scored.iter().map(|miner| miner.uid).collect();
        scored_elsewhere.sort_unstable();
        let report = RunReport {
            outcome,
            challenge_uid: challenge.challenge_uid.clone(),
            title: challenge.title.clone(),
            challenge_type: challenge.challenge_type,
            resumed,
            utterances: challenge.utterances.len(),
            error: challenge.error.clone(),
            miners: reports,
            scored_elsewhere,
            wall_sec: started_at.elapsed().as_secs_f64(),
            profile,
        };
        tracing::info!("{}", report.profile_line(miners.len()));
        Ok(report)
    }

    /// Stores the display names of miners. An error is only logged, because it affects nothing
    /// else.
    async fn store_names(&self, miners: &[Miner]) {
        let (state, names) = (self.settings.paths.state.clone(), names_of(miners));
        if let Ok(Err(error)) = spawn_blocking(move || store_names(&state, names)).await {
            tracing::warn!(%error, cause = %error.source, "cannot store the names of the miners");
        }
    }

    /// Selects the participants among `miners`. Miners with results come first, so that a resumed
    /// run keeps its miners. In a solo challenge, the miners of its main challenge come next.
    async fn select_participants(
        &self,
        challenge: &ChallengeRow,
        miners: &[Miner],
        played: &HashSet<MinerKey>,
        externally_scored: &HashSet<MinerKey>,
    ) -> Result<Vec<Miner>, RunError> {
        let mut miners = miners.to_vec();
        if miners.len() <= self.settings.max_miners {
            return Ok(miners);
        }
        let main = match &challenge.main_challenge_uid {
            Some(uid) => self.ledger.find(uid, ChallengeType::Main).await?,
            None => None,
        };
        let main_miners = match &main {
            Some(main) => self.ledger.played_miners(main).await?,
            None => HashSet::new(),
        };
        let has_results =
            |miner: &MinerKey| played.contains(miner) || externally_scored.contains(miner);
        miners.sort_by_key(|Miner { key, .. }| (!has_results(key), !main_miners.contains(key)));
        miners.truncate(self.settings.max_miners);
        Ok(miners)
    }

    /// Returns the miners that have a score file for this challenge, but no results in the ledger.
    async fn scored_elsewhere(
        &self,
        challenge: &ChallengeRow,
        miners: &[Miner],
        played: &HashSet<MinerKey>,
    ) -> Result<HashSet<MinerKey>, RunError> {
        let scores = self.settings.paths.scores.clone();
        let (path, uid) = (scores.clone(), challenge.challenge_uid.clone());
        let past_scores = spawn_blocking(move || PastScores::read(&scores, &uid))
            .await
            .map_err(RunError::Task)?
            .map_err(|source| RunError::File { path, source })?;
        let unplayed_keys =
            miners.iter().map(|miner| miner.key).filter(|key| !played.contains(key));
        Ok(unplayed_keys
            .filter(|key| {
                past_scores.contains(&challenge.challenge_uid, challenge.challenge_type, *key)
            })
            .collect())
    }

    /// Writes the files of all miners with rows, except the `finished` ones, and the challenge's
    /// status; returns the reports of all miners with rows.
    async fn write_files(
        &self,
        run: &Arc<ChallengeRun>,
        finished: &HashSet<MinerKey>,
    ) -> Result<Vec<MinerReport>, RunError> {
        let challenge = &run.challenge;
        let texts = Arc::new(run.reference_texts());
        let (rules, submit) = (self.settings.rules, self.settings.submit);
        let mut rows: Vec<(MinerKey, Vec<ResultRow>)> =
            group_by_miner(self.ledger.results(challenge).await?).into_iter().collect();
        rows.sort_by_key(|(miner, _)| *miner);
        let observer = Arc::clone(&run.observer);
        let mut reports = Vec::new();
        let mut wrote_files = false;
        for (miner, rows) in rows {
            let (run, texts) = (Arc::clone(run), Arc::clone(&texts));
            let should_write = !finished.contains(&miner);
            let is_complete = rows.len() == challenge.utterances.len() || run.is_dropped(&rows);
            let write_and_report = move || {
                let challenge = &*run.challenge;
                let result =
                    MinerResult { challenge, miner, rows: &rows, reference_texts: &texts, rules };
                if should_write {
                    result
                        .write(&run.layout)
                        .map_err(|source| file_error(&run.layout.miner(miner), source))?;
                }
                let files =
                    (should_write && submit).then(|| result.written_files(&run.layout)).transpose();
                let files = files.map_err(|source| file_error(&run.layout.miner(miner), source))?;
                Ok::<_, RunError>((MinerReport::of(&result, None), files))
            };
            let (report, files) =
                spawn_blocking(write_and_report).await.map_err(RunError::Task)??;
            if should_write {
                wrote_files = true;
                // A partial result is written too, but the miner is not marked as finished.
                let is_finished = challenge.error.is_none() && is_complete;
                match files {
                    Some(files) => {
                        self.ledger.enqueue(challenge, miner, &files, is_finished).await?;
                    }
                    None if is_finished => self.ledger.finish_miner(challenge, miner).await?,
                    None => {}
                }
                observer.observe(RunEvent::Written { miner: miner.uid, score: report.score });
            }
            reports.push(report);
        }
        // An earlier run may have been killed after it wrote the last miner's files and before the
        // status file.
        let needs_status = challenge.state == ChallengeState::Playing || wrote_files;
        if challenge.error.is_none() && needs_status && !reports.is_empty() {
            let run = Arc::clone(run);
            let scores: Vec<f64> = reports.iter().map(|report| report.score).collect();
            let status = run.layout.status();
            let write =
                move || write_status(&run.layout, &run.challenge, &scores, jiff::Timestamp::now());
            spawn_blocking(write)
                .await
                .map_err(RunError::Task)?
                .map_err(|source| file_error(&status, source))?;
            self.ledger.finish(challenge).await?;
        }
        Ok(reports)
    }
}

fn file_error(path: &Path, source: std::io::Error) -> RunError {
    RunError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
