//! Transcription of one recording: windows of 30 s in order, each with temperature fallback.

use std::sync::Arc;

use crate::TranscribeError;
use crate::align::Alignment;
use crate::decoder::{Cache, EncoderMemory, Row};
use crate::encoder::Buffers;
use crate::kernel::softmax;
use crate::mel::{Features, WINDOW_FRAMES};
use crate::model::Model;
use crate::options::Options;
use crate::rules::Rules;
use crate::search::{Hypothesis, Search, SearchTask, Strategy};
use crate::segments::{SegmentDraft, SplitWindow, seconds, split};
use crate::words::{attach_words, last_end, time_words};

mod continuation;
mod fallback;
mod language;
mod zlib;

pub(crate) use continuation::{Continuation, Prefix};
use fallback::{Attempt, Decision, decide, is_silent};

/// Maximum number of tokens of prompt and text together: the length of the model's context.
pub(crate) const CONTEXT_TOKENS: usize = 448;

/// A word with its start and end.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// Text of the word, including its leading space.
    pub text: String,
    /// Start of the word, in seconds.
    pub start: f64,
    /// End of the word, in seconds.
    pub end: f64,
    /// Mean probability of the word's tokens.
    pub probability: f64,
}

/// A segment of text between two timestamps.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// First frame (10 ms each) of the segment's window.
    pub seek: usize,
    /// Start of the segment, in seconds.
    pub start: f64,
    /// End of the segment, in seconds.
    pub end: f64,
    /// Text of the segment, including its leading space.
    pub text: String,
    /// Tokens of the segment, including timestamps.
    pub tokens: Vec<u32>,
    /// Temperature at which the window was decoded.
    pub temperature: f64,
    /// Average log probability of the window's tokens.
    pub average_log_probability: f64,
    /// zlib compression ratio of the window's text.
    pub compression_ratio: f64,
    /// Probability that the window contains no speech.
    pub no_speech_probability: f32,
    /// Words; empty unless `word_timestamps` is set in the options.
    pub words: Vec<Word>,
}

/// Transcription of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcription {
    /// Segments in order of time.
    pub segments: Vec<Segment>,
    /// Language code of the recording, such as `en`.
    pub language: String,
    /// Probability of the language; 1 if it was set in the options.
    pub language_probability: f32,
    /// Number of decoded windows.
    pub windows: usize,
}

/// A window that is being decoded.
struct Window {
    memory: Arc<EncoderMemory>,
    frames: usize,
    prompt: Vec<u32>,
    attempts: Vec<Attempt>,
}

/// Transcription state of one recording.
pub(crate) struct Recording {
    model: Arc<Model>,
    options: Arc<Options>,
    features: Features,
    rules: Arc<Rules>,
    language: String,
    language_probability: f32,
    /// Initial tokens: start-of-transcript token, language and task.
    start_tokens: Vec<u32>,
    seek: usize,
    previous_tokens: Vec<u32>,
    prompt_reset_at: usize,
    last_speech: f64,
    window: Option<Window>,
    windows: usize,
    segments: Vec<Segment>,
    /// Test replacement for the alignment of text tokens with the frames of a window.
    #[cfg(test)]
    pub(crate) alignment: Option<fn(&[u32], usize) -> Alignment>,
}

impl Recording {
    /// Creates the state of a recording from samples at 16 kHz.
    pub(crate) fn new(model: Arc<Model>, options: Arc<Options>, samples: &[f32]) -> Self {
        let features = model.log_mel.features(samples);
        let latest_first_step =
            (options.max_initial_timestamp / 0.02).round_ties_even().max(0.0) as u32;
        let vocabulary = &model.vocabulary;
        let rules = Rules::new(
            vocabulary.special(),
            vocabulary.suppressed(),
            &model.config.suppress_at_begin,
            latest_first_step,
        );
        Self {
            rules: Arc::new(rules),
            features,
            language: String::new(),
            language_probability: 0.0,
            start_tokens: Vec::new(),
            seek: 0,
            previous_tokens: Vec::new(),
            prompt_reset_at: 0,
            last_speech: 0.0,
            window: None,
            windows: 0,
            segments: Vec::new(),
            #[cfg(test)]
            alignment: None,
            model,
            options,
        }
    }

