//! Token timestamps from the cross-attention of the alignment heads.
#![allow(clippy::indexing_slicing)] // Numeric loops over rows and positions whose bounds are set here.

use taonet_primitives::Word;

use crate::TranscribeError;
use crate::decoder::{AttentionCapture, Cache, EncoderMemory, Row};
use crate::encoder::Buffers;
use crate::kernel::{log_sum_exp, median, softmax};
use crate::mel::WINDOW_FRAMES;
use crate::model::Model;
use crate::options::option_error;
use crate::words::{POSITIONS_PER_SECOND, TimedWord, round_to_hundredths, time_words};

mod path;

pub(crate) use path::shortest_path;

/// Number of rows of logits computed at a time, to bound memory.
const BLOCK_ROWS: usize = 32;

/// Alignment of a window's text tokens with its audio.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Alignment {
    /// Pairs of token index and encoder position, in chronological order.
    pub(crate) path: Vec<(usize, usize)>,
    /// Probability of each text token.
    pub(crate) probabilities: Vec<f32>,
}

impl Model {
    /// Finds the timestamps of known words in a recording at 16 kHz of at most 30 s (forced
    /// alignment). `language` is the code of their language, such as `en`.
    ///
    /// Words keep their spelling in the result; a word without letters and digits gets no entry. As
    /// in a transcription, there is no pause between words: it is part of one of them.
    ///
    /// # Errors
    /// [`TranscribeError`] when the model does not support the language, the recording or the text
    /// is too long for one window, or a matrix product fails.
    pub fn time_words(
        &self,
        samples: &[f32],
        language: &str,
        words: &[&str],
    ) -> Result<Vec<Word>, TranscribeError> {
        let special = self.vocabulary.special();
        let mut start = vec![special.start_of_transcript];
        if self.is_multilingual() {
            let Some(token) = self.vocabulary.language_token(language) else {
                return option_error("language", "not supported by the model");
            };
            start.push(token);
            start.extend(special.transcribe);
        } else if language != "en" {
            return option_error("language", "the model understands English only");
        }
        let features = self.log_mel.features(samples);
        // The last frame is padding.
        let frames = features.frames() - 1;
        if frames > WINDOW_FRAMES {
            return option_error("samples", "the recording is longer than 30 s");
        }
        let words_with_tokens = words.iter().map(|word| {
            let mut tokens = self.vocabulary.encode(&format!(" {word}"));
            tokens.retain(|token| *token < special.end_of_text);
            ((*word).to_owned(), tokens)
        });
        let mut words_with_tokens: Vec<(String, Vec<u32>)> = words_with_tokens.collect();
        let text: Vec<u32> =
            words_with_tokens.iter().flat_map(|(_, tokens)| tokens).copied().collect();
        if text.is_empty() {
            return Ok(Vec::new());
        }
        // Before the text, the token that excludes timestamps; after it, the end of text.
        if start.len() + text.len() + 2 > self.decoder.context() {
            return option_error("words", "the text is too long for the model");
        }
        words_with_tokens.push((String::new(), vec![special.end_of_text]));
        let (mut buffers, mut cache) = (self.buffers(), self.decoder.cache());
        let memory = self.encode_audio(&mut buffers, &features.window(0, frames))?;
        let alignment = self.align(&mut buffers, &mut cache, &memory, &start, &text, frames)?;
        Ok(without_overlaps(time_words(words_with_tokens, &alignment)))
    }

    /// Aligns text tokens with the first `frames` frames of a window.
    pub(crate) fn align(
        &self,
        buffers: &mut Buffers,
        cache: &mut Cache,
        memory: &EncoderMemory,
        start: &[u32],
        text: &[u32],
        frames: usize,
    ) -> Result<Alignment, TranscribeError> {
        let special = self.vocabulary.special();
        let mut tokens = start.to_vec();
        tokens.push(special.no_timestamps);
        tokens.extend_from_slice(text);
        tokens.push(special.end_of_text);
        tokens.truncate(self.decoder.context());
        let slots: Vec<_> = tokens.iter().map(|_| cache.allocate()).collect();
        let rows: Vec<Row> = tokens
            .iter()
            .enumerate()
            .map(|(position, &token)| Row {
                token,
                position,
                memory: 0,
                slots: slots[..=position].to_vec(),
            })
            .collect();
        let heads = &self.config.alignment_heads;
        let mut capture = AttentionCapture { heads, scores: vec![Vec::new(); heads.len()] };
        let states = self.decoder.forward(
            &buffers.gemm.clone(),
            buffers,
            cache,
            &[memory],
            &rows,
            Some(&mut capture),
        );
        cache.release(&slots);
        let states = states?;
        let width = self.decoder.width();
        let first = start.len() * width;
        let probabilities =
            self.probabilities(buffers, &states[first..first + text.len() * width], text)?;
        let positions = frames / 2;
        if positions == 0 {
            return Ok(Alignment { path: Vec::new(), probabilities });
        }
        let mut attention = Attention::new(heads.len(), positions);
        attention.append(capture.scores, memory.positions());
        let matrix = attention.filtered_weights(start.len(), text.len() + 1);
        Ok(Alignment { path: shortest_path(&matrix, text.len() + 1, positions), probabilities })
    }

