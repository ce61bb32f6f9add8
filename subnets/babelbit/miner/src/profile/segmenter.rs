use std::mem;

/// Block size for loudness in samples: 20 ms at 24 kHz.
const BLOCK_SAMPLES: usize = 480;
/// Pause that ends a phrase, in blocks: 100 ms, longer than the stops within words.
const PAUSE_BLOCKS: usize = 5;
/// Pause that separates sentences, in blocks: 180 ms.
const SENTENCE_PAUSE_BLOCKS: usize = 9;
/// Minimum number of loud blocks in a phrase: 0.4 s.
const MIN_LOUD_BLOCKS: usize = 20;
/// Number of blocks after which speech without a pause is cut.
const MAX_BLOCKS: usize = 110;
/// Number of blocks after which a phrase that is still too long is reported again: 0.5 s.
const RECHECK_BLOCKS: usize = 25;
/// Absolute loudness below which a block is quiet.
const MIN_LOUDNESS: f32 = 0.001;
/// Loudness relative to the surrounding speech below which a block is quiet.
const MIN_RELATIVE_LOUDNESS: f32 = 0.02;
/// Decay of the surrounding speech's level per block: by half in 2 s.
const LEVEL_DECAY: f32 = 0.993;

/// Segmentation stage: finds the ends of phrases in mono samples at 24 kHz.
pub(super) struct Segmenter {
    /// Samples since the start of the current phrase.
    pending: Vec<f32>,
    /// Whether each complete block of `pending` is loud.
    loud_blocks: Vec<bool>,
    /// Level of the surrounding speech.
    level: f32,
    /// Number of quiet blocks since the last loud one, across phrases.
    quiet_blocks: usize,
    /// Whether the current phrase starts a sentence.
    starts_sentence: bool,
    /// Number of blocks at which the phrase is reported as too long.
    report_length: usize,
}

/// Result of a scan by [`Segmenter::scan`].
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ScanResult {
    /// A phrase ended, at a pause or at the end of the source.
    Phrase(Phrase),
    /// The phrase is too long: inspect [`Segmenter::pending`] and [`Segmenter::cut`] it, or wait
    /// for the next report.
    TooLong,
}

/// Speech from one pause to the next.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Phrase {
    pub(super) samples: Vec<f32>,
    /// Whether a clear pause or the start of the source preceded the phrase.
    pub(super) starts_sentence: bool,
}

impl Segmenter {
    pub(super) fn new() -> Self {
        Self {
            pending: Vec::new(),
            loud_blocks: Vec::new(),
            level: 0.0,
            quiet_blocks: SENTENCE_PAUSE_BLOCKS,
            starts_sentence: true,
            report_length: MAX_BLOCKS,
        }
    }

    /// Appends samples. Call [`Segmenter::scan`] until it returns `None`.
    pub(super) fn push(&mut self, samples: impl IntoIterator<Item = f32>) {
        self.pending.extend(samples);
    }

    /// Scans up to the end of the next phrase. `is_last` means that the source has ended.
    pub(super) fn scan(&mut self, is_last: bool) -> Option<ScanResult> {
        while let Some(block) = self.pending.get(
            self.loud_blocks.len() * BLOCK_SAMPLES..(self.loud_blocks.len() + 1) * BLOCK_SAMPLES,
        ) {
            let loudness = (block.iter().map(|sample| sample * sample).sum::<f32>()
                / BLOCK_SAMPLES as f32)
                .sqrt();
            self.level = loudness.max(self.level * LEVEL_DECAY);
            let is_loud = loudness > MIN_LOUDNESS.max(self.level * MIN_RELATIVE_LOUDNESS);
            if is_loud {
                if !self.loud_blocks.contains(&true) {
                    self.starts_sentence = self.quiet_blocks >= SENTENCE_PAUSE_BLOCKS;
                }
                self.quiet_blocks = 0;
            } else {
                self.quiet_blocks += 1;
            }
            self.loud_blocks.push(is_loud);
            let loud_count = self.loud_blocks.iter().filter(|is_loud| **is_loud).count();
            if loud_count == 0 {
                self.drop_leading_silence();
            } else if loud_count >= MIN_LOUD_BLOCKS && self.quiet_blocks == PAUSE_BLOCKS {
                return Some(ScanResult::Phrase(
                    self.take_phrase(self.loud_blocks.len() * BLOCK_SAMPLES),
                ));
            } else if self.loud_blocks.len() >= self.report_length {
                self.report_length = self.loud_blocks.len() + RECHECK_BLOCKS;
                return Some(ScanResult::TooLong);
            }
        }
        let has_last_phrase = is_last && self.loud_blocks.contains(&true);
        has_last_phrase.then(|| ScanResult::Phrase(self.take_phrase(self.pending.len())))
    }

    /// Returns the samples of the current phrase.
    pub(super) fn pending(&self) -> &[f32] {
        &self.pending
    }

    /// Whether the current phrase starts a sentence.
    pub(super) fn starts_sentence(&self) -> bool {
        self.starts_sentence
    }

