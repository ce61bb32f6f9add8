//! AlignAtt: continuing the text of unfinished speech while the attention stays away from the end
//! of the audio.
//!
//! The policy of Papi et al., "AlignAtt: Using Attention-based Audio-Translation Alignments as a
//! Guide for Simultaneous Speech Translation" (Interspeech 2023), with Whisper's alignment heads.
//! Text that was final before is forced as a prefix. Each further token has an encoder position to
//! which the alignment heads attend most; a position near the end of the audio means that the
//! decoder lacks the rest of the word, and decoding stops.
#![allow(clippy::indexing_slicing)] // Rows and states whose numbers are set here.

use super::fallback::{Attempt, is_silent};
use super::{
    Buffers, CONTEXT_TOKENS, Cache, Recording, Row, TranscribeError, WINDOW_FRAMES,
    compression_ratio,
};
use crate::align::{Alignment, Attention, shortest_path};
use crate::decoder::{AttentionCapture, EncoderMemory, Slot};
use crate::kernel::log_sum_exp;
use crate::mel::FRAMES_PER_SECOND;
use crate::options::SpeechTask;
use crate::vocabulary::{REPLACEMENT_CHARACTER, is_written_without_spaces, trim};
use crate::words::{POSITIONS_PER_SECOND, TimedWord, time_words};

/// Distance in encoder positions by which the attention may go back from one token to the next;
/// more means that the decoder repeats itself. As in SimulStreaming.
const MAX_REWIND: usize = 200;
/// Maximum number of tokens for each started second of audio after the final text: twice as many as
/// Whisper's maximum of 224 tokens in 30 s. More are a repetition within [`MAX_REWIND`].
const MAX_TOKENS_PER_SECOND: usize = 16;
/// Minimum number of times that the same tokens stand at the end of an endless repetition.
const MIN_REPETITIONS: usize = 4;
/// Maximum length of the repeated sequence, in tokens.
const MAX_PERIOD: usize = 12;
/// Number of words per second of audio above which a text is invented: twice the rate of fast
/// speech. Whisper does so in a language that it does not know.
const MAX_WORDS_PER_SECOND: f64 = 8.0;
/// Number of words that a text of any duration may have: word times are inexact.
const MIN_WORD_LIMIT: usize = 8;
/// Factor of the threshold for silence in windows shorter than 30 s. With base and the default
/// padding, uncertain texts of 5 s of white noise have probabilities of no speech from 0.52; all but
/// one of 27 recordings in nine languages have at most 0.33 once they have words.
const SHORT_WINDOW_NO_SPEECH_FACTOR: f64 = 0.75;
/// [`POSITIONS_PER_SECOND`] as an integer.
const POSITION_RATE: usize = POSITIONS_PER_SECOND as usize;
/// Distance between the last token and the end of the audio, in encoder positions, above which the
/// end of the text does not mean that nothing else was said: 1.6 s, the longest pause that need not
/// contain a silent step of 0.8 s.
const MAX_UNATTENDED: usize = 8 * POSITION_RATE / 5;

/// Final text of unfinished speech, and how to continue it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Prefix {
    /// Tokens of the text before the audio.
    pub(crate) context: Vec<u32>,
    /// Tokens of the audio's final text.
    pub(crate) tokens: Vec<u32>,
    /// Tokens that the last pass decoded after the final text.
    pub(crate) tentative: Vec<u32>,
    /// Distance from the end of the audio, in encoder positions of 20 ms, at which decoding stops.
    pub(crate) frame_threshold: usize,
    /// Silence encoded after the audio, in seconds; when absent, up to 30 s in all.
    pub(crate) padding: Option<f64>,
    /// Whether the speech has ended or pauses: all words of the audio are then final.
    pub(crate) is_end: bool,
}

impl Prefix {
    /// Returns whether a text that ends after these tokens is suspiciously short: as long as that
    /// of the last pass, which had less audio, or shorter. At the end, the last pass may have had
    /// all words.
    fn ends_too_early(&self, text: &[u32]) -> bool {
        let Some(new_tokens) = text.strip_prefix(&*self.tokens) else { return false };
        !text.is_empty()
            && self.tentative.starts_with(new_tokens)
            && (!self.is_end || new_tokens.len() < self.tentative.len())
    }
}

/// Words that follow a [`Prefix`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Continuation {
    /// The complete words, with times from the start of the audio.
    pub(crate) words: Vec<TimedWord>,
    /// Language code of the speech, such as `en`.
    pub(crate) language: String,
    /// Difference between the probabilities of the two best languages; 1 if the language was set.
    pub(crate) language_margin: f32,
    /// Time before which no further word starts, in seconds from the start of the audio.
    pub(crate) earliest_next_word: f64,
    /// Number of the prefix's tokens before an endless repetition, which must not be forced
    /// again; all tokens if there is none.
    pub(crate) retained_tokens: usize,
}

