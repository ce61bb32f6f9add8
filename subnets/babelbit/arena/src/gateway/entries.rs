//! Submissions and wins, stored in one file that is replaced atomically.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use taonet_babelbit_core::arena_api::Submission;
use taonet_babelbit_core::qualifying::{Candidate, WinRecord, Winner, entrants, records};
use taonet_primitives::Hotkey;
use taonet_service::{Access, WriteError, atomic_write, lock_file};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use taonet_service::unix_time;

/// Version of the file format.
const VERSION: u32 = 1;
/// Name of the file in the state directory.
const FILE: &str = "arena.json";
/// Name of the lock file.
const LOCK: &str = "arena.lock";
/// Maximum number of submissions: beyond it, the oldest without a win is dropped.
const MAX_SUBMISSIONS: usize = 4_096;
/// Maximum number of stored challenges: beyond it, the oldest are dropped.
const MAX_CHALLENGES: usize = 4_096;

/// Why the state is unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntriesError {
    /// Another gateway holds the lock.
    #[error("another arena gateway is using {}; hint: stop it, or use another state directory", .0.display())]
    Locked(PathBuf),
    /// The directory or the file could not be created or read.
    #[error("cannot create or read {}", path.display())]
    Io {
        /// Path of the file or directory.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The file is malformed.
    #[error("malformed submissions file {}; hint: remove it to start without submissions", path.display())]
    Damaged {
        /// Path of the file.
        path: PathBuf,
        /// The deserialisation error.
        source: serde_json::Error,
    },
    /// The file has a newer format version.
    #[error(
        "a newer version of this program wrote {}; hint: update the program, or remove the file to start from \
         scratch", .0.display())]
    Newer(PathBuf),
}

impl EntriesError {
    /// Returns a function that adds the path of a file or directory to an I/O error.
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// Contents of the file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct SavedEntries {
    version: u32,
    submissions: BTreeMap<Hotkey, Entry>,
    /// Challenges in the order in which they were first seen.
    challenges: Vec<Challenge>,
}

/// A submitted miner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) endpoint_url: String,
    pub(super) uid: u16,
    /// Time of the first submission, in milliseconds since the Unix epoch.
    first_at_ms: u64,
    /// Time of the last submission, in milliseconds since the Unix epoch.
    last_at_ms: u64,
}

/// A qualifying challenge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Challenge {
    uid: String,
    /// Time at which the challenge was first seen, in seconds since the Unix epoch.
    seen_at: u64,
    winners: Vec<Winner>,
}

/// Submissions and wins, in memory and on disk.
pub(super) struct Entries {
    path: PathBuf,
    saved: Mutex<SavedEntries>,
    /// Number of changes since the start.
    version: AtomicU64,
    _lock: File,
}

