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
pub(crate) fn inputs_of(
    circuit: &Circuit,
    model: &LanguageModel,
    prompt: &[u32],
) -> Result<Vec<i64>, LmError> {
    let mut inputs: Vec<i64> = prompt.iter().copied().map(i64::from).collect();
    inputs.resize(model.tokens, 0);
    for position in prompt.len()..model.tokens {
        let outputs = circuit.execute(&inputs)?.outputs(circuit);
        let next = position.checked_sub(1).and_then(|last| model.next(&outputs, last));
        let (Some(token), Some(input)) = (next, inputs.get_mut(position)) else { break };
        *input = token;
        if model.is_end(token) {
            break;
        }
    }
    Ok(inputs)
}

/// Returns the number of tokens of the answer that the outputs of a circuit choose, with the one
/// that ends it. `prompt` is the number of tokens of the prompt.
pub(crate) fn length_of(model: &LanguageModel, outputs: &[i64], prompt: usize) -> usize {
    let mut chosen =
        (prompt..model.tokens).map_while(|position| model.next(outputs, position.checked_sub(1)?));
    let end = chosen.position(|token| model.is_end(token));
    end.map_or(model.tokens.saturating_sub(prompt), |end| end + 1)
}
