use std::num::NonZeroUsize;
use std::sync::Arc;

use rayon::ThreadPoolBuildError;
use taonet_babelbit_core::reference::Reference;
use taonet_babelbit_core::scoring::{
    BatchFailure, Evidence, Reply, ScoreError, ScoreOptions, ScoreResult, Timing, score_batch,
};
use taonet_primitives::Seconds;
use taonet_speech::{Recognizer, SentenceEmbedder};

use super::backend::{Backend, ThreadBackend, TranscriptionCallback};
use super::jobs::{Jobs, Transcription, TranscriptionSlot};
use super::vectors::{Vectorizer, Vectors};
use super::{Audio, AudioHash, Candidate, EngineIdentity, ScoringConditions, TranscriptCache};

/// Why a scorer could not be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScorerError {
    /// The recognition thread pool could not be started.
    #[error("cannot start the scorer's threads")]
    Threads(#[from] ThreadPoolBuildError),
}

/// Settings of a scorer; scoring parameters are in [`ScoreOptions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScorerSettings {
    /// Number of recognition threads, if the recogniser has no preference; defaults to the number
    /// of cores.
    pub threads: NonZeroUsize,
    /// Whether recognition is skipped for replies that score 0 regardless of their transcript.
    pub gates: bool,
}

impl Default for ScorerSettings {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { threads, gates: true }
    }
}

/// Scores replies with a recogniser and an embedder. Shared between tasks behind an [`Arc`].
pub struct BatchScorer {
    recognizer: EngineIdentity,
    backend: Arc<dyn Backend>,
    transcriber: Arc<Transcriber>,
    vectorizer: Vectorizer,
    options: ScoreOptions,
    gates: bool,
}

/// Cached transcripts and pending recognition.
struct Transcriber {
    cache: TranscriptCache,
    jobs: Jobs,
}

/// Owned result of recognition for a reply.
enum RecognitionOutcome {
    Transcribed(Arc<Transcription>),
    Failed(ScoreError),
    NoAudio,
    TooLate,
}

/// Whether a reply needs recognition.
enum RecognitionPlan<'a> {
    Skip(RecognitionOutcome),
    Recognize(&'a Audio),
}

impl BatchScorer {
    /// Creates a scorer that transcribes replies on its own thread pool.
    ///
    /// # Errors
    /// [`ScorerError::Threads`] when the pool cannot be started.
    pub fn new(
        recognizer: Arc<dyn Recognizer>,
        embedder: Arc<dyn SentenceEmbedder>,
        cache: TranscriptCache,
        options: ScoreOptions,
        settings: ScorerSettings,
    ) -> Result<Self, ScorerError> {
        let identity = EngineIdentity::for_recognizer(&*recognizer);
        let threads = Arc::new(ThreadBackend::start(recognizer, settings.threads)?);
        Ok(Self::with_backend(identity, threads, embedder, cache, options, settings.gates))
    }

    /// Creates a scorer that transcribes replies with `backend`, whose recogniser has the identity
    /// `recognizer`.
    pub fn with_backend(
        recognizer: EngineIdentity,
        backend: Arc<dyn Backend>,
        embedder: Arc<dyn SentenceEmbedder>,
        cache: TranscriptCache,
        options: ScoreOptions,
        gates: bool,
    ) -> Self {
        let transcriber = Arc::new(Transcriber { cache, jobs: Jobs::default() });
        Self {
            recognizer,
            backend,
            transcriber,
            vectorizer: Vectorizer::new(embedder),
            options,
            gates,
        }
    }

    /// Returns the scoring parameters.
    pub fn options(&self) -> &ScoreOptions {
        &self.options
    }

    /// Returns the scoring conditions: all inputs besides replies and references.
    pub fn conditions(&self) -> ScoringConditions {
        ScoringConditions::of_this_machine(
            self.recognizer.clone(),
            self.vectorizer.identity(),
            self.options.clone(),
            self.gates,
        )
    }

    /// Returns the cached transcript of an audio file, if any.
    pub fn cached_transcript(&self, audio: AudioHash) -> Option<Arc<Transcription>> {
        self.transcriber.cache.get(audio)
    }

    /// Starts recognition of a reply in the background, if required, and returns immediately.
    pub fn prepare(&self, candidate: &Candidate) {
        let (timing, error) = candidate.timing();
        if let RecognitionPlan::Recognize(audio) = self.plan(candidate, &timing, error) {
            self.start(audio);
        }
    }

    /// Scores all replies to one utterance, in order. Blocks until every reply is recognised: call
    /// it on a blocking thread, never on an async executor.
    ///
    /// If a recogniser or embedder fails on a reply, only this reply gets an error result.
    pub fn score(
        &self,
        reference: Result<&Reference, &BatchFailure>,
        candidates: &[Candidate],
    ) -> Vec<ScoreResult> {
        let timings: Vec<_> = candidates.iter().map(Candidate::timing).collect();
        // Embedding runs on this thread; on the pool, it would queue behind all pending
        // recognition.
        let reference_and_vector = reference
            .map(|reference| (reference, self.vectorizer.reference_vector(&reference.text)));
        let (reference, vector) = match reference_and_vector {
            Ok((reference, Ok(vector))) => (reference, vector),
            Ok((reference, Err(error))) => {
                return self.failed_results(
                    &BatchFailure { error, source: reference.source.clone() },
                    &timings,
                );
            }
            Err(failure) => return self.failed_results(failure, &timings),
        };
        let outcomes = self.recognize_all(candidates, &timings);
        let vectors = self.vectorizer.embed_all(outcomes.iter().filter_map(text_to_embed));
        let replies: Vec<_> = outcomes
            .iter()
            .zip(&timings)
            .map(|(outcome, (timing, _))| build_reply(outcome, *timing, &vectors))
            .collect();
        score_batch(Ok(reference), &vector.0, &replies, &self.options)
    }

