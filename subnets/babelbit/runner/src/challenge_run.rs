use std::collections::{BTreeMap, HashMap};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use taonet_babelbit_core::protocol::SAMPLE_RATE_HZ;
use taonet_primitives::SampleRate;
use taonet_speech::{SampleFormat, Wav};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinSet, spawn_blocking};

use super::connection::MinerConnection;
use super::events::{RunEvent, RunObserver};
use super::files::{Layout, replace};
use super::ledger::{ChallengeRow, Ledger, ReplyFailure, ReplyRecord, ResultRow};
use super::player::{PlayError, PlayFailure, PlayedReply, WallClock, play_utterance};
use super::reply::ReplyError;
use super::reply_scorer::{References, ReplyScorer, build_candidate};
use super::report::RunProfile;
use super::settings::PlaySettings;
use super::source::sha256;
use super::source_store::SourceStore;
use super::{Miner, RunError};
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_scorer::Candidate;

mod batch;

use batch::Batches;

/// Capacity of the queue from players to the scorer. When the queue is full, a player waits before
/// its next utterance.
const ROW_QUEUE_CAPACITY: usize = 1_024;
/// Maximum number of replies encoded as WAV concurrently; encoding needs memory for two copies of
/// each reply.
pub(super) const MAX_CONCURRENT_ENCODERS: usize = 8;

/// Message from a player to the scorer.
enum PlayerMessage {
    /// Result of one utterance.
    Row(Box<ResultRow>),
    /// The miner was dropped: no further utterances are played to it.
    Dropped(MinerKey),
}

/// A challenge in progress: the players of all miners and the scorer run concurrently.
pub(super) struct ChallengeRun {
    pub(super) challenge: Arc<ChallengeRow>,
    pub(super) layout: Layout,
    pub(super) ledger: Arc<Ledger>,
    pub(super) scorer: Arc<dyn ReplyScorer>,
    pub(super) observer: Arc<dyn RunObserver>,
    pub(super) play: PlaySettings,
    pub(super) references: Arc<References>,
    /// Directory to which replies above the memory limit spill.
    pub(super) spool: PathBuf,
    /// Semaphore of [`MAX_CONCURRENT_ENCODERS`] permits for encoding replies.
    pub(super) encoder_permits: Semaphore,
}

impl ChallengeRun {
    /// Plays and scores all utterances without results in the ledger; returns the duration of each
    /// phase. Dropping the future cancels the run, and a later run resumes it.
    pub(super) async fn run(self: Arc<Self>, miners: &[Miner]) -> Result<RunProfile, RunError> {
        let start = Instant::now();
        let intact_rows = self.intact_rows().await?;
        let sources = Arc::new(SourceStore::new(&self.challenge.utterances, &self.layout));
        let (sender, mut receiver) = mpsc::channel(ROW_QUEUE_CAPACITY);
        let mut players = JoinSet::new();
        for miner in miners {
            let played_rows: Vec<&ResultRow> =
                intact_rows.iter().filter(|row| row.miner == miner.key).collect();
            let is_played = |index| played_rows.iter().any(|row| row.utterance_index == index);
            let remaining: Vec<u32> = self.indices().filter(|index| !is_played(*index)).collect();
            let failures = self.consecutive_failures(played_rows.iter().copied());
            let (run, sources, sender) = (Arc::clone(&self), Arc::clone(&sources), sender.clone());
            let (key, connection) = (miner.key, Arc::clone(&miner.connection));
            players.spawn(async move {
                run.play_remaining(key, &*connection, &remaining, failures, &sources, &sender)
                    .await
                    .map(|()| Instant::now())
            });
        }
        drop(sender);

        let mut batches = Batches::new(
            Arc::clone(&self),
            miners.iter().map(|miner| miner.key).collect(),
            intact_rows,
        );
        batches.advance().await?;
        while let Some(message) = receiver.recv().await {
            match message {
                PlayerMessage::Row(row) => batches.add(*row).await?,
                PlayerMessage::Dropped(miner) => batches.drop_miner(miner).await?,
            }
        }
        let mut serving_end = start;
        while let Some(player) = players.join_next().await {
            serving_end = serving_end.max(player.map_err(RunError::Task)??);
        }
        let scoring = batches.finish().await?;
        Ok(RunProfile {
            serving_sec: (serving_end - start).as_secs_f64(),
            scoring_sec: scoring.as_secs_f64(),
            ..RunProfile::default()
        })
    }

