#![allow(clippy::float_cmp)] // Temperatures are passed on unchanged.

use super::*;

fn attempt(
    average_log_probability: f64,
    compression_ratio: f64,
    no_speech_probability: f32,
) -> Attempt {
    Attempt {
        tokens: Vec::new(),
        temperature: 0.0,
        average_log_probability,
        compression_ratio,
        no_speech_probability,
    }
}

#[test]
fn decoding_attempt_is_accepted_or_retried_by_thresholds() {
    let cases = [
        // (average log probability, compression ratio, no speech) -> decision, silent
        (-0.5, 1.5, 0.1, Decision::Accept, false),
        // At the thresholds; 0.6 in 32 bits is more than 0.6 in 64 bits, as in the reference.
        (-1.0, 2.4, 0.599, Decision::Accept, false),
        (-1.0, 2.4, 0.6, Decision::Accept, true),
        (-1.01, 1.5, 0.1, Decision::Retry, false), // too uncertain
        (-0.5, 2.41, 0.1, Decision::Retry, false), // too repetitive
        (-0.5, 2.41, 0.9, Decision::Retry, false), // certain, so retried despite the silence
        (-1.01, 1.5, 0.9, Decision::Accept, true), // silence
        (-1.01, 3.0, 0.9, Decision::Accept, true), // silence, repetitive or not
        (-1.0, 1.0, 0.9, Decision::Accept, true),  // not above the threshold: still silent
        (-0.99, 1.0, 0.9, Decision::Accept, false), // above the threshold: not silent
        (f64::NAN, 1.0, 0.9, Decision::Accept, true), // an empty text
    ];
    let options = Options::default();
    for (probability, ratio, no_speech, decision, silent) in cases {
        let attempt = attempt(probability, ratio, no_speech);
        assert_eq!(is_silent(&options, &attempt, 1.0), silent, "{attempt:?}");
        assert_eq!(decide(&options, std::slice::from_ref(&attempt)), decision, "{attempt:?}");
    }
}

#[test]
fn attempt_is_accepted_without_thresholds() {
    let options = Options {
        compression_ratio_threshold: None,
        log_prob_threshold: None,
        no_speech_threshold: None,
        ..Options::default()
    };
    let attempt = attempt(-9.0, 9.0, 1.0);
    assert_eq!(decide(&options, std::slice::from_ref(&attempt)), Decision::Accept);
    assert!(!is_silent(&options, &attempt, 1.0));
    // Without a log-probability threshold, silence alone skips a window.
    let options = Options { log_prob_threshold: None, ..Options::default() };
    assert!(is_silent(&options, &attempt, 1.0));
}

#[test]
fn most_probable_attempt_is_used_when_all_fail() {
    let choose = |attempts: &[(f64, f64)]| {
        let attempts = attempts.iter().enumerate().map(|(i, &(probability, ratio))| Attempt {
            temperature: i as f64 * 0.2,
            tokens: vec![i as u32],
            ..attempt(probability, ratio, 0.0)
        });
        let best = choose(&Options::default(), attempts.collect()).unwrap();
        (best.tokens[0], best.temperature)
    };
    // The accepted attempt is the last one.
    assert_eq!(choose(&[(-2.0, 1.0), (-0.5, 1.0)]), (1, 0.2));
    // If all are too uncertain: the most probable attempt (on a tie, the first), with the last
    // temperature.
    assert_eq!(choose(&[(-3.0, 1.0), (-1.5, 1.0), (-1.5, 1.0), (-2.0, 1.0)]), (1, 3.0 * 0.2));
    // A non-repetitive attempt wins over more probable repetitive ones.
    assert_eq!(choose(&[(-0.1, 3.0), (-1.5, 1.0), (-0.2, 3.0)]), (1, 2.0 * 0.2));
    // If all are too repetitive: the most probable attempt.
    assert_eq!(choose(&[(-0.3, 3.0), (-0.1, 3.0), (-0.2, 3.0)]), (1, 2.0 * 0.2));
}

#[test]
fn average_log_probability_counts_end_of_text() {
    let hypothesis = |tokens: usize, score| Hypothesis { tokens: vec![1; tokens], score };
    let average = |tokens, score, penalty| {
        Attempt::new(hypothesis(tokens, score), 0.0, 0.0, 1.0, penalty).average_log_probability
    };
    assert_eq!(average(3, -1.0, 1.0), -0.75);
    assert_eq!(average(3, -1.0, 0.0), -0.25);
    assert_eq!(average(4, -0.5, 2.0), -1.6);
}

#[test]
fn threshold_factor_lowers_the_probability_of_silence() {
    let options = Options::default();
    let attempt = attempt(-1.5, 1.0, 0.5);
    assert!(!is_silent(&options, &attempt, 1.0));
    assert!(is_silent(&options, &attempt, 0.75));
}
