use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;
use taonet_http::{FormFile, ModelServer, MultipartForm};
use taonet_primitives::{SampleRate, Transcript, Word};
use taonet_speech::{Pcm, Recognition, RecognizeError, Recognizer, SampleFormat, Wav};

use super::{CallError, RemoteModel, Stage, value_and_outcome};

/// Path of the transcriptions below the server's base URL.
const TRANSCRIPTIONS_ROUTE: &str = "audio/transcriptions";

/// Recogniser on an inference server, which receives each phrase as a WAV file and returns words
/// with times.
///
/// If the server returns no word times, the words are spread over each segment, or over the
/// complete recording, in proportion to their lengths.
pub struct RemoteRecognizer {
    stage: Stage,
    fingerprint: String,
    fallback: Option<Arc<dyn Recognizer>>,
}

impl RemoteRecognizer {
    /// Creates a recogniser. Without a `fallback`, a phrase is lost when the server fails or
    /// exceeds its deadline.
    pub fn new(remote: RemoteModel, fallback: Option<Arc<dyn Recognizer>>) -> Self {
        let fingerprint = format!("remote {}", remote.model);
        Self { stage: Stage::new("stt", remote), fingerprint, fallback }
    }

    async fn transcribe(
        &self,
        server: &ModelServer,
        samples: &[f32],
    ) -> Result<Transcript, CallError> {
        let recording = Pcm::mono(samples.to_vec(), SampleRate::HZ_16K);
        let wav = Wav::encode(&recording, SampleFormat::S16)?;
        let fields = [
            ("model", &*self.stage.remote.model),
            ("response_format", "verbose_json"),
            ("timestamp_granularities[]", "word"),
            ("temperature", "0"),
        ];
        let file = FormFile { field: "file", name: "phrase.wav", content_type: "audio/wav" };
        let form = MultipartForm::new(fields, file);
        let response: TranscriptionResponse =
            server.upload(TRANSCRIPTIONS_ROUTE, &form.content_type(), form.body(&wav)).await?;
        Ok(response.transcript(recording.duration().get()))
    }

    fn transcribe_audio(
        &self,
        samples: &[f32],
        deadline: Option<Instant>,
    ) -> Result<Recognition, RecognizeError> {
        if samples.is_empty() {
            return Err(RecognizeError::Empty);
        }
        let call =
            async |server: &ModelServer| value_and_outcome(self.transcribe(server, samples).await);
        match (self.stage.call(deadline, call), &self.fallback) {
            (Some(transcript), _) => Ok(Recognition { transcript, confidence: 1.0 }),
            (None, Some(fallback)) => fallback.recognize(samples),
            (None, None) => Ok(Recognition { transcript: Transcript::default(), confidence: 0.0 }),
        }
    }
}

impl Recognizer for RemoteRecognizer {
    fn name(&self) -> &str {
        &self.stage.remote.model
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn recognize(&self, samples: &[f32]) -> Result<Recognition, RecognizeError> {
        self.transcribe_audio(samples, None)
    }

    fn recognize_by(
        &self,
        samples: &[f32],
        deadline: Instant,
    ) -> Result<Recognition, RecognizeError> {
        self.transcribe_audio(samples, Some(deadline))
    }
}

/// Response of the server, in the format `verbose_json`.
#[derive(Debug, Deserialize)]
struct TranscriptionResponse {
    text: String,
    #[serde(default)]
    language: Option<String>,
    #[serde(default)]
    words: Option<Vec<Word>>,
    #[serde(default)]
    segments: Option<Vec<Segment>>,
}

#[derive(Debug, Deserialize)]
struct Segment {
    start: f64,
    end: f64,
    text: String,
}

impl TranscriptionResponse {
    /// Returns the transcript of a recording of `seconds`; all times lie within it, in order.
    fn transcript(self, seconds: f64) -> Transcript {
        let timed_words = self.words.unwrap_or_default();
        let mut words = if !timed_words.is_empty() {
            timed_words
        } else if let Some(segments) = self.segments.filter(|segments| !segments.is_empty()) {
            segments
                .iter()
                .flat_map(|segment| evenly_timed_words(&segment.text, segment.start, segment.end))
                .collect()
        } else {
            evenly_timed_words(&self.text, 0.0, seconds)
        };
        let mut previous_start = 0.0_f64;
        for word in &mut words {
            word.text = word.text.trim().to_owned();
            word.start = word.start.clamp(previous_start, seconds.max(previous_start));
            word.end = word.end.clamp(word.start, seconds.max(word.start));
            previous_start = word.start;
        }
        Transcript {
            text: self.text.trim().to_owned(),
            words,
            detected_language: self.language.unwrap_or_default(),
        }
    }
}

/// Spreads the words of a text over a time span, in proportion to their lengths.
fn evenly_timed_words(text: &str, start: f64, end: f64) -> Vec<Word> {
    // Each word is followed by a pause of one letter.
    let letters = |word: &str| word.chars().count() as f64;
    let total_letters: f64 = text.split_whitespace().map(|word| letters(word) + 1.0).sum();
    let letter_duration = (end - start).max(0.0) / total_letters.max(1.0);
    let mut next_start = start;
    let words = text.split_whitespace().map(|word| {
        let word_start = next_start;
        next_start += letter_duration * (letters(word) + 1.0);
        Word { text: word.to_owned(), start: word_start, end: next_start - letter_duration }
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Returns the words with times of a response to a recording of 2 s, rounded to milliseconds.
    fn words(response: Value) -> Vec<(String, i64, i64)> {
        let response: TranscriptionResponse = serde_json::from_value(response).unwrap();
        let milliseconds = |seconds: f64| (seconds * 1e3).round() as i64;
        let words = response.transcript(2.0).words.into_iter();
        words.map(|word| (word.text, milliseconds(word.start), milliseconds(word.end))).collect()
    }

    /// Columns: response, words with start and end in milliseconds.
    #[test]
    fn every_form_of_response_has_words_with_times() {
        let table = [
            (
                json!({"text": " Hi you.", "language": "english", "words": [
                    {"word": "Hi", "start": 0.1, "end": 0.3}, {"word": " you.", "start": 0.4, "end": 0.9}]}),
                vec![("Hi", 100, 300), ("you.", 400, 900)],
            ),
            (
                json!({"text": "ab c", "words": [], "segments": [
                    {"start": 0.0, "end": 0.6, "text": " ab"}, {"start": 1.0, "end": 1.5, "text": "c "}]}),
                vec![("ab", 0, 400), ("c", 1000, 1250)],
            ),
            (json!({"text": "abc"}), vec![("abc", 0, 1500)]),
            (
                json!({"text": "abc d", "words": null, "segments": null}),
                vec![("abc", 0, 1000), ("d", 1333, 1667)],
            ),
            (json!({"text": ""}), vec![]),
            // Times out of order or beyond the end.
            (
                json!({"text": "a b", "words": [
                    {"word": "a", "start": 1.5, "end": 1.0}, {"word": "b", "start": -1.0, "end": 1e300}]}),
                vec![("a", 1500, 1500), ("b", 1500, 2000)],
            ),
        ];
        for (response, expected) in table {
            let expected: Vec<_> =
                expected.into_iter().map(|(text, from, to)| (text.to_owned(), from, to)).collect();
            assert_eq!(words(response.clone()), expected, "{response}");
        }
    }
}
