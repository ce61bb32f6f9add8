use std::path::Path;

use taonet_primitives::SampleRate;
use taonet_speech::{Espeak, Pcm, SynthesisError, Synthesizer, Voice};

use crate::VoiceError;
use crate::clauses::sentences;
use crate::config::Config;
use crate::network::Network;
use crate::pace;
use crate::phonemes::{max_phonemes, phoneme_ids, phrases};

/// Amplitude of a sentence below which it counts as silence.
const MIN_AMPLITUDE: f32 = 1e-8;

/// A voice of Piper.
///
/// Implements [`Synthesizer`] with the voice's own sample rate: of a [`Voice`], only the speaking
/// rate counts.
pub struct PiperVoice {
    name: String,
    espeak: Espeak,
    config: Config,
    network: Network,
    /// Factor of all durations at espeak-ng's normal rate.
    pace: f32,
}

impl PiperVoice {
    /// Loads the voice in `path`, such as `en_US-joe-medium.onnx`, and its configuration in the
    /// file of the same name with `.json` appended. Takes about a second.
    ///
    /// # Errors
    /// [`VoiceError`], when a file is missing, malformed or no voice of Piper, or when espeak-ng is
    /// missing or lacks the language.
    pub fn open(path: &Path) -> Result<Self, VoiceError> {
        // A missing voice is reported before the configuration beside it.
        std::fs::metadata(path).map_err(|source| VoiceError::io(path, source))?;
        let mut config_path = path.to_owned().into_os_string();
        config_path.push(".json");
        let config = Config::read(Path::new(&config_path))?;
        let espeak = Espeak::find().map_err(|source| VoiceError::phonemes(path, source))?;
        espeak
            .phonemes("a", &config.espeak)
            .map_err(|source| VoiceError::phonemes(path, source))?;
        let network = Network::open(path, &config)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut voice = Self { name, espeak, config, network, pace: 1.0 };
        // Also shows whether the network runs at all.
        let speech =
            voice.synthesize(pace::REFERENCE_TEXT, voice.config.length_scale).map_err(|error| {
                match error {
                    SynthesisError::NeuralVoice { reason, .. } => {
                        VoiceError::Architecture { path: path.to_owned(), reason }
                    }
                    other => VoiceError::phonemes(path, other),
                }
            })?;
        let speech = Pcm::mono(speech, voice.sample_rate());
        let pace = pace::relative_to_espeak(&voice.espeak, &voice.config.espeak, &speech)
            .map_err(|source| VoiceError::phonemes(path, source))?;
        tracing::debug!(voice = voice.name, pace, "voice loaded");
        voice.pace = pace * voice.config.length_scale;
        Ok(voice)
    }

    /// Returns the name of the voice: that of its file, without the extension.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the sample rate of the voice.
    pub fn sample_rate(&self) -> SampleRate {
        self.config.sample_rate
    }

    /// Synthesises a text, with all durations multiplied by `length_scale`. Text without letters
    /// and digits is silent.
    fn synthesize(&self, text: &str, length_scale: f32) -> Result<Vec<f32>, SynthesisError> {
        let mut samples = Vec::new();
        for sentence in sentences(text) {
            let phrases =
                phrases(&self.espeak, &self.config.espeak, &sentence, max_phonemes(length_scale))?;
            let phrase_samples = phrases
                .iter()
                .map(|phrase| self.synthesize_phrase(phrase, length_scale))
                .collect::<Result<Vec<_>, _>>()?;
            samples.extend(scale_to_full_range(phrase_samples.concat()));
        }
        Ok(samples)
    }

    /// Synthesises the phonemes of a phrase, at the network's own amplitude.
    fn synthesize_phrase(
        &self,
        phonemes: &str,
        length_scale: f32,
    ) -> Result<Vec<f32>, SynthesisError> {
        let (ids, unknown) = phoneme_ids(phonemes, &self.config);
        if !unknown.is_empty() {
            tracing::debug!(voice = self.name, ?unknown, "the voice does not know all phonemes");
        }
        let samples = self.network.run(&ids, length_scale);
        samples.map_err(|reason| SynthesisError::NeuralVoice { voice: self.name.clone(), reason })
    }
}

/// Scales the samples of a sentence so that the largest is 1, as Piper does.
fn scale_to_full_range(mut samples: Vec<f32>) -> Vec<f32> {
    let peak = samples.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    let factor = if peak < MIN_AMPLITUDE { 0.0 } else { peak.recip() };
    for sample in &mut samples {
        *sample = (*sample * factor).clamp(-1.0, 1.0);
    }
    samples
}

impl Synthesizer for PiperVoice {
    fn speak(&self, text: &str, voice: &Voice) -> Result<Pcm, SynthesisError> {
        voice.validate_ranges()?;
        let length_scale = self.pace * f32::from(pace::NORMAL_WORDS_PER_MINUTE)
            / f32::from(voice.words_per_minute);
        Ok(Pcm::mono(self.synthesize(text, length_scale)?, self.sample_rate()))
    }

