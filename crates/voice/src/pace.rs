//! The pace of a voice. Speakers differ: 150 words a minute must mean the same with each, and with
//! espeak-ng.

use taonet_speech::{Espeak, Pcm, SynthesisError, Synthesizer as _, Voice};

/// Text of the comparison: espeak-ng reads digits in every language.
pub(crate) const REFERENCE_TEXT: &str = "1 2 3 4 5 6 7 8 9 10 11 12";
/// Speaking rate of the comparison, in words per minute.
pub(crate) const NORMAL_WORDS_PER_MINUTE: u16 = 150;
/// Maximum factor between the paces of two speakers, in either direction.
const MAX_FACTOR: f32 = 2.0;
/// Amplitude at or below which a sample counts as silence.
const MAX_SILENT_AMPLITUDE: f32 = 0.004;

/// Returns the duration of espeak-ng's speech at the normal rate, relative to that of the same text
/// in `speech`.
///
/// # Errors
/// [`SynthesisError`] when espeak-ng fails.
pub(crate) fn relative_to_espeak(
    espeak: &Espeak,
    voice: &str,
    speech: &Pcm,
) -> Result<f32, SynthesisError> {
    let normal_voice =
        Voice { name: voice.to_owned(), words_per_minute: NORMAL_WORDS_PER_MINUTE, pitch: 50 };
    let (espeak_seconds, voice_seconds) =
        (spoken_seconds(&espeak.speak(REFERENCE_TEXT, &normal_voice)?), spoken_seconds(speech));
    // A network that says nothing has no pace.
    Ok(if voice_seconds > 0.0 {
        (espeak_seconds / voice_seconds).clamp(MAX_FACTOR.recip(), MAX_FACTOR)
    } else {
        1.0
    })
}

/// Returns the duration of mono speech without the silence around it, in seconds.
fn spoken_seconds(speech: &Pcm) -> f32 {
    let first = speech
        .samples
        .iter()
        .position(|sample| sample.abs() > MAX_SILENT_AMPLITUDE)
        .unwrap_or_default();
    let end = speech
        .samples
        .iter()
        .rposition(|sample| sample.abs() > MAX_SILENT_AMPLITUDE)
        .map_or(first, |last| last + 1);
    (end - first) as f32 / speech.rate.hz() as f32
}

#[cfg(test)]
mod tests {
    use taonet_primitives::SampleRate;

    use super::*;

    #[test]
    fn pace_matches_espeak() {
        let espeak = Espeak::find().unwrap_or_else(|error| panic!("{error}"));
        let voice =
            |words_per_minute| Voice { name: "en-us".to_owned(), words_per_minute, pitch: 50 };
        for (rate, expected) in [(150, 1.0), (100, 0.65), (450, 2.0)] {
            let speech = espeak.speak(REFERENCE_TEXT, &voice(rate)).unwrap();
            let pace = relative_to_espeak(&espeak, "en-us", &speech).unwrap();
            assert!((pace - expected).abs() < 0.05, "{rate}: {pace}");
        }
        let silence = Pcm::mono(vec![0.0; 100], SampleRate::HZ_16K);
        assert!((relative_to_espeak(&espeak, "en-us", &silence).unwrap() - 1.0).abs() < 1e-6);
        assert!(relative_to_espeak(&espeak, "zz", &silence).is_err());
    }

    #[test]
    fn silence_around_speech_does_not_count() {
        let samples =
            [vec![0.0; 500], vec![0.5; 100], vec![0.0; 50], vec![-0.5; 50], vec![0.001; 900]]
                .concat();
        assert!(
            (spoken_seconds(&Pcm::mono(samples, SampleRate::new(1_000).unwrap())) - 0.2).abs()
                < 1e-6
        );
    }
}
