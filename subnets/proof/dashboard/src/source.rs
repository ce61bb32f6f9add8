//! The validator's scores and circuits, read at intervals.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use taonet_dashboard::{Changes, poll};
use taonet_primitives::with_causes;
use taonet_proof_circuits::{Catalogue, CircuitError};
use taonet_proof_core::metadata::CircuitMetadata;
use taonet_proof_validator::StoredScores;
use taonet_service::{Shutdown, unix_time};
use tokio::task::spawn_blocking;

use crate::proofs::{CircuitSummary, Proofs, RateMeter};

/// Interval between two reads of the scores.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Reader of the sources, with the latest state.
#[derive(Debug)]
pub(crate) struct Source {
    directory: PathBuf,
    circuits: Option<PathBuf>,
    proofs: RwLock<Arc<Proofs>>,
    meter: Mutex<RateMeter>,
    started_at: Instant,
}

impl Source {
    pub(crate) fn new(directory: PathBuf, circuits: Option<PathBuf>) -> Self {
        Self {
            directory,
            circuits,
            proofs: RwLock::default(),
            meter: Mutex::default(),
            started_at: Instant::now(),
        }
    }

    pub(crate) fn proofs(&self) -> Arc<Proofs> {
        Arc::clone(&self.proofs.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the sources until shutdown, and reports each change.
    pub(crate) async fn follow(&self, changes: &Changes, shutdown: &Shutdown) {
        poll(POLL_INTERVAL, shutdown, || self.read(changes)).await;
    }

    /// Reads the sources once, and reports a change. The circuits are read until this succeeds.
    pub(crate) async fn read(&self, changes: &Changes) {
        let old_proofs = self.proofs();
        let mut proofs = Proofs::clone(&old_proofs);
        if let Some(path) = self.circuits.clone().filter(|_| old_proofs.circuits.is_empty()) {
            match spawn_blocking(move || circuit_summaries(&path)).await {
                Ok(Ok(circuits)) => {
                    (proofs.circuits, proofs.circuits_problem) = (Arc::new(circuits), None);
                }
                Ok(Err(error)) => proofs.circuits_problem = Some(with_causes(&error)),
                Err(error) => proofs.circuits_problem = Some(error.to_string()),
            }
        }
        let directory = self.directory.clone();
        match spawn_blocking(move || StoredScores::read(&directory)).await {
            Ok(Ok(stored)) => {
                proofs.update(&stored, unix_time(SystemTime::now()));
                proofs.scores_problem = None;
                let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
                proofs.rate = meter.add(self.started_at.elapsed(), proofs.totals().verified);
            }
            Ok(Err(error)) => proofs.scores_problem = Some(with_causes(&error)),
            Err(error) => proofs.scores_problem = Some(error.to_string()),
        }
        if proofs != *old_proofs {
            *self.proofs.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(proofs);
            changes.report();
        }
    }
}

/// Returns the descriptions of all circuits in a directory.
fn circuit_summaries(path: &Path) -> Result<BTreeMap<String, CircuitSummary>, CircuitError> {
    let summary = |metadata: CircuitMetadata| CircuitSummary {
        name: metadata.name,
        backend: metadata.backend,
        multiply_adds: metadata.multiply_adds,
        constraints: metadata.constraints,
    };
    Ok(Catalogue::list(path)?
        .into_iter()
        .map(|(id, metadata)| (id.to_string(), summary(metadata)))
        .collect())
}
