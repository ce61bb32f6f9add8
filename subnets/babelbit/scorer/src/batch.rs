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
use super::jobs::{Jobs, Slot, Transcription};
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
enum RecognizedWords {
    Known(Arc<Transcription>),
    Failed(ScoreError),
    NoAudio,
    TooLate,
}

/// Source of a reply's words.
enum Plan<'a> {
    Done(RecognizedWords),
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
        if let Plan::Recognize(audio) = self.plan(candidate, &timing, error) {
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
        let vector =
            reference.map(|reference| (reference, self.vectorizer.reference(&reference.text)));
        let (reference, vector) = match vector {
            Ok((reference, Ok(vector))) => (reference, vector),
            Ok((reference, Err(error))) => {
                return self.failed_results(
                    &BatchFailure { error, source: reference.source.clone() },
                    &timings,
                );
            }
            Err(failure) => return self.failed_results(failure, &timings),
        };
        let words = self.recognize_all(candidates, &timings);
        let vectors = self.vectorizer.embed_all(words.iter().filter_map(|words| text_of(words)));
        let replies: Vec<_> = words
            .iter()
            .zip(&timings)
            .map(|(words, (timing, _))| reply(words, *timing, &vectors))
            .collect();
        score_batch(Ok(reference), &vector.0, &replies, &self.options)
    }

    fn failed_results(
        &self,
        failure: &BatchFailure,
        timings: &[(Timing, Option<ScoreError>)],
    ) -> Vec<ScoreResult> {
        let (words, vectors) = (RecognizedWords::NoAudio, Vectors::new());
        let replies: Vec<_> =
            timings.iter().map(|(timing, _)| reply(&words, *timing, &vectors)).collect();
        score_batch(Err(failure), &[], &replies, &self.options)
    }

    /// Recognises all replies concurrently; returns their words in order.
    fn recognize_all(
        &self,
        candidates: &[Candidate],
        timings: &[(Timing, Option<ScoreError>)],
    ) -> Vec<RecognizedWords> {
        let plans: Vec<_> = candidates
            .iter()
            .zip(timings)
            .map(|(candidate, (timing, error))| self.plan(candidate, timing, error.clone()))
            .map(|plan| match plan {
                Plan::Done(words) => Err(words),
                Plan::Recognize(audio) => Ok((self.start(audio), audio)),
            })
            .collect();
        plans
            .into_iter()
            .map(|plan| match plan {
                Err(words) => words,
                Ok((slot, audio)) => {
                    let transcription = slot.wait();
                    self.transcriber.jobs.forget(audio.hash());
                    match transcription {
                        Ok(transcribed) => RecognizedWords::Known(transcribed),
                        Err(error) => RecognizedWords::Failed(error),
                    }
                }
            })
            .collect()
    }

    fn start(&self, audio: &Audio) -> Arc<Slot> {
        let (slot, is_new) = self.transcriber.slot(audio);
        if is_new {
            let (transcriber, filled, hash) =
                (Arc::clone(&self.transcriber), Arc::clone(&slot), audio.hash());
            let callback = TranscriptionCallback::new(move |transcription| {
                if let Ok(transcribed) = &transcription {
                    transcriber.cache.put(hash, transcribed);
                }
                filled.fill(transcription);
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
    ) -> Plan<'a> {
        let done = |words| Plan::Done(words);
        if let Some(error) = error {
            return done(RecognizedWords::Failed(error));
        }
        if let Some(transcript) = &candidate.transcript {
            return done(RecognizedWords::Known(Arc::new(Transcription {
                transcript: transcript.clone(),
                confidence: None,
            })));
        }
        if timing.predicted_duration <= Seconds::ZERO {
            return done(if self.gates {
                RecognizedWords::NoAudio
            } else {
                RecognizedWords::Failed(ScoreError::NoAudio)
            });
        }
        if self.gates && timing.is_too_late(&self.options) {
            return done(RecognizedWords::TooLate);
        }
        match &candidate.wav {
            Some(audio) => Plan::Recognize(audio),
            None => done(RecognizedWords::Failed(ScoreError::failed(
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
    fn slot(&self, audio: &Audio) -> (Arc<Slot>, bool) {
        match self.cache.get(audio.hash()) {
            Some(transcription) => (Slot::filled(Ok(transcription)), false),
            None => self.jobs.slot(audio.hash()),
        }
    }
}

/// Returns the text to embed for a reply. The reference system also compares the empty texts of
/// failed replies.
fn text_of(words: &RecognizedWords) -> Option<&str> {
    match words {
        RecognizedWords::Known(transcription) => Some(&transcription.transcript.text),
        RecognizedWords::Failed(_) | RecognizedWords::NoAudio => Some(""),
        RecognizedWords::TooLate => None,
    }
}

fn reply<'a>(words: &'a RecognizedWords, timing: Timing, vectors: &'a Vectors<'_>) -> Reply<'a> {
    let vector = text_of(words).and_then(|text| vectors.get(text));
    let evidence = match (words, vector) {
        (RecognizedWords::TooLate, _) => Evidence::TooLate,
        (RecognizedWords::NoAudio, _) => Evidence::NoAudio,
        (RecognizedWords::Failed(error), _) | (RecognizedWords::Known(_), Some(Err(error))) => {
            Evidence::Failed(error.clone())
        }
        (RecognizedWords::Known(transcription), _) => Evidence::Transcribed {
            transcript: &transcription.transcript,
            confidence: transcription.confidence,
        },
    };
    let vector =
        vector.and_then(|vector| vector.as_ref().ok()).map(|vector| &*vector.0).unwrap_or_default();
    Reply { timing, evidence, vector }
}
