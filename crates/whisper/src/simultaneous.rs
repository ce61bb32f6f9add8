//! The simultaneous policy AlignAtt: words of unfinished speech are ready once the decoder attends
//! to audio that is not at its end.
//!
//! Unlike local agreement, which compares two transcripts, a word is ready after one pass.
//! Committed words are forced as the decoder's prefix; each pass decodes the words after them anew,
//! with more audio than the pass before.

use std::sync::Arc;

use taonet_primitives::Word;
use taonet_speech::{
    RecognizeError, Recognizer as _, SimultaneousRecognition, SimultaneousRecognizer,
};

use crate::recognizer::recognize_error;
use crate::transcribe::{CONTEXT_TOKENS, Continuation, Prefix};
use crate::vocabulary::trim;
use crate::words::{TimedWord, merge_punctuation};
use crate::{Options, SAMPLE_RATE, SpeechTask, TranscribeError, Transcriber};

/// Amount of new audio between two passes, in samples: 0.8 s.
const STEP_SAMPLES: usize = 4 * SAMPLE_RATE / 5;
/// Length of the audio in a pass above which its beginning is dropped, in samples: 16 s.
const MAX_PASS_SAMPLES: usize = 16 * SAMPLE_RATE;
/// Length of the audio that remains after dropping its beginning, in samples: 8 s.
const RETAINED_SAMPLES: usize = MAX_PASS_SAMPLES / 2;
/// Silence after the end of the speech, in samples: 0.4 s. Whisper tends to omit a word that the
/// end of the audio cuts.
const TRAILING_SILENCE_SAMPLES: usize = 2 * SAMPLE_RATE / 5;
/// Maximum length of the audio between two passes, in samples: the next pass adds a step and the
/// silence at the end, and the encoder's window has 30 s.
const MAX_BUFFERED_SAMPLES: usize = 30 * SAMPLE_RATE - STEP_SAMPLES - TRAILING_SILENCE_SAMPLES;
/// Maximum number of tokens of the text before the audio that serve as prompt.
const MAX_CONTEXT_TOKENS: usize = CONTEXT_TOKENS / 4;
/// Maximum number of forced tokens, above which the beginning of the audio is dropped.
const MAX_FORCED_TOKENS: usize = CONTEXT_TOKENS / 3;
/// Length of the audio from which an unknown language is detected, in samples: 2 s.
const MIN_DETECTION_SAMPLES: usize = 2 * SAMPLE_RATE;
/// Length of the audio from which a phrase is translated, in samples: 3.2 s. From less, Whisper
/// guesses an English sentence.
const MIN_TRANSLATION_SAMPLES: usize = 4 * STEP_SAMPLES;
/// Difference between the probabilities of the two best languages from which a detected language
/// counts as clear.
const CLEAR_MARGIN: f32 = 0.5;
/// Length of the speech after which its detected language is kept, in samples: 5 s.
const MIN_LANGUAGE_SAMPLES: usize = 5 * SAMPLE_RATE;
/// Maximum frame threshold: 4 s.
const MAX_FRAME_THRESHOLD: usize = 200;
/// Silence encoded after the audio by default, in seconds. In an experiment with 246 words, Whisper
/// base made 7 errors with it, and 6 in windows of 30 s, which take more than twice the time
/// (docs/benchmarks.md).
const DEFAULT_PADDING: f64 = 4.0;
/// Amplitude at or below which a step is silent.
const MAX_SILENT_AMPLITUDE: f32 = 0.002;

/// Options of [`AlignAtt`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlignAttOptions {
    /// Minimum distance from the end of the audio, in encoder frames of 20 ms, of the frame that a
    /// token attends to most, at most 200; a token closer to the end waits for more audio. Lower
    /// values give earlier words with more errors.
    pub frame_threshold: usize,
    /// Silence encoded after the audio, in seconds; when absent, up to 30 s in all. Less silence
    /// takes less time, but the model was trained with windows of 30 s.
    pub padding: Option<f64>,
}

impl Default for AlignAttOptions {
    /// Returns the frame threshold of SimulStreaming, 0.5 s, and a padding of 4 s.
    fn default() -> Self {
        Self { frame_threshold: 25, padding: Some(DEFAULT_PADDING) }
    }
}

/// Simultaneous recognition or translation by a Whisper model under the policy AlignAtt, with
/// greedy decoding.
pub struct AlignAtt {
    transcriber: Arc<Transcriber>,
    options: AlignAttOptions,
}

