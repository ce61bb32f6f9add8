#![allow(clippy::float_cmp)] // The same operations in the same order are expected to give the same score.

use proptest::prelude::*;

use super::{Strategy, *};
use crate::rules::FORBIDDEN;

/// Text tokens 0..=5, the end of text 6, the start 7, no speech 8, no timestamps 9, timestamps
/// 10..=15.
const TOKENS: usize = 16;
const END: u32 = 6;
const START: u32 = 7;
const NO_SPEECH: u32 = 8;

/// Returns rules under which the first token is always the timestamp 10, followed only by text and
/// the end of text.
fn rules() -> Arc<Rules> {
    Arc::new(Rules {
        suppressed: vec![7, 8, 11, 12, 13, 14, 15],
        suppressed_at_begin: Vec::new(),
        end_of_text: END,
        no_timestamps: 9,
        latest_first_timestamp: 10,
    })
}

fn task(strategy: Strategy, longest: usize) -> SearchTask {
    SearchTask {
        memory: Arc::default(),
        prompt: vec![1, START, 3],
        transcript_start: 1,
        rules: rules(),
        strategy,
        length_penalty: 1.0,
        max_tokens: longest,
        no_speech_token: NO_SPEECH,
    }
}

/// Runs a search with a function from generated tokens to logits. Returns the result and the number
/// of steps.
fn run(task: SearchTask, language: &dyn Fn(&[u32]) -> Vec<f32>) -> (Hypothesis, f32, usize) {
    let mut cache = Cache::new(0, 0);
    let start = task.transcript_start;
    let prompt = task.prompt.clone();
    let mut search = Search::new(task);
    // Token of each cache slot: the slots of a beam must spell the tokens of that beam.
    let mut slot_tokens: Vec<u32> = Vec::new();
    for step in 1.. {
        let (mut rows, mut logit_rows) = (Vec::new(), Vec::new());
        search.rows(&mut cache, 3, &mut rows, &mut logit_rows);
        for row in &rows {
            let slot = *row.slots.last().unwrap() as usize;
            slot_tokens.resize(slot_tokens.len().max(slot + 1), u32::MAX);
            slot_tokens[slot] = row.token;
        }
        let mut logits = Vec::new();
        for &index in &logit_rows {
            let row = &rows[index];
            assert_eq!((row.memory, row.slots.len()), (3, row.position + 1));
            let past_tokens: Vec<u32> =
                row.slots.iter().map(|slot| slot_tokens[*slot as usize]).collect();
            assert_eq!(
                past_tokens[..prompt.len().min(past_tokens.len())],
                prompt[..prompt.len().min(past_tokens.len())]
            );
            if row.position == start {
                let mut silence = vec![0.0; TOKENS];
                silence[NO_SPEECH as usize] = 1.0;
                logits.extend(silence);
            } else {
                logits.extend(language(&past_tokens[prompt.len()..]));
            }
        }
        if let Some((hypothesis, no_speech)) = search.advance(&mut cache, &mut logits, TOKENS) {
            assert_eq!(cache.used_slots(), 0, "slots were not released");
            return (hypothesis, no_speech, step);
        }
    }
    unreachable!()
}

/// Returns logits with these probabilities; unlisted tokens are nearly impossible.
fn logits_of(probabilities: &[(u32, f32)]) -> Vec<f32> {
    let mut logits = vec![-60.0; TOKENS];
    for &(token, probability) in probabilities {
        logits[token as usize] = probability.ln();
    }
    logits
}

/// Returns logits for which greedy search is not optimal: token 0 is more probable than token 1,
/// but the best continuation of token 1 has the higher total probability.
fn misleading_language(generated: &[u32]) -> Vec<f32> {
    match generated {
        [] => logits_of(&[(10, 1.0)]),
        [10] => logits_of(&[(0, 0.6), (1, 0.4)]),
        [10, 0] => logits_of(&[(2, 0.3), (3, 0.3), (4, 0.2), (END, 0.2)]),
        [10, 1] => logits_of(&[(5, 0.9), (END, 0.1)]),
        [10, 1, 5] => logits_of(&[(END, 0.99), (0, 0.01)]),
        _ => logits_of(&[(END, 0.5), (0, 0.3), (1, 0.2)]),
    }
}

fn beam(beams: usize, patience: f32) -> Strategy {
    Strategy::Beam { beams, patience }
}