    /// Returns the number of frames without padding.
    fn content_frames(&self) -> usize {
        self.features.frames() - 1
    }

    /// Encodes the next window and returns its first search; `None` at the end of the recording.
    pub(crate) fn next_window(
        &mut self,
        buffers: &mut Buffers,
        cache: &mut Cache,
    ) -> Result<Option<Search>, TranscribeError> {
        if self.seek >= self.content_frames() {
            return Ok(None);
        }
        let frames = WINDOW_FRAMES.min(self.content_frames() - self.seek);
        let memory = self.model.encode_audio(buffers, &self.features.window(self.seek, frames))?;
        if self.start_tokens.is_empty() {
            self.set_language(buffers, cache, &memory)?;
        }
        let prompt = self.prompt();
        self.windows += 1;
        self.window =
            Some(Window { memory: Arc::new(memory), frames, prompt, attempts: Vec::new() });
        Ok(self.search())
    }

    /// Handles the result of a search. Returns the next search, at a higher temperature or for the
    /// next window; `None` at the end of the recording.
    pub(crate) fn accept(
        &mut self,
        buffers: &mut Buffers,
        cache: &mut Cache,
        hypothesis: Hypothesis,
        no_speech_probability: f32,
    ) -> Result<Option<Search>, TranscribeError> {
        let Some(window) = &mut self.window else { return Ok(None) };
        let temperature =
            self.options.temperatures.get(window.attempts.len()).copied().unwrap_or(0.0);
        let text = self.model.vocabulary.decode(&hypothesis.tokens);
        let attempt = Attempt::new(
            hypothesis,
            no_speech_probability,
            temperature,
            compression_ratio(crate::vocabulary::trim(&text)),
            f64::from(self.options.length_penalty),
        );
        window.attempts.push(attempt);
        let is_last = window.attempts.len() >= self.options.temperatures.len();
        if let Decision::Retry = decide(&self.options, &window.attempts)
            && !is_last
        {
            return Ok(self.search());
        }
        self.finish_window(buffers, cache)?;
        self.next_window(buffers, cache)
    }

    /// Returns the finished transcription.
    pub(crate) fn into_transcription(self) -> Transcription {
        Transcription {
            segments: self.segments,
            language: self.language,
            language_probability: self.language_probability,
            windows: self.windows,
        }
    }

    /// Builds the prompt of a window: the preceding text, start of transcript, language and task.
    fn prompt(&self) -> Vec<u32> {
        self.prompt_after(self.previous_tokens.get(self.prompt_reset_at..).unwrap_or_default())
    }

    /// Builds the prompt after a text, of which at most half a context is used.
    fn prompt_after(&self, previous: &[u32]) -> Vec<u32> {
        let mut prompt = Vec::new();
        if !previous.is_empty() {
            prompt.push(self.model.vocabulary.special().start_of_previous);
            prompt.extend(
                previous.iter().skip(previous.len().saturating_sub(CONTEXT_TOKENS / 2 - 1)),
            );
        }
        prompt.extend(&self.start_tokens);
        prompt
    }

    /// Creates the search at the window's next temperature.
    fn search(&self) -> Option<Search> {
        let window = self.window.as_ref()?;
        let options = &self.options;
        let temperature = options.temperatures.get(window.attempts.len()).copied().unwrap_or(0.0);
        let strategy = if temperature > 0.0 {
            let seed = (self.seek as u64) << 8 | window.attempts.len() as u64;
            Strategy::Sample { count: options.best_of, temperature: temperature as f32, seed }
        } else {
            Strategy::Beam { beams: options.beam_size, patience: options.patience }
        };
        let prompt = window.prompt.clone();
        let total = options
            .max_new_tokens
            .map_or(CONTEXT_TOKENS, |tokens| prompt.len() + tokens)
            .min(CONTEXT_TOKENS);
        let max_tokens = (total / 2).min(total - (prompt.len() - 1));
        Some(Search::new(SearchTask {
            memory: window.memory.clone(),
            transcript_start: prompt.len() - self.start_tokens.len(),
            prompt,
            rules: self.rules.clone(),
            strategy,
            length_penalty: options.length_penalty,
            max_tokens,
            no_speech_token: self.model.vocabulary.special().no_speech,
        }))
    }

