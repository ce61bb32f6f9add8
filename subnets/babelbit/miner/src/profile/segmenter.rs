use std::mem;

/// Samples in which loudness is measured: 20 ms at 24 kHz.
const BLOCK: usize = 480;
/// A pause of this many blocks ends a phrase: 100 ms, which stops within words stay below.
const PAUSE: usize = 5;
/// A pause of this many blocks, 180 ms, comes between sentences rather than within one.
const SENTENCE_PAUSE: usize = 9;
/// A phrase has at least this many loud blocks: 0.4 s.
const SHORTEST: usize = 20;
/// Speech without a pause is cut after this many blocks.
const LONGEST: usize = 110;
/// Where it was not cut, cutting is tried again after this many more: 0.5 s.
const AGAIN: usize = 25;
/// Loudness that is quiet whatever came before.
const FLOOR: f32 = 0.001;
/// What is this much softer than the speech around it is quiet.
const CONTRAST: f32 = 0.02;
/// How the measure of the speech around sinks with each block: by half in 2 s.
const DECAY: f32 = 0.993;

/// The stage that finds where phrases end, in mono samples at 24 kHz.
pub(super) struct Segmenter {
    /// Samples from the start of the present phrase.
    pending: Vec<f32>,
    /// For each complete block of `pending`: whether it is loud.
    loud: Vec<bool>,
    /// Loudness of the speech around.
    level: f32,
    /// Quiet blocks since the last loud one, also across phrases.
    quiet: usize,
    /// Whether the present phrase begins a sentence.
    begins: bool,
    /// With this many blocks the phrase is reported as too long.
    too_long: usize,
}

/// Where the present phrase stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    /// A phrase ended at a pause, or with the source.
    Phrase(Phrase),
    /// The phrase goes on for too long: look at [`Segmenter::pending`] and [`Segmenter::cut`] it, or wait for the next
    /// report.
    TooLong,
}

/// Speech from one pause to the next.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Phrase {
    pub(super) samples: Vec<f32>,
    /// Whether a clear pause or the start of the source came before it.
    pub(super) begins: bool,
}

impl Segmenter {
    pub(super) fn new() -> Self {
        Self {
            pending: Vec::new(),
            loud: Vec::new(),
            level: 0.0,
            quiet: SENTENCE_PAUSE,
            begins: true,
            too_long: LONGEST,
        }
    }

    /// Hears further samples. Call [`Segmenter::find`] until it finds nothing more.
    pub(super) fn hear(&mut self, samples: impl IntoIterator<Item = f32>) {
        self.pending.extend(samples);
    }

    /// Looks at what was heard, up to the end of the next phrase. `end` says that the source has ended.
    pub(super) fn find(&mut self, end: bool) -> Option<Found> {
        while let Some(block) = self.pending.get(self.loud.len() * BLOCK..(self.loud.len() + 1) * BLOCK) {
            let loudness = (block.iter().map(|sample| sample * sample).sum::<f32>() / BLOCK as f32).sqrt();
            self.level = loudness.max(self.level * DECAY);
            let loud = loudness > FLOOR.max(self.level * CONTRAST);
            if loud {
                if !self.loud.contains(&true) {
                    self.begins = self.quiet >= SENTENCE_PAUSE;
                }
                self.quiet = 0;
            } else {
                self.quiet += 1;
            }
            self.loud.push(loud);
            let spoken = self.loud.iter().filter(|loud| **loud).count();
            if spoken == 0 {
                self.forget_silence();
            } else if spoken >= SHORTEST && self.quiet == PAUSE {
                return Some(Found::Phrase(self.take(self.loud.len() * BLOCK)));
            } else if self.loud.len() >= self.too_long {
                self.too_long = self.loud.len() + AGAIN;
                return Some(Found::TooLong);
            }
        }
        let rest = end && self.loud.contains(&true);
        rest.then(|| Found::Phrase(self.take(self.pending.len())))
    }

    /// What was heard of the present phrase.
    pub(super) fn pending(&self) -> &[f32] {
        &self.pending
    }

    /// Whether the present phrase begins a sentence.
    pub(super) fn begins(&self) -> bool {
        self.begins
    }

