//! The voice of speech: one of espeak-ng, or a neural one of Piper.

use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context as _;
use taonet_cli_base::exit::ClassifiedError;
use taonet_primitives::with_causes;
use taonet_speech::models::{ModelKind, ModelStore};
use taonet_speech::{Espeak, SynthesisError, Synthesizer, Voice};
use taonet_voice::{PiperVoice, VoiceError};

use crate::named_model::find_model;

/// Prefix of the names of Piper's voices.
const PIPER_PREFIX: &str = "piper:";
/// Extension of the files of Piper's voices.
const VOICE_FILE_EXTENSION: &str = "onnx";
/// Name of the published voice that replaces espeak-ng where no voice is chosen.
pub const NEURAL_VOICE: &str = "en_US-joe-medium";

/// Speaking rates on the command line, in words per minute, as clap takes a range.
pub const WORDS_PER_MINUTE: RangeInclusive<i64> = {
    let range = Voice::WORDS_PER_MINUTE;
    *range.start() as i64..=*range.end() as i64
};

/// A voice by its name on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VoiceName {
    /// A voice of espeak-ng, such as `en-gb`.
    Espeak(String),
    /// A voice of Piper: the path of its `.onnx` file, or the name of a published model.
    Piper(String),
}

impl FromStr for VoiceName {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.strip_prefix(PIPER_PREFIX) {
            Some(name) => Self::Piper(name.to_owned()),
            None => Self::Espeak(text.to_owned()),
        })
    }
}

impl VoiceName {
    /// Loads the voice, to speak at this rate. `models` is the model directory.
    ///
    /// # Errors
    /// If the voice is not installed or unusable, or if the rate is out of range.
    pub fn load_speech(
        &self,
        words_per_minute: u16,
        models: Option<PathBuf>,
    ) -> anyhow::Result<Speech> {
        let (Self::Espeak(name) | Self::Piper(name)) = self;
        let voice = Voice { name: name.clone(), words_per_minute, pitch: 50 };
        match self {
            Self::Espeak(_) => {
                voice.validate().map_err(|error| ClassifiedError::usage(error.to_string()))?;
                let espeak = Espeak::find()?;
                check_installed(&espeak, &voice)?;
                Ok(Speech { synthesizer: Arc::new(espeak), voice })
            }
            Self::Piper(_) => {
                voice
                    .validate_ranges()
                    .map_err(|error| ClassifiedError::usage(error.to_string()))?;
                let path = if is_file_path(name) {
                    PathBuf::from(name)
                } else {
                    published_path(name, models)?
                };
                Ok(Speech { synthesizer: Arc::new(open_piper_voice(&path)?), voice })
            }
        }
    }

    /// Whether the voice is neural: computed in this process, which takes much longer than a voice
    /// of espeak-ng.
    pub const fn is_neural(&self) -> bool {
        matches!(self, Self::Piper(_))
    }
}

/// A synthesiser, and the voice with which it speaks.
#[derive(Clone)]
pub struct Speech {
    /// The synthesiser.
    pub synthesizer: Arc<dyn Synthesizer>,
    /// The voice.
    pub voice: Voice,
}

impl Speech {
    /// Returns the same voice at another rate.
    #[must_use]
    pub fn at_rate(&self, words_per_minute: u16) -> Self {
        let voice = Voice { words_per_minute, ..self.voice.clone() };
        Self { synthesizer: Arc::clone(&self.synthesizer), voice }
    }

    /// Loads the published neural voice, to speak at this rate, if it is installed and undamaged.
    /// `models` is the model directory.
    ///
    /// # Errors
    /// If espeak-ng is missing or fails.
    pub fn load_installed(
        words_per_minute: u16,
        models: Option<PathBuf>,
    ) -> anyhow::Result<Option<Self>> {
        let Ok(path) = published_path(NEURAL_VOICE, models) else { return Ok(None) };
        let voice = Voice { name: NEURAL_VOICE.to_owned(), words_per_minute, pitch: 50 };
        Ok(Some(Self { synthesizer: Arc::new(open_piper_voice(&path)?), voice }))
    }
}