    /// Returns the probability of each token among all text tokens, given the decoder state before
    /// the token.
    fn probabilities(
        &self,
        buffers: &mut Buffers,
        states: &[f32],
        tokens: &[u32],
    ) -> Result<Vec<f32>, TranscribeError> {
        let end_of_text = self.vocabulary.special().end_of_text as usize;
        let mut probabilities = Vec::with_capacity(tokens.len());
        for (states, tokens) in
            states.chunks(BLOCK_ROWS * self.decoder.width()).zip(tokens.chunks(BLOCK_ROWS))
        {
            self.decoder.logits(&buffers.gemm.clone(), buffers, states)?;
            for (logits, &token) in buffers.logits.chunks_exact(self.decoder.tokens()).zip(tokens) {
                let (total, _) = log_sum_exp(&logits[..end_of_text]);
                probabilities
                    .push(logits.get(token as usize).map_or(0.0, |logit| (logit - total).exp()));
            }
        }
        Ok(probabilities)
    }
}

/// Returns the words with letters or digits, each of at least one position, after the end of the
/// one before.
fn without_overlaps(words: Vec<TimedWord>) -> Vec<Word> {
    let mut end = 0.0f64;
    let words = words.into_iter().filter(|word| word.text.contains(char::is_alphanumeric));
    words
        .map(|word| {
            let start = word.start.max(end);
            end = round_to_hundredths(word.end.max(start + 1.0 / POSITIONS_PER_SECOND));
            Word { text: word.text, start, end }
        })
        .collect()
}

/// Attention weights of the alignment heads over a window's positions with audio.
pub(crate) struct Attention {
    positions: usize,
    /// Weights after softmax, `[head][row][position]`.
    heads: Vec<Vec<f32>>,
    /// Sums over all rows, `[head][position]`: of the weights, and of their squares.
    sums: Vec<Vec<(f64, f64)>>,
}

impl Attention {
    /// Creates the attention of no rows.
    pub(crate) fn new(heads: usize, positions: usize) -> Self {
        Self {
            positions,
            heads: vec![Vec::new(); heads],
            sums: vec![vec![(0.0, 0.0); positions]; heads],
        }
    }

    /// Appends rows of captured scores, each of which has `width` encoder positions.
    pub(crate) fn append(&mut self, scores: Vec<Vec<f32>>, width: usize) {
        for ((weights, sums), scores) in self.heads.iter_mut().zip(&mut self.sums).zip(scores) {
            for row in scores.chunks_exact(width) {
                let from = weights.len();
                weights.extend_from_slice(&row[..self.positions]);
                softmax(&mut weights[from..]);
                for (sum, &weight) in sums.iter_mut().zip(&weights[from..]) {
                    sum.0 += f64::from(weight);
                    sum.1 += f64::from(weight) * f64::from(weight);
                }
            }
        }
    }

    /// Returns the number of encoder positions.
    pub(crate) fn positions(&self) -> usize {
        self.positions
    }

    /// Returns the number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.heads.first().map_or(0, |head| head.len() / self.positions.max(1))
    }

    /// Returns the mean weights over all heads, normalised over all rows and median-filtered over
    /// time, of `rows` rows starting at row `first`.
    pub(crate) fn filtered_weights(&self, first: usize, rows: usize) -> Vec<f32> {
        self.normalized(first, rows, self.heads.iter().map(|head| self.moments(head)))
    }

    /// Returns the mean and the standard deviation of a head's weights at each position.
    fn moments(&self, head: &[f32]) -> Vec<(f32, f32)> {
        let positions = self.positions;
        let count = self.rows() as f32;
        // In two passes over f32, as in the reference: word times depend on the last digits.
        let mut sums = vec![(0.0f32, 0.0f32); positions];
        for row in head.chunks_exact(positions) {
            for (sum, value) in sums.iter_mut().zip(row) {
                sum.0 += value;
            }
        }
        for sum in &mut sums {
            sum.0 /= count;
        }
        for row in head.chunks_exact(positions) {
            for (sum, value) in sums.iter_mut().zip(row) {
                sum.1 += (value - sum.0) * (value - sum.0);
            }
        }
        sums.into_iter().map(|(mean, squares)| (mean, (squares / count).sqrt())).collect()
    }

    /// Returns the position that a row attends to most. Takes time for one row only, however many
    /// there are.
    pub(crate) fn position(&self, row: usize) -> usize {
        let count = self.rows() as f64;
        let moments = self
            .sums
            .iter()
            .map(|sums| sums.iter().map(|&sums| mean_and_deviation(sums, count)).collect());
        let weights = self.normalized(row, 1, moments);
        weights
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(b.1))
            .map_or(0, |(position, _)| position)
    }

    /// Returns rows as [`Self::filtered_weights`] does, given the mean and the standard deviation
    /// at each position of each head.
    fn normalized(
        &self,
        first: usize,
        rows: usize,
        moments: impl Iterator<Item = Vec<(f32, f32)>>,
    ) -> Vec<f32> {
        let positions = self.positions;
        let mut mean = vec![0.0; rows * positions];
        let mut normalized = vec![0.0; positions];
        let mut filtered_weights = vec![0.0; positions];
        for (head, moments) in self.heads.iter().zip(moments) {
            let selected =
                head.chunks_exact(positions).skip(first).zip(mean.chunks_exact_mut(positions));
            for (row, mean) in selected {
                for ((to, value), (average, deviation)) in
                    normalized.iter_mut().zip(row).zip(&moments)
                {
                    *to = (value - average) / deviation;
                }
                median(&normalized, &mut filtered_weights);
                for (mean, value) in mean.iter_mut().zip(&filtered_weights) {
                    *mean += value / self.heads.len() as f32;
                }
            }
        }
        mean
    }
}

