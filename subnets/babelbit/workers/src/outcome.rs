//! Encoding of results for storage as MessagePack, which preserves every bit of a float.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use taonet_babelbit_core::scoring::ScoreError;
use taonet_babelbit_scorer::{Transcription, TranscriptionResult};

#[derive(Serialize, Deserialize)]
enum Outcome<'a> {
    /// Stored as `Heard`, the name in existing databases.
    #[serde(rename = "Heard")]
    Transcribed(Cow<'a, Transcription>),
    NoAudio,
    Failed {
        name: String,
        message: String,
    },
}

/// Encodes a result.
pub(crate) fn encode(transcription: &TranscriptionResult) -> Vec<u8> {
    let outcome = match transcription {
        Ok(transcription) => Outcome::Transcribed(Cow::Borrowed(&**transcription)),
        Err(ScoreError::NoAudio) => Outcome::NoAudio,
        Err(ScoreError::Failed { name, message }) => {
            Outcome::Failed { name: name.clone().into_owned(), message: message.clone() }
        }
        // Transcription returns no other errors. All errors display as `<name>:<message>`.
        Err(other) => {
            let text = other.to_string();
            let (name, message) = text.split_once(':').unwrap_or(("RuntimeError", &text));
            Outcome::Failed { name: name.to_owned(), message: message.to_owned() }
        }
    };
    // Serialisation of strings, numbers and lists cannot fail.
    rmp_serde::to_vec_named(&outcome).unwrap_or_default()
}

/// Decodes a result; `None` if it is malformed.
pub(crate) fn decode(bytes: &[u8]) -> Option<TranscriptionResult> {
    Some(match rmp_serde::from_slice(bytes).ok()? {
        Outcome::Transcribed(transcription) => Ok(Arc::new(transcription.into_owned())),
        Outcome::NoAudio => Err(ScoreError::NoAudio),
        Outcome::Failed { name, message } => Err(ScoreError::failed(name, &message)),
    })
}

#[cfg(test)]
mod tests {
    use taonet_primitives::{Transcript, Word};

    use super::*;

    #[test]
    fn transcription_outcomes_round_trip_exactly() {
        let words = vec![Word { text: "schön".into(), start: 0.1 + 0.2, end: 1.0 / 3.0 }];
        let transcript =
            Transcript { text: "schön".into(), words, detected_language: "de".into() };
        let result = Ok(Arc::new(Transcription { transcript, confidence: Some(0.1 + 0.7) }));
        let silent =
            Ok(Arc::new(Transcription { transcript: Transcript::default(), confidence: None }));
        let failed = Err(ScoreError::failed("EOFError", &""));
        for transcription in [result, silent, failed, Err(ScoreError::NoAudio)] {
            assert_eq!(decode(&encode(&transcription)), Some(transcription));
        }
        for malformed in [&b""[..], b"x", b"\xc1", &[0x81, 0xa5]] {
            assert_eq!(decode(malformed), None);
        }
    }
}