/// Result of greedy decoding.
struct DecodedPass {
    /// Accepted tokens after the prefix.
    tokens: Vec<u32>,
    /// Token after the accepted ones: the end of text, or a token that was not accepted.
    next: u32,
    /// Position to which the last token of the text attends most.
    last_position: usize,
    /// Whether the decoder ended the text after the tokens of the last pass and was made to continue.
    forced_past_end: bool,
    /// Attention of all tokens, from the prompt to the accepted ones.
    attention: Attention,
}

/// Decision on the most probable next token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// The token belongs to the text.
    Accept,
    /// The token ends the text, or needs more audio.
    Stop,
    /// The token repeats earlier text.
    Rewind,
}

/// Decides on the most probable next token.
///
/// `position` and `previous_position` are the encoder positions to which this token and the one
/// before it attend most, of `positions` in all. A token at most `threshold` positions from the end
/// of the audio needs more audio; without a threshold, no token does.
fn decide(
    is_end_of_text: bool,
    position: usize,
    previous_position: usize,
    positions: usize,
    threshold: Option<usize>,
) -> Decision {
    if is_end_of_text {
        return Decision::Stop;
    }
    if position + MAX_REWIND < previous_position {
        return Decision::Rewind;
    }
    match threshold {
        Some(threshold) if positions.saturating_sub(position) <= threshold => Decision::Stop,
        _ => Decision::Accept,
    }
}

impl Recording {
    /// Decodes the words that follow a prefix, up to those that may be cut by the end of the audio.
    pub(crate) fn continue_text(
        &mut self,
        buffers: &mut Buffers,
        cache: &mut Cache,
        prefix: &Prefix,
    ) -> Result<Continuation, TranscribeError> {
        let size = WINDOW_FRAMES.min(self.content_frames());
        if size < 2 {
            let (words, language) = (Vec::new(), self.language.clone());
            return Ok(Continuation {
                words,
                language,
                language_margin: 0.0,
                earliest_next_word: 0.0,
                retained_tokens: prefix.tokens.len(),
            });
        }
        // Less silence changes the detected language more often than the words.
        let is_detecting = self.options.language.is_none() && self.model.is_multilingual();
        let padding = prefix.padding.filter(|_| !is_detecting);
        let padding =
            padding.map_or(WINDOW_FRAMES, |seconds| (seconds * FRAMES_PER_SECOND as f64) as usize);
        let total = (size + padding).next_multiple_of(2).min(WINDOW_FRAMES);
        let memory =
            self.model.encode_audio(buffers, &self.features.padded_window(0, size, total))?;
        let language_margin = self.set_language(buffers, cache, &memory)?;
        let mut slots = Vec::new();
        let decoded = self.decode_prefix(buffers, cache, &memory, &mut slots, prefix, size / 2);
        cache.release(&slots);
        buffers.memories.push(memory);
        let (words, earliest_next_word, retained_tokens) = match decoded? {
            Some(decoded) => self.complete_words(decoded, prefix),
            None => (Vec::new(), 0.0, prefix.tokens.len()),
        };
        Ok(Continuation {
            words,
            language: self.language.clone(),
            language_margin,
            earliest_next_word,
            retained_tokens,
        })
    }

