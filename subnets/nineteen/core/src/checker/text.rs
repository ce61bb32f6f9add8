//! Text check: compares the miner's log-probabilities of some tokens with the log-probabilities
//! from the validator's model.

use serde_json::Value;

/// Maximum number of tokens of an answer that are compared individually.
pub const MAX_CHECKS: usize = 5;

/// Distance of a token that is not among the top tokens of the validator's model.
const ABSENT_DISTANCE: f64 = 1.0;

/// Mean distance up to which the score is 1; it decreases to 0.5 at twice this distance.
const TOLERANCE: f64 = 0.125;

/// A token of a miner's answer, with its log-probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// Text of the token.
    pub text: String,
    /// Natural logarithm of the token's probability, according to the miner.
    pub logprob: f64,
}

/// Why an answer cannot be compared with the validator's model. The answer's score is then 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextFault {
    /// The answer has no tokens.
    #[error("answer has no tokens")]
    Empty,
    /// A chunk lacks its text or its log-probability.
    #[error("chunk {0} lacks its text or its log-probability")]
    Malformed(usize),
}

/// Parses the tokens of a streamed chat or completions response.
///
/// Chunks without answer text are skipped: the first chunk with the role, chunks without choices,
/// and the last chunk with the finish reason. So is a last chunk with the beginning of a character
/// that the answer's length cut off, which servers send as U+FFFD.
///
/// # Errors
/// [`TextFault`] when the answer has no tokens or a malformed chunk; the answer's score is then 0.
pub fn parse_tokens(chunks: &[Value]) -> Result<Vec<Token>, TextFault> {
    let mut tokens = Vec::new();
    for (index, chunk) in chunks.iter().enumerate() {
        let Some(choices) = chunk.get("choices").and_then(Value::as_array) else {
            return Err(TextFault::Malformed(index));
        };
        let Some(choice) = choices.first() else { continue };
        let (text, logprob) = match choice.get("delta") {
            Some(delta) => (delta.get("content"), choice.pointer("/logprobs/content/0/logprob")),
            None => (choice.get("text"), choice.pointer("/logprobs/token_logprobs/0")),
        };
        let text = text.and_then(Value::as_str);
        let has_logprobs = choice.get("logprobs").is_some_and(|logprobs| !logprobs.is_null());
        let is_cut_character = || {
            let has_ended = choice.get("finish_reason").is_some_and(Value::is_string);
            has_ended
                && text.is_some_and(|text| {
                    text.chars().all(|character| character == char::REPLACEMENT_CHARACTER)
                })
        };
        if !has_logprobs && (text.unwrap_or_default().is_empty() || is_cut_character()) {
            continue;
        }
        let token = text.zip(logprob.and_then(Value::as_f64));
        let (text, logprob) = token.ok_or(TextFault::Malformed(index))?;
        tokens.push(Token { text: text.to_owned(), logprob });
    }
    if tokens.is_empty() { Err(TextFault::Empty) } else { Ok(tokens) }
}

/// Maximum number of tokens of one character: one per UTF-8 byte.
const MAX_CHARACTER_TOKENS: usize = 4;

/// Returns the positions whose tokens can be compared: all that are not part of a character that is
/// spread over several tokens.
///
/// A server streams such a character with its last token, and nothing with the others, so the texts
/// do not show which bytes belong to which token.
pub fn comparable_positions(tokens: &[Token]) -> Vec<usize> {
    let mut positions = Vec::with_capacity(tokens.len());
    let mut position = 0;
    while let Some(token) = tokens.get(position) {
        let remaining = tokens.get(position..).unwrap_or_default();
        let empty_count = remaining.iter().take_while(|token| token.text.is_empty()).count();
        let is_split_character = remaining.get(empty_count).is_none_or(|last| {
            // With any other text, a miner could hide any token behind an empty one.
            let mut characters = last.text.chars();
            characters.next().is_some_and(|character| !character.is_ascii())
                && characters.next().is_none()
        });
        if token.text.is_empty() && is_split_character && empty_count < MAX_CHARACTER_TOKENS {
            position += empty_count + 1;
        } else {
            positions.push(position);
            position += 1;
        }
    }
    positions
}

/// Selects the positions to compare among `count` tokens: the first, the last, then random ones, at
/// most [`MAX_CHECKS`].
///
/// `draw(n)` returns a random number below `n`.
pub fn draw_positions(count: usize, mut draw: impl FnMut(usize) -> usize) -> Vec<usize> {
    let Some(last) = count.checked_sub(1) else { return Vec::new() };
    let mut positions = vec![0];
    if last > 0 {
        positions.push(last);
    }
    let mut interior: Vec<_> = (1..last).collect();
    while positions.len() < MAX_CHECKS && !interior.is_empty() {
        let index = draw(interior.len()).min(interior.len() - 1);
        positions.push(interior.swap_remove(index));
    }
    positions
}

/// Returns the distance of one token: `|exp(validator) − exp(miner)|`, or 1 if the token is not
/// among the top tokens of the validator's model.
pub fn token_distance(validator: Option<f64>, miner: f64) -> f64 {
    let distance =
        validator.map_or(ABSENT_DISTANCE, |validator| (validator.exp() - miner.exp()).abs());
    // The miner's value may be infinite or overflow.
    if distance.is_finite() { distance } else { ABSENT_DISTANCE }
}