impl AlignAtt {
    /// Creates the policy. Without a language in the transcriber's options, a speech is in the
    /// language with which it is opened, or else in a detected one. Language, task, punctuation and
    /// the thresholds for silence, uncertainty and repetition are those of the transcriber's
    /// options; its engine decodes concurrent speeches.
    ///
    /// # Errors
    /// [`TranscribeError::Option`] when the frame threshold exceeds 200, or the padding is not
    /// between 0 and 30 s.
    pub fn new(
        transcriber: Arc<Transcriber>,
        options: AlignAttOptions,
    ) -> Result<Self, TranscribeError> {
        if options.frame_threshold > MAX_FRAME_THRESHOLD {
            return Err(TranscribeError::Option {
                option: "frame_threshold",
                reason: "must be at most 200",
            });
        }
        if options.padding.is_some_and(|seconds| !(0.0..=30.0).contains(&seconds)) {
            return Err(TranscribeError::Option {
                option: "padding",
                reason: "must be between 0 and 30 s",
            });
        }
        Ok(Self { transcriber, options })
    }
}

impl SimultaneousRecognizer for AlignAtt {
    fn name(&self) -> &str {
        self.transcriber.name()
    }

    fn open(&self, language: Option<&str>) -> Box<dyn SimultaneousRecognition> {
        Box::new(Speech {
            transcriber: Arc::clone(&self.transcriber),
            options: self.transcriber.options_for(language),
            policy: self.options,
            language: DetectedLanguage::default(),
            state: State::default(),
        })
    }
}

/// AlignAtt on one speech.
struct Speech {
    transcriber: Arc<Transcriber>,
    options: Arc<Options>,
    policy: AlignAttOptions,
    language: DetectedLanguage,
    state: State,
}

/// Language of a speech, if the options set none.
#[derive(Debug, Default)]
struct DetectedLanguage {
    code: String,
    /// Length of the earlier phrases in this language, in samples.
    speech_samples: usize,
    /// Whether later passes use the language instead of detecting it.
    is_kept: bool,
}

impl DetectedLanguage {
    /// Updates the language after a pass with words; `speech_samples` is the length of the phrase
    /// so far.
    fn update(&mut self, code: String, margin: f32, speech_samples: usize) {
        if code != self.code {
            (self.code, self.speech_samples) = (code, 0);
        }
        self.is_kept =
            margin >= CLEAR_MARGIN || self.speech_samples + speech_samples >= MIN_LANGUAGE_SAMPLES;
    }

    /// Ends a phrase of this length in samples. A language that only short phrases suggest is
    /// detected again.
    fn end_phrase(&mut self, speech_samples: usize) {
        if self.is_kept {
            self.speech_samples += speech_samples;
            self.is_kept = self.speech_samples >= MIN_LANGUAGE_SAMPLES;
        }
    }
}

/// Audio and words of a speech. Times are from the start of the speech.
#[derive(Debug, Default)]
struct State {
    /// The last part of the speech.
    samples: Vec<f32>,
    /// Number of samples dropped before it.
    dropped_samples: usize,
    /// Number of new samples since the last pass.
    samples_since_pass: usize,
    /// Final words of the buffered audio: those that are committed, or whose audio is partly
    /// dropped. Further passes force them.
    forced: Vec<TimedWord>,
    /// Words of the last pass after the final ones, which the next pass revises.
    tentative: Vec<TimedWord>,
    /// Final words that are not committed.
    uncommitted: Vec<Word>,
    /// Tokens of the final words before the buffered audio.
    context: Vec<u32>,
    /// Length of the speech since the last pause, in samples.
    speech_samples: usize,
    /// Time before which no further word that is not final starts, in seconds: the end of the last
    /// final word, or of a pause.
    last_end: f64,
    /// Time before which no word after the tentative ones starts, in seconds.
    earliest_next_word: f64,
}

impl SimultaneousRecognition for Speech {
    fn push(&mut self, samples: &[f32], is_end: bool) -> Result<Vec<Word>, RecognizeError> {
        let mut remaining = samples;
        loop {
            // A pass after each step, however much audio arrives at once: a window has at most 30
            // s.
            let missing_samples =
                STEP_SAMPLES.saturating_sub(self.state.samples_since_pass).min(remaining.len());
            let (step_samples, later_samples) = remaining.split_at(missing_samples);
            self.append(step_samples, is_end && later_samples.is_empty())?;
            if later_samples.is_empty() {
                return Ok(self.state.words());
            }
            remaining = later_samples;
        }
    }