    /// Ends the present phrase near sample `at`, at the quietest place within 60 ms.
    pub(super) fn cut(&mut self, at: usize) -> Phrase {
        let energy = |place: &usize| {
            let window = self.pending.get(place.saturating_sub(BLOCK / 4)..place + BLOCK / 4).unwrap_or_default();
            window.iter().map(|sample| sample * sample).sum::<f32>()
        };
        let places = (at.saturating_sub(3 * BLOCK)..(at + 3 * BLOCK).min(self.pending.len())).step_by(BLOCK / 8);
        let quietest = places.min_by(|a, b| energy(a).total_cmp(&energy(b)));
        let at = quietest.unwrap_or(at).clamp(BLOCK.min(self.pending.len()), self.pending.len());
        let phrase = self.take(at);
        self.begins = false;
        phrase
    }

    fn take(&mut self, at: usize) -> Phrase {
        let rest = self.pending.split_off(at);
        let samples = mem::replace(&mut self.pending, rest);
        // The flags of a phrase that was cut within a block move by less than one block.
        self.loud.drain(..(at / BLOCK).min(self.loud.len()));
        self.loud.truncate(self.pending.len() / BLOCK);
        self.too_long = LONGEST;
        Phrase { samples, begins: mem::take(&mut self.begins) }
    }

    /// Keeps only the last blocks before the phrase begins.
    fn forget_silence(&mut self) {
        let surplus = self.loud.len().saturating_sub(PAUSE);
        self.loud.drain(..surplus);
        self.pending.drain(..surplus * BLOCK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone or silence of so many milliseconds.
    fn sound(loud: bool, milliseconds: usize) -> Vec<f32> {
        let tone = |n: usize| if loud { (n as f32 * 0.1).sin() * 0.3 } else { 0.0 };
        (0..milliseconds * 24).map(tone).collect()
    }

    /// Lengths of the phrases found, in milliseconds, and whether each begins a sentence.
    fn phrases(parts: &[(bool, usize)]) -> Vec<(usize, bool)> {
        let mut segmenter = Segmenter::new();
        let source: Vec<f32> = parts.iter().flat_map(|(loud, length)| sound(*loud, *length)).collect();
        let mut found = Vec::new();
        let frames: Vec<_> = source.chunks(1920).collect();
        for (number, frame) in frames.iter().enumerate() {
            segmenter.hear(frame.iter().copied());
            while let Some(next) = segmenter.find(number + 1 == frames.len()) {
                match next {
                    Found::Phrase(phrase) => found.push((phrase.samples.len() / 24, phrase.begins)),
                    Found::TooLong => {
                        let begins = segmenter.begins;
                        let at = segmenter.pending().len() / 2;
                        found.push((segmenter.cut(at).samples.len() / 24, begins));
                    }
                }
            }
        }
        found
    }

    #[test]
    fn pauses_end_phrases() {
        let found = phrases(&[(true, 1000), (false, 120), (true, 800), (false, 400), (true, 600)]);
        // The pause belongs to the phrase before it as far as it was waited for.
        assert_eq!(found, [(1100, true), (920, false), (700, true)]);
    }

    #[test]
    fn short_gaps_and_short_words_end_nothing() {
        assert_eq!(phrases(&[(true, 600), (false, 60), (true, 600)]), [(1260, true)]);
        assert_eq!(phrases(&[(true, 200), (false, 150), (true, 600)]), [(950, true)]);
    }

    #[test]
    fn silence_gives_nothing() {
        assert_eq!(phrases(&[(false, 5000)]), []);
        assert_eq!(phrases(&[(false, 2000), (true, 500)]).len(), 1);
    }

    #[test]
    fn a_phrase_that_is_not_cut_is_reported_again() {
        let mut segmenter = Segmenter::new();
        segmenter.hear(sound(true, 4000));
        let mut reported = Vec::new();
        while let Some(Found::TooLong) = segmenter.find(false) {
            reported.push(segmenter.loud.len());
        }
        assert_eq!(reported, [110, 135, 160, 185]);
    }

    #[test]
    fn speech_without_a_pause_is_cut() {
        let found = phrases(&[(true, 9000)]);
        assert!(found.len() > 3, "{found:?}");
        // Each length is rounded down to a millisecond.
        assert!(found.iter().map(|(length, _)| length).sum::<usize>().abs_diff(9000) <= found.len(), "{found:?}");
        assert!(found.iter().skip(1).all(|(_, begins)| !begins));
    }
}
