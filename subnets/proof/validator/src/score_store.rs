mod stored_scores;

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use taonet_proof_core::scoring::{Event, Scoreboard};
use taonet_service::{Access, WriteError, atomic_write, lock_file};
use thiserror::Error;
use tokio::task::spawn_blocking;

pub use stored_scores::StoredScores;

/// Version of the snapshot format.
const VERSION: u32 = 1;
/// Number of events after which a snapshot replaces the journal.
const SNAPSHOT_INTERVAL: u64 = 4096;

/// Persistent scores of a validator: a snapshot, and a journal of all later events.
///
/// An event is written to the journal before it is applied, and has a number. A kill at any moment
/// therefore neither loses an applied event nor applies one twice: events that the snapshot already
/// covers are skipped.
#[derive(Debug)]
pub struct ScoreStore {
    inner: Mutex<Inner>,
    /// File lock, held as long as the store is open.
    _lock: File,
}

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    board: Scoreboard,
    /// Total number of events.
    event_count: u64,
    /// Number of events that the snapshot covers.
    snapshot_number: u64,
    journal: File,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Snapshot<T> {
    version: u32,
    /// Number of the last event in the snapshot.
    number: u64,
    board: T,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry<T> {
    number: u64,
    event: T,
}

/// Why scores cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScoreStoreError {
    /// Another process has the store open.
    #[error("another validator is using {}; hint: stop it, or use another state directory", .0.display())]
    Locked(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot read or write {}: {source}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// I/O error from the operating system.
        source: std::io::Error,
    },
    /// The directory has no scores.
    #[error("there are no scores in {}; hint: name the --state of `tao proof validator`", .0.display())]
    Missing(PathBuf),
    /// A snapshot cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The contents of a file are corrupt.
    #[error("{} is corrupt: {reason}; hint: remove it to start from scratch", path.display())]
    Damaged {
        /// Path of the file.
        path: PathBuf,
        /// Reason why the file is corrupt.
        reason: String,
    },
}

impl ScoreStoreError {
    /// Returns a function that adds the path of a file to an I/O error.
    fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::File { path: path.to_owned(), source }
    }

    fn damaged(path: &Path, reason: String) -> Self {
        Self::Damaged { path: path.to_owned(), reason }
    }
}

impl ScoreStore {
    /// Opens the store in a directory, which is created if missing.
    ///
    /// # Errors
    /// When another process has the store open, or a file cannot be read, is corrupt or cannot be
    /// written.
    pub async fn open(directory: &Path) -> Result<Self, ScoreStoreError> {
        tokio::fs::create_dir_all(directory).await.map_err(ScoreStoreError::file(directory))?;
        let lock = directory.join("scores.lock");
        let lock = lock_file(&lock).await.map_err(ScoreStoreError::file(&lock))?;
        let lock = lock.ok_or_else(|| ScoreStoreError::Locked(directory.to_owned()))?;
        let owned_directory = directory.to_owned();
        let inner = spawn_blocking(move || Inner::open(owned_directory)).await;
        let inner =
            inner.map_err(|join_error| ScoreStoreError::file(directory)(join_error.into()))??;
        Ok(Self { inner: Mutex::new(inner), _lock: lock })
    }

    /// Applies an event after writing it to the journal. Blocks on disk I/O.
    ///
    /// # Errors
    /// When the journal cannot be written, in which case the event is not applied, or a snapshot
    /// cannot be written.
    pub fn record(&self, event: Event) -> Result<(), ScoreStoreError> {
        self.lock().record(event)
    }

    /// Calls `read_board` with the current scores.
    pub fn read<T>(&self, read_board: impl FnOnce(&Scoreboard) -> T) -> T {
        read_board(&self.lock().board)
    }

