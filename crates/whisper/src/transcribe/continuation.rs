//! AlignAtt: continuing the text of unfinished speech while the attention stays away from the end of the audio.
//!
//! The policy of Papi et al., "AlignAtt: Using Attention-based Audio-Translation Alignments as a Guide for Simultaneous
//! Speech Translation" (Interspeech 2023), with Whisper's alignment heads. Text that was final before is forced as a
//! prefix. Each further token has an encoder position to which the alignment heads attend most; a position near the end
//! of the audio means that the decoder lacks the rest of the word, and decoding stops.
#![allow(clippy::indexing_slicing)] // Rows and states whose numbers are set here.

use super::{Buffers, CONTEXT, Cache, Recording, Row, TranscribeError, WINDOW_FRAMES};
use crate::align::{Alignment, Attention, shortest_path};
use crate::decoder::{Capture, Memory, Slot};
use crate::kernel::log_sum_exp;
use crate::mel::FRAMES_PER_SECOND;
use crate::words::{POSITIONS_PER_SECOND, TimedWord, time_words};

/// Distance from the end of the audio, in encoder positions, at which decoding stops once the speech has ended.
const END_THRESHOLD: usize = 4;
/// Distance in encoder positions by which the attention may go back from one token to the next; more means that the
/// decoder repeats itself. As in SimulStreaming.
const MAX_REWIND: usize = 200;

/// Final text of unfinished speech, and how to continue it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Prefix {
    /// Tokens of the text before the audio.
    pub(crate) context: Vec<u32>,
    /// Tokens of the audio's final text.
    pub(crate) tokens: Vec<u32>,
    /// Distance from the end of the audio, in encoder positions of 20 ms, at which decoding stops.
    pub(crate) frame_threshold: usize,
    /// Silence encoded after the audio, in seconds; when absent, up to 30 s in all.
    pub(crate) padding: Option<f64>,
    /// Whether the speech has ended: all of its words are then final.
    pub(crate) is_end: bool,
}

/// Words that follow a [`Prefix`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Continuation {
    /// The complete words, with times from the start of the audio.
    pub(crate) words: Vec<TimedWord>,
    /// Language code of the speech, such as `en`.
    pub(crate) language: String,
    /// Time before which no further word starts, in seconds from the start of the audio.
    pub(crate) until: f64,
}

/// Result of greedy decoding.
struct Decoded {
    /// Accepted tokens after the prefix.
    tokens: Vec<u32>,
    /// Token after the accepted ones: the end of text, or a token that attends to the end of the audio.
    next: u32,
    /// Attention of all tokens, from the prompt to the accepted ones.
    attention: Attention,
}

impl Recording {
    /// Decodes the words that follow a prefix, up to those that may be cut by the end of the audio.
    pub(crate) fn continue_text(
        &mut self,
        buffers: &mut Buffers,
        cache: &mut Cache,
        prefix: &Prefix,
    ) -> Result<Continuation, TranscribeError> {
        let size = WINDOW_FRAMES.min(self.content());
        if size < 2 {
            return Ok(Continuation { words: Vec::new(), language: self.language.clone(), until: 0.0 });
        }
        let padding = prefix.padding.map_or(WINDOW_FRAMES, |seconds| (seconds * FRAMES_PER_SECOND as f64) as usize);
        let total = (size + padding).next_multiple_of(2).min(WINDOW_FRAMES);
        let memory = self.model.listen(buffers, &self.features.padded(0, size, total))?;
        if self.start.is_empty() {
            self.set_language(buffers, cache, &memory)?;
        }
        let mut slots = Vec::new();
        let decoded = self.decode_prefix(buffers, cache, &memory, &mut slots, prefix, size / 2);
        cache.release(&slots);
        buffers.memories.push(memory);
        let (words, until) = decoded?.map_or_else(|| (Vec::new(), 0.0), |decoded| self.complete_words(decoded, prefix));
        Ok(Continuation { words, language: self.language.clone(), until })
    }

