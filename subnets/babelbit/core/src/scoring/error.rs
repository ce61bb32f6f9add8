use std::borrow::Cow;

use crate::reference::ReferenceError;

/// Why a reply could not be scored. Its text is `<name>:<message>` with the names of the reference system's exceptions.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// The reply ended without any sound.
    #[error("ValueError:WAV payload had no frames")]
    NoAudio,
    /// The reply has sound but no word was heard in it.
    #[error("{}", no_speech(*seconds))]
    NoSpeech {
        /// Length of the reply.
        seconds: f64,
    },
    /// There is no usable reference; the whole batch fails.
    #[error("{}:{}", .0.python_name(), .0)]
    Reference(#[from] ReferenceError),
    /// Decoding, recognition or embedding failed.
    #[error("{name}:{message}")]
    Failed {
        /// Name of the exception that the reference system raises in this case.
        name: Cow<'static, str>,
        /// What went wrong.
        message: String,
    },
}

impl ScoreError {
    /// A failure under the name of the reference system's exception.
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
    fn the_texts_are_those_of_the_reference() {
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
            (ReferenceError::MissingText.into(), "ValueError:Missing reference text in scoring metadata"),
            (ReferenceError::NotFound("c:9".into()).into(), "KeyError:'Utterance c:9 not found in scoring metadata'"),
            (ScoreError::failed("EOFError", &""), "EOFError:"),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