    fn commit(&mut self, count: usize) {
        self.state.commit(count);
    }

    fn ready_until(&self) -> f64 {
        self.state.earliest_next_word
    }
}

impl Speech {
    /// Appends at most the rest of a step, and decodes when the step is complete or the speech
    /// ends.
    fn append(&mut self, samples: &[f32], is_end: bool) -> Result<(), RecognizeError> {
        let state = &mut self.state;
        state.samples.extend_from_slice(samples);
        state.samples_since_pass += samples.len();
        if state.samples_since_pass < STEP_SAMPLES && !is_end {
            return Ok(());
        }
        let new_samples = state
            .samples
            .get(state.samples.len().saturating_sub(state.samples_since_pass)..)
            .unwrap_or_default();
        let is_silent = new_samples.iter().all(|sample| sample.abs() <= MAX_SILENT_AMPLITUDE);
        if !is_silent {
            state.speech_samples += state.samples_since_pass;
        }
        state.samples_since_pass = 0;
        let has_speech = state.speech_samples > 0;
        // A silent step is a pause: all words before it are complete.
        let is_pause = is_end || is_silent;
        let options = self.options();
        let min_samples = match options.task {
            SpeechTask::Translate => MIN_TRANSLATION_SAMPLES,
            SpeechTask::Transcribe if options.language.is_none() => MIN_DETECTION_SAMPLES,
            // Early guesses are revised, and to wait after each pause would make replies late.
            SpeechTask::Transcribe => 0,
        };
        let has_enough_audio = is_pause || self.state.samples.len() >= min_samples;
        if has_speech && has_enough_audio {
            self.decode(&options, is_pause, is_end)?;
        }
        if is_pause {
            self.language.end_phrase(self.state.speech_samples);
            self.state.reset();
        } else {
            self.state.drop_old_audio();
        }
        Ok(())
    }

    /// Returns the options of a pass: those of the speech, with the detected language if it is
    /// kept.
    fn options(&self) -> Arc<Options> {
        if self.options.language.is_some() || !self.language.is_kept {
            return Arc::clone(&self.options);
        }
        Arc::new(Options {
            language: Some(self.language.code.clone()),
            ..Options::clone(&self.options)
        })
    }

    /// Decodes the words after the final ones.
    fn decode(
        &mut self,
        options: &Arc<Options>,
        is_pause: bool,
        is_end: bool,
    ) -> Result<(), RecognizeError> {
        let state = &self.state;
        let prefix = Prefix {
            context: state.context.clone(),
            tokens: tokens(&state.forced),
            tentative: tokens(&state.tentative),
            frame_threshold: self.policy.frame_threshold,
            padding: self.policy.padding,
            is_end: is_pause,
        };
        let mut samples = state.samples.clone();
        if is_end {
            samples.resize(samples.len() + TRAILING_SILENCE_SAMPLES, 0.0);
        }
        let is_detecting = options.language.is_none();
        let continuation = self.transcriber.continue_text(samples, options.clone(), prefix);
        let Continuation {
            mut words,
            language,
            language_margin,
            earliest_next_word,
            retained_tokens,
        } = continuation.map_err(recognize_error)?;
        self.state.retain_forced(retained_tokens);
        if is_detecting && !words.is_empty() {
            self.language.update(language, language_margin, self.state.speech_samples);
        }
        merge_punctuation(&mut words, options.punctuation());
        self.state.revise(words, earliest_next_word);
        Ok(())
    }
}

impl State {
    /// Returns the words that are not committed.
    fn words(&self) -> Vec<Word> {
        let tentative = self.tentative.iter().filter_map(spoken_word);
        self.uncommitted.iter().cloned().chain(tentative).collect()
    }

    /// Commits the first words that are not committed, at most all of them.
    fn commit(&mut self, count: usize) {
        let final_count = count.min(self.uncommitted.len());
        self.uncommitted.drain(..final_count);
        let Some(last) = (count - final_count).checked_sub(1) else { return };
        // A punctuation mark before a committed word is not a word, but part of the text.
        let words = (1..).zip(&self.tentative).filter(|(_, word)| spoken_word(word).is_some());
        let length = words.map(|(length, _)| length).nth(last).unwrap_or(self.tentative.len());
        self.finalize(length);
    }