    /// Measured with Whisper base, which understands voices of espeak-ng worse at this speed.
    fn max_clear_speed(&self) -> f64 {
        1.25
    }
}

#[cfg(test)]
mod peer_tests;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{self, SAMPLES};

    fn tiny_voice() -> PiperVoice {
        let folder = tempfile::tempdir().unwrap();
        let path =
            testing::voice(folder.path(), &testing::network(&testing::INPUTS), &testing::config());
        PiperVoice::open(&path).unwrap()
    }

    fn voice(words_per_minute: u16) -> Voice {
        Voice { name: "any name, such as /voices/en.onnx".to_owned(), words_per_minute, pitch: 50 }
    }

    #[test]
    fn text_is_synthesised() {
        let tiny_voice = tiny_voice();
        assert_eq!((tiny_voice.name(), tiny_voice.sample_rate()), ("tiny", SampleRate::HZ_22K));
        let speech = tiny_voice.speak("Hello.", &voice(150)).unwrap();
        assert_eq!((speech.channels, speech.rate), (1, SampleRate::HZ_22K));
        // h ə l ˈ o ʊ . with a pad after each, the begin with its pad, and the end.
        assert_eq!(speech.frames(), (2 + 2 * 7 + 1) * SAMPLES);
        assert!((speech.samples.iter().copied().fold(0.0, f32::max) - 1.0).abs() < 1e-6);
        assert_eq!(tiny_voice.speak("Hello.", &voice(150)).unwrap(), speech);
        for unspoken in ["", " \n", "...", "?!", "\u{1f600}"] {
            assert_eq!(
                tiny_voice.speak(unspoken, &voice(150)).unwrap().frames(),
                0,
                "{unspoken:?}"
            );
        }
        // Letters that neither espeak-ng nor the voice knows.
        tiny_voice.speak("日本 \u{fffd} [[h@]] --help \u{1} ≈", &voice(150)).unwrap();
    }

    #[test]
    fn each_sentence_is_normalised_separately() {
        let tiny_voice = tiny_voice();
        let speak = |text: &str| tiny_voice.speak(text, &voice(150)).unwrap().samples;
        let [first, second, both] = ["Well, yes.", "No?", "Well, yes. No?"].map(speak);
        assert_eq!(both, [first, second].concat());
        // A sentence of several phrases has a common factor: the largest ID, of the letter ð,
        // is in one of them.
        let long = speak(&format!("The end, {}.", "a cab ".repeat(60)));
        let full_range_count = long.iter().filter(|sample| **sample > 0.99).count();
        assert_eq!(full_range_count, SAMPLES, "one phoneme has the full range");
    }

    #[test]
    fn rates_outside_the_limits_are_refused() {
        for words_per_minute in [0, 79, 451] {
            let error = tiny_voice().speak("hello", &voice(words_per_minute)).unwrap_err();
            assert!(matches!(error, SynthesisError::Range { .. }), "{error}");
        }
    }

    #[test]
    fn samples_are_scaled_to_the_full_range() {
        assert_eq!(scale_to_full_range(vec![0.25, -0.5]), [0.5, -1.0]);
        assert_eq!(scale_to_full_range(vec![0.0, 1e-9]), [0.0, 0.0]);
        assert_eq!(scale_to_full_range(Vec::new()), [0.0; 0]);
    }

    #[test]
    fn incomplete_voices_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let missing = PiperVoice::open(&folder.path().join("none.onnx")).err().unwrap().to_string();
        assert!(missing.contains("none.onnx\nhint: a voice of Piper has two files"), "{missing}");
        let network = testing::network(&testing::INPUTS);
        let path = testing::voice(folder.path(), &network, &testing::config());
        std::fs::remove_file(folder.path().join("tiny.onnx.json")).unwrap();
        let error = PiperVoice::open(&path).err().unwrap().to_string();
        assert!(
            error.starts_with("cannot read ") && error.contains("tiny.onnx.json\nhint: "),
            "{error}"
        );
        let mut unknown = testing::config();
        unknown["espeak"]["voice"] = json!("zz");
        let error =
            PiperVoice::open(&testing::voice(folder.path(), &network, &unknown)).err().unwrap();
        let error = taonet_primitives::with_causes(&error);
        assert!(
            error.contains("needs espeak-ng") && error.contains("voice does not exist"),
            "{error}"
        );
        unknown["espeak"]["voice"] = json!("--help");
        let error =
            PiperVoice::open(&testing::voice(folder.path(), &network, &unknown)).err().unwrap();
        assert!(matches!(error, VoiceError::Phonemes { .. }), "{error}");
    }
}
