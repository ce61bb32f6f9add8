//! Whisper as an implementation of `taonet_speech::Recognizer`.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use taonet_primitives::{Transcript, Word};
use taonet_speech::{Recognition, RecognizeError, Recognizer};

use crate::engine::{Engine, EngineSize};
use crate::model::Model;
use crate::options::{Options, language_code};
use crate::transcribe::{Continuation, Prefix, Transcription};
use crate::vocabulary::trim;
use crate::{ModelError, SAMPLE_RATE, TranscribeError};

/// Maximum length of a recording, in seconds.
const MAX_SECONDS: f64 = 600.0;
/// Revision of the engine's results. Increment it with every change of this crate that can change a
/// transcription, so that cached transcripts and workers of an earlier revision are not used.
const REVISION: u32 = 3;

/// Transcriber of recordings with one model and one set of options.
///
/// Any number of threads can share a transcriber; the engine decodes their recordings in one batch.
/// [`Self::with_options`] shares the engine with other options.
pub struct Transcriber {
    name: String,
    fingerprint: String,
    options: Arc<Options>,
    model: Arc<Model>,
    engine: Arc<Engine>,
}

impl Transcriber {
    /// Starts an engine for a model; `name` identifies the model in settings and records, such as
    /// `faster-whisper-small`.
    ///
    /// # Errors
    /// [`TranscribeError`] when the model does not support the options, or a thread cannot be
    /// started.
    pub fn start(
        name: impl Into<String>,
        model: &Arc<Model>,
        options: Options,
        size: EngineSize,
    ) -> Result<Self, TranscribeError> {
        options.check(model)?;
        let engine = Arc::new(Engine::start(model, size)?);
        Ok(Self::on_engine(name.into(), model, options, engine))
    }

    /// Creates a transcriber with other options on the same engine: together, they use no more
    /// threads and memory than one of them.
    ///
    /// # Errors
    /// [`TranscribeError`] when the model does not support the options.
    pub fn with_options(&self, options: Options) -> Result<Self, TranscribeError> {
        options.check(&self.model)?;
        let engine = Arc::clone(&self.engine);
        Ok(Self::on_engine(self.name.clone(), &self.model, options, engine))
    }

    /// Creates a transcriber with options that the model supports.
    fn on_engine(name: String, model: &Arc<Model>, options: Options, engine: Arc<Engine>) -> Self {
        Self {
            name,
            fingerprint: fingerprint(model.digest(), model.kernels(), &options, REVISION),
            options: Arc::new(options),
            model: Arc::clone(model),
            engine,
        }
    }

    /// Computes the fingerprint of a transcriber without loading the weights of its model
    /// directory.
    ///
    /// # Errors
    /// [`ModelError`] when a file is missing or truncated, or the files are inconsistent.
    pub fn fingerprint_of(directory: &Path, options: &Options) -> Result<String, ModelError> {
        let (model, kernels) = Model::identify(directory)?;
        Ok(fingerprint(&model, &kernels, options, REVISION))
    }

    /// Transcribes mono samples at 16 kHz in [-1, 1]; NaN counts as 0.
    ///
    /// # Errors
    /// [`TranscribeError`] when decoding fails, or the engine has stopped.
    pub fn transcribe(&self, samples: &[f32]) -> Result<Transcription, TranscribeError> {
        self.engine.transcribe(samples.to_vec(), self.options.clone())
    }

    /// Continues the text of unfinished speech at 16 kHz after a prefix.
    pub(crate) fn continue_text(
        &self,
        samples: Vec<f32>,
        options: Arc<Options>,
        prefix: Prefix,
    ) -> Result<Continuation, TranscribeError> {
        self.engine.continue_text(samples, options, prefix)
    }

    /// Returns the options of all transcriptions, with this language if they set none and the model
    /// supports it.
    pub(crate) fn options_for(&self, language: Option<&str>) -> Arc<Options> {
        if let Some(code) = language.and_then(language_code)
            && self.options.language.is_none()
        {
            let language = Some(code.to_owned());
            let options = Options { language, ..Options::clone(&self.options) };
            if options.check(&self.model).is_ok() {
                return Arc::new(options);
            }
        }
        Arc::clone(&self.options)
    }
}

impl Recognizer for Transcriber {
    fn name(&self) -> &str {
        &self.name
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn concurrency(&self) -> Option<NonZeroUsize> {
        Some(self.engine.capacity())
    }

    fn recognize(&self, samples: &[f32]) -> Result<Recognition, RecognizeError> {
        if samples.is_empty() {
            return Err(RecognizeError::Empty);
        }
        let seconds = samples.len() as f64 / SAMPLE_RATE as f64;
        if seconds > MAX_SECONDS {
            return Err(RecognizeError::TooLong { seconds, limit: MAX_SECONDS });
        }
        let transcription = self.transcribe(samples).map_err(recognize_error)?;
        Ok(recognition(transcription))
    }
}

/// Converts an error of the engine.
pub(crate) fn recognize_error(error: TranscribeError) -> RecognizeError {
    match error {
        TranscribeError::Stopped => RecognizeError::Stopped,
        error => RecognizeError::Engine(Box::new(error)),
    }
}

/// Hashes all that determines a transcription besides the recording.
fn fingerprint(model: &str, kernels: &str, options: &Options, revision: u32) -> String {
    let text =
        format!("{model}\n{kernels}\n{options:?}\n{}\n{revision}", env!("CARGO_PKG_VERSION"));
    hex::encode(Sha256::digest(text))
}

/// Joins segments as the reference does: trimmed texts separated by one space, without blank
/// segments.
fn recognition(transcription: Transcription) -> Recognition {
    let segments = &transcription.segments;
    let texts: Vec<&str> = segments
        .iter()
        .map(|segment| trim(&segment.text))
        .filter(|text| !text.is_empty())
        .collect();
    let words = segments.iter().flat_map(|segment| &segment.words).map(|word| Word {
        text: trim(&word.text).to_owned(),
        start: word.start,
        end: word.end,
    });
    let count = segments.len().max(1) as f64;
    let mean: f64 =
        segments.iter().map(|segment| segment.average_log_probability).sum::<f64>() / count;
    Recognition {
        confidence: if segments.is_empty() { 1.0 } else { mean.exp().clamp(0.0, 1.0) as f32 },
        transcript: Transcript {
            text: texts.join(" "),
            words: words.collect(),
            detected_language: transcription.language,
        },
    }
}

#[cfg(test)]
mod tests {
    use taonet_primitives::SampleRate;
    use taonet_speech::{Pcm, SampleFormat, Wav, resample_for_recognition};