    /// Ends the current phrase near sample `position`, at the quietest point within 60 ms.
    pub(super) fn cut(&mut self, position: usize) -> Phrase {
        let energy = |sample: &usize| {
            let window = self
                .pending
                .get(sample.saturating_sub(BLOCK_SAMPLES / 4)..sample + BLOCK_SAMPLES / 4)
                .unwrap_or_default();
            window.iter().map(|sample| sample * sample).sum::<f32>()
        };
        let positions = (position.saturating_sub(3 * BLOCK_SAMPLES)
            ..(position + 3 * BLOCK_SAMPLES).min(self.pending.len()))
            .step_by(BLOCK_SAMPLES / 8);
        let quietest = positions.min_by(|a, b| energy(a).total_cmp(&energy(b)));
        let position = quietest
            .unwrap_or(position)
            .clamp(BLOCK_SAMPLES.min(self.pending.len()), self.pending.len());
        let phrase = self.take_phrase(position);
        self.starts_sentence = false;
        phrase
    }

    fn take_phrase(&mut self, position: usize) -> Phrase {
        let remaining = self.pending.split_off(position);
        let samples = mem::replace(&mut self.pending, remaining);
        // After a cut within a block, the loud flags shift by less than one block.
        self.loud_blocks.drain(..(position / BLOCK_SAMPLES).min(self.loud_blocks.len()));
        self.loud_blocks.truncate(self.pending.len() / BLOCK_SAMPLES);
        self.report_length = MAX_BLOCKS;
        Phrase { samples, starts_sentence: mem::take(&mut self.starts_sentence) }
    }

    /// Drops the silence before a phrase, except for its last [`PAUSE_BLOCKS`] blocks.
    fn drop_leading_silence(&mut self) {
        let surplus_blocks = self.loud_blocks.len().saturating_sub(PAUSE_BLOCKS);
        self.loud_blocks.drain(..surplus_blocks);
        self.pending.drain(..surplus_blocks * BLOCK_SAMPLES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Generates a tone or silence of this many milliseconds.
    fn sound(is_loud: bool, milliseconds: usize) -> Vec<f32> {
        let tone = |n: usize| if is_loud { (n as f32 * 0.1).sin() * 0.3 } else { 0.0 };
        (0..milliseconds * 24).map(tone).collect()
    }

    /// Returns the duration of each found phrase in milliseconds, and whether it starts a sentence.
    fn phrases(parts: &[(bool, usize)]) -> Vec<(usize, bool)> {
        let mut segmenter = Segmenter::new();
        let source: Vec<f32> =
            parts.iter().flat_map(|(loud, length)| sound(*loud, *length)).collect();
        let mut phrases_found = Vec::new();
        let frames: Vec<_> = source.chunks(1920).collect();
        for (number, frame) in frames.iter().enumerate() {
            segmenter.push(frame.iter().copied());
            while let Some(next) = segmenter.scan(number + 1 == frames.len()) {
                match next {
                    ScanResult::Phrase(phrase) => {
                        phrases_found.push((phrase.samples.len() / 24, phrase.starts_sentence));
                    }
                    ScanResult::TooLong => {
                        let starts_sentence = segmenter.starts_sentence;
                        let position = segmenter.pending().len() / 2;
                        phrases_found
                            .push((segmenter.cut(position).samples.len() / 24, starts_sentence));
                    }
                }
            }
        }
        phrases_found
    }

    #[test]
    fn long_pauses_end_phrases() {
        let phrases_found =
            phrases(&[(true, 1000), (false, 120), (true, 800), (false, 400), (true, 600)]);
        // The detected part of a pause counts towards the phrase before it.
        assert_eq!(phrases_found, [(1100, true), (920, false), (700, true)]);
    }

    #[test]
    fn short_gaps_and_short_words_end_no_phrase() {
        assert_eq!(phrases(&[(true, 600), (false, 60), (true, 600)]), [(1260, true)]);
        assert_eq!(phrases(&[(true, 200), (false, 150), (true, 600)]), [(950, true)]);
    }

    #[test]
    fn silence_has_no_phrases() {
        assert_eq!(phrases(&[(false, 5000)]), []);
        assert_eq!(phrases(&[(false, 2000), (true, 500)]).len(), 1);
    }

    #[test]
    fn uncut_phrase_is_reported_again() {
        let mut segmenter = Segmenter::new();
        segmenter.push(sound(true, 4000));
        let mut reported = Vec::new();
        while let Some(ScanResult::TooLong) = segmenter.scan(false) {
            reported.push(segmenter.loud_blocks.len());
        }
        assert_eq!(reported, [110, 135, 160, 185]);
    }

    #[test]
    fn speech_without_a_pause_is_cut() {
        let phrases_found = phrases(&[(true, 9000)]);
        assert!(phrases_found.len() > 3, "{phrases_found:?}");
        // Each length is rounded down to a millisecond.
        assert!(
            phrases_found.iter().map(|(length, _)| length).sum::<usize>().abs_diff(9000)
                <= phrases_found.len(),
            "{phrases_found:?}"
        );
        assert!(phrases_found.iter().skip(1).all(|(_, starts_sentence)| !starts_sentence));
    }
}
