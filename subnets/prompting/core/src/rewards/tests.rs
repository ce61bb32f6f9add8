use super::*;

const QUESTION: &str = "What is the capital of Texas?";

fn prompt() -> Prompt {
    Prompt {
        messages: vec!["Answer briefly and well, please.".to_owned(), QUESTION.to_owned()],
        embedding: vec![1.0, 0.0],
    }
}

fn completion(text: &str) -> Completion {
    Completion { text: text.to_owned(), ..Completion::default() }
}

fn at(degrees: f32) -> Completion {
    let angle = degrees.to_radians();
    Completion { embedding: vec![angle.cos(), angle.sin()], ..completion("text") }
}

fn assert_rewards(model: &dyn RewardModel, completions: &[Completion], expected: &[f64]) {
    let actual = model.rewards(&prompt(), completions);
    assert_eq!(actual.len(), expected.len(), "{}", model.name());
    let is_close = actual.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-6);
    assert!(is_close, "{}: {actual:?}, expected {expected:?}", model.name());
}

#[test]
fn relevance_is_the_cosine_similarity_to_the_question() {
    let completions = [at(0.0), at(60.0), at(90.0), at(180.0), completion("no embedding")];
    assert_rewards(&Relevance, &completions, &[1.0, 0.5, 0.0, 0.0, 0.0]);
}

#[test]
fn diversity_is_the_distance_to_the_most_similar_other_answer() {
    // The last miner gave no answer, and its embedding does not count.
    let silent = Completion { text: String::new(), ..at(120.0) };
    let completions = [at(0.0), at(0.0), at(60.0), at(150.0), silent];
    assert_rewards(&Diversity, &completions[..4], &[0.0, 0.0, 0.5, 1.0]);
    assert_rewards(
        &Diversity,
        &completions,
        &[0.0, 0.0, 0.5, 1.0, 1.0 - 30.0_f64.to_radians().cos()],
    );
    assert_rewards(&Diversity, &completions[..1], &[1.0]);
    assert_rewards(&Diversity, &[], &[]);
}

/// Columns: probabilities of the tokens · reward
#[test]
fn likelihood_is_the_geometric_mean_of_the_probabilities() {
    for (probabilities, reward) in [
        (&[][..], 0.0),
        (&[0.25], 0.25),
        (&[0.5, 0.125], 0.25),
        (&[1.0, 1.0], 1.0),
        (&[0.5, 0.0], 0.0),
        (&[-1.0], 0.0),
    ] {
        let logprobs: Vec<f64> =
            probabilities.iter().map(|probability: &f64| probability.ln()).collect();
        assert_rewards(&Likelihood, &[Completion { logprobs, ..completion("text") }], &[reward]);
    }
}

/// Columns: number of words · reward
#[test]
fn length_is_rewarded_within_its_range() {
    for (count, reward) in
        [(0, 0.0), (1, 0.25), (3, 0.75), (4, 1.0), (8, 1.0), (16, 0.5), (800, 0.01)]
    {
        let text = vec!["word"; count].join(" ");
        assert_rewards(&Length { min: 4, max: 8 }, &[completion(&text)], &[reward]);
    }
}

/// Columns: text · reward
#[test]
fn repetition_reward_is_the_share_of_distinct_word_pairs() {
    for (text, reward) in [
        ("", 0.0),
        ("one", 1.0),
        ("one two three", 1.0),
        ("no, no, no, No!", 1.0 / 3.0),
        ("one two one two one", 0.5),
        ("one two, and one two", 0.75),
    ] {
        assert_rewards(&Repetition, &[completion(text)], &[reward]);
    }
}

/// Columns: text · reward
#[test]
fn originality_is_lost_by_repeating_the_prompt() {
    for (text, reward) in [
        ("", 0.0),
        (QUESTION, 0.0),
        ("the capital, OF texas", 0.0),
        ("texas", 0.0),
        ("Answer briefly and well, please.", 0.0),
        ("Austin", 1.0),
        // Two of the four runs are the question's.
        ("The capital of Texas is Austin.", 1.0),
        // Four of the six runs.
        ("What is the capital of Texas, you ask?", (0.9 - 4.0 / 6.0) / 0.4),
        ("It is Austin, a city on the Colorado River.", 1.0),
    ] {
        assert_rewards(&Originality, &[completion(text)], &[reward]);
    }
}