impl Entries {
    pub(super) async fn open(directory: &Path) -> Result<Self, EntriesError> {
        tokio::fs::create_dir_all(directory).await.map_err(EntriesError::io(directory))?;
        let path = directory.join(LOCK);
        let lock = lock_file(&path).await.map_err(EntriesError::io(&path))?;
        let lock = lock.ok_or_else(|| EntriesError::Locked(directory.to_owned()))?;
        let path = directory.join(FILE);
        let saved = match tokio::fs::read(&path).await {
            Ok(bytes) => serde_json::from_slice::<SavedEntries>(&bytes)
                .map_err(|source| EntriesError::Damaged { path: path.clone(), source })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                SavedEntries { version: VERSION, ..SavedEntries::default() }
            }
            Err(source) => return Err(EntriesError::Io { path, source }),
        };
        if saved.version > VERSION {
            return Err(EntriesError::Newer(path));
        }
        metrics::gauge!("taonet_arena_gateway_submissions").set(saved.submissions.len() as f64);
        Ok(Self { path, saved: Mutex::new(saved), version: AtomicU64::new(0), _lock: lock })
    }

    /// Returns the version of the state; each change increments it.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// Stores a submission on disk, then in memory.
    pub(super) async fn submit(
        &self,
        hotkey: Hotkey,
        submission: &Submission,
        now: SystemTime,
    ) -> Result<(), WriteError> {
        let now = u64::try_from(unix_time(now).as_millis()).unwrap_or(u64::MAX);
        let entry = Entry {
            endpoint_url: submission.endpoint_url.clone(),
            uid: submission.uid,
            first_at_ms: now,
            last_at_ms: now,
        };
        self.change(|saved| {
            let first_at_ms =
                saved.submissions.get(&hotkey).map_or(now, |earlier| earlier.first_at_ms);
            if saved.submissions.len() >= MAX_SUBMISSIONS
                && !saved.submissions.contains_key(&hotkey)
            {
                saved.evict_oldest();
            }
            saved.submissions.insert(hotkey, Entry { first_at_ms, ..entry });
        })
        .await?;
        Ok(())
    }

    /// Records the current challenge.
    pub(super) async fn record_challenge(
        &self,
        challenge_uid: &str,
        now: SystemTime,
    ) -> Result<(), WriteError> {
        if self.saved.lock().await.challenges.iter().any(|earlier| earlier.uid == challenge_uid) {
            return Ok(());
        }
        let challenge = Challenge {
            uid: challenge_uid.to_owned(),
            seen_at: unix_time(now).as_secs(),
            winners: Vec::new(),
        };
        self.change(|saved| {
            saved.challenges.push(challenge);
            let surplus = saved.challenges.len().saturating_sub(MAX_CHALLENGES);
            saved.challenges.drain(..surplus);
        })
        .await
    }

    /// Returns the uids of the latest challenges, newest first.
    pub(super) async fn newest_challenges(&self, limit: usize) -> Vec<String> {
        let saved = self.saved.lock().await;
        saved.challenges.iter().rev().take(limit).map(|challenge| challenge.uid.clone()).collect()
    }

    /// Replaces a challenge's known winners, and purges challenges older than `window`.
    pub(super) async fn set_winners(
        &self,
        challenge_uid: &str,
        winners: Vec<Winner>,
        now: SystemTime,
        window: Duration,
    ) -> Result<(), WriteError> {
        let since = unix_time(now).as_secs().saturating_sub(window.as_secs());
        let is_known = self
            .saved
            .lock()
            .await
            .challenges
            .iter()
            .any(|challenge| challenge.uid == challenge_uid && challenge.winners == winners);
        if is_known {
            return Ok(());
        }
        self.change(|saved| {
            saved
                .challenges
                .retain(|challenge| challenge.seen_at >= since || challenge.uid == challenge_uid);
            if let Some(challenge) =
                saved.challenges.iter_mut().find(|challenge| challenge.uid == challenge_uid)
            {
                challenge.winners = winners;
            }
        })
        .await
    }

    /// Returns the arena's miners at `now`, best first. `uid_of` maps a hotkey to its uid; miners
    /// without a uid are omitted.
    pub(super) async fn listed(
        &self,
        rules: &Rules,
        now: SystemTime,
        uid_of: impl Fn(&Hotkey, u16) -> Option<u16>,
    ) -> Vec<ListedEntry> {
        let saved = self.saved.lock().await;
        let records = saved.records(now, rules.window);
        let mut members: BTreeMap<String, (Hotkey, u16, &Entry)> = BTreeMap::new();
        let mut candidates = Vec::new();
        for (hotkey, entry) in &saved.submissions {
            let Some(uid) = uid_of(hotkey, entry.uid) else { continue };
            let name = hotkey.to_string();
            let record = records.get(name.as_str()).copied().unwrap_or_default();
            candidates.push(Candidate { hotkey: name.clone(), record, since: entry.first_at_ms });
            members.insert(name, (*hotkey, uid, entry));
        }
        let qualified = entrants(candidates, rules.wins_needed, rules.slots);
        // If two miners claim the same uid, the better-ranked one gets it.
        let mut listed_uids = BTreeSet::new();
        let listed_entries = qualified.into_iter().filter_map(|candidate| {
            let (hotkey, uid, entry) = members.get(&candidate.hotkey)?;
            if !listed_uids.insert(*uid) {
                return None;
            }
            Some(ListedEntry {
                hotkey: *hotkey,
                uid: *uid,
                endpoint_url: entry.endpoint_url.clone(),
            })
        });
        listed_entries.collect()
    }

    /// Returns a miner's wins within `window`.
    pub(super) async fn record(
        &self,
        hotkey: &Hotkey,
        now: SystemTime,
        window: Duration,
    ) -> WinRecord {
        let saved = self.saved.lock().await;
        saved.records(now, window).get(hotkey.to_string().as_str()).copied().unwrap_or_default()
    }

    /// Applies a change on disk, then in memory. If the write fails, the change is discarded.
    async fn change(&self, change: impl FnOnce(&mut SavedEntries)) -> Result<(), WriteError> {
        let mut saved = self.saved.lock().await;
        let mut new_entries = saved.clone();
        change(&mut new_entries);
        let bytes =
            serde_json::to_vec(&new_entries).map_err(|error| self.write_error(error.into()))?;
        let path = self.path.clone();
        let result = spawn_blocking(move || atomic_write(&path, &bytes, Access::Everyone)).await;
        result.map_err(|error| self.write_error(io::Error::other(error)))??;
        *saved = new_entries;
        self.version.fetch_add(1, Ordering::SeqCst);
        metrics::gauge!("taonet_arena_gateway_submissions").set(saved.submissions.len() as f64);
        metrics::gauge!("taonet_arena_gateway_challenges").set(saved.challenges.len() as f64);
        Ok(())
    }

    fn write_error(&self, source: io::Error) -> WriteError {
        WriteError { path: self.path.clone(), source }
    }
}

/// Rules of admission to the arena.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) slots: usize,
    pub(super) window: Duration,
    pub(super) wins_needed: bool,
}

/// A miner in the arena.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListedEntry {
    pub(super) hotkey: Hotkey,
    pub(super) uid: u16,
    pub(super) endpoint_url: String,
}

impl SavedEntries {
    fn records(&self, now: SystemTime, window: Duration) -> BTreeMap<&str, WinRecord> {
        let since = unix_time(now).as_secs().saturating_sub(window.as_secs());
        let recent = self.challenges.iter().filter(|challenge| challenge.seen_at >= since);
        records(recent.flat_map(|challenge| &challenge.winners))
    }

    fn evict_oldest(&mut self) {
        let winners: Vec<_> =
            self.challenges.iter().flat_map(|challenge| &challenge.winners).collect();
        let has_won = |hotkey: &Hotkey| {
            let name = hotkey.to_string();
            winners.iter().any(|winner| winner.hotkey == name)
        };
        let oldest = self
            .submissions
            .iter()
            .filter(|(hotkey, _)| !has_won(hotkey))
            .min_by_key(|(_, entry)| entry.last_at_ms);
        if let Some(hotkey) = oldest.map(|(hotkey, _)| *hotkey) {
            self.submissions.remove(&hotkey);
        }
    }
}

#[cfg(test)]
mod tests;
