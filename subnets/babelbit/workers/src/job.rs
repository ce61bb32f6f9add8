use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use taonet_babelbit_scorer::{AudioHash, EngineIdentity};

/// ID of a transcription: a SHA-256 over the hash of the audio and the recogniser's name and
/// fingerprint (weights and options).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JobId([u8; 32]);

impl JobId {
    /// Computes the ID of a recording's transcription by a recogniser.
    pub fn new(audio: AudioHash, recognizer: &EngineIdentity) -> Self {
        let text = format!("{audio}\n{}\n{}", recognizer.name, recognizer.fingerprint);
        Self(Sha256::digest(text).into())
    }

    /// Parses 64 hexadecimal digits; `None` for any other text.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok().map(|()| Self(bytes))
    }

    /// Returns the key of the audio in the bucket.
    pub(crate) fn object_key(&self) -> String {
        format!("{AUDIO_KEY_PREFIX}{self}.wav")
    }
}

/// Prefix of all audio keys in the bucket.
pub(crate) const AUDIO_KEY_PREFIX: &str = "scorer-audio/";

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Returns the subject token that identifies a recogniser, so that a worker receives only jobs of
/// its recogniser.
pub(crate) fn recognizer_group(recognizer: &EngineIdentity) -> String {
    let hash = Sha256::digest(format!("{}\n{}", recognizer.name, recognizer.fingerprint));
    hex::encode(hash.get(..8).unwrap_or_default())
}

/// Content of a queue message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Job {
    /// SHA-256 of the WAV file, in hex.
    audio: String,
    recognizer: EngineIdentity,
}

impl Job {
    pub(crate) fn new(audio: AudioHash, recognizer: &EngineIdentity) -> Self {
        Self { audio: audio.to_string(), recognizer: recognizer.clone() }
    }

    /// Parses a message received under a subject; `None` if it is malformed, or not for this
    /// recogniser.
    pub(crate) fn parse(
        subject: &str,
        payload: &[u8],
        recognizer: &EngineIdentity,
    ) -> Option<(JobId, AudioHash)> {
        let job: Self = serde_json::from_slice(payload).ok()?;
        let audio = AudioHash::from_hex(&job.audio)?;
        let id = JobId::new(audio, recognizer);
        (job.recognizer == *recognizer && subject.rsplit('.').next() == Some(&id.to_string()))
            .then_some((id, audio))
    }

    pub(crate) fn payload(&self) -> Vec<u8> {
        // Serialisation of strings cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(name: &str, fingerprint: &str) -> EngineIdentity {
        EngineIdentity { name: name.into(), fingerprint: fingerprint.into() }
    }

    #[test]
    fn job_id_depends_on_audio_model_and_options() {
        let (a, b) = (AudioHash::of(b"a"), AudioHash::of(b"b"));
        let id = JobId::new(a, &engine("whisper", "1"));
        assert_eq!(id, JobId::new(a, &engine("whisper", "1")));
        assert_eq!(JobId::from_hex(&id.to_string()), Some(id));
        for other in [
            JobId::new(b, &engine("whisper", "1")),
            JobId::new(a, &engine("whisper", "2")),
            JobId::new(a, &engine("w", "1")),
        ] {
            assert_ne!(id, other);
        }
        assert_ne!(
            recognizer_group(&engine("whisper", "1")),
            recognizer_group(&engine("whisper", "2"))
        );
    }

    #[test]
    fn malformed_or_foreign_job_message_is_refused() {
        let (recognizer, audio) = (engine("whisper", "1"), AudioHash::of(b"a"));
        let id = JobId::new(audio, &recognizer);
        let (subject, payload) =
            (format!("babelbit.stt.x.{id}"), Job::new(audio, &recognizer).payload());
        assert_eq!(Job::parse(&subject, &payload, &recognizer), Some((id, audio)));
        assert_eq!(Job::parse(&subject, &payload, &engine("whisper", "2")), None);
        assert_eq!(Job::parse("babelbit.stt.x.y", &payload, &recognizer), None);
        let other = Job::new(AudioHash::of(b"b"), &recognizer).payload();
        assert_eq!(Job::parse(&subject, &other, &recognizer), None);
        for malformed in [
            &b""[..],
            b"{}",
            b"[1]",
            b"\xff",
            br#"{"audio": "12", "recognizer": {"name": "", "fingerprint": ""}}"#,
        ] {
            assert_eq!(Job::parse(&subject, malformed, &recognizer), None);
        }
    }
}
