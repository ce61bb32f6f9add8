use std::sync::Arc;

use taonet_speech::{SynthesisError, Synthesizer, Voice};

use super::playback::Playback;
use super::speaker::{Speaker, to_channels};
use super::{Interpretation, Profile, ProfileError, ProfileName, Reply};

/// Fixed sentences of the reply.
const SENTENCES: [&str; 8] = [
    "seven yellow buckets stand behind the barn.",
    "the violin was painted on a wet monday.",
    "nobody counted the spoons in the harbour.",
    "a quiet lobster teaches mathematics.",
    "winter coats are cheaper by the dozen.",
    "the third window faces a gravel road.",
    "penguins rarely subscribe to newspapers.",
    "my uncle repairs accordions at night.",
];
/// Silence between two sentences, in samples at 24 kHz.
const SENTENCE_GAP_SAMPLES: usize = 3_600;

/// Profile that speaks unrelated sentences promptly, for about the duration of the source.
///
/// Demonstrates that timing and speaking rate earn nothing without the right meaning.
#[derive(Clone)]
pub struct Mumbler {
    sentences: Arc<[Vec<f32>]>,
}

impl Mumbler {
    /// Creates a mumbler that speaks with `voice`. Synthesises all sentences first, which blocks
    /// the calling thread.
    ///
    /// # Errors
    /// [`SynthesisError`] when the synthesiser is missing or fails.
    pub fn new(synthesizer: Arc<dyn Synthesizer>, voice: Voice) -> Result<Self, SynthesisError> {
        let speaker = Speaker::new(synthesizer, voice);
        let sentence_samples = SENTENCES.iter().map(|sentence| {
            let mut samples = speaker.speak(sentence, 1.0, None)?;
            samples.resize(samples.len() + SENTENCE_GAP_SAMPLES, 0.0);
            Ok(samples)
        });
        Ok(Self { sentences: sentence_samples.collect::<Result<_, SynthesisError>>()? })
    }
}

impl Profile for Mumbler {
    fn name(&self) -> ProfileName {
        ProfileName::Mumbler
    }

    fn open(&self, channels: u16, _language: Option<&str>) -> Box<dyn Interpretation> {
        let sentences = Arc::clone(&self.sentences);
        Box::new(MumblerSession {
            sentences,
            next_sentence: 0,
            channels,
            playback: Playback::default(),
        })
    }
}

struct MumblerSession {
    sentences: Arc<[Vec<f32>]>,
    next_sentence: usize,
    channels: u16,
    playback: Playback,
}

impl Interpretation for MumblerSession {
    fn push(&mut self, frame: &[f32], is_last_frame: bool) -> Result<Reply, ProfileError> {
        self.playback.advance(frame.len() / usize::from(self.channels.max(1)));
        if is_last_frame || self.playback.backlog() > 0.0 {
            return Ok(Reply { samples: Vec::new(), done: is_last_frame });
        }
        let sentence = self
            .sentences
            .iter()
            .cycle()
            .nth(self.next_sentence % SENTENCES.len())
            .cloned()
            .unwrap_or_default();
        self.next_sentence += 1;
        self.playback.append_speech(sentence.len());
        Ok(Reply { samples: to_channels(sentence, self.channels), done: false })
    }
}

#[cfg(test)]
mod tests {
    use taonet_primitives::SampleRate;
    use taonet_speech::Pcm;

    use super::*;

    /// A synthesiser that returns one second of a constant for any text.
    struct ConstantSynthesizer;

    impl Synthesizer for ConstantSynthesizer {
        fn speak(&self, _text: &str, _voice: &Voice) -> Result<Pcm, SynthesisError> {
            Ok(Pcm::mono(vec![0.5; 24_000], SampleRate::HZ_24K))
        }
    }

    #[test]
    fn reply_of_mumbler_is_about_as_long_as_the_source() {
        let voice = Voice { name: "en-gb".to_owned(), words_per_minute: 150, pitch: 50 };
        let mumbler = Mumbler::new(Arc::new(ConstantSynthesizer), voice).unwrap();
        let mut session = mumbler.open(2, None);
        let mut spoken_samples = 0;
        for number in 1..=125 {
            let reply = session.push(&[0.0; 3840], number == 125).unwrap();
            assert_eq!(reply.done, number == 125);
            spoken_samples += reply.samples.len() / 2;
        }
        // The source has ten seconds; the last sentence may exceed its end.
        let seconds = spoken_samples as f64 / 24_000.0;
        assert!((10.0..11.5).contains(&seconds), "{seconds}");
    }
}
