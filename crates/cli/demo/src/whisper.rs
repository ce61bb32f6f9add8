//! Whisper base in the demonstration. One engine, with a thread for each core, transcribes the
//! replies for the validator, and recognises speech for the interpreting miners and for the
//! visitors of the page "Try it".
//!
//! Of the five miners, only the interpreter and the patient recognise speech: two passes at once,
//! which two cores carry. A pass takes about 0.3 s of one core, and takes turns with the
//! validator's transcriptions, of which there are at most three at a time. A response therefore
//! comes well before the validator's deadline of 3 s.

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use taonet_babelbit_challenges::Challenge;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_models::engines::{self, DEMO_RECOGNIZER};
use taonet_primitives::split_hint;
use taonet_whisper::{Model, SpeechTask, Transcriber};

/// Language that the embedded recogniser understands.
const ENGLISH: &str = "en";

/// Recogniser of the demonstration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SttModel {
    /// Whisper base.
    Base,
    /// The embedded test double.
    Tiny,
}

/// Recognisers with the weights of Whisper base, which share an engine.
pub(crate) struct WhisperBase {
    /// Transcribes the replies of the contest, with the options of the reference.
    pub(crate) replies: Arc<Transcriber>,
    /// Recognises the sources of the contest for the miners, in English.
    pub(crate) sources: Arc<Transcriber>,
    /// Transcribes captions of the page in the language spoken.
    pub(crate) captions: Arc<Transcriber>,
    /// Recognises the speech of visitors for the miners, which say it in English.
    pub(crate) visitors: Arc<Transcriber>,
    /// Whether the sources are in another language than English.
    pub(crate) translates: bool,
}

impl WhisperBase {
    /// Loads Whisper base for the challenges, and downloads the weights if they are missing and
    /// `may_download` is set, or if the contest needs them. `None` selects the embedded recogniser,
    /// also if Whisper base is not available and was not selected explicitly, which is printed.
    ///
    /// # Errors
    /// If Whisper base was selected explicitly, or a challenge is in another language than English,
    /// and Whisper base is not available or lacks the language.
    pub(crate) fn load(
        choice: Option<SttModel>,
        challenges: &[Challenge],
        may_download: bool,
        models: Option<PathBuf>,
        context: &Context,
    ) -> anyhow::Result<Option<Self>> {
        if choice == Some(SttModel::Tiny) {
            return Ok(None);
        }
        let foreign_challenge = foreign_challenge(challenges);
        let language = foreign_challenge.map_or(ENGLISH, primary_language);
        let is_required = choice == Some(SttModel::Base) || foreign_challenge.is_some();
        let note = match foreign_challenge {
            Some(challenge) => {
                context.print_notice(&whisper_reason(challenge));
                ""
            }
            None => "; --stt tiny skips it",
        };
        let note = (may_download || is_required).then_some(note);
        let result = engines::demo_weights(models, note, context)
            .and_then(|weights| Self::start(&weights, language));
        match result {
            Ok(whisper) => Ok(Some(whisper)),
            Err(error) if foreign_challenge.is_some() => {
                Err(error.context(format!("cannot play a challenge in the language {language}")))
            }
            Err(error) if is_required => Err(error),
            Err(error) => {
                context.print_notice(&fallback_notice(&error));
                Ok(None)
            }
        }
    }

    fn start(weights: &Arc<Model>, language: &str) -> anyhow::Result<Self> {
        let replies = engines::demo_transcriber(weights)?;
        let translates = language != ENGLISH;
        let task = if translates { SpeechTask::Translate } else { SpeechTask::Transcribe };
        let simultaneous =
            |language, task| engines::simultaneous_transcriber(&replies, language, task);
        Ok(Self {
            sources: simultaneous(Some(language), task)?,
            captions: simultaneous(None, SpeechTask::Transcribe)?,
            visitors: simultaneous(None, SpeechTask::Translate)?,
            replies,
            translates,
        })
    }
}

/// Rejects the embedded recogniser for challenges in other languages than English.
pub(crate) fn check_model(
    choice: Option<SttModel>,
    challenges: &[Challenge],
) -> anyhow::Result<()> {
    match foreign_challenge(challenges) {
        Some(challenge) if choice == Some(SttModel::Tiny) => Err(ClassifiedError::usage(format!(
            "{}\nhint: omit --stt tiny",
            whisper_reason(challenge)
        ))),
        _ => Ok(()),
    }
}

/// Returns the first challenge in another language than English.
fn foreign_challenge(challenges: &[Challenge]) -> Option<&Challenge> {
    challenges.iter().find(|challenge| primary_language(challenge) != ENGLISH)
}

/// Returns why a challenge in another language needs Whisper.
fn whisper_reason(challenge: &Challenge) -> String {
    format!(
        "the challenge \"{}\" is in the language {}: the miners translate with Whisper base, since the embedded \
         recogniser understands English only",
        challenge.title,
        primary_language(challenge)
    )
}

/// Returns the line that says why the contest has the embedded recogniser: the error without its
/// hint, and what to do.
fn fallback_notice(error: &anyhow::Error) -> String {
    let error = format!("{error:#}");
    let (cause, _) = split_hint(&error);
    format!(
        "the demonstration recognises speech with the test double tiny-ctc, which understands synthesised English \
         only: {}. `tao models pull {DEMO_RECOGNIZER}` installs Whisper base",
        cause.replace('\n', "; ")
    )
}

/// Returns the language of a challenge without its region: `fr` for `fr-CA`.
fn primary_language(challenge: &Challenge) -> &str {
    challenge.language.split('-').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use taonet_babelbit_challenges::Challenges;

    use super::*;

    #[test]
    fn foreign_challenges_need_whisper() {
        let english = Challenges::english().unwrap();
        for choice in [None, Some(SttModel::Base), Some(SttModel::Tiny)] {
            check_model(choice, &english).unwrap();
        }
        let french = [Challenges::find("fr-1").unwrap().unwrap()];
        for choice in [None, Some(SttModel::Base)] {
            check_model(choice, &french).unwrap();
        }
        let error = check_model(Some(SttModel::Tiny), &french).unwrap_err().to_string();
        assert!(
            error.contains("is in the language fr") && error.ends_with("--stt tiny"),
            "{error}"
        );
    }

    #[test]
    fn missing_model_is_reported_in_one_line() {
        for error in [
            "faster-whisper-base is not installed (searched models); hint: download it with `tao models pull`",
            "faster-whisper-base is not installed (searched models)\nhint: retry",
        ] {
            let line = fallback_notice(&anyhow::Error::msg(error));
            let expected = "only: faster-whisper-base is not installed (searched models). `tao models pull \
                            faster-whisper-base` installs";
            assert!(line.contains(expected) && line.lines().count() == 1, "{line}");
        }
    }
}
