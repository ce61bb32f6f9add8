use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use taonet_babelbit_core::reference::{Reference, ReferenceDocument, ReferenceError};
use taonet_babelbit_core::scoring::{BatchFailure, ScoreError, ScoreResult};
use taonet_primitives::{SampleRate, Seconds};

use super::ledger::{ChallengeRow, ResultRow};
use taonet_babelbit_scorer::{
    Audio, AudioHash, BatchScorer, Candidate, ScoringConditions, Transcription,
};

/// Scores the replies to an utterance. [`BatchScorer`] is the production implementation.
pub trait ReplyScorer: Send + Sync {
    /// Starts, in the background, the work that needs only this reply, such as recognition.
    fn prepare(&self, candidate: &Candidate);

    /// Scores all replies to one utterance, in order. Blocks: call it on a blocking thread.
    fn score(
        &self,
        reference: Result<&Reference, &BatchFailure>,
        candidates: &[Candidate],
    ) -> Vec<ScoreResult>;

    /// Returns the scoring conditions: all inputs other than replies and references; `None` if
    /// unknown.
    fn conditions(&self) -> Option<ScoringConditions> {
        None
    }

    /// Returns the transcript of a recently scored reply; `None` if unavailable.
    fn cached_transcript(&self, _: AudioHash) -> Option<Arc<Transcription>> {
        None
    }
}

impl ReplyScorer for BatchScorer {
    fn prepare(&self, candidate: &Candidate) {
        Self::prepare(self, candidate);
    }

    fn score(
        &self,
        reference: Result<&Reference, &BatchFailure>,
        candidates: &[Candidate],
    ) -> Vec<ScoreResult> {
        Self::score(self, reference, candidates)
    }

    fn conditions(&self) -> Option<ScoringConditions> {
        Some(Self::conditions(self))
    }

    fn cached_transcript(&self, audio: AudioHash) -> Option<Arc<Transcription>> {
        Self::cached_transcript(self, audio)
    }
}

/// Expected translations of a challenge's utterances, or the reason why there are none.
pub struct References {
    document: Result<ReferenceDocument, ReferenceError>,
    source: Option<String>,
    target_language: String,
}

impl References {
    /// Loads the references of a challenge in the ledger. If there is no reference document, errors
    /// name its expected path below the directory `root`.
    pub fn of(challenge: &ChallengeRow, target_language: &str, root: Option<&Path>) -> Self {
        let ChallengeRow { challenge_uid, reference, reference_source, .. } = challenge;
        Self::new(
            challenge_uid,
            reference.as_ref(),
            reference_source.as_deref(),
            target_language,
            root,
        )
    }

    /// Loads the references of a challenge; see [`Self::of`].
    pub(crate) fn new(
        challenge_uid: &str,
        reference: Option<&Value>,
        source: Option<&str>,
        target_language: &str,
        root: Option<&Path>,
    ) -> Self {
        let document = match (reference, source) {
            (Some(document), _) => ReferenceDocument::parse(document.clone()),
            (None, Some(file)) => Err(ReferenceError::Unreadable(file.into())),
            (None, None) => {
                let root = root.unwrap_or(Path::new(""));
                Err(ReferenceError::NoFile(root.join(challenge_uid).join("challenge.json")))
            }
        };
        Self {
            document,
            source: source.map(str::to_owned),
            target_language: target_language.to_owned(),
        }
    }

    /// Finds the reference of one utterance.
    ///
    /// # Errors
    /// [`BatchFailure`] when the utterance has no valid reference, so that its replies cannot be
    /// scored.
    pub fn find(&self, utterance_id: &str) -> Result<Reference, BatchFailure> {
        let document = self.document.as_ref().map_err(Clone::clone);
        let reference =
            document.and_then(|document| document.find(utterance_id, &self.target_language));
        match (reference, &self.source) {
            (Ok(reference), Some(source)) => Ok(reference.with_source(source.clone())),
            (Ok(reference), None) => Ok(reference),
            (Err(error), source) => {
                Err(BatchFailure { error: ScoreError::from(error), source: source.clone() })
            }
        }
    }

    /// Returns the expected translation of an utterance; empty without a valid reference.
    pub fn text(&self, utterance_id: &str) -> String {
        self.find(utterance_id).map(|reference| reference.text).unwrap_or_default()
    }
}

/// Builds the scoring candidate of a complete reply, whose audio stays on disk until recognition.
///
/// # Errors
/// [`std::io::Error`] when the file is missing, or the row has no hash.
pub(crate) fn build_candidate(
    row: &ResultRow,
    path: PathBuf,
    source_sec: f64,
    channels: u16,
) -> std::io::Result<Candidate> {
    std::fs::metadata(&path)?;
    let hash = row
        .outcome
        .as_deref()
        .ok()
        .and_then(AudioHash::from_hex)
        .ok_or(std::io::ErrorKind::InvalidData)?;
    Ok(Candidate {
        wav: Some(Audio::on_disk(path, hash)),
        duration: Some(Seconds::of_frames(
            usize::try_from(row.reply.frames).unwrap_or(usize::MAX),
            SampleRate::HZ_24K,
        )),
        timeline: row.reply.timeline.clone(),
        channels,
        source_duration: Seconds::new(source_sec).unwrap_or_default(),
        transcript: None,
    })
}
