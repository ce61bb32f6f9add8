use std::borrow::Cow;

use crate::reference::ReferenceError;

/// Why a reply could not be scored. Displayed as `<name>:<message>`, with the reference system's
/// exception names.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// The reply has no audio.
    #[error("ValueError:WAV payload had no frames")]
    NoAudio,
    /// The reply has audio, but the recogniser found no words.
    #[error("{}", no_speech(*seconds))]
    NoSpeech {
        /// Duration of the reply in seconds.
        seconds: f64,
    },
    /// The reference is unusable; the complete batch fails.
    #[error("{}:{}", .0.python_name(), .0)]
    Reference(#[from] ReferenceError),
    /// Decoding, recognition or embedding failed.
    #[error("{name}:{message}")]
    Failed {
        /// Name of the corresponding exception of the reference system.
        name: Cow<'static, str>,
        /// Message of the error.
        message: String,
    },
}

impl ScoreError {
    /// Creates [`Self::Failed`] with the reference system's exception name.
    pub fn failed(name: impl Into<Cow<'static, str>>, message: &impl ToString) -> Self {
        Self::Failed { name: name.into(), message: message.to_string() }
    }
}

fn no_speech(seconds: f64) -> String {
    if seconds < 0.5 {
        format!("RuntimeError:empty transcript from STT for short audio output ({seconds:.4}s)")
    } else {
        "RuntimeError:empty transcript from STT for non-trivial audio output".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_texts_match_the_reference() {
        for (error, text) in [
            (ScoreError::NoAudio, "ValueError:WAV payload had no frames"),
            (
                ScoreError::NoSpeech { seconds: 0.5 },
                "RuntimeError:empty transcript from STT for non-trivial audio output",
            ),
            (
                ScoreError::NoSpeech { seconds: 0.2 },
                "RuntimeError:empty transcript from STT for short audio output (0.2000s)",
            ),
            (
                ReferenceError::MissingText.into(),
                "ValueError:Missing reference text in scoring metadata",
            ),
            (
                ReferenceError::NotFound("c:9".into()).into(),
                "KeyError:'Utterance c:9 not found in scoring metadata'",
            ),
            (ScoreError::failed("EOFError", &""), "EOFError:"),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
