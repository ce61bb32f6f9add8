//! The file of measured capacities and response times.

use std::io::ErrorKind;
use std::path::Path;

use taonet_proof_core::Digest;
use taonet_service::{Access, atomic_write, unix_time};

use crate::Examiner;
use crate::capacity::SavedPerformance;

/// Reads the file; `None` if it is missing or corrupt, in which case miners are measured from
/// scratch.
pub(super) fn read_saved(path: &Path) -> Option<SavedPerformance> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot read the measured capacities");
            return None;
        }
    };
    match SavedPerformance::from_json(&text) {
        Ok(saved) => Some(saved),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the measured capacities are corrupt");
            None
        }
    }
}

impl Examiner {
    /// Writes the measured performance of all miners to its file, if one is configured.
    pub(crate) async fn save_performance(&self) {
        let Some(path) = self.settings.performance.clone() else { return };
        let circuits: Vec<Digest> =
            self.circuits.iter().map(|loaded| loaded.directory.id()).collect();
        let saved = self.dispatcher.save(&circuits, unix_time((self.clock)()));
        let result = tokio::task::spawn_blocking(move || {
            let text = serde_json::to_vec(&saved).map_err(|error| error.to_string())?;
            atomic_write(path, &text, Access::Everyone).map_err(|error| error.to_string())
        });
        if let Ok(Err(error)) = result.await {
            tracing::warn!(error, "cannot write the measured capacities");
        }
    }
}
