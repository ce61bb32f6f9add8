use std::path::PathBuf;
use std::sync::{Arc, Weak};

use tokio::sync::Mutex;

use super::files::Layout;
use super::ledger::UtteranceRow;
use super::source::{Source, sha256};

/// Cache of a challenge's prepared sources, shared by the players.
///
/// The cache frees a source once no player uses it: frames take about 130 KB per second of audio.
pub(super) struct SourceStore {
    slots: Vec<(UtteranceRow, PathBuf, Mutex<Weak<Source>>)>,
}

impl SourceStore {
    pub(super) fn new(utterances: &[UtteranceRow], layout: &Layout) -> Self {
        let slot = |utterance: &UtteranceRow| {
            (utterance.clone(), layout.shared_source(utterance.index), Mutex::new(Weak::new()))
        };
        Self { slots: utterances.iter().map(slot).collect() }
    }

    /// Returns the source of an utterance, or the reason why it is unplayable.
    pub(super) async fn get(&self, index: u32) -> Result<Arc<Source>, String> {
        let slot = self.slots.iter().find(|(utterance, ..)| utterance.index == index);
        let Some((utterance, path, cached_source)) = slot else {
            return Err(format!("no utterance {index}"));
        };
        let mut cached_source = cached_source.lock().await;
        if let Some(source) = cached_source.upgrade() {
            return Ok(source);
        }
        let info = utterance.source.clone()?;
        let (utterance, path) = (utterance.clone(), path.clone());
        let load_source = move || {
            let file = std::fs::read(&path)
                .map_err(|error| format!("OSError:{}: {error}", path.display()))?;
            if sha256(&file) != info.wav_sha256 {
                return Err(format!("OSError:{} was modified", path.display()));
            }
            Source::from_wav(index, utterance.utterance_id, utterance.language, &file)
                .map_err(|error| format!("ValueError:source audio: {error}"))
        };
        let source = tokio::task::spawn_blocking(load_source)
            .await
            .map_err(|error| format!("RuntimeError:{error}"))??;
        let source = Arc::new(source);
        *cached_source = Arc::downgrade(&source);
        Ok(source)
    }
}
