use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use taonet_http::{Fault, ModelServer, ModelServerError};
use taonet_primitives::SampleRate;
use taonet_speech::{Pcm, SynthesisError, Synthesizer, Voice, Wav, WavError};

use super::{CallError, RemoteModel, Stage, value_and_outcome};

/// Path of the synthesis below the server's base URL.
const SPEECH_ROUTE: &str = "audio/speech";
/// Maximum size of the speech in bytes: one minute at 48 kHz.
const MAX_SPEECH_BYTES: usize = 6 << 20;
/// Words per minute that correspond to the speed 1 of the server's voices.
const NORMAL_WORDS_PER_MINUTE: f64 = 150.0;

/// Synthesiser on an inference server, which receives each text and returns a WAV file. The file is
/// read as it arrives.
pub struct RemoteSynthesizer {
    stage: Stage,
    voice: String,
    fallback: Option<Arc<dyn Synthesizer>>,
}

impl RemoteSynthesizer {
    /// Creates a synthesiser that speaks with a voice of the server. When the server fails or
    /// exceeds its deadline, the `fallback` speaks the phrase; without one, the samples received
    /// until then are spoken.
    pub fn new(remote: RemoteModel, voice: String, fallback: Option<Arc<dyn Synthesizer>>) -> Self {
        Self { stage: Stage::new("tts", remote), voice, fallback }
    }

    async fn synthesize(
        &self,
        server: &ModelServer,
        text: &str,
        words_per_minute: u16,
    ) -> (Option<Pcm>, Result<(), CallError>) {
        let speed = (f64::from(words_per_minute) / NORMAL_WORDS_PER_MINUTE).clamp(0.25, 4.0);
        let body = json!({
            "model": self.stage.remote.model, "input": text, "voice": self.voice, "response_format": "wav",
            "speed": speed,
        });
        let mut file = Vec::new();
        match server.receive(SPEECH_ROUTE, &body, MAX_SPEECH_BYTES, &mut file).await {
            Ok(()) => value_and_outcome(decode_speech(Wav::decode(&file))),
            Err(error) => {
                let is_too_large = matches!(error, ModelServerError::Fault(Fault::TooLarge(_)));
                let use_partial = self.fallback.is_none() && !is_too_large;
                (
                    use_partial.then(|| decode_speech(Wav::decode(&file)).ok()).flatten(),
                    Err(error.into()),
                )
            }
        }
    }

    fn synthesize_or_fall_back(
        &self,
        text: &str,
        voice: &Voice,
        deadline: Option<Instant>,
    ) -> Result<Pcm, SynthesisError> {
        let call = async |server: &ModelServer| {
            self.synthesize(server, text, voice.words_per_minute).await
        };
        match (self.stage.call(deadline, call), &self.fallback) {
            (Some(speech), _) => Ok(speech),
            (None, Some(fallback)) => fallback.speak(text, voice),
            (None, None) => Ok(Pcm::mono(Vec::new(), SampleRate::HZ_24K)),
        }
    }
}

/// Returns the samples of a file, at least one.
fn decode_speech(decoded: Result<Wav, WavError>) -> Result<Pcm, CallError> {
    let speech = decoded?.pcm.into_mono();
    if speech.samples.is_empty() {
        Err(CallError::Unusable("the speech has no samples"))
    } else {
        Ok(speech)
    }
}

impl Synthesizer for RemoteSynthesizer {
    fn speak(&self, text: &str, voice: &Voice) -> Result<Pcm, SynthesisError> {
        self.synthesize_or_fall_back(text, voice, None)
    }

    fn speak_until(
        &self,
        text: &str,
        voice: &Voice,
        deadline: Instant,
    ) -> Result<Pcm, SynthesisError> {
        self.synthesize_or_fall_back(text, voice, Some(deadline))
    }
}