/// Checks that espeak-ng has a voice: it reports an unknown one only when it speaks.
fn check_installed(espeak: &Espeak, voice: &Voice) -> anyhow::Result<()> {
    espeak.speak("a", voice).map(drop).map_err(|error| match error {
        SynthesisError::Failed(_) => ClassifiedError::usage(format!(
            "the voice {} is unusable: {error}\nhint: `espeak-ng --voices` lists the voices",
            voice.name
        )),
        other => other.into(),
    })
}

/// Loads a voice of Piper.
fn open_piper_voice(path: &Path) -> anyhow::Result<PiperVoice> {
    PiperVoice::open(path).map_err(|error| match error {
        VoiceError::Io { .. }
        | VoiceError::TooLarge { .. }
        | VoiceError::Json { .. }
        | VoiceError::Config { .. }
        | VoiceError::Network { .. }
        | VoiceError::Architecture { .. } => ClassifiedError::usage(with_causes(&error)),
        // espeak-ng is missing or fails: the arguments are valid.
        other => other.into(),
    })
}

/// Returns whether the name of a voice is the path of a file.
fn is_file_path(name: &str) -> bool {
    name.contains(std::path::is_separator)
        || Path::new(name)
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case(VOICE_FILE_EXTENSION))
}

/// Finds the file of a published voice.
fn published_path(name: &str, models: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let hint = format!(
        "use {PIPER_PREFIX}{NEURAL_VOICE}, or {PIPER_PREFIX}FILE.onnx with a file of your own"
    );
    let spec = find_model(name, ModelKind::Voice, &hint)?;
    let file = spec.files.iter().find(|file| is_file_path(file.name));
    let file = file.with_context(|| format!("{name} has no file *.{VOICE_FILE_EXTENSION}"))?;
    let dir = ModelStore::new(models)
        .verify(spec)
        .map_err(|error| ClassifiedError::usage(error.to_string()))?;
    Ok(dir.join(file.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_voice(text: &str) -> VoiceName {
        text.parse().unwrap()
    }

    #[test]
    fn voice_name_selects_the_synthesiser() {
        assert_eq!(parse_voice("en-gb"), VoiceName::Espeak("en-gb".to_owned()));
        assert_eq!(
            ["en-gb", "piper:voice.onnx"].map(|name| parse_voice(name).is_neural()),
            [false, true]
        );
        assert_eq!(
            parse_voice("piper:en_US-joe-medium"),
            VoiceName::Piper("en_US-joe-medium".to_owned())
        );
        for file in ["voice.onnx", "./voice", "/voices/en.ONNX"] {
            assert!(is_file_path(file), "{file}");
        }
        assert!(!is_file_path(NEURAL_VOICE));
    }

    /// Columns: voice · words per minute · part of the error
    #[test]
    fn unusable_voices_are_refused_with_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        let missing = format!("piper:{}", folder.path().join("none.onnx").display());
        for (name, words_per_minute, expected) in [
            (
                &*missing,
                150,
                "none.onnx: No such file or directory (os error 2)\nhint: a voice of Piper has two files",
            ),
            ("piper:", 150, "the name of the voice is empty\nhint: use piper:en_US-joe-medium"),
            ("piper:joe", 150, "unknown voice `joe`, expected en_US-joe-medium\nhint: use piper:"),
            ("piper:tiny-ctc", 150, "tiny-ctc is not a voice\nhint: use piper:en_US-joe-medium"),
            ("piper:faster-whisper-base", 150, "faster-whisper-base is not a voice"),
            ("en gb", 150, "malformed voice name `en gb`"),
            (
                "klingonx",
                150,
                "the voice klingonx is unusable: espeak-ng failed: Error: The specified espeak-ng voice does not exist.",
            ),
            ("klingonx", 150, "hint: `espeak-ng --voices` lists the voices"),
            ("en-gb", 79, "words per minute is 79, expected 80 to 450"),
            (&*missing, 451, "words per minute is 451, expected 80 to 450"),
        ] {
            let error = parse_voice(name).load_speech(words_per_minute, None).err().unwrap();
            assert!(error.to_string().contains(expected), "{name}: {error}");
        }
    }
}
