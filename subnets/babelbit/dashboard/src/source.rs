//! The runner's directory: its ledger and its recordings, read-only.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use lru::LruCache;
use taonet_babelbit_core::Rules;
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_runner::{
    ChallengeHeader, ChallengeRow, Ledger, LedgerError, ResultRow, RunPaths, read_names,
};
use taonet_babelbit_scorer::ScoringConditions;
use taonet_dashboard::Changes;
use taonet_dashboard::draw::Peaks;
use taonet_primitives::{Hotkey, with_causes};
use taonet_service::Shutdown;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

use crate::index::{CONTESTS, Challenge, Index};

/// File name of the ledger in the state directory.
pub(crate) const LEDGER: &str = "runner.sqlite";

/// Maximum number of challenges in the index.
const MAX_CHALLENGES: u32 = 200;
/// Number of latest challenges to reread on every change, in any state.
const ALWAYS_REREAD: usize = 2;
/// Poll interval for changes of the ledger.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Maximum number of waveform envelopes in memory, of 3.2 KB each.
const MAX_PEAKS: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();
/// Maximum number of recordings read concurrently.
const MAX_PARALLEL_READS: usize = 4;

/// Device and inode of an open ledger file.
type FileId = (u64, u64);

/// Reader of the runner's directory: index, ledger and recordings.
pub(crate) struct RunDirectory {
    paths: RunPaths,
    /// Ledger connection of the pages; the follower uses a separate one.
    ledger: AsyncMutex<Option<(FileId, Ledger)>>,
    index: RwLock<Arc<Index>>,
    peaks: Mutex<LruCache<(PathBuf, String), Arc<Peaks>>>,
    read_permits: Semaphore,
}

/// Why data of the ledger is unavailable, as text for the page.
#[derive(Debug)]
pub(crate) struct Unavailable(pub(crate) String);

impl From<LedgerError> for Unavailable {
    fn from(error: LedgerError) -> Self {
        Self(with_causes(&error))
    }
}