    /// Appends the segments of a decoded window, advances to the next window, and keeps the memory
    /// for it.
    fn finish_window(
        &mut self,
        buffers: &mut Buffers,
        cache: &mut Cache,
    ) -> Result<(), TranscribeError> {
        let Some(mut window) = self.window.take() else { return Ok(()) };
        self.append_segments(buffers, cache, &mut window)?;
        buffers.memories.extend(Arc::into_inner(window.memory));
        Ok(())
    }

    /// Appends the segments of a decoded window and advances to the next window.
    fn append_segments(
        &mut self,
        buffers: &mut Buffers,
        cache: &mut Cache,
        window: &mut Window,
    ) -> Result<(), TranscribeError> {
        let Some(attempt) = fallback::choose(&self.options, std::mem::take(&mut window.attempts))
        else {
            return Ok(());
        };
        if is_silent(&self.options, &attempt, 1.0) {
            self.seek += window.frames;
            return Ok(());
        }
        let special = self.model.vocabulary.special();
        let (begin, end_of_text) = (special.timestamp_begin(), special.end_of_text);
        let window_start = self.seek;
        let SplitWindow { mut drafts, mut seek, ends_in_timestamp } =
            split(&attempt.tokens, begin, window_start, window.frames);
        if self.options.word_timestamps {
            let text: Vec<u32> = drafts
                .iter()
                .flat_map(|draft| &draft.tokens)
                .copied()
                .filter(|token| *token < end_of_text)
                .collect();
            let words = if text.is_empty() {
                Vec::new()
            } else {
                let alignment = self.align(buffers, cache, window, &text)?;
                let tokens: Vec<u32> = text.into_iter().chain([end_of_text]).collect();
                time_words(self.model.vocabulary.split_words(&tokens, &self.language), &alignment)
            };
            attach_words(
                &mut drafts,
                words,
                window_start,
                end_of_text,
                self.options.punctuation(),
                self.last_speech,
            );
            let end = last_end(&drafts);
            if let Some(end) = end {
                if !ends_in_timestamp && end > seconds(window_start) {
                    seek = (end * crate::mel::FRAMES_PER_SECOND as f64).round_ties_even() as usize;
                }
                self.last_speech = end;
            }
        }
        // A window that does not advance would be decoded forever.
        self.seek = if seek > window_start { seek } else { window_start + window.frames };
        for draft in drafts {
            self.push_segment(draft, window_start, &attempt);
        }
        if !self.options.condition_on_previous_text
            || attempt.temperature > self.options.prompt_reset_on_temperature
        {
            self.prompt_reset_at = self.previous_tokens.len();
        }
        Ok(())
    }

    fn align(
        &self,
        buffers: &mut Buffers,
        cache: &mut Cache,
        window: &Window,
        text: &[u32],
    ) -> Result<Alignment, TranscribeError> {
        #[cfg(test)]
        if let Some(alignment) = self.alignment {
            return Ok(alignment(text, window.frames));
        }
        self.model.align(buffers, cache, &window.memory, &self.start_tokens, text, window.frames)
    }

    #[allow(clippy::float_cmp)] // Same comparison as in the reference.
    fn push_segment(&mut self, draft: SegmentDraft, seek: usize, attempt: &Attempt) {
        let text = self.model.vocabulary.decode(&draft.tokens);
        if draft.start == draft.end || crate::vocabulary::trim(&text).is_empty() {
            return;
        }
        self.previous_tokens.extend(&draft.tokens);
        let words = draft.words.into_iter().map(|word| Word {
            text: word.text,
            start: word.start,
            end: word.end,
            probability: word.probability,
        });
        self.segments.push(Segment {
            seek,
            start: draft.start,
            end: draft.end,
            text,
            tokens: draft.tokens,
            temperature: attempt.temperature,
            average_log_probability: attempt.average_log_probability,
            compression_ratio: attempt.compression_ratio,
            no_speech_probability: attempt.no_speech_probability,
            words: words.collect(),
        });
    }
}

/// Computes the ratio of the text's length in bytes to its zlib-compressed length.
fn compression_ratio(text: &str) -> f64 {
    text.len() as f64 / zlib::compressed_length(text.as_bytes()) as f64
}

#[cfg(test)]
mod tests;
