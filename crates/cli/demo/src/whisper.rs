//! Whisper base in the demonstration, for speech that the contest's recogniser does not understand:
//! visitors of the page "Try it", and challenges in other languages than English.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::ValueEnum;
use taonet_babelbit_challenges::Challenge;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::Classified;
use taonet_cli_models::engines;
use taonet_speech::Recognizer as _;
use taonet_whisper::{Model, SpeechTask, Transcriber};

/// Language that the contest's recogniser understands.
const ENGLISH: &str = "en";

/// Recogniser for visitors of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Visitors {
    /// Whisper base.
    Base,
    /// The embedded recogniser of the contest.
    Tiny,
}

/// Whisper base for visitors of the page, with two tasks.
pub(crate) struct VisitorsWhisper {
    /// Transcribes captions in the language spoken.
    pub(crate) captions: Arc<Transcriber>,
    /// Recognises speech for the miners, which say it in English.
    pub(crate) interpreter: Arc<Transcriber>,
}

/// Whisper base, whose weights are loaded at the first use, and downloaded if they are missing.
pub(crate) struct WhisperBase<'a> {
    choice: Option<Visitors>,
    models: Option<PathBuf>,
    context: &'a Context,
    weights: Option<Arc<Model>>,
}

impl<'a> WhisperBase<'a> {
    /// Selects the recogniser for visitors and the model directory.
    pub(crate) const fn new(
        choice: Option<Visitors>,
        models: Option<PathBuf>,
        context: &'a Context,
    ) -> Self {
        Self { choice, models, context, weights: None }
    }

    /// Starts the translator of the first challenge in another language than English, into English.
    /// `None` if all challenges are in English.
    ///
    /// # Errors
    /// If the embedded recogniser was selected, the weights are not available, or Whisper lacks the
    /// language.
    pub(crate) fn translator(
        &mut self,
        challenges: &[Challenge],
    ) -> anyhow::Result<Option<Arc<Transcriber>>> {
        let foreign = challenges.iter().find(|challenge| primary_language(challenge) != ENGLISH);
        let Some(challenge) = foreign else { return Ok(None) };
        let language = primary_language(challenge);
        let reason = format!(
            "the challenge \"{}\" is in the language {language}: the miners translate with Whisper base, since the embedded \
             recogniser understands English only",
            challenge.title
        );
        if self.choice == Some(Visitors::Tiny) {
            return Err(Classified::usage(format!("{reason}\nhint: omit --stt tiny")));
        }
        self.context.say(&reason);
        let whisper = self
            .weights("")
            .and_then(|weights| {
                engines::demo_transcriber(&weights, Some(language), SpeechTask::Translate)
            })
            .with_context(|| format!("cannot play a challenge in the language {language}"))?;
        Ok(Some(whisper))
    }

    /// Starts the recognisers for visitors. `None` selects the embedded recogniser, also if Whisper
    /// base is not available and was not selected explicitly. Prints which recogniser the page has.
    ///
    /// # Errors
    /// If Whisper base was selected explicitly and is not available.
    pub(crate) fn visitors(&mut self) -> anyhow::Result<Option<VisitorsWhisper>> {
        if self.choice == Some(Visitors::Tiny) {
            return Ok(None);
        }
        let started = self.weights("; --stt tiny skips it").and_then(|weights| {
            let start = |task| engines::demo_transcriber(&weights, None, task);
            Ok(VisitorsWhisper {
                captions: start(SpeechTask::Transcribe)?,
                interpreter: start(SpeechTask::Translate)?,
            })
        });
        match started {
            Ok(whisper) => {
                self.context.say(&format!(
                    "\"Try it\" understands any speaker: it hears with {}",
                    whisper.captions.name()
                ));
                Ok(Some(whisper))
            }
            Err(error) if self.choice.is_none() => {
                self.context.say(&format!(
                    "{error:#}\n\"Try it\" understands synthesised English speech only"
                ));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the weights; `note` follows the announcement of their download.
    fn weights(&mut self, note: &str) -> anyhow::Result<Arc<Model>> {
        let weights = match self.weights.take() {
            Some(weights) => weights,
            None => engines::demo_weights(self.models.clone(), note, self.context)?,
        };
        self.weights = Some(Arc::clone(&weights));
        Ok(weights)
    }
}

/// Returns the language of a challenge without its region: `fr` for `fr-CA`.
fn primary_language(challenge: &Challenge) -> &str {
    challenge.language.split('-').next().unwrap_or_default()
}
