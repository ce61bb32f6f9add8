//! Answers of a circuit.

use taonet_proof_core::circuit::Circuit;

use crate::{LanguageModel, LmError};

/// Why an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finish {
    /// The model chose a token that ends it.
    Stop,
    /// Prompt and answer fill the circuit.
    Length,
    /// The prover stopped before the model did.
    Cut,
}

impl Finish {
    /// Returns the name of the reason.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Cut => "cut",
        }
    }
}

/// A prompt with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Inputs of the circuit: the tokens of prompt and answer, then zeros.
    pub(crate) inputs: Vec<i64>,
    /// Number of tokens of the prompt.
    pub(crate) prompt: usize,
    /// Number of tokens of the answer, with the one that ends it.
    pub(crate) length: usize,
}

impl Answer {
    /// Continues a prompt with the likeliest token, one by one, until one of them ends the answer or the circuit is full.
    pub(crate) fn of(circuit: &Circuit, model: &LanguageModel, prompt: &[u32]) -> Result<Self, LmError> {
        let mut inputs: Vec<i64> = prompt.iter().copied().map(i64::from).collect();
        inputs.resize(model.tokens, 0);
        let mut answer = Self { inputs, prompt: prompt.len(), length: 0 };
        loop {
            let outputs = circuit.execute(&answer.inputs)?.outputs(circuit);
            if answer.extend(model, &outputs) {
                return Ok(answer);
            }
        }
    }

    /// Appends the token that the logits choose; returns whether the answer is complete.
    fn extend(&mut self, model: &LanguageModel, outputs: &[i64]) -> bool {
        let count = self.prompt + self.length;
        let next = count.checked_sub(1).and_then(|last| model.next(outputs, last));
        let (Some(token), Some(input)) = (next, self.inputs.get_mut(count)) else { return true };
        *input = token;
        self.length += 1;
        model.is_end(token) || count + 1 >= model.tokens
    }
}