    use super::*;
    use crate::SpeechTask;
    use crate::testing::{model, noise, write};

    #[test]
    fn recordings_of_any_rate_up_to_ten_minutes_are_transcribed() {
        let one = NonZeroUsize::MIN;
        let size = EngineSize { threads: one, windows: one };
        let options =
            Options { temperatures: vec![0.0], max_new_tokens: Some(20), ..Options::default() };
        let transcriber = Transcriber::start("test", &model(), options, size).unwrap();
        let samples_at = |rate: u32, seconds: usize| {
            let pcm = Pcm::mono(noise(rate as usize * seconds), SampleRate::new(rate).unwrap());
            let file = Wav::encode(&pcm, SampleFormat::S16).unwrap();
            resample_for_recognition(&Wav::decode(&file).unwrap().pcm)
        };
        for (rate, seconds, windows) in [(8_000, 5, 1), (48_000, 5, 1), (16_000, 600, 20)] {
            let samples = samples_at(rate, seconds);
            assert_eq!(samples.len(), seconds * SAMPLE_RATE, "{rate} Hz");
            let transcription = transcriber.transcribe(&samples).unwrap();
            assert!(
                transcription.windows >= windows,
                "{} windows at {rate} Hz",
                transcription.windows
            );
            let recognition = transcriber.recognize(&samples).unwrap();
            assert_eq!(recognition, super::recognition(transcription), "{rate} Hz");
        }
        let error = transcriber.recognize(&samples_at(16_000, 601)).unwrap_err();
        assert!(matches!(error, RecognizeError::TooLong { .. }), "{error}");
        let error = transcriber.recognize(&[]).unwrap_err();
        assert!(matches!(error, RecognizeError::Empty), "{error}");
    }

    #[test]
    fn transcribers_with_different_options_share_an_engine() {
        let one = NonZeroUsize::MIN;
        let size = EngineSize { threads: one, windows: one };
        let options =
            Options { temperatures: vec![0.0], max_new_tokens: Some(20), ..Options::default() };
        let greedy_options = Options { beam_size: 1, ..options.clone() };
        let model = model();
        let first = Transcriber::start("test", &model, options, size).unwrap();
        let second = first.with_options(greedy_options.clone()).unwrap();
        let separate = Transcriber::start("test", &model, greedy_options.clone(), size).unwrap();
        assert!(Arc::ptr_eq(&first.engine, &second.engine));
        assert_eq!((second.name(), second.fingerprint()), ("test", separate.fingerprint()));
        assert_ne!(second.fingerprint(), first.fingerprint());
        let invalid_options = Options { beam_size: 0, ..greedy_options };
        assert!(matches!(
            first.with_options(invalid_options).err(),
            Some(TranscribeError::Option { .. })
        ));
        // The engine outlasts the transcriber that started it.
        drop(first);
        let samples = noise(5 * SAMPLE_RATE);
        assert_eq!(second.recognize(&samples).unwrap(), separate.recognize(&samples).unwrap());
    }

    #[test]
    fn fingerprint_of_directory_equals_that_of_transcriber() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path());
        let (model, options) = (Arc::new(Model::open(folder.path()).unwrap()), Options::default());
        let size = EngineSize { threads: NonZeroUsize::MIN, windows: NonZeroUsize::MIN };
        let transcriber = Transcriber::start("test", &model, options.clone(), size).unwrap();
        assert_eq!(
            Transcriber::fingerprint_of(folder.path(), &options).unwrap(),
            transcriber.fingerprint()
        );
        std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
        assert!(matches!(
            Transcriber::fingerprint_of(folder.path(), &options),
            Err(ModelError::Tokenizer(_))
        ));
    }

    #[test]
    fn fingerprint_depends_on_model_kernels_options_and_engine() {
        let options = Options::default();
        let fingerprint_with =
            |model, kernels, revision| fingerprint(model, kernels, &options, revision);
        let one = fingerprint_with("model", "kernels", 1);
        assert_eq!(one, fingerprint_with("model", "kernels", 1));
        let others = [
            fingerprint_with("other", "kernels", 1),
            fingerprint_with("model", "others", 1),
            fingerprint_with("model", "kernels", 2),
            fingerprint("model", "kernels", &Options { beam_size: 1, ..options.clone() }, 1),
            fingerprint(
                "model",
                "kernels",
                &Options { task: SpeechTask::Translate, ..options.clone() },
                1,
            ),
        ];
        assert!(others.iter().all(|other| *other != one), "{one} {others:?}");
    }
}