    /// Decodes greedily after the prefix until the end of text, or until the attention reaches the end of the audio.
    /// `None` if there is no speech, or no further text.
    fn decode_prefix(
        &self,
        buffers: &mut Buffers,
        cache: &mut Cache,
        memory: &Memory,
        slots: &mut Vec<Slot>,
        prefix: &Prefix,
        positions: usize,
    ) -> Result<Option<Decoded>, TranscribeError> {
        let model = self.model.clone();
        let special = model.vocabulary.special();
        let mut tokens = self.prompt_after(&prefix.context);
        let start = tokens.len() - self.start.len();
        tokens.push(special.no_timestamps);
        tokens.extend_from_slice(&prefix.tokens);
        let forced = tokens.len();
        let threshold = if prefix.is_end { END_THRESHOLD } else { prefix.frame_threshold };
        let heads = &model.config.alignment_heads;
        let mut attention = Attention::new(heads.len(), positions);
        // Position of the last token.
        let mut latest = 0;
        let width = model.decoder.width();
        while tokens.len() < CONTEXT {
            let first = slots.len();
            slots.extend((first..tokens.len()).map(|_| cache.take()));
            let row = |(position, &token)| Row { token, position, memory: 0, slots: slots[..=position].to_vec() };
            let rows: Vec<Row> = tokens.iter().enumerate().skip(first).map(row).collect();
            let mut capture = Capture { heads, scores: vec![Vec::new(); heads.len()] };
            let states =
                model.decoder.forward(&buffers.gemm.clone(), buffers, cache, &[memory], &rows, Some(&mut capture))?;
            attention.append(capture.scores, memory.positions());
            let is_first = first == 0 && prefix.tokens.is_empty();
            if is_first && self.is_speechless(buffers, &states[start * width..][..width])? {
                return Ok(None);
            }
            model.decoder.logits(&buffers.gemm.clone(), buffers, &states[states.len() - width..])?;
            let mut next = self.best_token(&mut buffers.logits, is_first, true);
            let position = attention.position(attention.rows() - 1);
            if first == 0 && !prefix.tokens.is_empty() {
                latest = attention.position(forced - 2);
                // Without timestamps, Whisper tends to end the text with a sentence although the speech goes on. As in
                // SimulStreaming, a pass tries one more token; here only if the decoder attends to later audio.
                if next == special.end_of_text && !prefix.is_end && position > latest {
                    next = self.best_token(&mut buffers.logits, is_first, false);
                }
            }
            let is_end = next == special.end_of_text;
            if !is_end && position + MAX_REWIND < latest {
                return Ok(None);
            }
            if is_end || positions - position <= threshold {
                return Ok(Some(Decoded { tokens: tokens.split_off(forced), next, attention }));
            }
            latest = position;
            tokens.push(next);
        }
        Ok(None)
    }

    /// Returns whether the decoder state at the start of the transcript indicates that there is no speech.
    fn is_speechless(&self, buffers: &mut Buffers, state: &[f32]) -> Result<bool, TranscribeError> {
        let Some(threshold) = self.options.no_speech_threshold else { return Ok(false) };
        self.model.decoder.logits(&buffers.gemm.clone(), buffers, state)?;
        let (total, _) = log_sum_exp(&buffers.logits);
        let no_speech = self.model.vocabulary.special().no_speech as usize;
        Ok(buffers.logits.get(no_speech).is_some_and(|logit| f64::from((logit - total).exp()) > threshold))
    }

    /// Returns the most probable token that is text or the end of text. `is_first` excludes tokens that must not begin
    /// a text.
    fn best_token(&self, logits: &mut [f32], is_first: bool, may_end: bool) -> u32 {
        let end_of_text = self.model.vocabulary.special().end_of_text;
        let at_begin: &[u32] = if is_first { &self.rules.suppressed_at_begin } else { &[] };
        for &token in self.rules.suppressed.iter().chain(at_begin) {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = crate::rules::FORBIDDEN;
            }
        }
        // Special tokens and timestamps follow the end of text.
        let text = (0..end_of_text + u32::from(may_end)).zip(&*logits);
        text.max_by(|a, b| a.1.total_cmp(b.1)).map_or(end_of_text, |(token, _)| token)
    }

    /// Returns the accepted words that the next token does not continue, with their times, and the time before which no
    /// further word starts.
    fn complete_words(&self, decoded: Decoded, prefix: &Prefix) -> (Vec<TimedWord>, f64) {
        let Decoded { mut tokens, next, attention } = decoded;
        let end_of_text = self.model.vocabulary.special().end_of_text;
        // Each row predicts a token: those of the text, and the next one.
        let rows = prefix.tokens.len() + tokens.len() + 1;
        let matrix = attention.filtered(attention.rows() - rows, rows);
        let path = shortest_path(&matrix, rows, attention.positions());
        tokens.push(if prefix.is_end { end_of_text } else { next });
        let new = self.model.vocabulary.split_words(&tokens, &self.language);
        let words = [(String::new(), prefix.tokens.clone())].into_iter().chain(new).collect();
        // Without the last word, which contains the next token: it is complete only if that token begins another word.
        let mut timed = time_words(words, &Alignment { path, probabilities: Vec::new() });
        let mut until = timed.last().map_or(0.0, |word| word.end);
        if next == end_of_text {
            // All that was said before the audio's last moments is in the text.
            let heard = attention.positions().saturating_sub(prefix.frame_threshold);
            until = until.max(heard as f64 / POSITIONS_PER_SECOND);
        }
        timed.drain(..1.min(timed.len()));
        (timed, until)
    }
}

#[cfg(test)]
mod tests;
