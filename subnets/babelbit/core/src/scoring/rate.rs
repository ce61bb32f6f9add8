use taonet_primitives::{Transcript, Word};

use super::ScoreOptions;

/// Minimum duration for a meaningful speaking rate, in seconds.
const MIN_SPAN: f64 = 0.05;

/// Unrounded speaking rate of a reply, relative to the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Result of the speaking-rate gate: 1 passed, 0 failed.
    pub penalty: f64,
    /// Words per second of the reply, if measurable.
    pub miner_wps: Option<f64>,
    /// Ratio of the reply's rate to the reference's, if measurable.
    pub ratio: Option<f64>,
}

impl Rate {
    const UNKNOWN_PASSES: Self = Self { penalty: 1.0, miner_wps: None, ratio: None };
    const UNKNOWN_FAILS: Self = Self { penalty: 0.0, miner_wps: None, ratio: None };

    fn of(word_count: usize, span: f64, reference_wps: f64, options: &ScoreOptions) -> Self {
        if span.is_nan() || span <= MIN_SPAN {
            return Self::UNKNOWN_FAILS;
        }
        let wps = word_count as f64 / span;
        let ratio = wps / reference_wps;
        let passes = (options.rate_lower..=options.rate_upper).contains(&ratio);
        Self { penalty: if passes { 1.0 } else { 0.0 }, miner_wps: Some(wps), ratio: Some(ratio) }
    }

    /// Whether the reply passes the speaking-rate gate.
    pub fn passes(&self) -> bool {
        self.penalty > 0.0
    }
}

/// Computes the speaking rate of a reply from word times. Adjacent words with the same timestamps
/// count as one word. Without words, or if the reference rate is not above 0, the rate is not
/// measurable and the reply passes.
pub fn speech_rate(words: &[Word], reference_wps: f64, options: &ScoreOptions) -> Rate {
    let Some(first) = words.first() else { return Rate::UNKNOWN_PASSES };
    if reference_wps.is_nan() || reference_wps <= 0.0 {
        return Rate::UNKNOWN_PASSES;
    }
    let (mut last, mut word_count) = (first, usize::from(!first.text.trim().is_empty()));
    for word in words.iter().skip(1) {
        if same_time(word, last) {
            continue;
        }
        last = word;
        word_count += usize::from(!word.text.trim().is_empty());
    }
    Rate::of(word_count, last.end - first.start, reference_wps, options)
}

/// Computes the speaking rate of a reply without word times: the words of its text divided by its
/// duration in seconds. If the rate is not measurable, the reply fails.
pub fn duration_rate(
    transcript: &Transcript,
    duration: f64,
    reference_wps: f64,
    options: &ScoreOptions,
) -> Rate {
    let word_count = transcript.text.split_whitespace().count();
    if word_count == 0 || reference_wps.is_nan() || reference_wps <= 0.0 {
        return Rate::UNKNOWN_FAILS;
    }
    Rate::of(word_count, duration, reference_wps, options)
}

// Recognisers repeat a timestamp exactly, so exact equality is intended.
#[allow(clippy::float_cmp)]
fn same_time(left: &Word, right: &Word) -> bool {
    left.start == right.start && left.end == right.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rounding::{round_to, round3};

    fn words(times: &[(f64, f64)]) -> Vec<Word> {
        times.iter().map(|&(start, end)| Word { text: "word".into(), start, end }).collect()
    }

    /// Columns: words · reference wps · wps, ratio, penalty
    #[test]
    fn rate_gate_passes_from_0_3_to_1_3_times_the_reference() {
        let five_words = [(0.0, 0.3), (0.3, 0.7), (0.7, 1.1), (1.1, 1.5), (1.5, 1.845)];
        let two_words = [(0.0, 1.0), (1.0, 2.0)];
        let duplicate_times = [(0.0, 0.2), (0.0, 0.2), (0.2, 0.6), (0.6, 1.0)];
        for (case, times, reference, wps, ratio, penalty) in [
            ("5 words 0.0-1.845 s", &five_words[..], 2.969, Some(2.71), Some(0.913), 1.0),
            ("2 words over 2 s", &two_words, 3.33, Some(1.0), Some(0.3003), 1.0),
            ("2 words over 2 s", &two_words, 3.34, Some(1.0), Some(0.2994), 0.0),
            (
                "4 words, first two share timestamps",
                &duplicate_times,
                3.0,
                Some(3.0),
                Some(1.0),
                1.0,
            ),
            ("none", &[], 2.0, None, None, 1.0),
            ("one word 0-0.05 s", &[(0.0, 0.05)], 2.0, None, None, 0.0),
            ("reference rate 0", &two_words, 0.0, None, None, 1.0),
            ("exactly 1.3", &[(0.0, 0.5), (0.5, 1.0)], 2.0 / 1.3, Some(2.0), Some(1.3), 1.0),
            ("too fast", &[(0.0, 0.25), (0.25, 0.5)], 2.0, Some(4.0), Some(2.0), 0.0),
            ("times run backwards", &[(2.0, 3.0), (0.0, 1.0)], 2.0, None, None, 0.0),
            ("NaN times", &[(f64::NAN, 1.0), (1.0, f64::NAN)], 2.0, None, None, 0.0),
        ] {
            let actual = speech_rate(&words(times), reference, &ScoreOptions::default());
            assert_eq!(actual.miner_wps.map(round3), wps, "{case}");
            assert_eq!(
                actual.ratio.map(|ratio| round_to(ratio, if ratio < 0.5 { 4 } else { 3 })),
                ratio,
                "{case}"
            );
            assert_eq!(actual.penalty, penalty, "{case}");
        }
    }

    #[test]
    fn blank_words_do_not_count() {
        let mut transcript = words(&[(0.0, 0.5), (0.5, 0.6), (0.6, 1.0)]);
        transcript[1].text = " ".into();
        assert_eq!(speech_rate(&transcript, 2.0, &ScoreOptions::default()).miner_wps, Some(2.0));
    }

    /// Columns: text · duration · penalty
    #[test]
    fn rate_uses_the_duration_without_word_times() {
        for (text, duration, penalty) in [
            ("four words of text", 2.0, 1.0),
            ("four words of text", 0.5, 0.0),
            ("four words of text", 0.0, 0.0),
            ("", 2.0, 0.0),
        ] {
            let transcript = Transcript { text: text.into(), ..Transcript::default() };
            let actual = duration_rate(&transcript, duration, 2.0, &ScoreOptions::default());
            assert_eq!(actual.penalty, penalty, "{text:?} over {duration} s");
        }
    }
}
