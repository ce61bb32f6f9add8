use std::io;

use serde::{Deserialize, Serialize};
use taonet_primitives::{Transcript, Word};

use crate::{AudioHash, Transcription};

/// A line of the cache file.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    wav_sha256: String,
    text: &'a str,
    words: &'a [Word],
    detected_language: &'a str,
    recognizer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f32>,
}

impl<'a> Row<'a> {
    pub(super) fn new(
        audio: AudioHash,
        transcription: &'a Transcription,
        fingerprint: &'a str,
    ) -> Self {
        let Transcription { transcript, confidence } = transcription;
        Self {
            wav_sha256: audio.to_string(),
            text: &transcript.text,
            words: &transcript.words,
            detected_language: &transcript.detected_language,
            recognizer: fingerprint,
            confidence: *confidence,
        }
    }

    /// Serialises the line, with its line feed.
    pub(super) fn to_line(&self) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }

    /// Parses audio hash, transcript and, if present, the recogniser's fingerprint; `None` for a
    /// malformed line.
    pub(super) fn parse(line: &[u8]) -> Option<(AudioHash, Transcription, Option<String>)> {
        #[derive(Deserialize)]
        struct CacheLine {
            wav_sha256: String,
            text: Option<String>,
            words: Option<Vec<Word>>,
            detected_language: Option<String>,
            recognizer: Option<String>,
            confidence: Option<f32>,
        }
        // Serde would also accept a list for a struct.
        line.trim_ascii_start().strip_prefix(b"{")?;
        let row: CacheLine = serde_json::from_slice(line).ok()?;
        let transcript = Transcript {
            text: row.text.unwrap_or_default(),
            words: row.words.unwrap_or_default(),
            detected_language: row.detected_language.unwrap_or_default(),
        };
        let audio = AudioHash::from_hex(&row.wav_sha256)?;
        Some((audio, Transcription { transcript, confidence: row.confidence }, row.recognizer))
    }
}