    /// Decodes greedily after the prefix until the end of text, or until the attention reaches the
    /// end of the audio or goes back. `None` if there is no speech.
    fn decode_prefix(
        &self,
        buffers: &mut Buffers,
        cache: &mut Cache,
        memory: &EncoderMemory,
        slots: &mut Vec<Slot>,
        prefix: &Prefix,
        positions: usize,
    ) -> Result<Option<DecodedPass>, TranscribeError> {
        let model = self.model.clone();
        let special = model.vocabulary.special();
        let mut tokens = self.prompt_after(&prefix.context);
        let start = tokens.len() - self.start_tokens.len();
        tokens.push(special.no_timestamps);
        tokens.extend_from_slice(&prefix.tokens);
        let (text_start, forced_count) = (tokens.len() - prefix.tokens.len(), tokens.len());
        if forced_count > CONTEXT_TOKENS {
            return Ok(None);
        }
        // At the end, all words are complete, and the last one attends to the end of the audio.
        let threshold = (!prefix.is_end).then_some(prefix.frame_threshold);
        let heads = &model.config.alignment_heads;
        let mut attention = Attention::new(heads.len(), positions);
        let (mut last_position, mut max_new_tokens, mut forced_past_end) = (0, 0, false);
        let (mut no_speech, mut log_probability) = (0.0, 0.0);
        let width = model.decoder.width();
        let next = loop {
            let first = slots.len();
            slots.extend((first..tokens.len()).map(|_| cache.allocate()));
            let rows: Vec<Row> = tokens
                .iter()
                .enumerate()
                .skip(first)
                .map(|(position, &token)| Row {
                    token,
                    position,
                    memory: 0,
                    slots: slots[..=position].to_vec(),
                })
                .collect();
            let mut capture = AttentionCapture { heads, scores: vec![Vec::new(); heads.len()] };
            let states = model.decoder.forward(
                &buffers.gemm.clone(),
                buffers,
                cache,
                &[memory],
                &rows,
                Some(&mut capture),
            )?;
            attention.append(capture.scores, memory.positions());
            let is_first = first == 0 && prefix.tokens.is_empty();
            if is_first && self.options.no_speech_threshold.is_some() {
                no_speech =
                    self.no_speech_probability(buffers, &states[start * width..][..width])?;
            }
            model.decoder.logits(
                &buffers.gemm.clone(),
                buffers,
                &states[states.len() - width..],
            )?;
            let (mut next, mut probability) = self.best_token(&mut buffers.logits, is_first, true);
            let position = attention.position(attention.rows() - 1);
            if first == 0 {
                if !prefix.tokens.is_empty() {
                    last_position = attention.position(forced_count - 2);
                }
                max_new_tokens =
                    max_tokens(positions - last_position).min(CONTEXT_TOKENS - forced_count);
            }
            // Without timestamps, Whisper tends to end the text with a sentence although the speech
            // goes on. As in SimulStreaming, a pass tries one more token; here only if the decoder
            // attends to later audio.
            if next == special.end_of_text
                && position > last_position
                && prefix.ends_too_early(&tokens[text_start..])
            {
                (next, probability) = self.best_token(&mut buffers.logits, is_first, false);
                // A token that the last pass also decoded is not invented by this one.
                forced_past_end = tokens.len() - forced_count == prefix.tentative.len();
            }
            log_probability += probability;
            let decision =
                decide(next == special.end_of_text, position, last_position, positions, threshold);
            tokens.push(next);
            let is_last = tokens.len() - forced_count > max_new_tokens
                || self.repetition_start(&tokens[text_start..]).is_some();
            if decision != Decision::Accept || is_last {
                tokens.pop();
                break next;
            }
            last_position = position;
        };
        let tokens = tokens.split_off(forced_count);
        let attempt = Attempt {
            average_log_probability: log_probability / (tokens.len() + 1) as f64,
            tokens,
            temperature: 0.0,
            compression_ratio: 0.0,
            no_speech_probability: no_speech,
        };
        let is_short = memory.positions() < WINDOW_FRAMES / 2;
        let factor = if is_short { SHORT_WINDOW_NO_SPEECH_FACTOR } else { 1.0 };
        if is_silent(&self.options, &attempt, factor) {
            return Ok(None);
        }
        Ok(Some(DecodedPass {
            tokens: attempt.tokens,
            next,
            last_position,
            forced_past_end,
            attention,
        }))
    }

    /// Returns the probability that there is no speech, given the decoder state at the start of the
    /// transcript.
    fn no_speech_probability(
        &self,
        buffers: &mut Buffers,
        state: &[f32],
    ) -> Result<f32, TranscribeError> {
        self.model.decoder.logits(&buffers.gemm.clone(), buffers, state)?;
        let (total, _) = log_sum_exp(&buffers.logits);
        let no_speech = self.model.vocabulary.special().no_speech as usize;
        Ok(buffers.logits.get(no_speech).map_or(0.0, |logit| (logit - total).exp()))
    }

