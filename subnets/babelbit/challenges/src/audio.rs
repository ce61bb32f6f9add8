//! Encoded audio of challenges.

use std::sync::Arc;
use std::thread::available_parallelism;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use taonet_babelbit_core::engine_api::UtterancePayload;
use taonet_primitives::SampleRate;
use taonet_speech::{Pcm, SampleFormat, SynthesisError, Synthesizer, Wav, WavHeader};

use super::{Challenge, Problem, Source};

/// Maximum duration of an utterance in seconds; longer ones exceed the validators' limits.
const MAX_SECONDS: u32 = 600;

/// Speech of one utterance as a WAV file of signed 16-bit samples, ready for the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct UtteranceAudio {
    /// Base64 of the WAV file.
    pub wav_base64: Arc<str>,
    /// Sample rate.
    pub rate: SampleRate,
    /// Number of channels, at least 1.
    pub channels: u16,
    /// Number of samples per channel, at least 1.
    pub frames: u64,
    /// Number of bytes of audio that the truncated file of a recording lacks; 0 if it is complete.
    pub missing_bytes: usize,
}

impl UtteranceAudio {
    /// Size of one sample of one channel in bytes.
    pub(crate) const SAMPLE_WIDTH: u16 = SampleFormat::S16.width();

    /// Creates the audio of an utterance from PCM samples.
    ///
    /// # Errors
    /// [`Problem`] when the audio is empty, too long, or does not fill all channels.
    pub(crate) fn from_pcm(pcm: &Pcm) -> Result<Self, Problem> {
        let frames = pcm.frames();
        if frames == 0 {
            return Err(Problem::EmptyRecording);
        }
        let seconds = pcm.duration().get();
        if seconds > f64::from(MAX_SECONDS) {
            return Err(Problem::Duration { seconds, limit: MAX_SECONDS });
        }
        let wav = Wav::encode(pcm, SampleFormat::S16)?;
        Ok(Self {
            wav_base64: BASE64_STANDARD.encode(wav).into(),
            rate: pcm.rate,
            channels: pcm.channels,
            frames: frames as u64,
            missing_bytes: 0,
        })
    }

    /// Decodes a WAV file of any format and re-encodes it with 16-bit samples, which every client
    /// accepts.
    ///
    /// # Errors
    /// [`Problem`] when the file is malformed, empty or too long, or has samples that are NaN or
    /// infinite.
    pub fn from_wav(file: &[u8]) -> Result<Self, Problem> {
        let WavHeader { missing_bytes, .. } = WavHeader::read(file)?;
        Ok(Self { missing_bytes, ..Self::from_pcm(&Wav::decode_finite(file)?.pcm)? })
    }
}

/// Why the audio of a challenge could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Speech synthesis failed.
    #[error("{challenge}: cannot synthesise utterances[{index}]: {source}")]
    Synthesis {
        /// Uid of the challenge.
        challenge: String,
        /// Position of the utterance, from 0.
        index: usize,
        /// The synthesiser's error.
        source: SynthesisError,
    },
    /// The synthesised audio is unusable.
    #[error("{challenge}: utterances[{index}]: {problem}")]
    InvalidAudio {
        /// Uid of the challenge.
        challenge: String,
        /// Position of the utterance, from 0.
        index: usize,
        /// The defect of the audio.
        #[source]
        problem: Problem,
    },
    /// The process is shutting down, or the synthesiser panicked.
    #[error("{challenge}: the synthesis thread failed: {source}")]
    Thread {
        /// Uid of the challenge.
        challenge: String,
        /// Error of the synthesis thread.
        source: tokio::task::JoinError,
    },
}

/// A challenge with the audio of all its utterances.
#[derive(Debug, Clone)]
pub struct BuiltChallenge {
    /// The challenge to which the audio belongs.
    pub challenge: Arc<Challenge>,
    /// Audio of each utterance, in order.
    pub audio: Vec<UtteranceAudio>,
}

impl BuiltChallenge {
    /// Synthesises the texts of `challenge`, several at a time on blocking threads.
    ///
    /// # Errors
    /// [`BuildError`] naming the first utterance that failed.
    pub async fn build(
        challenge: Arc<Challenge>,
        synthesizer: Arc<dyn Synthesizer>,
    ) -> Result<Self, BuildError> {
        let concurrency = available_parallelism().map_or(2, std::num::NonZero::get);
        let audio = stream::iter(0..challenge.utterances.len())
            .map(|index| {
                let (challenge, synthesizer) = (Arc::clone(&challenge), Arc::clone(&synthesizer));
                let uid = challenge.uid.clone();
                async move {
                    tokio::task::spawn_blocking(move || {
                        speak(&challenge, index, synthesizer.as_ref())
                    })
                    .await
                    .map_err(|source| BuildError::Thread { challenge: uid, source })?
                }
            })
            .buffered(concurrency)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(Self { challenge, audio: audio.into_iter().flatten().collect() })
    }

    /// Returns the utterance at `index` in the engine's wire format, or the end marker past the
    /// last one.
    pub fn payload(&self, session_id: &str, index: usize) -> UtterancePayload {
        let challenge = &self.challenge;
        let current = challenge.utterances.get(index).zip(self.audio.get(index));
        let format_audio = current.map(|(_, audio)| audio).or(self.audio.first());
        UtterancePayload {
            challenge_uid: challenge.uid.clone(),
            title: Some(challenge.title.clone().into()),
            session_id: session_id.to_owned(),
            utterance_id: current.map_or_else(
                || format!("{}:end", challenge.uid),
                |(utterance, _)| utterance.id.clone(),
            ),
            language: challenge.language.clone(),
            utterance_index: u32::try_from(index).unwrap_or(u32::MAX),
            sample_rate_hz: format_audio.map_or(0, |audio| audio.rate.hz()),
            channels: format_audio.map_or(0, |audio| audio.channels),
            sample_width_bytes: UtteranceAudio::SAMPLE_WIDTH,
            utterance_frames: current.map_or(0, |(_, audio)| audio.frames),
            end_of_utterance: true,
            done: index.saturating_add(1) >= self.audio.len(),
            audio_b64: current.map_or_else(String::new, |(_, audio)| audio.wav_base64.to_string()),
            target: current
                .map(|(utterance, _)| utterance.target.document(&challenge.target_language)),
            reference_text: None,
            reference_words: None,
            reference_wps: None,
            utterance_translations: None,
        }
    }
}

/// Synthesises the audio of one utterance; `None` if there is no such utterance.
fn speak(
    challenge: &Challenge,
    index: usize,
    synthesizer: &dyn Synthesizer,
) -> Result<Option<UtteranceAudio>, BuildError> {
    let Some(utterance) = challenge.utterances.get(index) else { return Ok(None) };
    let challenge_uid = || challenge.uid.clone();
    let audio =
        match &utterance.source {
            Source::Recording(audio) => audio.clone(),
            Source::Text { text, voice } => {
                let pcm = synthesizer.speak(text, voice).map_err(|source| {
                    BuildError::Synthesis { challenge: challenge_uid(), index, source }
                })?;
                UtteranceAudio::from_pcm(&pcm).map_err(|problem| BuildError::InvalidAudio {
                    challenge: challenge_uid(),
                    index,
                    problem,
                })?
            }
        };
    Ok(Some(audio))
}