#[test]
fn more_beams_find_a_better_hypothesis() {
    let score = |probabilities: &[f32]| probabilities.iter().map(|p| p.ln()).sum::<f32>();
    // (beams, patience, longest) -> tokens, sum of log probabilities, steps
    let cases = [
        // Greedy search: of two equally probable continuations, the lower token.
        ((1, 1.0, 20), vec![10, 0, 2], score(&[0.6, 0.3, 0.5]), 4),
        ((2, 1.0, 20), vec![10, 1, 5], score(&[0.4, 0.9, 0.99]), 4),
        ((5, 1.0, 20), vec![10, 1, 5], score(&[0.4, 0.9, 0.99]), 4),
        // Length limit: the last step completes every hypothesis, including its last token.
        ((1, 1.0, 2), vec![10, 0], score(&[0.6]), 2),
        ((2, 1.0, 3), vec![10, 1, 5], score(&[0.4, 0.9]), 3),
        ((1, 1.0, 1), vec![10], 0.0, 1),
    ];
    for ((beams, patience, longest), tokens, total, steps) in cases {
        let (hypothesis, _, actual_steps) =
            run(task(beam(beams, patience), longest), &misleading_language);
        let case = format!("{beams} beams, at most {longest} tokens");
        assert_eq!(hypothesis.tokens, tokens, "{case}");
        let expected = total / tokens.len() as f32;
        assert!(
            (hypothesis.score - expected).abs() < 1e-5,
            "{case}: {} {expected}",
            hypothesis.score
        );
        assert_eq!(actual_steps, steps, "{case}");
    }
}

#[test]
fn patience_waits_for_more_hypotheses() {
    // A short hypothesis completes first; the better one takes one more step.
    let language = |generated: &[u32]| match generated {
        [] => logits_of(&[(10, 1.0)]),
        [10] => logits_of(&[(END, 0.5), (0, 0.5)]),
        [10, 0] => logits_of(&[(END, 0.9), (1, 0.1)]),
        _ => logits_of(&[(0, 1.0)]),
    };
    // (beams, patience) -> tokens, steps
    for ((beams, patience), tokens, steps) in [
        ((2, 0.5), vec![10], 2),
        ((2, 1.0), vec![10, 0], 3),
        // One beam is the greedy search of the reference, which ignores patience.
        ((1, 1.0), vec![10, 0], 3),
        ((1, 5.0), vec![10, 0], 3),
    ] {
        let (hypothesis, _, actual_steps) = run(task(beam(beams, patience), 20), &language);
        assert_eq!(
            (hypothesis.tokens, actual_steps),
            (tokens, steps),
            "{beams} beams, patience {patience}"
        );
    }
}

#[test]
fn length_penalty_divides_the_score() {
    let run_with_penalty = |length_penalty| {
        let task = SearchTask { length_penalty, ..task(beam(2, 1.0), 20) };
        run(task, &misleading_language).0
    };
    let total: f32 = [0.4f32, 0.9, 0.99].iter().map(|p| p.ln()).sum();
    for penalty in [0.0, 1.0, 2.0] {
        let hypothesis = run_with_penalty(penalty);
        assert_eq!(hypothesis.tokens, [10, 1, 5]);
        assert!((hypothesis.score - total / 3f32.powf(penalty)).abs() < 1e-5);
    }
}

#[test]
fn no_speech_probability_is_read_at_start_of_transcript() {
    let expected = 1f32.exp() / (1f32.exp() + 15.0);
    for strategy in [beam(2, 1.0), Strategy::Sample { count: 2, temperature: 1.0, seed: 1 }] {
        let (_, no_speech, _) = run(task(strategy, 20), &misleading_language);
        assert!((no_speech - expected).abs() < 1e-6);
    }
    // The start of transcript may be the complete prompt: an English-only model.
    let task = SearchTask { prompt: vec![START], transcript_start: 0, ..task(beam(1, 1.0), 20) };
    let mut cache = Cache::new(0, 0);
    let mut search = Search::new(task);
    let (mut rows, mut logit_rows) = (Vec::new(), Vec::new());
    search.rows(&mut cache, 0, &mut rows, &mut logit_rows);
    assert_eq!(logit_rows, [0]);
    let mut logits = logits_of(&[(10, 0.5), (NO_SPEECH, 0.5)]);
    assert!(search.advance(&mut cache, &mut logits, TOKENS).is_none());
    assert!((search.no_speech_probability - 0.5).abs() < 1e-5);
    assert_eq!(search.beams[0].tokens, [10]);
}

#[test]
fn samples_follow_the_probabilities_and_the_seed() {
    let language = |generated: &[u32]| match generated {
        [] => logits_of(&[(10, 1.0)]),
        [10] => logits_of(&[(0, 0.5), (1, 0.3), (2, 0.2)]),
        _ => logits_of(&[(END, 1.0)]),
    };
    let sample = |count, temperature, seed| {
        run(task(Strategy::Sample { count, temperature, seed }, 20), &language).0
    };
    let frequency = |temperature| {
        let mut counts = [0u32; 3];
        for seed in 0..3000 {
            counts[sample(1, temperature, seed).tokens[1] as usize] += 1;
        }
        counts.map(|count| f64::from(count) / 3000.0)
    };
    // Five standard deviations of a frequency in 3 000 draws are at most 0.046.
    for (temperature, expected) in [
        (1.0, [0.5, 0.3, 0.2]),
        (0.5, [0.25 / 0.38, 0.09 / 0.38, 0.04 / 0.38]),
        (0.01, [1.0, 0.0, 0.0]),
    ] {
        let actual = frequency(temperature);
        for (actual, expected) in actual.iter().zip(expected) {
            assert!(
                (actual - expected).abs() < 0.046,
                "temperature {temperature}: {actual} {expected}"
            );
        }
    }
    // Scores use the model's unscaled probabilities at any temperature; the same seed gives the
    // same sample.
    for seed in 0..50 {
        let actual = sample(1, 5.0, seed);
        let expected = [0.5f32, 0.3, 0.2][actual.tokens[1] as usize].ln() / 2.0;
        assert!((actual.score - expected).abs() < 1e-5);
        assert_eq!(sample(1, 5.0, seed), actual);
    }
    // The most probable of many samples wins.
    let best = (0..50).filter(|seed| sample(16, 1.0, *seed).tokens[1] == 0).count();
    assert!(best >= 49, "{best}");
}