    /// Returns the most probable token that is text or the end of text, and its log probability.
    /// `is_first` excludes tokens that must not begin a text.
    fn best_token(&self, logits: &mut [f32], is_first: bool, may_end: bool) -> (u32, f64) {
        let end_of_text = self.model.vocabulary.special().end_of_text;
        let at_begin: &[u32] = if is_first { &self.rules.suppressed_at_begin } else { &[] };
        for &token in self.rules.suppressed.iter().chain(at_begin) {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = crate::rules::FORBIDDEN;
            }
        }
        // Special tokens and timestamps follow the end of text.
        let text = &logits[..end_of_text as usize + usize::from(may_end)];
        let (total, _) = log_sum_exp(text);
        let best = (0..).zip(text).max_by(|a, b| a.1.total_cmp(b.1));
        best.map_or((end_of_text, 0.0), |(token, logit)| (token, f64::from(logit - total)))
    }

    /// Returns the accepted words that the next token does not continue, with their times, the time
    /// before which no further word starts, and the number of the prefix's tokens before a
    /// endless repetition.
    fn complete_words(
        &self,
        decoded: DecodedPass,
        prefix: &Prefix,
    ) -> (Vec<TimedWord>, f64, usize) {
        let DecodedPass { mut tokens, next, last_position, forced_past_end, attention } = decoded;
        let end_of_text = self.model.vocabulary.special().end_of_text;
        // Each row predicts a token: those of the text, and the next one.
        let rows = prefix.tokens.len() + tokens.len() + 1;
        let weights = attention.filtered_weights(attention.rows() - rows, rows);
        let path = shortest_path(&weights, rows, attention.positions());
        tokens.push(next);
        let text = [prefix.tokens.as_slice(), &tokens].concat();
        let before_repetition = self.repetition_start(&text).unwrap_or(text.len());
        let retained_tokens = before_repetition.min(prefix.tokens.len());
        let new_words = self.model.vocabulary.split_words(&tokens, self.text_language());
        let words = [(String::new(), prefix.tokens.clone())].into_iter().chain(new_words).collect();
        // Without the last word, which contains the next token: it is complete only if that token
        // begins another word.
        let mut timed_words = time_words(words, &Alignment { path, probabilities: Vec::new() });
        let count = timed_words.len();
        let prefix_end = timed_words.first().map_or(0.0, |word| word.end);
        timed_words.drain(..1.min(count));
        if forced_past_end && next == end_of_text {
            // The decoder ends the text again: the audio has no further word, and the forced one is
            // invented.
            timed_words.pop();
        }
        let mut length: usize = timed_words.iter().map(|word| word.tokens.len()).sum();
        // The last character of a text whose next token is not accepted may lack bytes.
        while timed_words.last().is_some_and(|word| {
            word.text.contains(REPLACEMENT_CHARACTER)
                || length > before_repetition - retained_tokens
        }) || self.is_repetitive(&timed_words)
        {
            length -= timed_words.pop().map_or(0, |word| word.tokens.len());
        }
        let audio_seconds = attention.positions() as f64 / POSITIONS_PER_SECOND;
        if self.is_too_dense(&timed_words, audio_seconds - prefix_end) {
            timed_words.clear();
        }
        let mut earliest_next_word = timed_words.last().map_or(prefix_end, |word| word.end);
        let is_complete = next == end_of_text && timed_words.len() + 1 == count;
        if is_complete
            && !forced_past_end
            && attention.positions() - last_position <= MAX_UNATTENDED
        {
            // All that was said before the audio's last moments is in the text.
            let attended_positions = attention.positions().saturating_sub(prefix.frame_threshold);
            earliest_next_word =
                earliest_next_word.max(attended_positions as f64 / POSITIONS_PER_SECOND);
        }
        (timed_words, earliest_next_word, retained_tokens)
    }

    /// Returns the language of the text: that of the speech, or English for a translation.
    fn text_language(&self) -> &str {
        match self.options.task {
            SpeechTask::Transcribe => &self.language,
            SpeechTask::Translate => "en",
        }
    }

    /// Returns the index at which an endless repetition begins, if the options have a threshold
    /// for repetitions.
    fn repetition_start(&self, tokens: &[u32]) -> Option<usize> {
        self.options.compression_ratio_threshold.and_then(|_| find_repetition(tokens))
    }

    /// Returns whether the words are too many for their duration in seconds, if the options have a
    /// threshold for repetitions: both detect texts that Whisper invents. In languages written
    /// without spaces, words are characters, and not counted.
    fn is_too_dense(&self, words: &[TimedWord], seconds: f64) -> bool {
        let count = words.iter().filter(|word| word.text.contains(char::is_alphanumeric)).count();
        self.options.compression_ratio_threshold.is_some()
            && !is_written_without_spaces(self.text_language())
            && count > MIN_WORD_LIMIT
            && count as f64 > MAX_WORDS_PER_SECOND * seconds
    }

    /// Returns whether words compress too well, as repetitions do.
    fn is_repetitive(&self, words: &[TimedWord]) -> bool {
        let Some(threshold) = self.options.compression_ratio_threshold else { return false };
        let text: String = words.iter().map(|word| word.text.as_str()).collect();
        compression_ratio(trim(&text)) > threshold
    }
}

/// Returns the index at which a repetition begins that lasts until the end of a text: four times
/// the same tokens, or five times the same one. Whisper repeats a sound that is cut for as long as
/// it may, and continues repetitions in its prefix.
fn find_repetition(tokens: &[u32]) -> Option<usize> {
    (1..=MAX_PERIOD)
        .filter_map(|period| {
            let pairs = tokens.iter().rev().zip(tokens.iter().rev().skip(period));
            let length = period + pairs.take_while(|(token, before)| token == before).count();
            (length >= MIN_REPETITIONS * period && length > MIN_REPETITIONS)
                .then(|| tokens.len() - length)
        })
        .min()
}

/// Returns the maximum number of tokens in audio of this many encoder positions.
fn max_tokens(positions: usize) -> usize {
    positions.div_ceil(POSITION_RATE).max(1) * MAX_TOKENS_PER_SECOND
}

#[cfg(test)]
mod tests;