/// Columns: share of the deadline · reward
#[test]
fn speed_reward_falls_after_a_tenth_of_the_deadline() {
    for (elapsed, reward) in
        [(0.0, 1.0), (0.1, 1.0), (0.55, 0.5), (1.0, 0.0), (1.2, 0.0), (-1.0, 1.0)]
    {
        assert_rewards(&Speed, &[Completion { elapsed, ..completion("text") }], &[reward]);
    }
}

/// Returns the given numbers, valid or not.
struct Fixed(&'static str, Vec<f64>);

impl RewardModel for Fixed {
    fn name(&self) -> &'static str {
        self.0
    }

    fn rewards(&self, _: &Prompt, _: &[Completion]) -> Vec<f64> {
        self.1.clone()
    }
}

#[test]
fn blend_is_the_weighted_mean_times_the_factors() {
    let fixed = |name, values: [f64; 4]| Fixed(name, values.to_vec());
    let blend = Blend::default()
        .mean(3.0, fixed("a", [1.0, 0.5, f64::NAN, 1.0]))
        .mean(1.0, fixed("b", [0.0, 1.0, 7.0, 1.0]))
        .factor(fixed("c", [1.0, 0.5, 1.0, 1.0]))
        .factor(fixed("d", [1.0, 0.5, 2.0, 1.0]));
    let texts = ["text", "text", "text", "?!"].map(completion);
    let rewards = blend.rewards(&prompt(), &texts);
    let expected = [0.75, 0.625 * 0.25, 0.25, 0.0];
    for (reward, expected) in rewards.iter().zip(expected) {
        assert!((reward.total - expected).abs() < 1e-12, "{reward:?}, expected {expected}");
        assert_eq!(
            reward.parts.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ["a", "b", "c", "d"]
        );
    }
    assert!(
        Blend::default()
            .rewards(&prompt(), &texts)
            .iter()
            .all(|reward| reward.total.abs() < f64::MIN_POSITIVE)
    );
}

#[test]
fn standard_blend_ranks_sentences_above_words_and_repeated_questions_last() {
    let relevant = |text: &str, degrees: f32| Completion { text: text.to_owned(), ..at(degrees) };
    let completions = [
        relevant("The capital of Texas is Austin.", 30.0),
        relevant("Austin", 60.0),
        relevant(QUESTION, 0.0),
        Completion {
            elapsed: 0.8,
            ..relevant("The capital of Texas is the city of Austin.", 31.0)
        },
        completion(""),
    ];
    let totals: Vec<f64> = Blend::standard(BlendWeights::default(), false)
        .rewards(&prompt(), &completions)
        .iter()
        .map(|reward| reward.total)
        .collect();
    let [good, short, parrot, slow, silent] = totals[..] else { panic!("five miners") };
    assert!(good > short && good > slow && short > 0.0 && slow > 0.0, "{totals:?}");
    assert!(parrot.abs() < f64::MIN_POSITIVE && silent.abs() < f64::MIN_POSITIVE, "{totals:?}");
}

/// Columns: weights of relevance, length, diversity and likelihood · whether there is a language
/// model · reward
#[test]
fn weights_of_the_blend_are_ratios() {
    // Relevance 0.5, length 0.5, diversity 1 and likelihood 0.25.
    let completion = Completion { logprobs: vec![0.25_f64.ln()], ..at(60.0) };
    let text = Completion { text: "one two three".to_owned(), ..completion };
    for (weights, has_language_model, expected) in [
        ([4.0, 2.0, 1.0, 3.0], false, (4.0 * 0.5 + 2.0 * 0.5 + 1.0) / 7.0),
        ([4.0, 2.0, 1.0, 3.0], true, (4.0 * 0.5 + 2.0 * 0.5 + 1.0 + 3.0 * 0.25) / 10.0),
        ([0.0, 0.0, 5.0, 0.0], true, 1.0),
        ([0.0, 0.0, 0.0, 0.1], true, 0.25),
        ([0.0, 0.0, 0.0, 0.1], false, 0.0),
        ([8.0, 0.0, 0.0, 8.0], true, 0.375),
    ] {
        let [relevance, length, diversity, likelihood] = weights;
        let blend = Blend::standard(
            BlendWeights { relevance, length, diversity, likelihood },
            has_language_model,
        );
        let rewards = blend.rewards(&prompt(), std::slice::from_ref(&text));
        assert!(
            (rewards[0].total - expected).abs() < 1e-6,
            "{weights:?}: {rewards:?}, expected {expected}"
        );
    }
}