    fn failed_results(
        &self,
        failure: &BatchFailure,
        timings: &[(Timing, Option<ScoreError>)],
    ) -> Vec<ScoreResult> {
        let (outcome, vectors) = (RecognitionOutcome::NoAudio, Vectors::new());
        let replies: Vec<_> =
            timings.iter().map(|(timing, _)| build_reply(&outcome, *timing, &vectors)).collect();
        score_batch(Err(failure), &[], &replies, &self.options)
    }

    /// Recognises all replies concurrently; returns their words in order.
    fn recognize_all(
        &self,
        candidates: &[Candidate],
        timings: &[(Timing, Option<ScoreError>)],
    ) -> Vec<RecognitionOutcome> {
        let plans: Vec<_> = candidates
            .iter()
            .zip(timings)
            .map(|(candidate, (timing, error))| self.plan(candidate, timing, error.clone()))
            .map(|plan| match plan {
                RecognitionPlan::Skip(outcome) => Err(outcome),
                RecognitionPlan::Recognize(audio) => Ok((self.start(audio), audio)),
            })
            .collect();
        plans
            .into_iter()
            .map(|plan| match plan {
                Err(outcome) => outcome,
                Ok((slot, audio)) => {
                    let transcription = slot.wait();
                    self.transcriber.jobs.forget(audio.hash());
                    match transcription {
                        Ok(transcribed) => RecognitionOutcome::Transcribed(transcribed),
                        Err(error) => RecognitionOutcome::Failed(error),
                    }
                }
            })
            .collect()
    }

    fn start(&self, audio: &Audio) -> Arc<TranscriptionSlot> {
        let (slot, is_new) = self.transcriber.slot(audio);
        if is_new {
            let (transcriber, job_slot, hash) =
                (Arc::clone(&self.transcriber), Arc::clone(&slot), audio.hash());
            let callback = TranscriptionCallback::new(move |transcription| {
                if let Ok(transcribed) = &transcription {
                    transcriber.cache.put(hash, transcribed);
                }
                job_slot.fill(transcription);
            });
            self.backend.start(audio.clone(), callback);
        }
        slot
    }

    /// Decides, with cheap checks, whether a reply needs recognition.
    fn plan<'a>(
        &self,
        candidate: &'a Candidate,
        timing: &Timing,
        error: Option<ScoreError>,
    ) -> RecognitionPlan<'a> {
        let skip = |outcome| RecognitionPlan::Skip(outcome);
        if let Some(error) = error {
            return skip(RecognitionOutcome::Failed(error));
        }
        if let Some(transcript) = &candidate.transcript {
            return skip(RecognitionOutcome::Transcribed(Arc::new(Transcription {
                transcript: transcript.clone(),
                confidence: None,
            })));
        }
        if timing.predicted_duration <= Seconds::ZERO {
            return skip(if self.gates {
                RecognitionOutcome::NoAudio
            } else {
                RecognitionOutcome::Failed(ScoreError::NoAudio)
            });
        }
        if self.gates && timing.is_too_late(&self.options) {
            return skip(RecognitionOutcome::TooLate);
        }
        match &candidate.wav {
            Some(audio) => RecognitionPlan::Recognize(audio),
            None => skip(RecognitionOutcome::Failed(ScoreError::failed(
                "ValueError",
                &format_args!(
                    "{} of speech, but neither a WAV file nor a transcript",
                    timing.predicted_duration
                ),
            ))),
        }
    }
}

impl Transcriber {
    /// Returns the slot of an audio file, and whether the caller must fill it.
    fn slot(&self, audio: &Audio) -> (Arc<TranscriptionSlot>, bool) {
        match self.cache.get(audio.hash()) {
            Some(transcription) => (TranscriptionSlot::filled(Ok(transcription)), false),
            None => self.jobs.slot(audio.hash()),
        }
    }
}

/// Returns the text to embed for a reply. The reference system also compares the empty texts of
/// failed replies.
fn text_to_embed(outcome: &RecognitionOutcome) -> Option<&str> {
    match outcome {
        RecognitionOutcome::Transcribed(transcription) => Some(&transcription.transcript.text),
        RecognitionOutcome::Failed(_) | RecognitionOutcome::NoAudio => Some(""),
        RecognitionOutcome::TooLate => None,
    }
}

fn build_reply<'a>(
    outcome: &'a RecognitionOutcome,
    timing: Timing,
    vectors: &'a Vectors<'_>,
) -> Reply<'a> {
    let vector = text_to_embed(outcome).and_then(|text| vectors.get(text));
    let evidence = match (outcome, vector) {
        (RecognitionOutcome::TooLate, _) => Evidence::TooLate,
        (RecognitionOutcome::NoAudio, _) => Evidence::NoAudio,
        (RecognitionOutcome::Failed(error), _)
        | (RecognitionOutcome::Transcribed(_), Some(Err(error))) => Evidence::Failed(error.clone()),
        (RecognitionOutcome::Transcribed(transcription), _) => Evidence::Transcribed {
            transcript: &transcription.transcript,
            confidence: transcription.confidence,
        },
    };
    let vector =
        vector.and_then(|vector| vector.as_ref().ok()).map(|vector| &*vector.0).unwrap_or_default();
    Reply { timing, evidence, vector }
}