    /// Makes all words final.
    fn finalize_all(&mut self) {
        self.uncommitted.extend(self.tentative.iter().filter_map(spoken_word));
        self.finalize(self.tentative.len());
    }

    /// Makes the first tentative words final, including punctuation marks.
    fn finalize(&mut self, count: usize) {
        for word in self.tentative.drain(..count) {
            self.last_end = word.end;
            self.forced.push(word);
        }
    }

    /// Forgets the final words after this many tokens, so that they are not forced again.
    fn retain_forced(&mut self, tokens: usize) {
        let mut length = 0;
        self.forced.retain(|word| {
            length += word.tokens.len();
            length <= tokens
        });
    }

    /// Replaces the tentative words by those of another pass. All times of the arguments are from
    /// the start of the audio.
    fn revise(&mut self, words: Vec<TimedWord>, earliest_next_word: f64) {
        let shift = seconds(self.dropped_samples);
        let mut last_end = self.last_end;
        self.tentative = words;
        self.tentative.retain(|word| !word.tokens.is_empty());
        for word in &mut self.tentative {
            word.start = (word.start + shift).max(last_end);
            word.end = (word.end + shift).max(word.start);
            last_end = word.end;
        }
        self.earliest_next_word = (earliest_next_word + shift).max(last_end);
    }

    /// Drops audio and words before a pause, except for a short silence before the next word. The
    /// text before a pause is not a prompt: Whisper tends to repeat it.
    fn reset(&mut self) {
        self.finalize_all();
        let excess_samples = self.samples.len().saturating_sub(STEP_SAMPLES);
        self.drop_first(excess_samples);
        self.forced.clear();
        self.context.clear();
        self.speech_samples = 0;
        self.earliest_next_word =
            self.earliest_next_word.max(seconds(self.dropped_samples + self.samples.len()));
        self.last_end = self.earliest_next_word;
    }

    /// Drops the beginning of the audio if it is too long; its words become the prompt. Audio after
    /// the last final word stays, up to the encoder's window.
    fn drop_old_audio(&mut self) {
        let length =
            |words: &[TimedWord]| words.iter().map(|word| word.tokens.len()).sum::<usize>();
        if self.samples.len() <= MAX_PASS_SAMPLES && length(&self.forced) <= MAX_FORCED_TOKENS {
            return;
        }
        // The next pass would lack the audio of tentative words.
        if self.samples.len() > MAX_BUFFERED_SAMPLES {
            self.finalize_all();
        }
        let retained_from =
            seconds(self.dropped_samples + self.samples.len().saturating_sub(RETAINED_SAMPLES));
        let mut count = self.forced.iter().take_while(|word| word.start < retained_from).count();
        // The text can be too long for audio that is not.
        while length(self.forced.get(count..).unwrap_or_default()) > MAX_FORCED_TOKENS {
            count += (self.forced.len() - count).div_ceil(2);
        }
        // The cut is before a word, or after the last one, so that the forced words are those of
        // the audio.
        let cut_time = self.forced.get(count).map_or(self.last_end, |word| word.start);
        let tokens = self.forced.drain(..count).flat_map(|word| word.tokens);
        self.context.extend(tokens);
        self.context.drain(..self.context.len().saturating_sub(MAX_CONTEXT_TOKENS));
        let excess_samples =
            ((cut_time * SAMPLE_RATE as f64) as usize).saturating_sub(self.dropped_samples);
        let excess_samples =
            excess_samples.max(self.samples.len().saturating_sub(MAX_BUFFERED_SAMPLES));
        self.drop_first(excess_samples.min(self.samples.len()));
    }

    fn drop_first(&mut self, count: usize) {
        self.samples.drain(..count);
        self.dropped_samples += count;
    }
}

fn seconds(samples: usize) -> f64 {
    samples as f64 / SAMPLE_RATE as f64
}

/// Returns the tokens of all words.
fn tokens(words: &[TimedWord]) -> Vec<u32> {
    words.iter().flat_map(|word| &word.tokens).copied().collect()
}

/// Returns a word without white space around it; `None` for a punctuation mark.
fn spoken_word(word: &TimedWord) -> Option<Word> {
    word.text.contains(char::is_alphanumeric).then(|| Word {
        text: trim(&word.text).to_owned(),
        start: word.start,
        end: word.end,
    })
}

#[cfg(test)]
mod tests;
