//! Transcript cache: an LRU cache in memory and a JSON Lines file.
//!
//! A line is `{"wav_sha256", "text", "words": [{"word", "start", "end"}], "detected_language"}`, as
//! the reference system writes it; our lines also have `recognizer` (fingerprint of model and
//! options) and `confidence`. Lines without `recognizer` are valid only for the reference system's
//! models.
//!
//! The reference system looks up lines by audio alone, and uses the last line for an audio file.
//! Therefore its file, for example `stt_cache.jsonl`, receives only the results of its models; the
//! results of any other recogniser are written to a separate file beside it, for example
//! `stt_cache.tiny-ctc.jsonl`. When a file exceeds 256 MiB, its older half is dropped.

mod lines;
mod row;

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use taonet_speech::Recognizer;

use super::{AudioHash, EngineIdentity, Transcription};
use lines::{LineFile, for_each_line};
use row::Row;

/// Name prefix of the reference system's models.
const REFERENCE_MODEL_PREFIX: &str = "faster-whisper-";
/// Maximum size of a file in bytes: about 65 000 transcripts.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Why a cache file is unusable.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the transcript cache {}; hint: check the path and its permissions", path.display())]
pub struct CacheError {
    /// Path of the file.
    pub path: PathBuf,
    /// The I/O error.
    #[source]
    pub source: io::Error,
}

impl CacheError {
    /// Returns a function that adds the path of a file to an I/O error.
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { path: path.to_owned(), source }
    }
}

/// Transcripts keyed by audio hash, for one recogniser.
pub struct TranscriptCache {
    fingerprint: String,
    memory: Mutex<LruCache<AudioHash, Arc<Transcription>>>,
    file: Option<Mutex<LineFile>>,
}

impl TranscriptCache {
    /// Default number of transcripts in memory, which take about 20 MB.
    pub const DEFAULT_CAPACITY: NonZeroUsize = NonZeroUsize::new(8_192).unwrap();

    /// Creates a cache without a file.
    pub fn in_memory(recognizer: &dyn Recognizer, capacity: NonZeroUsize) -> Self {
        Self::without_file(recognizer.fingerprint(), capacity)
    }

    fn without_file(fingerprint: &str, capacity: NonZeroUsize) -> Self {
        Self {
            fingerprint: fingerprint.to_owned(),
            memory: Mutex::new(LruCache::new(capacity)),
            file: None,
        }
    }

    /// Opens a cache that reads the file at `path`. Writes to the same file for the reference
    /// system's models, and to a file beside it for other recognisers; creates the file to which it
    /// writes, and its directory, if missing.
    ///
    /// Skips malformed lines, prefers later lines to earlier ones, and loads at most the last
    /// `capacity` valid lines.
    ///
    /// # Errors
    /// [`CacheError`] when the file cannot be created, read or written.
    pub fn open(
        path: &Path,
        recognizer: &EngineIdentity,
        capacity: NonZeroUsize,
    ) -> Result<Self, CacheError> {
        Self::open_bounded(path, recognizer, capacity, MAX_FILE_BYTES)
    }

    fn open_bounded(
        path: &Path,
        recognizer: &EngineIdentity,
        capacity: NonZeroUsize,
        max_file_bytes: u64,
    ) -> Result<Self, CacheError> {
        let is_reference_model = recognizer.name.starts_with(REFERENCE_MODEL_PREFIX);
        let mut cache = Self::without_file(&recognizer.fingerprint, capacity);
        let write_path = if is_reference_model {
            path.to_owned()
        } else {
            recognizer_path(path, &recognizer.name)
        };
        if !is_reference_model {
            match File::open(path) {
                Ok(file) => cache.load(&file, false).map_err(CacheError::at(path))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(CacheError { path: path.to_owned(), source }),
            }
        }
        let lines =
            LineFile::open(&write_path, max_file_bytes).map_err(CacheError::at(&write_path))?;
        cache.load(lines.file(), is_reference_model).map_err(CacheError::at(&write_path))?;
        cache.file = Some(Mutex::new(lines));
        Ok(cache)
    }

    /// Returns the number of transcripts in memory.
    pub fn len(&self) -> usize {
        self.memory().len()
    }

    /// Whether the cache is empty.
    pub fn is_empty(&self) -> bool {
        self.memory().is_empty()
    }

    /// Looks up the transcript of an audio file.
    pub fn get(&self, audio: AudioHash) -> Option<Arc<Transcription>> {
        self.memory().get(&audio).cloned()
    }

    /// Stores a transcript in memory and in the file. If the write to the file fails, only logs a
    /// warning.
    pub fn put(&self, audio: AudioHash, transcription: &Arc<Transcription>) {
        self.memory().put(audio, Arc::clone(transcription));
        if let Some(file) = &self.file {
            let line = Row::new(audio, transcription, &self.fingerprint).to_line();
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = line.and_then(|line| file.append(line)) {
                tracing::warn!(%error, %audio, "cannot write to the transcript cache");
            }
        }
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, LruCache<AudioHash, Arc<Transcription>>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self, file: &File, is_reference_model: bool) -> io::Result<()> {
        let mut skipped = 0_usize;
        for_each_line(file, |line| match line.and_then(Row::parse) {
            Some((audio, transcription, recognizer)) => {
                if recognizer
                    .map_or(is_reference_model, |fingerprint| fingerprint == self.fingerprint)
                {
                    self.memory().put(audio, Arc::new(transcription));
                }
            }
            None => skipped += usize::from(line.is_none_or(|line| !line.trim_ascii().is_empty())),
        })?;
        if skipped > 0 {
            tracing::warn!(skipped, "malformed lines in the transcript cache");
        }
        Ok(())
    }
}

/// Returns the path of another recogniser's cache file, beside the reference system's file.
fn recognizer_path(path: &Path, recognizer: &str) -> PathBuf {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let recognizer: String = recognizer.chars().map(|c| if is_safe(c) { c } else { '-' }).collect();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path
        .extension()
        .map(|extension| format!(".{}", extension.to_string_lossy()))
        .unwrap_or_default();
    path.with_file_name(format!("{stem}.{recognizer}{extension}"))
}

#[cfg(test)]
mod tests;
