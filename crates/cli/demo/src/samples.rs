//! Samples of the page "Try it": speech for visitors without a microphone.

use anyhow::Context as _;
use taonet_babelbit_challenges::{Challenges, Source};
use taonet_babelbit_dashboard::TrySample;
use taonet_cli_models::voice::Speech;
use taonet_speech::{Espeak, SampleFormat, Synthesizer, Voice, Wav};

/// Language and shipped challenge of each sample; the embedded recogniser understands the first one
/// only.
const SAMPLES: [(&str, &str); 3] = [("English", "1"), ("French", "fr-1"), ("Spanish", "es-1")];
/// Rate of the neural voice: that of a calm speaker.
const WORDS_PER_MINUTE: u16 = 160;

/// Synthesises the first utterance of a shipped challenge in each language that the miners
/// understand: in English with the neural voice if there is one, otherwise with espeak-ng.
pub(crate) fn synthesize(
    has_whisper: bool,
    neural: Option<&Speech>,
) -> anyhow::Result<Vec<TrySample>> {
    let espeak = Espeak::find()?;
    let count = if has_whisper { SAMPLES.len() } else { 1 };
    let mut neural = neural.map(|speech| speech.at_rate(WORDS_PER_MINUTE));
    let samples = SAMPLES.iter().take(count).map(|(language, challenge)| {
        let challenge = Challenges::find(challenge)?
            .with_context(|| format!("there is no challenge {challenge}"))?;
        let utterance = challenge.utterances.into_iter().next().map(|utterance| utterance.source);
        let Some(Source::Text { text, voice }) = utterance else {
            anyhow::bail!("the challenge {} does not begin with a text", challenge.title)
        };
        // The neural voice speaks English only.
        match neural.take() {
            Some(Speech { synthesizer, voice }) => {
                synthesize_sample(language, text, &*synthesizer, &voice)
            }
            None => synthesize_sample(language, text, &espeak, &voice),
        }
    });
    samples.collect()
}

fn synthesize_sample(
    language: &str,
    text: String,
    synthesizer: &dyn Synthesizer,
    voice: &Voice,
) -> anyhow::Result<TrySample> {
    let speech = synthesizer.speak(&text, voice)?;
    let wav = Wav::encode(&speech, SampleFormat::S16)?.into();
    Ok(TrySample { language: language.to_owned(), text, wav })
}

#[cfg(test)]
mod tests {
    use taonet_speech::WavHeader;

    use super::*;

    #[test]
    fn samples_match_recogniser_languages_and_length_limits() {
        let languages = |has_whisper| {
            let samples = synthesize(has_whisper, None).unwrap();
            for sample in &samples {
                let seconds = WavHeader::read(&sample.wav).unwrap().duration().get();
                assert!((5.0..30.0).contains(&seconds), "{}: {seconds} s", sample.language);
            }
            samples.into_iter().map(|sample| sample.language).collect::<Vec<_>>()
        };
        assert_eq!(languages(true), ["English", "French", "Spanish"]);
        assert_eq!(languages(false), ["English"]);
    }
}