fn file_id(paths: &RunPaths) -> Option<FileId> {
    let metadata = std::fs::metadata(paths.state.join(LEDGER)).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

impl RunDirectory {
    /// Opens a directory and reads its index. A missing or malformed ledger is not an error: the
    /// pages report it.
    pub(crate) async fn open(paths: RunPaths) -> Self {
        let directory = Self {
            paths,
            ledger: AsyncMutex::default(),
            index: RwLock::default(),
            peaks: Mutex::new(LruCache::new(MAX_PEAKS)),
            read_permits: Semaphore::new(MAX_PARALLEL_READS),
        };
        let mut follower = Follower::default();
        directory.poll_ledger(&mut follower).await;
        directory
    }

    /// Updates the index once; returns whether the index changed.
    pub(crate) async fn reread(&self) -> bool {
        self.poll_ledger(&mut Follower::default()).await
    }

    /// Updates the index until shutdown, and reports each change.
    pub(crate) async fn follow(&self, changes: &Changes, shutdown: &Shutdown) {
        let mut follower = Follower::default();
        while shutdown.sleep(POLL_INTERVAL).await {
            if self.poll_ledger(&mut follower).await {
                changes.report();
            }
        }
    }

    /// Returns the index of the latest challenges.
    pub(crate) fn index(&self) -> Arc<Index> {
        Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns when the runner last showed that it runs, in seconds since the Unix epoch: its
    /// heartbeat, the start of a challenge, or the end of a round. `None` if it has never run.
    pub(crate) fn last_heartbeat(&self) -> Option<i64> {
        let index = self.index();
        let rounds = index.rounds.iter().map(|round| round.ended_unix);
        let challenges = index.challenges.iter().map(|challenge| challenge.header.started_unix);
        rounds.chain(challenges).chain(Ledger::last_heartbeat(&self.paths.state)).max()
    }

    pub(crate) const fn paths(&self) -> &RunPaths {
        &self.paths
    }

    /// Returns a challenge with its utterances and reference; `None` if unknown.
    pub(crate) async fn challenge(&self, id: i64) -> Result<Option<ChallengeRow>, Unavailable> {
        let mut ledger = self.ledger.lock().await;
        Ok(self.open_ledger(&mut ledger).await?.find_by_id(id).await?)
    }

    /// Returns a miner's result for an utterance; `None` if there is none.
    pub(crate) async fn result(
        &self,
        id: i64,
        miner: MinerKey,
        index: u32,
    ) -> Result<Option<ResultRow>, Unavailable> {
        let mut ledger = self.ledger.lock().await;
        Ok(self.open_ledger(&mut ledger).await?.result(id, miner, index).await?)
    }

    /// Returns the scoring conditions of a challenge; `None` if unknown.
    pub(crate) async fn conditions(
        &self,
        id: i64,
    ) -> Result<Option<ScoringConditions>, Unavailable> {
        let mut ledger = self.ledger.lock().await;
        let ledger = self.open_ledger(&mut ledger).await?;
        let Some(hash) = ledger.conditions_of(id).await? else { return Ok(None) };
        Ok(ledger.conditions().await?.remove(&hash))
    }

    /// Returns the open connection; reopens the ledger if its file was replaced.
    async fn open_ledger<'a>(
        &self,
        cached: &'a mut Option<(FileId, Ledger)>,
    ) -> Result<&'a Ledger, LedgerError> {
        let current = file_id(&self.paths);
        let unchanged = cached.take().filter(|(id, _)| Some(*id) == current);
        let connection = match unchanged {
            Some(connection) => connection,
            None => (current.unwrap_or_default(), Ledger::read(&self.paths.state).await?),
        };
        Ok(&cached.insert(connection).1)
    }

    /// Reads the ledger if it changed; returns whether the index changed.
    async fn poll_ledger(&self, follower: &mut Follower) -> bool {
        let old_index = self.index();
        match self.read_index(follower, &old_index).await {
            Ok(None) => false,
            Ok(Some(index)) => {
                *self.index.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(index);
                true
            }
            Err(error) => {
                follower.version = None;
                let problem = Some(with_causes(&error));
                if old_index.problem == problem {
                    return false;
                }
                // Not a warning: the page shows the problem, and a run that has not begun has no
                // ledger.
                tracing::info!(problem, "the runner's ledger is unreadable");
                // The data of the last successful read remains available.
                let index = Index {
                    challenges: old_index.challenges.clone(),
                    names: Arc::clone(&old_index.names),
                    rounds: old_index.rounds.clone(),
                    outbox: old_index.outbox,
                    problem,
                };
                *self.index.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(index);
                true
            }
        }
    }

    async fn read_index(
        &self,
        follower: &mut Follower,
        old_index: &Index,
    ) -> Result<Option<Index>, LedgerError> {
        let open_id = follower.ledger.as_ref().map(|(id, _)| *id);
        let ledger = self.open_ledger(&mut follower.ledger).await?;
        let is_same_file = open_id.is_some() && open_id == file_id(&self.paths);
        let version = ledger.data_version().await?;
        if is_same_file && follower.version == Some(version) {
            return Ok(None);
        }
        let headers = ledger.challenge_headers(MAX_CHALLENGES).await?;
        let conditions = ledger.conditions().await?;
        let mut challenges = Vec::with_capacity(headers.len());
        for (position, header) in headers.into_iter().enumerate() {
            let unchanged = old_index.challenge(header.id).filter(|challenge| {
                is_same_file && challenge.header == header && !challenge.is_open()
            });
            match unchanged.filter(|_| position >= ALWAYS_REREAD) {
                Some(challenge) => challenges.push(Arc::clone(challenge)),
                None => {
                    challenges.push(Arc::new(read_challenge(ledger, header, &conditions).await));
                }
            }
        }
        let mut rounds = Vec::new();
        for contest in CONTESTS {
            rounds.extend(ledger.last_round(contest).await?);
        }
        let outbox = ledger.outbox_counts().await?;
        let names = self.miner_names().await.unwrap_or_else(|| Arc::clone(&old_index.names));
        follower.version = Some(version);
        Ok(Some(Index { challenges, names, rounds, outbox, problem: None }))
    }

    /// Reads the display names of miners; `None` if they are unreadable.
    async fn miner_names(&self) -> Option<Arc<HashMap<Hotkey, String>>> {
        let state = self.paths.state.clone();
        match tokio::task::spawn_blocking(move || read_names(&state)).await.ok()? {
            Ok(names) => Some(Arc::new(names)),
            Err(error) => {
                tracing::warn!(%error, directory = %self.paths.state.display(), "cannot read the names of the miners");
                None
            }
        }
    }

    /// Returns the envelope of a recording; `None` if the file is missing or not a recording.
    /// `version` must change with the file's content, since envelopes are cached by path and
    /// version.
    pub(crate) async fn peaks(&self, path: &Path, version: &str) -> Option<Arc<Peaks>> {
        let key = (path.to_owned(), version.to_owned());
        if let Some(cached) = self.peaks.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Some(Arc::clone(cached));
        }
        let permit = self.read_permits.acquire().await.ok()?;
        let path = path.to_owned();
        let read_result = tokio::task::spawn_blocking(move || Peaks::read(&path)).await;
        drop(permit);
        let peaks = match read_result {
            Ok(Ok(peaks)) => Some(Arc::new(peaks)),
            Ok(Err(error)) => {
                tracing::debug!(%error, recording = %key.0.display(), "cannot read the waveform");
                None
            }
            Err(_) => None,
        };
        // A missing recording may still arrive, so its absence is not cached.
        let peaks = peaks?;
        self.peaks.lock().unwrap_or_else(PoisonError::into_inner).put(key, Arc::clone(&peaks));
        Some(peaks)
    }
}

/// State of the task that updates the index.
#[derive(Default)]
struct Follower {
    ledger: Option<(FileId, Ledger)>,
    /// Data version of the last successful read.
    version: Option<i64>,
}

/// Reads the results of a challenge. If they are malformed, the entry contains the reason instead.
async fn read_challenge(
    ledger: &Ledger,
    header: ChallengeHeader,
    conditions: &BTreeMap<String, ScoringConditions>,
) -> Challenge {
    let results = async {
        let hash = ledger.conditions_of(header.id).await?;
        let rules = hash
            .and_then(|hash| conditions.get(&hash))
            .map_or(Rules::Reference, |conditions| conditions.options.rules);
        Ok::<_, LedgerError>((rules, ledger.result_summaries(header.id).await?))
    };
    match results.await {
        Ok((rules, results)) => Challenge::new(header, rules, results),
        Err(error) => Challenge::unreadable(header, with_causes(&error)),
    }
}