    /// Returns the duration in seconds and the number of channels of an utterance's source.
    fn source(&self, index: u32) -> Option<(f64, u16)> {
        let utterance =
            self.challenge.utterances.iter().find(|utterance| utterance.index == index)?;
        utterance.source.as_ref().ok().map(|source| (source.duration_sec(), source.channels))
    }

    fn indices(&self) -> impl Iterator<Item = u32> {
        self.challenge.utterances.iter().map(|utterance| utterance.index)
    }

    /// Counts the miner's consecutive failures at the end of its `rows`, which are sorted by
    /// utterance. Unplayable utterances are not failures.
    fn consecutive_failures<'a>(
        &self,
        rows: impl DoubleEndedIterator<Item = &'a ResultRow>,
    ) -> usize {
        let playable_rows = rows.rev().filter(|row| self.is_playable(row.utterance_index));
        playable_rows.take_while(|row| row.outcome.is_err()).count()
    }

    /// Whether a miner with these result rows, sorted by utterance, is dropped.
    pub(super) fn is_dropped(&self, rows: &[ResultRow]) -> bool {
        self.play.should_drop(self.consecutive_failures(rows.iter()))
    }

    fn is_playable(&self, index: u32) -> bool {
        self.challenge
            .utterances
            .iter()
            .any(|utterance| utterance.index == index && utterance.source.is_ok())
    }

    /// Returns the rows of earlier runs, and deletes unscored rows with damaged audio.
    async fn intact_rows(&self) -> Result<Vec<ResultRow>, RunError> {
        let rows = self.ledger.results(&self.challenge).await?;
        let layout = self.layout.clone();
        let partition_intact = move || {
            rows.into_iter().partition::<Vec<_>, _>(|row| match &row.outcome {
                Ok(hash) if row.awaits_score() => {
                    let path = layout.predicted(row.miner, row.utterance_index);
                    std::fs::read(path).is_ok_and(|file| sha256(&file) == *hash)
                }
                _ => true,
            })
        };
        let (intact_rows, damaged_rows) =
            spawn_blocking(partition_intact).await.map_err(RunError::Task)?;
        for row in damaged_rows {
            tracing::warn!(
                miner = %row.miner.uid, utterance = row.utterance_index,
                "damaged reply file, playing the utterance again"
            );
            self.ledger.delete_reply(&self.challenge, row.miner, row.utterance_index).await?;
        }
        Ok(intact_rows)
    }

    /// Plays the remaining utterances to one miner, in order. `failures` is the number of its
    /// latest consecutive failures.
    async fn play_remaining(
        self: &Arc<Self>,
        miner: MinerKey,
        connection: &dyn MinerConnection,
        indices: &[u32],
        mut failures: usize,
        sources: &SourceStore,
        sender: &mpsc::Sender<PlayerMessage>,
    ) -> Result<(), RunError> {
        for &index in indices {
            if self.play.should_drop(failures) {
                tracing::info!(miner = %miner.uid, failures, "miner dropped after consecutive failures");
                // Sending fails only if the run has failed and the scorer has stopped.
                let _ = sender.send(PlayerMessage::Dropped(miner)).await;
                return Ok(());
            }
            let row = match sources.get(index).await {
                Ok(source) => {
                    let uid = &self.challenge.challenge_uid;
                    let channels = source.channels;
                    let play_result =
                        play_utterance(connection, uid, &source, &self.play, &self.spool).await;
                    drop(source);
                    match play_result {
                        Ok(reply) => self.store_reply(miner, index, channels, reply).await?,
                        Err(PlayFailure {
                            error: PlayError::Reply(ReplyError::Disk(kind)),
                            ..
                        }) => {
                            return Err(RunError::File {
                                path: self.spool.clone(),
                                source: kind.into(),
                            });
                        }
                        Err(failure) => failed_reply_row(miner, index, failure),
                    }
                }
                Err(error) => failed_row(miner, index, error),
            };
            self.ledger.record(&self.challenge, &row).await?;
            let error = row.outcome.as_ref().err().map(|failure| failure.0.as_str());
            let message = if error.is_none() { "reply received" } else { "no reply" };
            tracing::debug!(uid = %miner.uid, hotkey = %miner.hotkey, utterance = index, error, "{message}");
            self.observer.observe(match &row.outcome {
                Ok(_) => RunEvent::Played {
                    miner: miner.uid,
                    utterance_index: index,
                    reply_sec: row.reply.frames as f64 / f64::from(SAMPLE_RATE_HZ),
                },
                Err(failure) => RunEvent::Failed {
                    miner: miner.uid,
                    utterance_index: index,
                    error: failure.to_string(),
                },
            });
            if row.outcome.is_ok() {
                failures = 0;
            } else if self.is_playable(index) {
                failures += 1;
            }
            // Sending fails only if the run has failed and the scorer has stopped.
            if sender.send(PlayerMessage::Row(Box::new(row))).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Writes the audio file of a reply, and starts its recognition without waiting for other
    /// miners or for the scores of earlier utterances. Returns the result row.
    async fn store_reply(
        self: &Arc<Self>,
        miner: MinerKey,
        index: u32,
        channels: u16,
        reply: PlayedReply,
    ) -> Result<ResultRow, RunError> {
        let _permit = self.encoder_permits.acquire().await;
        let path = self.layout.predicted(miner, index);
        let run = Arc::clone(self);
        let write = move || {
            let PlayedReply { session_id, pcm: mut spooled, frames_in, timeline, wall } = reply;
            let mut pcm = Vec::new();
            spooled
                .rewind()
                .and_then(|()| spooled.read_to_end(&mut pcm))
                .map_err(|source| RunError::File { path: path.clone(), source })?;
            drop(spooled);
            let frames =
                pcm.len() / (usize::from(SampleFormat::S16.width()) * usize::from(channels.max(1)));
            let wav = Wav::wrap(&pcm, SampleFormat::S16, channels, SampleRate::HZ_24K)?;
            drop(pcm);
            replace(&path, |file| file.write_all(&wav))
                .map_err(|source| RunError::File { path: path.clone(), source })?;
            let reply = ReplyRecord {
                session_id: Some(session_id),
                frames_in,
                timeline,
                wall,
                frames: frames as u64,
                wav_bytes: wav.len() as u64,
            };
            let row = ResultRow {
                miner,
                utterance_index: index,
                reply,
                outcome: Ok(sha256(&wav)),
                score: None,
            };
            run.prepare(&row)?;
            Ok(row)
        };
        spawn_blocking(write).await.map_err(RunError::Task)?
    }

    /// Starts the recognition of a stored reply, unless it has started. `None` if the utterance has
    /// no source. Blocks on file I/O.
    fn prepare(&self, row: &ResultRow) -> Result<Option<Candidate>, RunError> {
        let Some((source_sec, channels)) = self.source(row.utterance_index) else {
            return Ok(None);
        };
        let path = self.layout.predicted(row.miner, row.utterance_index);
        let candidate = build_candidate(row, path.clone(), source_sec, channels)
            .map_err(|source| RunError::File { path, source })?;
        self.scorer.prepare(&candidate);
        Ok(Some(candidate))
    }

    /// Returns the expected translation of each utterance, by index.
    pub(super) fn reference_texts(&self) -> BTreeMap<u32, String> {
        let index_and_text = |utterance: &super::UtteranceRow| {
            (utterance.index, self.references.text(&utterance.utterance_id))
        };
        self.challenge.utterances.iter().map(index_and_text).collect()
    }
}

fn failed_reply_row(miner: MinerKey, index: u32, failure: PlayFailure) -> ResultRow {
    let mut row = failed_row(miner, index, failure.error.to_string());
    row.reply.session_id = failure.session_id;
    row.reply.wall.total_sec = failure.wall.as_secs_f64();
    row
}

fn failed_row(miner: MinerKey, index: u32, error: String) -> ResultRow {
    let reply = ReplyRecord {
        session_id: None,
        frames_in: 0,
        timeline: taonet_babelbit_core::scoring::Timeline::default(),
        wall: WallClock::default(),
        frames: 0,
        wav_bytes: 0,
    };
    ResultRow {
        miner,
        utterance_index: index,
        reply,
        outcome: Err(ReplyFailure(error)),
        score: None,
    }
}

/// Groups rows by miner, preserving their order.
pub(super) fn group_by_miner(rows: Vec<ResultRow>) -> HashMap<MinerKey, Vec<ResultRow>> {
    let mut miners: HashMap<MinerKey, Vec<ResultRow>> = HashMap::new();
    for row in rows {
        miners.entry(row.miner).or_default().push(row);
    }
    miners
}