/// Returns the mean and the standard deviation of `count` weights, given the sum of the weights and
/// that of their squares.
fn mean_and_deviation((sum, squares): (f64, f64), count: f64) -> (f32, f32) {
    let mean = sum / count;
    let deviation = (squares / count - mean * mean).max(0.0).sqrt();
    // Weights that are equal in all rows differ from their mean by rounding errors only.
    (mean as f32, deviation.max(1e-6 * mean) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{model, noise};

    #[test]
    fn timed_words_are_ordered_and_not_empty() {
        let model = model();
        let text = ["Good", "day", "-", "3", "good", "days."];
        for seconds in [1, 30] {
            let timed = model.time_words(&noise(seconds * 16_000), "en", &text).unwrap();
            let texts: Vec<&str> = timed.iter().map(|word| &*word.text).collect();
            assert_eq!(texts, ["Good", "day", "3", "good", "days."]);
            assert!(timed.iter().all(|word| word.start < word.end), "{timed:?}");
            assert!(timed.windows(2).all(|pair| pair[0].end <= pair[1].start), "{timed:?}");
        }
        assert_eq!(model.time_words(&noise(16_000), "en", &[]).unwrap(), []);
        assert_eq!(model.time_words(&[], "en", &text).unwrap(), []);
    }

    #[test]
    fn words_and_recordings_beyond_one_window_are_refused() {
        let model = model();
        let refused = |seconds: usize, language: &str, words: usize| {
            let samples = noise(seconds * 16_000 + 160);
            model.time_words(&samples, language, &vec!["long"; words]).unwrap_err().to_string()
        };
        assert_eq!(refused(30, "en", 1), "option `samples`: the recording is longer than 30 s");
        assert_eq!(refused(1, "xx", 1), "option `language`: not supported by the model");
        assert_eq!(refused(1, "en", 448), "option `words`: the text is too long for the model");
    }

    /// Scores of rows that attend to one position each, with a further position without audio.
    fn scores(attended: &[usize], positions: usize) -> Vec<f32> {
        let row = |&at: &usize| {
            (0..=positions).map(move |position| if position.abs_diff(at) <= 3 { 4.0 } else { 0.0 })
        };
        attended.iter().flat_map(row).collect()
    }

    #[test]
    fn position_is_where_a_row_attends_most_after_normalisation() {
        let mut attention = Attention::new(2, 60);
        // All rows attend to the first position too, as real ones do: normalisation removes it.
        let with_common_scores = |mut scores: Vec<f32>| {
            scores.chunks_exact_mut(61).for_each(|row| row[..4].fill(9.0));
            scores
        };
        for attended in [[5, 12], [20, 31], [40, 50]] {
            let rows = with_common_scores(scores(&attended, 60));
            attention.append(vec![rows.clone(), rows], 61);
            for (row, expected) in (attention.rows() - 2..).zip(attended) {
                assert!(
                    attention.position(row).abs_diff(expected) <= 3,
                    "{} of {row}",
                    attention.position(row)
                );
            }
        }
        assert_eq!(attention.rows(), 6);
    }

    #[test]
    fn positions_do_not_depend_on_how_rows_are_appended() {
        let attended = [5, 12, 20, 31, 40, 50];
        let mut attention = Attention::new(1, 60);
        for count in 1..=attended.len() {
            attention.append(vec![scores(&attended[count - 1..count], 60)], 61);
            let mut at_once = Attention::new(1, 60);
            at_once.append(vec![scores(&attended[..count], 60)], 61);
            let positions = |attention: &Attention| {
                (0..count).map(|row| attention.position(row)).collect::<Vec<_>>()
            };
            assert_eq!(positions(&attention), positions(&at_once));
            // A single row is nowhere above its mean.
            let is_near = |(actual, expected): (usize, &usize)| actual.abs_diff(*expected) <= 3;
            assert!(
                count == 1 || positions(&attention).into_iter().zip(&attended).all(is_near),
                "{count} rows"
            );
        }
    }
}
