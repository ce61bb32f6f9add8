use std::path::PathBuf;
use std::sync::{Arc, Weak};

use tokio::sync::Mutex;

use super::files::Layout;
use super::ledger::UtteranceRow;
use super::source::{Source, sha256};

/// Cache of a challenge's prepared sources, shared by the players.
///
/// A source is freed when no miner plays it any more: with framing and base64 it takes about 130 KB a second.
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

    /// The source of an utterance, or why it is unplayable.
    pub(super) async fn get(&self, index: u32) -> Result<Arc<Source>, String> {
        let slot = self.slots.iter().find(|(utterance, ..)| utterance.index == index);
        let Some((utterance, path, slot)) = slot else { return Err(format!("no utterance {index}")) };
        let mut slot = slot.lock().await;
        if let Some(source) = slot.upgrade() {
            return Ok(source);
        }
        let info = utterance.source.clone()?;
        let (utterance, path) = (utterance.clone(), path.clone());
        let read = move || {
            let file = std::fs::read(&path).map_err(|error| format!("OSError:{}: {error}", path.display()))?;
            if sha256(&file) != info.wav_sha256 {
                return Err(format!("OSError:{} was modified", path.display()));
            }
            Source::from_wav(index, utterance.utterance_id, utterance.language, &file)
                .map_err(|error| format!("ValueError:source audio: {error}"))
        };
        let source = tokio::task::spawn_blocking(read).await.map_err(|error| format!("RuntimeError:{error}"))??;
        let source = Arc::new(source);
        *slot = Arc::downgrade(&source);
        Ok(source)
    }
}