#[test]
fn forbidden_tokens_are_never_sampled() {
    let mut random = Random::new(5);
    let mut weights = vec![FORBIDDEN, 0.0, FORBIDDEN, -2.0, FORBIDDEN];
    softmax(&mut weights);
    for _ in 0..2000 {
        assert!([1, 3].contains(&random.choose(&weights)));
    }
}

/// Runs a textbook beam search, which sorts all candidates of all beams at every step.
fn reference_beam_search(
    language: &dyn Fn(&[u32]) -> Vec<f32>,
    rules: &Rules,
    beams: usize,
    patience: f32,
    longest: usize,
) -> (Vec<u32>, f32) {
    let mut hypotheses: Vec<(Vec<u32>, f32)> = vec![(Vec::new(), 0.0)];
    let mut ended: Vec<(Vec<u32>, f32)> = Vec::new();
    for step in 0..longest {
        let mut candidates = Vec::new();
        for (tokens, score) in &hypotheses {
            let mut logits = language(tokens);
            rules.apply(&mut logits, tokens);
            let (total, _) = log_sum_exp(&logits);
            for (token, logit) in logits.iter().enumerate() {
                candidates
                    .push(([tokens.as_slice(), &[token as u32]].concat(), (logit - total) + score));
            }
        }
        // A stable sort puts the earlier beam and token first among equal scores.
        candidates.sort_by(|a, b| b.1.total_cmp(&a.1));
        candidates.truncate(2 * beams);
        let is_end = |candidate: &(Vec<u32>, f32)| candidate.0.last() == Some(&END);
        let is_last = step + 1 == longest;
        let (first, second) = candidates.split_at(beams.min(candidates.len()));
        let mut spares = second.iter().filter(|candidate| !is_end(candidate));
        let mut next = Vec::new();
        for candidate in first {
            if !is_end(candidate) && !is_last {
                next.push(candidate.clone());
                continue;
            }
            let mut tokens = candidate.0.clone();
            if is_end(candidate) {
                tokens.pop();
            }
            let score = candidate.1 / tokens.len() as f32;
            ended.push((tokens, score));
            next.push(spares.next().unwrap_or(candidate).clone());
        }
        let needed_count =
            if beams == 1 { 1 } else { (beams as f32 * patience).round().max(1.0) as usize };
        if is_last || ended.len() >= needed_count {
            break;
        }
        hypotheses = next;
    }
    let mut best = ended.first().unwrap().clone();
    for hypothesis in &ended {
        if hypothesis.1 > best.1 {
            best = hypothesis.clone();
        }
    }
    best
}

/// Returns seeded logits that differ for every prefix.
fn random_language(seed: u64) -> impl Fn(&[u32]) -> Vec<f32> {
    move |generated: &[u32]| {
        let mut state = seed;
        for &token in generated {
            state = (state ^ u64::from(token + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            state ^= state >> 29;
        }
        (0..TOKENS)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1 << 22) as f32
            })
            .collect()
    }
}

proptest! {
    #[test]
    fn beam_search_equals_the_reference_implementation(seed: u64, beams in 1usize..6, patience in 0.3f32..2.5, longest in 1usize..9) {
        let language = random_language(seed);
        let mut rules = (*rules()).clone();
        // All timestamps are allowed, so every rule applies.
        rules.suppressed = vec![7, 8];
        rules.latest_first_timestamp = 13;
        let task =
            SearchTask { rules: Arc::new(rules.clone()), ..task(beam(beams, patience), longest) };
        let (hypothesis, _, _) = run(task, &language);
        let (tokens, score) = reference_beam_search(&language, &rules, beams, patience, longest);
        prop_assert_eq!((hypothesis.tokens, hypothesis.score), (tokens, score));
    }

    #[test]
    fn best_candidates_equal_those_of_a_full_sort(
        rows in prop::collection::vec(prop::collection::vec(-3i8..3, 600), 1..4), count in 1usize..12
    ) {
        // Among equal values, the first one found wins.
        let mut top = TopCandidates::new(count);
        let mut all = Vec::new();
        for (beam, row) in rows.iter().enumerate() {
            let logits: Vec<f32> = row.iter().map(|value| f32::from(*value)).collect();
            top.scan(beam, &logits, |logit| logit - beam as f32 * 0.5);
            all.extend(logits.iter().enumerate().map(|(token, logit)| {
                Candidate { beam, token: token as u32, score: logit - beam as f32 * 0.5 }
            }));
        }
        all.sort_by(|a, b| b.score.total_cmp(&a.score));
        all.truncate(count);
        prop_assert_eq!(top.into_sorted(), all);
    }
}