    /// Returns the total number of events.
    pub fn events(&self) -> u64 {
        self.lock().event_count
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Reads the snapshot, and replays the journal. Blocks on disk I/O.
    fn open(directory: PathBuf) -> Result<Self, ScoreStoreError> {
        let path = directory.join("scores.journal");
        let mut journal = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(ScoreStoreError::file(&path))?;
        let mut text = String::new();
        journal.seek(SeekFrom::Start(0)).map_err(ScoreStoreError::file(&path))?;
        journal.read_to_string(&mut text).map_err(ScoreStoreError::file(&path))?;
        let (board, snapshot_number, number) = load(&directory, &text)?;
        let mut inner = Self { directory, board, event_count: number, snapshot_number, journal };
        if !text.is_empty() {
            // The checkpoint also drops a truncated last line.
            inner.checkpoint()?;
        }
        Ok(inner)
    }

    fn record(&mut self, event: Event) -> Result<(), ScoreStoreError> {
        let path = self.directory.join("scores.journal");
        let entry = Entry { number: self.event_count + 1, event };
        let mut line = serde_json::to_vec(&entry)
            .map_err(|error| ScoreStoreError::damaged(&path, error.to_string()))?;
        line.push(b'\n');
        let old_length = self.journal.metadata().map_err(ScoreStoreError::file(&path))?.len();
        if let Err(source) = self.journal.write_all(&line) {
            // A partial line would make the next one unreadable.
            let _ = self.journal.set_len(old_length);
            return Err(ScoreStoreError::File { path, source });
        }
        self.event_count = entry.number;
        self.board.apply(&entry.event);
        if self.event_count - self.snapshot_number >= SNAPSHOT_INTERVAL {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Writes a snapshot, then empties the journal.
    fn checkpoint(&mut self) -> Result<(), ScoreStoreError> {
        let path = self.directory.join("scores.json");
        let snapshot = Snapshot { version: VERSION, number: self.event_count, board: &self.board };
        let text = serde_json::to_vec(&snapshot)
            .map_err(|error| ScoreStoreError::damaged(&path, error.to_string()))?;
        atomic_write(&path, &text, Access::Everyone)?;
        self.snapshot_number = self.event_count;
        self.journal
            .set_len(0)
            .map_err(ScoreStoreError::file(&self.directory.join("scores.journal")))
    }
}

/// Reads the snapshot in a directory and applies the events of the journal. Returns the scores, and
/// the numbers of the last events of snapshot and journal.
fn load(directory: &Path, journal: &str) -> Result<(Scoreboard, u64, u64), ScoreStoreError> {
    let Snapshot { number: snapshot_number, mut board, .. } =
        read_snapshot(&directory.join("scores.json"))?;
    let number = replay(&mut board, snapshot_number, journal)
        .map_err(|reason| ScoreStoreError::damaged(&directory.join("scores.journal"), reason))?;
    Ok((board, snapshot_number, number))
}

fn read_snapshot(path: &Path) -> Result<Snapshot<Scoreboard>, ScoreStoreError> {
    match std::fs::read(path) {
        Ok(text) => {
            let snapshot: Snapshot<Scoreboard> = serde_json::from_slice(&text)
                .map_err(|error| ScoreStoreError::damaged(path, error.to_string()))?;
            if snapshot.version > VERSION {
                return Err(ScoreStoreError::damaged(
                    path,
                    format!("version {} is unsupported", snapshot.version),
                ));
            }
            Ok(snapshot)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(Snapshot { version: VERSION, number: 0, board: Scoreboard::default() })
        }
        Err(source) => Err(ScoreStoreError::File { path: path.to_owned(), source }),
    }
}

/// Applies the journal's events after event `number`; returns the number of the last one.
fn replay(board: &mut Scoreboard, mut number: u64, text: &str) -> Result<u64, String> {
    // A line without its newline was truncated by a kill; its event was never applied.
    let complete_lines = text.rsplit_once('\n').map_or("", |(complete_lines, _)| complete_lines);
    for line in complete_lines.lines() {
        let entry: Entry<Event> = serde_json::from_str(line).map_err(|error| error.to_string())?;
        if entry.number <= number {
            continue;
        }
        if entry.number != number + 1 {
            return Err(format!("event {} follows event {number}", entry.number));
        }
        board.apply(&entry.event);
        number = entry.number;
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use taonet_primitives::Hotkey;
    use taonet_proof_core::scoring::delivered_work::WorkRules;
    use taonet_proof_core::scoring::{Outcome, Profile};

    use super::*;

    fn event(number: u64) -> Event {
        Event {
            miner: Hotkey::from_bytes([(number % 3) as u8; 32]),
            kind: "c:0".to_owned(),
            at: Duration::from_secs(1_000_000),
            miners: 3,
            outcome: Outcome::Verified { time: Duration::from_millis(number), bytes: 128 },
        }
    }

    /// Checks that the store has the scores of exactly these events. The conversion to decimal text
    /// may round a score once more.
    #[track_caller]
    fn assert_scores_of(score_store: &ScoreStore, events: u64) {
        let mut board = Scoreboard::default();
        (1..=events).for_each(|number| board.apply(&event(number)));
        assert_eq!(score_store.events(), events);
        score_store.read(|stored| {
            assert_eq!(stored.tallies(), board.tallies());
            for miner in board.tallies().keys() {
                for profile in [Profile::Seed, Profile::DeliveredWork(WorkRules::default())] {
                    let score = |board: &Scoreboard| board.score(&profile, miner, event(1).at);
                    assert!((score(stored) - score(&board)).abs() < 1e-12);
                }
            }
        });
    }

    #[tokio::test]
    async fn stored_scores_are_read_while_the_store_is_open() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(StoredScores::read(folder.path()), Err(ScoreStoreError::Missing(_))));
        let score_store = ScoreStore::open(folder.path()).await.unwrap();
        for number in 1..=SNAPSHOT_INTERVAL + 3 {
            score_store.record(event(number)).unwrap();
            if number % 1_000 == 0 || number >= SNAPSHOT_INTERVAL - 1 {
                let stored = StoredScores::read(folder.path()).unwrap();
                assert_eq!(stored.events, number);
                score_store.read(|board| assert_eq!(stored.board.tallies(), board.tallies()));
            }
        }
    }

    #[tokio::test]
    async fn scores_survive_journal_truncated_at_any_length() {
        let folder = tempfile::tempdir().unwrap();
        let score_store = ScoreStore::open(folder.path()).await.unwrap();
        (1..=20).for_each(|number| score_store.record(event(number)).unwrap());
        drop(score_store);
        let journal = folder.path().join("scores.journal");
        let text = std::fs::read(&journal).unwrap();
        for length in (0..=text.len()).step_by(37).chain([text.len()]) {
            let _ = std::fs::remove_file(folder.path().join("scores.json"));
            std::fs::write(&journal, &text[..length]).unwrap();
            let complete_lines =
                String::from_utf8_lossy(&text[..length]).matches('\n').count() as u64;
            // The second instance reads what the first one wrote.
            for _ in 0..2 {
                let score_store = ScoreStore::open(folder.path()).await.unwrap();
                assert_scores_of(&score_store, complete_lines);
            }
        }
    }

    #[tokio::test]
    async fn kill_between_snapshot_and_journal_counts_no_event_twice() {
        let folder = tempfile::tempdir().unwrap();
        let score_store = ScoreStore::open(folder.path()).await.unwrap();
        (1..=5).for_each(|number| score_store.record(event(number)).unwrap());
        drop(score_store);
        let journal = folder.path().join("scores.journal");
        let text = std::fs::read(&journal).unwrap();
        // Opening the store writes a snapshot of all five events.
        drop(ScoreStore::open(folder.path()).await.unwrap());
        std::fs::write(&journal, &text).unwrap();
        let score_store = ScoreStore::open(folder.path()).await.unwrap();
        assert_scores_of(&score_store, 5);
        (6..=7).for_each(|number| score_store.record(event(number)).unwrap());
        assert_scores_of(&score_store, 7);
    }

    #[tokio::test]
    async fn snapshots_replace_long_journals() {
        let folder = tempfile::tempdir().unwrap();
        let score_store = ScoreStore::open(folder.path()).await.unwrap();
        (1..=SNAPSHOT_INTERVAL + 3).for_each(|number| score_store.record(event(number)).unwrap());
        let lines =
            std::fs::read_to_string(folder.path().join("scores.journal")).unwrap().lines().count();
        assert_eq!(lines, 3);
        drop(score_store);
        assert_eq!(ScoreStore::open(folder.path()).await.unwrap().events(), SNAPSHOT_INTERVAL + 3);
    }

    #[tokio::test]
    async fn locked_and_damaged_score_stores_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let score_store = ScoreStore::open(folder.path()).await.unwrap();
        assert!(matches!(ScoreStore::open(folder.path()).await, Err(ScoreStoreError::Locked(_))));
        drop(score_store);
        for (file, text) in [
            ("scores.json", "{}"),
            (
                "scores.json",
                r#"{"version":2,"number":0,"board":{"work":{"miners":{},"prices":{}},"seed":{},"tallies":{}}}"#,
            ),
            ("scores.journal", "not an event\n"),
        ] {
            std::fs::write(folder.path().join(file), text).unwrap();
            assert!(
                matches!(
                    ScoreStore::open(folder.path()).await,
                    Err(ScoreStoreError::Damaged { .. })
                ),
                "{text}"
            );
            std::fs::remove_file(folder.path().join(file)).unwrap();
        }
    }
}