/// Returns the score of an answer with mean distance d: 1 up to 0.125, `1 − 0.5·(d − 0.125)/0.125`
/// up to 0.25, else 0. Without distances the score is 0.
pub fn distance_score(distances: &[f64]) -> f64 {
    if distances.is_empty() {
        return 0.0;
    }
    let mean = distances.iter().sum::<f64>() / distances.len() as f64;
    if mean <= TOLERANCE {
        1.0
    } else if mean <= 2.0 * TOLERANCE {
        1.0 - 0.5 * (mean - TOLERANCE) / TOLERANCE
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn assert_close(actual: f64, expected: f64, tolerance: f64) {
        assert!((actual - expected).abs() <= tolerance, "{actual}, expected {expected}");
    }

    #[test]
    fn token_distance_is_the_difference_of_probabilities() {
        assert_close(token_distance(Some(-0.10), -0.30), 0.1640, 5e-5);
        assert_eq!(token_distance(Some(-0.7), -0.7), 0.0);
        assert_eq!(token_distance(None, 0.0), 1.0);
        assert_eq!(token_distance(Some(-1.0), f64::INFINITY), 1.0);
        assert_eq!(token_distance(Some(f64::NEG_INFINITY), f64::NEG_INFINITY), 0.0);
    }

    #[test]
    #[rustfmt::skip]
    fn scores_fall_with_the_mean_distance() {
        let one_off = token_distance(Some(-0.10), -0.30);
        for (distances, score) in [
            (vec![0.0, 0.0, 0.0, 0.0, one_off], 1.0),
            (vec![0.0, 0.0, 0.0, 0.0, 1.0],     0.7),
            (vec![0.125],                       1.0),
            (vec![0.2488],                      0.5048),
            (vec![0.25],                        0.5),
            (vec![0.2501],                      0.0),
            (vec![],                            0.0),
        ] {
            assert_close(distance_score(&distances), score, 1e-12);
        }
    }

    #[test]
    fn first_and_last_positions_are_always_compared() {
        let first = |_| 0;
        assert_eq!(draw_positions(0, first), [0; 0]);
        assert_eq!(draw_positions(1, first), [0]);
        assert_eq!(draw_positions(2, first), [0, 1]);
        assert_eq!(draw_positions(4, first), [0, 3, 1, 2]);
        assert_eq!(draw_positions(100, |count| count - 1), [0, 99, 98, 97, 96]);
        assert_eq!(
            draw_positions(4, |count| count),
            [0, 3, 2, 1],
            "an out-of-range draw selects the last"
        );
    }

    #[test]
    fn characters_split_between_tokens_are_not_compared() {
        let checked_positions = |texts: &[&str]| {
            let token = |text: &&str| Token { text: (*text).to_owned(), logprob: -0.5 };
            comparable_positions(&texts.iter().map(token).collect::<Vec<_>>())
        };
        assert_eq!(checked_positions(&["a", "b"]), [0, 1]);
        assert_eq!(checked_positions(&["a", "", "\u{e9}", "b"]), [0, 3]);
        assert_eq!(checked_positions(&["", "", "", "\u{1f600}", "", "\u{e9}", "\u{e9}"]), [6]);
        // The answer was cut off inside a character.
        assert_eq!(checked_positions(&["a", "", ""]), [0]);
        // Otherwise, a miner could hide a token behind an empty text.
        assert_eq!(checked_positions(&["", "a"]), [0, 1]);
        assert_eq!(checked_positions(&["", "\u{e9} and more"]), [0, 1]);
        assert_eq!(checked_positions(&["", "", "", "", "\u{e9}"]), [0]);
        assert_eq!(checked_positions(&["", "", "", ""]), [0]);
    }

    fn chunk(content: &str, logprob: f64) -> Value {
        json!({"choices": [{"delta": {"content": content}, "logprobs": {"content": [{"logprob": logprob}]}}]})
    }

    #[test]
    fn chunks_without_text_are_skipped() {
        let chunks = [
            json!({"choices": [{"delta": {"role": "assistant", "content": ""}, "logprobs": null}]}),
            chunk("he", -0.5),
            json!({"choices": [{"text": "llo", "logprobs": {"token_logprobs": [-0.25]}}]}),
            json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}),
            json!({"choices": [], "usage": {"completion_tokens": 2}}),
        ];
        let token = |text: &str, logprob| Token { text: text.to_owned(), logprob };
        assert_eq!(parse_tokens(&chunks), Ok(vec![token("he", -0.5), token("llo", -0.25)]));
        assert_eq!(parse_tokens(&chunks[..1]), Err(TextFault::Empty));
        let cut = |text: &str, finish: Value| {
            parse_tokens(&[
                chunk("a", -0.5),
                json!({"choices": [{"delta": {"content": text}, "finish_reason": finish}]}),
            ])
        };
        assert_eq!(cut("\u{fffd}", json!("length")), Ok(vec![token("a", -0.5)]));
        assert_eq!(cut("\u{fffd}", json!(null)), Err(TextFault::Malformed(1)));
        assert_eq!(cut("b", json!("length")), Err(TextFault::Malformed(1)));
        assert_eq!(parse_tokens(&[]), Err(TextFault::Empty));
    }

    #[test]
    fn malformed_chunks_are_refused() {
        let without_logprobs = json!({"choices": [{"delta": {"content": "a"}, "logprobs": null}]});
        let without_text =
            json!({"choices": [{"delta": {}, "logprobs": {"content": [{"logprob": -0.1}]}}]});
        let text_logprob = json!({"choices": [{"delta": {"content": "a"}, "logprobs": {"content": [{"logprob": "low"}]}}]});
        for broken in [without_logprobs, without_text, text_logprob, json!({}), json!(7)] {
            assert_eq!(parse_tokens(&[chunk("a", -0.5), broken]), Err(TextFault::Malformed(1)));
        }
    }
}
