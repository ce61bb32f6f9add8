use std::sync::Arc;
use std::time::Instant;

use taonet_primitives::SampleRate;
use taonet_speech::{SynthesisError, Synthesizer, Voice, resample_endpoints};

/// Amplitude at or below which a sample counts as silence.
const SILENCE_AMPLITUDE: f32 = 0.004;
/// Margin of silence on both sides of a phrase, in samples at 24 kHz: a cut within the fading end
/// of a word is audible as a click.
const MARGIN_SAMPLES: usize = 960;

/// Synthesis stage: turns words into audio at 24 kHz.
#[derive(Clone)]
pub(super) struct Speaker {
    synthesizer: Arc<dyn Synthesizer>,
    voice: Voice,
}

impl Speaker {
    pub(super) fn new(synthesizer: Arc<dyn Synthesizer>, voice: Voice) -> Self {
        Self { synthesizer, voice }
    }

    /// Returns the time that the voice takes for a word at its normal rate.
    pub(super) fn seconds_per_word(&self) -> f64 {
        60.0 / f64::from(self.voice.words_per_minute)
    }

    /// Returns the speed relative to the normal rate at which the voice is as clear as at this rate.
    pub(super) fn max_clear_speed(&self) -> f64 {
        self.synthesizer.max_clear_speed()
    }

    /// Speaks a phrase at `speed` times the voice's normal rate, trimming leading and trailing
    /// silence. A call to a server ends at `deadline`.
    pub(super) fn speak(
        &self,
        phrase: &str,
        speed: f64,
        deadline: Option<Instant>,
    ) -> Result<Vec<f32>, SynthesisError> {
        let words_per_minute = (f64::from(self.voice.words_per_minute) * speed).round() as u16;
        let voice = Voice { words_per_minute, ..self.voice.clone() };
        let pcm = match deadline {
            Some(deadline) => self.synthesizer.speak_until(phrase, &voice, deadline)?,
            None => self.synthesizer.speak(phrase, &voice)?,
        };
        Ok(trim_silence(resample_endpoints(&pcm, SampleRate::HZ_24K).samples))
    }
}

fn trim_silence(mut samples: Vec<f32>) -> Vec<f32> {
    let is_loud = |sample: &f32| sample.abs() > SILENCE_AMPLITUDE;
    let Some(last) = samples.iter().rposition(is_loud) else { return Vec::new() };
    let first = samples.iter().position(is_loud).unwrap_or_default();
    samples.truncate(last.saturating_add(1 + MARGIN_SAMPLES));
    samples.drain(..first.saturating_sub(MARGIN_SAMPLES));
    samples
}

/// Copies the mono samples to every channel.
pub(super) fn to_channels(mono: Vec<f32>, channels: u16) -> Vec<f32> {
    match channels {
        0 | 1 => mono,
        _ => mono
            .into_iter()
            .flat_map(|sample| std::iter::repeat_n(sample, usize::from(channels)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_around_a_phrase_is_trimmed() {
        let mut samples = vec![0.0; 5000];
        samples.extend([0.5; 100]);
        samples.extend([0.001; 2000]);
        assert_eq!(trim_silence(samples).len(), MARGIN_SAMPLES + 100 + MARGIN_SAMPLES);
        assert_eq!(trim_silence(vec![0.5; 3]), [0.5; 3]);
        assert!(trim_silence(vec![0.0; 100]).is_empty() && trim_silence(Vec::new()).is_empty());
    }

    #[test]
    fn channels_are_interleaved() {
        assert_eq!(to_channels(vec![0.1, 0.2], 2), [0.1, 0.1, 0.2, 0.2]);
        assert_eq!(to_channels(vec![0.1, 0.2], 1), [0.1, 0.2]);
    }
}
