//! Answers of a circuit.

use serde::Serialize;
use taonet_proof_core::circuit::Circuit;

use crate::{LanguageModel, LmError};

/// Why an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finish {
    /// The model chose a token that ends it.
    Stop,
    /// Prompt and answer fill the circuit.
    Length,
    /// The prover stopped before the model did.
    Cut,
}

/// Continues a prompt with the likeliest token, one by one, until one of them ends the answer or
/// the circuit is full. Returns the inputs of the circuit: the tokens of prompt and answer, then
/// zeros.
///
/// An execution computes the logits after every token, so each one chooses all tokens of the answer
/// again. Since attention is causal, a token is final if no token before it changes. So the first
/// token that changes is final, too: no answer takes more executions than it has tokens.
pub(crate) fn generate_inputs(
    circuit: &Circuit,
    model: &LanguageModel,
    prompt: &[u32],
) -> Result<Vec<i64>, LmError> {
    let mut inputs: Vec<i64> = prompt.iter().copied().map(i64::from).collect();
    inputs.resize(model.tokens, 0);
    // Bounded because an untrusted circuit, which need not be causal, could change tokens
    // forever.
    for _ in prompt.len()..model.tokens {
        let outputs = circuit.execute(&inputs)?.outputs(circuit);
        let next_inputs = extend_with_outputs(model, &inputs, &outputs, prompt.len());
        let changed_position =
            inputs.iter().zip(&next_inputs).position(|(before, after)| before != after);
        inputs = next_inputs;
        let Some(changed_position) = changed_position else { break };
        let mut answer = inputs.iter().take(changed_position + 1).skip(prompt.len());
        if changed_position + 1 == model.tokens || answer.any(|&token| model.is_end(token)) {
            break;
        }
    }
    Ok(inputs)
}

/// Returns the prompt, the likeliest token after it and after each further token of `inputs`, up to
/// one that ends the answer, and zeros. `outputs` are those for `inputs`.
fn extend_with_outputs(
    model: &LanguageModel,
    inputs: &[i64],
    outputs: &[i64],
    prompt_length: usize,
) -> Vec<i64> {
    let mut next_inputs: Vec<i64> = inputs.iter().copied().take(prompt_length).collect();
    while next_inputs.len() < model.tokens {
        let Some(token) =
            next_inputs.len().checked_sub(1).and_then(|last| model.likeliest_token(outputs, last))
        else {
            break;
        };
        next_inputs.push(token);
        if model.is_end(token) {
            break;
        }
    }
    next_inputs.resize(model.tokens, 0);
    next_inputs
}

/// Returns the number of tokens of the answer that the outputs of a circuit choose, with the one
/// that ends it.
pub(crate) fn answer_length(model: &LanguageModel, outputs: &[i64], prompt_length: usize) -> usize {
    let mut generated = (prompt_length..model.tokens)
        .map_while(|position| model.likeliest_token(outputs, position.checked_sub(1)?));
    let end = generated.position(|token| model.is_end(token));
    end.map_or(model.tokens.saturating_sub(prompt_length), |end| end + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use taonet_proof_core::network::{FORMAT, Input, Layer, Network, Operation};
    use taonet_proof_core::{Range, Shape};

    use super::*;

    /// Number of tokens in the vocabulary.
    const VOCABULARY: u8 = 6;

    fn model(tokens: usize, ends: &[u32]) -> LanguageModel {
        let description = json!({ "version": 1, "tokens": tokens, "vocabulary": VOCABULARY, "begin": null, "ends": ends });
        serde_json::from_value(description).unwrap()
    }

    /// Creates a circuit that chooses the sum of all tokens, each times its weight, and of an
    /// offset; or the token that is closest to it. The arguments of `weight` are the position after
    /// which a token is chosen, and that of the token which it weighs.
    fn circuit(
        tokens: usize,
        weight: impl Fn(usize, usize) -> i32,
        offset: impl Fn(usize) -> i64,
    ) -> Circuit {
        // The logit of a token t is 2 * t * sum - t * t: the square of the sum, less that of its
        // distance.
        let logits =
            (0..tokens).flat_map(|position| (0..VOCABULARY).map(move |token| (position, token)));
        let weight = &weight;
        let weights = logits.clone().flat_map(|(position, token)| {
            (0..tokens).map(move |other| 2 * i32::from(token) * weight(position, other))
        });
        let weights = weights.collect();
        let bias = logits.map(|(position, token)| {
            let token = i64::from(token);
            2 * token * offset(position) - token * token
        });
        let operation = Operation::Dense { weights, bias: bias.collect() };
        let range = Range { low: 0, high: i64::from(VOCABULARY) - 1 };
        let network = Network {
            format: FORMAT,
            input: Input { shape: Shape::vector(tokens).unwrap(), range, scale: 0 },
            layers: vec![Layer { inputs: vec![0], operation, rescale: None, scale: 0 }],
        };
        network.lower().unwrap()
    }

    /// Chooses one token with each execution.
    fn generate_token_by_token(
        circuit: &Circuit,
        model: &LanguageModel,
        prompt: &[u32],
    ) -> Vec<i64> {
        let mut inputs: Vec<i64> = prompt.iter().copied().map(i64::from).collect();
        inputs.resize(model.tokens, 0);
        for position in prompt.len()..model.tokens {
            let outputs = circuit.execute(&inputs).unwrap().outputs(circuit);
            inputs[position] = model.likeliest_token(&outputs, position - 1).unwrap();
            if model.is_end(inputs[position]) {
                break;
            }
        }
        inputs
    }

    #[test]
    fn batched_answer_equals_token_by_token_answer() {
        let tokens = 8;
        let previous_token = |position: usize, other: usize| i32::from(other == position);
        let all_tokens = |position: usize, other: usize| i32::from(other <= position);
        let last_two_tokens =
            |position: usize, other: usize| i32::from((other..=other + 1).contains(&position));
        for (name, circuit) in [
            (
                "each token follows from the position only",
                circuit(tokens, |_, _| 0, |position| [3, 0, 4, 1, 5, 2, 4, 0][position]),
            ),
            ("each token is one more than the one before", circuit(tokens, previous_token, |_| 1)),
            ("each token is the one before", circuit(tokens, previous_token, |_| 0)),
            ("each token is the sum of all before", circuit(tokens, all_tokens, |_| 0)),
            ("each token is the sum of two, less one", circuit(tokens, last_two_tokens, |_| -1)),
        ] {
            for ends in [&[0][..], &[], &[3], &[0, 4], &[5]] {
                let model = model(tokens, ends);
                for prompt in [&[1][..], &[0], &[2, 1], &[0, 0, 1], &[1, 2, 3, 4, 5, 0, 1]] {
                    let expected = generate_token_by_token(&circuit, &model, prompt);
                    let inputs = generate_inputs(&circuit, &model, prompt).unwrap();
                    assert_eq!(inputs, expected, "{name}, ends {ends:?}, prompt {prompt:?}");
                }
            }
        }
    }

    /// Each token depends on a later one, so that the tokens never stop changing.
    #[test]
    fn noncausal_circuit_terminates() {
        let tokens = 5;
        let later_token = |position: usize, other: usize| -i32::from(other == (position + 2) % 5);
        let circuit = circuit(tokens, later_token, |_| 5);
        let inputs = generate_inputs(&circuit, &model(tokens, &[]), &[1]).unwrap();
        assert_eq!((inputs.len(), inputs[0]), (tokens, 1));
    }
}
